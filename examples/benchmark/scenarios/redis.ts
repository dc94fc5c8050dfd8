import { setTimeout as sleep } from 'node:timers/promises'
import { RedisServer } from '../../../test/helpers/programs/redis-server.ts'
import type { ChannelListenOptions } from '../servers/channel-main.ts'
import type { RedisCallCounts } from '../servers/redis/calls.ts'
import { OURS } from './scenario.ts'

const POLL_MS = 20
const LIMIT_MS = 30_000

/** Starts a Redis that keeps nothing on disk, lets `measure` use it, and ends it. */
export async function withRedis<T>(
  measure: (redis: RedisServer) => Promise<T>,
  args: readonly string[] = []
): Promise<T> {
  const redis = await RedisServer.start({ args })
  try {
    return await measure(redis)
  } finally {
    await redis.stop()
  }
}

export const REDIS = 'redisHistory'
export const MEMORY = 'memoryHistory'

/** Lets `measure` use a server that keeps messages in one of the two. */
export async function withHistory<T>(
  history: typeof REDIS | typeof MEMORY,
  measure: (listening: ChannelListenOptions) => Promise<T>
): Promise<T> {
  if (history === MEMORY) return measure({ contestant: OURS })
  return withRedis(({ url }) => measure({ contestant: OURS, redisUrl: url }))
}

/** Waits until Redis tells somebody of what is published to so many channels of its own, or more. */
export async function subscribed(redis: RedisServer, channels: number): Promise<void> {
  const start = performance.now()
  for (;;) {
    const names = (await redis.command('PUBSUB', 'CHANNELS')) as unknown[]
    if (names.length >= channels) return
    if (performance.now() - start > LIMIT_MS) throw new Error(`Only ${names.length} channels are subscribed`)
    await sleep(POLL_MS)
  }
}

/** What was sent to Redis between two counts. */
export function callsSince(before: RedisCallCounts, after: RedisCallCounts): RedisCallCounts {
  const differences = Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)])
  return Object.fromEntries(differences.filter(([, count]) => count !== 0))
}

/** What `pairedRounds` does, with every second round the other way round. */
export async function alternatingRounds<Name extends string, Result>(
  rounds: number,
  contestants: readonly Name[],
  measureOnce: (contestant: Name) => Promise<Result>
): Promise<Map<Name, Result[]>> {
  const results = new Map<Name, Result[]>(contestants.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    for (const name of inTurn(contestants, round)) results.get(name)?.push(await measureOnce(name))
  }
  return results
}

/** The other way round every second time. */
export function inTurn<T>(list: readonly T[], turn: number): readonly T[] {
  return turn % 2 === 0 ? list : list.toReversed()
}
