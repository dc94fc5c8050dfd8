import { clockMs, STAMP_LENGTH } from '../../process/clock.ts'
import { type DelaySummary, Delays } from '../../process/delays.ts'

/** What a process has received. */
export class Receipts {
  readonly #delays = new Delays()
  #received = 0
  #expected = Infinity
  #onReached: (() => void) | undefined

  add(messages: number): void {
    this.#received += messages
    if (this.#received >= this.#expected) this.#onReached?.()
  }

  /** A message that begins with the time when it was sent. */
  addStamped(message: string): void {
    this.#delays.add(clockMs() - Number(message.slice(0, STAMP_LENGTH)))
    this.add(1)
  }

  /** How long stamped messages were under way since the last call. */
  delays(): DelaySummary {
    const summary = this.#delays.summary()
    this.#delays.reset()
    return summary
  }

  /** Waits until so many have come since the start. @returns when that was. */
  reached(count: number): Promise<number> {
    if (this.#received >= count) return Promise.resolve(clockMs())
    return new Promise((resolve) => {
      this.#expected = count
      this.#onReached = () => {
        this.#expected = Infinity
        resolve(clockMs())
      }
    })
  }
}
