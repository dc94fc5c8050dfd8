import type { ChannelContestantName } from '../servers/channel-main.ts'
import { type Cost, costRows, deliverBatches } from './delivery.ts'
import { type Context, pairedRounds, type Row, type Scenario } from './scenario.ts'

const CONNECTIONS = 1_000
const MESSAGES_PER_TURN = 100
const BATCHES = { warmUps: 40, measured: 20 }
const DATA_BYTES = 100
const LIMITS = { 'bare hand-coalesced': 1.25, '@fastify/sse': 0.02 }
const CONTESTANTS: readonly ChannelContestantName[] = [
  'ours',
  'bare hand-coalesced',
  '@fastify/sse',
  'better-sse',
  'better-sse, batched'
]

async function measureOnce(context: Context, contestant: ChannelContestantName): Promise<Cost> {
  const connections = context.count ?? CONNECTIONS
  const options = { turns: 1, messagesPerTurn: MESSAGES_PER_TURN, dataBytes: DATA_BYTES, isPaced: true }
  return context.withChannelServer({ contestant }, async (server, client) => {
    await client.call('open', { port: server.port, count: connections })
    return deliverBatches(context, { contestant, server, client, connections }, options, BATCHES)
  })
}

async function run(context: Context): Promise<Row[]> {
  const results = await pairedRounds(context.rounds, CONTESTANTS, (contestant) =>
    measureOnce(context, contestant)
  )
  return costRows(results, '', LIMITS)
}

export const burst: Scenario = {
  name: 'burst',
  about: `${CONNECTIONS} connections, ${MESSAGES_PER_TURN} messages of ${DATA_BYTES} bytes per turn`,
  run
}
