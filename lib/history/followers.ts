import type { Cursor, Log, LogListener, Page, ReadLimits } from './history.ts'

/** A log that may be followed more than once. */
export interface FollowedLog {
  readonly head: Cursor
  readonly headArrival: number
  readonly oldest: Cursor
  /** The number of the newest frame. */
  readonly headNumber: number
  arrivalAfter(after: Cursor): number | undefined
  read(after: Cursor, limits: ReadLimits): Page | undefined
  /** How many frames had come at this place; `undefined` if it is not in memory. */
  numberAt(cursor: Cursor): number | undefined
  /** Something was released. */
  followersOnRelease(): void
}

/** All who follow one log, and what they hold of it. */
export class Followers {
  readonly #followers = new Set<Follower>()

  get size(): number {
    return this.#followers.size
  }

  /** Frames after this number are held; `Infinity` if nobody follows. */
  get releasedNumber(): number {
    let released = Infinity
    for (const follower of this.#followers) released = Math.min(released, follower.releasedNumber)
    return released
  }

  add(log: FollowedLog, listener: LogListener): Log {
    const follower = new Follower(this, log, listener)
    this.#followers.add(follower)
    return follower
  }

  remove(follower: Follower): void {
    this.#followers.delete(follower)
  }

  /** The log ends at this number again. */
  cut(number: number): void {
    for (const follower of this.#followers) {
      follower.releasedNumber = Math.min(follower.releasedNumber, number)
    }
  }

  tellOpen(): void {
    for (const { listener } of this.#followers) listener.logOnOpen()
  }

  tellAppend(): void {
    for (const { listener } of this.#followers) listener.logOnAppend()
  }

  tellLoad(): void {
    for (const { listener } of this.#followers) listener.logOnLoad()
  }
}

/** The log as one of those who follow it sees it. */
class Follower implements Log {
  readonly listener: LogListener
  readonly #followers: Followers
  readonly #log: FollowedLog
  releasedNumber: number

  constructor(followers: Followers, log: FollowedLog, listener: LogListener) {
    this.#followers = followers
    this.#log = log
    this.listener = listener
    this.releasedNumber = log.headNumber
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
    return this.#log.arrivalAfter(after)
  }

  read(after: Cursor, limits: ReadLimits): Page | undefined {
    return this.#log.read(after, limits)
  }

  release(upTo: Cursor): void {
    this.releasedNumber = this.#log.numberAt(upTo) ?? this.releasedNumber
    this.#log.followersOnRelease()
  }

  close(): void {
    this.#followers.remove(this)
    this.#log.followersOnRelease()
  }
}
