import fc from 'fast-check'
import t, { type Test } from 'tap'
import { judge } from './judge.ts'
import { modelLibrary } from './model/model-library.ts'
import { type RuleSchedule, ruleSchedules } from './model/rule-schedules.ts'
import { RULES, type Rules } from './model/rules.ts'
import { cases } from './schedules/cases.ts'
import { known } from './schedules/known.ts'
import type { Library } from './schedules/library.ts'
import { noViolation } from './schedules/properties.ts'
import { runSchedule } from './schedules/run-schedule.ts'
import { textOf } from './violation.ts'

/** FC_SEED=… tries others. They are the same each time, for it is the library that must stand what nobody has thought of. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || 7
/** SCHEDULES=… makes it longer. */
const numRuns = Number.parseInt(process.env.SCHEDULES ?? '', 10) || 3_000

const model = modelLibrary()
/** Ids have room for no place but one. */
const vagueModel = modelLibrary({ maxNames: 0 })
/** Where random schedules are searched for what a rule is for. */
const SEARCH = { seed: 7, numRuns: 2_000, endOnFailure: true }

t.test('model › schedules that once had a violation', async (t) => {
  for (const { name, setup, steps } of [...known, ...cases]) {
    t.test(name, async (t) => {
      t.equal(textOf(judge(await runSchedule(model, setup, steps))), '')
    })
  }
})

t.test(`model › ${numRuns} schedules have no violation (FC_SEED=${seed})`, async () => {
  await fc.assert(noViolation(model), { seed, numRuns })
})

t.test(`model › nor have those whose ids become uncertain (FC_SEED=${seed})`, async () => {
  await fc.assert(noViolation(vagueModel), { seed, numRuns: Math.ceil(numRuns / 6) })
})

t.test('model › without a rule', async (t) => {
  const fixed = new Map(ruleSchedules.map((schedule) => [schedule.rule, schedule]))
  for (const rule of Object.keys(RULES) as (keyof Rules)[]) {
    const without = modelLibrary({ [rule]: rule === 'maxNames' ? 0 : false })
    const schedule = fixed.get(rule)
    t.test(rule, (t) => (schedule === undefined ? find(t, without) : show(t, schedule, without)))
  }
})

/** Some random schedule has a violation. */
async function find(t: Test, without: Library): Promise<void> {
  const { failed, numRuns, errorInstance } = await fc.check(
    noViolation({ ...without, isVague: false }),
    SEARCH
  )
  t.comment(`schedule ${numRuns}: ${errorInstance}`)
  t.ok(failed, 'the judge has seen it')
}

/** A schedule that all rules get right goes wrong. */
async function show(t: Test, { name, setup, steps, count }: RuleSchedule, without: Library): Promise<void> {
  const run = await runSchedule(model, setup, steps)
  const runWithout = await runSchedule(without, setup, steps)
  t.equal(textOf(judge(run)), '', name)
  if (count === undefined) t.not(textOf(judge(runWithout)), '', 'the judge has seen it')
  else {
    t.equal(count.of(run), count.withRule, name)
    t.not(count.of(runWithout), count.withRule, 'and not without the rule')
  }
}
