import type { Contestant } from '../../../test/ecosystem/contestant.ts'
import { ours } from '../../../test/ecosystem/ours.ts'
import { headOf, lineOf, MARKS, type Row } from '../../../test/ecosystem/row.ts'
import { ROWS } from '../../../test/ecosystem/rows.ts'
import { ORDERS, type Order, Stage } from '../../../test/ecosystem/stage.ts'
import { PEERS } from './peers.ts'

/** How long a contestant that hangs is waited for. */
const LIMIT_MS = 5_000

/** Fails the row that runs: a contestant may also throw where nobody catches. */
let failRow: (error: unknown) => void = () => {}
process.on('uncaughtException', (error) => failRow(error))
process.on('unhandledRejection', (error) => failRow(error))

/** Prints the matrix of `examples/guides/plugins.md`, and on the error output why a contestant failed. */
const contestants = [ours, ...PEERS]
for (const line of headOf(contestants.map(({ name }) => name))) console.log(line)
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
      await Promise.race([runRow(row, contestant, order), crashed])
      return MARKS.shown
    } catch (error) {
      console.error(`${contestant.name}, ${row.name}, ${order}: ${error}`)
    }
  }
  return MARKS.notShown
}

/** Like the tests of ours, but a contestant may never show anything, nor end. */
async function runRow(row: Row, contestant: Contestant, order: Order): Promise<void> {
  const stage = new Stage(contestant, order)
  try {
    await within(LIMIT_MS, row.run(stage))
  } finally {
    await within(LIMIT_MS, stage.end())
  }
}

/** Rejects when the promise is not settled in time. */
async function within<T>(limitMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${limitMs} ms`)), limitMs)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
