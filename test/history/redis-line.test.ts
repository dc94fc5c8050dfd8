import t from 'tap'
import { type LineListener, RedisLine } from '../../lib/history/redis/redis-line.ts'
import type { RedisLink } from '../../lib/history/redis/redis-link.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { FakeDial, turn } from './fake-link.ts'

/** A line whose connections are made, and fail, when the test says so. */
class Bench extends FakeDial implements LineListener {
  readonly clock: FakeClock
  readonly line: RedisLine
  /** What the listener was told. */
  readonly told: string[] = []
  /** What a new link is prepared with. */
  prepare: (link: RedisLink) => Promise<unknown> = async () => {}

  constructor(clock: FakeClock) {
    super()
    this.clock = clock
    this.line = new RedisLine(this.dial, this)
  }

  async lineOnLink(link: RedisLink): Promise<void> {
    this.told.push('new')
    await this.prepare(link)
  }

  lineOnReady(): void {
    this.told.push('ready')
  }

  lineOnLost({ message }: Error): void {
    this.told.push(`lost: ${message}`)
  }

  lineOnMessage(name: string, body: string): void {
    this.told.push(`${name}: ${body}`)
  }
}

function run(test: (bench: Bench) => Promise<void>): Promise<void> {
  return FakeClock.run((clock) => test(new Bench(clock)))
}

t.test('RedisLine › start()', async (t) => {
  t.test('connects once, prepares the connection, and then it can be used', async (t) => {
    await run(async (bench) => {
      let isPrepared = (): void => {}
      bench.prepare = () => new Promise<void>((resolve) => (isPrepared = resolve))
      t.equal(bench.count, 0, 'not before')
      bench.line.start()
      bench.line.start()
      t.equal(bench.count, 1)
      const link = await bench.connect()
      t.equal(bench.line.link, undefined)
      t.same(bench.told, ['new'])
      isPrepared()
      await turn()
      t.equal(bench.line.link, link)
      t.same(bench.told, ['new', 'ready'])
      t.equal(bench.clock.pending.all, 0)
    })
  })

  t.test('messages are passed on, also while it is being prepared', async (t) => {
    await run(async (bench) => {
      bench.prepare = async () => bench.links[0]?.listener.linkOnMessage('a', 'early')
      bench.line.start()
      const link = await bench.connect()
      link.listener.linkOnMessage('a', 'x')
      t.same(bench.told, ['new', 'a: early', 'ready', 'a: x'])
    })
  })

  t.test('a listener need not take messages', async (t) => {
    const dial = new FakeDial()
    const line = new RedisLine(dial.dial, { async lineOnLink() {}, lineOnReady() {}, lineOnLost: t.fail })
    line.start()
    const link = await dial.connect()
    link.listener.linkOnMessage('a', 'x')
    t.equal(line.link, link)
    line.close()
  })
})

t.test('RedisLine › a connection that is lost', async (t) => {
  t.test('is made again at once', async (t) => {
    await run(async (bench) => {
      bench.line.start()
      const first = await bench.connect()
      await first.break()
      t.equal(bench.line.link, undefined)
      t.same(bench.told, ['new', 'ready', 'lost: broke'])
      bench.clock.advance(0)
      t.equal(bench.count, 2)
      const second = await bench.connect()
      t.equal(bench.line.link, second)
      t.same(bench.told.slice(3), ['new', 'ready'])
    })
  })

  t.test('that cannot be made is told once, and tried again, ever less often', async (t) => {
    await run(async (bench) => {
      bench.line.start()
      for (let i = 0; i < 12; i++) {
        await bench.refuse()
        t.equal(bench.clock.pending.withRef, 1)
        bench.clock.advance(2_000)
      }
      t.same(bench.told, ['lost: refused'])
      const waits = bench.delays.slice(1)
      t.equal(waits.length, 12)
    })
  })

  t.test('the waits grow from 0 to 1 s, with a jitter', async (t) => {
    const waits: number[][] = []
    for (let round = 0; round < 30; round++) {
      await run(async (bench) => {
        bench.line.start()
        for (let i = 0; i < 8; i++) {
          await bench.refuse()
          while (bench.count === i + 1) bench.clock.advance(1)
        }
        waits.push(bench.delays.slice(1))
      })
    }
    const most = [0, 50, 100, 200, 400, 800, 1_000, 1_000]
    for (const [i, longest] of most.entries()) {
      const all = waits.map((wait) => wait[i] ?? Infinity)
      t.ok(Math.min(...all) >= longest / 2 && Math.max(...all) <= longest + 1, `${i}: up to ${longest} ms`)
      if (longest > 0) t.ok(new Set(all).size > 5, 'so that nodes do not come all at once')
    }
  })

  t.test('begins anew with short waits after one that has lasted for a second', async (t) => {
    for (const [lastedMs, isAtOnce] of [
      [0, false],
      [500, false],
      [1_001, true]
    ] as const) {
      await run(async (bench) => {
        bench.line.start()
        for (let i = 0; i < 8; i++) {
          await bench.refuse()
          bench.clock.advance(1_000)
        }
        const link = await bench.connect()
        bench.clock.advance(lastedMs)
        await link.break()
        bench.clock.advance(0)
        t.equal(bench.count, isAtOnce ? 10 : 9, `${lastedMs} ms`)
        bench.clock.advance(1_000)
        t.equal(bench.count, 10)
        await bench.refuse()
        bench.clock.advance(50)
        t.equal(bench.count, isAtOnce ? 11 : 10)
        t.same(bench.told, ['lost: refused', 'new', 'ready', 'lost: broke'])
      })
    }
  })

  t.test('that cannot be prepared is given up, and made again later', async (t) => {
    await run(async (bench) => {
      bench.prepare = () => Promise.reject(new Error('NOPERM'))
      bench.line.start()
      const link = await bench.connect()
      t.equal(link.isDestroyed, true)
      t.equal(bench.line.link, undefined)
      t.same(bench.told, ['new', 'lost: NOPERM'])
      bench.clock.advance(1_000)
      t.equal(bench.count, 2)
      bench.prepare = async () => {}
      t.equal(bench.line.link, undefined)
      await bench.connect()
      t.same(bench.told.slice(2), ['new', 'ready'])
    })
  })

  t.test('that breaks while it is being prepared is made again once', async (t) => {
    for (const isSlow of [false, true]) {
      await run(async (bench) => {
        bench.prepare = (link) => (isSlow ? link.call([]) : link.call([]).catch(() => {}))
        bench.line.start()
        const link = await bench.connect()
        await link.break()
        t.equal(bench.line.link, undefined)
        t.same(bench.told, ['new', 'lost: broke'])
        bench.prepare = async () => {}
        bench.clock.advance(1_000)
        t.equal(bench.count, 2)
        await bench.connect()
        t.equal(bench.line.link, bench.links[1])
        bench.clock.advance(10_000)
        t.equal(bench.count, 2)
      })
    }
  })
})

