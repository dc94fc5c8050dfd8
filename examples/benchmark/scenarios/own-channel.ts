import { type Cost, deliverBatches } from './delivery.ts'
import { type Context, compare, OURS, pairedRounds, pick, type Row, type Scenario } from './scenario.ts'

const CONNECTIONS = 1_000
const BURST = 50
const EVERY_MS = 100
const BURSTS = 20
const DATA_BYTES = 100
const BATCHES = { warmUps: 2, measured: 2 }
const MAX_RATIO = 1.1
const WITH = 'with a channel of its own'
const WITHOUT = 'without'

async function measureOnce(context: Context, hasOwn: boolean): Promise<Cost> {
  const connections = context.count ?? CONNECTIONS
  const options = {
    turns: BURSTS,
    messagesPerTurn: BURST,
    dataBytes: DATA_BYTES,
    isPaced: true,
    everyMs: EVERY_MS
  }
  return context.withChannelServer({ contestant: OURS, hasOwn }, async (server, client) => {
    await client.call('open', { port: server.port, count: connections })
    return deliverBatches(context, { contestant: OURS, server, client, connections }, options, BATCHES)
  })
}

async function run(context: Context): Promise<Row[]> {
  const results = await pairedRounds(context.rounds, [WITH, WITHOUT], (how) =>
    measureOnce(context, how === WITH)
  )
  const rows = (part: keyof Cost, what: string, limits: Partial<Record<string, number>> = {}) =>
    compare(
      { measure: `server CPU per delivery${what}`, unit: 'µs' },
      pick(results, (cost) => cost[part]),
      limits,
      WITH
    )
  return [
    ...rows('all', '', { [WITHOUT]: MAX_RATIO }),
    ...rows('user', ', outside of the kernel'),
    ...rows('system', ', in the kernel')
  ]
}

export const ownChannel: Scenario = {
  name: 'own-channel',
  about: `${CONNECTIONS} connections, each also subscribed to a channel of its own; ${BURST} messages of ${DATA_BYTES} bytes to all, ${1_000 / EVERY_MS} times a second`,
  run
}
