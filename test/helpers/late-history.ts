import type { Cursor, History, Log, LogListener, Page, ReadLimits } from '../../lib/history/history.ts'
import { memoryHistory } from '../../lib/history/memory/memory-history.ts'

interface Lateness {
  /** @defaultValue a memory history of its own */
  readonly history?: History
  /** Whether logs are open from the start. */
  readonly isOpen?: boolean
  /** Whether places that all who keep up have left behind can be read only once, after they were loaded. */
  readonly isForgetful?: boolean
  /** Where pages of such places end, if not before. */
  readonly pageBytes?: number
  /** A log has opened, and nobody was told yet. */
  readonly onOpen?: (channel: string) => void
}

/**
 * A history whose logs open when the test says so, and some places of which cannot be read before they were loaded. What
 * is appended goes into another history, which is never late.
 */
export class LateHistory implements History {
  readonly #history: History
  readonly #isOpen: boolean
  readonly #isForgetful: boolean
  readonly #pageBytes: number
  readonly #onOpen: (channel: string) => void
  readonly #held = new Set<Cursor>()
  readonly #logs = new Set<LateLog>()
  /** How often a place was asked for that was not there, and how often one that was. */
  readonly reads = { late: 0, there: 0 }

  constructor(lateness: Lateness = {}) {
    const { history = memoryHistory(), isOpen = false, isForgetful = false, pageBytes = Infinity } = lateness
    this.#history = history
    this.#isOpen = isOpen
    this.#isForgetful = isForgetful
    this.#pageBytes = pageBytes
    this.#onOpen = lateness.onOpen ?? (() => {})
  }

  append(...args: Parameters<History['append']>): Promise<Cursor> {
    return this.#history.append(...args)
  }

  follow(channel: string, listener: LogListener): Log {
    const log = new LateLog(this, channel, listener)
    this.#logs.add(log)
    if (this.#isOpen) log.open()
    return log
  }

  close(): Promise<void> {
    return this.#history.close()
  }

  /** These places cannot be read until they are asked for and come. */
  hold(...places: readonly Cursor[]): void {
    for (const place of places) this.#held.add(place)
  }

  /** How many logs are not open, or were asked for places that are not there. */
  get pending(): number {
    return this.#pending.length
  }

  /** So many of them open, or get what they were asked for. */
  come(logs = Infinity): void {
    for (const log of this.#pending.slice(0, logs)) {
      if (log.isOpen) this.#load(log)
      else this.#open(log)
    }
  }

  /** More was appended than could be told, so that nobody keeps up any more. */
  jump(): void {
    for (const log of this.#logs) log.jump()
  }

  followInner(channel: string, listener: LogListener): Log {
    return this.#history.follow(channel, listener)
  }

  isHeld(place: Cursor): boolean {
    return this.#held.has(place)
  }

  get isForgetful(): boolean {
    return this.#isForgetful
  }

  get pageBytes(): number {
    return this.#pageBytes
  }

  logOnClose(log: LateLog): void {
    this.#logs.delete(log)
  }

  get #pending(): LateLog[] {
    return [...this.#logs].filter(({ isOpen, wanted }) => !isOpen || wanted.size > 0)
  }

  #open(log: LateLog): void {
    log.open()
    this.#onOpen(log.channel)
    log.listener.logOnOpen()
  }

  #load(log: LateLog): void {
    for (const place of log.wanted) this.#held.delete(place)
    log.load()
    log.listener.logOnLoad()
  }
}

class LateLog implements Log {
  readonly channel: string
  readonly listener: LogListener
  readonly #history: LateHistory
  #log: Log | undefined
  /** Places that were asked for and are not there. */
  wanted: ReadonlySet<Cursor> = new Set()
  #loaded: ReadonlySet<Cursor> = new Set()
  /** Where all stand who keep up. */
  #released: Cursor = ''
  /** The number of the head when it opened. */
  #start = 0

  constructor(history: LateHistory, channel: string, listener: LogListener) {
    this.#history = history
    this.channel = channel
    this.listener = listener
  }

  get isOpen(): boolean {
    return this.#log !== undefined
  }

  get head(): Cursor {
    return this.#log?.head ?? ''
  }

  get headArrival(): number {
    return this.#log?.headArrival ?? 0
  }

  get oldest(): Cursor {
    return this.#log?.oldest ?? ''
  }

  open(): void {
    this.#log = this.#history.followInner(this.channel, this.listener)
    this.#start = numberOf(this.head)
    this.jump()
  }

  load(): void {
    this.#loaded = this.wanted
    this.wanted = new Set()
  }

  jump(): void {
    this.#released = this.head
  }

  arrivalAfter(after: Cursor): number | undefined {
    return this.#isThere(after) ? this.#log?.arrivalAfter(after) : undefined
  }

  read(after: Cursor, limits: ReadLimits): Page | undefined {
    const { reads, pageBytes } = this.#history
    if (this.#log === undefined || !this.#isThere(after)) {
      if (this.isOpen) this.wanted = new Set([...this.wanted, after])
      reads.late++
      return undefined
    }
    reads.there++
    return this.#isLeftBehind(after)
      ? this.#readOld(this.#log, after, { ...limits, pageBytes })
      : this.#log.read(after, limits)
  }

  release(upTo: Cursor): void {
    this.#released = upTo
    this.#log?.release(upTo)
  }

  close(): void {
    this.#log?.close()
    this.#history.logOnClose(this)
  }

  /** It is not known when those messages arrived that were there before the log opened. */
  #readOld(log: Log, after: Cursor, limits: ReadLimits & { pageBytes: number }): Page | undefined {
    const maxBytes = Math.min(limits.maxBytes, limits.pageBytes)
    const page = log.read(after, { ...limits, maxBytes })
    if (!page?.complete) return page
    const frames = page.frames.map((frame) =>
      numberOf(frame.cursor) <= this.#start ? { ...frame, arrival: 0 } : frame
    )
    return { ...page, frames }
  }

  #isThere(place: Cursor): boolean {
    if (this.#history.isHeld(place)) return false
    return !this.#history.isForgetful || this.#loaded.has(place) || !this.#isLeftBehind(place)
  }

  /** Also what is no place of this log. */
  #isLeftBehind(place: Cursor): boolean {
    const isOwn = place.split('-')[0] === this.#released.split('-')[0]
    return place !== this.head && !(isOwn && numberOf(place) >= numberOf(this.#released))
  }
}

function numberOf(cursor: Cursor): number {
  return Number(cursor.split('-')[1])
}
