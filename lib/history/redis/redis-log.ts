import { arrive } from '../arrivals.ts'
import { type FollowedLog, Followers } from '../followers.ts'
import type { FrameBudget, FrameOwner } from '../frame-budget.ts'
import { Frames } from '../frames.ts'
import type { Cursor, GapReason, Log, LogListener, Page, ReadLimits } from '../history.ts'
import type { RedisKeys } from './redis-keys.ts'
import { type PageCache, type RedisEntry, RedisPages } from './redis-pages.ts'
import { FIND, OPEN, READ, type RedisScript } from './redis-scripts.ts'
import { comparePlaces, entryAt, isBefore, isForeign, isPlace, placeBefore, randomPart } from './stream-id.ts'

/** What a log needs of its history. */
export interface RedisLogHost {
  readonly options: { readonly maxBytes: number; readonly ttlMs: number }
  readonly budget: FrameBudget
  /** Counts how often was seen to quiet logs. */
  readonly tick: number
  readonly pages: PageCache
  /** @throws when Redis refuses, or cannot be reached. */
  run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown>
  /** Nobody follows it any more. */
  logOnIdle(log: RedisLog): void
}

/** What a publisher of this node has appended. */
export interface OwnMessage {
  readonly id: string
  /** The id of the entry before it. */
  readonly previous: string
  /** The place before the oldest entry, if that has moved. */
  readonly oldest: Cursor
  readonly key: string
  readonly text: string
  readonly byteLength: number
}

/** What is read at a time. */
const READ_BYTES = 65_536
/** How many of the latest ids are looked for at a time, when the newest of them is not there any more. */
const FIND_IDS = 256
/** How long a publisher waits for what was published before his message to come by itself. */
const NOTICE_MS = 50
const MAX_REFUSED = 256
const SPACE = 0x20
const SHARED_LENGTH = 2_048

/**
 * One channel's stream as this node knows it: the newest frames, in memory and without a hole, from which all who follow
 * are served, and pages of older ones that were asked for.
 *
 * What is told is a hint. A message is taken only if the entry before it is the head; otherwise what comes after the
 * head is read, if the head is still there. If it is not, entries were lost that this node has: it goes back to the
 * newest one that is left.
 */
export class RedisLog implements FrameOwner, FollowedLog {
  readonly channel: string
  readonly keys: RedisKeys
  readonly #host: RedisLogHost
  readonly #frames: Frames
  readonly #followers = new Followers()
  readonly #pages: RedisPages
  #head: Cursor = ''
  #headArrival = 0
  /** The place before the first of `#frames`, and the arrival of what came right before it. */
  #base: Cursor = ''
  #baseArrival = 0
  /** What the stream had when the following began has no arrival. */
  #start: Cursor = ''
  #oldest: Cursor = ''
  /** What was here or before, and is not any more, has been lost. */
  #lost: Cursor = ''
  /** Frames up to this number are no longer in Redis. */
  #oldestNumber = 0
  /** Places that were asked for and are not there. */
  readonly #wanted = new Set<Cursor>()
  /** Places that there are not. */
  readonly #refused = new Set<Cursor>()
  /** Where the last page ended. */
  #readTo: Cursor = ''
  #isFetching = false
  #opening: Promise<void> | undefined
  #proof: Promise<void> | undefined
  #nextProof: Promise<void> | undefined
  /** Publishers of messages that come after what is not here yet. */
  #waiting: { readonly id: string; resolve(): void }[] = []
  #heardAt = 0
  /** Whether something that was asked for could not be fetched. */
  #hasFailed = false
  /** Whether something was told before the head was known. */
  #isHinted = false
  #isClosed = false

