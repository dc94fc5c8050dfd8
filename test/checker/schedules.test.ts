import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { judge } from './judge.ts'
import { cases } from './schedules/cases.ts'
import { known } from './schedules/known.ts'
import { presentLibrary, storedLibrary } from './schedules/present-library.ts'
import { runSchedule } from './schedules/run-schedule.ts'
import { setups } from './schedules/setup.ts'
import { schedules } from './schedules/steps.ts'
import { textOf } from './violation.ts'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)
/** SCHEDULES=… makes it longer. */
const numRuns = Number.parseInt(process.env.SCHEDULES ?? '', 10) || 3_000

t.test('schedules › those that once had a violation', async (t) => {
  for (const { name, setup, steps } of [...known, ...cases]) {
    t.test(name, async (t) => {
      t.equal(textOf(judge(await runSchedule(presentLibrary, setup, steps))), '')
    })
  }
})

/** Who is to be cut when something was lost comes back to a store that has it, for as long as memory is too small. */
const roomy = setups.map((setup) => {
  const isCut = setup.channels.some(({ slow }) => slow === 'disconnect')
  return isCut ? { ...setup, limits: { ...setup.limits, maxTotalBytes: 67_108_864 } } : setup
})
const numbers = fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }))

t.test(`schedules › nor with a store that answers late (FC_SEED=${seed})`, async () => {
  const property = fc.asyncProperty(roomy, schedules, numbers, async (setup, steps, random) => {
    const run = await runSchedule(
      storedLibrary(() => random.next().value),
      setup,
      steps
    )
    assert.equal(textOf(judge(run)), '')
  })
  await fc.assert(property, { seed, numRuns })
})

t.test(`schedules › ${numRuns} of them have no violation (FC_SEED=${seed})`, async (t) => {
  let received = 0
  let gaps = 0
  const property = fc.asyncProperty(setups, schedules, async (setup, steps) => {
    const run = await runSchedule(presentLibrary, setup, steps)
    const connections = run.clients.flat()
    received += connections.reduce((sum, connection) => sum + connection.received.length, 0)
    gaps += connections.reduce((sum, connection) => sum + (connection.gaps?.length ?? 0), 0)
    assert.equal(textOf(judge(run)), '')
  })
  await fc.assert(property, { seed, numRuns })
  t.comment(`${received} blocks received, ${gaps} gaps`)
  t.ok(received > numRuns && gaps > 0, 'enough has happened')
})
