import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import t, { type Test } from 'tap'
import type { Cursor, History, HistoryListener } from '../../lib/history/history.ts'
import {
  REDIS_DEFAULTS,
  type RedisHistoryOptions,
  redisHistory
} from '../../lib/history/redis/redis-history.ts'
import { redisKeys } from '../../lib/history/redis/redis-keys.ts'
import type { NoticesHost } from '../../lib/history/redis/redis-notices.ts'
import { comparePlaces } from '../../lib/history/redis/stream-id.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import {
  ALL,
  cursors,
  fill,
  frame,
  gapAfter,
  numbered,
  PatientLog,
  readAll,
  readKept,
  texts
} from '../helpers/history.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { deferred, nextTurn } from '../helpers/server.ts'
import { historyConformance } from './conformance.ts'
import { testAgainstModel } from './model.ts'
import type { CreateStore } from './store.ts'

const redis = await RedisServer.start()
t.teardown(() => redis.stop())
let stores = 0

/** How often a node looks at its channels, and after which time those are quiet of which it heard nothing. */
const TICK_MS = 500
const QUIET_MS = 1_000
const SILENT_MS = 2_000
const BROKEN_MS = 5_000

/** A cursor of the next millisecond. */
function later(cursor: Cursor): Cursor {
  const [ms, number] = cursor.split('-')
  return `${Number(ms) + 1}-${number}`
}

/** @param slack how many times `maxMessages` it keeps at most, because Redis drops entries only by the node of a stream. */
function storesWith(slack: number): CreateStore {
  return ({ maxMessages }) => {
    const prefix = `store ${++stores}:`
    const history = redisHistory({ url: redis.url, prefix, maxLength: maxMessages, maxBytes: 1_000_000_000 })
    return { history, slack, later, dispose: () => history.close() }
  }
}

t.test(
  'RedisHistory › in a Redis whose nodes have four entries, so that few messages make many',
  async (t) => {
    FakeClock.install(t)
    await redis.command('CONFIG', 'SET', 'stream-node-max-entries', '4')
    t.teardown(() => redis.command('CONFIG', 'SET', 'stream-node-max-entries', '100'))
    historyConformance(t, 'RedisHistory', storesWith(6))
  }
)

t.test('RedisHistory › in a Redis as it is', async (t) => {
  FakeClock.install(t)
  testAgainstModel(t, 'RedisHistory', storesWith(128))
})

const KIB = 1024

interface Nodes {
  readonly prefix: string
  readonly a: History
  readonly b: History
}

/** Two nodes on one Redis, each with a history of its own. */
function nodes(t: Test, options: RedisHistoryOptions = {}): Nodes {
  const prefix = `nodes ${++stores}:`
  const [a, b] = [0, 1].map(() => redisHistory({ url: redis.url, prefix, ...options })) as [History, History]
  t.teardown(() => Promise.all([a.close(), b.close()]))
  return { prefix, a, b }
}

/** For a test that does to Redis what the others must not find: it begins with an empty one, and so do they. */
async function harm(t: Test): Promise<void> {
  t.teardown(async () => {
    redis.resume()
    await redis.restart()
  })
  await redis.command('FLUSHALL')
}

/** Resolves when all that a node has asked Redis for was answered, and what it asked for because of that. */
async function settled(history: History): Promise<void> {
  for (let round = 0; round < 4; round++) await history.append('something else', frame('x'), '')
}

/** Resolves when a node has both its connections, and nothing under way. */
async function ready(history: History, prefix: string): Promise<void> {
  const log = await PatientLog.follow(history, 'any')
  log.close()
  while (((await redis.command('PUBSUB', 'CHANNELS', `${prefix}probe:*`)) as string[]).length === 0);
  await settled(history)
}

