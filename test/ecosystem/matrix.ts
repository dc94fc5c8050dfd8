import type { Contestant } from './contestant.ts'
import { ours } from './ours.ts'
import { PEERS } from './peers.ts'
import { headOf, lineOf, MARKS, type Row, runRow } from './row.ts'
import { ROWS } from './rows.ts'
import { ORDERS } from './stage.ts'

/** How long a contestant that hangs is waited for. */
const LIMIT_MS = 5_000

/** Fails the row that runs: a contestant may also throw where nobody catches. */
let failRow: (error: unknown) => void = () => {}
process.on('uncaughtException', (error) => failRow(error))
process.on('unhandledRejection', (error) => failRow(error))

/** Prints the plugin matrix of the README, and on the error output why a contestant failed. */
const contestants = [ours, ...PEERS]
for (const line of headOf(contestants)) console.log(line)
for (const row of ROWS) {
  const marks: string[] = []
  for (const contestant of contestants) marks.push(await measure(row, contestant))
  console.log(lineOf(row, marks))
}
process.exit()

/** It is enough that one of the two orders works. */
async function measure(row: Row, contestant: Contestant): Promise<string> {
  if (row.isFor?.(contestant) === false) return MARKS.notApplicable
  for (const order of ORDERS) {
    const crashed = new Promise<never>((_resolve, reject) => {
      failRow = reject
    })
    try {
      await Promise.race([runRow(row, contestant, order, LIMIT_MS), crashed])
      return MARKS.shown
    } catch (error) {
      console.error(`${contestant.name}, ${row.name}, ${order}: ${error}`)
    }
  }
  return MARKS.notShown
}
