import t from 'tap'
import { type Expiring, Expiry } from '../../lib/history/expiry.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { collectGarbage, heapBytes } from '../helpers/garbage.ts'
import { Bench } from './bench.ts'

const DAY_MS = 86_400_000

/** Notes when it was told, in milliseconds since it was made. */
class Thing implements Expiring {
  expiresAt: number | undefined
  bucket: number | undefined
  readonly told: number[] = []
  readonly #start = performance.now()
  readonly #onExpire: (thing: Thing) => void

  constructor(ms: number | undefined, onExpire: (thing: Thing) => void = () => {}) {
    this.#onExpire = onExpire
    this.expireIn(ms)
  }

  expireIn(ms: number | undefined): void {
    this.expiresAt = ms === undefined ? undefined : performance.now() + ms
  }

  expire(now: number): void {
    this.told.push(now - this.#start)
    this.#onExpire(this)
  }
}

t.test('Expiry', async (t) => {
  const clock = FakeClock.install(t)
  const waiting = (...things: Thing[]) => {
    const expiry = new Expiry<Thing>()
    for (const thing of things) expiry.add(thing)
    return expiry
  }

  t.test('tells a thing when its time has come, within a tenth of a second, and once', async (t) => {
    for (const ms of [100, 150, 999, 1_000, 60_000]) {
      const thing = new Thing(ms)
      waiting(thing)
      clock.advance(ms - 1)
      t.same(thing.told, [], `not before ${ms}`)
      clock.advance(101)
      t.equal(thing.told.length, 1, `${ms}`)
      clock.advance(DAY_MS)
      t.equal(thing.told.length, 1)
    }
  })

  t.test('never tells one that has no time', async (t) => {
    const thing = new Thing(undefined)
    waiting(thing)
    clock.advance(DAY_MS)
    t.same(thing.told, [])
    t.equal(clock.pending.all, 0)
  })

  t.test('soon tells one whose time had come before', async (t) => {
    const thing = new Thing(-DAY_MS)
    waiting(thing)
    t.same(thing.told, [], 'not within the call')
    clock.advance(200)
    t.equal(thing.told.length, 1)
  })

  t.test('tells each at its time, in whatever order they came', async (t) => {
    const things = [5_000, 1_000, 9_000, 1_000, 3_000].map((ms) => new Thing(ms))
    waiting(...things)
    clock.advance(DAY_MS)
    t.same(
      things.map(({ told: [at] }) => Math.floor((at ?? 0) / 1_000)),
      [5, 1, 9, 1, 3]
    )
  })

  t.test('has one timer for all, which never keeps the process alive', async (t) => {
    const expiry = waiting(...Array.from({ length: 1_000 }, (_, i) => new Thing(DAY_MS - i * 1_000)))
    t.same(clock.pending, { all: 1, withRef: 0 })
    expiry.clear()
  })

  t.test('tells one again that comes back when it is told', async (t) => {
    const expiry = new Expiry<Thing>()
    const thing = new Thing(1_000, (thing) => {
      thing.expireIn(1_000)
      if (thing.told.length < 3) expiry.add(thing)
    })
    expiry.add(thing)
    clock.advance(DAY_MS)
    t.same(
      thing.told.map((at) => Math.floor(at / 1_000)),
      [1, 2, 3]
    )
  })

  t.test('one that waits is not added again', async (t) => {
    const thing = new Thing(1_000)
    const expiry = waiting(thing)
    thing.expireIn(5_000)
    expiry.add(thing)
    clock.advance(DAY_MS)
    t.equal(thing.told.length, 1)
  })

  t.test('those that wait longer than a timer can are told, too, and not early', async (t) => {
    const thing = new Thing(60 * DAY_MS)
    waiting(thing)
    clock.advance(60 * DAY_MS - 1)
    t.same(thing.told, [])
    clock.advance(200)
    t.equal(thing.told.length, 1)
  })

  t.test('no timer is asked to wait longer than it can', async (t) => {
    const delays: unknown[] = []
    const { setTimeout } = globalThis
    t.teardown(() => Object.assign(globalThis, { setTimeout }))
    Object.assign(globalThis, {
      setTimeout: (run: () => void, ms: number) => {
        delays.push(ms)
        return setTimeout(run, ms)
      }
    })
    waiting(new Thing(60 * DAY_MS)).clear()
    t.same(delays, [2 ** 31 - 1])
  })

  t.test('one whose time is earlier now is told then, and once', async (t) => {
    const thing = new Thing(5_000)
    const expiry = waiting(thing)
    thing.expireIn(1_000)
    expiry.add(thing)
    clock.advance(1_101)
    t.equal(thing.told.length, 1)
    clock.advance(DAY_MS)
    t.equal(thing.told.length, 1)
  })

  t.test('150,000 that all have other times do not break it', async (t) => {
    const expiry = new Expiry<Thing>()
    for (let i = 0; i < 150_000; i++) expiry.add(new Thing(DAY_MS + i * 100))
    const first = new Thing(1_000)
    expiry.add(first)
    clock.advance(1_100)
    t.equal(first.told.length, 1)
    expiry.clear()
  })

  t.test('remove() › it waits no longer, and can come again', async (t) => {
    const [thing, other] = [new Thing(1_000), new Thing(1_000)]
    const expiry = waiting(thing, other)
    expiry.remove(thing)
    expiry.remove(thing)
    clock.advance(2_000)
    t.same([thing.told.length, other.told.length], [0, 1])
    thing.expireIn(1_000)
    expiry.add(thing)
    clock.advance(2_000)
    t.equal(thing.told.length, 1)
  })

  t.test('remove() › keeps nothing of it', async (t) => {
    const expiry = new Expiry<Thing>()
    const add = () => {
      const thing = new Thing(DAY_MS)
      expiry.add(thing)
      expiry.remove(thing)
      return new WeakRef(thing)
    }
    const thing = add()
    await collectGarbage()
    t.equal(thing.deref(), undefined)
    clock.advance(DAY_MS + 200)
    t.equal(clock.pending.all, 0, 'nor is there a timer, once it has fired for nothing')
  })

  t.test('remove() › keeps nothing of the times that many waited for', async (t) => {
    const expiry = new Expiry<Thing>()
    const before = await heapBytes()
    for (let i = 0; i < 100_000; i++) {
      const thing = new Thing(DAY_MS + i * 100)
      expiry.add(thing)
      expiry.remove(thing)
    }
    const grown = (await heapBytes()) - before
    t.ok(grown < 1_000_000, `${grown} bytes`)
    expiry.clear()
  })

  t.test('clear() › nobody is told any more, and those who come then are', async (t) => {
    const thing = new Thing(1_000)
    const expiry = waiting(thing)
    expiry.clear()
    t.equal(clock.pending.all, 0)
    expiry.remove(thing)
    expiry.add(thing)
    clock.advance(2_000)
    t.equal(thing.told.length, 1)
  })
})

t.test('History › maxAgeMs', async (t) => {
  const clock = FakeClock.install(t)
  const maxAgeMs = 60_000

  t.test('what is too old is dropped, the newest message too', async (t) => {
    const bench = new Bench({ maxAgeMs })
    bench.publish('a', '1')
    clock.advance(1_000)
    const newest = bench.publish('a', '2')
    clock.advance(maxAgeMs - 1_001)
    t.same(bench.texts('a'), ['1', '2'])
    clock.advance(101)
    t.same(bench.texts('a'), ['2'])
    clock.advance(1_000)
    t.same(bench.texts('a'), [])
    t.equal(bench.window('a').dropped, bench.placeOf(newest))
  })

  t.test('each channel has its own', async (t) => {
    const bench = new Bench({ maxAgeMs })
    const limits = { maxMessages: 100, maxBytes: 100, maxAgeMs: false, keepEndedMs: 300_000 } as const
    const append = { isKept: true, idempotencyKey: undefined, isEnd: false }
    bench.history.append([bench.history.window('b', limits)], [{ text: '1', byteLength: 1, key: '' }], append)
    bench.publish('a', '1')
    clock.advance(DAY_MS)
    t.same([bench.texts('a'), bench.history.lengthOf('b')], [[], 1])
  })

  t.test(
    'one that has ended goes in its own time, however long its messages would have been kept',
    async (t) => {
      const bench = new Bench({ maxAgeMs: DAY_MS, keepEndedMs: 1_000 })
      bench.publish('a', '1')
      const end = { isKept: true, idempotencyKey: undefined, isEnd: true }
      bench.history.append([bench.window('a')], [{ text: '2', byteLength: 1, key: '' }], end)
      clock.advance(999)
      t.same(bench.texts('a'), ['1', '2'])
      clock.advance(101)
      t.same(bench.texts('a'), [])
      t.equal(bench.window('a').isEnded, false, 'its name is free')
    }
  )

  t.test('what a follower was not offered is not too old', async (t) => {
    const bench = new Bench({ maxAgeMs })
    bench.follow('a')
    bench.publish('a', '1')
    clock.advance(10 * maxAgeMs)
    t.same(bench.texts('a'), ['1'])
    bench.offerAll()
    clock.advance(200)
    t.same(bench.texts('a'), [], 'until it was')
  })

  t.test('a message that was dropped before has no part in it', async (t) => {
    const bench = new Bench({ maxAgeMs, maxMessages: 1 })
    bench.publish('a', '1')
    clock.advance(maxAgeMs / 2)
    bench.publish('a', '2')
    clock.advance(maxAgeMs / 2 + 200)
    t.same(bench.texts('a'), ['2'])
    clock.advance(maxAgeMs / 2)
    t.same(bench.texts('a'), [])
  })

  t.test('a channel that was empty and came back keeps what it has for as long', async (t) => {
    // Both messages fit when they are the only one.
    const bench = new Bench({ maxAgeMs, maxTotalBytes: 1 })
    bench.publish('a', '1')
    clock.advance(maxAgeMs / 2)
    bench.publish('b', 'pushes it out')
    t.same(bench.texts('a'), [])
    const again = bench.publish('a', '2')
    clock.advance(maxAgeMs / 2 + 200)
    t.same(bench.texts('a'), ['2'], 'the timer of the first one has fired')
    const { length, newest } = bench.window('a')
    t.same([length, newest?.cursor], [1, again], 'and it is the same window that is found')
    clock.advance(maxAgeMs / 2)
    t.same(bench.texts('a'), [], 'and the second one is told')
  })

  t.test('nothing fires where nothing is too old one day', async (t) => {
    const bench = new Bench({ maxAgeMs: false, keepEndedMs: 300_000 })
    bench.publish('a', '1')
    t.equal(clock.pending.all, 0)
  })
})