/** Lets time pass until something has come, slowly: a millisecond for what Redis and this process do in one. */
async function passUntil<T>(clock: FakeClock, event: Promise<T>): Promise<T> {
  let isDue = true
  const come = (): void => {
    isDue = false
  }
  event.then(come, come)
  for (; isDue; clock.advance(10)) await redis.command('PING')
  return await event
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
async function calls(name: string): Promise<number> {
  const info = String(await redis.command('INFO', 'commandstats'))
  return Number(new RegExp(`^cmdstat_${name}:calls=(\\d+)`, 'm').exec(info)?.[1] ?? 0)
}

t.test('redisHistory › many nodes', async (t) => {
  FakeClock.install(t)

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
    const { a, b } = nodes(t, { maxBytes: 1 })
    const given = await fill(a, 'news', 100)
    const tail = await Tail.follow(b, 'news')
    const before = await calls('xrange')
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
    t.ok((await calls('xrange')) - before <= 6, 'which takes a few XRANGE inside')
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
  FakeClock.install(t)

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
  const clock = FakeClock.install(t)

  t.test('while its channel was being opened when all are looked at, comes once', async (t) => {
    const { a } = nodes(t)
    await Tail.follow(a, 'other')
    const following = Tail.follow(a, 'news')
    clock.advance(TICK_MS)
    const tail = await following
    await fill(a, 'news', 2)
    t.same(texts(await readAll(tail.log, tail.log.oldest)), numbered(0, 2))
  })

  t.test('because nobody understands it, is looked up in the stream', async (t) => {
    const { a, b } = nodes(t)
    const tail = await Tail.follow(a, 'news')
    const host = a as unknown as NoticesHost
    for (const name of host.noticeNames) host.noticesOnNotice(name, 'x')
    const [cursor = ''] = await fill(b, 'news', 1)
    await tail.reaches(cursor)
  })

  t.test('is found when nothing was heard for 1 s, also right after something else', async (t) => {
    const { a, prefix } = nodes(t)
    const tail = await Tail.follow(a, 'news')
    await ready(a, prefix)
    for (let n = 0; n < 3; n++) {
      const place = tail.log.head
      await fill(a, 'news', n)
      await redis.command('XADD', `${prefix}{news}:log`, '*', 'text', 'data: raw\n\n')
      const moved = tail.moves()
      const looks = await calls('pttl')
      clock.advance(QUIET_MS - 1)
      await settled(a)
      t.equal(await calls('pttl'), looks, 'not sooner')
      clock.advance(1)
      await moved
      t.equal(await calls('pttl'), looks + 1, 'with one look')
      t.equal((await readAll(tail.log, place)).at(-1)?.text, 'data: raw\n\n')
    }
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
    const { a, b } = nodes(t)
    const tail = await Tail.follow(b, 'news')
    const place = tail.log.head
    const all = Array.from({ length: 60 }, (_, n) => `${n}:${'x'.repeat(10 * KIB)}`)
    await a.append('news', frame('first'), '')
    await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    const given = await Promise.all(all.map((text) => a.append('news', frame(text), '')))
    await passUntil(clock, tail.reaches(given.at(-1) ?? ''))
    t.same(texts(await readAll(tail.log, place)), ['first', ...all])
    const [live = ''] = await fill(a, 'news', 1)
    await tail.reaches(live)
    t.same(texts(await readAll(tail.log, given.at(-1) ?? '')), numbered(0, 1), 'and then it is told again')
  })

  t.test('own messages are there when append() resolves, also if notices are lost', async (t) => {
    const { a, b } = nodes(t)
    const tail = await Tail.follow(a, 'news')
    for (let n = 0; n < 20; n++) {
      if (n % 5 === 0) await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await b.append('news', frame('from b'), '')
      const cursor = await passUntil(clock, a.append('news', frame('from a'), ''))
      assert.ok(comparePlaces(tail.log.head, cursor) >= 0, `message ${n}`)
    }
    t.equal((await readAll(tail.log, tail.log.oldest)).length, 40)
  })
})

t.test('redisHistory › streams that are lost', async (t) => {
  const clock = FakeClock.install(t)

  t.test('by DEL or FLUSHALL: all cursors of before are gaps, also of those who follow', async (t) => {
    const { a, prefix } = nodes(t)
    for (const command of [['DEL', `${prefix}{news}:log`], ['FLUSHALL']]) {
      const tail = await Tail.follow(a, 'news')
      const given = await fill(a, 'news', 3)
      const moved = tail.moves()
      await redis.command(...command)
      await passUntil(clock, moved)
      for (const cursor of given) t.not(await gapAfter(tail.log, cursor), undefined)
      await fill(a, 'news', 1)
      t.same(texts(await readAll(tail.log, tail.log.oldest)), numbered(0, 1))
      tail.log.close()
    }
  })

  t.test('by their age: not as long as somebody follows', async (t) => {
    const ttlMs = 3_600_000
    const { a, prefix } = nodes(t, { ttlMs })
    const key = `${prefix}{news}:log`
    const tail = await Tail.follow(a, 'news')
    await fill(a, 'news', 1)
    const isYoung = async (): Promise<boolean> => Number(await redis.command('PTTL', key)) > ttlMs / 2
    t.equal(await isYoung(), true)
    await redis.command('PEXPIRE', key, String(ttlMs / 2 - 1))
    const looks = await calls('pttl')
    clock.advance(QUIET_MS)
    while ((await calls('pttl')) === looks);
    t.equal(await isYoung(), true, 'for that it begins anew when half of it is over')
    tail.log.close()
    await redis.command('PEXPIRE', key, String(ttlMs / 2 - 1))
    clock.advance(2 * QUIET_MS)
    await settled(a)
    t.equal(await isYoung(), false)
    await redis.command('PEXPIRE', key, '0')
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
    await passUntil(clock, moved)
    t.equal((await readAll(bad.log, given[0] ?? '')).length, 1, 'and what is in memory is served')
    await states.count(1)
    t.match(states.told, [/^degraded: Redis refuses the channel "bad": WRONGTYPE /])
    t.equal(a.degraded, true)
    const repaired = bad.moves()
    await redis.command('DEL', `${prefix}{bad}:log`)
    await passUntil(clock, repaired)
    t.equal(await gapAfter(bad.log, given[0] ?? ''), 'foreign')
    await passUntil(clock, states.count(2))
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
    await passUntil(clock, Promise.all([following, states.count(2)]))
    t.match(states.told, [/^degraded: Redis refuses the channel "bad \d+": WRONGTYPE /, 'recovered'])
  })

  t.test('by their age are not, if others write to them', async (t) => {
    const { a, prefix } = nodes(t)
    const { ttlMs } = REDIS_DEFAULTS
    const tail = await Tail.follow(a, 'news')
    const key = `${prefix}{news}:log`
    await redis.command('PEXPIRE', key, String(ttlMs / 2 - 1))
    const moved = tail.moves()
    await redis.command('XADD', key, '*', 'text', 'raw')
    await passUntil(clock, moved)
    t.ok(Number(await redis.command('PTTL', key)) > ttlMs / 2)
  })

  t.test('while others write to them are gaps because they are other streams', async (t) => {
    const { a, prefix } = nodes(t)
    const tail = await Tail.follow(a, 'news')
    const place = tail.log.head
    await fill(a, 'news', 1)
    const moved = tail.moves()
    const source = "redis.call('DEL', KEYS[1]) redis.call('XADD', KEYS[1], '*', 'text', 'raw')"
    await redis.command('EVAL', source, '1', `${prefix}{news}:log`)
    await passUntil(clock, moved)
    t.match(await gapAfter(tail.log, place), /^(foreign|future)$/, 'the latter within one millisecond')
  })
})

t.test('redisHistory › 2,001 channels that are followed', async (t) => {
  const clock = FakeClock.install(t)
  const { a, b, prefix } = nodes(t)
  const names = Array.from({ length: 2_001 }, (_, n) => `channel ${n}`)
  const tails = await Promise.all(names.map((name) => Tail.follow(a, name)))
  await ready(a, prefix)

  t.test('cost one command a second for each thousand', async (t) => {
    const [looks, before] = [await calls('pttl'), await calls('evalsha')]
    for (let tick = 1; tick <= 6; tick++) {
      clock.advance(TICK_MS)
      while ((await calls('pttl')) < looks + Math.floor(tick / 2) * names.length);
      await settled(a)
    }
    const own = 6 * 4
    t.equal((await calls('pttl')) - looks, 3 * names.length, 'each is looked at once a second')
    t.equal((await calls('evalsha')) - before - own, 3 * 3)
    t.equal(await calls('monitor'), 0)
  })

  t.test('are all proved after what was not told', async (t) => {
    const chosen = [0, 999, 1_000, 2_000]
    const moved = chosen.map((n) => tails[n]?.moves())
    for (const n of chosen) {
      await redis.command('XADD', redisKeys(prefix, names[n] ?? '').log, '*', 'text', `${n}`)
    }
    await passUntil(clock, Promise.all(moved))
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
    while (((await redis.command('PUBSUB', 'CHANNELS', `${prefix}{*`)) as string[]).length > 0);
    t.pass()
  })
})

/** A follower of a node that has to ask Redis for the five messages after a place. */
async function behind(t: Test) {
  await harm(t)
  const { a, prefix } = nodes(t, { maxBytes: 1 })
  const states = new States()
  a.open?.(states)
  const tail = await Tail.follow(a, 'news')
  const place = tail.log.head
  await fill(a, 'news', 5)
  tail.log.release(tail.log.head)
  await ready(a, prefix)
  return { states, tail, place }
}

t.test('redisHistory › Redis away', async (t) => {
  const clock = FakeClock.install(t)

  t.test('is told once, to all who opened it, and so is that it is back', async (t) => {
    await harm(t)
    const { a } = nodes(t, { publishTimeoutMs: 1_000 })
    const states = [new States(), new States()] as const
    for (const state of states) a.open?.(state)
    a.open?.(states[0])
    const tail = await Tail.follow(a, 'news')
    const place = tail.log.head
    await fill(a, 'news', 2)
    t.equal(a.degraded, false)
    await redis.kill()
    for (const state of states) await state.count(1)
    t.equal(a.degraded, true)
    const rejected = t.rejects(fill(a, 'news', 1), { code: /^FST_ERR_EVENTSTREAM_PUBLISH_/ })
    clock.advance(1_000)
    await rejected
    t.same(texts(await readAll(tail.log, place)), numbered(0, 2), 'what is in memory is served')
    const moved = tail.moves()
    await redis.restart()
    await passUntil(clock, Promise.all(states.map((state) => state.count(2))))
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
    await harm(t)
    await redis.kill()
    const { a } = nodes(t)
    const states = new States()
    a.open?.(states)
    await states.count(1)
    const following = Tail.follow(a, 'news')
    const given = fill(a, 'news', 1)
    await redis.restart()
    const [tail, [cursor = '']] = await passUntil(clock, Promise.all([following, given]))
    await passUntil(clock, Promise.all([tail.reaches(cursor), states.count(2)]))
    t.same(texts(await readAll(tail.log, tail.log.oldest)), numbered(0, 1))
  })

  t.test('without an answer: is told after 2 s, also if only publishers ask', async (t) => {
    await harm(t)
    const { a, prefix } = nodes(t, { publishTimeoutMs: 1_000 })
    const states = new States()
    a.open?.(states)
    await ready(a, prefix)
    redis.pause()
    const rejected = t.rejects(fill(a, 'news', 1), { code: 'FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED' })
    await nextTurn()
    clock.advance(1_000)
    await rejected
    clock.advance(SILENT_MS - 1)
    t.same(states.told, [], 'not sooner')
    clock.advance(1)
    t.match(states.told, ['degraded: Redis does not answer'])
    redis.resume()
    await states.count(2)
    await fill(a, 'news', 1)
    t.equal(states.told.length, 2)
  })

  t.test('with several commands under way: is told once', async (t) => {
    await harm(t)
    const { a } = nodes(t)
    const states = new States()
    a.open?.(states)
    await Tail.follow(a, 'news')
    redis.pause()
    const published = ['a', 'b', 'c'].map((name) => a.append(name, frame('x'), ''))
    const code = 'FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED'
    const rejected = Promise.all(published.map((one) => t.rejects(one, { code })))
    await nextTurn()
    await redis.kill()
    await rejected
    await states.count(1)
    t.equal(states.told.length, 1)
  })

  t.test('pages that were asked for come when it is back', async (t) => {
    const { states, tail, place } = await behind(t)
    redis.pause()
    const reading = readAll(tail.log, place)
    clock.advance(QUIET_MS + SILENT_MS)
    t.match(states.told, ['degraded: Redis does not answer'])
    redis.resume()
    t.same(texts(await reading), numbered(0, 5))
  })

  t.test('for long: pages come over the connection that is made then', async (t) => {
    const { states, tail, place } = await behind(t)
    redis.pause()
    const reading = readAll(tail.log, place)
    clock.advance(QUIET_MS + BROKEN_MS)
    redis.resume()
    t.same(texts(await passUntil(clock, reading)), numbered(0, 5))
    await passUntil(clock, states.count(2))
    t.same(states.told, ['degraded: Redis does not answer', 'recovered'])
  })

  t.test('and back with nothing: pages that were asked for meanwhile are gaps', async (t) => {
    const { states, tail, place } = await behind(t)
    await redis.kill()
    await states.count(1)
    const reading = gapAfter(tail.log, place)
    await redis.restart()
    t.equal(await passUntil(clock, reading), 'foreign')
  })

  t.test('as a replica: refuses with a code, and another connection is made', async (t) => {
    await harm(t)
    const { a } = nodes(t)
    await fill(a, 'news', 1)
    await redis.command('REPLICAOF', '127.0.0.1', '1')
    const states = new States()
    a.open?.(states)
    const others = ['a', 'b', 'c'].map((name) => t.rejects(fill(a, name, 1)))
    await t.rejects(
      fill(a, 'news', 1).finally(() => Promise.all(others)),
      {
        code: /^FST_ERR_EVENTSTREAM_PUBLISH_(FAILED|UNCONFIRMED)$/
      }
    )
    await passUntil(
      clock,
      t.rejects(fill(a, 'news', 1), {
        code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED',
        message: /READONLY/,
        cause: { code: 'READONLY' }
      })
    )
    await states.count(1)
    t.match(states.told, [/^degraded: READONLY /])
    await redis.command('REPLICAOF', 'NO', 'ONE')
    await passUntil(clock, fill(a, 'news', 1))
  })

  t.test('with a full memory: refuses with a code, and what is there is served', async (t) => {
    await harm(t)
    const { a, b } = nodes(t, { maxBytes: 1 })
    await fill(a, 'news', 10)
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    await t.rejects(fill(a, 'news', 1), { code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED', message: /OOM/ })
    t.same(texts(await readKept(b, 'news')), numbered(0, 10))
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await fill(a, 'news', 1)
  })

  t.test('that cannot save its data refuses to write: nodes that come are readers', async (t) => {
    await harm(t)
    const { a, b } = nodes(t)
    const place = (await fill(a, 'news', 2))[0] ?? ''
    await redis.command('CONFIG', 'SET', 'save', '3600 1')
    const [, dir] = (await redis.command('CONFIG', 'GET', 'dir')) as string[]
    await mkdir(join(String(dir), 'dump.rdb'))
    await redis.command('BGSAVE')
    while (!String(await redis.command('INFO', 'persistence')).includes('rdb_last_bgsave_status:err'));
    await t.rejects(fill(a, 'news', 1), { code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED', message: /MISCONF/ })
    const tail = await Tail.follow(b, 'news')
    t.same(texts(await readAll(tail.log, place)), numbered(1, 2))
  })

  t.test('whose user may not do all: what is refused was not published', async (t) => {
    await harm(t)
    await redis.command('ACL', 'SETUSER', 'few', 'on', '>secret', '~*', '&*', '+@all', '-set')
    const history = redisHistory({ url: redis.url.replace('redis://', 'redis://few:secret@') })
    t.teardown(() => history.close())
    const given = await history.append('news', frame('a'), '')
    await t.rejects(history.append('news', frame('b'), '', 'order 7'), {
      code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED'
    })
    await redis.command('ACL', 'SETUSER', 'few', '+set', '-publish', '-pexpire', '-xtrim')
    const other = await passUntil(clock, history.append('news', frame('c'), '', 'order 7'))
    const tail = await Tail.follow(nodes(t, { prefix: REDIS_DEFAULTS.prefix }).a, 'news')
    t.same(cursors(await readAll(tail.log, tail.log.oldest)), [given, other])
  })

  t.test('whose scripts were flushed: nobody notices', async (t) => {
    const { a } = nodes(t)
    const tail = await Tail.follow(a, 'news')
    const place = tail.log.head
    await fill(a, 'news', 1)
    await redis.command('SCRIPT', 'FLUSH')
    await fill(a, 'news', 1, 1)
    t.same(texts(await readAll(tail.log, place)), numbered(0, 2))
    await redis.command('SCRIPT', 'FLUSH')
    const other = await Tail.follow(a, 'other')
    t.equal(other.log.head, other.log.oldest)
  })
})

t.test('redisHistory › close()', async (t) => {
  const clock = FakeClock.install(t)

  /** How many Redis has, but for the one that asks. */
  const connections = async (): Promise<number> => {
    const list = String(await redis.command('CLIENT', 'LIST'))
    return list.split('\n').filter((line) => line !== '').length - 1
  }

  t.test('ends both connections, and leaves Redis as it is', async (t) => {
    await redis.command('FLUSHALL')
    while ((await connections()) > 0);
    const { a, b } = nodes(t)
    await fill(a, 'news', 2)
    await Tail.follow(b, 'news')
    while ((await connections()) !== 4);
    await a.close()
    await b.close()
    while ((await connections()) > 0);
    t.equal(await redis.command('DBSIZE'), 1)
  })

  t.test('twice at once, while something is under way', async (t) => {
    await harm(t)
    const { a } = nodes(t)
    await fill(a, 'news', 1)
    redis.pause()
    const appended = a.append('news', frame('x'), '')
    const closed = [a.close(), a.close()]
    redis.resume()
    await Promise.all([...closed, appended])
    t.equal(a.degraded, false)
  })

  t.test('while Redis is away: ends when publishers do, and nobody is told any more', async (t) => {
    await harm(t)
    const { a, prefix } = nodes(t, { publishTimeoutMs: 1_000 })
    const states = new States()
    a.open?.(states)
    await ready(a, prefix)
    redis.pause()
    const appended = a.append('news', frame('x'), '')
    const rejected = t.rejects(appended, { code: 'FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED' })
    const closed = a.close()
    clock.advance(1_000)
    await Promise.all([rejected, closed])
    redis.resume()
    clock.advance(SILENT_MS + BROKEN_MS)
    await nextTurn()
    t.same(states.told, [])
  })
})
