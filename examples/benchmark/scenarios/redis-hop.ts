import type { DelaySummary } from '../process/delays.ts'
import type { Way } from '../servers/redis-main.ts'
import type { CpuParts } from '../servers/vitals.ts'
import { cpuPer, cpuRows, redisCpu, withRedis } from './redis.ts'
import { type Context, compare, OURS, pairedRounds, pick, type Row, type Scenario } from './scenario.ts'

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

/** All ways are there at the same time and take turns. */
async function measureAll(context: Context): Promise<Map<Way, Hop[]>> {
  return withRedis((redis) =>
    context.withRedisServer(redis.url, (from) =>
      context.withRedisServer(redis.url, (to) =>
        context.withClient(async (client) => {
          await client.call('open', { port: to.port, count: 1, isStamped: true })
          await to.child.call('receive')
          const hopOnce = async (way: Way): Promise<Hop> => {
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
