import t from 'tap'
import { judgeRuns } from '../../checker/runs/judge-runs.ts'
import { textOf } from '../../checker/violation.ts'
import { summaryOf } from './summary.ts'
import { RunsWorld } from './world.ts'

/** CHECK_SEED=… repeats the choices, though not their timing. `npm run soak:runs` is longer, and looks at the time, too. */
const seed = Number.parseInt(process.env.CHECK_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

t.test(`runs › of several servers that are struck have no violation (CHECK_SEED=${seed})`, async (t) => {
  const world = await RunsWorld.start(t, {
    seed,
    runs: 48,
    atOnce: 12,
    runsPerFault: 12,
    keepEndedMs: 60_000,
    lateMs: Infinity
  })
  const never = (): Promise<never> => new Promise(() => {})
  await world.play(never)
  const log = await world.log(never, ['runs that are kept'])
  t.comment(JSON.stringify({ seed, ...summaryOf(log), faults: world.counts }))
  t.equal(textOf(judgeRuns(log).slice(0, 20)) + world.problems.join('\n'), '')
})