t.test('RedisLine › a connection that falls silent while it is being prepared', async (t) => {
  await run(async (bench) => {
    bench.prepare = (link) => link.call([])
    bench.line.start()
    const link = await bench.connect()
    bench.clock.advance(4_999)
    t.equal(link.isDestroyed, false)
    bench.clock.advance(1)
    await turn()
    t.equal(link.isDestroyed, true)
    t.same(bench.told, ['new', 'lost: Redis did not answer within 5000 ms'])
    bench.prepare = async () => {}
    bench.clock.advance(1_000)
    await bench.connect()
    t.equal(bench.told.at(-1), 'ready', 'is given up for another one')
    t.equal(bench.clock.pending.all, 0)
  })
})

t.test('RedisLine › reset()', async (t) => {
  const error = new Error('does not answer')

  t.test('gives the connection up, and makes another one', async (t) => {
    await run(async (bench) => {
      bench.line.start()
      const link = await bench.connect()
      bench.line.reset(error)
      t.equal(link.isDestroyed, true)
      t.equal(bench.line.link, undefined)
      bench.clock.advance(0)
      await bench.connect()
      t.same(bench.told, ['new', 'ready', 'lost: does not answer', 'new', 'ready'])
    })
  })

  t.test('of one that is being prepared', async (t) => {
    await run(async (bench) => {
      bench.prepare = (link) => link.call([])
      bench.line.start()
      const link = await bench.connect()
      bench.line.reset(error)
      await turn()
      t.equal(link.isDestroyed, true)
      t.same(bench.told, ['new', 'lost: does not answer'])
      bench.prepare = async () => {}
      bench.clock.advance(1_000)
      t.equal(bench.count, 2)
      await bench.connect()
      t.equal(bench.line.link, bench.links[1])
    })
  })

  t.test('does nothing where there is none', async (t) => {
    await run(async (bench) => {
      bench.line.reset(error)
      bench.line.start()
      bench.line.reset(error)
      await bench.refuse()
      bench.line.reset(error)
      t.same(bench.told, ['lost: refused'])
      bench.clock.advance(1_000)
      t.equal(bench.count, 2)
    })
  })
})

t.test('RedisLine › close()', async (t) => {
  /** Closes, and checks that nothing comes after it. */
  const close = async (bench: Bench): Promise<void> => {
    const told = [...bench.told]
    bench.line.close()
    await turn()
    bench.line.close()
    bench.line.start()
    bench.line.reset(new Error('late'))
    bench.clock.advance(10_000)
    await turn()
    t.same(bench.told, told, 'nobody is told')
    t.equal(bench.line.link, undefined)
    t.equal(bench.clock.pending.all, 0)
  }

  t.test('before it was started', async (t) => {
    await run(async (bench) => {
      await close(bench)
      t.equal(bench.count, 0)
    })
  })

  t.test('while it dials: what comes of it is given up', async (t) => {
    await run(async (bench) => {
      bench.line.start()
      await close(bench)
      const link = await bench.connect()
      t.equal(link.isDestroyed, true)
      t.same(bench.told, [])
    })
    await run(async (bench) => {
      bench.line.start()
      await close(bench)
      await bench.refuse()
      t.same(bench.told, [])
      t.equal(bench.clock.pending.all, 0)
    })
  })

  t.test('while a connection is being prepared', async (t) => {
    await run(async (bench) => {
      bench.prepare = (link) => link.call([])
      bench.line.start()
      const link = await bench.connect()
      await close(bench)
      t.equal(link.isDestroyed, true)
      t.equal(bench.count, 1)
    })
  })

  t.test('in the moment in which it is prepared', async (t) => {
    await run(async (bench) => {
      let isPrepared = (): void => {}
      bench.prepare = () => new Promise<void>((resolve) => (isPrepared = resolve))
      bench.line.start()
      const link = await bench.connect()
      isPrepared()
      await close(bench)
      t.equal(link.isDestroyed, true)
    })
  })

  t.test('while there is a connection', async (t) => {
    await run(async (bench) => {
      bench.line.start()
      const link = await bench.connect()
      await close(bench)
      t.equal(link.isDestroyed, true)
      link.listener.linkOnLost(new Error('late'))
      t.equal(bench.clock.pending.all, 0)
    })
  })

  t.test('while it waits for its next attempt', async (t) => {
    await run(async (bench) => {
      bench.line.start()
      await bench.refuse()
      await close(bench)
      t.equal(bench.count, 1)
    })
  })
})
