import { setTimeout as sleep } from 'node:timers/promises'
import { assertDelivered } from './delivery.ts'
import { fill, heldBytes } from './fill.ts'
import {
  atMost,
  type ChannelServer,
  type Client,
  type Context,
  compare,
  OURS,
  pairedRounds,
  pick,
  type Row,
  type Scenario
} from './scenario.ts'

const CONNECTIONS = 2_000
/** Of all connections: half of them never read, the others read one byte per second. */
const SLOW_SHARE = 0.04
const EVERY_MS = 50
const DURATION_MS = 60_000
const WARM_UP_MS = 3_000
const DATA_BYTES = 1_000
const SETTLE_MS = 2_000
const MAX_ROUNDS = 2
const MAX_DELAY_RATIO = 1.25
const MAX_GROWTH_MB = 1
const MAX_LEFT_MB = 0.05
const STEADY = { everyMs: EVERY_MS, dataBytes: DATA_BYTES }
const WITH = 'with slow readers'
const WITHOUT = 'without'

interface Outcome {
  p99Ms: number
  /** Of RSS, from before the slow ones came until it was highest. */
  growthBytes: number
  /** Of heap and buffers, from before the slow ones came until after they had gone. */
  leftBytes: number
}

async function measureOnce(context: Context, slow: number, fast: number): Promise<Outcome> {
  return context.withChannelServer({ contestant: OURS }, (server, client) =>
    context.withClient(async (slowClient) => {
      const { port, child } = server
      await client.call('open', { port, count: fast, isStamped: true })
      await send(context, server, client, fast, WARM_UP_MS)
      const before = await child.call('memory')
      if (slow > 0) {
        await fill(server, slowClient, slow >> 1, 'never')
        await fill(server, slowClient, slow - (slow >> 1), 'trickle')
      }
      await client.call('delays')
      const highestBytes = await send(context, server, client, fast, DURATION_MS)
      const { p99Ms } = await client.call('delays')
      const stuck = await child.call('stuck')
      if (stuck !== slow) throw new Error(`${stuck} of ${slow} slow readers were stuck to the end`)
      await slowClient.call('reset')
      await sleep(SETTLE_MS)
      const after = await child.call('memory')
      return {
        p99Ms,
        growthBytes: highestBytes - before.rssBytes,
        leftBytes: heldBytes(after) - heldBytes(before)
      }
    })
  )
}

/** @returns the highest RSS meanwhile. */
async function send(
  context: Context,
  { child }: ChannelServer,
  client: Client,
  fast: number,
  durationMs: number
): Promise<number> {
  const { events } = await client.call('totals')
  await child.call('collectGarbage')
  const { highestRssBytes } = await child.call('publishSteadily', { ...STEADY, durationMs })
  const expected = (fast * durationMs) / EVERY_MS
  const received = await client.call('receive', { events: events + expected })
  assertDelivered(context, OURS, received.events - events - expected)
  return highestRssBytes
}

async function run(context: Context): Promise<Row[]> {
  const rounds = Math.min(MAX_ROUNDS, context.rounds)
  const count = context.count ?? CONNECTIONS
  const slow = Math.round(count * SLOW_SHARE)
  const results = await pairedRounds(rounds, [WITH, WITHOUT], (how) =>
    measureOnce(context, how === WITH ? slow : 0, count - slow)
  )
  context.note(`slow-readers takes minutes per round and has ${rounds} of them`)
  const delays = pick(results, ({ p99Ms }) => p99Ms)
  const limits = { [WITHOUT]: MAX_DELAY_RATIO }
  return [
    ...compare({ measure: `delay of the others' messages, p99`, unit: 'ms' }, delays, limits, WITH),
    perSlow('highest growth of RSS', MAX_GROWTH_MB, ({ growthBytes }) => growthBytes),
    perSlow('heap and buffers left when they have gone', MAX_LEFT_MB, ({ leftBytes }) => leftBytes)
  ]

  /** What the slow ones add, for each of them. */
  function perSlow(what: string, limitMb: number, value: (outcome: Outcome) => number): Row {
    const own = pick(results, value)
    const others = own.get(WITHOUT) ?? []
    const samples = (own.get(WITH) ?? []).map((bytes, i) => (bytes - (others[i] ?? 0)) / slow / 1e6)
    const goal = atMost(limitMb, samples, 'MB')
    return { measure: `${what}, per slow reader`, unit: 'MB', contestant: WITH, samples, goal }
  }
}

export const slowReaders: Scenario = {
  name: 'slow-readers',
  about: `${CONNECTIONS} connections, 20 messages of ${DATA_BYTES} bytes per second for ${DURATION_MS / 1_000} s; 2 % never read, 2 % read a byte per second`,
  isExtra: true,
  run
}
