import { clockMs, STAMP_LENGTH } from '../process/clock.ts'
import { type DelaySummary, Delays } from '../process/delays.ts'

const MARK = Buffer.from('data: ')

/** How long messages that carry the time were under way. One that a read cuts in its stamp is left out. */
export class Stamps {
  readonly #delays = new Delays()

  take(data: Buffer, start: number, end: number): void {
    const now = clockMs()
    let at = data.indexOf(MARK, start)
    while (at !== -1) {
      const stampStart = at + MARK.length
      const stampEnd = stampStart + STAMP_LENGTH
      if (stampEnd > end) return
      this.#delays.add(now - Number(data.toString('latin1', stampStart, stampEnd)))
      at = data.indexOf(MARK, stampEnd)
    }
  }

  reset(): void {
    this.#delays.reset()
  }

  summary(): DelaySummary {
    return this.#delays.summary()
  }
}
