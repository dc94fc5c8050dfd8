import { once } from 'node:events'
import t, { type Test } from 'tap'
import type { LinkListener, RedisLink } from '../../../lib/history/redis/redis-link.ts'
import {
  type Links,
  type PairListener,
  RedisPair,
  RefusedError
} from '../../../lib/history/redis/redis-pair.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { nextTurn } from '../../helpers/server.ts'

const BROKEN = new Error('broken')

/** A pair of fake connections, and what it tells. */
class Bench implements PairListener {
  readonly clock: FakeClock
  readonly told: string[] = []
  readonly pair: RedisPair
  dialed = 0
  destroyed = 0
  dial: (signal?: AbortSignal) => Promise<void> = async () => {}
  prepare: (links: Links) => Promise<void> = async () => {}
  onReady: () => void = () => {}
  onSubscribe: (names: readonly string[]) => void = () => {}
  call: (args: readonly string[]) => Promise<unknown> = async () => 'OK'

  constructor(t: Test) {
    this.clock = FakeClock.install(t)
    this.pair = new RedisPair((listener, signal) => this.#make(listener, signal), this)
    t.teardown(() => this.pair.close())
  }

  pairOnConnect(links: Links): Promise<void> {
    return this.prepare(links)
  }

  pairOnReady(): void {
    this.told.push('ready')
    this.onReady()
  }

  pairOnLost({ message }: Error): void {
    this.told.push(message)
  }

  pairOnMessage(name: string, body: string): void {
    this.told.push(`${name} ${body}`)
  }

  /** Lets it connect again. */
  async again(): Promise<void> {
    this.clock.advance(1_000)
    await nextTurn()
  }

  async #make(listener: LinkListener, signal?: AbortSignal): Promise<RedisLink> {
    this.dialed++
    await this.dial(signal)
    return {
      call: (args) => this.call(args),
      subscribe: async (names) => {
        this.onSubscribe(names)
        listener.linkOnMessage('a', 'message')
      },
      unsubscribe: async () => {},
      destroy: () => void this.destroyed++
    }
  }
}

t.test('connect() › again when it fails, breaks, or is reset; told once', async (t) => {
  const bench = new Bench(t)
  bench.dial = async () => {
    throw BROKEN
  }
  await bench.pair.connect()
  await bench.again()
  t.same(bench.told, ['broken'])
  bench.dial = async () => {}
  await bench.again()
  t.same(bench.told, ['broken', 'ready'])
  await bench.pair.links?.notices.subscribe(['a'])
  bench.pair.linkOnLost(BROKEN)
  t.equal(bench.pair.links, undefined)
  t.equal(bench.destroyed, 2)
  await bench.again()
  bench.clock.advance(2_000)
  bench.pair.reset(new Error('reset'))
  await bench.again()
  t.same(bench.told.slice(2), ['a message', 'broken', 'ready', 'reset', 'ready'])
})

t.test(
  'connect() › attempts grow rare, up to one or two in a second, until a connection has held',
  async (t) => {
    const bench = new Bench(t)
    const attempts = async (seconds: number): Promise<number> => {
      const before = bench.dialed
      for (let ms = 0; ms < seconds * 1_000; ms += 10) {
        bench.clock.advance(10)
        await nextTurn()
      }
      return (bench.dialed - before) / 2
    }
    bench.dial = async () => {
      throw BROKEN
    }
    await bench.pair.connect()
    const first = await attempts(1)
    t.ok(first >= 4 && first <= 8, `${first} in the first second`)
    const later = await attempts(10)
    t.ok(later >= 10 && later <= 21, `${later} in ten seconds`)
    bench.dial = async () => {}
    await attempts(2)
    bench.pair.reset(BROKEN)
    t.equal(await attempts(0.01), 1, 'at once')
  }
)

t.test('connect() › a break while connections are prepared', async (t) => {
  const bench = new Bench(t)
  bench.prepare = async () => bench.pair.linkOnLost(BROKEN)
  await bench.pair.connect()
  t.same(bench.told, ['broken'])
  t.equal(bench.pair.links, undefined)
  bench.prepare = async () => {}
  await bench.again()
  t.same(bench.told, ['broken', 'ready'])
})

