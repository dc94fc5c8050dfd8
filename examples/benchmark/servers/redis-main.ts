import type { DelaySummary } from '../process/delays.ts'
import { serve } from '../process/rpc.ts'
import type { RedisCallCounts } from './redis/calls.ts'
import type { FollowOptions, RedisContestant, StartRedisContestant } from './redis/contestant.ts'
import { Receipts } from './redis/receipts.ts'
import { type FloodOptions, flood, publishSteadily, type SteadyOptions } from './redis/workloads.ts'
import { collectGarbage, cpu } from './vitals.ts'

/** Each is loaded only where it runs. */
const CONTESTANTS = {
  ours: async () => (await import('./redis/ours.ts')).start,
  'bare node-redis': async () => (await import('./redis/bare.ts')).start
} satisfies Record<string, () => Promise<StartRedisContestant>>

export type RedisContestantName = keyof typeof CONTESTANTS

export interface RedisStartOptions {
  contestant: RedisContestantName
  redisUrl: string
}

const receipts = new Receipts()
let contestant: RedisContestant | undefined

function running(): RedisContestant {
  if (contestant === undefined) throw new Error('start() has not been called')
  return contestant
}

/** A process that shares a Redis with others: what the runner may ask of it. */
const methods = {
  /** @returns the port of its event streams; 0 if it has none. */
  async start({ contestant: name, redisUrl }: RedisStartOptions): Promise<number> {
    const start = await CONTESTANTS[name]()
    contestant = await start(redisUrl, receipts)
    return contestant.port ?? 0
  },
  cpu: (): number => cpu(),
  collectGarbage: (): Promise<void> => collectGarbage(),
  follow: (options: FollowOptions): Promise<void> => running().follow(options),
  settled: async (): Promise<void> => running().settled?.(),
  flood: (options: FloodOptions): Promise<void> => flood(running(), options),
  publishSteadily: (options: SteadyOptions): Promise<void> => publishSteadily(running(), options),
  reached: (count: number): Promise<number> => receipts.reached(count),
  delays: (): DelaySummary => receipts.delays(),
  calls: (): RedisCallCounts => running().calls?.() ?? {}
}

export type RedisMethods = typeof methods

serve(methods)
