import type { DelaySummary } from '../process/delays.ts'
import type { Way } from '../servers/redis-main.ts'
import type { CpuParts } from '../servers/vitals.ts'
import { cpuPer, cpuRows, redisCpu, withRedis } from './redis.ts'
import {
  type Context,
  compare,
  OURS,
  pairedRounds,
  pick,
  type RedisServer,
  type Row,
  type Scenario
} from './scenario.ts'

const STEADY = { perSecond: 1_000, messages: 1_500, dataBytes: 100 }
const WARM_UPS = 3
/** In each round. */
const TURNS = 3
const MAX_RATIO = 2.5
const WAYS: readonly Way[] = ['ours', 'bare PUBLISH', 'bare XADD and PUBLISH']

interface Hop {
  server: DelaySummary
  client: DelaySummary
  redis: CpuParts
}

interface Pair {
  readonly from: RedisServer
  readonly to: RedisServer
}

/** A pair of servers for each way: what one makes garbage of, no other has to collect. */
async function withPairs<T>(
  context: Context,
  url: string,
  measure: (pairs: ReadonlyMap<Way, Pair>) => Promise<T>,
  pairs: ReadonlyMap<Way, Pair> = new Map()
): Promise<T> {
  const way = WAYS[pairs.size]
  if (way === undefined) return measure(pairs)
  return context.withRedisServer(url, (from) =>
    context.withRedisServer(url, async (to) => {
      await to.child.call('receive', way)
      return withPairs(context, url, measure, new Map([...pairs, [way, { from, to }]]))
    })
  )
}

/** All ways are there at the same time and take turns. */
async function measureAll(context: Context): Promise<Map<Way, Hop[]>> {
  return withRedis((redis) =>
    withPairs(context, redis.url, (pairs) =>
      context.withClient(async (client) => {
        const { port } = (pairs.get(OURS) as Pair).to
        await client.call('open', { port, count: 1, isStamped: true })
        const hopOnce = async (way: Way): Promise<Hop> => {
          const { from, to } = pairs.get(way) as Pair
          const { events } = await client.call('totals')
          const used = await cpuPer(STEADY.messages, { redis: () => redisCpu(redis) }, () =>
            from.child.call('publishSteadily', { ...STEADY, way })
          )
          const server = await to.child.call('received', STEADY.messages)
          if (way === OURS) await client.call('receive', { events: events + STEADY.messages })
          return { server, client: await client.call('delays'), ...used }
        }
        await pairedRounds(WARM_UPS, WAYS, hopOnce)
        return pairedRounds(TURNS * context.rounds, WAYS, hopOnce)
      })
    )
  )
}

async function run(context: Context): Promise<Row[]> {
  const hops = await measureAll(context)
  const rows = (measure: string, value: (hop: Hop) => number, limits = {}): Row[] =>
    compare({ measure, unit: 'ms' }, pick(hops, value), limits)
  const ofOurs = (measure: string, value: (hop: Hop) => number): Row[] =>
    rows(measure, value).filter(({ contestant }) => contestant === OURS)
  const limits = { 'bare PUBLISH': MAX_RATIO }
  return [
    ...rows('until the other server has it, p50', ({ server }) => server.p50Ms, limits),
    ...rows('until the other server has it, p99', ({ server }) => server.p99Ms, limits),
    ...ofOurs('until its client has it, p50', ({ client }) => client.p50Ms),
    ...ofOurs('until its client has it, p99', ({ client }) => client.p99Ms),
    ...cpuRows('CPU of Redis per publish', hops, ({ redis }) => redis, OURS)
  ]
}

export const redisHop: Scenario = {
  name: 'redis-hop',
  about: `${STEADY.perSecond} messages of ${STEADY.dataBytes} bytes per second, published on one server and received on another`,
  needs: 'redis-server',
  run
}
