import { Batch, PIECE_BYTES } from './batch.ts'
import type { Cursor, GapReason, Log, LoggedFrame } from './history/history.ts'

/** What follows a place in a log. No batch: there is nothing, or all of it was passed over. */
export type Stretch =
  | { readonly complete: true; readonly batch: Batch | undefined; readonly cursor: Cursor }
  | { readonly complete: false; readonly reason: Exclude<GapReason, 'slow'> }

const MAX_KEPT = 16
const MAX_LOGS = 16

/** Which logs' batches are kept for those who come to the same places: the last few that any were built for. */
export class RecentBatches {
  readonly #recent = new Set<Batches>()

  keep(batches: Batches): void {
    this.#recent.delete(batches)
    this.#recent.add(batches)
    if (this.#recent.size <= MAX_LOGS) return
    for (const oldest of this.#recent) {
      this.drop(oldest)
      return
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
  readonly #kept = new Map<string, Stretch>()

  constructor(log: Log, recent: RecentBatches) {
    this.#log = log
    this.#recent = recent
  }

  /** Must be called when the log has grown. */
  clear(): void {
    this.#kept.clear()
  }

  /**
   * The batch after a cursor.
   *
   * @param idPrefix comes before the cursor in each id: where the connection stands in its other channels.
   * @param before only what arrived before this.
   */
  after(cursor: Cursor, idPrefix: string, before: number, isLatestOnly: boolean): Stretch {
    const isLimited = before <= this.#log.headArrival
    const place = `${idPrefix}${cursor}`
    const key = isLimited || isLatestOnly ? `${place}<${isLimited ? before : ''}${isLatestOnly}` : place
    const kept = this.#kept.get(key)
    if (kept !== undefined) return kept
    const stretch = this.selectAfter(cursor, idPrefix, before, isLatestOnly)
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear()
    this.#kept.set(key, stretch)
    this.#recent.keep(this)
    return stretch
  }

  /** The batch for one subscription alone, of those frames that it selects. */
  selectAfter(
    cursor: Cursor,
    idPrefix: string,
    before: number,
    isLatestOnly: boolean,
    selects?: (frame: LoggedFrame) => boolean
  ): Stretch {
    const page = this.#log.read(cursor, { maxBytes: PIECE_BYTES, before, isLatestOnly })
    if (!page.complete) return page
    const frames = selects === undefined ? page.frames : page.frames.filter(selects)
    const batch = frames.length === 0 ? undefined : batchOf(frames, idPrefix)
    return { complete: true, batch, cursor: page.cursor }
  }
}

function batchOf(frames: readonly LoggedFrame[], idPrefix: string): Batch {
  let text = ''
  for (const frame of frames) text += `id: ${idPrefix}${frame.cursor}\n${frame.text}`
  return new Batch(text, frames.length)
}
