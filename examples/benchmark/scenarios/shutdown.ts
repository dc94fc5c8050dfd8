import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bodies } from '../client/streams.ts'
import type { ShutdownResult } from '../servers/workloads.ts'
import { atMost, type Context, exactly, OURS, type Row, type Scenario } from './scenario.ts'

const STREAMS = 1_000
const STALLED = 100
const PENDING_BYTES = 300_000
const EVENTS = 128
const DATA_BYTES = 1_000
const DRAIN_MS = 5_000
const SETTLE_MS = 200

interface Shutdown extends ShutdownResult {
  /** Streams that got every byte and a proper end. */
  whole: number
}

/** What a stream that reads gets: the events, then what our server is configured to say at shutdown. */
function wholeBody(): string {
  const events = `data: ${'x'.repeat(DATA_BYTES)}\n\n`.repeat(EVENTS)
  return `${events}event: bye\ndata: bye\n\nretry: 1000\n\n`
}

async function measureOnce(context: Context): Promise<Shutdown> {
  return context.withServer({ contestant: OURS, keepStreams: true }, async ({ port, child }, client) => {
    await client.call('open', { port, count: STALLED, path: '/?stalled', stall: true })
    await client.call('open', { port, count: STREAMS - STALLED, digest: true })
    await sleep(SETTLE_MS)
    const options = { pendingBytes: PENDING_BYTES, events: EVENTS, dataBytes: DATA_BYTES }
    const result = await child.call('shutdown', options)
    await client.call('receive', { complete: STREAMS - STALLED })
    return { ...result, whole: wholeStreams(await client.call('bodies')) }
  })
}

function wholeStreams(bodies: Bodies): number {
  const digest = createHash('sha1').update(wholeBody()).digest('hex')
  return bodies.find((body) => body.digest === digest && body.isComplete)?.streams ?? 0
}

async function run(context: Context): Promise<Row[]> {
  const results: Shutdown[] = []
  for (let round = 0; round < context.rounds; round++) results.push(await measureOnce(context))
  for (const { error } of results) if (error !== undefined) context.note(`close() rejected: ${error}`)
  const closeMs = results.map((result) => result.closeMs)
  const whole = results.map((result) => result.whole)
  const stalled = results.map((result) => result.stalled)
  const row = { contestant: OURS, unit: '' }
  return [
    {
      ...row,
      measure: 'close() took',
      unit: 'ms',
      samples: closeMs,
      goal: atMost(DRAIN_MS + 1_000, closeMs, 'ms')
    },
    {
      ...row,
      measure: 'readers that got every byte',
      samples: whole,
      goal: exactly(STREAMS - STALLED, whole)
    },
    { ...row, measure: 'readers that stalled', samples: stalled, goal: exactly(STALLED, stalled) }
  ]
}

export const shutdown: Scenario = {
  name: 'shutdown',
  about: `close() with ${STREAMS} streams, ${STALLED} of which stall with ${PENDING_BYTES} bytes pending`,
  run
}
