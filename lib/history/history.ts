import { randomBytes } from 'node:crypto'
import { FST_ERR_EVENTSTREAM_HISTORY_CLOSED } from '../base/errors.ts'
import { ownText } from '../base/own-text.ts'
import { Budget, type ListedEntry } from './budget.ts'
import { Expiry } from './expiry.ts'
import { type Cursor, formatCursor, type Place, parseCursor, placeAfter } from './place.ts'
import { type Entry, type Limits, Window, type WindowHost } from './window.ts'

/** A message's bytes without an `id` line, and what it is about. */
export interface Appendable {
  /** Well-formed text. */
  readonly text: string
  /** Bytes of `text` in UTF-8. */
  readonly byteLength: number
  /** A newer message with the same key may replace it for readers who are behind. */
  readonly key: string
}

export interface AppendOptions {
  /** What was appended to the same channels with the same one is not appended again, as long as it is kept. */
  readonly idempotencyKey: string | undefined
  /** Whether it is kept for those who come later. */
  readonly isKept: boolean
}

const EPOCH_BYTES = 5
/** How many channels without messages and subscriptions are remembered by what they dropped last. */
const MAX_FORGOTTEN = 10_000

/** One ordered, bounded log of everything that is published, over all channels. */
export class History implements WindowHost {
  readonly #epoch = randomBytes(EPOCH_BYTES).toString('hex')
  readonly #windows = new Map<string, Window>()
  readonly #budget: Budget
  readonly #expiry = new Expiry<Window>()
  /** What was given to messages that came with an idempotency key. */
  readonly #cursors = new Map<string, readonly Cursor[]>()
  /** Those that wait until more is offered. */
  readonly #overfull = new Set<Window>()
  /** What channels that have no window dropped last. */
  readonly #forgotten = new Map<string, Place>()
  /** At or after all of those that are no longer remembered. */
  #floor: Place = 0
  #head: Place = 0
  #offered: Place = 0
  readonly #closing = new AbortController()

  /** @param maxTotalBytes bytes of memory that the messages of all channels take, about. */
  constructor(maxTotalBytes: number) {
    this.#budget = new Budget(maxTotalBytes)
  }

  /** The newest place. */
  get head(): Place {
    return this.#head
  }

  get offered(): Place {
    return this.#offered
  }

  /** A place after all that is there, and before all that comes. */
  stamp(): Place {
    this.#head = placeAfter(this.#head)
    return this.#head
  }

  cursorAt(place: Place): Cursor {
    return formatCursor(place, this.#epoch)
  }

  /** @returns `undefined` if the history does not know the cursor. */
  placeOf(cursor: string): Place | undefined {
    const place = parseCursor(cursor, this.#epoch)
    return place === undefined || place > this.#head ? undefined : place
  }

  /**
   * Appends messages to all of these windows in one step. @returns their cursors.
   *
   * @throws FST_ERR_EVENTSTREAM_HISTORY_CLOSED
   */
  append(
    windows: readonly Window[],
    messages: readonly Appendable[],
    { idempotencyKey, isKept }: AppendOptions
  ): readonly Cursor[] {
    if (this.closing.aborted) throw new FST_ERR_EVENTSTREAM_HISTORY_CLOSED()
    const scoped = idempotencyKey === undefined ? undefined : scopedKey(windows, idempotencyKey)
    const known = scoped === undefined ? undefined : this.#cursors.get(scoped)
    if (known !== undefined) return known
    const last = messages.length - 1
    const cursors = messages.map((message, i) =>
      this.#append(windows, message, i === last ? scoped : undefined, isKept)
    )
    if (scoped !== undefined && this.#cursors.has(scoped)) this.#cursors.set(scoped, cursors)
    this.#budget.trim()
    return cursors
  }

  /** What is in memory of a channel. To be used at once, and as long as it has messages or a follower. */
  window(channel: string, limits: Limits): Window {
    const known = this.#windows.get(channel)
    if (known === undefined) {
      return new Window(this, ownText(channel), limits, this.#forgotten.get(channel) ?? this.#floor)
    }
    known.limits = limits
    return known
  }

  /** How many messages of a channel are in memory. */
  lengthOf(channel: string): number {
    return this.#windows.get(channel)?.length ?? 0
  }

  /** All who keep up have been offered what is at or before this place. */
  release(offered: Place): void {
    this.#offered = offered
    for (const window of this.#overfull) {
      window.release()
      if (!window.isOverfull) this.#overfull.delete(window)
    }
  }

  /** Aborts when nothing more comes. */
  get closing(): AbortSignal {
    return this.#closing.signal
  }

  /** Drops what is kept, and takes no more. */
  close(): void {
    this.#closing.abort()
    this.#expiry.clear()
    for (const window of this.#windows.values()) window.clear()
  }

  windowOnDrop(window: Window, entry: Entry): void {
    const listed = entry as ListedEntry
    if (!this.#budget.remove(listed, window) || listed.idempotencyKey === undefined) return
    this.#cursors.delete(listed.idempotencyKey)
  }

  windowOnUse(window: Window): void {
    this.#forgotten.delete(window.channel)
    this.#windows.set(window.channel, window)
  }

  windowOnIdle(window: Window): void {
    const { channel, dropped } = window
    this.#windows.delete(channel)
    this.#expiry.remove(window)
    this.#overfull.delete(window)
    if (dropped > this.#floor) this.#forgotten.set(channel, dropped)
    for (const [oldest, place] of this.#forgotten) {
      if (this.#forgotten.size <= MAX_FORGOTTEN) break
      this.#forgotten.delete(oldest)
      this.#floor = Math.max(this.#floor, place)
    }
  }

  windowOnAge(window: Window): void {
    this.#expiry.add(window)
  }

  #append(
    windows: readonly Window[],
    { text, byteLength, key }: Appendable,
    idempotencyKey: string | undefined,
    isKept: boolean
  ): Cursor {
    const place = this.stamp()
    const entry: ListedEntry = {
      place,
      cursor: this.cursorAt(place),
      text,
      byteLength,
      key: ownText(key),
      isKept,
      time: performance.now(),
      windows: isKept ? windows : windows.filter(({ isFollowed }) => isFollowed),
      idempotencyKey,
      keepers: 0,
      older: undefined,
      newer: undefined
    }
    entry.keepers = entry.windows.length
    if (entry.keepers === 0) return entry.cursor
    if (entry.idempotencyKey !== undefined) this.#cursors.set(entry.idempotencyKey, [])
    this.#budget.add(entry)
    for (const window of entry.windows) {
      window.append(entry)
      if (window.isOverfull) this.#overfull.add(window)
    }
    return entry.cursor
  }
}

function scopedKey(windows: readonly Window[], idempotencyKey: string): string {
  const names = windows.map(({ channel }) => channel).sort()
  return JSON.stringify([...names, idempotencyKey])
}
