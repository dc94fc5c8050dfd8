import type { StallOptions } from '../servers/workloads.ts'
import { type Client, type Context, compare, OURS, type Row, type Scenario, type Server } from './scenario.ts'

const CONNECTIONS = 10_000
const DATA_BYTES = 100
const IDLE = 'idle, beside it'
const LIMIT = { [IDLE]: 2 }

/** The heartbeats of streams that fell quiet together are due 15 seconds after that, at once. */
const MEASURES: Record<string, StallOptions> = {
  'all heartbeats at once': { durationMs: 18_000 },
  'closeWhere(() => true)': { ending: 'streams', durationMs: 2_000 },
  'close()': { ending: 'server', durationMs: 2_000 }
}

/** Another server of ours, with as many streams, is watched at the same time: what the machine does stalls both. */
async function measureOnce(context: Context, options: StallOptions): Promise<Record<string, number>> {
  const count = context.streams(context.count ?? CONNECTIONS)
  return withStreams(context, count, async (idle) =>
    withStreams(context, count, async (server, client) => {
      if (options.ending === undefined) {
        const { events } = await client.call('totals')
        await server.child.call('unicast', { sends: 1, dataBytes: DATA_BYTES, isPaced: false })
        await client.call('receive', { events: events + count })
      }
      const [ours, beside] = await Promise.all([
        server.child.call('longestStall', options),
        idle.child.call('longestStall', { durationMs: options.durationMs })
      ])
      return { [OURS]: ours, [IDLE]: beside }
    })
  )
}

function withStreams<T>(
  context: Context,
  count: number,
  measure: (server: Server, client: Client) => Promise<T>
): Promise<T> {
  return context.withServer({ contestant: OURS, keepStreams: true }, async (server, client) => {
    await client.call('open', { port: server.port, count })
    await server.child.call('collectGarbage')
    return measure(server, client)
  })
}

async function run(context: Context): Promise<Row[]> {
  const rows: Row[] = []
  for (const [measure, options] of Object.entries(MEASURES)) {
    const samples = new Map<string, number[]>([
      [OURS, []],
      [IDLE, []]
    ])
    for (let round = 0; round < context.rounds; round++) {
      const stalls = await measureOnce(context, options)
      for (const [name, list] of samples) list.push(stalls[name] ?? Number.NaN)
    }
    rows.push(...compare({ measure: `longest stall, ${measure}`, unit: 'ms' }, samples, LIMIT))
  }
  return rows
}

export const stalls: Scenario = {
  name: 'stalls',
  about: `how long the event loop stands still when ${CONNECTIONS} streams have to be written to or closed at once`,
  run
}
