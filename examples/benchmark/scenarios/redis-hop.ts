import type { DelaySummary } from '../process/delays.ts'
import { inTurn, subscribed, withRedis } from './redis.ts'
import {
  type Client,
  type Context,
  compare,
  OURS,
  pick,
  type RedisPeer,
  type Row,
  type Scenario
} from './scenario.ts'

const PER_SECOND = 1_000
const TURN_MESSAGES = 1_500
/** Until both are compiled: after one turn, half of what is late still is so because ours is not. */
const WARM_UP_TURNS = 4
const TURNS = 8
const DATA_BYTES = 100
const MAX_RATIO = 2.5
const STEADY = { perSecond: PER_SECOND, messages: TURN_MESSAGES, channels: 1, dataBytes: DATA_BYTES }
const BARE = 'bare PUBLISH → SUBSCRIBE'

interface Hops {
  ours: DelaySummary
  bare: DelaySummary
  /** Ours until a client's process has it. */
  client: DelaySummary
}

/**
 * Both hops are there at the same time and take short turns. Each pair of turns is a measurement of its own, so that a
 * moment in which the machine does something else spoils one of many.
 */
async function measureOnce(context: Context): Promise<Hops[]> {
  return withRedis((redis) =>
    context.withRedisPeers(
      redis.url,
      ['ours', 'ours', 'bare node-redis', 'bare node-redis'],
      async (peers, client) => {
        const [from, to, bareFrom, bareTo] = peers as [RedisPeer, RedisPeer, RedisPeer, RedisPeer]
        await client.call('open', { port: to.port, count: 1, path: '/?stamped', isStamped: true })
        await to.child.call('settled')
        await bareTo.child.call('follow', { channels: 1, isStamped: true })
        await subscribed(redis, 1 + 1 + peers.filter(({ port }) => port > 0).length)
        const hops = [() => turn(from, to, client), () => turn(bareFrom, bareTo)]
        const measured: Hops[] = []
        for (let i = 0; i < WARM_UP_TURNS + TURNS; i++) {
          for (const hop of inTurn(hops, i)) await hop()
          measured.push({
            ours: await to.child.call('delays'),
            bare: await bareTo.child.call('delays'),
            client: await client.call('delays')
          })
        }
        return measured.slice(WARM_UP_TURNS)
      }
    )
  )
}

const sent = new WeakMap<RedisPeer, number>()

/** Publishes for a while, and waits until all has come. */
async function turn(from: RedisPeer, to: RedisPeer, client?: Client): Promise<void> {
  const total = (sent.get(to) ?? 0) + TURN_MESSAGES
  sent.set(to, total)
  const before = await client?.call('totals')
  await from.child.call('publishSteadily', STEADY)
  await to.child.call('reached', total)
  if (before !== undefined) await client?.call('receive', { events: before.events + TURN_MESSAGES })
}

async function run(context: Context): Promise<Row[]> {
  const turns: Hops[] = []
  for (let round = 0; round < context.rounds; round++) turns.push(...(await measureOnce(context)))
  const rows = (
    measure: string,
    which: 'ours' | 'client',
    value: (delays: DelaySummary) => number,
    limits = {}
  ) =>
    compare(
      { measure, unit: 'ms' },
      pick(
        new Map([
          [OURS, turns.map((hops) => hops[which])],
          [BARE, turns.map(({ bare }) => bare)]
        ]),
        value
      ),
      limits
    )
  const limits = { [BARE]: MAX_RATIO }
  return [
    ...rows('until the other node writes it to a socket, p50', 'ours', ({ p50Ms }) => p50Ms, limits),
    ...rows('until the other node writes it to a socket, p99', 'ours', ({ p99Ms }) => p99Ms, limits),
    ...rows('until a client of the other node has it, p50', 'client', ({ p50Ms }) => p50Ms),
    ...rows('until a client of the other node has it, p99', 'client', ({ p99Ms }) => p99Ms)
  ]
}

export const redisHop: Scenario = {
  name: 'redis-hop',
  about: `${PER_SECOND} messages of ${DATA_BYTES} bytes per second, published on one node and received on another`,
  run
}
