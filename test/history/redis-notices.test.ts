import t from 'tap'
import { type NoticesHost, RedisNotices } from '../../lib/history/redis/redis-notices.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { FakeDial, type FakeLink, turn } from './fake-link.ts'

/** Notices of a Redis that answers when the test says so. */
class Bench extends FakeDial implements NoticesHost {
  readonly clock: FakeClock
  readonly notices: RedisNotices
  readonly wanted = new Set<string>()
  /** What the host was told. */
  readonly told: string[] = []
  readonly got: { readonly name: string; readonly told: string }[] = []

  constructor(clock: FakeClock) {
    super()
    this.clock = clock
    this.notices = new RedisNotices(this, this.dial, 'probe')
  }

  /** Whose connection is there, and subscribed to what is wanted. */
  async open(...names: readonly string[]): Promise<FakeLink> {
    for (const name of names) this.wanted.add(name)
    this.notices.start()
    const link = await this.connect()
    await link.answer()
    this.told.length = 0
    return link
  }

  want(...names: readonly string[]): void {
    for (const name of names) {
      this.wanted.add(name)
      this.notices.change(name)
    }
  }

  unwant(name: string): void {
    this.wanted.delete(name)
    this.notices.change(name)
  }

  get noticeNames(): Iterable<string> {
    return this.wanted
  }

  isWanted(name: string): boolean {
    return this.wanted.has(name)
  }

  noticesOnReady(): void {
    this.told.push('ready')
  }

  noticesOnLost({ message }: Error): void {
    this.told.push(`lost: ${message}`)
  }

  noticesOnSubscribe(names: readonly string[]): void {
    if (names.length > 0) this.told.push(`subscribed: ${names.length > 5 ? names.length : names}`)
  }

  noticesOnNotice(name: string, told: string): void {
    this.got.push({ name, told })
  }
}

function run(test: (bench: Bench) => Promise<void>): Promise<void> {
  return FakeClock.run(async (clock) => {
    const bench = new Bench(clock)
    await test(bench)
    bench.notices.close()
  })
}

t.test('RedisNotices › subscribes', async (t) => {
  t.test('the probe and all that is wanted, before it is ready', async (t) => {
    await run(async (bench) => {
      bench.want('a', 'b')
      bench.notices.start()
      const link = await bench.connect()
      t.equal(bench.notices.isReady, false)
      t.same(bench.told, [])
      t.same(await link.answer(), ['subscribe probe a b'])
      t.equal(bench.notices.isReady, true)
      t.same(bench.told, ['ready'])
      t.same(link.asked, [])
    })
  })

  t.test('what is wanted later, all of one turn in one command, and says when it is', async (t) => {
    await run(async (bench) => {
      const link = await bench.open('a')
      bench.want('b', 'c')
      bench.unwant('a')
      await turn()
      t.same(bench.told, [])
      t.same(await link.answer(), ['subscribe b c', 'unsubscribe a'])
      t.same(bench.told, ['subscribed: b,c'])
    })
  })

  t.test('what is wanted in the end, if that changes within a turn', async (t) => {
    await run(async (bench) => {
      const link = await bench.open('a', 'b')
      bench.want('c')
      bench.unwant('c')
      bench.unwant('a')
      bench.want('a')
      await turn()
      t.same(await link.answer(), ['subscribe a', 'unsubscribe c'])
    })
  })

  t.test('in the order in which it was wanted, without waiting for answers', async (t) => {
    await run(async (bench) => {
      const link = await bench.open('a')
      bench.unwant('a')
      await turn()
      bench.want('a')
      await turn()
      t.same(
        link.asked.map(({ args }) => args.join(' ')),
        ['unsubscribe a', 'subscribe a']
      )
    })
  })

  t.test('what became wanted or unwanted while it was not ready', async (t) => {
    await run(async (bench) => {
      bench.want('a', 'b')
      bench.notices.start()
      bench.want('c')
      await turn()
      const link = await bench.connect()
      bench.unwant('a')
      bench.want('d')
      await turn()
      t.same(await link.answer(), ['subscribe probe a b c'])
      t.same(await link.answer(), ['subscribe d', 'unsubscribe a'])
      t.same(bench.told, ['ready', 'subscribed: d'])
    })
  })

  t.test('1,000 names with one command', async (t) => {
    await run(async (bench) => {
      const names = Array.from({ length: 2_500 }, (_, n) => `channel-${n}`)
      const link = await bench.open()
      bench.want(...names)
      await turn()
      const sizes = link.asked.map(({ args }) => args.length - 1)
      t.same(sizes, [1_000, 1_000, 500])
      await link.answer()
      t.same(bench.told, ['subscribed: 2500'])
      await link.break()
      bench.clock.advance(0)
      const next = await bench.connect()
      t.same(
        next.asked.map(({ args }) => args.length - 1),
        [1_000, 1_000, 501]
      )
    })
  })
})

