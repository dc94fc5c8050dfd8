import { answers } from './scenarios/answers.ts'
import { breaks } from './scenarios/breaks.ts'
import { ends } from './scenarios/ends.ts'
import type { Scenario } from './scenarios/scenario.ts'

export const scenarios: readonly Scenario[] = [...answers, ...breaks, ...ends]
