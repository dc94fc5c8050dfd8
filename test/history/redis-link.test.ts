import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { inspect } from 'node:util'
import fastifyRedis from '@fastify/redis'
import Fastify from 'fastify'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import {
  CONNECT_TIMEOUT_MS,
  dialClient,
  isRedisClient,
  type RedisLink,
  RedisReplyError
} from '../../lib/history/redis/redis-link.ts'
import { Child } from '../helpers/child.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { FaultProxy } from '../helpers/fault-proxy.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { nextTurn, until } from '../helpers/server.ts'
import {
  clientRows,
  fixture,
  libraries,
  nodeRedis,
  Recorder,
  type Row,
  rows,
  SPOILT_MS,
  sentinelClient,
  sentinelOf,
  serving,
  silent,
  type Target,
  timersUpTo
} from './links.ts'

const HOSTILE = '\u{1f600}\r\n\u2028\u0000\ufeff*1\r\n$4\r\nPING\r\n'

const dir = mkdtempSync(join(tmpdir(), 'redis-link-'))
const socketPath = join(dir, 'redis.sock')
const server = await RedisServer.start({ args: ['--unixsocket', socketPath] })
t.teardown(async () => {
  await server.stop()
  rmSync(dir, { recursive: true })
})

/** A link that is destroyed at the latest when the test ends. */
async function open(
  t: Test,
  row: Row,
  target: Target = server
): Promise<{ link: RedisLink; recorder: Recorder }> {
  const recorder = new Recorder()
  const link = await row.dial(target)(recorder)
  t.teardown(() => link.destroy())
  return { link, recorder }
}

async function proxied(t: Test): Promise<FaultProxy> {
  const proxy = await FaultProxy.start(server)
  t.teardown(() => proxy.close())
  return proxy
}

/** Resolves when Redis has none of these connections. */
async function closed(ids: readonly unknown[]): Promise<void> {
  while ((await server.command('CLIENT', 'LIST', 'ID', ...ids.map(String))) !== '');
}

/** How many connections Redis has ever accepted. */
async function accepted(): Promise<number> {
  const stats = String(await server.command('INFO', 'stats'))
  return Number(/total_connections_received:(\d+)/.exec(stats)?.[1])
}

/** The same, when all has gone off that a spoilt client would connect again by, and Redis has seen what came of it. */
async function acceptedLater(): Promise<number> {
  await timersUpTo(SPOILT_MS)
  await accepted()
  return await accepted()
}

async function publish(messages: readonly [name: string, body: string][]): Promise<void> {
  await Promise.all(messages.map(([name, body]) => server.command('PUBLISH', name, body)))
}

