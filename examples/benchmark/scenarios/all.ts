import { broadcastEachTurn, broadcastPaced } from './broadcast.ts'
import { burst } from './burst.ts'
import { churn } from './churn.ts'
import { idle } from './idle.ts'
import { neverReads } from './never-reads.ts'
import { ownChannel } from './own-channel.ts'
import { page } from './page.ts'
import { pipelined } from './pipelined.ts'
import { handlerErrors, plainRoute } from './plain.ts'
import { publish } from './publish.ts'
import { redisCursors } from './redis-cursors.ts'
import { redisHop } from './redis-hop.ts'
import { redisIdle } from './redis-idle.ts'
import { redisLocal } from './redis-local.ts'
import { redisReplay, replay } from './replay.ts'
import { responsiveness } from './responsiveness.ts'
import type { Scenario } from './scenario.ts'
import { schema } from './schema.ts'
import { shutdown } from './shutdown.ts'
import { slowReaders } from './slow-readers.ts'
import { stalls } from './stalls.ts'
import { unicastAwaited, unicastPaced } from './unicast.ts'

export const SCENARIOS: readonly Scenario[] = [
  unicastAwaited,
  unicastPaced,
  broadcastEachTurn,
  broadcastPaced,
  burst,
  ownChannel,
  responsiveness,
  replay,
  publish,
  slowReaders,
  idle,
  plainRoute,
  handlerErrors,
  neverReads,
  shutdown,
  stalls,
  pipelined,
  churn,
  schema,
  page,
  redisHop,
  redisCursors,
  redisReplay,
  redisLocal,
  redisIdle
]
