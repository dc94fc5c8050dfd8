import { createHistogram, type Histogram } from 'node:perf_hooks'

export interface DelaySummary {
  count: number
  p50Ms: number
  p99Ms: number
  p999Ms: number
  maxMs: number
}

/** Gathers delays, to tell how they are distributed. */
export class Delays {
  readonly #histogram = createHistogram()

  add(delayMs: number): void {
    this.#histogram.record(Math.max(1, Math.round(delayMs * 1e6)))
  }

  reset(): void {
    this.#histogram.reset()
  }

  summary(): DelaySummary {
    return summaryOf(this.#histogram)
  }
}

/** @param histogram of nanoseconds. */
export function summaryOf(histogram: Histogram): DelaySummary {
  return {
    count: histogram.count,
    p50Ms: histogram.percentile(50) / 1e6,
    p99Ms: histogram.percentile(99) / 1e6,
    p999Ms: histogram.percentile(99.9) / 1e6,
    maxMs: histogram.max / 1e6
  }
}
