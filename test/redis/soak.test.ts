import t from 'tap'
import { textOf } from '../checker/violation.ts'
import { runSoak } from './run-soak.ts'

/** SEED=… repeats the choices of a run, though not its timing. `npm run soak:redis` takes a minute. */
const seed = Number.parseInt(process.env.SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)
const SECONDS = 10

t.test(`${SECONDS} seconds of random faults have no violation (SEED=${seed})`, async (t) => {
  const { violations, summary } = await runSoak(t, SECONDS, seed)
  t.comment(JSON.stringify({ seed, ...summary }))
  t.equal(textOf(violations.slice(0, 20)), '')
})
