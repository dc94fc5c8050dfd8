import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import type { Cursor, History, HistoryListener } from '../../lib/history/history.ts'
import { REDIS_DEFAULTS, type RedisHistoryOptions, redisHistory } from '../../lib/history/redis-history.ts'
import { redisKeys } from '../../lib/history/redis-keys.ts'
import type { NoticesHost } from '../../lib/history/redis-notices.ts'
import type { PublisherHost } from '../../lib/history/redis-publisher.ts'
import { comparePlaces } from '../../lib/history/stream-id.ts'
import {
  ALL,
  cursors,
  Ear,
  fill,
  frame,
  gapAfter,
  numbered,
  PatientLog,
  readAll,
  readKept,
  texts
} from '../helpers/history.ts'
import { RedisServer } from '../helpers/redis-server.ts'
import { deferred, nextTurn } from '../helpers/server.ts'
import { historyConformance } from './conformance.ts'

const redis = await RedisServer.start()
t.teardown(() => redis.stop())
let stores = 0

/** A cursor of the next millisecond. */
function later(cursor: Cursor): Cursor {
  const [ms, number] = cursor.split('-')
  return `${Number(ms) + 1}-${number}`
}

historyConformance('RedisHistory', ({ maxMessages }) => {
  const history = redisHistory({
    url: redis.url,
    prefix: `store ${++stores}:`,
    maxLength: maxMessages,
    maxBytes: 1_000_000_000
  })
  return { history, slack: 128, later, dispose: () => history.close() }
})

const KIB = 1024

interface Nodes {
  readonly server: RedisServer
  readonly prefix: string
  readonly a: History
  readonly b: History
}

/** Two nodes on one Redis, each with a history of its own. */
function nodes(t: Test, options: RedisHistoryOptions = {}, server = redis): Nodes {
  const prefix = `nodes ${++stores}:`
  const [a, b] = [0, 1].map(() => redisHistory({ url: server.url, prefix, ...options })) as [History, History]
  t.teardown(() => Promise.all([a.close(), b.close()]))
  return { server, prefix, a, b }
}

/** Resolves when a history has its connection, which can take long on a busy machine. */
async function connected(history: History): Promise<void> {
  const log = await PatientLog.follow(history, 'any')
  log.close()
}

/** A Redis of the test's own. */
async function ownRedis(t: Test, ...args: readonly string[]): Promise<RedisServer> {
  const server = await RedisServer.start({ args })
  t.teardown(() => server.stop())
  return server
}

/** Follows a channel, and waits for what is appended by others. */
class Tail {
  readonly log: PatientLog
  readonly #moved: { onAppend: () => void }

  private constructor(log: PatientLog, moved: { onAppend: () => void }) {
    this.log = log
    this.#moved = moved
  }

  static async follow(history: History, channel: string): Promise<Tail> {
    const moved = { onAppend: () => {} }
    return new Tail(await PatientLog.follow(history, channel, { logOnAppend: () => moved.onAppend() }), moved)
  }

  /** Resolves when the head is at a place, or after it. */
  async reaches(cursor: Cursor): Promise<void> {
    while (comparePlaces(this.log.head, cursor) < 0) await this.moves()
  }

  /** Resolves when the head moves. */
  moves(): Promise<void> {
    return new Promise((resolve) => {
      this.#moved.onAppend = resolve
    })
  }
}

/** What a history says of itself. */
class States implements HistoryListener {
  readonly told: string[] = []
  #changed = deferred()

  historyOnDegrade(error: Error): void {
    this.#tell(`degraded: ${error.message}`)
  }

  historyOnRecover(): void {
    this.#tell('recovered')
  }

  /** Resolves when so much has been told. */
  async count(count: number): Promise<void> {
    while (this.told.length < count) await this.#changed.promise
  }

  #tell(text: string): void {
    this.told.push(text)
    this.#changed.resolve()
    this.#changed = deferred()
  }
}

/** How often each command was called, also by scripts. */
async function calls(server: RedisServer, name: string): Promise<number> {
  const info = String(await server.command('INFO', 'commandstats'))
  return Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, 'm').exec(info)?.[1] ?? 0)
}

