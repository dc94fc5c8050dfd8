import t from 'tap'
import { storeCases } from '../../../lib/conformance/conformance.ts'
import { redisStore } from '../../../lib/history/redis/redis-store.ts'
import { RedisServer } from '../../helpers/programs/redis-server.ts'
import { until } from '../../helpers/server.ts'

t.test('redisStore() › does what every store does', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  for (const [i, { title, run }] of storeCases.entries()) {
    await t.resolves(
      run(() => ({ store: () => redisStore({ url: redis.url, prefix: `${i}:` }) })),
      title
    )
  }
})

t.test('redisStore() › a reading says from where on all of its channel was told', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const store = redisStore({ url: redis.url })
  t.teardown(() => store.close())
  const told = new Set<string>()
  await store.open({
    storeOnMessages: (messages) => {
      for (const { text } of messages) told.add(text)
    },
    storeOnLoss() {},
    storeOnFork() {}
  })
  const limits = { maxMessages: 1, maxBytes: 1_000, maxAgeMs: 60_000, keepEndedMs: 60_000 } as const
  const publish = async (text: string): Promise<number | undefined> => {
    const append = { channels: [{ name: 'a', limits }], messages: [{ text, key: '' }] }
    const { places } = await store.append({
      ...append,
      idempotencyKey: undefined,
      isKept: true,
      isEnd: false
    })
    return places[0]
  }
  const first = await publish('1')
  t.equal((await store.read('a', 0)).toldAfter, undefined)
  await store.follow?.('a')
  const second = await publish('2')
  await publish('3')
  await until(() => told.has('3'))
  const { dropped, toldAfter } = await store.read('a', 0)
  t.same([dropped, toldAfter], [second, first])
})
