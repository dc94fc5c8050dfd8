import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer, Server as TlsServer } from 'node:tls'
import { inspect } from 'node:util'
import fastifyRedis from '@fastify/redis'
import { expectTypeOf } from 'expect-type'
import Fastify, { type FastifyInstance } from 'fastify'
import { Cluster, Redis, type RedisOptions } from 'ioredis'
import { createClient, createClientPool, createCluster, createSentinel } from 'redis'
import t, { type Test } from 'tap'
import { createIORedis } from '../../lib/history/ioredis.ts'
import { createNodeRedis } from '../../lib/history/node-redis.ts'
import {
  CONNECT_TIMEOUT_MS,
  type Dial,
  dialClient,
  dialUrl,
  isRedisClient,
  type LinkListener,
  type RedisClient,
  type RedisLink,
  RedisReplyError
} from '../../lib/history/redis-link.ts'
import { Child } from '../helpers/child.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { FaultProxy } from '../helpers/fault-proxy.ts'
import { RedisServer } from '../helpers/redis-server.ts'
import { deferred, until } from '../helpers/server.ts'

/** What a client connects to, and how; the same for both libraries. */
interface Target {
  readonly port?: number
  readonly path?: string
  readonly username?: string
  readonly password?: string
  readonly database?: number
  readonly tls?: { readonly ca: Buffer; readonly servername: string }
}

interface Row {
  readonly name: string
  dial(target: Target, timeoutMs?: number): Dial
}

type None = Record<never, never>
type NodeRedisOptions = NonNullable<Parameters<typeof createClient<None, None, None, 2 | 3>>[0]>
type IORedisOptions = RedisOptions & { readonly replyMapping?: 'legacy' | 'resp3' }

/** How long a dial may take in tests of those that take too long. */
const SHORT_MS = 100
/** Only for what must not happen meanwhile. */
const A_WHILE_MS = 50
const HOSTILE = '\u{1f600}\r\n\u2028\u0000\ufeff*1\r\n$4\r\nPING\r\n'

function nodeRedis({ tls, port = 0, path, ...target }: Target, options: NodeRedisOptions = {}): RedisClient {
  const place = path === undefined ? { host: '127.0.0.1', port } : { path, tls: false as const }
  const socket = tls === undefined ? place : { ...place, ...tls, tls: true as const }
  return createClient({ ...target, ...options, socket: { ...options.socket, ...socket } })
}

function ioredis({ database, ...target }: Target, options: IORedisOptions = {}): RedisClient {
  const db = database === undefined ? {} : { db: database }
  return new Redis({ host: '127.0.0.1', ...target, ...db, ...options, lazyConnect: true })
}

/** Everything that could spoil a link. */
const SPOILT_NODE_REDIS: NodeRedisOptions = {
  RESP: 3,
  keyPrefix: 'spoilt:',
  pingInterval: 1,
  commandsQueueMaxLength: 1,
  commandOptions: { timeout: 1, typeMapping: { 36: Buffer, 58: String } },
  emitInvalidate: true,
  socket: { reconnectStrategy: 1, socketTimeout: 20 }
}
const SPOILT_IOREDIS: IORedisOptions = {
  keyPrefix: 'spoilt:',
  retryStrategy: () => 1,
  reconnectOnError: () => 2,
  enableOfflineQueue: true,
  autoResubscribe: true,
  autoResendUnfulfilledCommands: true,
  maxRetriesPerRequest: 1,
  enableAutoPipelining: true,
  stringNumbers: true,
  replyMapping: 'resp3',
  showFriendlyErrorStack: true,
  commandTimeout: 1,
  blockingTimeout: 1,
  socketTimeout: 20
}

const rows: Row[] = [
  clients('node-redis, RESP 2', (target) => nodeRedis(target, { RESP: 2 })),
  clients('node-redis, RESP 3', (target) => nodeRedis(target, { RESP: 3 })),
  clients('node-redis, spoilt', (target) => nodeRedis(target, SPOILT_NODE_REDIS)),
  clients('ioredis, RESP 2', (target) => ioredis(target, { protocol: 2 })),
  clients('ioredis, RESP 3', (target) => ioredis(target, { protocol: 3 })),
  clients('ioredis, spoilt', (target) => ioredis(target, SPOILT_IOREDIS)),
  { name: 'URL, node-redis', dial: (target, timeoutMs) => dialUrl(url(target), timeoutMs) },
  { name: 'URL, ioredis', dial: (target, timeoutMs) => dialUrl(url(target), timeoutMs, [createIORedis]) }
]

