import { createClient } from 'redis'
import type { RedisClient } from '../../../../lib/history/redis/redis-link.ts'
import { CHECK, FIND, OPEN, PUBLISH, READ } from '../../../../lib/history/redis/redis-scripts.ts'

/** How often each of our scripts was sent, and each command that is none. */
export type RedisCallCounts = Record<string, number>

const SCRIPT_NAMES = new Map(
  Object.entries({ PUBLISH, OPEN, READ, CHECK, FIND }).map(([name, { sha }]) => [sha, name])
)

/** Counts what a history sends. Redis itself counts scripts and what they do, but not which script it was. */
export class RedisCalls {
  readonly #counts = new Map<string, number>()

  counts(): RedisCallCounts {
    return Object.fromEntries(this.#counts)
  }

  /** A client for `redisHistory()`, which makes its connections by `duplicate()`. */
  client(url: string): RedisClient {
    const client = createClient({ url })
    const duplicate = client.duplicate.bind(client)
    Reflect.set(client, 'duplicate', (overrides: object) => {
      const connection = duplicate(overrides)
      const sendCommand = connection.sendCommand.bind(connection)
      Reflect.set(connection, 'sendCommand', (args: string[]) => {
        this.#count(args)
        return sendCommand(args)
      })
      return connection
    })
    return client
  }

  #count([name = '', sha = '']: readonly string[]): void {
    const key = SCRIPT_NAMES.get(sha) ?? name
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1)
  }
}
