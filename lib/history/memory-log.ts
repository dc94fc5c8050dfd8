import type { Cursor, GapReason, Log, LoggedFrame, LogListener, Page, ReadLimits } from './history.ts'

/** What a frame takes in memory besides its text and its key, and what a log takes besides its frames. About. */
const FRAME_BYTES = 256
export const LOG_BYTES = 768

/** A frame in the list of all frames of a history. */
export interface KeptFrame extends LoggedFrame {
  readonly log: MemoryLog
  readonly number: number
  /** Milliseconds of the monotonic clock. */
  readonly time: number
  /** What it takes in memory. */
  readonly memoryBytes: number
  older: KeptFrame | undefined
  newer: KeptFrame | undefined
}

export interface MemoryLogHost {
  readonly options: { readonly maxMessages: number; readonly maxBytes: number }
  logOnDrop(frame: KeptFrame): void
  logOnIdle(log: MemoryLog): void
}

const NUMBER = /^(?:0|[1-9]\d{0,14})$/

/** One channel's frames, numbered without holes. */
export class MemoryLog {
  readonly channel: string
  readonly #host: MemoryLogHost
  readonly #prefix: string
  readonly #followers = new Set<Follower>()
  /** Frames from `#start` on; those before have been dropped. */
  #frames: (KeptFrame | undefined)[] = []
  #start = 0
  #bytes = 0
  #headNumber: number
  #head: Cursor
  #headArrival = 0
  /** The newest frame of each key. */
  readonly #latest = new Map<string, KeptFrame>()

  /** @param headNumber the last number that cursors of this channel have had. */
  constructor(host: MemoryLogHost, channel: string, epoch: string, headNumber: number) {
    this.channel = channel
    this.#host = host
    this.#prefix = `${epoch}-`
    this.#headNumber = headNumber
    this.#head = this.#cursorOf(headNumber)
  }

  get head(): Cursor {
    return this.#head
  }

  get headNumber(): number {
    return this.#headNumber
  }

  get headArrival(): number {
    return this.#headArrival
  }

  /** The number before that of the oldest frame. */
  get #baseNumber(): number {
    return this.#headNumber - this.length
  }

  get length(): number {
    return this.#frames.length - this.#start
  }

  get oldest(): Cursor {
    return this.#cursorOf(this.#baseNumber)
  }

  /** Whether the oldest frame is held by a follower. */
  get isHeld(): boolean {
    return this.#baseNumber >= this.#releasedNumber
  }

  append(text: string, byteLength: number, key: string, arrival: number, time: number): KeptFrame {
    const number = ++this.#headNumber
    const cursor = this.#cursorOf(number)
    this.#head = cursor
    this.#headArrival = arrival
    const frame: KeptFrame = {
      cursor,
      text,
      byteLength,
      key,
      arrival,
      log: this,
      number,
      time,
      memoryBytes: byteLength + key.length + FRAME_BYTES,
      older: undefined,
      newer: undefined
    }
    this.#frames.push(frame)
    this.#bytes += byteLength
    this.#latest.set(key, frame)
    return frame
  }

  /** Drops what is over the limits and not held. */
  trim(): void {
    const { maxMessages, maxBytes } = this.#host.options
    while ((this.length > maxMessages || this.#bytes > maxBytes) && this.length > 1 && !this.isHeld) {
      this.dropOldest()
    }
  }

  dropOldest(): void {
    const frame = this.#frames[this.#start]
    if (frame === undefined) return
    this.#frames[this.#start] = undefined
    this.#start++
    if (this.#start * 2 > this.#frames.length) this.#compact()
    this.#bytes -= frame.byteLength
    if (this.#latest.get(frame.key) === frame) this.#latest.delete(frame.key)
    this.#host.logOnDrop(frame)
    this.#tellIdle()
  }

  tellFollowers(): void {
    for (const follower of this.#followers) follower.listener.logOnAppend()
  }

  follow(listener: LogListener): Log {
    const follower = new Follower(this, listener, this.#headNumber)
    this.#followers.add(follower)
    return follower
  }

  unfollow(follower: Follower): void {
    this.#followers.delete(follower)
    this.trim()
    this.#tellIdle()
  }

  /** The number in a cursor of this log, or why there is none. */
  numberOf(cursor: string): number | Exclude<GapReason, 'slow'> {
    if (cursor === this.#head) return this.#headNumber
    const split = this.#prefix.length
    const digits = cursor.slice(split)
    if (!NUMBER.test(digits) || cursor[split - 1] !== '-') return 'unknown'
    if (!cursor.startsWith(this.#prefix)) return 'foreign'
    const number = Number(digits)
    if (number > this.#headNumber) return 'future'
    return number < this.#baseNumber ? 'expired' : number
  }

  after(number: number): LoggedFrame | undefined {
    return this.#frames[this.#start + number - this.#baseNumber]
  }

  read(after: Cursor, { maxBytes, idBytes, before, isLatestOnly }: ReadLimits): Page {
    const number = this.numberOf(after)
    if (typeof number === 'string') return { complete: false, frames: [], reason: number }
    const frames: LoggedFrame[] = []
    let cursor = after
    let bytes = 0
    for (let i = this.#start + number - this.#baseNumber; i < this.#frames.length && bytes < maxBytes; i++) {
      const frame = this.#frames[i]
      if (frame === undefined || frame.arrival >= before) break
      cursor = frame.cursor
      if (isLatestOnly && this.#latest.get(frame.key) !== frame) continue
      bytes += frame.byteLength + idBytes
      frames.push(frame)
    }
    return { complete: true, frames, cursor }
  }

  get #releasedNumber(): number {
    let released = this.#headNumber
    for (const follower of this.#followers) released = Math.min(released, follower.releasedNumber)
    return released
  }

  #cursorOf(number: number): Cursor {
    return this.#prefix + number
  }

  #compact(): void {
    this.#frames = this.#frames.slice(this.#start)
    this.#start = 0
  }

  #tellIdle(): void {
    if (this.length === 0 && this.#followers.size === 0) this.#host.logOnIdle(this)
  }
}

/** The log as one of those who follow it sees it. */
class Follower implements Log {
  readonly listener: LogListener
  readonly #log: MemoryLog
  releasedNumber: number

  constructor(log: MemoryLog, listener: LogListener, releasedNumber: number) {
    this.#log = log
    this.listener = listener
    this.releasedNumber = releasedNumber
  }

  get head(): Cursor {
    return this.#log.head
  }

  get headArrival(): number {
    return this.#log.headArrival
  }

  get oldest(): Cursor {
    return this.#log.oldest
  }

  arrivalAfter(after: Cursor): number | undefined {
    const number = this.#log.numberOf(after)
    return typeof number === 'string' ? undefined : this.#log.after(number)?.arrival
  }

  read(after: Cursor, limits: ReadLimits): Page {
    return this.#log.read(after, limits)
  }

  release(upTo: Cursor): void {
    const number = this.#log.numberOf(upTo)
    if (typeof number === 'number') this.releasedNumber = number
    this.#log.trim()
  }

  close(): void {
    this.#log.unfollow(this)
  }
}
