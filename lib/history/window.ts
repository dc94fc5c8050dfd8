import { Entries } from './entries.ts'
import { END_TEXT, type Entry } from './entry.ts'
import type { Expiring } from './expiry.ts'
import type { Place } from './place.ts'
import type { Limits, StorePast } from './store.ts'

/** What a window needs of its history. */
export interface WindowHost {
  /** All who keep up have been offered what is at or before this place. */
  readonly offered: Place
  windowOnDrop(window: Window, entry: Entry): void
  /** It gets its first entry or a follower, and lasts until it has neither. */
  windowOnUse(window: Window): void
  /** It has neither entries nor a follower. */
  windowOnIdle(window: Window): void
  /** It wants to be told when its oldest entry is too old. */
  windowOnAge(window: Window): void
  /** It is asked for what it does not have yet. */
  windowOnLack(window: Window): void
}

/** Who is told that a window has got something. */
export interface Follower {
  windowOnAppend(): void
  /** It has got what is kept from before. */
  windowOnLoad(): void
  /** Places after this one are not known any more. */
  windowOnFork(place: Place): void
}

/** The messages of one channel that are in memory, in order. */
export class Window implements Expiring {
  readonly channel: string
  readonly #host: WindowHost
  limits: Limits
  readonly #entries = new Entries()
  #bytes = 0
  #dropped: Place
  /** The place of an end that was dropped, and after which nothing came. */
  #endDropped: Place = 0
  /** Whether all of it is kept elsewhere. */
  readonly #isCopy: boolean
  /** It has all that is kept after this place, */
  #since: Place
  /** and is to have what is after that one. */
  #wanted: Place
  /** Whether the channel has ended, and its end is not here. */
  #hasEnded = false
  /** How many entries are there only for those who are here. They do not count for the limits. */
  #passing = 0
  bucket: number | undefined
  #changes = 0
  #erasures = 0
  #follower: Follower | undefined
  /** The newest entry of each key, once somebody has asked. */
  #latest: Map<string, Entry> | undefined

  /** @param since it has all that is kept after this place. */
  constructor(host: WindowHost, channel: string, limits: Limits, dropped: Place, since: Place) {
    this.#host = host
    this.channel = channel
    this.limits = limits
    this.#dropped = dropped
    this.#isCopy = since > 0
    this.#since = since
    this.#wanted = since
  }

  get length(): number {
    return this.#entries.length
  }

  /** Of those that are kept. */
  get bytes(): number {
    return this.#bytes
  }

  /** The place of the newest message that was dropped: who stands before it has lost something. */
  get dropped(): Place {
    return this.#dropped
  }

  /** Whether the channel has ended after a place, and nothing is kept of it. */
  hasDroppedEndAfter(place: Place): boolean {
    return this.newest === undefined && this.#endDropped > place
  }

  /** Whether nothing comes any more. */
  get isEnded(): boolean {
    return this.newest?.isEnd ?? this.#hasEnded
  }

  /** Another number whenever an entry came or went. */
  get changes(): number {
    return this.#changes
  }

  /** Another number whenever all that was there was said to be gone. */
  get erasures(): number {
    return this.#erasures
  }

  get oldest(): Entry | undefined {
    return this.#entries.oldest
  }

  get newest(): Entry | undefined {
    return this.#entries.newest
  }

  /** While somebody follows, what was not offered is kept beyond the limits. */
  follow(follower: Follower): void {
    this.#tellIfNew()
    this.#follower = follower
  }

