import { randomBytes } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { FST_ERR_EVENTSTREAM_HISTORY_CLOSED } from '../base/errors.ts'
import { ownText } from '../base/own-text.ts'
import { Budget, type CountedEntry } from './budget.ts'
import type { Appendable, Appended, AppendOptions, Entry } from './entry.ts'
import { Expiry } from './expiry.ts'
import { Forgotten } from './forgotten.ts'
import { type Cursor, formatCursor, type Place, parseCursor, placeAfter, timeOfPlace } from './place.ts'
import type { Limits, Store, StoredMessage, StoreLeases, StoreListener, StorePast } from './store.ts'
import { StoreLink } from './store-link.ts'
import { Window, type WindowHost } from './window.ts'

const EPOCH_BYTES = 5
/** In microseconds. Stores know a place for at least ten minutes; who comes back may have been away for five. */
const STALE_AFTER = 240_000_000
const ENDED: Appended = Object.freeze({ cursors: Object.freeze([]), isNew: false, isEnded: true })

/** One ordered, bounded log of everything that is published, over all channels. */
export class History implements WindowHost, StoreListener {
  readonly #epoch = randomBytes(EPOCH_BYTES).toString('hex')
  readonly #link: StoreLink | undefined
  readonly #windows = new Map<string, Window>()
  readonly #budget: Budget
  readonly #expiry = new Expiry<Window>()
  /** What was given to messages that came with an idempotency key. */
  readonly #cursors = new Map<string, readonly Cursor[]>()
  /** Those that wait until more is offered. */
  readonly #overfull = new Set<Window>()
  /** What channels that have no window dropped last. */
  readonly #forgotten = new Forgotten()
  #head: Place = 0
  #offered: Place = 0
  #lostAt: Place = 0
  readonly #closing = new AbortController()

  /**
   * @param maxTotalBytes bytes of memory that the messages of all channels take, about.
   * @param store where they are kept; none: in memory.
   */
  constructor(maxTotalBytes: number, store?: Store, log?: FastifyBaseLogger) {
    this.#budget = new Budget(maxTotalBytes, this.#windows)
    this.#link = store && new StoreLink(store, this, log)
  }

  /** Resolves when messages may come. @throws what the store throws. */
  async open(): Promise<void> {
    const place = await this.#link?.open()
    if (place !== undefined) this.#moveTo(place)
  }

  /** The newest place: all that is there of channels that are followed, and is at or before it, has come. */
  get head(): Place {
    return this.#head
  }

  get offered(): Place {
    return this.#offered
  }

  /** What was given before this place may not be known any more. */
  get lostAt(): Place {
    return this.#lostAt
  }

  /** Whether cursors can be told. */
  get isOpen(): boolean {
    return this.#link?.epoch !== ''
  }

