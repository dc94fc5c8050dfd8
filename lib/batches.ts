import { Batch, PIECE_BYTES } from './batch.ts'
import type { Cursor, GapReason, Log, LoggedFrame } from './history/history.ts'

/** What follows a place in a log. No batch: there is nothing, or all of it was passed over. */
export type Stretch =
  | { readonly complete: true; readonly batch: Batch | undefined; readonly cursor: Cursor }
  | { readonly complete: false; readonly reason: Exclude<GapReason, 'slow'> }

const MAX_KEPT = 16

/** The batches that subscriptions at the same place in one log share. */
export class Batches {
  readonly #log: Log
  readonly #kept = new Map<string, Stretch>()

  constructor(log: Log) {
    this.#log = log
  }

  get isEmpty(): boolean {
    return this.#kept.size === 0
  }

  /** Must be called when the log has grown, and when those who could share have been served. */
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
