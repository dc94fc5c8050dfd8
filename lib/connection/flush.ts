import { type Diagnostics, diagnostics } from '../base/diagnostics.ts'

/** The flush has worked for a slice of time and gives the event loop back. */
export interface FlushEvent {
  readonly durationMs: number
}

const flushChannel: Diagnostics<FlushEvent> = diagnostics('fastify-eventstream:flush')

/** Something that has writes to make. */
export interface Work {
  /** Makes a small share of them. @returns whether there are more. */
  work(): boolean
}

/** How long the flush holds the event loop at a stretch. */
const SLICE_MS = 4

/**
 * One flush at the end of each turn of the event loop, for everything that has something to write. It takes shares in
 * rotation, so that nobody waits for a large one, and gives the event loop back after a slice of time.
 */
export class Flush {
  #round: Work[] = []
  #done = 0
  #nextRound: Work[] = []
  #isScheduled = false
  #slices = 0
  #longestSliceMs = 0

  get slices(): number {
    return this.#slices
  }

  get longestSliceMs(): number {
    return this.#longestSliceMs
  }

  schedule(work: Work): void {
    this.#nextRound.push(work)
    this.#requestSlice()
  }

  #requestSlice(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => this.#runSlice())
  }

  #runSlice(): void {
    const start = performance.now()
    let durationMs = 0
    try {
      while (this.#hasMore && durationMs < SLICE_MS) {
        this.#runShare()
        durationMs = performance.now() - start
      }
    } finally {
      this.#isScheduled = false
      if (this.#hasMore) this.#requestSlice()
    }
    this.#slices++
    this.#longestSliceMs = Math.max(this.#longestSliceMs, durationMs)
    if (flushChannel.hasSubscribers) flushChannel.publish({ durationMs })
  }

  get #hasMore(): boolean {
    return this.#done < this.#round.length || this.#nextRound.length > 0
  }

  #runShare(): void {
    if (this.#done === this.#round.length) {
      this.#round = this.#nextRound
      this.#nextRound = []
      this.#done = 0
    }
    const work = this.#round[this.#done++]
    if (work?.work()) this.#nextRound.push(work)
  }
}
