import { encodeName } from '../../channel/last-event-id.ts'
import { tagOf } from './stream-id.ts'

/** The names of one channel in Redis. All are in one slot of a cluster, and no two channels or uses share one. */
export interface RedisKeys {
  /** The stream. */
  readonly log: string
  /** The Pub/Sub channel. */
  readonly notices: string
  /** See `stream-id.ts`. */
  readonly tag: number
  /** The string that says what was published with an idempotency key. */
  once(idempotencyKey: string): string
}

/** @param prefix without braces */
export function redisKeys(prefix: string, channel: string): RedisKeys {
  const base = `${prefix}{${encodeName(channel)}}:`
  const log = `${base}log`
  return {
    log,
    tag: tagOf(log),
    notices: `${base}notices`,
    once: (idempotencyKey) => `${base}once:${encodeName(idempotencyKey)}`
  }
}
