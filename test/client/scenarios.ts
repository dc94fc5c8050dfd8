import { answers } from './scenarios/answers.ts'
import { breaks } from './scenarios/breaks.ts'
import { ends } from './scenarios/ends.ts'
import { page } from './scenarios/page.ts'
import type { Scenario } from './scenarios/scenario.ts'
import { shared } from './scenarios/shared.ts'

export const scenarios: readonly Scenario[] = [...answers, ...breaks, ...ends, ...page, ...shared]
