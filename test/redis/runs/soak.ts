import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { judgeRuns } from '../../checker/runs/judge-runs.ts'
import { summaryOf } from './summary.ts'
import { RunsWorld } from './world.ts'

/** RUNS=… says how many, SEED=… repeats the choices, though not their timing, LOG=… is a file for all that was seen. */
const runs = Number.parseInt(process.env.RUNS ?? '', 10) || 10_000
const seed = Number.parseInt(process.env.SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)
const AT_ONCE = 60
const RUNS_PER_FAULT = 100
const KEEP_ENDED_MS = 60_000
const LATE_MS = 2_000
const MAX_SHOWN = 20
const PATIENCE_MS = 120_000

const patience = (): Promise<void> => sleep(PATIENCE_MS, undefined, { ref: false })
const endings: (() => unknown)[] = []
console.error(`SEED=${seed} RUNS=${runs}`)
try {
  const world = await RunsWorld.start(
    { teardown: (fn) => endings.push(fn) },
    {
      seed,
      runs,
      atOnce: AT_ONCE,
      runsPerFault: RUNS_PER_FAULT,
      keepEndedMs: KEEP_ENDED_MS,
      lateMs: LATE_MS
    }
  )
  await world.play(patience)
  const log = await world.log(patience)
  const violations = judgeRuns(log)
  console.log(
    JSON.stringify({ seed, runs, ...summaryOf(log), faults: world.counts, violations: violations.length })
  )
  for (const { kind, text } of violations.slice(0, MAX_SHOWN)) console.error(`${kind}: ${text}`)
  for (const problem of world.problems.slice(0, MAX_SHOWN)) console.error(problem)
  if (process.env.LOG !== undefined) await writeFile(process.env.LOG, JSON.stringify(log))
  process.exitCode = violations.length > 0 ? 1 : 0
} finally {
  for (const end of endings.reverse()) await end()
}
