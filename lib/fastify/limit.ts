import type { FastifyRequest } from 'fastify'
import { type Check, checkCount, checked, checkFunction, checkObject, invalid, oneOf } from '../base/check.ts'
import { FST_ERR_EVENTSTREAM_TOO_MANY, FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY } from '../base/errors.ts'
import { ownText } from '../base/own-text.ts'

/** How many streams may be open at once. A stream counts from `sseStart()` on until it has closed. */
export interface LimitOptions {
  /**
   * Of all clients together.
   * @defaultValue any number
   */
  max?: number
  /**
   * Of each key.
   * @defaultValue any number
   */
  maxPerKey?: number
  /**
   * The key of a request: whose it is. Requests without one (`undefined`) are not limited by `maxPerKey`.
   * @defaultValue `(request) => request.ip`
   */
  keyGenerator?: (request: FastifyRequest) => string | number | bigint | undefined
  /**
   * What happens beyond `maxPerKey`: the new stream is refused, or replaces the oldest one of its key, which ends with reason
   * `replaced`. Beyond `max` all are refused.
   * @defaultValue 'refuse'
   */
  onExceeded?: 'refuse' | 'replace'
}

type Key = string | number | bigint | undefined

/** What is counted. */
export interface LimitedStream {
  readonly request: FastifyRequest
}

const CHECKS: Readonly<Record<keyof LimitOptions, Check>> = {
  max: (_, value) => checkCount('limit.max', value),
  maxPerKey: (_, value) => checkCount('limit.maxPerKey', value),
  keyGenerator: (_, value) => checkFunction('limit.keyGenerator', value),
  onExceeded: (_, value) => oneOf('refuse', 'replace')('limit.onExceeded', value)
}

/** The streams of a server, or of a route, that are open, and how many may be. */
export class Limit<Stream extends LimitedStream> {
  readonly #max: number
  readonly #maxPerKey: number
  readonly #keyGenerator: (request: FastifyRequest) => unknown
  readonly #isReplacing: boolean
  readonly #keys = new Map<Stream, Key>()
  /** The oldest of each key first. */
  readonly #streams = new Map<Key, Set<Stream>>()

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
  constructor(given: LimitOptions) {
    checkObject('limit', given)
    const { max, maxPerKey, keyGenerator = ipOf, onExceeded } = checked(given, CHECKS)
    if (max === undefined && maxPerKey === undefined)
      throw invalid('limit', 'a max, a maxPerKey or both', given)
    if (maxPerKey === undefined && given.onExceeded === 'replace')
      throw invalid(
        'limit.maxPerKey',
        'given, for only streams of the same key replace each other',
        maxPerKey
      )
    this.#max = max ?? Infinity
    this.#maxPerKey = maxPerKey ?? Infinity
    this.#keyGenerator = keyGenerator
    this.#isReplacing = onExceeded === 'replace'
  }

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for what is no key, and what the application's `keyGenerator` throws. */
  keyOf(request: FastifyRequest): Key {
    if (this.#maxPerKey === Infinity) return undefined
    const key = this.#keyGenerator(request) ?? undefined
    if (typeof key === 'string') return ownText(key)
    if (key === undefined || typeof key === 'number' || typeof key === 'bigint') return key
    throw invalid('what limit.keyGenerator returns', 'a string, a number, a bigint or undefined', key)
  }

  /** @returns the stream that has to give way to a new one. @throws FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY */
  inTheWay(key: Key): Stream | undefined {
    const streams = key === undefined ? undefined : this.#streams.get(key)
    if (streams === undefined || streams.size < this.#maxPerKey) return undefined
    if (!this.#isReplacing) throw new FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY(this.#maxPerKey)
    const [oldest] = streams
    return oldest
  }

  /** @param leaving those that give way. @throws FST_ERR_EVENTSTREAM_TOO_MANY */
  assertRoom(leaving: ReadonlySet<Stream>): void {
    const left = [...leaving].filter((stream) => this.#keys.has(stream)).length
    if (this.#keys.size - left >= this.#max) throw new FST_ERR_EVENTSTREAM_TOO_MANY(this.#max)
  }

  add(stream: Stream, key: Key): void {
    this.#keys.set(stream, key)
    if (key === undefined) return
    const streams = this.#streams.get(key)
    if (streams === undefined) this.#streams.set(key, new Set([stream]))
    else streams.add(stream)
  }

  /** The stream has closed, or gives way. May be told again. */
  delete(stream: Stream): void {
    const key = this.#keys.get(stream)
    if (!this.#keys.delete(stream) || key === undefined) return
    const streams = this.#streams.get(key)
    streams?.delete(stream)
    if (streams?.size === 0) this.#streams.delete(key)
  }
}

/**
 * Counts a new stream under all of these limits, or under none.
 *
 * @returns those that give way to it.
 * @throws FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY or FST_ERR_EVENTSTREAM_TOO_MANY
 */
export function admit<Stream extends LimitedStream>(
  limits: readonly Limit<Stream>[],
  stream: Stream
): ReadonlySet<Stream> {
  const keyed = limits.map((limit) => ({ limit, key: limit.keyOf(stream.request) }))
  const leaving = new Set<Stream>()
  for (const { limit, key } of keyed) {
    const oldest = limit.inTheWay(key)
    if (oldest !== undefined) leaving.add(oldest)
  }
  for (const limit of limits) limit.assertRoom(leaving)
  for (const limit of limits) for (const old of leaving) limit.delete(old)
  for (const { limit, key } of keyed) limit.add(stream, key)
  return leaving
}

function ipOf({ ip }: FastifyRequest): string {
  return ip
}
