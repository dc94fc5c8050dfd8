import { setTimeout as sleep } from 'node:timers/promises'
import { judge } from '../checker/judge.ts'
import type { RunLog } from '../checker/run-log.ts'
import { Random } from '../checker/sockets/random.ts'
import type { Violation } from '../checker/violation.ts'
import { Faults } from './faults.ts'
import type { Run } from './node.ts'
import { World } from './world.ts'

export interface Verdict {
  readonly violations: readonly Violation[]
  readonly log: RunLog
  /** How much happened. */
  readonly summary: Readonly<Record<string, unknown>>
  /** What was done before a moment that may have to do with it. */
  before(moment: number): string[]
}

const CONTEXT_MS = 12_000

/** Three nodes, a Redis and its replica, clients that come and go, and one fault after another. Then all is judged. */
export async function runSoak(
  run: Run,
  seconds: number,
  seed: number,
  patience: () => Promise<unknown> = () => new Promise(() => {})
): Promise<Verdict> {
  const random = new Random(seed)
  const world = await World.start(run, random)
  const faults = new Faults(world, random)
  faults.start()
  await sleep(seconds * 1_000)
  await faults.stop()
  const log = await world.settle(patience)
  return {
    violations: judge(log),
    log,
    summary: {
      ...summaryOf(log),
      neighbours: world.neighbourly,
      faults: faults.counts,
      crashes: world.crashes
    },
    before: (moment) => faults.before(moment, CONTEXT_MS)
  }
}

function summaryOf({ messages, clients }: RunLog): Record<string, unknown> {
  const blocks = clients.flat().flatMap(({ received }) => received)
  const reasons = blocks.filter(({ event }) => event === 'gap').map(({ data }) => JSON.parse(data).reason)
  const count = (reason: string): number => reasons.filter((one) => one === reason).length
  return {
    acknowledged: messages.filter(({ acknowledgedAt }) => acknowledgedAt !== undefined).length,
    unconfirmed: messages.filter(({ acknowledgedAt }) => acknowledgedAt === undefined).length,
    lost: messages.filter(({ lostAt }) => lostAt !== undefined).length,
    connections: clients.flat().length,
    received: blocks.filter(({ event }) => event === 'message').length,
    gaps: Object.fromEntries([...new Set(reasons)].map((reason) => [reason, count(reason)]))
  }
}