  unfollow(): void {
    this.#follower = undefined
    // What is kept elsewhere is loaded again by who comes next.
    if (this.#isCopy) this.clear()
    this.trim()
    this.#dropPassing()
    this.#tellIfIdle()
  }

  /** Whether it has all that is kept after a place. */
  has(place: Place): boolean {
    return place >= this.#since
  }

  get wanted(): Place {
    return this.#wanted
  }

  /** Asks for what is kept after a place. */
  want(place: Place): void {
    if (place >= this.#wanted) return
    const isAsked = this.#wanted < this.#since
    this.#wanted = place
    if (!isAsked) this.#host.windowOnLack(this)
  }

  /** Whether what is kept elsewhere is to be loaded. */
  lacks(place: Place): boolean {
    return place > this.#dropped && this.entryUntil(place)?.place !== place
  }

  /**
   * It gets what is kept after a place.
   *
   * @param entries those that it lacks.
   * @param followedAt what came at or before this place may be here because it was published to other channels, too.
   */
  load(entries: readonly Entry[], past: StorePast, since: Place, followedAt: Place): void {
    this.#hasEnded = past.isEnded
    this.#changes++
    // What came since is here, and held for those who follow, be it kept elsewhere or not.
    const own = this.entryAfter(followedAt)?.place ?? Infinity
    const gone = Math.min(past.dropped, this.#since, past.toldAfter ?? own - 1)
    this.#entries.merge(entries)
    this.#bytes += entries.reduce((sum, { byteLength }) => sum + byteLength, 0)
    this.#latest = undefined
    // Not before, as it is not empty meanwhile.
    this.dropUntil(gone)
    this.#dropped = Math.max(this.#dropped, gone)
    this.#since = since
    this.#age()
    const last = entries.at(-1)?.place ?? 0
    while (this.#isOver && (this.oldest?.place ?? Infinity) <= last) this.dropOldest()
    if (this.#wanted < since) this.#host.windowOnLack(this)
    this.#follower?.windowOnLoad()
  }

  /** What came at or before a place is forgotten. Who has it is told nothing. */
  forget(place: Place): void {
    this.dropUntil(place)
    this.#erase(place)
  }

  /** Nothing that came at or before a place is there any more. */
  lose(place: Place): void {
    this.clear()
    this.#erase(place)
  }

  /** Places after this one are not known any more. */
  fork(place: Place): void {
    this.#follower?.windowOnFork(place)
  }

  /** The channel has ended, and its end is not kept any more. */
  conclude(): void {
    this.#hasEnded = true
    this.#follower?.windowOnAppend()
  }

  append(entry: Entry): void {
    this.#tellIfNew()
    this.#changes++
    this.#hasEnded = false
    this.#entries.push(entry)
    if (entry.isKept) this.#bytes += entry.byteLength
    else this.#passing++
    if (entry.isKept) this.#latest?.set(entry.key, entry)
    this.#age()
    this.trim()
    this.#follower?.windowOnAppend()
  }

  /** Whether it would have a reader for what is not kept. */
  get isFollowed(): boolean {
    return this.#follower !== undefined
  }

  /** What was offered need not be held any longer. */
  release(): void {
    this.trim()
    this.#dropPassing()
  }

  /** Whether something waits for `release()`. */
  get isOverfull(): boolean {
    return this.#passing > 0 || this.#isOver
  }

  dropOldest(): void {
    const entry = this.#entries.shift()
    if (entry === undefined) return
    if (entry.isKept) this.#dropped = entry.place
    if (entry.isEnd) this.#endDropped = entry.place
    this.#forget(entry)
    this.#tellIfIdle()
  }

  /** Drops what is at or before a place. */
  dropUntil(place: Place): void {
    while ((this.oldest?.place ?? Infinity) <= place) this.dropOldest()
  }

  get expiresAt(): number | undefined {
    const { oldest, newest } = this
    const { maxAgeMs, keepEndedMs } = this.limits
    if (newest?.isEnd) return newest.time + keepEndedMs
    return oldest === undefined || maxAgeMs === false ? undefined : oldest.time + maxAgeMs
  }

  /** Stops at an entry that is held: it is about to be released, and all that follow are newer. */
  expire(now: number): void {
    while ((this.expiresAt ?? Infinity) <= now && !this.#isHeld) this.dropOldest()
    this.#age()
  }

  clear(): void {
    while (this.length > 0) this.dropOldest()
  }

  /** Drops what is over the limits and not held. */
  trim(): void {
    while (this.#isOver && !this.#isHeld) this.dropOldest()
  }

  /** All that is kept. */
  all(): { readonly messages: readonly Entry[]; readonly isEnded: boolean } {
    return { messages: this.#entries.all().filter(({ isKept }) => isKept), isEnded: this.isEnded }
  }

  /** The index of the first entry after a place, good until the next change. */
  indexAfter(place: Place): number {
    return this.#entries.indexAfter(place)
  }

  at(index: number): Entry | undefined {
    return this.#entries.at(index)
  }

  /** The first entry after a place. */
  entryAfter(place: Place): Entry | undefined {
    return this.#entries.at(this.#entries.indexAfter(place))
  }

  /** The last entry at or before a place. */
  entryUntil(place: Place): Entry | undefined {
    return this.#entries.at(this.#entries.indexAfter(place) - 1)
  }

  /** The place before the newest `count` messages, or before all that are kept. */
  placeBefore(count: number): Place {
    const isMessage = ({ isKept, text }: Entry): boolean => isKept && text !== END_TEXT
    return this.#entries.at(this.#entries.indexBefore(count, isMessage))?.place ?? this.#dropped
  }

  /** The newest entry that is kept and has a key. */
  newestOf(key: string): Entry | undefined {
    this.#latest ??= new Map(this.all().messages.map((entry) => [entry.key, entry]))
    return this.#latest.get(key)
  }

  get #isOver(): boolean {
    const { maxMessages, maxBytes } = this.limits
    const count = this.length - this.#passing - (this.newest?.text === END_TEXT ? 1 : 0)
    return count > 1 && (count > maxMessages || this.#bytes > maxBytes)
  }

  get #isHeld(): boolean {
    return this.#follower !== undefined && (this.oldest?.place ?? 0) > this.#host.offered
  }

  #erase(place: Place): void {
    this.#erasures++
    this.#dropped = Math.max(this.#dropped, place)
    this.#hasEnded = false
    this.#endDropped = 0
    this.#follower?.windowOnAppend()
  }

  #age(): void {
    const isDue = this.bucket === undefined || this.newest?.isEnd
    if (isDue && this.expiresAt !== undefined) this.#host.windowOnAge(this)
  }

  #forget(entry: Entry): void {
    this.#changes++
    if (entry.isKept) this.#bytes -= entry.byteLength
    else this.#passing--
    if (this.#latest?.get(entry.key) === entry) this.#latest.delete(entry.key)
    this.#host.windowOnDrop(this, entry)
  }

  #dropPassing(): void {
    if (this.#passing === 0) return
    const { offered } = this.#host
    const isPassing = ({ isKept }: Entry): boolean => !isKept
    const isGone = (entry: Entry): boolean =>
      !entry.isKept && (this.#follower === undefined || entry.place <= offered)
    const first = this.#entries.indexBefore(this.#passing, isPassing) + 1
    for (const entry of this.#entries.takeOut(first, isGone)) this.#forget(entry)
  }

  #tellIfNew(): void {
    if (this.length === 0 && this.#follower === undefined) this.#host.windowOnUse(this)
  }

  #tellIfIdle(): void {
    if (this.length === 0 && this.#follower === undefined) this.#host.windowOnIdle(this)
  }
}