/** What became of each, once all are settled: its answer or its error. */
async function outcomes(promises: readonly Promise<unknown>[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(promises)
  return settled.map((one) => (one.status === 'fulfilled' ? one.value : one.reason))
}

for (const row of clientRows) {
  t.test(row.name, async (t) => {
    t.test('call() › answers', async (t) => {
      const { link } = await open(t, row)
      const large = '😀é\r\n'.repeat(100_000)
      const key = `${row.name} answers`
      t.equal(await link.call(['SET', key, HOSTILE]), 'OK')
      t.equal(await link.call(['GET', key]), HOSTILE)
      t.equal(await server.command('GET', key), HOSTILE)
      t.equal(await link.call(['ECHO', large]), large)
      t.equal(await link.call(['ECHO', '']), '')
      t.equal(await link.call(['GET', `${key}, not there`]), null)
      t.equal(await link.call(['APPEND', key, '!']), Buffer.byteLength(HOSTILE) + 1)
      t.equal(await link.call(['DECRBY', `${key}, integer`, '4503599627370496']), -4_503_599_627_370_496)
      const script = "return {1, {ARGV[1], {}, false}, redis.status_reply('fine'), '2'}"
      t.same(await link.call(['EVAL', script, '0', '😀']), [1, ['😀', [], null], 'fine', '2'])
    })

    t.test('call() › answers in the shapes of RESP 2', async (t) => {
      const { link } = await open(t, row)
      const key = (type: string): string => `${row.name} ${type}`
      await link.call(['hset', key('hash'), 'field', 'value'])
      await link.call(['ZADD', key('zset'), '1.5', 'member'])
      await link.call(['XADD', key('stream'), '1-1', 'field', 'value'])
      t.same(await link.call(['hgetall', key('hash')]), ['field', 'value'])
      t.equal(await link.call(['ZSCORE', key('zset'), 'member']), '1.5')
      t.same(await link.call(['XRANGE', key('stream'), '-', '+']), [['1-1', ['field', 'value']]])
      t.same(await link.call(['CONFIG', 'GET', 'appendonly']), ['appendonly', 'no'])
      t.match(await link.call(['INFO', 'server']), /^# Server/)
    })

    t.test('call() › rejects with what Redis refuses, and goes on', async (t) => {
      const { link, recorder } = await open(t, row)
      const key = `${row.name} list`
      const [, wrong, script, unknown, pong] = await outcomes([
        link.call(['RPUSH', key, '1']),
        link.call(['INCR', key]),
        link.call(['EVALSHA', '0'.repeat(40), '0']),
        link.call(['EVAL', "return redis.error_reply('OWN é')", '0']),
        link.call(['PING'])
      ])
      t.match(wrong, { name: 'RedisReplyError', code: 'WRONGTYPE', message: /^WRONGTYPE Operation against/ })
      t.match(script, { code: 'NOSCRIPT', cause: { message: /^NOSCRIPT / } })
      t.match(unknown, { code: 'OWN', message: 'OWN é' })
      for (const error of [wrong, script, unknown]) t.type(error, RedisReplyError)
      t.equal(pong, 'PONG')
      t.same(recorder.losses, [])
    })

    t.test('call() › keeps the order of 1,000 calls that do not wait for each other', async (t) => {
      const { link } = await open(t, row)
      const key = `${row.name} order`
      const numbers = Array.from({ length: 1_000 }, (_, i) => i + 1)
      t.same(await Promise.all(numbers.map((n) => link.call(['RPUSH', key, `${n}`]))), numbers)
      t.same(await server.command('LRANGE', key, '0', '-1'), numbers.map(String))
    })

    t.test('call() › waits as long as Redis takes', async (t) => {
      const proxy = await proxied(t)
      const { link, recorder } = await open(t, row, proxy)
      const key = `${row.name} late`
      const answers = Promise.all([link.call(['BLPOP', key, '0']), link.call(['PING'])])
      await timersUpTo(SPOILT_MS)
      proxy.blackhole(true)
      await server.command('RPUSH', key, 'late')
      await timersUpTo(SPOILT_MS)
      proxy.blackhole(false)
      t.same(await answers, [[key, 'late'], 'PONG'])
      t.same(recorder.losses, [])
    })

    t.test('subscribe() › 1,000 names, and what is published to them', async (t) => {
      const { link, recorder } = await open(t, row)
      const hostile = [HOSTILE, '', ' ', '*', '__proto__', 'constructor', 'message', 'subscribe', 'pong']
      const names = [...hostile, ...Array.from({ length: 1_000 }, (_, i) => `${row.name} ${i} é`)]
      const published = names.map((name): [string, string] => [name, `${name}${HOSTILE}`])
      await link.subscribe(names)
      await publish(published)
      await until(() => recorder.messages.length >= names.length)
      t.same(recorder.messages, published)

      await link.unsubscribe(names.slice(0, 500))
      await publish(published)
      await until(() => recorder.messages.length >= names.length * 2 - 500)
      t.same(recorder.messages.slice(names.length), published.slice(500))
    })

    t.test('subscribe() › messages come in order', async (t) => {
      const { link, recorder } = await open(t, row)
      await link.subscribe(['a', 'b'])
      const published = Array.from({ length: 1_000 }, (_, i): [string, string] => [i % 3 ? 'a' : 'b', `${i}`])
      await publish(published)
      await until(() => recorder.messages.length === published.length)
      t.same(recorder.messages, published)
    })

    t.test('subscribe() › again, while unsubscribing', async (t) => {
      const { link, recorder } = await open(t, row)
      await link.subscribe(['a', 'b'])
      await Promise.all([link.unsubscribe(['a', 'b']), link.subscribe(['a']), link.subscribe(['a', 'c'])])
      for (const name of ['a', 'b', 'c']) await server.command('PUBLISH', name, name)
      await until(() => recorder.messages.length === 2)
      t.same(recorder.messages, [
        ['a', 'a'],
        ['c', 'c']
      ])
      await Promise.all([link.unsubscribe(['a']), link.subscribe(['b']), link.unsubscribe(['b', 'c'])])
      await link.subscribe(['c'])
      for (const name of ['a', 'b', 'c']) await server.command('PUBLISH', name, 'last')
      await until(() => recorder.messages.length === 3)
      t.same(recorder.messages.at(-1), ['c', 'last'])
    })

    t.test('subscribe() and unsubscribe() › of no names do nothing', async (t) => {
      const { link, recorder } = await open(t, row)
      await link.subscribe(['a'])
      await link.subscribe([])
      await link.unsubscribe([])
      await server.command('PUBLISH', 'a', 'still there')
      await until(() => recorder.messages.length === 1)
    })

    t.test('subscribe() › PING is answered in between', async (t) => {
      const { link, recorder } = await open(t, row)
      await Promise.all([link.subscribe(['a']), link.subscribe(['b'])])
      for (let i = 0; i < 10; i++) {
        await Promise.all([link.call(['PING']), server.command('PUBLISH', 'a', `${i}`), link.call(['PING'])])
      }
      await Promise.all([link.unsubscribe(['b']), link.call(['PING']), link.subscribe(['c'])])
      await server.command('PUBLISH', 'c', 'c')
      await until(() => recorder.messages.length === 11)
    })

    t.test('what breaks the connection is told once, and rejects what has no answer', async (t) => {
      const proxy = await proxied(t)
      const { link, recorder } = await open(t, row, proxy)
      const connections = await accepted()
      proxy.blackhole(true)
      const waiting = [link.call(['PING']), link.call(['ECHO', 'x']), link.subscribe(['a'])]
      await nextTurn()
      proxy.cutAll()
      for (const error of await outcomes(waiting)) {
        t.match(error, { message: 'The connection to Redis broke', cause: Error })
        t.notMatch(error, RedisReplyError)
      }
      await until(() => recorder.losses.length > 0)
      proxy.blackhole(false)
      const late = [link.call(['PING']), link.subscribe(['a']), link.unsubscribe(['a'])]
      for (const error of await outcomes(late)) t.match(error, { cause: recorder.losses[0] })
      link.destroy()
      t.equal(await acceptedLater(), connections)
      t.equal(recorder.losses.length, 1)
    })

    t.test('a connection that Redis closes is lost', async (t) => {
      const { link, recorder } = await open(t, row)
      const id = await link.call(['CLIENT', 'ID'])
      t.equal(await server.command('CLIENT', 'KILL', 'ID', `${id}`), 1)
      await until(() => recorder.losses.length > 0)
      await t.rejects(link.call(['PING']), { cause: { message: recorder.losses[0]?.message } })
    })

    t.test('a subscription is not made anew', async (t) => {
      const proxy = await proxied(t)
      const { link, recorder } = await open(t, row, proxy)
      await link.subscribe(['anew'])
      const connections = await accepted()
      proxy.cutAll()
      await until(() => recorder.losses.length > 0)
      t.equal(await acceptedLater(), connections)
      t.same(await server.command('PUBSUB', 'CHANNELS', 'anew'), [])
    })

    t.test('no command is executed twice', async (t) => {
      for (const bytes of [1, 100, 1_000]) {
        const proxy = await proxied(t)
        const { link, recorder } = await open(t, row, proxy)
        const key = `${row.name} ${bytes}`
        const connections = await accepted()
        proxy.cutAfter(bytes, 'toClient')
        const answers = await outcomes(Array.from({ length: 500 }, () => link.call(['INCR', key])))
        const numbers = answers.filter((answer) => typeof answer === 'number')
        t.same(
          numbers,
          numbers.map((_, i) => i + 1)
        )
        t.ok(numbers.length < 500)
        await until(() => recorder.losses.length > 0)
        t.equal(await acceptedLater(), connections)
        const executed = Number(await server.command('GET', key))
        t.ok(executed > 0 && executed <= 500, `${numbers.length} answered, ${executed} executed`)
      }
    })

    t.test('destroy() › rejects what has no answer, and the listener is not called any more', async (t) => {
      const { link, recorder } = await open(t, row)
      const id = await link.call(['CLIENT', 'ID'])
      await link.subscribe(['a'])
      server.pause()
      const published = server.command('PUBLISH', 'a', 'too late')
      const waiting = outcomes([link.call(['PING']), link.subscribe(['b']), link.unsubscribe(['a'])])
      await nextTurn()
      link.destroy()
      link.destroy()
      server.resume()
      await published
      for (const error of await waiting) t.match(error, { cause: /destroyed/ })
      await t.rejects(link.call(['PING']), { cause: /destroyed/ })
      await closed([id])
      t.same(recorder, new Recorder())
    })

    t.test('destroy() › by a message', async (t) => {
      const bodies: string[] = []
      const link = await row.dial(server)({
        linkOnMessage(_, body) {
          bodies.push(body)
          link.destroy()
        },
        linkOnLost: () => t.fail('lost')
      })
      const id = await link.call(['CLIENT', 'ID'])
      await link.subscribe(['a'])
      const ping = link.call(['PING']).catch(() => {})
      await server.command('EVAL', "for i = 1, 100 do redis.call('PUBLISH', 'a', i) end", '0')
      await until(() => bodies.length > 0)
      await ping
      await closed([id])
      await nextTurn()
      t.same(bodies, ['1'])
    })
  })
}

/** A Redis with a password, once it is needed. */
let guardedServer: Promise<RedisServer> | undefined
function guarded(): Promise<RedisServer> {
  guardedServer ??= RedisServer.start({ args: ['--requirepass', 'pass@wörd'] })
  return guardedServer
}
t.teardown(async () => await (await guardedServer)?.stop())

for (const row of rows) {
  t.test(row.name, async (t) => {
    t.test('dial › makes a new connection each time', async (t) => {
      const dial = row.dial(server)
      const links = await Promise.all([dial(new Recorder()), dial(new Recorder())])
      const ids = await Promise.all(links.map((link) => link.call(['CLIENT', 'ID'])))
      t.equal(new Set(ids).size, 2)
      for (const link of links) link.destroy()
      await closed(ids)
    })

    t.test('dial › rejects when Redis is not able to, and makes a link when it is again', async (t) => {
      server.pause()
      t.teardown(() => server.resume())
      await FakeClock.run(async (clock) => {
        const rejected = t.rejects(row.dial(server)(new Recorder()), { message: /did not answer/ })
        while (clock.pending.all === 0) await nextTurn()
        clock.advance(CONNECT_TIMEOUT_MS)
        await rejected
      })
      server.resume()
      await open(t, row)
    })

    t.test('dial › with a password, to a database', async (t) => {
      const { port } = await guarded()
      const { link } = await open(t, row, { port, username: 'default', password: 'pass@wörd', database: 7 })
      t.match(await link.call(['CLIENT', 'INFO']), / db=7 /)
      const recorder = new Recorder()
      const wrong = row.dial({ port, username: 'default', password: 'wrong' })(recorder)
      await t.rejects(wrong, { name: 'RedisReplyError', code: 'WRONGPASS' })
      await t.rejects(row.dial({ port })(recorder), { name: 'RedisReplyError', code: 'NOAUTH' })
      await t.rejects(row.dial({ port: server.port, database: 99 })(recorder), {
        code: 'ERR',
        message: /DB index/
      })
      t.same(recorder, new Recorder())
    })
  })
}

for (const { name, create } of libraries) {
  t.test(name, async (t) => {
    t.test('dialClient() › TLS', async (t) => {
      const tlsServer = createTlsServer({ key: fixture('key'), cert: fixture('cert') })
      const port = await serving(
        t,
        (socket) => socket.pipe(connect(server.port, '127.0.0.1')).pipe(socket),
        tlsServer
      )
      const recorder = new Recorder()
      const link = await dialClient(create({ port, tls: { ca: fixture('cert'), servername: 'localhost' } }))(
        recorder
      )
      t.equal(await link.call(['ECHO', 'secret']), 'secret')
      link.destroy()
      const wrong = create({ port, tls: { ca: fixture('cert'), servername: 'elsewhere' } })
      await t.rejects(dialClient(wrong)(recorder), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
      t.same(recorder, new Recorder())
    })

    t.test('dialClient() › a Unix socket', async (t) => {
      const link = await dialClient(create({ path: socketPath }))(new Recorder())
      t.match(await link.call(['CLIENT', 'INFO']), `addr=${socketPath}:0`)
      link.destroy()
    })

    t.test('dialClient() › leaves the client as it is', async (t) => {
      const client = create(server)
      const { options } = client
      const before = inspect(options, { depth: 5 })
      const link = await dialClient(client)(new Recorder())
      await link.subscribe(['a'])
      link.destroy()
      t.equal(client.options, options)
      t.equal(inspect(options, { depth: 5 }), before)
    })
  })
}

/** A timer that libraries use for the next turn. */
const MOMENT_MS = 1

t.test('nothing of a link keeps the process alive', async (t) => {
  const { port } = await silent(t)
  const code = `(async () => {
    const { dialUrl } = await import('./lib/history/redis-link.ts')
    const { createIORedis } = await import('./lib/history/ioredis.ts')
    const { createNodeRedis } = await import('./lib/history/node-redis.ts')
    const turn = () => new Promise((resolve) => setImmediate(resolve))
    const { setTimeout, clearTimeout } = globalThis
    const timers = new Map()
    globalThis.setTimeout = (run, ms, ...args) => {
      const timer = setTimeout(() => { timers.delete(timer); run(...args) }, ms)
      timers.set(timer, ms)
      return timer
    }
    globalThis.clearTimeout = (timer) => { timers.delete(timer); clearTimeout(timer) }
    for (const library of [createIORedis, createNodeRedis]) {
      let tellLost
      const hasLost = new Promise((resolve) => { tellLost = resolve })
      const listener = { linkOnMessage() {}, linkOnLost: () => tellLost(console.log('lost')) }
      const dial = (port, timeoutMs) => dialUrl('redis://127.0.0.1:' + port, timeoutMs, [library])(listener)
      await dial(${port}, 1).catch(() => console.log('late'))
      await dial(1).catch(() => console.log('refused'))
      const [link, subscribed, lost] = await Promise.all([1, 2, 3].map(() => dial(${server.port})))
      await subscribed.subscribe(['a'])
      const id = await lost.call(['CLIENT', 'ID'])
      await link.call(['CLIENT', 'KILL', 'ID', String(id)])
      await hasLost
      const rejected = link.call(['PING']).catch(() => console.log('rejected'))
      link.destroy()
      subscribed.destroy()
      await rejected
      await turn()
      const waits = [...timers].filter(([timer, ms]) => timer.hasRef() && ms > ${MOMENT_MS})
      console.log(waits.map(([, ms]) => ms).join() || 'nothing')
    }
  })()`
  const child = new Child(t, `--eval=${code}`)
  t.same(await child.exited, { code: 0, signal: null })
  t.equal(child.output, 'late\nrefused\nlost\nrejected\nnothing\n'.repeat(2))
})

t.test('node-redis › what the library refuses to send', async (t) => {
  const link = await dialClient(nodeRedis(server))(new Recorder())
  const wrong = link.call(['ECHO', 1 as unknown as string])
  await t.rejects(wrong, { message: 'The connection to Redis broke', cause: TypeError })
  t.equal(await link.call(['ECHO', '1']), '1')
  link.destroy()
})

t.test(
  'node-redis › a client of version 5, whose destroy() throws when the connection has broken',
  async (t) => {
    const client = createClient({ socket: { host: '127.0.0.1', port: server.port } })
    const version5 = Object.assign(Object.create(client), {
      duplicate(overrides: object) {
        const copy = client.duplicate(overrides)
        const destroy = copy.destroy.bind(copy)
        return Object.assign(copy, {
          destroy() {
            if (!copy.isOpen) throw new Error('The client is closed')
            destroy()
          }
        })
      }
    })
    const recorder = new Recorder()
    const link = await dialClient(version5)(recorder)
    await server.command('CLIENT', 'KILL', 'ID', `${await link.call(['CLIENT', 'ID'])}`)
    await until(() => recorder.losses.length > 0)
    t.match(recorder.losses, [{ message: 'Socket closed unexpectedly' }])
  }
)

t.test('ioredis › Sentinels that are watched are left with the link', async (t) => {
  const sentinel = await sentinelOf(t, server.port)
  const dial = dialClient(sentinelClient([sentinel], { failoverDetector: true }))
  const recorder = new Recorder()
  const links = await Promise.all([dial(recorder), dial(recorder)])
  await until(() => sentinel.open.size === 2)
  links[0]?.destroy()
  await until(() => sentinel.open.size === 1)
  await server.command('CLIENT', 'KILL', 'ID', `${await links[1]?.call(['CLIENT', 'ID'])}`)
  await until(() => sentinel.open.size === 0)
  t.equal(recorder.losses.length, 1)
})

t.test('ioredis › a master that has become a replica', async (t) => {
  await server.command('REPLICAOF', '127.0.0.1', '1')
  t.teardown(() => server.command('REPLICAOF', 'NO', 'ONE'))
  const dial = dialClient(sentinelClient([await sentinelOf(t, server.port)]))
  await t.rejects(dial(new Recorder()), { message: 'Redis has closed the connection' })
})

t.test('dialClient() › the client of @fastify/redis', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyRedis, { url: server.url })
  t.ok(isRedisClient(app.redis))
  const link = await dialClient(app.redis)(new Recorder())
  t.not(await link.call(['CLIENT', 'ID']), await app.redis.client('ID'))
  link.destroy()
})
