import { setTimeout as sleep } from 'node:timers/promises'
import type { ContestantName } from '../servers/main.ts'
import type { Memory } from '../servers/vitals.ts'
import { type Context, compare, pairedRounds, pick, type Row, type Scenario } from './scenario.ts'

const CONNECTIONS = 5_000
const WARM_UP = 200
const SETTLE_MS = 500
const SUBSCRIBED = 'ours, subscribed'
const CONTESTANTS: readonly ContestantName[] = [
  'ours',
  SUBSCRIBED,
  'bare node:http',
  'bare Fastify, hijacked',
  '@fastify/sse',
  'fastify-sse-v2',
  'better-sse'
]

async function measureOnce(context: Context, contestant: ContestantName): Promise<Memory> {
  const count = context.count ?? CONNECTIONS
  return context.withServer({ contestant }, async ({ port, child }, client) => {
    await client.call('open', { port, count: WARM_UP })
    await client.call('reset')
    await sleep(SETTLE_MS)
    const before = await child.call('memory')
    await client.call('open', { port, count })
    await sleep(SETTLE_MS)
    const { heads, closed } = await client.call('totals')
    if (heads - closed !== count) context.note(`${contestant} had ${heads - closed} of ${count} streams open`)
    const after = await child.call('memory')
    return {
      heapBytes: (after.heapBytes - before.heapBytes) / count,
      externalBytes: (after.externalBytes - before.externalBytes) / count,
      rssBytes: (after.rssBytes - before.rssBytes) / count
    }
  })
}

async function run(context: Context): Promise<Row[]> {
  const results = await pairedRounds(context.rounds, CONTESTANTS, (contestant) =>
    measureOnce(context, contestant)
  )
  const heap = pick(results, ({ heapBytes }) => heapBytes / 1024)
  const rss = pick(results, ({ rssBytes }) => rssBytes / 1024)
  return [
    ...compare({ measure: 'heap per connection', unit: 'KiB' }, heap, { 'bare node:http': 1.3 }),
    ...compare(
      { measure: 'heap per connection that is subscribed', unit: 'KiB' },
      new Map([...heap].filter(([name]) => name === SUBSCRIBED || name === 'bare node:http')),
      { 'bare node:http': 1.4 },
      SUBSCRIBED
    ),
    ...compare({ measure: 'RSS per connection', unit: 'KiB' }, rss)
  ]
}

export const idle: Scenario = {
  name: 'idle',
  about: `${CONNECTIONS} open streams that are sent nothing`,
  run
}
