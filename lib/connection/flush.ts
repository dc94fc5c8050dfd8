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
  /** This round and the next one keep the room that the largest one took, so that none is made for each. */
  #round: (Work | undefined)[] = []
  #size = 0
  #done = 0
  #nextRound: (Work | undefined)[] = []
  #nextSize = 0
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
    this.#add(work)
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
    return this.#done < this.#size || this.#nextSize > 0
  }

  #add(work: Work): void {
    this.#nextRound[this.#nextSize++] = work
  }

  #runShare(): void {
    if (this.#done === this.#size) this.#beginRound()
    const work = this.#round[this.#done]
    this.#round[this.#done++] = undefined
    if (work?.work()) this.#add(work)
  }

  #beginRound(): void {
    const done = this.#round
    this.#round = this.#nextRound
    this.#nextRound = done
    this.#size = this.#nextSize
    this.#nextSize = 0
    this.#done = 0
  }
}