function clients(name: string, create: (target: Target) => RedisClient): Row {
  return { name, dial: (target, timeoutMs) => dialClient(create(target), timeoutMs) }
}

function url({ port, username = '', password = '', database = 0 }: Target): string {
  return `redis://${username}:${encodeURIComponent(password)}@127.0.0.1:${port}/${database}`
}

/** Keeps what it is told. */
class Recorder implements LinkListener {
  readonly messages: [string, string][] = []
  readonly losses: Error[] = []

  linkOnMessage(name: string, body: string): void {
    this.messages.push([name, body])
  }

  linkOnLost(error: Error): void {
    this.losses.push(error)
  }
}

const server = await RedisServer.start()
t.teardown(() => server.stop())

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

/** A server on a free port that does with its connections what `serve` does. */
async function serving(
  t: Test,
  serve: (socket: Socket) => void,
  server: Server = createServer()
): Promise<number> {
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  return (server.address() as AddressInfo).port
}

/** Accepts connections, and says nothing. `left` resolves when a client has closed one. */
async function silent(t: Test): Promise<{ port: number; left: Promise<void> }> {
  const left = deferred()
  const port = await serving(t, (socket) => {
    socket.resume().on('close', () => left.resolve())
  })
  return { port, left: left.promise }
}

/** Resolves when Redis has none of these connections. */
async function closed(ids: readonly unknown[]): Promise<void> {
  while ((await server.command('CLIENT', 'LIST', 'ID', ...ids.map(String))) !== '') await passed(1)
}

