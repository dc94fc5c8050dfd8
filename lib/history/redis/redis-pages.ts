import type { Frames } from '../frames.ts'
import type { Cursor, LoggedFrame, Page, ReadLimits } from '../history.ts'
import { comparePlaces, entryAt, isBefore } from './stream-id.ts'

/** An entry of a stream as it was read. `null`: it is no message. */
export interface RedisEntry {
  readonly id: string
  readonly key: string
  readonly text: string | null
}

/** What is kept of one log, at most, and of all. */
const MAX_PAGES = 4
const MAX_TOTAL_BYTES = 16_777_216
/** What an entry takes besides its text. About. */
const ENTRY_BYTES = 256

/** The pages that were read lately, of all logs. Those of logs that were not used for the longest time go first. */
export class PageCache {
  readonly #recent = new Set<RedisPages>()
  #bytes = 0

  keep(pages: RedisPages, bytes: number): void {
    this.#bytes += bytes
    this.#recent.delete(pages)
    this.#recent.add(pages)
    for (const oldest of this.#recent) {
      if (this.#bytes <= MAX_TOTAL_BYTES || oldest === pages) break
      oldest.clear()
    }
  }

  release(pages: RedisPages, bytes: number): void {
    this.#bytes -= bytes
    if (pages.isEmpty) this.#recent.delete(pages)
  }
}

/** What was read of one stream for those whose places are not in memory, shared by all of them. */
export class RedisPages {
  readonly #cache: PageCache
  readonly #frames: Frames
  #pages: Stretch[] = []
  #isUsed = false

  /** @param frames what is in memory, and may replace what was read. */
  constructor(cache: PageCache, frames: Frames) {
    this.#cache = cache
    this.#frames = frames
  }

  get isEmpty(): boolean {
    return this.#pages.length === 0
  }

  /** @param entries from the one that `from` is at. */
  add(from: Cursor, entries: readonly RedisEntry[], arrivalOf: (id: string) => number): void {
    const page = new Stretch(from, entries, arrivalOf)
    this.#pages.push(page)
    this.#isUsed = true
    this.#cache.keep(this, page.bytes)
    if (this.#pages.length > MAX_PAGES) this.#drop(this.#pages.splice(0, 1))
  }

  /** @returns what follows a place; `undefined` if it was not read. */
  read(after: Cursor, limits: ReadLimits): Page | undefined {
    const page = this.#pages.find((candidate) => candidate.spans(after))
    if (page === undefined) return undefined
    this.#isUsed = true
    return page.read(after, limits, this.#frames)
  }

  /** Drops what nobody has used since this was called last. */
  sweep(): void {
    if (!this.#isUsed) this.clear()
    this.#isUsed = false
  }

  clear(): void {
    const pages = this.#pages
    this.#pages = []
    this.#drop(pages)
  }

  #drop(pages: readonly Stretch[]): void {
    for (const { bytes } of pages) this.#cache.release(this, bytes)
  }
}

/** Entries of a stream without a hole between them. */
class Stretch {
  readonly #from: Cursor
  readonly #to: Cursor
  readonly #frames: LoggedFrame[] = []
  /** Of each entry, how many frames there are up to it. */
  readonly #counts = new Map<string, number>()
  /** The newest frame of each key. */
  readonly #latest = new Map<string, LoggedFrame>()
  readonly bytes: number

  constructor(from: Cursor, entries: readonly RedisEntry[], arrivalOf: (id: string) => number) {
    this.#from = from
    this.#to = entries.at(-1)?.id ?? from
    let bytes = 0
    for (const entry of isBefore(from) ? entries : entries.slice(1)) {
      bytes += ENTRY_BYTES + this.#add(entry, arrivalOf)
      this.#counts.set(entry.id, this.#frames.length)
    }
    this.bytes = bytes
  }

  /** Whether the place is here, and what follows it too. */
  spans(place: Cursor): boolean {
    return comparePlaces(this.#from, place) <= 0 && comparePlaces(place, this.#to) < 0
  }

  read(after: Cursor, { maxBytes, idBytes, before, isLatestOnly }: ReadLimits, newer: Frames): Page {
    const start = this.#countAt(after)
    if (start === undefined) return { complete: false, frames: [], reason: 'unknown' }
    const frames: LoggedFrame[] = []
    let cursor = after
    let bytes = 0
    for (const frame of this.#frames.slice(start)) {
      if (bytes >= maxBytes || frame.arrival >= before) return { complete: true, frames, cursor }
      cursor = frame.cursor
      if (isLatestOnly && this.#isReplaced(frame, newer)) continue
      bytes += frame.byteLength + idBytes
      frames.push(frame)
    }
    return { complete: true, frames, cursor: this.#to }
  }

  #isReplaced(frame: LoggedFrame, newer: Frames): boolean {
    const newest = newer.newestOf(frame.key)?.cursor ?? ''
    return this.#latest.get(frame.key) !== frame || comparePlaces(newest, frame.cursor) > 0
  }

  #add({ id, key, text }: RedisEntry, arrivalOf: (id: string) => number): number {
    if (text === null) return 0
    const byteLength = Buffer.byteLength(text)
    const frame = { cursor: id, text, byteLength, key, arrival: arrivalOf(id) }
    this.#frames.push(frame)
    this.#latest.set(key, frame)
    return byteLength
  }

  #countAt(place: Cursor): number | undefined {
    if (place === this.#from) return 0
    const id = entryAt(place)
    const count = this.#counts.get(id)
    if (count === undefined || !isBefore(place)) return count
    return this.#frames[count - 1]?.cursor === id ? count - 1 : count
  }
}
