import { setTimeout as sleep } from 'node:timers/promises'
import { judge } from '../checker/judge.ts'
import type { RunLog } from '../checker/run-log.ts'
import { Random } from '../checker/sockets/random.ts'
import type { Violation } from '../checker/violation.ts'
import { Chaos } from './chaos.ts'
import { Load } from './load.ts'
import { settle } from './settle.ts'
import { World } from './world.ts'

interface Run {
  teardown(fn: () => unknown): void
}

export interface Verdict {
  readonly violations: readonly Violation[]
  readonly log: RunLog
  /** How much happened. */
  readonly summary: Readonly<Record<string, unknown>>
  /** What was done before a moment that may have to do with it. */
  before(moment: number): string[]
}

const CHANNELS = ['news', 'ü&=', 'quiet', 'short']
const CONTEXT_MS = 12_000

/** Three nodes, a Redis and its replica, clients that come and go, and one fault after another. Then all is judged. */
export async function runSoak(run: Run, seconds: number, seed: number): Promise<Verdict> {
  const random = new Random(seed)
  const world = await World.start(run, {
    nodes: 3,
    channels: CHANNELS,
    library: random.integer(0, 2),
    isPersistent: true,
    hasReplica: true,
    history: { publishTimeoutMs: random.magnitude(500, 5_000), maxBytes: 50_000 },
    ownHistories: { short: { maxLength: 100, maxBytes: 5_000 } }
  })
  const load = new Load(world, random, { perSecond: 100 }).start()
  const chaos = new Chaos(world, random, load)
  chaos.start(seconds)
  await sleep(seconds * 1_000)
  await chaos.stop()
  await load.stop()
  const log = await settle(world)
  return {
    violations: judge(log),
    log,
    summary: { ...summaryOf(log), faults: chaos.counts, crashes: world.crashes },
    before: (moment) => chaos.before(moment, CONTEXT_MS)
  }
}

function summaryOf({ messages, clients, channels }: RunLog): Record<string, unknown> {
  const blocks = clients.flat().flatMap(({ received }) => received)
  const gaps = blocks.filter(({ event }) => event === 'gap').map(({ data }) => JSON.parse(data).reason)
  const countGaps = (reason: string): number => gaps.filter((one) => one === reason).length
  return {
    acknowledged: messages.filter(({ acknowledgedAt }) => acknowledgedAt !== undefined).length,
    unconfirmed: messages.filter(({ acknowledgedAt }) => acknowledgedAt === undefined).length,
    lost: messages.filter(({ lostAt }) => lostAt !== undefined).length,
    forgotten: Math.max(...channels.map(({ forgottenAt }) => forgottenAt.length)),
    connections: clients.flat().length,
    received: blocks.filter(({ event }) => event === 'message').length,
    gaps: Object.fromEntries([...new Set(gaps)].map((reason) => [reason, countGaps(reason)]))
  }
}