  constructor(host: RedisLogHost, channel: string, keys: RedisKeys) {
    this.channel = channel
    this.keys = keys
    this.#host = host
    this.#frames = new Frames(host.budget, this, 0)
    this.#pages = new RedisPages(host.pages, this.#frames)
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
    return comparePlaces(this.#base, this.#oldest) < 0 ? this.#base : this.#oldest
  }

  get isHeld(): boolean {
    return this.#frames.baseNumber >= this.#followers.releasedNumber
  }

  get isOpen(): boolean {
    return this.#head !== ''
  }

  /** At which tick the head was last heard of. */
  get heardAt(): number {
    return this.#heardAt
  }

  /** The head was found to be right. */
  hear(): void {
    this.#heardAt = this.#host.tick
  }

  /** Drops what is not needed any more, and tries again what has failed. To be called now and then. */
  sweep(): void {
    this.#pages.sweep()
    if (this.#hasFailed) this.retry()
  }

  follow(listener: LogListener): Log {
    return this.#followers.add(this, listener)
  }

  dropOldest(): void {
    const dropped = this.#frames.dropOldest()
    if (dropped === undefined) return
    this.#base = dropped.cursor
    this.#baseArrival = dropped.arrival
  }

  followersOnRelease(): void {
    this.#trim()
    if (this.#followers.size > 0) return
    this.#isClosed = true
    this.#restart('')
    for (const { resolve } of this.#waiting) resolve()
    this.#host.logOnIdle(this)
  }

  arrivalAfter(after: Cursor): number | undefined {
    const number = this.numberAt(after)
    return number === undefined ? undefined : this.#frames.after(number)?.arrival
  }

  read(after: Cursor, limits: ReadLimits): Page | undefined {
    if (!this.isOpen) return undefined
    const number = this.numberAt(after)
    if (number !== undefined) return this.#pageOf(after, number, limits)
    const reason = this.#refusalOf(after)
    if (reason !== undefined) return { complete: false, frames: [], reason }
    const page = this.#pages.read(after, limits)
    if (page === undefined) this.#want(after)
    return page
  }

  numberAt(cursor: Cursor): number | undefined {
    if (cursor === this.#head) return this.headNumber
    if (cursor === this.#base) return this.#frames.baseNumber
    const near = this.#frames.nearNumber(cursor)
    if (near !== undefined) return near
    if (!isPlace(cursor)) return undefined
    let low = this.#frames.baseNumber
    let high = this.headNumber
    const id = entryAt(cursor)
    while (low < high) {
      const middle = Math.floor((low + high) / 2)
      const order = comparePlaces(this.#idOf(middle + 1), id)
      if (order === 0) return isBefore(cursor) ? middle : middle + 1
      if (order < 0) low = middle + 1
      else high = middle
    }
    return undefined
  }

  /** Asks for the head. Everything that is appended after this call was made will come. */
  open(): Promise<void> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #open(): Promise<void> {
    const { log, tag } = this.keys
    const args = [String(this.#host.options.ttlMs), String(tag), randomPart()]
    const [head, oldest] = (await this.#run(OPEN, [log], args)) as [string, string]
    const wasOpen = this.isOpen
    this.#restart(head)
    this.#start = head
    this.#oldest = oldest
    if (wasOpen) this.#followers.tellAppend()
    else this.#followers.tellOpen()
    if (!this.#isHinted) return
    this.#isHinted = false
    await this.prove()
  }

  /** What was asked for and could not be fetched may be asked for again. */
  retry(): void {
    this.#hasFailed = false
    this.#followers.tellLoad()
  }

  /** Makes sure that the head is the stream's, also if something was appended right before this call. */
  prove(): Promise<void> {
    if (this.#proof === undefined) {
      this.#proof = this.#prove().finally(() => {
        this.#proof = undefined
      })
      return this.#proof
    }
    this.#nextProof ??= this.#proof
      .catch(() => {})
      .then(() => {
        this.#nextProof = undefined
        return this.prove()
      })
    return this.#nextProof
  }

  /**
   * @param told `previous oldest `, and `id length keyLength textLength key+text` of each message, as PUBLISH tells it: the
   * length of the text in bytes, the others in UTF-16.
   * @returns whether it is clear what it says. If not, the head must be proved.
   */
  takeNotice(told: string): boolean {
    if (!this.isOpen) return this.#hint()
    const head = this.#head
    const isNext = told.startsWith(head) && told.charCodeAt(head.length) === SPACE
    const oldestStart = (isNext ? head.length : told.indexOf(' ')) + 1
    const oldestEnd = told.indexOf(' ', oldestStart)
    let id = ''
    for (let start = oldestEnd + 1; start < told.length; ) {
      const idEnd = told.indexOf(' ', start)
      const lengthEnd = told.indexOf(' ', idEnd + 1)
      const keyLengthEnd = told.indexOf(' ', lengthEnd + 1)
      const keyStart = told.indexOf(' ', keyLengthEnd + 1) + 1
      const textStart = keyStart + Number(told.slice(lengthEnd + 1, keyLengthEnd))
      const textEnd = textStart + Number(told.slice(keyLengthEnd + 1, keyStart - 1))
      const isClear =
        keyStart > start && textStart >= keyStart && textEnd >= textStart && textEnd <= told.length
      if (!isClear) return false
      id = part(told, start, idEnd)
      if (isNext) {
        const byteLength = Number(told.slice(idEnd + 1, lengthEnd))
        this.#append(id, part(told, keyStart, textStart), part(told, textStart, textEnd), byteLength)
      }
      start = textEnd
    }
    this.#hearOldest(told.slice(oldestStart, oldestEnd))
    if (!isNext) return this.#isKnown(id)
    this.#followers.tellAppend()
    return true
  }

  /** Resolves when all who follow were told of a message of this node, or after a time. */
  async takeOwn(message: OwnMessage, timeoutMs: number): Promise<void> {
    const isClear = this.#takeOwn(message)
    if (isClear || (await this.#isReached(message.id, Math.min(NOTICE_MS, timeoutMs)))) return
    this.prove().catch(() => {})
    await this.#isReached(message.id, timeoutMs - NOTICE_MS)
  }

  #takeOwn({ id, previous, oldest, key, text, byteLength }: OwnMessage): boolean {
    if (!this.isOpen) return this.#hint()
    const isNext = previous === this.#head
    if (isNext) this.#append(id, key, text, byteLength)
    this.#hearOldest(oldest)
    if (!isNext) return this.#isKnown(id)
    this.#followers.tellAppend()
    return true
  }

  #hint(): true {
    this.#isHinted = true
    return true
  }

  /** What is beyond the head may be another log's than the one that this node has, until the head is proved. */
  #hearOldest(oldest: Cursor): void {
    const isNew = oldest !== '' && comparePlaces(oldest, this.#oldest) > 0
    if (isNew && comparePlaces(oldest, this.#head) <= 0) this.#setOldest(oldest)
  }

  #isKnown(id: string): boolean {
    return this.numberAt(id) !== undefined || comparePlaces(id, this.#base) < 0
  }

  #isReached(id: string, timeoutMs: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting)
        resolve(false)
      }, timeoutMs)
      const waiting = {
        id,
        resolve: () => {
          clearTimeout(timer)
          resolve(true)
        }
      }
      this.#waiting.push(waiting)
    })
  }

  async #prove(): Promise<void> {
    if (!this.isOpen) return
    const head = this.#head
    const { oldest, newest, entries } = await this.#read(head)
    if (entries[0]?.id !== head) {
      await this.#goBack()
      return
    }
    this.#setOldest(oldest)
    this.hear()
    const before = this.#head
    if (entries.at(-1)?.id === newest) this.#extend(entries)
    else this.#jump(head, entries, newest)
    if (this.#head !== before) this.#followers.tellAppend()
  }

  async #read(from: Cursor): Promise<{ oldest: Cursor; newest: string; entries: RedisEntry[] }> {
    const reply = await this.#run(READ, [this.keys.log], [entryAt(from), String(READ_BYTES)])
    const [oldest, newest, flat] = reply as [string, string, (string | null)[]]
    return { oldest, newest, entries: entriesOf(flat) }
  }

  /** Takes what is new of entries that follow the head, or one before it. */
  #extend(entries: readonly RedisEntry[]): void {
    for (const { id, key, text } of entries) {
      if (comparePlaces(id, this.#head) <= 0) continue
      if (text === null) this.#head = id
      else this.#append(id, key, text, Buffer.byteLength(text))
    }
  }

  /** There is more than fits into one page: those who follow take it page by page, like all who come back. */
  #jump(from: Cursor, entries: readonly RedisEntry[], newest: string): void {
    if (comparePlaces(newest, this.#head) <= 0) return
    this.#restart(newest)
    this.#baseArrival = arrive()
    this.#headArrival = this.#baseArrival
    this.#addPage(from, entries)
    this.#tellWaiting()
  }

  /** The head is gone: entries were lost, in a failover or because somebody deleted them. */
  async #goBack(): Promise<void> {
    const number = await this.#findLast()
    if (number === undefined) {
      this.#lost = this.#head
      await this.#open()
      return
    }
    this.#frames.cut(number)
    this.#followers.cut(number)
    this.#oldestNumber = Math.min(this.#oldestNumber, number)
    this.#head = this.#idOf(number)
    this.#refused.clear()
    this.#pages.clear()
    this.#followers.tellAppend()
    await this.#prove()
  }

  /** How many of the frames are left in Redis; `undefined` if there is nothing. */
  async #findLast(): Promise<number | undefined> {
    const base = this.#frames.baseNumber
    for (let number = this.headNumber; number >= base; number -= FIND_IDS) {
      const ids: string[] = []
      for (let i = number; i > number - FIND_IDS && i >= base; i--) ids.push(this.#idOf(i))
      const index = Number(await this.#run(FIND, [this.keys.log], ids))
      if (index >= 0) return number - index
    }
    return undefined
  }

  /** @throws also when nobody follows any more. */
  async #run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    const reply = await this.#host.run(script, keys, args)
    if (this.#isClosed) throw new Error('nobody follows any more')
    return reply
  }

  #restart(head: Cursor): void {
    this.#oldestNumber = 0
    this.#frames.cut(this.#frames.baseNumber)
    this.#followers.cut(this.#frames.headNumber)
    this.#pages.clear()
    this.#refused.clear()
    this.#head = head
    this.#base = head
    this.#readTo = ''
    this.hear()
  }

  #append(id: string, key: string, text: string, byteLength: number): void {
    this.#head = id
    this.#headArrival = arrive()
    this.hear()
    this.#frames.append(id, text, byteLength, key, this.#headArrival, 0)
    this.#trim()
    this.#host.budget.trim()
    this.#tellWaiting()
  }

  #setOldest(oldest: Cursor): void {
    if (oldest === this.#oldest) return
    this.#oldest = oldest
    this.#oldestNumber = this.numberAt(oldest) ?? 0
    this.#trim()
  }

  /** Drops what is over the limits or no longer in Redis, and not held. */
  #trim(): void {
    while (this.#isTooMuch && !this.isHeld) this.dropOldest()
  }

  get #isTooMuch(): boolean {
    if (this.#frames.bytes > this.#host.options.maxBytes) return this.length > 1
    return this.#frames.baseNumber < this.#oldestNumber
  }

  #tellWaiting(): void {
    if (this.#waiting.length === 0) return
    const waiting = this.#waiting
    this.#waiting = waiting.filter(({ id }) => comparePlaces(id, this.#head) > 0)
    for (const other of waiting) if (comparePlaces(other.id, this.#head) <= 0) other.resolve()
  }

  #pageOf(after: Cursor, start: number, limits: ReadLimits): Page {
    const { frames, number } = this.#frames.read(start, limits)
    return { complete: true, frames, cursor: this.#placeAt(number, start, after) }
  }

  #placeAt(number: number, start: number, after: Cursor): Cursor {
    if (number === this.headNumber) return this.#head
    return number === start ? after : this.#idOf(number)
  }

  /** The id of a frame, or of what is before the first. */
  #idOf(number: number): Cursor {
    return this.#frames.after(number - 1)?.cursor ?? this.#base
  }

  /** Why there is nothing at a place, if that is known. */
  #refusalOf(place: Cursor): Exclude<GapReason, 'slow'> | undefined {
    if (!isPlace(place)) return 'unknown'
    if (isForeign(place, this.keys.tag)) return 'foreign'
    if (comparePlaces(place, this.#oldest) < 0) return this.#isTrimmed(place) ? 'expired' : 'foreign'
    if (!this.#refused.has(place)) return undefined
    return comparePlaces(place, this.#head) > 0 ? 'future' : 'unknown'
  }

  #isTrimmed(place: Cursor): boolean {
    return isBefore(this.#oldest) && comparePlaces(place, this.#lost) > 0
  }

  #want(place: Cursor): void {
    this.#wanted.add(place)
    if (this.#isFetching) return
    this.#isFetching = true
    queueMicrotask(() => void this.#fetch())
  }

  /** Fetches one page. Those who wait for another ask again then. */
  async #fetch(): Promise<void> {
    const place = this.#nextWanted()
    this.#wanted.clear()
    try {
      if (comparePlaces(place, this.#head) > 0) await this.#catchUpWith(place)
      else await this.#fetchPage(place)
      this.#isFetching = false
      this.#followers.tellLoad()
    } catch {
      this.#isFetching = false
      this.#hasFailed = true
    }
  }

  /** The next one in the order of the stream, and then the first again, so that one read serves many and nobody waits for ever. */
  #nextWanted(): Cursor {
    const places = [...this.#wanted].sort(comparePlaces)
    return (places.find((place) => comparePlaces(place, this.#readTo) >= 0) ?? places[0]) as Cursor
  }

  async #catchUpWith(place: Cursor): Promise<void> {
    await this.prove()
    if (comparePlaces(place, this.#head) > 0) this.#refuse(place)
  }

  /**
   * What is beyond the head is not proved, and may be lost before it is. What is said of a stream that has lost the head is
   * not about the log that this node has: it must go back first.
   */
  async #fetchPage(place: Cursor): Promise<void> {
    const { oldest, newest, entries } = await this.#read(place)
    const proved = entries.filter(({ id }) => comparePlaces(id, this.#head) <= 0)
    const last = proved.at(-1)?.id ?? ''
    const isThere = entries[0]?.id === entryAt(place)
    this.#readTo = last
    if (isThere && comparePlaces(last, place) > 0 && comparePlaces(newest, this.#head) >= 0) {
      this.#setOldest(oldest)
      this.#addPage(place, proved)
      return
    }
    await this.prove()
    if (!isThere) this.#refuse(place)
  }

  #addPage(from: Cursor, entries: readonly RedisEntry[]): void {
    this.#pages.add(from, entries, (id) => this.#arrivalOf(id))
  }

  /** Of what is not in memory any more it is not known exactly. */
  #arrivalOf(id: string): number {
    if (comparePlaces(id, this.#start) <= 0) return 0
    return this.arrivalAfter(placeBefore(id)) ?? this.#baseArrival
  }

  #refuse(place: Cursor): void {
    if (this.#refused.size >= MAX_REFUSED) this.#refused.clear()
    this.#refused.add(place)
  }
}

/** A part of a text. Those of a long one are copies, for a slice keeps all of it in memory. */
function part(text: string, start: number, end: number): string {
  const slice = text.slice(start, end)
  return text.length > SHARED_LENGTH && slice.length < text.length / 2 ? Buffer.from(slice).toString() : slice
}

function entriesOf(flat: readonly (string | null)[]): RedisEntry[] {
  const entries: RedisEntry[] = []
  for (let i = 0; i < flat.length; i += 3) {
    entries.push({ id: String(flat[i]), key: String(flat[i + 1]), text: flat[i + 2] as string | null })
  }
  return entries
}