  /** A place at or after all that has come, and before all that comes. */
  stamp(): Place {
    if (this.#link === undefined) this.#head = placeAfter(this.#head)
    return this.#head
  }

  /** The same for a channel: also after what was published here before anybody followed it, whether that has come or not. */
  stampFor(channel: string): Place {
    return Math.max(this.stamp(), this.#link?.unheardOf(channel) ?? 0)
  }

  /** A place after all that was appended, by whomever. */
  async now(): Promise<Cursor> {
    return this.cursorAt(this.#link === undefined ? this.stamp() : await this.#link.now())
  }

  cursorAt(place: Place): Cursor {
    return formatCursor(place, this.#link?.epoch ?? this.#epoch)
  }

  /** @returns `undefined` if the history does not know the cursor, or not yet. */
  placeOf(cursor: string): Place | undefined {
    const place = parseCursor(cursor, this.#link?.epoch ?? this.#epoch)
    if (place === undefined) return undefined
    const isKnown = this.#link === undefined ? place <= this.#head : this.#link.proofOf(place)
    return isKnown ? place : undefined
  }

  /** Whether somebody who stands there should be told a newer place, before nobody knows that one any more. */
  isStale(place: Place): boolean {
    return this.#link !== undefined && (place < this.#lostAt || this.#head - place > STALE_AFTER)
  }

  /** Finds out whether the history knows a cursor, which may take a moment. @returns `undefined` for what needs no store. */
  prove(cursor: string): Promise<void> | undefined {
    const place = this.#link && parseCursor(cursor, this.#link.epoch)
    return place === undefined ? undefined : this.#link?.prove(place)
  }

  /**
   * Appends messages to channels in one step.
   *
   * Rejects with FST_ERR_EVENTSTREAM_HISTORY_CLOSED or, with a store, FST_ERR_EVENTSTREAM_PUBLISH_FAILED.
   */
  append(
    windows: readonly Window[],
    messages: readonly Appendable[],
    options: AppendOptions
  ): Appended | Promise<Appended> {
    if (this.closing.aborted) return Promise.reject(new FST_ERR_EVENTSTREAM_HISTORY_CLOSED())
    if (this.#link !== undefined) return this.#link.append(windows, messages, options)
    const { idempotencyKey, isKept, isEnd } = options
    const scoped = idempotencyKey === undefined ? undefined : scopedKey(windows, idempotencyKey)
    const known = scoped === undefined ? undefined : this.#cursors.get(scoped)
    if (known !== undefined) return { cursors: known, isNew: false, isEnded: false }
    if (windows.some(({ isEnded }) => isEnded)) return ENDED
    const channels = windows.map(({ channel }) => channel)
    const last = messages.length - 1
    const cursors = messages.map(({ text, byteLength, key }, i) => {
      const place = this.stamp()
      const entry = this.#entryOf(
        { text, byteLength, key, place, channels, isKept, isEnd: isEnd && i === last },
        windows,
        i === last && scoped !== undefined ? { scoped, count: messages.length } : undefined
      )
      return this.#append(entry)
    })
    if (scoped !== undefined && this.#cursors.has(scoped)) this.#cursors.set(scoped, cursors)
    this.#budget.trim()
    return { cursors, isNew: true, isEnded: false }
  }

  /** Resolves when what a channel got at or before a place has come, if somebody follows it. In bounded time. */
  async arrive(window: Window, place: Place): Promise<void> {
    await this.#link?.arrive([window], place)
  }

  /** Leases on channels, if there is somebody who gives them. */
  get leases(): StoreLeases | undefined {
    return this.#link?.leases
  }

  /** Forgets all that is kept of a channel. @throws FST_ERR_EVENTSTREAM_NOT_SUPPORTED or FST_ERR_EVENTSTREAM_HISTORY_AWAY */
  async clear(window: Window): Promise<void> {
    if (this.#link !== undefined) await this.#link.clear(window.channel)
    else window.forget(window.newest?.place ?? 0)
  }

  /**
   * A channel that only this process has begins anew: who comes back with a place in what it had lacks all of it.
   *
   * @returns the place after which it begins.
   */
  async begin(window: Window): Promise<Place> {
    if (this.#link !== undefined) {
      const { messages } = await this.#link.read(window.channel)
      if (messages.length > 0) await this.#link.clear(window.channel)
      return await this.#link.now()
    }
    const place = this.stamp()
    if (window.length > 0 || window.isFollowed) {
      window.lose(place)
      this.#forgotten.set(window.channel, place)
    }
    return place
  }

  /** What is in memory of a channel. To be used at once, and as long as it has messages or a follower. */
  window(channel: string, limits: Limits): Window {
    const known = this.#windows.get(channel)
    if (known === undefined) {
      const dropped = this.#forgotten.get(channel)
      return new Window(this, ownText(channel), limits, dropped, this.#link === undefined ? 0 : Infinity)
    }
    known.limits = limits
    return known
  }

  isFollowed(channel: string): boolean {
    return this.#windows.get(channel)?.isFollowed === true
  }

  /** How many messages of a channel are in memory. */
  lengthOf(channel: string): number {
    return this.#windows.get(channel)?.length ?? 0
  }

  /** All that is kept of a channel, for who does not follow it; `undefined`: what its window has is all. */
  read(channel: string): Promise<StorePast> | undefined {
    return this.#link?.read(channel)
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

  /** Drops what is in memory, tells so those who follow, and takes no more. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#expiry.clear()
    for (const window of this.#windows.values()) window.lose(0)
    await this.#link?.close()
  }

  storeOnMessages(messages: readonly StoredMessage[], upTo: Place): void {
    if (this.closing.aborted) return
    for (const message of messages) if (message.place > this.#head) this.#receive(message)
    this.#budget.trim()
    this.#moveTo(upTo)
  }

  storeOnLoss(channels: readonly string[], place: Place): void {
    this.#link?.forgetProofs()
    this.#lostAt = place
    this.#moveTo(place)
    for (const channel of channels) this.#windows.get(channel)?.lose(place)
  }

  storeOnFork(place: Place): void {
    for (const window of this.#windows.values()) window.fork(place)
  }

  /** What is kept of a channel after a place has been found. @param followedAt the head when the store began to tell. */
  load(window: Window, past: StorePast, since: Place, followedAt: Place): void {
    const lacking = past.messages.filter(({ place }) => window.lacks(place))
    const entries = lacking.map((message) => this.#entryOf(message, [window], undefined))
    for (const [i, entry] of entries.entries()) this.#budget.add(entry, i === 0 ? [window] : [])
    window.load(entries, past, since, followedAt)
    if (window.isOverfull) this.#overfull.add(window)
    this.#budget.trim()
  }

  windowOnDrop(window: Window, entry: Entry): void {
    const counted = entry as CountedEntry
    if (!this.#budget.remove(counted, window) || counted.once === undefined) return
    this.#cursors.delete(counted.once.scoped)
  }

  windowOnUse(window: Window): void {
    this.#forgotten.delete(window.channel)
    this.#windows.set(window.channel, window)
    this.#link?.follow(window)
  }

  windowOnIdle(window: Window): void {
    const { channel, dropped } = window
    if (this.#windows.get(channel) !== window) return
    this.#windows.delete(channel)
    this.#expiry.remove(window)
    this.#overfull.delete(window)
    if (this.#link !== undefined) this.#link.unfollow(window)
    else if (dropped > 0) this.#forgotten.set(channel, dropped)
  }

  windowOnLack(window: Window): void {
    void this.#link?.load(window)
  }

  windowOnAge(window: Window): void {
    this.#expiry.add(window)
  }

  #entryOf(
    {
      place,
      channels,
      text,
      key,
      isKept,
      isEnd,
      byteLength = Buffer.byteLength(text)
    }: StoredMessage & Partial<Appendable>,
    windows: readonly Window[],
    once: CountedEntry['once']
  ): CountedEntry {
    const keepers = isKept ? windows : windows.filter(({ isFollowed }) => isFollowed)
    const ageMs = this.#link === undefined ? 0 : Math.max(0, Date.now() - timeOfPlace(place))
    return {
      place,
      cursor: this.cursorAt(place),
      text,
      byteLength,
      key: ownText(key),
      isKept,
      isEnd,
      time: performance.now() - ageMs,
      windows: keepers,
      channels,
      once,
      keepers: keepers.length
    }
  }

  #append(entry: CountedEntry): Cursor {
    if (entry.keepers === 0) return entry.cursor
    if (entry.once !== undefined) this.#cursors.set(entry.once.scoped, [])
    this.#budget.add(entry)
    for (const window of entry.windows) {
      window.append(entry)
      if (window.isOverfull) this.#overfull.add(window)
    }
    return entry.cursor
  }

  #receive(message: StoredMessage): void {
    const windows = message.channels.map((channel) => this.#windows.get(channel))
    const followed = windows.filter((window) => window?.isFollowed) as Window[]
    if (message.clears === undefined) this.#append(this.#entryOf(message, followed, undefined))
    else for (const window of followed) window.forget(message.clears)
    this.#moveTo(message.place)
  }

  #moveTo(place: Place): void {
    if (place <= this.#head) return
    this.#head = place
    this.#link?.historyOnHead(place)
  }
}

function scopedKey(windows: readonly Window[], idempotencyKey: string): string {
  const names = windows.map(({ channel }) => channel).sort()
  return JSON.stringify([...names, idempotencyKey])
}
