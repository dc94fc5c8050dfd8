import { type Cost, costRows, deliverBatches } from './delivery.ts'
import { alternatingRounds, MEMORY, REDIS, withHistory } from './redis.ts'
import { type Context, OURS, type Row, type Scenario } from './scenario.ts'

const CONNECTIONS = 1_000
const DATA_BYTES = 100
const BATCHES = { warmUps: 3, measured: 5 }
/** Messages in a batch. */
const MESSAGES = 100
const BURST = 10
const MAX_RATIO = 1.15

type Histories = typeof REDIS | typeof MEMORY

async function measureOnce(context: Context, history: Histories): Promise<{ single: Cost; burst: Cost }> {
  const connections = context.count ?? CONNECTIONS
  return withHistory(history, (listening) =>
    context.withChannelServer(listening, async (server, client) => {
      await client.call('open', { port: server.port, count: connections })
      const deliver = (messagesPerTurn: number): Promise<Cost> => {
        const turns = MESSAGES / messagesPerTurn
        const options = { turns, messagesPerTurn, dataBytes: DATA_BYTES, isPaced: true }
        return deliverBatches(context, { contestant: OURS, server, client, connections }, options, BATCHES)
      }
      return { single: await deliver(1), burst: await deliver(BURST) }
    })
  )
}

async function run(context: Context): Promise<Row[]> {
  const results = await alternatingRounds(context.rounds, [REDIS, MEMORY] as const, (history) =>
    measureOnce(context, history)
  )
  const costs = (which: 'single' | 'burst') =>
    new Map([...results].map(([history, list]) => [history, list.map((cost) => cost[which])]))
  return [
    ...costRows(costs('single'), '', { [MEMORY]: MAX_RATIO }, REDIS),
    ...costRows(costs('burst'), `, ${BURST} messages per turn`, {}, REDIS)
  ]
}

export const redisLocal: Scenario = {
  name: 'redis-local',
  about: `one message of ${DATA_BYTES} bytes at a time, published where ${CONNECTIONS} clients are`,
  run
}
