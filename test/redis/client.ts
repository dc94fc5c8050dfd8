import { connect, type Socket } from 'node:net'
import { Deferred } from '../../lib/base/promises.ts'
import { ResponseReceiver } from '../checker/receiver.ts'
import type { ConnectionLog, Moment, Received } from '../checker/run-log.ts'
import { now } from '../checker/sockets/clock.ts'

/** Where a client connects next: a port, or `undefined` if there is none now. */
export type Pick = () => number | undefined

const RECONNECT_MS = 20
const NO_CONTENT = /^Error: not an event stream: HTTP\/1.1 204 /
/** A server shuts down. */
const UNAVAILABLE = /^Error: not an event stream: HTTP\/1.1 503 /

/**
 * One who reads channels for as long as it wants, on one connection after another: each goes on at the last id that came
 * with a whole block. It leaves when a server has no more, or refuses.
 */
export class Client {
  readonly name: string
  /** What it wants from its next connection on. */
  channels: readonly string[]
  lastEventId: string | undefined
  hasCaughtUp = false
  readonly #streams: Stream[] = []
  readonly #wakers = new Set<() => void>()
  #pick: Pick
  #timer: NodeJS.Timeout | undefined
  #isPaused = false
  #isConnected = false
  readonly #left = new Deferred<void>()
  #hasLeft = false

  constructor(name: string, channels: readonly string[], pick: Pick) {
    this.name = name
    this.channels = channels
    this.#pick = pick
    this.#connect()
  }

  /** Resolves when it has left. */
  get left(): Promise<void> {
    return this.#left.promise
  }

  get blocks(): readonly Received[] {
    return this.#streams.flatMap(({ receiver }) => receiver.received)
  }

  get logs(): readonly ConnectionLog[] {
    return this.#streams.map((stream, number) => ({
      client: this.name,
      resumedFrom: stream.resumedFrom,
      subscriptions: stream.channels.map((channel) => ({
        channel,
        from: this.from,
        resumes: true,
        startedAt: stream.startedAt,
        // Who is told that there is no more has left when it asked.
        endedAt: stream.hasNoMore ? stream.startedAt : undefined,
        filter: undefined
      })),
      openedAt: stream.receiver.received.find(({ id }) => id !== '')?.at ?? Infinity,
      received: stream.receiver.received,
      sent: [],
      gaps: undefined,
      refusal: stream.refusal,
      stood: [],
      refused: [],
      closedAt: undefined,
      hasCaughtUp: this.hasCaughtUp && number === this.#streams.length - 1
    }))
  }

  /** Resolves when its connection has had all of these data since a moment, or all that it may miss was told as a gap. */
  async gets(data: ReadonlySet<string>): Promise<void> {
    const left = (): number => {
      const had = this.blocks.filter((block) => data.has(block.data)).map((block) => block.data)
      return data.size - new Set(had).size
    }
    while (left() > 0) await new Promise<void>((resolve) => this.#wakers.add(resolve))
  }

  /** From now on it connects elsewhere, now if it is connected, and perhaps wants something else. */
  move(pick: Pick, channels = this.channels): void {
    this.#pick = pick
    this.channels = channels
    this.#stream?.destroy()
  }

  /** Reads nothing any more until it resumes. */
  pause(): void {
    this.#isPaused = true
    this.#stream?.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#stream?.resume()
  }

  leave(): void {
    this.#hasLeft = true
    this.#left.resolve()
    clearTimeout(this.#timer)
    this.#stream?.destroy()
  }

  /** Where it begins. */
  protected get from(): 'now' | 'oldest' {
    return 'now'
  }

  protected pathOf(channels: readonly string[]): string {
    return `/?channels=${encodeURIComponent(JSON.stringify(channels))}`
  }

  get #stream(): Stream | undefined {
    return this.#isConnected ? this.#streams.at(-1) : undefined
  }

  #connect(): void {
    const port = this.#pick()
    if (port === undefined) {
      this.#connectLater()
      return
    }
    const path = this.pathOf(this.channels)
    const stream = new Stream(port, path, this.channels, this.lastEventId, {
      onReceive: ({ id }) => {
        this.lastEventId = id
      },
      onRead: () => {
        for (const wake of this.#wakers) wake()
        this.#wakers.clear()
      },
      onClose: ({ hasNoMore, refusal }) => {
        this.hasCaughtUp ||= hasNoMore
        if (hasNoMore || refusal !== undefined) this.leave()
        else this.#connectLater()
      }
    })
    this.#streams.push(stream)
    this.#isConnected = true
    if (this.#isPaused) stream.pause()
  }

  #connectLater(): void {
    this.#isConnected = false
    if (!this.#hasLeft) this.#timer = setTimeout(() => this.#connect(), RECONNECT_MS)
  }
}

interface StreamEvents {
  readonly onReceive: (received: Received) => void
  /** Something has come. */
  readonly onRead: () => void
  readonly onClose: (stream: Stream) => void
}

/** One connection. */
class Stream {
  readonly channels: readonly string[]
  readonly resumedFrom: string | undefined
  readonly receiver: ResponseReceiver
  readonly startedAt: Moment = now()
  readonly #socket: Socket
  readonly #events: StreamEvents
  #isDone = false

  constructor(
    port: number,
    path: string,
    channels: readonly string[],
    lastEventId: string | undefined,
    events: StreamEvents
  ) {
    this.#events = events
    this.channels = channels
    this.resumedFrom = lastEventId
    this.receiver = new ResponseReceiver({
      resumedFrom: lastEventId,
      momentOf: now,
      wantsMore: (received) => {
        events.onReceive(received)
        return true
      }
    })
    this.#socket = connect({ port, host: '127.0.0.1' })
    this.#socket.on('data', (bytes: Buffer) => this.#read(bytes))
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => events.onClose(this))
    const header = lastEventId === undefined ? '' : `Last-Event-ID: ${lastEventId}\r\n`
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${header}\r\n`)
  }

  get hasNoMore(): boolean {
    return NO_CONTENT.test(this.receiver.refusal ?? '')
  }

  get refusal(): string | undefined {
    const { refusal = '' } = this.receiver
    return refusal === '' || this.hasNoMore || UNAVAILABLE.test(refusal) ? undefined : refusal
  }

  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  destroy(): void {
    this.#isDone = true
    this.#socket.destroy()
  }

  #read(bytes: Buffer): void {
    if (this.#isDone) return
    this.receiver.feed(bytes)
    this.#events.onRead()
    if (this.receiver.isEnded || this.receiver.refusal !== undefined) this.destroy()
  }
}
