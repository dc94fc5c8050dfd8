import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import Fastify, { type FastifyBaseLogger } from 'fastify'
import { Cluster, Redis } from 'ioredis'
import { createClient, createClientPool, createCluster } from 'redis'
import t, { type Test } from 'tap'
import { storeCases } from '../../../lib/conformance/conformance.ts'
import type { Place } from '../../../lib/history/place.ts'
import type { RedisStoreOptions } from '../../../lib/history/redis/redis-options.ts'
import type { Store, StoredMessage, StoreListener } from '../../../lib/history/store.ts'
import eventStream, { redisStore } from '../../../lib/index.ts'
import { FaultProxy } from '../../helpers/fault-proxy.ts'
import { RedisServer } from '../../helpers/programs/redis-server.ts'
import { until } from '../../helpers/server.ts'

const LIMITS = { maxMessages: 3, maxBytes: 1_000_000, maxAgeMs: false, keepEndedMs: 1_000 } as const
const SCRIPT = fileURLToPath(new URL('../../../lib/history/redis/publish.lua', import.meta.url))

/** A store, and what it tells. */
class Server implements StoreListener {
  readonly store: Store
  readonly told: StoredMessage[] = []
  readonly losses: (readonly string[])[] = []
  #wake: () => void = () => {}

  constructor(t: Test, options: RedisStoreOptions) {
    this.store = redisStore(options)
    t.teardown(() => this.store.close())
  }

  static async start(t: Test, options: RedisStoreOptions, ...follows: string[]): Promise<Server> {
    const server = new Server(t, options)
    await server.store.open(server)
    for (const name of follows) await server.store.follow?.(name)
    return server
  }

  storeOnMessages(messages: readonly StoredMessage[]): void {
    this.told.push(...messages)
    this.#wake()
  }

  storeOnLoss(channels: readonly string[]): void {
    this.losses.push(channels)
    this.#wake()
  }

  storeOnFork(): void {}

  async publish(name: string, text: string): Promise<Place> {
    const channels = [{ name, limits: LIMITS }]
    const appended = {
      channels,
      messages: [{ text, key: '' }],
      idempotencyKey: undefined,
      isKept: true,
      isEnd: false
    }
    const { places } = await this.store.append(appended)
    return places[0] as Place
  }

