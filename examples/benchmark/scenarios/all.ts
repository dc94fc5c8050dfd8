import { churn } from './churn.ts'
import { idle } from './idle.ts'
import { neverReads } from './never-reads.ts'
import { pipelined } from './pipelined.ts'
import { handlerErrors, plainRoute } from './plain.ts'
import type { Scenario } from './scenario.ts'
import { shutdown } from './shutdown.ts'
import { unicastAwaited, unicastPaced } from './unicast.ts'

export const SCENARIOS: readonly Scenario[] = [
  unicastAwaited,
  unicastPaced,
  idle,
  plainRoute,
  handlerErrors,
  neverReads,
  shutdown,
  pipelined,
  churn
]
