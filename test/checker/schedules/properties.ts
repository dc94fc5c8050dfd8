import assert from 'node:assert/strict'
import fc from 'fast-check'
import { judge } from '../judge.ts'
import type { RunLog } from '../run-log.ts'
import { textOf } from '../violation.ts'
import type { Library } from './library.ts'
import { storedLibrary } from './present-library.ts'
import { runSchedule } from './run-schedule.ts'
import { plainSetups, type Setup, setups } from './setup.ts'
import { plainSchedules, type Step, schedules } from './steps.ts'

/** What is told of each schedule, be it right or wrong. */
type OnRun = (run: RunLog, steps: readonly Step[]) => void

/** Who is to be cut when something was lost comes back to a store that has it, for as long as memory is too small. */
const roomy = setups.map((setup) => {
  const isCut = setup.channels.some(({ slow }) => slow === 'disconnect')
  return isCut ? { ...setup, limits: { ...setup.limits, maxTotalBytes: 67_108_864 } } : setup
})
const numbers = fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }))

/** No schedule has a violation. */
export function noViolation(library: Library, onRun: OnRun = () => {}): fc.IAsyncProperty<unknown> {
  const check = async (setup: Setup, steps: readonly Step[]): Promise<void> => {
    const run = await runSchedule(library, setup, steps)
    onRun(run, steps)
    assertNone(run)
  }
  return library.isPlain
    ? fc.asyncProperty(plainSetups, plainSchedules, check)
    : fc.asyncProperty(setups, schedules, check)
}

/** Nor with a store that answers late. */
export function noViolationLate(onRun: OnRun = () => {}): fc.IAsyncProperty<unknown> {
  return fc.asyncProperty(roomy, schedules, numbers, async (setup, steps, random) => {
    const run = await runSchedule(
      storedLibrary(() => random.next().value),
      setup,
      steps
    )
    onRun(run, steps)
    assertNone(run)
  })
}

function assertNone(run: RunLog): void {
  const violations = judge(run)
  if (violations.length > 0) assert.fail(textOf(violations))
}
