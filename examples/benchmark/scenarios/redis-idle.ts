import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisServer } from '../../../test/helpers/programs/redis-server.ts'
import type { RedisCallCounts } from '../servers/redis/calls.ts'
import { callsSince, subscribed, withRedis } from './redis.ts'
import { atMost, type Context, OURS, type RedisPeer, type Row, type Scenario } from './scenario.ts'

const CHANNELS = 10_000
const SETTLE_MS = 5_000
const DURATION_MS = 10_000
const MAX_ROUNDS = 2
const MAX_PER_SECOND = 20
/** What only our scripts do. */
const IN_SCRIPTS = new Set([
  'get',
  'set',
  'publish',
  'pexpire',
  'pttl',
  'time',
  'xadd',
  'xinfo|stream',
  'xrange',
  'xrevrange',
  'xtrim'
])
/** What the benchmark asks. */
const ASKED = 'info'

/** What Redis and the node have done since they started. */
interface Work {
  calls: RedisCallCounts
  redisCpuMs: number
  nodeCpuMs: number
}

/** Per second. */
interface Idle {
  sent: number
  inScripts: number
  redisCpuMs: number
  nodeCpuMs: number
}

async function measureOnce(context: Context): Promise<Idle> {
  const channels = context.count ?? CHANNELS
  return withRedis((redis) =>
    context.withRedisPeers(redis.url, [OURS], async (peers) => {
      const [node] = peers as [RedisPeer]
      await node.child.call('follow', { channels, isStamped: false })
      await subscribed(redis, channels)
      await sleep(SETTLE_MS)
      const before = await workOf(redis, node)
      await sleep(DURATION_MS)
      return idleOf(before, await workOf(redis, node))
    })
  )
}

async function workOf(redis: RedisServer, { child }: RedisPeer): Promise<Work> {
  const info = String(await redis.command('INFO', 'everything'))
  const counts = [...info.matchAll(/^cmdstat_(.+?):calls=(\d+)/gm)].map(([, name, calls]) => [
    name,
    Number(calls)
  ])
  const cpu = [...info.matchAll(/^used_cpu_(?:sys|user):([\d.]+)/gm)].map(
    ([, seconds]) => Number(seconds) * 1_000
  )
  return {
    calls: Object.fromEntries(counts),
    redisCpuMs: cpu.reduce((sum, ms) => sum + ms, 0),
    nodeCpuMs: (await child.call('cpu')) / 1_000
  }
}

function idleOf(before: Work, after: Work): Idle {
  const seconds = DURATION_MS / 1_000
  let sent = 0
  let inScripts = 0
  for (const [name, calls] of Object.entries(callsSince(before.calls, after.calls))) {
    if (IN_SCRIPTS.has(name)) inScripts += calls
    else if (name !== ASKED) sent += calls
  }
  return {
    sent: sent / seconds,
    inScripts: inScripts / seconds,
    redisCpuMs: (after.redisCpuMs - before.redisCpuMs) / seconds,
    nodeCpuMs: (after.nodeCpuMs - before.nodeCpuMs) / seconds
  }
}

async function run(context: Context): Promise<Row[]> {
  const results: Idle[] = []
  for (let round = 0; round < Math.min(MAX_ROUNDS, context.rounds); round++) {
    results.push(await measureOnce(context))
  }
  const row = (measure: string, unit: string, value: (idle: Idle) => number): Row => ({
    measure,
    unit,
    contestant: OURS,
    samples: results.map(value)
  })
  const sent = row('commands sent to Redis per second', '', (idle) => idle.sent)
  return [
    { ...sent, goal: atMost(MAX_PER_SECOND, sent.samples, 'per second') },
    row('commands within scripts per second', '', ({ inScripts }) => inScripts),
    row('CPU of Redis per second', 'ms', ({ redisCpuMs }) => redisCpuMs),
    row('CPU of the node per second', 'ms', ({ nodeCpuMs }) => nodeCpuMs)
  ]
}

export const redisIdle: Scenario = {
  name: 'redis-idle',
  about: `a node follows ${CHANNELS} channels to which nothing is published`,
  run
}
