import { alternatingRounds, MEMORY, REDIS, withHistory } from './redis.ts'
import { type CaughtUp, CLIENTS, catchUpOnce, DATA_BYTES, MESSAGES } from './replay.ts'
import { atMost, type Context, compare, pick, type Row, type Scenario } from './scenario.ts'

/** So large that all do not fit into one page. */
const LARGE_DATA_BYTES = 1_000
const LARGE_ROUNDS = 2
/** As `redisHistory()` reads it, with what it reckons for each message besides its data. */
const PAGE_BYTES = 65_536
const ENTRY_BYTES = 72
const MAX_RATIO = 1.5
const MAX_READS = 2

/**
 * The node has nothing of the channel when the clients come, though it has warmed up: what it knew has gone with the last
 * of those before.
 */
async function run(context: Context): Promise<Row[]> {
  const results = await alternatingRounds(context.rounds, [REDIS, MEMORY] as const, (history) =>
    withHistory(history, (listening) => catchUpOnce(context, listening))
  )
  const large = await alternatingRounds(Math.min(LARGE_ROUNDS, context.rounds), [REDIS] as const, (history) =>
    withHistory(history, (listening) => catchUpOnce(context, listening, LARGE_DATA_BYTES))
  )
  const rows = (measure: string, unit: string, value: (result: CaughtUp) => number, limits = {}): Row[] =>
    compare({ measure, unit }, pick(results, value), limits, REDIS)
  return [
    ...rows('until all have caught up', 'ms', ({ tookMs }) => tookMs, { [MEMORY]: MAX_RATIO }),
    ...rows('server CPU per client', 'µs', ({ cpuUs }) => cpuUs),
    readsRow(results.get(REDIS) ?? [], DATA_BYTES),
    readsRow(large.get(REDIS) ?? [], LARGE_DATA_BYTES)
  ]
}

function readsRow(results: readonly CaughtUp[], dataBytes: number): Row {
  const pages = Math.ceil(((MESSAGES + 1) * (dataBytes + ENTRY_BYTES)) / PAGE_BYTES)
  const samples = results.map(({ redisCalls: { READ = 0 } }) => READ / pages)
  for (const { redisCalls } of results) if (!redisCalls.READ) throw new Error('Nothing was read from Redis')
  return {
    measure: `reads from Redis per page, ${pages} of messages of ${dataBytes} bytes`,
    unit: '',
    contestant: REDIS,
    samples,
    goal: atMost(MAX_READS, samples, 'per page')
  }
}

export const redisReplay: Scenario = {
  name: 'redis-replay',
  about: `${CLIENTS} clients come back ${MESSAGES} messages of ${DATA_BYTES} bytes behind, to a node that has none of them`,
  run
}
