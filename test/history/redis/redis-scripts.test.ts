import t from 'tap'
import { CLEAR } from '../../../lib/history/redis/redis-leases.ts'
import { PROBE, PUBLISH, type RedisScript } from '../../../lib/history/redis/redis-scripts.ts'
import { RedisServer } from '../../helpers/programs/redis-server.ts'

const BASE = 'a:{0}'
const HOUR_US = 3_600_000_000

t.test('places grow, also when ids were deleted and the clock was set back', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const run = (script: RedisScript, ...args: string[]): Promise<unknown> =>
    redis.command('EVAL', script.source, '1', BASE, ...args)
  const probe = async () => (await run(PROBE, 'first', '0', '7', '', '86400000', '60000')) as string[]
  const limits = ['0', '0', '0', '0']
  const publish = async () =>
    (await run(PUBLISH, '', '7', '', '0', '1', '1', 'news', ...limits, '', 'data: x\n\n')) as string[]
  await probe()
  const anHourAhead = Date.now() * 1_000 + HOUR_US
  await redis.command('XADD', `${BASE}:ids`, `${anHourAhead}-0`, 'i', '')
  let last = Number((await publish())[2])
  const ways = {
    publish: async () => (await publish())[2],
    probe: async () => (await probe())[1],
    'publish, after a probe': async () => (await publish())[2],
    clear: () => run(CLEAR, 'first', '7', 'news')
  }
  for (const [name, way] of Object.entries(ways)) {
    if (name !== 'publish, after a probe') await redis.command('DEL', `${BASE}:ids`)
    const place = Number(await way())
    t.ok(place > last, name)
    last = place
  }
})
