import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { judge } from '../checker/judge.ts'
import { EVENTS, type RunLog } from '../checker/run-log.ts'
import { judgeRuns } from '../checker/runs/judge-runs.ts'
import { presentLibrary } from '../checker/schedules/present-library.ts'
import { noViolation, noViolationLate } from '../checker/schedules/properties.ts'
import type { Step } from '../checker/schedules/steps.ts'
import { runSockets } from '../checker/sockets/run-sockets.ts'
import { textOf, type Violation } from '../checker/violation.ts'
import type { PROGRAMS } from '../helpers/programs.ts'
import { summaryOf } from '../redis/runs/summary.ts'

/** What one part did, in words, and what the judge found. */
interface Outcome {
  readonly tried: readonly string[]
  /** One a line. */
  readonly violations: string
}

export interface Part {
  readonly name: string
  readonly title: string
  /** Of the time there is. */
  readonly share: number
  readonly needs?: keyof typeof PROGRAMS
  try(seed: number, ms: number): Promise<Outcome>
}

const isBroken = process.env.BREAK !== undefined
const MAX_SHOWN = 10
/** About how long a run takes, of all that go on at once. */
const MS_PER_RUN = 100
const WARM_UP_MESSAGES = 5_000
/** How long clients are waited for that are to have all. A library that is broken on purpose may never give it to them. */
const PATIENCE_MS = isBroken ? 15_000 : 60_000
/** How long a name is waited for before the next one is played. */
const NAME_PATIENCE_MS = isBroken ? 5_000 : 60_000

export const PARTS: readonly Part[] = [
  {
    name: 'schedules',
    title: 'Random schedules, on an event loop and a clock of their own: each can be repeated exactly',
    share: 0.3,
    try: (seed, ms) => trySchedules((onRun) => noViolation(presentLibrary, onRun), seed, ms)
  },
  {
    name: 'late store',
    title: 'The same with a store that is some turns away',
    share: 0.15,
    try: (seed, ms) => trySchedules(noViolationLate, seed, ms)
  },
  {
    name: 'sockets',
    title:
      'A real server in a process of its own, and 48 clients over TCP and Unix sockets, that come, stop reading and go',
    share: 0.2,
    try: trySockets
  },
  {
    name: 'Redis',
    title: 'Three real servers that share a Redis with a replica, both of which fail again and again',
    share: 0.2,
    needs: 'redis-server',
    try: tryRedis
  },
  {
    name: 'runs',
    title:
      'Three real servers whose runs are started, read and stopped, and which are killed, paused and replaced',
    share: 0.15,
    needs: 'redis-server',
    try: tryRuns
  }
]

async function trySchedules(
  propertyOf: (onRun: (run: RunLog, steps: readonly Step[]) => void) => fc.IAsyncProperty<unknown>,
  seed: number,
  ms: number
): Promise<Outcome> {
  const tally = new Tally()
  const steps = new Map<Step['do'], number>()
  const property = propertyOf((run, taken) => {
    tally.add(run)
    for (const { do: name } of taken) steps.set(name, (steps.get(name) ?? 0) + 1)
  })
  const result = await fc.check(property, {
    seed,
    numRuns: Infinity,
    interruptAfterTimeLimit: ms,
    endOnFailure: isBroken
  })
  const { failed, numRuns, errorInstance, counterexample } = result
  const times = (name: Step['do']): string => (steps.get(name) ?? 0).toLocaleString('en')
  const faults = `${times('cut')} cuts, ${times('stop reading')} readers that stop, ${times('restart')} restarts of the server`
  const tried = [`${numRuns.toLocaleString('en')} schedules: ${tally}`, `in them ${faults}`]
  if (!failed) return { tried, violations: '' }
  const { message } = errorInstance as Error
  const schedule = !isBroken ? `\nThe shortest schedule: ${JSON.stringify(counterexample)}` : ''
  return { tried, violations: `In schedule ${numRuns}: ${message}${schedule}` }
}

function trySockets(seed: number, ms: number): Promise<Outcome> {
  return untilTornDown(async (teardown) => {
    const enough = (): Promise<void> => sleep(ms)
    const running = runSockets({ teardown }, { seed, enough, warmUpMessages: WARM_UP_MESSAGES })
    const run = await Promise.race([running, patience(ms + PATIENCE_MS)])
    if (run !== undefined) return outcomeOf(run, judge(run), [])
    return { tried: [], violations: 'leftover: clients that waited for the last message for ever' }
  })
}

function tryRedis(seed: number, ms: number): Promise<Outcome> {
  return untilTornDown(async (teardown) => {
    const { runSoak } = await import('../redis/run-soak.ts')
    const { log, violations, summary } = await runSoak({ teardown }, ms / 1_000, seed, () =>
      patience(PATIENCE_MS)
    )
    return outcomeOf(log, violations, [faultsIn(summary.faults as Record<string, number>)])
  })
}

function tryRuns(seed: number, ms: number): Promise<Outcome> {
  return untilTornDown(async (teardown) => {
    const { RunsWorld } = await import('../redis/runs/world.ts')
    const world = await RunsWorld.start(
      { teardown },
      {
        seed,
        runs: Math.ceil(ms / MS_PER_RUN),
        atOnce: 24,
        runsPerFault: 12,
        keepEndedMs: 60_000,
        lateMs: Infinity
      }
    )
    await world.play(() => patience(NAME_PATIENCE_MS))
    const log = await world.log(() => patience(PATIENCE_MS), ['runs that are kept'])
    const { names, messages, connections } = summaryOf(log)
    const violations = judgeRuns(log)
    return {
      tried: [`${names} names; ${messages} messages; ${connections} connections`, faultsIn(world.counts)],
      violations: textOf(violations.slice(0, MAX_SHOWN))
    }
  })
}

function faultsIn(counts: Readonly<Record<string, number>>): string {
  const faults = Object.entries(counts).map(([name, count]) => `${count} × ${name}`)
  return `faults: ${faults.join(', ')}`
}

function patience(ms: number): Promise<void> {
  return sleep(ms, undefined, { ref: false })
}

async function untilTornDown<T>(run: (teardown: (end: () => unknown) => void) => Promise<T>): Promise<T> {
  const ends: (() => unknown)[] = []
  try {
    return await run((end) => ends.push(end))
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

function outcomeOf(run: RunLog, violations: readonly Violation[], more: readonly string[]): Outcome {
  const tally = new Tally()
  tally.add(run)
  const rest = violations.length - MAX_SHOWN
  const text = textOf(violations.slice(0, MAX_SHOWN))
  return { tried: [String(tally), ...more], violations: rest > 0 ? `${text}\nand ${rest} more` : text }
}

/** How much has happened. */
class Tally {
  #published = 0
  #connections = 0
  #returns = 0
  #blocks = 0
  #gaps = 0

  add({ messages, clients }: RunLog): void {
    const connections = clients.flat()
    this.#published += messages.length
    this.#connections += connections.length
    this.#returns += connections.filter(({ resumedFrom }) => resumedFrom !== undefined).length
    for (const { received } of connections) {
      this.#blocks += received.length
      this.#gaps += received.filter(({ event }) => event === EVENTS.gap).length
    }
  }

  toString(): string {
    const [published, connections, returns, blocks, gaps] = [
      this.#published,
      this.#connections,
      this.#returns,
      this.#blocks,
      this.#gaps
    ].map((count) => count.toLocaleString('en'))
    return `${published} messages published; ${connections} connections, ${returns} of them with an id; ${blocks} blocks received, ${gaps} of them gaps`
  }
}
