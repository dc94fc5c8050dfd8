import { expectTypeOf } from 'expect-type'
import type { FastifyInstance } from 'fastify'
import { Cluster, Redis } from 'ioredis'
import { createClient, createClientPool, createCluster, createSentinel } from 'redis'
import t from 'tap'
import { createIORedis } from '../../lib/history/redis/ioredis.ts'
import { createNodeRedis } from '../../lib/history/redis/node-redis.ts'
import {
  CONNECT_TIMEOUT_MS,
  dialClient,
  dialUrl,
  isRedisClient,
  type RedisClient,
  RedisReplyError
} from '../../lib/history/redis/redis-link.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { freePort } from '../helpers/free-port.ts'
import { hasSettled } from '../helpers/settled.ts'
import {
  agreeable,
  fixture,
  libraries,
  nodeRedis,
  Recorder,
  rows,
  SPOILT_MS,
  sentinelClient,
  sentinelOf,
  serving,
  silent,
  timersUpTo
} from './links.ts'

t.test('RedisReplyError › has the words of Redis, also of a script in Redis 6.2', async (t) => {
  const messages = [
    "READONLY You can't write",
    "@user_script: 31: -READONLY You can't write\r\n",
    "ERR Error running script (call to f_0123456789abcdef): @user_script:31: -READONLY You can't write"
  ]
  for (const message of messages) {
    t.match(new RedisReplyError(new Error(message)), {
      code: 'READONLY',
      message: "READONLY You can't write"
    })
  }
})

for (const row of rows) {
  t.test(row.name, async (t) => {
    t.test('dial › rejects when the connection is refused', async (t) => {
      await t.rejects(row.dial({ port: await freePort() })(new Recorder()), { code: 'ECONNREFUSED' })
    })

    t.test('dial › rejects when it is closed at once', async (t) => {
      const port = await serving(t, (socket) => socket.end())
      const recorder = new Recorder()
      await t.rejects(row.dial({ port })(recorder), Error)
      t.same(recorder, new Recorder())
    })

    t.test('dial › asks Redis for nothing that a link has no use for', async (t) => {
      const { port, asked } = await agreeable(t)
      const link = await row.dial({ port })(new Recorder())
      await timersUpTo(SPOILT_MS)
      t.equal(await link.call(['ECHO', 'the last']), 'OK')
      link.destroy()
      t.match(asked(), /the last/)
      t.notMatch(asked(), /MAINT_NOTIFICATIONS|TRACKING|MONITOR/i)
      t.equal(asked().split('PING').length, 2)
    })

    t.test('dial › rejects when Redis does not answer, and leaves nothing behind', async (t) => {
      const { port, asked, left } = await silent(t)
      const recorder = new Recorder()
      await FakeClock.run(async (clock) => {
        const rejected = t.rejects(row.dial({ port }, 1_000)(recorder), {
          message: 'Redis did not answer within 1000 ms'
        })
        await asked
        clock.advance(1_000)
        await rejected
        await left
        t.equal(clock.pending.all, 0)
      })
      t.same(recorder, new Recorder())
    })
  })
}

for (const { name, create } of libraries) {
  t.test(
    `${name} › TLS with a server that does not shake hands: it is not the library that gives up`,
    async (t) => {
      const { port, asked, left } = await silent(t)
      const client = create({ port, tls: { ca: fixture('cert'), servername: 'localhost' } })
      await FakeClock.run(async (clock) => {
        const rejected = t.rejects(dialClient(client)(new Recorder()), { message: /did not answer/ })
        await asked
        clock.advance(CONNECT_TIMEOUT_MS)
        await Promise.all([rejected, left])
      })
    }
  )
}

t.test('ioredis › Sentinels that do not answer leave time for the others', async (t) => {
  const master = await agreeable(t)
  const sentinel = await sentinelOf(t, master.port)
  await FakeClock.run(async (clock) => {
    for (const protocol of [2, 3] as const) {
      const mute = await silent(t)
      const dialed = dialClient(sentinelClient([mute, sentinel], { protocol }), 60_000)(new Recorder())
      await mute.asked
      clock.advance(20_000)
      const link = await dialed
      t.equal(await link.call(['ECHO', `by RESP ${protocol}`]), 'OK')
      t.match(master.asked(), `by RESP ${protocol}`)
      link.destroy()
      await mute.left
    }
    const mute = await silent(t)
    const rejected = t.rejects(dialClient(sentinelClient([mute]), 60_000)(new Recorder()), {
      message: /^All sentinels are unreachable/
    })
    await mute.asked
    clock.advance(30_000)
    await rejected
  })
})

