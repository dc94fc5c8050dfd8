import { setTimeout as sleep } from 'node:timers/promises'
import { judge } from './judge.ts'
import { runSockets } from './sockets/run-sockets.ts'
import { summaryOf } from './sockets/summary.ts'
import { textOf } from './violation.ts'

/** SECONDS=… makes it longer, CHECK_SEED=… repeats the choices of a run. */
const seconds = Number.parseInt(process.env.SECONDS ?? '', 10) || 60
const seed = Number.parseInt(process.env.CHECK_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)
const WARM_UP_MESSAGES = 5_000

const endings: (() => unknown)[] = []
try {
  const run = await runSockets(
    { teardown: (fn) => endings.push(fn) },
    { seed, enough: () => sleep(seconds * 1_000), warmUpMessages: WARM_UP_MESSAGES }
  )
  const violations = judge(run)
  console.log(JSON.stringify({ seed, seconds, ...summaryOf(run), violations: violations.length }))
  if (violations.length > 0) console.error(textOf(violations.slice(0, 20)))
  process.exitCode = violations.length > 0 ? 1 : 0
} finally {
  for (const end of endings.reverse()) await end()
}
