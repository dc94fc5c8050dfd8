import { writeFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { runSoak } from './run-soak.ts'

/** SECONDS=… makes it longer, SEED=… repeats the choices of a run, though not its timing, LOG=… is a file for all that was seen. */
const seconds = Number.parseInt(process.env.SECONDS ?? '', 10) || 60
const seed = Number.parseInt(process.env.SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)
const MAX_SHOWN = 20
const PATIENCE_MS = 30_000

const endings: (() => unknown)[] = []
console.error(`SEED=${seed} SECONDS=${seconds}`)
try {
  const { violations, log, summary, before } = await runSoak(
    { teardown: (fn) => endings.push(fn) },
    seconds,
    seed,
    () => sleep(PATIENCE_MS, undefined, { ref: false })
  )
  console.log(JSON.stringify({ seed, seconds, ...summary, violations: violations.length }))
  for (const { kind, text, at = Infinity } of violations.slice(0, MAX_SHOWN)) {
    console.error(`${kind}: ${text}`)
    for (const line of before(at)) console.error(`    ${line}`)
  }
  if (process.env.LOG !== undefined) await writeFile(process.env.LOG, JSON.stringify(log))
  process.exitCode = violations.length > 0 ? 1 : 0
} finally {
  for (const end of endings.reverse()) await end()
}