t.test('redisHistory › options', async (t) => {
  const code = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
  const ms = 'an integer from 1 to 2147483647 (milliseconds)'
  const bytes = 'an integer of at least 1 (bytes)'
  const url = 'redis://127.0.0.1:6379'
  const prefix = 'a well-formed string of up to 64 characters without braces'
  const make = (options: unknown): History => Reflect.apply(redisHistory, undefined, [options])
  const never = [null, Number.NaN, 5n, [], {}]
  const rows = [
    [
      'prefix',
      prefix,
      ['', 'a', '😀:', 'x'.repeat(64)],
      ['{', 'a}', '{a}', 'x'.repeat(65), '\ud83d', 5, true]
    ],
    ['maxLength', 'an integer of at least 1', [1, 2 ** 53 - 1], [false, 0, -1, 1.5, 2 ** 53, Infinity, '5']],
    ['ttlMs', ms, [10_000, 2 ** 31 - 1], [false, 0, -1, 1.5, 2 ** 31, Infinity, '10000']],
    ['ttlMs', 'at least 10000', [10_000], [1, 9_999]],
    ['publishTimeoutMs', ms, [1, 3_599_999], [false, 0, -1, 1.5, 2 ** 31, Infinity, '5']],
    ['maxBytes', bytes, [1, 2 ** 53 - 1], [false, 0, -1, 1.5, 2 ** 53, Infinity, '5']],
    ['maxTotalBytes', bytes, [1, 2 ** 53 - 1], [false, 0, -1, 1.5, 2 ** 53, Infinity, '5']]
  ] as const
  for (const [name, rule, accepted, refused] of rows) {
    t.test(`${name}: ${rule}`, async (t) => {
      for (const value of [...accepted, undefined])
        t.doesNotThrow(() => make({ url, [name]: value }), `${value}`)
      for (const value of [...refused, ...(rule === 'at least 10000' ? [] : never)]) {
        const message = new RegExp(`^Expected ${name} to be ${rule.replace(/[()]/g, '\\$&')}, got `)
        t.throws(() => make({ url, [name]: value }), { code, message }, `${value}`)
      }
    })
  }

  t.test(
    'publishTimeoutMs is below ttlMs, so that what makes a retry safe is there when it comes',
    async (t) => {
      for (const [publishTimeoutMs, ttlMs] of [[3_600_000], [10_000, 10_000], [20_000, 10_000]] as const) {
        const message = /^Expected publishTimeoutMs to be below ttlMs \((3600000|10000)\), got /
        t.throws(() => make({ url, publishTimeoutMs, ttlMs }), { code, message })
      }
      make({ url, publishTimeoutMs: 9_999, ttlMs: 10_000 })
    }
  )

  t.test('url', async (t) => {
    for (const value of ['redis://x', 'rediss://user:password@host:1/2', 'redis://[::1]:6379'])
      make({ url: value })
    const message = /^Expected url to be a URL that begins with redis:\/\/ or rediss:\/\/, got /
    for (const value of [
      ...never,
      '',
      'redis:',
      'redis://',
      'http://x',
      'host:6379',
      ' redis://x',
      'redis://[',
      new URL(url)
    ]) {
      t.throws(() => make({ url: value }), { code, message }, `${value}`)
    }
    t.throws(
      () => make({ url: 'redis:/me:secret@host' }),
      { message: /got 'redis:\/\*\*\*@host'/ },
      'no password'
    )
  })

  t.test('client', async (t) => {
    const clients = [createClient({ url }), new Redis({ lazyConnect: true })]
    for (const client of clients) t.doesNotThrow(() => make({ client }))
    const message = /^Expected client to be a client of redis or ioredis, not of a cluster, got /
    for (const client of [...never, 'redis', 5, () => {}, url]) {
      t.throws(() => make({ client }), { code, message }, `${client}`)
    }
  })

  t.test('either client or url', async (t) => {
    const client = new Redis({ lazyConnect: true })
    const message = /^Expected the options of redisHistory\(\) to be with either client or url, got /
    for (const options of [{}, { client, url }, { url: undefined }, { prefix: 'x' }]) {
      t.throws(() => make(options), { code, message })
    }
  })

  t.test('of no other name, and nothing but options', async (t) => {
    t.throws(() => make({ url, maxMessages: 5 }), {
      code,
      message: /^Expected maxMessages to be one of client, url, prefix, maxLength, ttlMs, /
    })
    for (const options of [undefined, null, 1, url])
      t.throws(() => make(options), { code, message: /to be an object/ })
  })
})