/** How many connections Redis has ever accepted. */
async function accepted(): Promise<number> {
  const stats = String(await server.command('INFO', 'stats'))
  return Number(/total_connections_received:(\d+)/.exec(stats)?.[1])
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function publish(messages: readonly [name: string, body: string][]): Promise<void> {
  await Promise.all(messages.map(([name, body]) => server.command('PUBLISH', name, body)))
}

/** What became of each, once all are settled: its answer or its error. */
async function outcomes(promises: readonly Promise<unknown>[]): Promise<unknown[]> {
  const settled = await Promise.allSettled(promises)
  return settled.map((one) => (one.status === 'fulfilled' ? one.value : one.reason))
}

for (const row of rows) {
  t.test(row.name, async (t) => {
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
      await passed(A_WHILE_MS)
      await server.command('RPUSH', key, 'late')
      proxy.blackhole(true)
      await passed(A_WHILE_MS)
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
      await passed(1)
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
      await passed(A_WHILE_MS)
      t.equal(recorder.losses.length, 1)
      t.equal(await accepted(), connections)
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
      proxy.cutAll()
      await until(() => recorder.losses.length > 0)
      await passed(A_WHILE_MS)
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
        await passed(A_WHILE_MS)
        const executed = Number(await server.command('GET', key))
        t.ok(executed > 0 && executed <= 500, `${numbers.length} answered, ${executed} executed`)
        t.equal(await accepted(), connections)
      }
    })

    t.test('destroy() › rejects what has no answer, and the listener is not called any more', async (t) => {
      const { link, recorder } = await open(t, row)
      const id = await link.call(['CLIENT', 'ID'])
      await link.subscribe(['a'])
      server.pause()
      const published = server.command('PUBLISH', 'a', 'too late')
      const waiting = outcomes([link.call(['PING']), link.subscribe(['b']), link.unsubscribe(['a'])])
      await passed(1)
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
      await link.subscribe(['a'])
      const ping = link.call(['PING']).catch(() => {})
      await server.command('EVAL', "for i = 1, 100 do redis.call('PUBLISH', 'a', i) end", '0')
      await until(() => bodies.length > 0)
      await ping
      await passed(A_WHILE_MS)
      t.same(bodies, ['1'])
    })

    t.test('dial › makes a new connection each time', async (t) => {
      const dial = row.dial(server)
      const links = await Promise.all([dial(new Recorder()), dial(new Recorder())])
      const ids = await Promise.all(links.map((link) => link.call(['CLIENT', 'ID'])))
      t.equal(new Set(ids).size, 2)
      for (const link of links) link.destroy()
      await closed(ids)
    })

    t.test('dial › rejects when the connection is refused', async (t) => {
      await t.rejects(row.dial({ port: await closedPort() })(new Recorder()), { code: 'ECONNREFUSED' })
    })

    t.test('dial › rejects when it is closed at once', async (t) => {
      const port = await serving(t, (socket) => socket.end())
      const recorder = new Recorder()
      await t.rejects(row.dial({ port })(recorder), Error)
      t.same(recorder, new Recorder())
    })

    t.test('dial › asks Redis for nothing that a link has no use for', async (t) => {
      let asked = ''
      const port = await serving(t, (socket) => {
        socket.setEncoding('latin1').on('data', (text: string) => {
          asked += text
          for (const command of text.split('*').slice(1)) {
            socket.write(/hello/i.test(command) ? '%0\r\n' : '+OK\r\n')
          }
        })
      })
      const link = await row.dial({ port })(new Recorder())
      await passed(A_WHILE_MS)
      link.destroy()
      t.notMatch(asked, /MAINT_NOTIFICATIONS|TRACKING|MONITOR/i)
      t.equal(asked.split('PING').length, 2)
    })

    t.test('dial › rejects when Redis does not answer, and leaves nothing behind', async (t) => {
      const { port, left } = await silent(t)
      const recorder = new Recorder()
      const dialed = row.dial({ port }, SHORT_MS)(recorder)
      await t.rejects(dialed, { message: `Redis did not answer within ${SHORT_MS} ms` })
      await left
      t.same(recorder, new Recorder())
    })

    t.test('dial › rejects when Redis is not able to', async (t) => {
      server.pause()
      t.teardown(() => server.resume())
      await t.rejects(row.dial(server, SHORT_MS)(new Recorder()), { message: /did not answer/ })
      server.resume()
      await open(t, row)
    })

    t.test('dial › with a password, to a database', async (t) => {
      const guarded = await RedisServer.start({ args: ['--requirepass', 'pass@wörd'] })
      t.teardown(() => guarded.stop())
      const { port } = guarded
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

const libraries = [
  { name: 'node-redis', create: nodeRedis },
  { name: 'ioredis', create: ioredis }
]
const fixture = (name: string): Buffer => readFileSync(new URL(`../fixtures/${name}.pem`, import.meta.url))

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

    t.test('dialClient() › TLS with a server that does not shake hands', async (t) => {
      const { port, left } = await silent(t)
      const client = create({ port, tls: { ca: fixture('cert'), servername: 'localhost' } })
      const start = performance.now()
      await t.rejects(dialClient(client, SHORT_MS)(new Recorder()), { message: /did not answer/ })
      await left
      t.ok(performance.now() - start < CONNECT_TIMEOUT_MS / 2, 'it is not the library that gives up')
    })

    t.test('dialClient() › a Unix socket', async (t) => {
      const dir = mkdtempSync(join(tmpdir(), 'redis-link-'))
      t.teardown(() => rmSync(dir, { recursive: true }))
      const path = join(dir, 'redis.sock')
      const local = await RedisServer.start({ args: ['--unixsocket', path] })
      t.teardown(() => local.stop())
      const link = await dialClient(create({ path }))(new Recorder())
      t.match(await link.call(['CLIENT', 'INFO']), `addr=${path}:0`)
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

    t.test('nothing of a link keeps the process alive', async (t) => {
      const { port } = await silent(t)
      const code = `(async () => {
        const { dialUrl } = await import('./lib/history/redis-link.ts')
        const { createIORedis } = await import('./lib/history/ioredis.ts')
        const { createNodeRedis } = await import('./lib/history/node-redis.ts')
        const libraries = [${name === 'ioredis' ? 'createIORedis' : 'createNodeRedis'}]
        let tellLost
        const hasLost = new Promise((resolve) => { tellLost = resolve })
        const listener = { linkOnMessage() {}, linkOnLost: () => tellLost(console.log('lost')) }
        const dial = (port) => dialUrl('redis://127.0.0.1:' + port, 1_000, libraries)(listener)
        await dial(${port}).catch(() => console.log('late'))
        await dial(1).catch(() => console.log('refused'))
        const [link, subscribed, lost] = await Promise.all([1, 2, 3].map(() => dial(${server.port})))
        await subscribed.subscribe(['a'])
        const id = await lost.call(['CLIENT', 'ID'])
        await link.call(['CLIENT', 'KILL', 'ID', String(id)])
        await hasLost
        link.call(['PING']).catch(() => console.log('rejected'))
        link.destroy()
        subscribed.destroy()
        const start = performance.now()
        process.on('exit', () => console.log(performance.now() - start < 1_500 ? 'soon' : 'late'))
      })()`
      const child = new Child(t, `--eval=${code}`)
      t.same(await child.exited, { code: 0, signal: null })
      t.equal(child.output, 'late\nrefused\nlost\nrejected\nsoon\n')
    })
  })
}

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

t.test('ioredis › Sentinels that do not answer leave time for the others', async (t) => {
  const [mute, sentinel] = [await silent(t), await sentinelOf(t, server.port)]
  for (const protocol of [2, 3] as const) {
    const link = await dialClient(sentinelClient([mute, sentinel], { protocol }), 1_500)(new Recorder())
    t.equal(await link.call(['ECHO', 'from the master']), 'from the master')
    link.destroy()
  }
  const dialed = dialClient(sentinelClient([mute]), 1_500)(new Recorder())
  await t.rejects(dialed, { message: /^All sentinels are unreachable/ })
})

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
  const replica = await RedisServer.start({ args: ['--replicaof', '127.0.0.1', `${server.port}`] })
  t.teardown(() => replica.stop())
  const dial = dialClient(sentinelClient([await sentinelOf(t, replica.port)]))
  await t.rejects(dial(new Recorder()), { message: 'Redis has closed the connection' })
})

