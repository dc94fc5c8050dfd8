import assert from 'node:assert/strict'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { judge } from './judge.ts'
import { NOT_YET } from './not-yet.ts'
import { expectedFailures } from './schedules/expected-failures.ts'
import { known } from './schedules/known.ts'
import { runSchedule } from './schedules/run-schedule.ts'
import { lateSetup, type Setup, setup } from './schedules/setup.ts'
import { lateSteps, type Step, steps } from './schedules/steps.ts'
import { textOf } from './violation.ts'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)
/** SCHEDULES=… makes it longer. */
const numRuns = Number.parseInt(process.env.SCHEDULES ?? '', 10) || 3_000
const numLateRuns = Math.ceil(numRuns / 3)

t.test('schedules › those that once had a violation', async (t) => {
  for (const { name, setup, steps } of known) {
    t.test(name, async (t) => {
      t.equal(textOf(judge(await runSchedule(setup, steps))), '')
    })
  }
})

t.test('schedules › promises that are not kept yet, until they are', async (t) => {
  for (const { number, name, kinds, says, setup, steps } of expectedFailures) {
    t.test(`${number}: ${name}`, async (t) => {
      const violations = judge({ ...(await runSchedule(setup, steps)), notYet: new Set() })
      t.same([...new Set(violations.map(({ kind }) => kind))], kinds, textOf(violations))
      t.match(textOf(violations), says)
    })
  }
  t.same(new Set(expectedFailures.map(({ number }) => number)), NOT_YET, 'each of them is shown')
})

/** Runs random schedules, and says how much has happened in them. */
async function run(
  t: Test,
  setup: fc.Arbitrary<Setup>,
  steps: fc.Arbitrary<Step[]>,
  numRuns: number
): Promise<void> {
  t.comment(`FC_SEED=${seed}`)
  let received = 0
  let gaps = 0
  const property = fc.asyncProperty(setup, steps, async (setup, steps) => {
    const run = await runSchedule(setup, steps)
    const connections = run.clients.flat()
    received += connections.reduce((sum, connection) => sum + connection.received.length, 0)
    gaps += connections.reduce((sum, connection) => sum + (connection.gaps?.length ?? 0), 0)
    assert.equal(textOf(judge(run)), '')
  })
  await fc.assert(property, { seed, numRuns })
  t.comment(`${received} blocks received, ${gaps} gaps`)
  t.ok(received > numRuns && gaps > 0, 'enough has happened')
}

t.test(`schedules › ${numRuns} of them have no violation (FC_SEED=${seed})`, (t) =>
  run(t, setup, steps, numRuns)
)

t.test(`schedules › nor have ${numLateRuns} on a history that is late (FC_SEED=${seed})`, (t) =>
  run(t, lateSetup, lateSteps, numLateRuns)
)
