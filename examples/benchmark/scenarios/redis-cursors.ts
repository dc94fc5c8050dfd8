import { formatPlace, timeOfCursor } from '../../../lib/history/place.ts'
import type { CpuParts } from '../servers/vitals.ts'
import { cpuPer, cpuRows, redisCpu, withRedis } from './redis.ts'
import { type Context, OURS, pairedRounds, type Row, type Scenario } from './scenario.ts'

const CLIENTS = 2_000
const QUIET_MS = 300
const MAX_RATIO = 1.5
const WARM_UPS = 2
const KINDS = ['made-up', 'honest'] as const

type Used = Record<'server' | 'redis', CpuParts>

/** Clients come back to another server than the one that told them their ids. They lack nothing. */
async function run(context: Context): Promise<Row[]> {
  const count = context.count ?? CLIENTS
  return withRedis((redis) => {
    const ours = { contestant: OURS, redisUrl: redis.url } as const
    return context.withChannelServer(ours, (teller) =>
      context.withChannelServer(ours, async ({ port, child }, client) => {
        const comeBack = async (kind: (typeof KINDS)[number]): Promise<Used> => {
          const told = (await teller.child.call('cursors', count)) ?? []
          const lastEventIds = kind === 'honest' ? told : told.map(another)
          const cpus = { server: () => child.call('cpuParts'), redis: () => redisCpu(redis) }
          const used = await cpuPer(count, cpus, async () => {
            await client.call('open', { port, count, lastEventIds })
            await client.call('receive', { events: Number.MAX_SAFE_INTEGER }, QUIET_MS)
          })
          await client.call('reset')
          return used
        }
        await pairedRounds(WARM_UPS, KINDS, comeBack)
        const used = await pairedRounds(context.rounds, KINDS, comeBack)
        const limits = { honest: MAX_RATIO }
        return [
          ...cpuRows('CPU of the server per cursor', used, ({ server }) => server, 'made-up', limits),
          ...cpuRows('CPU of Redis per cursor', used, ({ redis: own }) => own, 'made-up', limits)
        ]
      })
    )
  })
}

/** As right as this one in all but that nobody was ever told it. */
function another(cursor: string): string {
  const place = timeOfCursor(cursor) ?? 0
  return cursor.replace(formatPlace(place), formatPlace(place - 1))
}

export const redisCursors: Scenario = {
  name: 'redis-cursors',
  about: `${CLIENTS} clients come back with cursors that nobody was told, or with ones that each was`,
  needs: 'redis-server',
  run
}
