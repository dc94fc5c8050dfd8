import t from 'tap'
import { storeCases } from '../../../lib/conformance/conformance.ts'
import { redisStore } from '../../../lib/history/redis/redis-store.ts'
import { RedisServer } from '../../helpers/programs/redis-server.ts'

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
