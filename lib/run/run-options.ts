import {
  type Check,
  checkBoolean,
  checkBytes,
  checkCount,
  checked,
  checkFunction,
  checkMs,
  checkName,
  checkObject,
  invalid
} from '../base/check.ts'
import {
  FST_ERR_EVENTSTREAM_TOO_MANY_RUNS,
  FST_ERR_EVENTSTREAM_TOO_MANY_RUNS_PER_KEY
} from '../base/errors.ts'
import type { ChunkMap } from '../connection/source.ts'
import type { RunOptions } from './run.ts'

/** The plugin's options of all runs. */
export interface RunsOptions {
  /**
   * Bytes of the text of a run's messages that are kept. Of a longer one the beginning is lost, which is told as a gap.
   * @defaultValue 8388608
   */
  maxBytes?: number
  /**
   * Milliseconds for which a run is kept after its end.
   * @defaultValue 300000
   */
  keepEndedMs?: number
  /**
   * Milliseconds after which the run of a server that does not answer any more is `lost`. The same on all servers.
   * @defaultValue 10000
   */
  leaseMs?: number
  /**
   * How many runs may go on at once on this server.
   * @defaultValue any number
   */
  max?: number
  /**
   * How many of each `key` may go on at once on this server.
   * @defaultValue any number
   */
  maxPerKey?: number
}

type Defaulted = 'maxBytes' | 'keepEndedMs' | 'leaseMs'
export type ResolvedRunsOptions = Readonly<Required<Pick<RunsOptions, Defaulted>> & RunsOptions>

export const RUNS_DEFAULTS: ResolvedRunsOptions = Object.freeze({
  maxBytes: 8_388_608,
  keepEndedMs: 300_000,
  leaseMs: 10_000
})

export const RUNS_CHECKS: Readonly<Record<keyof RunsOptions, Check>> = {
  maxBytes: (_, value) => checkBytes('runs.maxBytes', value),
  keepEndedMs: (_, value) => checkMs('runs.keepEndedMs', value),
  leaseMs: (_, value) => checkMs('runs.leaseMs', value),
  max: (_, value) => checkCount('runs.max', value),
  maxPerKey: (_, value) => checkCount('runs.maxPerKey', value)
}

const RUN_CHECKS: Readonly<Record<keyof GivenRunOptions, Check>> = {
  map: checkFunction,
  end: checkFunction,
  restart: checkBoolean,
  abandonMs: checkMs,
  key: checkKey
}

export interface GivenRunOptions extends RunOptions {
  map?: ChunkMap
}

const MAX_NAME_BYTES = 240

/** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
export function resolveRunsOptions(given: RunsOptions): ResolvedRunsOptions {
  checkObject('runs', given)
  return Object.freeze({ ...RUNS_DEFAULTS, ...checked(given, RUNS_CHECKS) })
}

/** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
export function checkedRunOptions(given: GivenRunOptions): GivenRunOptions {
  return checked(given, RUN_CHECKS)
}

/** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
export function checkRunName(name: unknown): void {
  checkName('the name of the run', MAX_NAME_BYTES, name)
}

function checkKey(name: string, value: unknown): void {
  if (typeof value !== 'string' || value === '')
    throw invalid(name, 'a string of at least one character', value)
}

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
