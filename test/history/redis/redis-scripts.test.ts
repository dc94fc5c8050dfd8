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

t.test('places that are ahead of the clock go on with a quarter of its pace', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const run = (script: RedisScript, ...args: string[]): Promise<unknown> =>
    redis.command('EVAL', script.source, '1', BASE, ...args)
  const probe = async (maxAgeMs: string) =>
    Number(((await run(PROBE, 'first', '0', '7', '', '86400000', maxAgeMs)) as string[])[1])
  const publish = async () => {
    const message = ['0', '0', '0', '0', '', 'data: x\n\n', '', 'data: y\n\n']
    return ((await run(PUBLISH, '', '7', '', '0', '1', '1', 'news', ...message)) as string[])
      .slice(2)
      .map(Number)
  }
  await probe('60000')
  const ways: Record<string, () => Promise<readonly number[]>> = {
    publish,
    probe: async () => [await probe('0')],
    clear: async () => [Number(await run(CLEAR, 'first', '7', 'news'))]
  }
  let last = Date.now() * 1_000 + HOUR_US
  for (const [name, way] of Object.entries(ways)) {
    const eightSecondsAgo = Date.now() * 1_000 - 8_000_000
    await redis.command('XADD', `${BASE}:ids`, `${++last}-0`, 'i', `${eightSecondsAgo}`)
    const [first = 0, second = first + 1] = await way()
    t.ok(first - last >= 2_000_000, name)
    t.ok(second > first && second - first <= 256, 'what is given at once is close together')
    last = second
    const again = await publish()
    t.ok((again[0] ?? 0) - last < 2_000_000, 'the place says when it was given')
    last = again[1] ?? 0
  }
})
