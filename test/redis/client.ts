import { connect, type Socket } from 'node:net'
import { NOT_YET, tells } from '../checker/not-yet.ts'
import { ResponseReceiver } from '../checker/receiver.ts'
import { type ConnectionLog, EVENTS, type Moment, type Received } from '../checker/run-log.ts'

/** Where a client connects next: a port, or `undefined` if there is none now. */
export type Pick = () => number | undefined

interface Waiter {
  readonly check: () => void
}

const RECONNECT_MS = 20

/**
 * One who reads channels for as long as it wants, on one connection after another: each goes on at the last id that came
 * with a whole block.
 */
export class Client {
  readonly name: string
  readonly channels: readonly string[]
  /** Of all connections. */
  readonly blocks: Received[] = []
  readonly #streams: Stream[] = []
  lastEventId: string | undefined
  /** Whether it leaves after every message, in the middle of what has come. */
  isHopping = false
  hasCaughtUp = false
  #pick: Pick
  readonly #intern: (data: string) => string
  #timer: NodeJS.Timeout | undefined
  #isPaused = false
  #isConnected = false
  #hasLeft = false
  readonly #waiters = new Set<Waiter>()

  /** @param intern gives the one string of many that are equal. */
  constructor(
    name: string,
    channels: readonly string[],
    pick: Pick,
    intern: (data: string) => string = (data) => data
  ) {
    this.name = name
    this.channels = channels
    this.#pick = pick
    this.#intern = intern
    this.#connect()
  }

  get connections(): number {
    return this.#streams.length
  }

  get comments(): number {
    return this.#streams.reduce((sum, { receiver }) => sum + receiver.comments, 0)
  }

  get messages(): readonly Received[] {
    return this.blocks.filter(({ event }) => event === 'message')
  }

  get gaps(): readonly Received[] {
    return this.blocks.filter(({ event }) => event === EVENTS.gap)
  }

  get logs(): readonly ConnectionLog[] {
    return this.#streams.map((stream, number) => ({
      client: this.name,
      resumedFrom: stream.resumedFrom,
      subscriptions: this.channels.map((channel) => ({
        channel,
        from: 'now',
        resumes: tells(stream.resumedFrom, channel, this.channels.length) || !NOT_YET.has('other channels'),
        startedAt: stream.startedAt,
        endedAt: undefined,
        filter: undefined
      })),
      openedAt: stream.receiver.received.find(({ id }) => this.#isPlaced(id))?.at ?? Infinity,
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

  /** Resolves when it holds, which is looked at whenever something has come. */
  until(holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve()
    return new Promise((resolve) => {
      const check = (): void => {
        if (!holds()) return
        this.#waiters.delete(waiter)
        resolve()
      }
      const waiter = { check }
      this.#waiters.add(waiter)
    })
  }

  /** Resolves when it was told its place in all its channels. */
  async placed(): Promise<void> {
    await this.until(() => this.#isPlaced(this.lastEventId ?? ''))
  }

  async gets(data: string): Promise<void> {
    await this.until(() => this.blocks.findLast((block) => block.data === data) !== undefined)
  }

  /** That many more messages. */
  async receives(count: number): Promise<void> {
    const wanted = this.messages.length + count
    await this.until(() => this.messages.length >= wanted)
  }

  /** That many comments, with those that it heard before. */
  async hears(comments: number): Promise<void> {
    await this.until(() => this.comments >= comments)
  }

  /** That many gaps, with those that it was told before. */
  async isTold(gaps: number): Promise<void> {
    await this.until(() => this.gaps.length >= gaps)
  }

  /** From now on it connects elsewhere, now if it is connected. */
  move(pick: Pick): void {
    this.#pick = pick
    this.drop()
  }

  /** Loses its connection, and makes another one. */
  drop(): void {
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
    clearTimeout(this.#timer)
    this.#stream?.destroy()
  }

  get #stream(): Stream | undefined {
    return this.#isConnected ? this.#streams.at(-1) : undefined
  }

  /** Version 0.1 tells the places of channels one by one. */
  #isPlaced(id: string): boolean {
    return id !== '' && id.split('&').length === this.channels.length
  }

  #connect(): void {
    const port = this.#pick()
    if (port === undefined) {
      this.#connectLater(RECONNECT_MS)
      return
    }
    const stream = new Stream(port, this.channels, this.lastEventId, {
      onReceive: (received) => this.#take(received),
      onRead: () => this.#check(),
      onClose: () => this.#connectLater(stream.hasOpened && this.isHopping ? 0 : RECONNECT_MS)
    })
    this.#streams.push(stream)
    this.#isConnected = true
    if (this.#isPaused) stream.pause()
  }

  #connectLater(ms: number): void {
    this.#isConnected = false
    if (!this.#hasLeft) this.#timer = setTimeout(() => this.#connect(), ms)
  }

  /** @returns whether it reads on. */
  #take(received: Received): boolean {
    this.lastEventId = received.id
    this.blocks.push({ ...received, data: this.#intern(received.data) })
    return !this.isHopping || received.event !== 'message'
  }

  #check(): void {
    for (const { check } of [...this.#waiters]) check()
  }
}

interface StreamEvents {
  /** @returns whether more is wanted. */
  readonly onReceive: (received: Received) => boolean
  /** Something has come. */
  readonly onRead: () => void
  readonly onClose: () => void
}

/** One connection. What follows the last block that was wanted has never come. */
class Stream {
  readonly resumedFrom: string | undefined
  readonly receiver: ResponseReceiver
  readonly startedAt: Moment = Date.now()
  readonly #socket: Socket
  readonly #events: StreamEvents
  #isDone = false

  constructor(
    port: number,
    channels: readonly string[],
    lastEventId: string | undefined,
    events: StreamEvents
  ) {
    this.#events = events
    this.resumedFrom = lastEventId
    this.receiver = new ResponseReceiver({
      resumedFrom: lastEventId,
      momentOf: () => Date.now(),
      wantsMore: (received) => {
        this.#isDone ||= !events.onReceive(received)
        return !this.#isDone
      }
    })
    this.#socket = connect({ port, host: '127.0.0.1' })
    this.#socket.on('data', (bytes: Buffer) => this.#read(bytes))
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => events.onClose())
    const path = `/?channels=${encodeURIComponent(JSON.stringify(channels))}`
    const header = lastEventId === undefined ? '' : `Last-Event-ID: ${lastEventId}\r\n`
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${header}\r\n`)
  }

  get hasOpened(): boolean {
    return this.receiver.received.length > 0
  }

  /** A server that shuts down may refuse. */
  get refusal(): string | undefined {
    const { refusal } = this.receiver
    return refusal !== undefined && /not an event stream: HTTP\/1.1 503 /.test(refusal) ? undefined : refusal
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
    const { isEnded, refusal } = this.receiver
    if (this.#isDone || isEnded || refusal !== undefined) this.destroy()
  }
}