t.test('dialUrl()', async (t) => {
  const notFound = async (): Promise<never> => {
    throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
  }

  t.test('loads a library once, by the first dial', async (t) => {
    let loads = 0
    const counting = (url: string): Promise<RedisClient> => {
      loads++
      return createNodeRedis(url)
    }
    const { port } = await agreeable(t)
    const dial = dialUrl(`redis://127.0.0.1:${port}`, CONNECT_TIMEOUT_MS, [notFound, counting])
    t.equal(loads, 0)
    for (const link of await Promise.all([dial(new Recorder()), dial(new Recorder())])) link.destroy()
    t.equal(loads, 1)
  })

  t.test('rejects when no library is installed', async (t) => {
    const dial = dialUrl('redis://127.0.0.1:1', CONNECT_TIMEOUT_MS, [notFound, notFound])
    for (let i = 0; i < 2; i++) await t.rejects(dial(new Recorder()), { message: /"redis" and "ioredis"/ })
  })

  t.test('rejects when a library cannot be loaded, or not use the URL', async (t) => {
    const broken = async (): Promise<never> => {
      throw new SyntaxError('Unexpected token')
    }
    await t.rejects(
      dialUrl('redis://127.0.0.1:1', CONNECT_TIMEOUT_MS, [broken, createIORedis])(new Recorder()),
      SyntaxError
    )
    await t.rejects(dialUrl('http://localhost')(new Recorder()), TypeError)
  })
})

t.test('dialClient() › gives up after 5 s', async (t) => {
  const { port } = await silent(t)
  await FakeClock.run(async (clock) => {
    const dialed = dialClient(nodeRedis({ port }))(new Recorder())
    t.same(clock.pending, { all: 1, withRef: 0 })
    clock.advance(CONNECT_TIMEOUT_MS - 1)
    t.equal(await hasSettled(dialed), false)
    clock.advance(1)
    await t.rejects(dialed, { message: 'Redis did not answer within 5000 ms' })
    t.same(clock.pending, { all: 0, withRef: 0 })
  })
})

t.test('isRedisClient()', async (t) => {
  const lazy = { lazyConnect: true }
  const yes = [createClient(), createClient({ RESP: 2 }), createClient().withTypeMapping({}), new Redis(lazy)]
  for (const client of yes) t.ok(isRedisClient(client))
  const sentinel = { name: 'main', sentinelRootNodes: [{ host: 'localhost', port: 26379 }] }
  const no = [
    createCluster({ rootNodes: [{}] }),
    createClientPool(),
    createSentinel(sentinel),
    createClient().legacy(),
    createClient().multi(),
    new Cluster([{}], lazy),
    new Redis(lazy).pipeline(),
    Object.create(null, { main: { value: new Redis(lazy) } }),
    createClient,
    Redis,
    null,
    undefined,
    'redis://localhost',
    {},
    []
  ]
  for (const [i, value] of no.entries()) t.notOk(isRedisClient(value), `${i}`)
})

/** Never called: the compiler is the test. */
export function typed(app: FastifyInstance): void {
  expectTypeOf(createClient()).toExtend<RedisClient>()
  expectTypeOf(createClient({ RESP: 2 })).toExtend<RedisClient>()
  expectTypeOf(createClient({ RESP: 3, modules: {}, scripts: {} })).toExtend<RedisClient>()
  expectTypeOf(createClient().withTypeMapping({ 36: Buffer })).toExtend<RedisClient>()
  expectTypeOf(new Redis()).toExtend<RedisClient>()
  expectTypeOf(new Redis({ protocol: 3, replyMapping: 'resp3' })).toExtend<RedisClient>()
  expectTypeOf(app.redis).toExtend<RedisClient>()
  expectTypeOf(createCluster({ rootNodes: [] })).not.toExtend<RedisClient>()
  expectTypeOf(createClientPool()).not.toExtend<RedisClient>()
  expectTypeOf(new Cluster([])).not.toExtend<RedisClient>()
  // Assignability proper: what users meet is an argument.
  dialClient(createClient())
  dialClient(createClient({ RESP: 2 }))
  dialClient(new Redis())
  dialClient(app.redis)
}
