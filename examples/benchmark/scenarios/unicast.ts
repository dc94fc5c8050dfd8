import { setTimeout as sleep } from 'node:timers/promises'
import type { ContestantName } from '../servers/main.ts'
import {
  type Client,
  type Context,
  compare,
  pairedRounds,
  pick,
  type Row,
  type Scenario,
  type Server
} from './scenario.ts'

const CONNECTIONS = 200
const SENDS = 500
const DATA_BYTES = 100
const SETTLE_MS = 50
const CONTESTANTS: readonly ContestantName[] = [
  'ours',
  'bare socket.write',
  'bare node:http',
  '@fastify/sse',
  'fastify-sse-v2',
  'better-sse'
]

/** `repeats` batches of 200 × 500 sends are measured together, after one that warms the server up. */
function unicast(name: string, about: string, isPaced: boolean, repeats: number): Scenario {
  const batch = { sends: SENDS, dataBytes: DATA_BYTES, isPaced }

  async function measureOnce(context: Context, contestant: ContestantName): Promise<number> {
    const connections = context.count ?? CONNECTIONS
    return context.withServer({ contestant, keepStreams: true }, async (server, client) => {
      await client.call('open', { port: server.port, count: connections })
      await sleep(SETTLE_MS)
      await sendBatch(server, client)
      let used = 0
      for (let i = 0; i < repeats; i++) used += await sendBatch(server, client)
      return used / (connections * SENDS * repeats)
    })

    async function sendBatch({ child }: Server, client: Client): Promise<number> {
      const { events } = await client.call('totals')
      await child.call('collectGarbage')
      const expected = events + connections * SENDS
      const before = await child.call('cpu')
      await child.call('unicast', batch)
      const received = await client.call('receive', { events: expected })
      await sleep(SETTLE_MS)
      const used = (await child.call('cpu')) - before
      if (received.events !== expected) {
        context.note(`${contestant} delivered ${received.events - expected} events too many or few (${name})`)
      }
      return used
    }
  }

  async function run(context: Context): Promise<Row[]> {
    const results = await pairedRounds(context.rounds, CONTESTANTS, (contestant) =>
      measureOnce(context, contestant)
    )
    const samples = pick(results, (used) => used)
    return compare({ measure: 'server CPU per send', unit: 'µs' }, samples, {
      'bare node:http': 1.0,
      '@fastify/sse': 0.65
    })
  }

  return { name, about, run }
}

const SIZE = `${CONNECTIONS} connections × ${SENDS} awaited sends of ${DATA_BYTES} bytes`

export const unicastAwaited = unicast('unicast', `${SIZE}, as fast as they are accepted`, false, 5)
export const unicastPaced = unicast('unicast-paced', `${SIZE}, one per connection and turn`, true, 2)
