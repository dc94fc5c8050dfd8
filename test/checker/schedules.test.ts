import fc from 'fast-check'
import t from 'tap'
import { judge } from './judge.ts'
import { cases } from './schedules/cases.ts'
import { EventLoop } from './schedules/event-loop.ts'
import { known, knownOfLibrary, publish, setupOf } from './schedules/known.ts'
import { presentLibrary } from './schedules/present-library.ts'
import { noViolation, noViolationLate } from './schedules/properties.ts'
import { runSchedule } from './schedules/run-schedule.ts'
import { textOf } from './violation.ts'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)
/** SCHEDULES=… makes it longer. */
const numRuns = Number.parseInt(process.env.SCHEDULES ?? '', 10) || 3_000

t.test(
  'schedules › what a store has is as old as their own clock says, however long they take',
  async (t) => {
    await EventLoop.run(async (loop) => {
      const began = Date.now()
      await loop.advance(60_000)
      t.equal(Date.now() - began, 60_000)
    })
  }
)

t.test('schedules › those that once had a violation', async (t) => {
  for (const { name, setup, steps } of [...known, ...knownOfLibrary, ...cases]) {
    t.test(name, async (t) => {
      t.equal(textOf(judge(await runSchedule(presentLibrary, setup, steps))), '')
    })
  }
})

t.test('schedules › a server may begin in the microsecond in which the one before ended', async (t) => {
  t.intercept(Math, 'random', { value: () => 0 })
  const admitted = [{ channel: 0, from: 'oldest', notBefore: 'cursor' }] as const
  const setup = setupOf({}, { kernelBytes: 100_000, highWaterBytes: 65_536 }, admitted, { maxMessages: 9 })
  const run = await runSchedule(presentLibrary, setup, [
    { do: 'admit', client: 0 },
    { do: 'restart' },
    publish(0, 0, 0),
    { do: 'connect', client: 0, resume: 'none', isLate: false }
  ])
  t.equal(textOf(judge(run)), '')
})

t.test(`schedules › nor with a store that answers late (FC_SEED=${seed})`, async () => {
  await fc.assert(noViolationLate(), { seed, numRuns, includeErrorInReport: true })
})

t.test(`schedules › ${numRuns} of them have no violation (FC_SEED=${seed})`, async (t) => {
  let received = 0
  let gaps = 0
  const property = noViolation(presentLibrary, ({ clients }) => {
    const connections = clients.flat()
    received += connections.reduce((sum, connection) => sum + connection.received.length, 0)
    gaps += connections.reduce((sum, connection) => sum + (connection.gaps?.length ?? 0), 0)
  })
  await fc.assert(property, { seed, numRuns, includeErrorInReport: true })
  t.comment(`${received} blocks received, ${gaps} gaps`)
  t.ok(received > numRuns && gaps > 0, 'enough has happened')
})