t.test('redisHistory › many nodes', async (t) => {
  t.test('what one appends all have, in one order', async (t) => {
    const { a, b } = nodes(t)
    const [tailA, tailB] = [await Tail.follow(a, 'news'), await Tail.follow(b, 'news')]
    const place = tailA.log.head
    t.equal(tailB.log.head, place)
    const given = (await Promise.all([a, b, a, b].map((node, i) => fill(node, 'news', 25, 25 * i)))).flat()
    const [last = ''] = given.toSorted(comparePlaces).slice(-1)
    await Promise.all([tailA.reaches(last), tailB.reaches(last)])
    const ofA = await readAll(tailA.log, place)
    t.same(await readAll(tailB.log, place).then(texts), texts(ofA))
    t.same(
      ofA.map(({ cursor }) => cursor),
      given.toSorted(comparePlaces)
    )
  })

  t.test('a cursor of one is good on all, wherever the message is kept', async (t) => {
    const { a, b } = nodes(t, { maxBytes: 1 })
    const given = await fill(a, 'news', 300)
    const tail = await Tail.follow(b, 'news')
    for (const n of [0, 1, 150, 298, 299]) {
      t.same(texts(await readAll(tail.log, given[n] ?? '', { maxBytes: 500 })), numbered(n + 1, 300))
    }
    t.same(texts(await readAll(tail.log, tail.log.oldest)), numbered(0, 300))
  })

  t.test('5,000 who come back on one cost one READ for each page', async (t) => {
    const server = await ownRedis(t)
    const { a, b } = nodes(t, { maxBytes: 1 }, server)
    const given = await fill(a, 'news', 100)
    const tail = await Tail.follow(b, 'news')
    const before = await calls(server, 'xrange')
    const all = await Promise.all(
      Array.from(
        { length: 5_000 },
        async (_, n) => (await tail.log.read(given[n % 50] ?? '', ALL)).frames.length
      )
    )
    t.same(
      all.slice(0, 50),
      Array.from({ length: 50 }, (_, n) => 99 - n)
    )
    t.ok((await calls(server, 'xrange')) - before <= 6, 'which takes a few XRANGE inside')
  })

  t.test('an idempotency key holds on all', async (t) => {
    const { a, b } = nodes(t)
    const [one, other] = await Promise.all(
      [a, b].map((node) => node.append('news', frame('x'), '', 'order 7'))
    )
    t.equal(one, other)
    t.same(texts(await readKept(a, 'news')), ['x'])
  })

  t.test('those with another prefix have other channels', async (t) => {
    const { a } = nodes(t)
    const { a: other } = nodes(t)
    await fill(a, 'news', 3)
    t.same(await readKept(other, 'news'), [])
  })

  t.test('channels are as many as there are names', async (t) => {
    const { a } = nodes(t)
    for (let round = 0; round < 11; round++) {
      const appends = Array.from({ length: 1_000 }, (_, n) => a.append(`${round}:${n}`, frame('x'), ''))
      await Promise.all(appends)
    }
    t.same(texts(await readKept(a, '0:0')), ['x'])
    t.same(texts(await readKept(a, '10:999')), ['x'])
  })
})

t.test('redisHistory › clients', async (t) => {
  for (const [name, create] of [
    ['redis', () => createClient({ url: redis.url })],
    ['ioredis', () => new Redis(redis.url, { lazyConnect: true })]
  ] as const) {
    t.test(`of ${name}, which stay as they are`, async (t) => {
      const client = create()
      const history = redisHistory({ client, prefix: `client ${++stores}:` })
      t.teardown(() => history.close())
      const log = await PatientLog.follow(history, 'a')
      const place = log.head
      await fill(history, 'a', 3)
      t.same(texts(await readAll(log, place)), numbered(0, 3))
      t.equal('isOpen' in client ? client.isOpen : client.status === 'ready', false)
    })
  }
})

