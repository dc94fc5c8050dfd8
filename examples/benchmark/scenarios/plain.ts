import type { PlainVariant } from '../servers/plain-main.ts'
import { type Client, type Context, compare, type PlainServer, type Row, type Scenario } from './scenario.ts'

const CONNECTIONS = 20
const WARM_UP_REQUESTS = 20_000
const REQUESTS = 5_000
const TURNS = 8
/** What V8 decides once per process moves its cost per request by some percent: one round is this many processes. */
const PROCESSES = 4
const ALONE: PlainVariant = 'Fastify alone'

/** All variants are served at the same time and take short turns, so that every round is itself paired. */
function plain(name: string, about: string, variants: readonly PlainVariant[], ours: PlainVariant): Scenario {
  async function run(context: Context): Promise<Row[]> {
    const sync = new Map<PlainVariant, number[]>(variants.map((variant) => [variant, []]))
    const async = new Map<PlainVariant, number[]>(variants.map((variant) => [variant, []]))
    for (let launch = 0; launch < context.rounds * PROCESSES; launch++) {
      await context.withPlainServers(rotated(variants, launch), async (servers, client) => {
        await measureLaunch(servers, client, '/sync', sync)
        await measureLaunch(servers, client, '/async', async)
      })
    }
    return [...rows('sync', sync), ...rows('async', async)]
  }

  function rows(handler: string, samples: Map<PlainVariant, number[]>): Row[] {
    const measure = { measure: `server CPU per request, ${handler} handler`, unit: 'µs' }
    const limits = name === 'plain' ? { [ALONE]: 1.03 } : {}
    const rounds = new Map([...samples].map(([variant, launches]) => [variant, roundsOf(launches)]))
    return compare<PlainVariant>(measure, rounds, limits, ours)
  }

  return { name, about, run, isExtra: name !== 'plain' }
}

async function measureLaunch(
  servers: readonly PlainServer[],
  client: Client,
  path: string,
  samples: ReadonlyMap<PlainVariant, number[]>
): Promise<void> {
  const used = new Map<PlainServer, number>()
  const options = { path, connections: CONNECTIONS }
  for (const { port } of servers)
    await client.call('request', { ...options, port, requests: WARM_UP_REQUESTS })
  for (let turn = 0; turn < TURNS; turn++) {
    for (const server of turn % 2 === 0 ? servers : servers.toReversed()) {
      const before = await server.child.call('cpu')
      await client.call('request', { ...options, port: server.port, requests: REQUESTS })
      used.set(server, (used.get(server) ?? 0) + (await server.child.call('cpu')) - before)
    }
  }
  for (const [{ variant }, total] of used) samples.get(variant)?.push(total / (REQUESTS * TURNS))
}

function roundsOf(launches: readonly number[]): number[] {
  const rounds: number[] = []
  for (let i = 0; i < launches.length; i += PROCESSES) {
    const sum = launches.slice(i, i + PROCESSES).reduce((total, launch) => total + launch, 0)
    rounds.push(sum / PROCESSES)
  }
  return rounds
}

function rotated<T>(list: readonly T[], by: number): T[] {
  const start = by % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}

export const plainRoute = plain(
  'plain',
  'a route that does not stream, over keep-alive connections',
  ['with the plugin', ALONE],
  'with the plugin'
)

export const handlerErrors = plain(
  'handler-errors',
  'two ways to see what handlers throw, on a route that does not stream',
  [ALONE, 'onRoute wrap', 'tracing channel'],
  ALONE
)
