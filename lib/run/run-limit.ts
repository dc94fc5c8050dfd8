import {
  FST_ERR_EVENTSTREAM_TOO_MANY_RUNS,
  FST_ERR_EVENTSTREAM_TOO_MANY_RUNS_PER_KEY
} from '../base/errors.ts'
import type { ResolvedRunsOptions } from './run-options.ts'

/** How many runs go on here, and how many may. */
export class RunLimit {
  readonly #max: number | undefined
  readonly #maxPerKey: number
  /** Those without a key are of `''`, which is none. */
  readonly #counts = new Map<string, number>()

  constructor({ max, maxPerKey = Infinity }: ResolvedRunsOptions) {
    this.#max = max
    this.#maxPerKey = maxPerKey
  }

  /** Why no other may begin; `undefined`: one may. */
  refusalOf(key: string | undefined): Error | undefined {
    const all = (): number => [...this.#counts.values()].reduce((sum, count) => sum + count, 0)
    if (this.#max !== undefined && all() >= this.#max) return new FST_ERR_EVENTSTREAM_TOO_MANY_RUNS(this.#max)
    if (key !== undefined && (this.#counts.get(key) ?? 0) >= this.#maxPerKey)
      return new FST_ERR_EVENTSTREAM_TOO_MANY_RUNS_PER_KEY(this.#maxPerKey)
    return undefined
  }

  add(key = ''): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }

  delete(key = ''): void {
    const left = (this.#counts.get(key) ?? 0) - 1
    if (left > 0) this.#counts.set(key, left)
    else this.#counts.delete(key)
  }
}