function sentinelClient(ports: readonly { port: number }[], options: IORedisOptions = {}): RedisClient {
  const sentinels = ports.map(({ port }) => ({ host: '127.0.0.1', port }))
  return new Redis({ sentinels, name: 'main', lazyConnect: true, ...options })
}

/** A Sentinel that always names the Redis on this port as the master. */
async function sentinelOf(t: Test, port: number): Promise<{ port: number; open: Set<Socket> }> {
  const open = new Set<Socket>()
  const answers: Record<string, string> = {
    hello: '-NOPROTO unsupported protocol version\r\n',
    client: '+OK\r\n',
    'get-master-addr-by-name': `*2\r\n$9\r\n127.0.0.1\r\n$${`${port}`.length}\r\n${port}\r\n`,
    sentinels: '*0\r\n'
  }
  const ownPort = await serving(t, (socket) => {
    open.add(socket.on('close', () => open.delete(socket)))
    socket.setEncoding('latin1').on('data', (text: string) => {
      for (const word of text.toLowerCase().split('\r\n')) socket.write(answers[word] ?? '')
    })
  })
  return { port: ownPort, open }
}

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
    const dial = dialUrl(server.url, CONNECT_TIMEOUT_MS, [notFound, counting])
    t.equal(loads, 0)
    for (const link of await Promise.all([dial(new Recorder()), dial(new Recorder())])) link.destroy()
    t.equal(loads, 1)
  })

  t.test('rejects when no library is installed', async (t) => {
    const dial = dialUrl(server.url, CONNECT_TIMEOUT_MS, [notFound, notFound])
    for (let i = 0; i < 2; i++) await t.rejects(dial(new Recorder()), { message: /"redis" and "ioredis"/ })
  })

  t.test('rejects when a library cannot be loaded, or not use the URL', async (t) => {
    const broken = async (): Promise<never> => {
      throw new SyntaxError('Unexpected token')
    }
    await t.rejects(
      dialUrl(server.url, CONNECT_TIMEOUT_MS, [broken, createIORedis])(new Recorder()),
      SyntaxError
    )
    await t.rejects(dialUrl('http://localhost')(new Recorder()), TypeError)
  })
})

t.test('dialClient() › gives up after 5 s', async (t) => {
  const proxy = await proxied(t)
  proxy.blackhole(true)
  await FakeClock.run(async (clock) => {
    const dialed = dialClient(nodeRedis(proxy))(new Recorder())
    t.same(clock.pending, { all: 1, withRef: 0 })
    clock.advance(CONNECT_TIMEOUT_MS)
    await t.rejects(dialed, { message: 'Redis did not answer within 5000 ms' })
    t.same(clock.pending, { all: 0, withRef: 0 })
  })
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
