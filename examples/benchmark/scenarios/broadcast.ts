import { hasBun, hasNchan } from '../process/programs.ts'
import type { ChannelContestantName } from '../servers/channel-main.ts'
import { ratios } from '../statistics.ts'
import { type Cost, costRows, deliverBatches } from './delivery.ts'
import { atMost, type Context, OURS, pairedRounds, type Row, type Scenario } from './scenario.ts'

const MANY = 10_000
/** Of the connections, which are there first. */
const FEW_SHARE = 0.1
const DATA_BYTES = 100
/** Messages times connections. */
const BATCH_DELIVERIES = 100_000
const BATCHES = { warmUps: 1, measured: 3 }
const MAX_GROWTH = 1.15
const LIMITS = { 'bare socket.write': 1.0, '@fastify/sse': 0.4 }
const CONTESTANTS: readonly ChannelContestantName[] = [
  'ours',
  'bare socket.write',
  'bare response.write',
  '@fastify/sse',
  'better-sse',
  'fastify-sse-v2'
]

interface Costs {
  few: Cost
  many: Cost
}
type Results = ReadonlyMap<ChannelContestantName, readonly Costs[]>

function broadcast(name: string, about: string, isPaced: boolean): Scenario {
  /** Few and many connections in one process, so that what V8 decides once per process is the same for both. */
  async function measureOnce(context: Context, contestant: ChannelContestantName): Promise<Costs> {
    const { few, many } = numbersOf(context)
    return context.withChannelServer({ contestant }, async (server, client) => {
      const deliverTo = (connections: number): Promise<Cost> => {
        const turns = Math.ceil(BATCH_DELIVERIES / connections)
        const options = { turns, messagesPerTurn: 1, dataBytes: DATA_BYTES, isPaced }
        return deliverBatches(context, { contestant, server, client, connections }, options, BATCHES)
      }
      await client.call('open', { port: server.port, count: few })
      const costOfFew = await deliverTo(few)
      await client.call('open', { port: server.port, count: many - few })
      return { few: costOfFew, many: await deliverTo(many) }
    })
  }

  async function run(context: Context): Promise<Row[]> {
    const { few, many } = numbersOf(context)
    const results: Results = await pairedRounds(context.rounds, contestantsOf(context), (contestant) =>
      measureOnce(context, contestant)
    )
    const pickCosts = (which: keyof Costs) =>
      new Map([...results].map(([contestant, costs]) => [contestant, costs.map((cost) => cost[which])]))
    return [
      ...costRows(pickCosts('few'), `, ${few} connections`, LIMITS),
      ...costRows(pickCosts('many'), `, ${many} connections`, LIMITS),
      growthRow(OURS, results),
      growthRow('bare socket.write', results)
    ]
  }

  return { name, about, run }
}

function contestantsOf(context: Context): ChannelContestantName[] {
  const all = [...CONTESTANTS]
  if (hasBun()) all.push('Bun', 'Bun, node:http')
  else context.note('**Bun was left out: it is neither on the `PATH` nor named by `BUN`**')
  if (hasNchan()) all.push('nginx with nchan')
  else context.note('**nginx with nchan was left out: libnginx-mod-nchan is not installed**')
  return all
}

function numbersOf(context: Context) {
  const many = context.streams(context.count ?? MANY)
  return { few: Math.ceil(many * FEW_SHARE), many }
}

function growthRow(contestant: ChannelContestantName, results: Results): Row {
  const costs = results.get(contestant) ?? []
  const samples = ratios(
    costs.map(({ many }) => many.all),
    costs.map(({ few }) => few.all)
  )
  const row = { measure: 'server CPU per delivery, many ÷ few connections', unit: '×', contestant, samples }
  return contestant === OURS ? { ...row, goal: atMost(MAX_GROWTH, samples, '×') } : row
}

const SIZE = `one message of ${DATA_BYTES} bytes per turn to ${MANY * FEW_SHARE} and ${MANY} connections`

export const broadcastEachTurn = broadcast('broadcast', `${SIZE}, written or not`, false)
export const broadcastPaced = broadcast('broadcast-paced', `${SIZE}, each written before the next one`, true)
