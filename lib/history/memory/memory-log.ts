import { arrive } from '../arrivals.ts'
import { type FollowedLog, Followers } from '../followers.ts'
import type { FrameBudget, FrameOwner } from '../frame-budget.ts'
import { Frames } from '../frames.ts'
import type { Cursor, GapReason, Log, LogListener, Page, ReadLimits } from '../history.ts'

export interface MemoryLogHost {
  readonly options: { readonly maxMessages: number; readonly maxBytes: number }
  readonly budget: FrameBudget
  logOnIdle(log: MemoryLog): void
}

const NUMBER = /^(?:0|[1-9]\d{0,14})$/

/** One channel's frames. */
export class MemoryLog implements FrameOwner, FollowedLog {
  readonly channel: string
  readonly #host: MemoryLogHost
  readonly #prefix: string
  readonly #frames: Frames
  readonly #followers = new Followers()
  #head: Cursor
  #headArrival = 0
  /** The cursors of those frames that came with an idempotency key, as long as they are kept, and back. */
  #cursors: Map<string, Cursor> | undefined
  #idempotencyKeys: Map<Cursor, string> | undefined

  /** @param headNumber the last number that cursors of this channel have had. */
  constructor(host: MemoryLogHost, channel: string, epoch: string, headNumber: number) {
    this.channel = channel
    this.#host = host
    this.#prefix = `${epoch}-`
    this.#frames = new Frames(host.budget, this, headNumber)
    this.#head = this.#cursorOf(headNumber)
  }

  get head(): Cursor {
    return this.#head
  }

  get headNumber(): number {
    return this.#frames.headNumber
  }

  get headArrival(): number {
    return this.#headArrival
  }

  get length(): number {
    return this.#frames.length
  }

  get oldest(): Cursor {
    return this.#cursorOf(this.#frames.baseNumber)
  }

  get isHeld(): boolean {
    return this.#frames.baseNumber >= this.#followers.releasedNumber
  }

  append(text: string, byteLength: number, key: string, idempotencyKey: string | undefined): Cursor {
    const known = idempotencyKey === undefined ? undefined : this.#cursors?.get(idempotencyKey)
    if (known !== undefined) return known
    const cursor = this.#cursorOf(this.headNumber + 1)
    this.#head = cursor
    this.#headArrival = arrive()
    if (idempotencyKey !== undefined) this.#rememberKey(idempotencyKey, cursor)
    this.#frames.append(cursor, text, byteLength, key, this.#headArrival, performance.now())
    this.#trim()
    this.#host.budget.trim()
    this.#followers.tellAppend()
    return cursor
  }

  dropOldest(): void {
    const dropped = this.#frames.dropOldest()
    if (dropped === undefined) return
    this.#forgetKey(dropped.cursor)
    this.#tellIdle()
  }

  follow(listener: LogListener): Log {
    return this.#followers.add(this, listener)
  }

  followersOnRelease(): void {
    this.#trim()
    this.#tellIdle()
  }

  numberAt(cursor: Cursor): number | undefined {
    const number = this.#numberOf(cursor)
    return typeof number === 'number' ? number : undefined
  }

  arrivalAfter(after: Cursor): number | undefined {
    const number = this.#numberOf(after)
    return typeof number === 'string' ? undefined : this.#frames.after(number)?.arrival
  }

  read(after: Cursor, limits: ReadLimits): Page {
    const number = this.#numberOf(after)
    if (typeof number === 'string') return { complete: false, frames: [], reason: number }
    const page = this.#frames.read(number, limits)
    return { complete: true, frames: page.frames, cursor: this.#cursorOf(page.number) }
  }

  /** The number in a cursor of this log, or why there is none. */
  #numberOf(cursor: string): number | Exclude<GapReason, 'slow'> {
    if (cursor === this.#head) return this.headNumber
    const split = this.#prefix.length
    const digits = cursor.slice(split)
    if (!NUMBER.test(digits) || cursor[split - 1] !== '-') return 'unknown'
    if (!cursor.startsWith(this.#prefix)) return 'foreign'
    const number = Number(digits)
    if (number > this.headNumber) return 'future'
    return number < this.#frames.baseNumber ? 'expired' : number
  }

  #cursorOf(number: number): Cursor {
    return this.#prefix + number
  }

  /** Drops what is over the limits and not held. */
  #trim(): void {
    const { maxMessages, maxBytes } = this.#host.options
    while ((this.length > maxMessages || this.#frames.bytes > maxBytes) && this.length > 1 && !this.isHeld) {
      this.dropOldest()
    }
  }

  #rememberKey(key: string, cursor: Cursor): void {
    this.#cursors = (this.#cursors ?? new Map()).set(key, cursor)
    this.#idempotencyKeys = (this.#idempotencyKeys ?? new Map()).set(cursor, key)
  }

  #forgetKey(cursor: Cursor): void {
    const key = this.#idempotencyKeys?.get(cursor)
    if (key === undefined) return
    this.#idempotencyKeys?.delete(cursor)
    this.#cursors?.delete(key)
  }

  #tellIdle(): void {
    if (this.length === 0 && this.#followers.size === 0) this.#host.logOnIdle(this)
  }
}
