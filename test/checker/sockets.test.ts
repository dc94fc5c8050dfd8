import t from 'tap'
import { checkRun } from './check-run.ts'
import { runSockets } from './sockets/run-sockets.ts'
import { summaryOf } from './sockets/summary.ts'
import { textOf } from './violation.ts'

/** CHECK_SEED=… repeats the choices of a run, though not its timing. `npm run soak` takes a minute. */
const seed = Number.parseInt(process.env.CHECK_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)
const SECONDS = 5

t.test(`sockets › ${SECONDS} seconds of a real server have no violation (CHECK_SEED=${seed})`, async (t) => {
  const run = await runSockets(t, SECONDS, seed)
  const summary = summaryOf(run)
  t.comment(JSON.stringify({ seed, ...summary }))
  t.equal(textOf(checkRun(run).slice(0, 20)), '')
  t.ok(summary.received > 0 && summary.resumed > 0 && summary.expired > 0, 'enough has happened')
})
