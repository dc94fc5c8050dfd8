import { type Cost, costRows, deliverBatches } from './delivery.ts'
import { IN_MEMORY, IN_REDIS, STORES, type StoreName, withStore } from './redis.ts'
import { type Context, OURS, pairedRounds, type Row, type Scenario } from './scenario.ts'

const CONNECTIONS = 1_000
const DATA_BYTES = 100
const BATCHES = { warmUps: 3, measured: 5 }
const TURNS = 100
const MAX_RATIO = 1.15

async function measureOnce(context: Context, store: StoreName): Promise<Cost> {
  const connections = context.count ?? CONNECTIONS
  const options = { turns: TURNS, messagesPerTurn: 1, dataBytes: DATA_BYTES, isPaced: true }
  return withStore(store, (redisUrl) =>
    context.withChannelServer({ contestant: OURS, redisUrl }, async (server, client) => {
      await client.call('open', { port: server.port, count: connections })
      return deliverBatches(context, { contestant: OURS, server, client, connections }, options, BATCHES)
    })
  )
}

async function run(context: Context): Promise<Row[]> {
  const results = await pairedRounds(context.rounds, STORES, (store) => measureOnce(context, store))
  return costRows(results, '', { [IN_MEMORY]: MAX_RATIO }, IN_REDIS)
}

export const redisLocal: Scenario = {
  name: 'redis-local',
  about: `one message of ${DATA_BYTES} bytes at a time, published where ${CONNECTIONS} clients are`,
  needs: 'redis-server',
  run
}
