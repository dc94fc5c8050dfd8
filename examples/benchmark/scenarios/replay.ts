import { setTimeout as sleep } from 'node:timers/promises'
import type { ChannelContestantName, ChannelListenOptions } from '../servers/channel-main.ts'
import { assertDelivered } from './delivery.ts'
import { fill, heldBytes } from './fill.ts'
import { IN_MEMORY, IN_REDIS, STORES, withStore } from './redis.ts'
import {
  atMost,
  type Context,
  compare,
  OURS,
  pairedRounds,
  pick,
  type Row,
  type Scenario
} from './scenario.ts'

const CLIENTS = 5_000
const MESSAGES = 100
const DATA_BYTES = 100
const AT_ONCE = 500
const WARM_UPS = 2
const WARM_UP_CLIENTS = 2_000
const SETTLE_MS = 500
/** So few, because the system holds about 4 MB for each before the server has to. */
const STUCK_CLIENTS = 200
const STUCK_DATA_BYTES = 1_000
/** A hundredth of what they are behind. The messages themselves, kept once for all, are two thirds of it. */
const MAX_STUCK_BYTES = 1_000
const CONTESTANTS: readonly ChannelContestantName[] = ['ours', 'bare response.write']

interface CaughtUp {
  tookMs: number
  cpuUs: number
  heapBytes: number
  bytes: number
}

async function catchUpOnce(context: Context, options: ChannelListenOptions): Promise<CaughtUp> {
  const { contestant } = options
  const count = context.streams(context.count ?? CLIENTS)
  return context.withChannelServer(options, async ({ port, child }, client) => {
    const lastEventId = await child.call('keep', { messages: MESSAGES, dataBytes: DATA_BYTES })
    for (let i = 0; i < WARM_UPS; i++) {
      await catchUp(Math.min(count, WARM_UP_CLIENTS))
      await client.call('reset')
      await sleep(SETTLE_MS)
    }
    const before = await child.call('memory')
    const result = await catchUp(count)
    const after = await child.call('memory')
    return { ...result, heapBytes: (after.heapBytes - before.heapBytes) / count }

    async function catchUp(clients: number) {
      // Ours also tells where the client stands.
      const events = clients * (contestant === OURS ? MESSAGES + 1 : MESSAGES)
      const earlier = { ...(await client.call('totals')) }
      const cpuBefore = await child.call('cpu')
      const streams = { port, lastEventId, count: clients, atOnce: AT_ONCE, events }
      const { tookMs, totals } = await client.call('catchUp', streams)
      const cpuUs = ((await child.call('cpu')) - cpuBefore) / clients
      assertDelivered(context, contestant, totals.events - earlier.events - events)
      return { tookMs, cpuUs, bytes: (totals.bytes - earlier.bytes) / clients }
    }
  })
}

/** Bytes that are held for each client that takes nothing, because of the messages that it has not taken. */
async function stuckOnce(context: Context, contestant: ChannelContestantName): Promise<number> {
  const count = Math.min(STUCK_CLIENTS, context.count ?? STUCK_CLIENTS)
  return context.withChannelServer({ contestant }, async (server, client) => {
    await fill(server, client, count, true)
    const before = await server.child.call('memory')
    await server.child.call('publish', { messages: MESSAGES, dataBytes: STUCK_DATA_BYTES })
    await sleep(SETTLE_MS)
    const after = await server.child.call('memory')
    return (heldBytes(after) - heldBytes(before)) / count
  })
}

async function run(context: Context): Promise<Row[]> {
  const caughtUp = await pairedRounds(context.rounds, CONTESTANTS, (contestant) =>
    catchUpOnce(context, { contestant })
  )
  const stuck = await pairedRounds(context.rounds, CONTESTANTS, (name) => stuckOnce(context, name))
  const heldMeasure = `memory per client that is stuck ${MESSAGES} messages of ${STUCK_DATA_BYTES} bytes behind`
  const limits = { 'bare response.write': 1.5 }
  return [
    ...compare(
      { measure: 'until all have caught up', unit: 'ms' },
      pick(caughtUp, ({ tookMs }) => tookMs),
      limits
    ),
    ...compare(
      { measure: 'server CPU per client', unit: 'µs' },
      pick(caughtUp, ({ cpuUs }) => cpuUs)
    ),
    ...compare(
      { measure: 'bytes per client', unit: '' },
      pick(caughtUp, ({ bytes }) => bytes)
    ),
    ...compare(
      { measure: 'heap per client', unit: 'KiB' },
      pick(caughtUp, ({ heapBytes }) => heapBytes / 1024)
    ),
    ...compare(
      { measure: heldMeasure, unit: 'bytes' },
      pick(stuck, (bytes) => bytes)
    ).map((row) =>
      row.contestant === OURS ? { ...row, goal: atMost(MAX_STUCK_BYTES, row.samples, 'bytes') } : row
    )
  ]
}

export const replay: Scenario = {
  name: 'replay',
  about: `${CLIENTS} clients come back ${MESSAGES} messages of ${DATA_BYTES} bytes behind`,
  run
}

const REDIS_CHANNELS = { channels: 1_000, channelsEach: 20 }
const REDIS_MAX_RATIO = 1.5

async function runWithRedis(context: Context): Promise<Row[]> {
  const results = await pairedRounds(context.rounds, STORES, (store) =>
    withStore(store, (redisUrl) => catchUpOnce(context, { contestant: OURS, redisUrl, ...REDIS_CHANNELS }))
  )
  const rows = (measure: string, unit: string, value: (result: CaughtUp) => number, limits = {}): Row[] =>
    compare({ measure, unit }, pick(results, value), limits, IN_REDIS)
  return [
    ...rows('until all have caught up', 'ms', ({ tookMs }) => tookMs, { [IN_MEMORY]: REDIS_MAX_RATIO }),
    ...rows('server CPU per client', 'µs', ({ cpuUs }) => cpuUs)
  ]
}

export const redisReplay: Scenario = {
  name: 'redis-replay',
  about: `${CLIENTS} clients come back ${MESSAGES} messages of ${DATA_BYTES} bytes behind, in ${REDIS_CHANNELS.channelsEach} channels each`,
  needs: 'redis-server',
  run: runWithRedis
}
