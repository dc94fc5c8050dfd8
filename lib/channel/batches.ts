import { Batch, PIECE_BYTES } from '../wire/batch.ts'
import type { Cursor, GapReason, Log, LoggedFrame } from '../history/history.ts'

/** What follows a place in a log. No batch: there is nothing, or all of it was passed over. */
export type Stretch =
  | {
      readonly complete: true
      readonly batch: Batch | undefined
      readonly cursor: Cursor
      /** Bytes that were read for it, also of what was passed over. */
      readonly readBytes: number
    }
  | { readonly complete: false; readonly reason: Exclude<GapReason, 'slow'> }

/** What is kept of one log, at most, and of how many logs. */
const MAX_PLACES = 16
const MAX_BYTES = 4 * PIECE_BYTES
const MAX_LOGS = 16
/** What a filter is asked about at a time. It is the application's, and may take long. */
export const SELECT_BYTES = 8_192
const ID_LINE_BYTES = 'id: \n'.length

/** Which logs' batches are kept for those who come to the same places: the last few that any were built for. */
export class RecentBatches {
  readonly #recent = new Set<Batches>()

  keep(batches: Batches): void {
    this.#recent.delete(batches)
    this.#recent.add(batches)
    for (const oldest of this.#recent) {
      if (this.#recent.size <= MAX_LOGS) break
      this.drop(oldest)
    }
  }

  drop(batches: Batches): void {
    this.#recent.delete(batches)
    batches.clear()
  }
}

/** The batches that subscriptions at the same place in one log share. */
export class Batches {
  readonly #log: Log
  readonly #recent: RecentBatches
  /** By place. A map that is cleared costs as much as a new one, and most channels need none. */
  #kept: Map<string, Stretch> | undefined
  #keptBytes = 0
  #readBytes = 0

  constructor(log: Log, recent: RecentBatches) {
    this.#log = log
    this.#recent = recent
  }

  /** Bytes that were read so far: how much work that was. */
  get readBytes(): number {
    return this.#readBytes
  }

  /** Must be called when the log has grown. */
  clear(): void {
    this.#kept = undefined
    this.#keptBytes = 0
  }

  /**
   * The batch after a cursor.
   *
   * @param idPrefix comes before the cursor in each id: where the connection stands in its other channels.
   * @param before only what arrived before this.
   * @returns `undefined` if it is not there yet.
   */
  after(cursor: Cursor, idPrefix: string, before: number, isLatestOnly: boolean): Stretch | undefined {
    const isLimited = before <= this.#log.headArrival
    const place = `${idPrefix}${cursor}`
    const key = isLimited || isLatestOnly ? `${place}<${isLimited ? before : ''}${isLatestOnly}` : place
    const kept = this.#kept?.get(key)
    if (kept !== undefined) return kept
    const stretch = this.selectAfter(cursor, idPrefix, before, isLatestOnly)
    if (stretch === undefined) return undefined
    const isNothing = stretch.complete && stretch.batch === undefined
    if (!isNothing || !isLimited) this.#keep(key, stretch)
    return stretch
  }

  #keep(key: string, stretch: Stretch): void {
    const byteLength = stretch.complete ? (stretch.batch?.byteLength ?? 0) : 0
    const isFull = this.#kept !== undefined && this.#kept.size >= MAX_PLACES
    if (isFull || this.#keptBytes + byteLength > MAX_BYTES) this.clear()
    this.#kept ??= new Map()
    this.#kept.set(key, stretch)
    this.#keptBytes += byteLength
    this.#recent.keep(this)
  }

  /**
   * The batch for one subscription alone, of those frames that it selects. What it does not select replaces nothing, so
   * that `isLatestOnly` is then about what is read at a time.
   */
  selectAfter(
    cursor: Cursor,
    idPrefix: string,
    before: number,
    isLatestOnly: boolean,
    selects?: (frame: LoggedFrame) => boolean
  ): Stretch | undefined {
    const idBytes = ID_LINE_BYTES + idPrefix.length + cursor.length
    const limits =
      selects === undefined
        ? { maxBytes: PIECE_BYTES, idBytes, before, isLatestOnly }
        : { maxBytes: SELECT_BYTES, idBytes, before, isLatestOnly: false }
    const page = this.#log.read(cursor, limits)
    if (page === undefined || !page.complete) return page
    const readBytes = page.frames.reduce((sum, { byteLength }) => sum + byteLength + idBytes, 0)
    this.#readBytes += readBytes
    const selected = selects === undefined ? page.frames : page.frames.filter(selects)
    const frames = selects !== undefined && isLatestOnly ? latestOf(selected) : selected
    const batch = frames.length === 0 ? undefined : batchOf(frames, idPrefix)
    return { complete: true, batch, cursor: page.cursor, readBytes }
  }
}

/** The newest frame of each key. */
function latestOf(frames: readonly LoggedFrame[]): LoggedFrame[] {
  const latest = new Map(frames.map((frame) => [frame.key, frame]))
  return frames.filter((frame) => latest.get(frame.key) === frame)
}

function batchOf(frames: readonly LoggedFrame[], idPrefix: string): Batch {
  let text = ''
  for (const frame of frames) text += `id: ${idPrefix}${frame.cursor}\n${frame.text}`
  return new Batch(text, frames.length)
}
