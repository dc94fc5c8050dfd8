import { invalid } from '../../base/check.ts'
import { isRedisClient, type RedisClient } from './redis-link.ts'

export interface RedisStoreOptions {
  /**
   * A client of `redis` 6 or `ioredis` 6. Two connections of our own are made with its options; it is not used itself,
   * need not be connected, and stays as it is. Not that of a cluster, and no pool. Either this or `url` is given.
   */
  client?: RedisClient
  /** `redis://…` or `rediss://…`. Needs the package `redis`, or else `ioredis`, to be installed. */
  url?: string
  /**
   * What the names of all keys and Pub/Sub channels begin with, after the client's own `keyPrefix`: up to 64 characters
   * without braces.
   * @defaultValue `'eventstream:'`
   */
  prefix?: string
}

export const CHECKS: Record<keyof RedisStoreOptions, (name: string, value: unknown) => void> = {
  client: checkClient,
  url: checkUrl,
  prefix: checkPrefix
}

function checkClient(name: string, value: unknown): void {
  if (!isRedisClient(value))
    throw invalid(name, 'a client of redis or ioredis, of no cluster and no pool', value)
}

function checkUrl(name: string, value: unknown): void {
  if (typeof value !== 'string' || !/^rediss?:\/\/./.test(value) || !URL.canParse(value)) {
    throw invalid(
      name,
      'a URL that begins with redis:// or rediss://',
      typeof value === 'string' ? '' : value
    )
  }
}

function checkPrefix(name: string, value: unknown): void {
  if (typeof value !== 'string' || value.length > 64 || /[{}]/.test(value) || !value.isWellFormed()) {
    throw invalid(name, 'a well-formed string of up to 64 characters without braces', value)
  }
}