t.test('connect() › again when they are given up as soon as they are ready', async (t) => {
  const bench = new Bench(t)
  bench.onReady = () => bench.pair.reset(BROKEN)
  await bench.pair.connect()
  t.equal(bench.pair.links, undefined)
  bench.onReady = () => {}
  await bench.again()
  t.same(bench.told, ['ready', 'broken', 'ready'])
  t.ok(bench.pair.links)
})

t.test('connect() › gives up what is not prepared and answers nothing for 5 s', async (t) => {
  const bench = new Bench(t)
  let reject: (error: Error) => void = () => {}
  bench.prepare = () =>
    new Promise((_, rejects) => {
      reject = rejects
    })
  const connected = bench.pair.connect()
  await nextTurn()
  bench.clock.advance(5_000)
  t.same(bench.told, ['Redis did not answer within 5000 ms'])
  t.equal(bench.destroyed, 2)
  reject(BROKEN)
  await connected
})

t.test('connect() › takes as long as Redis goes on answering', async (t) => {
  const bench = new Bench(t)
  bench.prepare = async (links) => {
    for (let i = 0; i < 3; i++) {
      bench.clock.advance(4_000)
      await bench.pair.run(links, { source: '', sha: '' }, '', [])
    }
  }
  await bench.pair.connect()
  t.same(bench.told, ['ready'])
  bench.clock.advance(5_000)
  t.ok(bench.pair.links)
})

t.test('connect() › also while there are many names to be confirmed, a thousand at a time', async (t) => {
  const bench = new Bench(t)
  const names = Array.from({ length: 2_001 }, (_, i) => `${i}`)
  const asked: (readonly string[])[] = []
  bench.onSubscribe = (some) => {
    asked.push(some)
    bench.clock.advance(4_000)
  }
  bench.prepare = (links) => bench.pair.subscribe(links, names)
  await bench.pair.connect()
  t.equal(bench.told.at(-1), 'ready')
  t.same(
    asked.map(({ length }) => length),
    [1_000, 1_000, 1]
  )
  t.same(asked.flat(), names)
})

t.test('connect() › what is refused is not tried again', async (t) => {
  const bench = new Bench(t)
  const refuse = async (): Promise<void> => {
    throw new RefusedError('refused')
  }
  await bench.pair.connect()
  bench.prepare = refuse
  bench.pair.reset(BROKEN)
  await bench.again()
  await bench.again()
  t.same(bench.told, ['ready', 'broken', 'refused'])
  t.equal(bench.dialed, 4)
  await t.rejects(bench.pair.connect(), { message: 'refused' })
})

t.test('close() › also while connections are made', async (t) => {
  const bench = new Bench(t)
  let dialed: () => void = () => {}
  const ready = new Promise<void>((resolve) => {
    dialed = resolve
  })
  bench.dial = () => ready
  const rejected = t.rejects(bench.pair.connect(), { message: 'The history is closed' })
  bench.pair.close()
  dialed()
  await rejected
  t.equal(bench.destroyed, 2)
  bench.pair.linkOnLost(BROKEN)
  t.same(bench.told, [])
})

t.test('close() › gives up what is being dialed', async (t) => {
  const bench = new Bench(t)
  bench.dial = async (signal) => {
    await once(signal as AbortSignal, 'abort')
    throw new Error('aborted')
  }
  const rejected = t.rejects(bench.pair.connect(), { message: 'aborted' })
  bench.pair.close()
  await rejected
  t.equal(bench.dialed, 2)
  t.same(bench.told, [])
})

t.test('run() › sends a script that Redis does not know', async (t) => {
  const bench = new Bench(t)
  await bench.pair.connect()
  const asked: (readonly string[])[] = []
  bench.call = async (args) => {
    asked.push(args)
    if (args[0] === 'EVALSHA') throw Object.assign(new Error(), { code: 'NOSCRIPT' })
    return 'fine'
  }
  const script = { source: 'return', sha: 'abc' }
  const links = bench.pair.links as Links
  t.equal(await bench.pair.run(links, script, 'base', ['x']), 'fine')
  t.same(asked, [
    ['EVALSHA', 'abc', '1', 'base', 'x'],
    ['EVAL', 'return', '1', 'base', 'x']
  ])
  bench.call = async () => {
    throw BROKEN
  }
  await t.rejects(bench.pair.run(links, script, 'base', []), BROKEN)
})