  async until(holds: (server: Server) => boolean): Promise<void> {
    while (!holds(this)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  get texts(): string[] {
    return this.told.map(({ text }) => text)
  }
}

async function startRedis(t: Test, args: readonly string[] = []): Promise<RedisServer> {
  const redis = await RedisServer.start({ args })
  t.teardown(() => redis.stop())
  return redis
}

t.test('redisStore() › nobody hears another database, prefix or tenant', async (t) => {
  const redis = await startRedis(t)
  const ofTenant = (keyPrefix: string): RedisStoreOptions => {
    const client = new Redis(redis.url, { lazyConnect: true, keyPrefix })
    return { client }
  }
  const all: RedisStoreOptions[] = [
    { url: redis.url },
    { url: `${redis.url}/1` },
    { url: redis.url, prefix: 'staging:' },
    ofTenant('a:'),
    ofTenant('b:')
  ]
  const servers = await Promise.all(all.map((options) => Server.start(t, options, 'news')))
  for (const [i, server] of servers.entries()) await server.publish('news', `of ${i}`)
  for (const [i, server] of servers.entries()) {
    const place = await server.publish('news', 'the last')
    await server.until(({ told }) => told.at(-1)?.place === place)
    t.same(server.texts, [`of ${i}`, 'the last'])
    t.same(
      (await server.store.read('news', 0)).messages.map(({ text }) => text),
      [`of ${i}`, 'the last']
    )
    const others = servers.filter((other) => other !== server)
    for (const { store } of others) t.same(await store.prove([place]), [false])
  }
  t.equal(new Set(servers.map(({ store }) => store.epoch)).size, all.length)
})

t.test('redisStore() › a message of another server, published when the stream is open, comes', async (t) => {
  const redis = await startRedis(t)
  const line = await FaultProxy.start({ port: redis.port })
  t.teardown(() => line.close())
  line.delay(5)
  const publisher = await Server.start(t, { url: redis.url })
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(eventStream, { history: { store: redisStore({ url: line.url }) } })
  app.get('/:name', (request, reply) => {
    app.sse.subscribe(reply.sseStart(), [(request.params as { name: string }).name])
  })
  const url = await app.listen({ port: 0, host: '127.0.0.1' })
  for (let i = 0; i < 5; i++) {
    const response = await fetch(`${url}/room-${i}`)
    await publisher.publish(`room-${i}`, `data: ${i}\n\n`)
    let text = ''
    for await (const chunk of response.body ?? []) {
      text += Buffer.from(chunk).toString()
      if (text.includes(`data: ${i}\n\n`)) break
    }
    t.match(text, `data: ${i}\n\n`)
  }
})

t.test('redisStore() › made-up places cost what honest ones do: one script for many', async (t) => {
  const redis = await startRedis(t)
  const { store, ...server } = await Server.start(t, { url: redis.url })
  void server
  const honest: Place[] = []
  for (let i = 0; i < 50; i++) honest.push(await store.head())
  const scripts = async (): Promise<number> => {
    const stats = String(await redis.command('INFO', 'commandstats'))
    return Number(/cmdstat_evalsha:calls=(\d+)/.exec(stats)?.[1])
  }
  const madeUp = honest.map((place) => place + 7_777_777_777)
  for (const [places, isKnown] of [
    [honest, true],
    [madeUp, false]
  ] as const) {
    const before = await scripts()
    const proofs = await Promise.all(places.map((place) => store.prove([place])))
    t.same(new Set(proofs.flat()), new Set([isKnown]))
    t.ok((await scripts()) - before <= 3, 'one script, and perhaps a probe or an audit')
  }
})

t.test('redisStore() › who follows thousands of channels asks little while nothing comes', async (t) => {
  const redis = await startRedis(t)
  const { store } = await Server.start(t, { url: redis.url })
  await Promise.all(Array.from({ length: 5_000 }, (_, i) => store.follow?.(`channel ${i}`)))
  await Promise.all(Array.from({ length: 5_000 }, (_, i) => store.read(`channel ${i}`, 0)))
  const commands = async (): Promise<number> =>
    Number(/total_commands_processed:(\d+)/.exec(String(await redis.command('INFO', 'stats')))?.[1])
  const probes = async (): Promise<number> =>
    Number(/cmdstat_zmscore:calls=(\d+)/.exec(String(await redis.command('INFO', 'commandstats')))?.[1] ?? 0)
  const [before, first] = [await commands(), await probes()]
  let asked = 2
  while ((await probes()) < first + 2) asked++
  // Two looks, each at a thousand of them.
  t.ok((await commands()) - before - asked < 40)
})

t.test('redisStore() › to follow and to read a channel leaves nothing in Redis', async (t) => {
  const redis = await startRedis(t)
  const { store } = await Server.start(t, { url: redis.url })
  const keys = async (): Promise<unknown> => redis.command('DBSIZE')
  const before = await keys()
  for (let i = 0; i < 100; i++) {
    await store.follow?.(`room-${i}`)
    await store.read(`room-${i}`, 0)
    store.unfollow?.(`room-${i}`)
  }
  t.equal(await keys(), before)
})

t.test(
  'redisStore() › a Redis in cluster mode is refused, and so are clients of clusters and pools',
  async (t) => {
    const redis = await startRedis(t, ['--cluster-enabled', 'yes'])
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(eventStream, { history: { store: redisStore({ url: redis.url }) } })
    await t.rejects(app.listen({ port: 0 }), /cluster mode, which redisStore\(\) does not support/)
    const cluster = new Cluster([], { lazyConnect: true })
    t.teardown(() => cluster.disconnect())
    const clients = [cluster, createCluster({ rootNodes: [] }), createClientPool(), {}, null]
    for (const client of clients) {
      t.throws(() => redisStore({ client: client as never }), {
        code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION',
        message: /a client of redis or ioredis, of no cluster and no pool/
      })
    }
  }
)

t.test('redisStore() › a user with the rights that the guide names can do everything', async (t) => {
  const redis = await startRedis(t)
  const guide = await readFile(new URL('../../../examples/guides/many-nodes.md', import.meta.url), 'utf8')
  const [, rights = ''] = /an ACL needs `([^`]+)`/.exec(guide) ?? []
  await redis.command('ACL', 'SETUSER', 'sse', 'on', '>secret', ...rights.split(' '))
  const url = redis.url.replace('//', '//sse:secret@')
  for (const [i, { title, run }] of storeCases.entries()) {
    const prefix = `eventstream:${i}:`
    await t.resolves(
      run(() => ({ store: () => redisStore({ url, prefix }) })),
      title
    )
  }
})

t.test('redisStore() › a Redis that evicts keys is refused at the start, and told of later', async (t) => {
  const limited = ['--maxmemory', '100mb', '--maxmemory-policy']
  for (const policy of ['allkeys-lru', 'volatile-ttl']) {
    const { url } = await startRedis(t, [...limited, policy])
    const store = redisStore({ url })
    t.teardown(() => store.close())
    await t.rejects(store.open(new Server(t, { url })), { message: /evicts keys .* set maxmemory-policy/ })
  }
  const redis = await startRedis(t, [...limited, 'noeviction'])
  const server = new Server(t, { url: redis.url })
  const errors: unknown[] = []
  await server.store.open(server, {
    warn() {},
    error: (text: unknown) => void errors.push(text)
  } as unknown as FastifyBaseLogger)
  await redis.command('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru')
  await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
  await until(() => errors.length > 0)
  t.match(errors, [/evicts keys/])
})

t.test('redisStore() › wrong options are refused by their names', (t) => {
  const wrong: [object, RegExp][] = [
    [{}, /with either client or url/],
    [{ url: 'redis://localhost', client: createClient() }, /with either client or url/],
    [{ url: 'http://user:secret@localhost' }, /Expected url to be a URL that begins with/],
    [{ url: 1 }, /Expected url to be a URL/],
    [{ url: 'redis://localhost', prefix: '{a}' }, /Expected prefix to be/],
    [{ url: 'redis://localhost', keyPrefix: 'a' }, /keyPrefix/]
  ]
  for (const [options, message] of wrong) {
    t.throws(() => redisStore(options), { code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION', message })
    t.throws(() => redisStore(options), { message: /^(?!.*secret)/ })
  }
  t.end()
})

t.test(
  'publish.lua › another program publishes at once, in order, within limits and with ids that are known',
  async (t) => {
    const redis = await startRedis(t)
    const server = await Server.start(t, { url: redis.url }, 'news')
    const publish = async (...args: string[]): Promise<string> => {
      const all = ['-p', String(redis.port), '--eval', SCRIPT, 'eventstream:{0}', ',', ...args]
      const { stdout } = await promisify(execFile)('redis-cli', all)
      return stdout
    }
    for (let i = 0; i < 5; i++)
      await publish('', '7', '', '0', '1', '1', 'news', '3 1000000 0 1000', '["k"]', `data: ${i}\n\n`)
    await server.publish('news', 'data: 5\n\n')
    await server.until(({ told }) => told.length === 6)
    t.same(
      server.texts,
      [0, 1, 2, 3, 4, 5].map((i) => `data: ${i}\n\n`)
    )
    const places = server.told.map(({ place }) => place)
    t.same(await server.store.prove(places), Array(6).fill(true))
    const { messages, dropped } = await server.store.read('news', 0)
    t.same(messages, server.told.slice(3))
    t.equal(dropped, places[2])
    t.same(server.losses, [])
    const once = ['', '9', 'once', '60000', '1', '2', 'news', '', 'b', '']
    const both = await publish(...once, '["",["news","b"]]', 'data: 6\n\n')
    const again = await publish(...once, '["",["news","b"]]', 'data: 6\n\n')
    t.equal(both.split('\n')[2], again.split('\n')[2])
    await server.store.close()
    await redis.command('FLUSHALL')
    t.match(await publish('', '7', '', '0', '1', '1', 'news', '', '', 'data: 7\n\n').catch(String), /SITE/)
  }
)

t.test('redisStore() › what an error says to clients has no words of Redis', async (t) => {
  const redis = await startRedis(t, ['--requirepass', 'hunter2'])
  const url = `redis://:hunter2@127.0.0.1:${redis.port}`
  await redis.command('AUTH', 'hunter2')
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(eventStream, { history: { store: redisStore({ url }) } })
  app.post('/', async () => app.sse.publish('news', { data: 'private' }))
  app.get('/cursor', async () => app.sse.cursor())
  app.get('/info', async () => app.sse.channel('news').info())
  await app.listen({ port: 0, host: '127.0.0.1' })
  const asked = [
    ['POST', '/', 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED'],
    ['GET', '/cursor', 'FST_ERR_EVENTSTREAM_HISTORY_AWAY'],
    ['GET', '/info', 'FST_ERR_EVENTSTREAM_HISTORY_AWAY']
  ] as const
  for (const [method, path] of asked) t.equal((await app.inject({ method, path })).statusCode, 200)
  // Nobody may run scripts any more.
  await redis.command('ACL', 'SETUSER', 'default', '-evalsha', '-eval')
  for (const [method, path, code] of asked) {
    const { statusCode, body } = await app.inject({ method, path })
    t.equal(statusCode, 503)
    t.equal(JSON.parse(body).code, code)
    t.notMatch(body, /redis|script|eval|NOPERM|private|hunter2|permission|connection|127\.0/i)
  }
})
