import type { ProbeResult } from '../client/probe.ts'
import type { ChannelContestantName } from '../servers/channel-main.ts'
import { PLAIN_PATH } from '../servers/channels/contestant.ts'
import type { SteadyResult } from '../servers/channels/workloads.ts'
import {
  atMost,
  type Context,
  compare,
  OURS,
  pairedRounds,
  pick,
  type Row,
  type Scenario
} from './scenario.ts'

const CONNECTIONS = 10_000
const EVERY_MS = 200
const PROBE_EVERY_MS = 2
const DATA_BYTES = 100
const DURATION_MS = 10_000
const WARM_UP_MS = 2_000
const MAX_SLICE_MS = 8
const CONTESTANTS: readonly ChannelContestantName[] = ['ours', 'bare socket.write']

interface Responsiveness extends SteadyResult {
  plain: ProbeResult
}

/** The plain route is asked by a process of its own, which 10,000 sockets do not disturb. */
async function measureOnce(context: Context, contestant: ChannelContestantName): Promise<Responsiveness> {
  const count = context.streams(context.count ?? CONNECTIONS)
  return context.withChannelServer({ contestant }, ({ port, child }, client) =>
    context.withClient(async (prober) => {
      await client.call('open', { port, count })
      await during(WARM_UP_MS)
      await child.call('collectGarbage')
      const result = await during(DURATION_MS)
      if (result.plain.skipped > 0) context.note(`${contestant}: ${result.plain.skipped} probes were skipped`)
      return result

      async function during(durationMs: number): Promise<Responsiveness> {
        const [steady, plain] = await Promise.all([
          child.call('publishSteadily', { everyMs: EVERY_MS, durationMs, dataBytes: DATA_BYTES }),
          prober.call('probe', { port, path: PLAIN_PATH, everyMs: PROBE_EVERY_MS, durationMs })
        ])
        return { ...steady, plain }
      }
    })
  )
}

async function run(context: Context): Promise<Row[]> {
  const results = await pairedRounds(context.rounds, CONTESTANTS, (contestant) =>
    measureOnce(context, contestant)
  )
  const rows = (measure: string, value: (result: Responsiveness) => number, limits = {}): Row[] =>
    compare({ measure, unit: 'ms' }, pick(results, value), limits)
  return [
    ...rows('plain route, median', ({ plain }) => plain.p50Ms),
    ...rows('plain route, p99', ({ plain }) => plain.p99Ms, { 'bare socket.write': 0.2 }),
    ...rows('plain route, p99.9', ({ plain }) => plain.p999Ms),
    ...rows('event loop delay, p99.9', ({ eventLoop }) => eventLoop.p999Ms),
    ...rows('one go at writing, p99.9', ({ slices }) => slices.p999Ms).map((row) =>
      row.contestant === OURS ? { ...row, goal: atMost(MAX_SLICE_MS, row.samples, 'ms') } : row
    ),
    ...rows('one go at writing, longest', ({ slices }) => slices.maxMs)
  ]
}

export const responsiveness: Scenario = {
  name: 'responsiveness',
  about: `a route that does not stream, beside ${1_000 / EVERY_MS} broadcasts per second to ${CONNECTIONS} connections`,
  run
}
