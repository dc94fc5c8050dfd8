import { setTimeout as sleep } from 'node:timers/promises'
import type { ContestantName } from '../servers/main.ts'
import type { FloodResult } from '../servers/workloads.ts'
import {
  atMost,
  type Context,
  compare,
  exactly,
  OURS,
  pairedRounds,
  pick,
  type Row,
  type Scenario
} from './scenario.ts'

const BYTES = 100_000_000
const TURN_BYTES = 1_000_000
const MAX_GROWTH_MB = 32
const WARM_UP = 100
const SETTLE_MS = 200
const CONTESTANTS: readonly ContestantName[] = [
  'ours',
  'bare node:http',
  '@fastify/sse',
  'fastify-sse-v2',
  'better-sse'
]

async function measureOnce(
  context: Context,
  contestant: ContestantName,
  turnBytes: number
): Promise<FloodResult> {
  return context.withServer({ contestant }, async ({ port, child }, client) => {
    await client.call('open', { port, count: WARM_UP })
    await client.call('reset')
    await child.call('keepStreams')
    await client.call('open', { port, count: 1, stall: 'never' })
    await sleep(SETTLE_MS)
    await child.call('collectGarbage')
    const result = await child.call('flood', { bytes: BYTES, turnBytes })
    if (result.reason !== undefined) context.note(`${contestant} closed with reason \`${result.reason}\``)
    return result
  })
}

async function measureAll(context: Context, how: string, turnBytes: number): Promise<Row[]> {
  const results = await pairedRounds(context.rounds, CONTESTANTS, (contestant) =>
    measureOnce(context, contestant, turnBytes)
  )
  const growth = pick(results, ({ growthBytes }) => growthBytes / 1e6)
  const gone = pick(results, ({ isGone }) => Number(isGone))
  return [
    ...compare({ measure: `RSS growth, ${how}`, unit: 'MB' }, growth).map((row) =>
      row.contestant === OURS ? { ...row, goal: atMost(MAX_GROWTH_MB, row.samples, 'MB') } : row
    ),
    ...[...gone].map(([contestant, samples]) => ({
      measure: `client is gone, ${how}`,
      unit: '',
      contestant,
      samples,
      ...(contestant === OURS ? { goal: exactly(1, samples) } : {})
    }))
  ]
}

async function run(context: Context): Promise<Row[]> {
  return [
    ...(await measureAll(context, '1 MB per turn', TURN_BYTES)),
    ...(await measureAll(context, 'all in one turn', Number.POSITIVE_INFINITY))
  ]
}

export const neverReads: Scenario = {
  name: 'never-reads',
  about: '100 MB sent un-awaited to one client that never reads',
  run
}