t.test('RedisNotices › a connection that is lost', async (t) => {
  t.test('is told, and the next one has all that is wanted then', async (t) => {
    await run(async (bench) => {
      const link = await bench.open('a', 'b')
      await link.break()
      t.same(bench.told, ['lost: broke'])
      t.equal(bench.notices.isReady, false)
      bench.unwant('a')
      bench.want('c')
      await turn()
      bench.clock.advance(0)
      const next = await bench.connect()
      t.same(await next.answer(), ['subscribe probe b c'])
      t.same(bench.told, ['lost: broke', 'ready'])
    })
  })

  t.test('while something is being subscribed', async (t) => {
    await run(async (bench) => {
      const link = await bench.open()
      bench.want('a')
      await turn()
      await link.break()
      t.same(bench.told, ['lost: broke'])
      bench.clock.advance(0)
      const next = await bench.connect()
      t.same(await next.answer(), ['subscribe probe a'])
    })
  })

  t.test('is given up when Redis refuses a name', async (t) => {
    await run(async (bench) => {
      const link = await bench.open()
      bench.want('a')
      await turn()
      await link.refuse(new Error('NOPERM'))
      t.equal(link.isDestroyed, true)
      t.same(bench.told, ['lost: NOPERM'])
      bench.clock.advance(0)
      t.equal(bench.count, 2)
    })
  })

  t.test('an answer of one that was lost before is nobody’s', async (t) => {
    await run(async (bench) => {
      const link = await bench.open()
      bench.want('a')
      await turn()
      const [asked] = link.asked.splice(0)
      link.listener.linkOnLost(new Error('broke'))
      bench.clock.advance(0)
      const next = await bench.connect()
      await next.answer()
      asked?.reject(new Error('late'))
      await turn()
      t.equal(next.isDestroyed, false)
    })
  })
})

t.test('RedisNotices › probe()', async (t) => {
  t.test('says where to publish, for something to come back', async (t) => {
    await run(async (bench) => {
      t.equal(bench.notices.probe(), 'probe')
      const link = await bench.open('a')
      for (let i = 0; i < 10; i++) {
        t.equal(bench.notices.probe(), 'probe')
        bench.clock.advance(3_000)
        link.listener.linkOnMessage('probe', '')
      }
      t.same(bench.told, [])
      t.same(bench.got, [], 'which is no notice')
    })
  })

  t.test('any message will do', async (t) => {
    await run(async (bench) => {
      const link = await bench.open('a')
      bench.notices.probe()
      bench.clock.advance(4_000)
      link.listener.linkOnMessage('a', '1-1 2-1  1 0 x')
      bench.notices.probe()
      bench.clock.advance(4_000)
      bench.notices.probe()
      t.equal(link.isDestroyed, false)
    })
  })

  t.test('makes another connection when nothing has come back for 5 s', async (t) => {
    await run(async (bench) => {
      const link = await bench.open('a')
      for (let i = 0; i < 3; i++) {
        bench.notices.probe()
        bench.clock.advance(2_500)
        t.equal(link.isDestroyed, false)
      }
      bench.notices.probe()
      t.equal(link.isDestroyed, true)
      t.same(bench.told, ['lost: Redis does not tell what is published'])
      bench.clock.advance(10_000)
      bench.notices.probe()
      const next = await bench.connect()
      await next.answer()
      bench.notices.probe()
      t.equal(next.isDestroyed, false, 'which has its own 5 s')
    })
  })

  t.test('does not hold against a connection what was asked of the one before', async (t) => {
    await run(async (bench) => {
      const link = await bench.open('a')
      bench.notices.probe()
      bench.clock.advance(4_900)
      await link.break()
      bench.clock.advance(0)
      const next = await bench.connect()
      await next.answer()
      bench.clock.advance(1_000)
      bench.notices.probe()
      t.equal(next.isDestroyed, false)
    })
  })
})

t.test('RedisNotices › a notice', async (t) => {
  t.test('is passed on as it is', async (t) => {
    await run(async (bench) => {
      const link = await bench.open('a')
      for (const told of ['1-1 2-1  1 0 x', '1-1 2-1 ~0-5 12 3 a b\ufeff é\0', '']) {
        link.listener.linkOnMessage('a', told)
        t.same(bench.got.pop(), { name: 'a', told })
      }
    })
  })
})
