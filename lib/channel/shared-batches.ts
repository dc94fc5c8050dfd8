import type { Place } from '../history/place.ts'
import type { Window } from '../history/window.ts'
import { Batch, ID_LINE_BYTES, PIECE_BYTES, withId } from '../wire/batch.ts'

/** Messages of one channel that follow each other, as one batch. */
export interface Run {
  readonly first: Place | undefined
  readonly last: Place
  readonly batch: Batch
}

interface Answer {
  readonly window: Window
  readonly place: Place
  readonly upTo: Place
  readonly changes: number
  readonly run: Run
}

/** What is kept of one channel, at most, and of how many channels. */
const MAX_RUNS = 16
const MAX_BYTES = 4 * PIECE_BYTES
const MAX_WINDOWS = 16

/** The batches of those who come to the same places: the last few, of the last few channels that any were built for. */
export class SharedBatches {
  readonly #recent = new Map<Window, RecentRuns>()
  /** What was given last: most come for that. */
  #last: Answer | undefined

  /**
   * What comes after a place, up to another and to 64 KiB.
   *
   * @param isShared whether others may come for it.
   */
  after(window: Window, place: Place, upTo: Place, isShared: boolean): Run | undefined {
    const last = this.#last
    if (
      last?.window === window &&
      last.place === place &&
      last.upTo === upTo &&
      last.changes === window.changes
    )
      return last.run
    const first = window.entryAfter(place)?.place
    if (first === undefined || first > upTo) return undefined
    if (!isShared) return runAfter(window, place, upTo)
    const run = this.#find(window, place, first, upTo)
    this.#last = { window, place, upTo, changes: window.changes, run }
    return run
  }

  drop(window: Window): void {
    this.#recent.delete(window)
    if (this.#last?.window === window) this.#last = undefined
  }

  #find(window: Window, place: Place, first: Place, upTo: Place): Run {
    const last = window.entryUntil(upTo)?.place
    const known = this.#recent.get(window)?.find(first, last, upTo)
    if (known !== undefined && isWhole(window, place, known)) return known
    const run = runAfter(window, place, upTo)
    this.#recentOf(window).keep(run)
    return run
  }

  #recentOf(window: Window): RecentRuns {
    const recent = this.#recent.get(window) ?? new RecentRuns()
    this.#recent.delete(window)
    this.#recent.set(window, recent)
    for (const oldest of this.#recent.keys()) {
      if (this.#recent.size <= MAX_WINDOWS) break
      this.#recent.delete(oldest)
    }
    return recent
  }
}

class RecentRuns {
  #runs: Run[] = []
  #bytes = 0

  /** One that begins there and ends there, or before because it is full. */
  find(first: Place, last: Place | undefined, upTo: Place): Run | undefined {
    const isFit = (run: Run): boolean =>
      run.first === first && (run.last === last || (run.last < upTo && run.batch.byteLength >= PIECE_BYTES))
    return this.#runs.findLast(isFit)
  }

  keep(run: Run): void {
    this.#runs.push(run)
    this.#bytes += run.batch.byteLength
    for (const { batch } of [...this.#runs]) {
      if (this.#runs.length <= MAX_RUNS && (this.#bytes <= MAX_BYTES || this.#runs.length === 1)) break
      this.#runs.shift()
      this.#bytes -= batch.byteLength
    }
  }
}

/** Whether all that it has is still there: what is not kept may be gone from its midst. */
function isWhole(window: Window, place: Place, { last, batch }: Run): boolean {
  return window.indexAfter(last) - window.indexAfter(place) === batch.messages
}

function runAfter(window: Window, place: Place, upTo: Place): Run {
  const index = window.indexAfter(place)
  let text = ''
  let bytes = 0
  let count = 0
  let last = place
  for (;;) {
    const entry = window.at(index + count)
    if (entry === undefined || entry.place > upTo || bytes >= PIECE_BYTES) break
    text += withId(entry.cursor, entry.text)
    bytes += entry.byteLength + entry.cursor.length + ID_LINE_BYTES
    last = entry.place
    count++
  }
  return { first: window.at(index)?.place, last, batch: new Batch(text, count) }
}
