import { setTimeout as sleep } from 'node:timers/promises'
import { cpuPer, redisCpu, withRedis } from './redis.ts'
import { atMost, type Context, OURS, type Row, type Scenario } from './scenario.ts'

const CHANNELS = 10_000
const CHANNELS_EACH = 1_000
const SETTLE_MS = 5_000
const SECONDS = 10
const MAX_PER_SECOND = 20

async function run(context: Context): Promise<Row[]> {
  const channels = context.count ?? CHANNELS
  return withRedis((redis) => {
    const options = { contestant: OURS, channels, channelsEach: CHANNELS_EACH, redisUrl: redis.url } as const
    return context.withChannelServer(options, async ({ port, child }, client) => {
      await client.call('open', { port, count: channels / CHANNELS_EACH })
      await sleep(SETTLE_MS)
      // Those of scripts count, too.
      const commands = async (): Promise<number> => {
        const info = String(await redis.command('INFO', 'stats'))
        return Number(/^total_commands_processed:(\d+)/m.exec(info)?.[1])
      }
      const before = await commands()
      const cpus = { server: () => child.call('cpuParts'), redis: () => redisCpu(redis) }
      const used = await cpuPer(SECONDS, cpus, () => sleep(SECONDS * 1_000))
      const row = (measure: string, unit: string, value: number): Row => ({
        measure,
        unit,
        contestant: OURS,
        samples: [value]
      })
      const perSecond = row('commands per second', '', ((await commands()) - before) / SECONDS)
      return [
        { ...perSecond, goal: atMost(MAX_PER_SECOND, perSecond.samples, '') },
        ...Object.entries(used).map(([name, { userUs, systemUs }]) =>
          row(`CPU per second, ${name}`, 'ms', (userUs + systemUs) / 1_000)
        )
      ]
    })
  })
}

export const redisIdle: Scenario = {
  name: 'redis-idle',
  about: `a server follows ${CHANNELS} channels to which nothing is published`,
  needs: 'redis-server',
  run
}
