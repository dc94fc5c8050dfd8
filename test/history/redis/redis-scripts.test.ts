import t from 'tap'
import { CLEAR } from '../../../lib/history/redis/redis-leases.ts'
import { PROBE, PUBLISH, type RedisScript } from '../../../lib/history/redis/redis-scripts.ts'
import { RedisServer } from '../../helpers/programs/redis-server.ts'

const BASE = 'a:{0}'
const HOUR_US = 3_600_000_000

async function siteOf(redis: RedisServer): Promise<string> {
  return String(await redis.command('GET', `${BASE}:site`))
}

t.test('places grow, also when ids were deleted and the clock was set back', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const run = (script: RedisScript, ...args: string[]): Promise<unknown> =>
    redis.command('EVAL', script.source, '1', BASE, ...args)
  const probe = async () => (await run(PROBE, 'first', '0', '7', '', '86400000', '60000')) as string[]
  const publish = async () =>
    (await run(PUBLISH, '', '7', '', '0', '1', '1', 'news', '', '', 'data: x\n\n')) as string[]
  await probe()
  const anHourAhead = Date.now() * 1_000 + HOUR_US
  await redis.command('XADD', `${BASE}:ids`, `${anHourAhead}-0`, 'i', '')
  let last = Number((await publish())[2])
  const ways = {
    publish: async () => (await publish())[2],
    probe: async () => (await probe())[1],
    'publish, after a probe': async () => (await publish())[2],
    clear: async () => run(CLEAR, await siteOf(redis), '7', 'news')
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
    const message = ['', '', 'data: x\n\n', '', 'data: y\n\n']
    return ((await run(PUBLISH, '', '7', '', '0', '1', '1', 'news', ...message)) as string[])
      .slice(2)
      .map(Number)
  }
  await probe('60000')
  const ways: Record<string, () => Promise<readonly number[]>> = {
    publish,
    probe: async () => [await probe('0')],
    clear: async () => [Number(await run(CLEAR, await siteOf(redis), '7', 'news'))]
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

t.test('ids are trimmed to the newest 100,000, or more if those are younger than ten minutes', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const add = `for i = 1, 100300 do redis.call('XADD', KEYS[1], string.format('%.0f-0', ARGV[1] + i * ARGV[2]), 'i', '') end`
  const args = ['', '0', '', '0', '1', '1', 'news', '', '', 'data: x\n\n']
  const isTrimming = (place: unknown): boolean => Number(place) % 16 === 0
  const idsAfter = async (first: number, step: number): Promise<number> => {
    await redis.command('DEL', `${BASE}:ids`)
    await redis.command('EVAL', add, '1', `${BASE}:ids`, `${first}`, `${step}`)
    let places: unknown[]
    do places = (await redis.command('EVAL', PUBLISH.source, '1', BASE, ...args)) as unknown[]
    while (!isTrimming(places[2]))
    return Number(await redis.command('XLEN', `${BASE}:ids`))
  }
  await redis.command('SET', `${BASE}:site`, 'first.0.')
  const now = Date.now() * 1_000
  const [old, young, ahead] = [
    await idsAfter(now - HOUR_US, 1),
    await idsAfter(now - HOUR_US / 60, 1),
    await idsAfter(now + 8 * HOUR_US, 60_000)
  ]
  for (const count of [old, ahead]) t.ok(count >= 100_000 && count < 100_200, `${count}`)
  t.ok(young > 100_300, `${young}`)
})