t.test('redisHistory › what nobody was told', async (t) => {
  t.test('or nobody wants to know any more, changes nothing', async (t) => {
    const { a } = nodes(t)
    // It is told of a channel until Redis has heard that nobody follows it.
    const host = a as unknown as NoticesHost
    t.doesNotThrow(() => host.noticesOnNotice('left', 'x'))
  })

  t.test('or nobody understands, is looked up in the stream', async (t) => {
    const { a, b } = nodes(t)
    const tail = await Tail.follow(a, 'news')
    const host = a as unknown as NoticesHost
    for (const name of host.noticeNames) host.noticesOnNotice(name, 'x')
    const [cursor = ''] = await fill(b, 'news', 1)
    await tail.reaches(cursor)
  })

  t.test('or is asked of Redis without a connection, fails at once', async (t) => {
    const { a } = nodes(t)
    const host = a as unknown as PublisherHost<never, never>
    await t.rejects(host.loadScripts(), { message: 'There is no connection to Redis' })
  })

  t.test('comes within 2 s, also right after something else', async (t) => {
    const { a, prefix } = nodes(t)
    const tail = await Tail.follow(a, 'news')
    const delays: number[] = []
    for (let n = 0; n < 3; n++) {
      const place = tail.log.head
      await fill(a, 'news', n)
      const moved = tail.moves()
      const at = performance.now()
      await redis.command('XADD', `${prefix}{news}:log`, '*', 'text', 'data: raw\n\n')
      await moved
      delays.push(performance.now() - at)
      t.equal((await readAll(tail.log, place)).at(-1)?.text, 'data: raw\n\n')
    }
    t.ok(Math.max(...delays) < 2_000, `after ${delays.map(Math.round)} ms`)
  })

  t.test('comes with the next message of which it is', async (t) => {
    const { a, b, prefix } = nodes(t)
    const tail = await Tail.follow(a, 'news')
    const place = tail.log.head
    for (const text of ['x', 'y']) await redis.command('XADD', `${prefix}{news}:log`, '*', 'text', text)
    const [cursor = ''] = await fill(b, 'news', 1)
    await tail.reaches(cursor)
    t.same(texts(await readAll(tail.log, place)), ['x', 'y', ...numbered(0, 1)])
  })

  t.test('because the connection for notices was lost, comes in order, however much it is', async (t) => {
    const server = await ownRedis(t)
    const { a, b } = nodes(t, {}, server)
    const tail = await Tail.follow(b, 'news')
    const place = tail.log.head
    const all = Array.from({ length: 60 }, (_, n) => `${n}:${'x'.repeat(10 * KIB)}`)
    await a.append('news', frame('first'), '')
    await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    const given = await Promise.all(all.map((text) => a.append('news', frame(text), '')))
    await tail.reaches(given.at(-1) ?? '')
    t.same(texts(await readAll(tail.log, place)), ['first', ...all])
    const [live = ''] = await fill(a, 'news', 1)
    await tail.reaches(live)
    t.same(texts(await readAll(tail.log, given.at(-1) ?? '')), numbered(0, 1), 'and then it is told again')
  })

  t.test('own messages are there when append() resolves, also if notices are lost', async (t) => {
    const server = await ownRedis(t)
    const { a, b } = nodes(t, {}, server)
    const tail = await Tail.follow(a, 'news')
    for (let n = 0; n < 20; n++) {
      if (n % 5 === 0) await server.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await b.append('news', frame('from b'), '')
      const cursor = await a.append('news', frame('from a'), '')
      assert.ok(comparePlaces(tail.log.head, cursor) >= 0, `message ${n}`)
    }
    t.equal((await readAll(tail.log, tail.log.oldest)).length, 40)
  })
})

