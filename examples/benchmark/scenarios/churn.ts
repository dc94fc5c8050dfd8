import { setTimeout as sleep } from 'node:timers/promises'
import type { Audit } from '../servers/vitals.ts'
import {
  atMost,
  type Client,
  type Context,
  exactly,
  OURS,
  type Row,
  type Scenario,
  type Server
} from './scenario.ts'

const VISITS = 100_000
const CONCURRENCY = 100
const CALL_VISITS = 5_000
/** Longer than Node keeps the timer of its cached `Date` header. */
const SETTLE_MS = 1_500
const MAX_BYTES_PER_VISIT = 10

interface Churn {
  served: number
  leftOver: number
  bytesPerVisit: number
}

async function measureOnce(context: Context): Promise<Churn> {
  const visits = context.count ?? VISITS
  const fifth = Math.ceil(visits / 5)
  return context.withServer({ contestant: OURS, watchResources: true }, async (server, client) => {
    await visit(server, client, Math.min(2_000, fifth))
    const before = await holdings(server)
    let served = await visit(server, client, fifth)
    const early = await server.child.call('memory')
    served += await visit(server, client, visits - fifth)
    const after = await holdings(server)
    const late = await server.child.call('memory')
    const differences = differencesBetween(before, after)
    for (const difference of differences) context.note(`Left over after ${visits} visits: ${difference}`)
    return {
      served,
      leftOver: differences.length,
      bytesPerVisit: (late.heapBytes - early.heapBytes) / (visits - fifth)
    }
  })
}

/** In calls that are short enough for a slow machine. @returns how many visits got an event. */
async function visit({ port }: Server, client: Client, visits: number): Promise<number> {
  let served = 0
  for (let done = 0; done < visits; done += CALL_VISITS) {
    const count = Math.min(CALL_VISITS, visits - done)
    served += await client.call('churn', { port, count, concurrency: CONCURRENCY })
  }
  await sleep(SETTLE_MS)
  return served
}

async function holdings({ child }: Server): Promise<Audit> {
  await child.call('collectGarbage')
  return { ...(await child.call('audit')), connections: (await child.call('connections')) ?? 0 }
}

export function differencesBetween(before: Audit, after: Audit): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)])
  return [...names]
    .filter((name) => (before[name] ?? 0) !== (after[name] ?? 0))
    .map((name) => `${name}: ${before[name] ?? 0} before, ${after[name] ?? 0} after`)
}

async function run(context: Context): Promise<Row[]> {
  const { served, leftOver, bytesPerVisit } = await measureOnce(context)
  return [
    { measure: 'visits that got an event', unit: '', contestant: OURS, samples: [served] },
    {
      measure: 'kinds of handles, timers, listeners and connections that differ',
      unit: '',
      contestant: OURS,
      samples: [leftOver],
      goal: exactly(0, [leftOver])
    },
    {
      measure: 'heap growth per visit after the first fifth',
      unit: 'bytes',
      contestant: OURS,
      samples: [bytesPerVisit],
      goal: atMost(MAX_BYTES_PER_VISIT, [bytesPerVisit], 'bytes')
    }
  ]
}

export const churn: Scenario = {
  name: 'churn',
  about: `${VISITS} connects and disconnects, half by reset, half before the stream has started`,
  run
}
