import { connect, type Socket } from 'node:net'
import { EVENTS } from '../checker/run-log.ts'
import { BodyReader } from '../checker/sockets/body-reader.ts'
import { StrictParser } from '../helpers/strict-parser.ts'
import { excerpt } from './excerpt.ts'
import type { Block, ClientLog } from './run-log.ts'

/** Where a client connects next: a port, or `undefined` if there is none now. */
export type Pick = () => number | undefined

interface Waiter {
  readonly what: string
  readonly check: () => void
}

const RECONNECT_MS = 20
const WAIT_MS = 20_000
const BLANK_LINE = '\n\n'

/**
 * One who reads channels for as long as it wants, on one connection after another: each goes on at the last id that came
 * with a whole block.
 */
export class Client {
  readonly name: string
  readonly channels: readonly string[]
  /** Of all connections. */
  readonly blocks: Block[] = []
  refusal: string | undefined
  connections = 0
  comments = 0
  lastEventId = ''
  /** Whether it leaves after every message, in the middle of what has come. */
  isHopping = false
  hasCaughtUp = false
  #pick: Pick
  readonly #intern: (data: string) => string
  #stream: Stream | undefined
  #timer: NodeJS.Timeout | undefined
  #isPaused = false
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

  get messages(): readonly Block[] {
    return this.blocks.filter(({ event }) => event === 'message')
  }

  get gaps(): readonly Block[] {
    return this.blocks.filter(({ event }) => event === EVENTS.gap)
  }

  get log(): ClientLog {
    const { name, channels, blocks, refusal, hasCaughtUp } = this
    return { name, channels, blocks, refusal, hasCaughtUp }
  }

  /** Resolves when it holds, which is looked at whenever something has come. */
  until(what: string, holds: () => boolean): Promise<void> {
    if (holds()) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        clearTimeout(timer)
        this.#waiters.delete(waiter)
        settle()
      }
      const check = (): void => {
        if (holds()) done(resolve)
      }
      const waiter = { what, check }
      const timer = setTimeout(() => done(() => reject(this.#tooLate(what))), WAIT_MS)
      this.#waiters.add(waiter)
    })
  }

  /** Resolves when it was told its place in all its channels. */
  async placed(): Promise<void> {
    await this.until(
      'its place',
      () => this.lastEventId.split('&').length === this.channels.length && this.lastEventId !== ''
    )
  }

  async gets(data: string): Promise<void> {
    await this.until(
      data.slice(0, 40),
      () => this.blocks.findLast((block) => block.data === data) !== undefined
    )
  }

  /** That many more messages. */
  async receives(count: number): Promise<void> {
    const wanted = this.messages.length + count
    await this.until(`${count} messages`, () => this.messages.length >= wanted)
  }

  /** That many comments, with those that it heard before. */
  async hears(comments: number): Promise<void> {
    await this.until(`${comments} comments`, () => this.comments >= comments)
  }

  /** That many gaps, with those that it was told before. */
  async isTold(gaps: number): Promise<void> {
    await this.until(`${gaps} gaps`, () => this.gaps.length >= gaps)
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

  #connect(): void {
    const port = this.#pick()
    if (port === undefined) {
      this.#connectLater(RECONNECT_MS)
      return
    }
    this.connections++
    this.#stream = new Stream(port, this.channels, this.lastEventId, {
      onBlock: (block) => this.#take(block),
      onComment: (count) => {
        this.comments += count
        this.#check()
      },
      onRefusal: (refusal) => {
        this.refusal ??= refusal
      },
      onClose: (hasOpened) => this.#connectLater(hasOpened && this.isHopping ? 0 : RECONNECT_MS)
    })
    if (this.#isPaused) this.#stream.pause()
  }

  #connectLater(ms: number): void {
    this.#stream = undefined
    if (!this.#hasLeft) this.#timer = setTimeout(() => this.#connect(), ms)
  }

  /** @returns whether it reads on. */
  #take(block: Block): boolean {
    this.lastEventId = block.id
    this.blocks.push({ ...block, data: this.#intern(block.data) })
    this.#check()
    if (!this.isHopping || block.event !== 'message') return true
    this.drop()
    return false
  }

  #check(): void {
    for (const { check } of [...this.#waiters]) check()
  }

  #tooLate(what: string): Error {
    const recent = this.blocks.slice(-5).map(({ id, event, data }) => `${event} ${id} ${excerpt(data)}`)
    return new Error(`${this.name} waits for ${what}, has ${recent.join(', ')} ${this.refusal ?? ''}`)
  }
}

interface StreamEvents {
  /** @returns whether more is wanted. */
  onBlock(block: Block): boolean
  onComment(count: number): void
  onRefusal(refusal: string): void
  onClose(hasOpened: boolean): void
}

/** One connection. Takes a block at a time, so that what follows the last one that was wanted has never come. */
class Stream {
  readonly #socket: Socket
  readonly #body = new BodyReader()
  readonly #parser = new StrictParser()
  readonly #events: StreamEvents
  #id: string
  #rest = Buffer.alloc(0)
  #hasOpened = false
  #isDone = false

  constructor(port: number, channels: readonly string[], lastEventId: string, events: StreamEvents) {
    this.#events = events
    this.#id = lastEventId
    this.#socket = connect({ port, host: '127.0.0.1' })
    this.#socket.on('data', (bytes: Buffer) => this.#feed(bytes))
    this.#socket.on('error', () => {})
    this.#socket.on('close', () => events.onClose(this.#hasOpened))
    const path = `/?channels=${encodeURIComponent(JSON.stringify(channels))}`
    const header = lastEventId === '' ? '' : `Last-Event-ID: ${lastEventId}\r\n`
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n${header}\r\n`)
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

  #feed(bytes: Buffer): void {
    if (this.#isDone) return
    try {
      for (const piece of this.#body.feed(bytes)) this.#feedBody(piece)
      if (this.#body.isEnded && !this.#isDone) this.#end()
    } catch (error) {
      const text = String(error)
      if (!/not an event stream: HTTP\/1.1 503 /.test(text)) this.#events.onRefusal(text)
      this.destroy()
    }
  }

  #feedBody(piece: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, piece])
    for (;;) {
      const end = this.#rest.indexOf(BLANK_LINE)
      if (end < 0 || this.#isDone) return
      const block = this.#rest.subarray(0, end + BLANK_LINE.length)
      this.#rest = this.#rest.subarray(end + BLANK_LINE.length)
      this.#feedBlock(block)
    }
  }

  #feedBlock(bytes: Buffer): void {
    this.#hasOpened = true
    const { comments } = this.#parser
    const before = this.#parser.lastEventId
    const [event] = this.#parser.feed(bytes)
    const after = this.#parser.lastEventId
    if (comments.length > 0) this.#events.onComment(comments.splice(0).length)
    if (after !== before) this.#id = after
    else if (event === undefined) return
    const block = { at: Date.now(), id: this.#id, event: event?.type, data: event?.data ?? '' }
    this.#isDone ||= !this.#events.onBlock(block)
  }

  /** The stream ended as it should; its socket could take another request. */
  #end(): void {
    if (this.#rest.length > 0) this.#events.onRefusal(`a cut block: ${this.#rest.toString('latin1', 0, 60)}`)
    this.destroy()
  }
}