t.test('redisHistory › streams that are lost', async (t) => {
  t.test('by DEL or FLUSHALL: all cursors of before are gaps, also of those who follow', async (t) => {
    const server = await ownRedis(t)
    const { a, prefix } = nodes(t, {}, server)
    for (const command of [['DEL', `${prefix}{news}:log`], ['FLUSHALL']]) {
      const tail = await Tail.follow(a, 'news')
      const given = await fill(a, 'news', 3)
      const moved = tail.moves()
      await server.command(...command)
      await moved
      for (const cursor of given) t.not(await gapAfter(tail.log, cursor), undefined)
      await fill(a, 'news', 1)
      t.same(texts(await readAll(tail.log, tail.log.oldest)), numbered(0, 1))
      tail.log.close()
    }
  })

  t.test('by their age: not as long as somebody follows', async (t) => {
    const { a, prefix } = nodes(t, { ttlMs: 10_000 })
    const key = `${prefix}{news}:log`
    const tail = await Tail.follow(a, 'news')
    await fill(a, 'news', 1)
    const left = async (): Promise<number> => Number(await redis.command('PTTL', key))
    t.ok((await left()) > 9_000)
    await redis.command('PEXPIRE', key, '4900')
    while ((await left()) < 5_000) await new Promise((resolve) => setTimeout(resolve, 20))
    tail.log.close()
    await redis.command('PEXPIRE', key, '1')
    while ((await redis.command('EXISTS', key)) === 1) await new Promise((resolve) => setTimeout(resolve, 1))
    t.same(await readKept(a, 'news'), [], 'then it is gone')
  })

  t.test('or are none any more: that is told, and only their own channel suffers', async (t) => {
    const { a, prefix } = nodes(t)
    const states = new States()
    a.open?.(states)
    const [good, bad] = [await Tail.follow(a, 'good'), await Tail.follow(a, 'bad')]
    const given = await fill(a, 'bad', 2)
    await redis.command('SET', `${prefix}{bad}:log`, 'a string')
    await t.rejects(fill(a, 'bad', 1), { code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED', message: /WRONGTYPE/ })
    const moved = good.moves()
    await redis.command('XADD', `${prefix}{good}:log`, '*', 'text', 'raw')
    await moved
    t.equal((await readAll(bad.log, given[0] ?? '')).length, 1, 'and what is in memory is served')
    await states.count(1)
    t.match(states.told, [/^degraded: Redis refuses the channel "bad": WRONGTYPE /])
    t.equal(a.degraded, true)
    const repaired = bad.moves()
    await redis.command('DEL', `${prefix}{bad}:log`)
    await repaired
    t.equal(await gapAfter(bad.log, given[0] ?? ''), 'foreign')
    await states.count(2)
    t.equal(a.degraded, false)
  })

  t.test('are none from the start: the same, for however many channels', async (t) => {
    const { a, prefix } = nodes(t)
    const states = new States()
    a.open?.(states)
    const names = Array.from({ length: 60 }, (_, n) => `bad ${n}`)
    for (const name of names) await redis.command('SET', redisKeys(prefix, name).log, 'a string')
    const following = Promise.all(names.map((name) => Tail.follow(a, name)))
    await states.count(1)
    const good = await Tail.follow(a, 'good')
    await fill(a, 'good', 1)
    t.same(texts(await readAll(good.log, good.log.oldest)), numbered(0, 1))
    for (const name of names) await redis.command('DEL', redisKeys(prefix, name).log)
    await following
    await states.count(2)
    t.match(states.told, [/^degraded: Redis refuses the channel "bad \d+": WRONGTYPE /, 'recovered'])
  })

  t.test('by their age are not, if others write to them', async (t) => {
    const { a, prefix } = nodes(t, { ttlMs: 10_000 })
    const tail = await Tail.follow(a, 'news')
    const key = `${prefix}{news}:log`
    await redis.command('PEXPIRE', key, '4000')
    for (let left = 0; left < 5_000; left = Number(await redis.command('PTTL', key))) {
      const moved = tail.moves()
      await redis.command('XADD', key, '*', 'text', 'raw')
      await moved
    }
  })

  t.test('while others write to them are gaps because they are other streams', async (t) => {
    const { a, prefix } = nodes(t)
    const tail = await Tail.follow(a, 'news')
    const place = tail.log.head
    await fill(a, 'news', 1)
    const moved = tail.moves()
    const source = "redis.call('DEL', KEYS[1]) redis.call('XADD', KEYS[1], '*', 'text', 'raw')"
    await redis.command('EVAL', source, '1', `${prefix}{news}:log`)
    await moved
    t.match(await gapAfter(tail.log, place), /^(foreign|future)$/, 'the latter within one millisecond')
  })
})

t.test('redisHistory › 3,000 channels that are followed', async (t) => {
  const server = await ownRedis(t)
  const { a, b, prefix } = nodes(t, {}, server)
  const names = Array.from({ length: 3_000 }, (_, n) => `channel ${n}`)
  const tails = await Promise.all(names.map((name) => Tail.follow(a, name)))

  t.test('cost a few commands a second', async (t) => {
    const before = await calls(server, 'evalsha')
    const since = performance.now()
    await new Promise((resolve) => setTimeout(resolve, 3_000))
    const seconds = (performance.now() - since) / 1_000
    const perSecond = ((await calls(server, 'evalsha')) - before) / seconds
    t.ok(perSecond <= 6, `${perSecond.toFixed(1)} EVALSHA a second`)
    t.equal(await calls(server, 'monitor'), 0)
  })

  t.test('are all proved after what was not told', async (t) => {
    const chosen = [0, 999, 1_000, 2_999]
    const moved = chosen.map((n) => tails[n]?.moves())
    for (const n of chosen) {
      await server.command(
        'XADD',
        `${prefix}{${encodeURIComponent(names[n] ?? '')}}:log`,
        '*',
        'text',
        `${n}`
      )
    }
    await Promise.all(moved)
    for (const n of chosen) {
      const log = tails[n]?.log
      assert.ok(log)
      t.same(texts(await readAll(log, log.oldest)), [`${n}`])
    }
  })

  t.test('are told each its own', async () => {
    const given = await Promise.all(names.map((name) => b.append(name, frame(name), '')))
    await Promise.all(tails.map((tail, n) => tail.reaches(given[n] ?? '')))
    for (const [n, { log }] of tails.entries()) {
      assert.equal((await readAll(log, log.oldest)).at(-1)?.text, names[n])
    }
  })

  t.test('leave nothing subscribed in Redis when nobody follows', async (t) => {
    for (const { log } of tails) log.close()
    for (;;) {
      const channels = (await server.command('PUBSUB', 'CHANNELS', `${prefix}{*`)) as string[]
      if (channels.length === 0) break
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    t.pass()
  })
})

/** A follower of a node that has to ask Redis for the five messages after a place. */
async function behind(t: Test) {
  const server = await ownRedis(t)
  const { a } = nodes(t, { maxBytes: 1 }, server)
  const states = new States()
  a.open?.(states)
  const tail = await Tail.follow(a, 'news')
  const place = tail.log.head
  await fill(a, 'news', 5)
  tail.log.release(tail.log.head)
  return { server, states, tail, place }
}

t.test('redisHistory › Redis away', async (t) => {
  t.test('is told once, to all who opened it, and so is that it is back', async (t) => {
    const server = await ownRedis(t)
    const { a } = nodes(t, { publishTimeoutMs: 1_000 }, server)
    const states = [new States(), new States()] as const
    for (const state of states) a.open?.(state)
    a.open?.(states[0])
    const tail = await Tail.follow(a, 'news')
    const place = tail.log.head
    await fill(a, 'news', 2)
    t.equal(a.degraded, false)
    await server.kill()
    for (const state of states) await state.count(1)
    t.equal(a.degraded, true)
    await t.rejects(fill(a, 'news', 1), { code: /^FST_ERR_EVENTSTREAM_PUBLISH_/ })
    t.same(texts(await readAll(tail.log, place)), numbered(0, 2), 'what is in memory is served')
    const moved = tail.moves()
    await server.restart()
    for (const state of states) await state.count(2)
    t.equal(a.degraded, false)
    for (const { told } of states) {
      t.match(told, [/^degraded: ./, 'recovered'])
      t.equal(told.length, 2)
    }
    await moved
    await fill(a, 'news', 1)
    t.same(texts(await readAll(tail.log, tail.log.oldest)), numbered(0, 1))
    t.equal(await gapAfter(tail.log, place), 'foreign')
  })

  t.test('from the start: what is published and subscribed waits for it', async (t) => {
    const server = await ownRedis(t)
    await server.kill()
    const { a } = nodes(t, {}, server)
    const states = new States()
    a.open?.(states)
    await states.count(1)
    const following = Tail.follow(a, 'news')
    const given = fill(a, 'news', 1)
    await server.restart()
    const tail = await following
    const [cursor = ''] = await given
    await tail.reaches(cursor)
    t.same(texts(await readAll(tail.log, tail.log.oldest)), numbered(0, 1))
    await states.count(2)
  })

  t.test('without an answer: is told after 2 s, also if only publishers ask', async (t) => {
    const server = await ownRedis(t)
    const { a } = nodes(t, { publishTimeoutMs: 1_000 }, server)
    const states = new States()
    a.open?.(states)
    await connected(a)
    await fill(a, 'news', 1)
    server.pause()
    await t.rejects(fill(a, 'news', 1), { code: 'FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED' })
    await states.count(1)
    t.match(states.told, ['degraded: Redis does not answer'])
    server.resume()
    await states.count(2)
    await fill(a, 'news', 1)
    t.equal(states.told.length, 2)
  })

  t.test('with several commands under way: is told once', async (t) => {
    const server = await ownRedis(t)
    const { a } = nodes(t, {}, server)
    const states = new States()
    a.open?.(states)
    await Tail.follow(a, 'news')
    server.pause()
    const published = ['a', 'b', 'c'].map((name) => a.append(name, frame('x'), ''))
    const code = 'FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED'
    const rejected = Promise.all(published.map((one) => t.rejects(one, { code })))
    await nextTurn()
    await server.kill()
    await rejected
    await states.count(1)
    t.equal(states.told.length, 1)
  })

  t.test('pages that were asked for come when it is back', async (t) => {
    const { server, states, tail, place } = await behind(t)
    server.pause()
    const reading = readAll(tail.log, place)
    await states.count(1)
    server.resume()
    t.same(texts(await reading), numbered(0, 5))
  })

  t.test('and back with nothing: pages that were asked for meanwhile are gaps', async (t) => {
    const { server, states, tail, place } = await behind(t)
    await server.kill()
    await states.count(1)
    const reading = gapAfter(tail.log, place)
    await server.restart()
    t.equal(await reading, 'foreign')
  })

  t.test('as a replica: refuses with a code, and another connection is made', async (t) => {
    const [server, other] = [await ownRedis(t), await ownRedis(t)]
    const { a } = nodes(t, {}, server)
    await fill(a, 'news', 1)
    await server.command('REPLICAOF', '127.0.0.1', String(other.port))
    const states = new States()
    a.open?.(states)
    const others = ['a', 'b', 'c'].map((name) => t.rejects(fill(a, name, 1)))
    await t.rejects(
      fill(a, 'news', 1).finally(() => Promise.all(others)),
      {
        code: /^FST_ERR_EVENTSTREAM_PUBLISH_(FAILED|UNCONFIRMED)$/
      }
    )
    await t.rejects(fill(a, 'news', 1), {
      code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED',
      message: /READONLY/,
      cause: { code: 'READONLY' }
    })
    await states.count(1)
    t.match(states.told, [/^degraded: READONLY /])
    await server.command('REPLICAOF', 'NO', 'ONE')
    await fill(a, 'news', 1)
  })

  t.test('with a full memory: refuses with a code, and what is there is served', async (t) => {
    const server = await ownRedis(t)
    const { a, b } = nodes(t, { maxBytes: 1 }, server)
    await fill(a, 'news', 10)
    await server.command('CONFIG', 'SET', 'maxmemory', '1')
    await t.rejects(fill(a, 'news', 1), { code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED', message: /OOM/ })
    t.same(texts(await readKept(b, 'news')), numbered(0, 10))
    await server.command('CONFIG', 'SET', 'maxmemory', '0')
    await fill(a, 'news', 1)
  })

  t.test('that cannot save its data refuses to write: nodes that come are readers', async (t) => {
    const server = await ownRedis(t)
    const { a, b } = nodes(t, {}, server)
    const place = (await fill(a, 'news', 2))[0] ?? ''
    await server.command('CONFIG', 'SET', 'save', '3600 1')
    const [, dir] = (await server.command('CONFIG', 'GET', 'dir')) as string[]
    await mkdir(join(String(dir), 'dump.rdb'))
    await server.command('BGSAVE')
    while (!String(await server.command('INFO', 'persistence')).includes('rdb_last_bgsave_status:err'));
    await t.rejects(fill(a, 'news', 1), { code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED', message: /MISCONF/ })
    const tail = await Tail.follow(b, 'news')
    t.same(texts(await readAll(tail.log, place)), numbered(1, 2))
  })

  t.test('whose user may not do all: what is refused was not published', async (t) => {
    const server = await ownRedis(t)
    await server.command('ACL', 'SETUSER', 'few', 'on', '>secret', '~*', '&*', '+@all', '-set')
    const history = redisHistory({ url: server.url.replace('redis://', 'redis://few:secret@') })
    t.teardown(() => history.close())
    const given = await history.append('news', frame('a'), '')
    await t.rejects(history.append('news', frame('b'), '', 'order 7'), {
      code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED'
    })
    await server.command('ACL', 'SETUSER', 'few', '+set', '-publish', '-pexpire', '-xtrim')
    const other = await history.append('news', frame('c'), '', 'order 7')
    const tail = await Tail.follow(nodes(t, { prefix: REDIS_DEFAULTS.prefix }, server).a, 'news')
    t.same(cursors(await readAll(tail.log, tail.log.oldest)), [given, other])
  })

  t.test('whose scripts were flushed: nobody notices', async (t) => {
    const server = await ownRedis(t)
    const { a } = nodes(t, {}, server)
    const tail = await Tail.follow(a, 'news')
    const place = tail.log.head
    await fill(a, 'news', 1)
    await server.command('SCRIPT', 'FLUSH')
    await fill(a, 'news', 1, 1)
    t.same(texts(await readAll(tail.log, place)), numbered(0, 2))
    await server.command('SCRIPT', 'FLUSH')
    const other = await Tail.follow(a, 'other')
    t.equal(other.log.head, other.log.oldest)
  })
})

t.test('redisHistory › close()', async (t) => {
  const connections = async (server: RedisServer): Promise<number> => {
    const list = String(await server.command('CLIENT', 'LIST'))
    return list.split('\n').filter((line) => line !== '').length - 1
  }

  t.test('ends both connections, and leaves Redis as it is', async (t) => {
    const server = await ownRedis(t)
    const { a, b } = nodes(t, {}, server)
    await fill(a, 'news', 2)
    await Tail.follow(b, 'news')
    while ((await connections(server)) !== 4) await new Promise((resolve) => setTimeout(resolve, 1))
    await a.close()
    await b.close()
    while ((await connections(server)) !== 0) await new Promise((resolve) => setTimeout(resolve, 1))
    const { a: c } = nodes(t, {}, server)
    t.ok(c)
    t.equal(await server.command('DBSIZE'), 1)
  })

  t.test('of one that was never used makes no connection', async (t) => {
    const server = await ownRedis(t)
    const { a } = nodes(t, {}, server)
    await a.close()
    a.open?.(new States())
    const log = a.follow('news', new Ear())
    t.equal(log.head, '')
    t.equal(log.read('1-1', ALL), undefined)
    log.close()
    t.equal(await connections(server), 0)
  })

  t.test('twice at once, while something is under way', async (t) => {
    const server = await ownRedis(t)
    const { a } = nodes(t, {}, server)
    await fill(a, 'news', 1)
    server.pause()
    const appended = a.append('news', frame('x'), '')
    const closed = [a.close(), a.close()]
    server.resume()
    await Promise.all([...closed, appended])
    t.equal(a.degraded, false)
  })

  t.test('while Redis is away: ends in time, and nobody is told any more', async (t) => {
    const server = await ownRedis(t)
    const { a } = nodes(t, { publishTimeoutMs: 1_000 }, server)
    const states = new States()
    a.open?.(states)
    await connected(a)
    await fill(a, 'news', 1)
    server.pause()
    const appended = a.append('news', frame('x'), '')
    const closed = a.close()
    await t.rejects(appended, { code: 'FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED' })
    await closed
    server.resume()
    await nextTurn()
    t.same(states.told, [])
  })
})
