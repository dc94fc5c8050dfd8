import { setTimeout as sleep } from 'node:timers/promises'
import type { ContestantName } from '../servers/main.ts'
import type { Audit } from '../servers/vitals.ts'
import { differencesBetween } from './churn.ts'
import { type Context, exactly, OURS, pairedRounds, pick, type Row, type Scenario } from './scenario.ts'

const REQUESTS = 50
const STAY_MS = 300
/** Longer than Node keeps the timer of its cached `Date` header. */
const SETTLE_MS = 1_500
const CONTESTANTS: readonly ContestantName[] = ['ours', '@fastify/sse', 'better-sse']

/** How many kinds of handles, timers, listeners and connections differ from before. */
async function measureOnce(context: Context, contestant: ContestantName, path: string): Promise<number> {
  return context.withServer({ contestant, watchResources: true }, async ({ port, child }, client) => {
    const before = await holdingsAfter(1)
    const after = await holdingsAfter(REQUESTS)
    const differences = differencesBetween(before, after)
    for (const difference of differences) context.note(`Left by pipelining, ${contestant}: ${difference}`)
    return differences.length

    async function holdingsAfter(count: number): Promise<Audit> {
      await client.call('pipeline', { port, path, count, stayMs: STAY_MS })
      await sleep(SETTLE_MS)
      await child.call('collectGarbage')
      return { ...(await child.call('audit')), connections: (await child.call('connections')) ?? 0 }
    }
  })
}

async function measureAll(context: Context, when: string, path: string): Promise<Row[]> {
  const results = await pairedRounds(1, CONTESTANTS, (contestant) => measureOnce(context, contestant, path))
  return [...pick(results, (differences) => differences)].map(([contestant, samples]) => ({
    measure: `kinds of handles, timers, listeners and connections that differ, ${when}`,
    unit: '',
    contestant,
    samples,
    ...(contestant === OURS ? { goal: exactly(0, samples) } : {})
  }))
}

async function run(context: Context): Promise<Row[]> {
  return [
    ...(await measureAll(context, 'started at once', '/')),
    ...(await measureAll(context, 'started after authentication', '/?auth'))
  ]
}

export const pipelined: Scenario = {
  name: 'pipelined',
  about: `${REQUESTS} pipelined stream requests on one socket, then its close`,
  run
}
