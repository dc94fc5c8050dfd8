import t from 'tap'
import { RedisReplyError } from '../../lib/history/redis/redis-link.ts'
import {
  type Publication,
  type PublisherHost,
  RedisPublisher
} from '../../lib/history/redis/redis-publisher.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { hasSettled } from '../helpers/settled.ts'
import { turn } from './fake-link.ts'

const FAILED = 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED'
const UNCONFIRMED = 'FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED'
const CLOSED = 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED'
const TIMEOUT_MS = 1_000
const MIB = 1_048_576

interface Named extends Publication {
  readonly name: string
}

function named(name: string, isIdempotent: boolean, byteLength: number, log: string): Named {
  return { name, keys: { log }, byteLength, idempotencyKey: isIdempotent ? name : undefined }
}

interface Sent {
  readonly name: string
  resolve(answer: string | RedisReplyError): void
  reject(error: Error): void
}

/** A Redis that answers when the test says so. */
class Bench implements PublisherHost<Named, string> {
  readonly options = { publishTimeoutMs: TIMEOUT_MS }
  readonly publisher: RedisPublisher<Named, string> = new RedisPublisher(this)
  isConnected = true
  /** What was sent and has no answer. */
  underWay: Sent[] = []
  /** All that was ever sent. */
  readonly sent: string[] = []
  timeouts = 0

  /** What was sent together, and is more than one. */
  readonly batches: string[][] = []

  send(publications: readonly Named[]): Promise<readonly (string | RedisReplyError)[]> {
    const names = publications.map(({ name }) => name)
    if (names.length > 1) this.batches.push(names)
    this.sent.push(...names)
    return Promise.all(
      names.map(
        (name) =>
          new Promise<string | RedisReplyError>((resolve, reject) => {
            this.underWay.push({ name, resolve, reject })
          })
      )
    )
  }

  /** Loads of scripts that have no answer. */
  loads: { resolve(): void; reject(error: Error): void }[] = []

  loadScripts(): Promise<void> {
    return new Promise((resolve, reject) => this.loads.push({ resolve, reject }))
  }

  publisherOnTimeout(): void {
    this.timeouts++
  }

  /** To a stream of its own, and sends it at once. */
  publish(name: string, isIdempotent = false, byteLength = 10): Promise<unknown> {
    const published = this.publisher.publish(named(name, isIdempotent, byteLength, name))
    this.publisher.resume()
    return published
  }

  /** To one stream. */
  publishAll(
    names: readonly string[],
    byteLength = 10,
    stream = 'stream',
    isIdempotent = false
  ): Promise<unknown>[] {
    return names.map((name) => this.publisher.publish(named(name, isIdempotent, byteLength, stream)))
  }

  /** Redis has done the first of what is under way. */
  async answer(count = 1): Promise<void> {
    for (const { name, resolve } of this.underWay.splice(0, count)) resolve(`id of ${name}`)
    await turn()
  }

  async break(): Promise<void> {
    this.isConnected = false
    for (const { reject } of this.underWay.splice(0)) reject(new Error('reset'))
    await turn()
  }

  async connect(): Promise<void> {
    this.isConnected = true
    this.publisher.resume()
    await turn()
  }
}

/** What became of each: its value, or the code of its error; `undefined` if that is not clear yet. */
async function outcomes(all: readonly Promise<unknown>[]): Promise<unknown[]> {
  const found: unknown[] = all.map(() => undefined)
  for (const [i, promise] of all.entries()) {
    promise.then(
      (value) => {
        found[i] = value
      },
      (error: Error & { code?: string }) => {
        found[i] = error.code
      }
    )
  }
  await turn()
  return found
}

function names(start: number, end: number): string[] {
  return Array.from({ length: end - start }, (_, i) => String(start + i))
}

t.test('RedisPublisher › sends', async (t) => {
  t.test('at once, in the order of calls, and gives each its own answer', async (t) => {
    const bench = new Bench()
    const all = ['a', 'b', 'c'].map((name) => bench.publish(name))
    t.same(bench.sent, ['a', 'b', 'c'], 'before any of them is answered')
    await bench.answer(3)
    t.same(await Promise.all(all), ['id of a', 'id of b', 'id of c'])
  })

  t.test('when there is a connection, in the order of calls', async (t) => {
    const bench = new Bench()
    bench.isConnected = false
    const all = ['a', 'b', 'c'].map((name) => bench.publish(name))
    t.same(bench.sent, [])
    await bench.connect()
    t.same(bench.sent, ['a', 'b', 'c'])
    await bench.answer(3)
    t.same(await outcomes(all), ['id of a', 'id of b', 'id of c'])
  })

  t.test('up to 1,000 without an answer, and the others when there is room', async (t) => {
    const bench = new Bench()
    const all = names(0, 1_200).map((name) => bench.publish(name))
    t.same(bench.sent, names(0, 1_000))
    await bench.answer()
    t.same(bench.sent, names(0, 1_001))
    await bench.answer(150)
    t.same(bench.sent, names(0, 1_151))
    await bench.answer(1_200)
    await bench.answer(1_200)
    t.same(
      await outcomes(all),
      names(0, 1_200).map((name) => `id of ${name}`)
    )
  })

  t.test('nothing more when the connection breaks while it is at it', async (t) => {
    const bench = new Bench()
    bench.isConnected = false
    const all = ['a', 'b', 'c'].map((name) => bench.publish(name))
    const { send } = bench
    bench.send = (publication) => {
      bench.isConnected = false
      return send.call(bench, publication)
    }
    await bench.connect()
    t.same(bench.sent, ['a'])
    t.same(await outcomes(all), [undefined, undefined, undefined])
  })
})

t.test('RedisPublisher › what is published to one stream in one turn', async (t) => {
  t.test('is sent together, and each has its own answer', async (t) => {
    const bench = new Bench()
    const published = bench.publishAll(['a', 'b', 'c'])
    const others = bench.publishAll(['x', 'y'], 10, 'other')
    t.equal(bench.sent.length, 0, 'not before its end')
    await turn()
    t.same(bench.batches, [
      ['a', 'b', 'c'],
      ['x', 'y']
    ])
    const [first, second] = bench.underWay
    first?.resolve('id of a')
    second?.resolve(new RedisReplyError(new Error('OOM')))
    bench.underWay.splice(0, 2)
    await bench.answer(3)
    t.same(await outcomes(published), ['id of a', FAILED, 'id of c'])
    t.same(await outcomes(others), ['id of x', 'id of y'])
  })

  t.test('256 messages at a time, or as many as begin within 1 MiB', async (t) => {
    const bench = new Bench()
    const published = bench.publishAll(names(0, 300))
    const large = bench.publishAll(['a', 'b', 'c', 'd'], 600_000, 'large')
    await turn()
    t.same(bench.batches, [names(0, 256), ['a', 'b']])
    await bench.answer(258)
    t.same(bench.batches.slice(2), [names(256, 300), ['c', 'd']], 'the rest when they have been answered')
    await bench.answer(46)
    await Promise.all([...published, ...large])
  })

  t.test('and what comes while it is under way, waits and is sent together', async (t) => {
    const bench = new Bench()
    const published = bench.publishAll(['a'])
    await turn()
    for (const name of ['b', 'c', 'd']) {
      published.push(...bench.publishAll([name]))
      await turn()
    }
    t.same(bench.sent, ['a'])
    await bench.answer()
    t.same(bench.batches, [['b', 'c', 'd']])
    await bench.answer(3)
    t.same(await outcomes(published), ['id of a', 'id of b', 'id of c', 'id of d'])
  })

  t.test('is sent before its end if it is very much', async (t) => {
    const bench = new Bench()
    const published = bench.publishAll(names(0, 1_000))
    t.equal(bench.sent.length, 256)
    while (bench.underWay.length > 0) await bench.answer(256)
    await Promise.all(published)
  })

  t.test('when the connection breaks between them: waits for another one', async (t) => {
    const bench = new Bench()
    const published = bench.publishAll(['a'], 10, 'one').concat(bench.publishAll(['b'], 10, 'two'))
    const { send } = bench
    bench.send = (publications) => {
      bench.isConnected = false
      bench.send = send
      return bench.send(publications)
    }
    await turn()
    t.same(bench.sent, ['a'])
    await bench.connect()
    t.same(bench.sent, ['a', 'b'])
    await bench.answer(2)
    t.same(await outcomes(published), ['id of a', 'id of b'])
  })
})

t.test('RedisPublisher › refuses', async (t) => {
  t.test('when 10,000 wait already', async (t) => {
    const bench = new Bench()
    bench.isConnected = false
    const waiting = names(0, 10_000).map((name) => bench.publish(name))
    await t.rejects(bench.publish('one more'), { code: FAILED, message: /too many messages wait/ })
    await bench.connect()
    t.equal(await hasSettled(bench.publish('now')), false)
    while (bench.underWay.length > 0) await bench.answer(1_000)
    t.equal(await waiting[9_999], 'id of 9999')
  })

  t.test('when 16 MiB wait already', async (t) => {
    const bench = new Bench()
    bench.isConnected = false
    const waiting = names(0, 17).map((name) => bench.publish(name, false, MIB))
    await t.rejects(bench.publish('one more'), { code: FAILED, statusCode: 503 })
    await bench.connect()
    t.equal(bench.underWay.length, 16, 'nor are more than 16 MiB under way')
    await bench.answer(1)
    t.equal(bench.underWay.length, 16)
    await bench.answer(16)
    t.equal((await outcomes(waiting))[16], 'id of 16')
    bench.isConnected = false
    t.equal(await hasSettled(bench.publish('what was answered counts no more')), false)
  })

  t.test('what Redis refuses, in its own words', async (t) => {
    const bench = new Bench()
    const published = bench.publish('a')
    const cause = new RedisReplyError(new Error('OOM command not allowed'))
    bench.underWay.shift()?.reject(cause)
    const message = 'The message was not published: OOM command not allowed'
    await t.rejects(published, { code: FAILED, statusCode: 503, message, cause })
  })
})

t.test('RedisPublisher › when Redis has forgotten the scripts', async (t) => {
  const noScript = new RedisReplyError(new Error('NOSCRIPT No matching script'))

  t.test('loads them, and sends again in the order of calls', async (t) => {
    const bench = new Bench()
    const published = bench.publishAll(names(0, 3))
    await turn()
    published.push(...bench.publishAll(['3']))
    const other = bench.publish('other')
    for (const { reject } of bench.underWay.splice(0)) reject(noScript)
    await turn()
    bench.publisher.resume()
    t.same([bench.loads.length, bench.sent.length], [1, 4], 'once they are loaded')
    bench.loads.shift()?.resolve()
    await turn()
    t.same(bench.batches, [names(0, 3), names(0, 4)])
    await bench.answer(5)
    t.same(await outcomes(published), ['id of 0', 'id of 1', 'id of 2', 'id of 3'])
    t.equal(await other, 'id of other')
  })

  t.test('and takes them no more, rejects all that waits, and goes on', async (t) => {
    const bench = new Bench()
    const published = bench.publish('a')
    const other = bench.publish('other')
    bench.underWay.shift()?.reject(noScript)
    await turn()
    const next = bench.publish('b')
    bench.loads.shift()?.reject(new RedisReplyError(new Error('NOPERM no permissions')))
    for (const refused of [published, next]) await t.rejects(refused, { code: FAILED, message: /NOPERM/ })
    const last = bench.publish('c')
    await bench.answer(2)
    t.same(await outcomes([other, last]), ['id of other', 'id of c'])
  })

  t.test('and the connection breaks meanwhile, sends when there is another one', async (t) => {
    const bench = new Bench()
    const published = bench.publish('a')
    bench.underWay.shift()?.reject(noScript)
    await turn()
    bench.isConnected = false
    bench.loads.shift()?.reject(new Error('reset'))
    await turn()
    await bench.connect()
    await bench.answer()
    t.equal(await published, 'id of a')
  })

  t.test('forgets what was not in time', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new Bench()
      const published = bench.publish('a')
      const rejected = t.rejects(published, { code: UNCONFIRMED })
      clock.advance(TIMEOUT_MS)
      await rejected
      bench.underWay.shift()?.reject(noScript)
      await turn()
      bench.loads.shift()?.resolve()
      await turn()
      t.same(bench.sent, ['a'])
    })
  })
})

t.test('RedisPublisher › a connection that breaks', async (t) => {
  t.test('leaves it open whether what was sent is published', async (t) => {
    const bench = new Bench()
    const published = bench.publish('a')
    await Promise.all([
      t.rejects(published, {
        code: UNCONFIRMED,
        statusCode: 503,
        message: 'The message may have been published or not: the connection broke',
        cause: { message: 'reset' }
      }),
      bench.break()
    ])
    await bench.connect()
    t.same(bench.sent, ['a'], 'so it is not sent again')
  })

  t.test('unless it has an idempotency key: it is sent again, before what came later', async (t) => {
    const bench = new Bench()
    const all = [
      ...bench.publishAll(['a']),
      ...bench.publishAll(['b', 'c'], 10, 'stream', true),
      ...bench.publishAll(['d'])
    ]
    await turn()
    all.push(...bench.publishAll(['e']))
    await bench.break()
    t.same(await outcomes(all), [UNCONFIRMED, undefined, undefined, UNCONFIRMED, undefined])
    await bench.connect()
    t.same(bench.batches.slice(1), [['b', 'c', 'e']])
    await bench.break()
    await bench.connect()
    t.same(bench.batches.slice(2), [['b', 'c']], 'as often as it takes')
    await bench.answer(2)
    t.same((await outcomes(all)).slice(1), ['id of b', 'id of c', UNCONFIRMED, UNCONFIRMED])
  })

  t.test('what is refused when it is sent again may have been published the first time', async (t) => {
    const bench = new Bench()
    const published = bench.publish('a', true)
    await bench.break()
    await bench.connect()
    const cause = new RedisReplyError(new Error('OOM command not allowed'))
    bench.underWay.shift()?.reject(cause)
    await t.rejects(published, {
      code: UNCONFIRMED,
      message: 'The message may have been published or not: OOM command not allowed',
      cause
    })
  })

  t.test('and breaks again while it is sent again', async (t) => {
    const bench = new Bench()
    const all = ['a', 'b', 'c'].map((name) => bench.publish(name, true))
    await bench.break()
    await bench.connect()
    await bench.break()
    await bench.connect()
    t.same(bench.sent.slice(6), ['a', 'b', 'c'])
    await bench.answer(3)
    t.same(await outcomes(all), ['id of a', 'id of b', 'id of c'])
  })
})

t.test('RedisPublisher › publishTimeoutMs', async (t) => {
  t.test('what was not sent by then was not published', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new Bench()
      bench.isConnected = false
      const first = bench.publish('a', true)
      clock.advance(400)
      const second = bench.publish('b')
      clock.advance(599)
      t.same(await outcomes([first, second]), [undefined, undefined])
      clock.advance(1)
      t.same(await outcomes([first, second]), [FAILED, undefined])
      await t.rejects(first, {
        message: 'The message was not published: Redis did not take it within 1000 ms'
      })
      clock.advance(400)
      t.same(await outcomes([second]), [FAILED])
      await bench.connect()
      t.same(bench.sent, [], 'and never will be')
      t.equal(clock.pending.all, 0)
    })
  })

  t.test('what has no answer by then may have been published', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new Bench()
      const all = [bench.publish('a'), bench.publish('b', true)]
      clock.advance(TIMEOUT_MS)
      t.same(await outcomes(all), [UNCONFIRMED, UNCONFIRMED])
      await t.rejects(all[0] ?? Promise.resolve(), {
        message: 'The message may have been published or not: no answer within 1000 ms'
      })
      t.equal(bench.timeouts, 1, 'and it is asked what Redis is about')
      await bench.answer(2)
      t.same(await outcomes(all), [UNCONFIRMED, UNCONFIRMED], 'an answer that comes later is none')
    })
  })

  t.test('what was lost and not sent again by then may have been published', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new Bench()
      const all = [bench.publish('a', true), bench.publish('b', true)]
      await bench.break()
      clock.advance(300)
      all.push(bench.publish('c', true))
      clock.advance(700)
      t.same(await outcomes(all), [UNCONFIRMED, UNCONFIRMED, undefined])
      await bench.connect()
      t.same(bench.sent, ['a', 'b', 'c'], 'and is not sent again')
      await bench.answer()
      t.same((await outcomes(all))[2], 'id of c')
      t.equal(clock.pending.all, 0)
    })
  })

  t.test('what is too late is not sent again when the connection breaks', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new Bench()
      const published = bench.publish('a', true)
      clock.advance(TIMEOUT_MS)
      t.same(await outcomes([published]), [UNCONFIRMED])
      await bench.break()
      await bench.connect()
      t.same(bench.sent, ['a'])
    })
  })

  t.test('what has no answer takes room until the connection breaks', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new Bench()
      const silent = names(0, 1_000).map((name) => bench.publish(name))
      const next = bench.publish('next')
      clock.advance(TIMEOUT_MS)
      t.same(new Set(await outcomes(silent)), new Set([UNCONFIRMED]))
      t.same(await outcomes([next]), [FAILED])
      const later = bench.publish('later')
      t.equal(bench.sent.length, 1_000)
      await bench.break()
      await bench.connect()
      t.equal(bench.sent.at(-1), 'later')
      await bench.answer()
      t.same(await outcomes([later]), ['id of later'])
    })
  })

  t.test('leaves no timer when everything is settled', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new Bench()
      const all = [bench.publish('a'), bench.publish('b')]
      t.same(clock.pending, { all: 1, withRef: 1 })
      await bench.answer()
      t.equal(clock.pending.all, 1)
      await bench.answer()
      t.equal(clock.pending.all, 0)
      await Promise.all(all)
      clock.advance(10 * TIMEOUT_MS)
      t.equal(bench.timeouts, 0)
    })
  })
})

t.test('RedisPublisher › close()', async (t) => {
  t.test('rejects what was not sent, and what comes then', async (t) => {
    const bench = new Bench()
    bench.isConnected = false
    const waiting = [bench.publish('a'), bench.publish('b', true)]
    const closed = bench.publisher.close()
    t.same(await outcomes(waiting), [CLOSED, CLOSED])
    await closed
    await t.rejects(bench.publish('c'), { code: CLOSED })
    await bench.connect()
    t.same(bench.sent, [])
  })

  t.test('waits for the answers to what was sent', async (t) => {
    const bench = new Bench()
    const all = [bench.publish('a'), bench.publish('b')]
    const closed = bench.publisher.close()
    t.equal(await hasSettled(closed), false)
    await bench.answer()
    t.equal(await hasSettled(closed), false)
    await bench.answer()
    await closed
    t.same(await outcomes(all), ['id of a', 'id of b'])
  })

  t.test('may be called again, at any time', async (t) => {
    const bench = new Bench()
    const published = bench.publish('a')
    const closed = [bench.publisher.close(), bench.publisher.close()]
    await bench.answer()
    await Promise.all([...closed, bench.publisher.close(), published])
    t.pass()
  })

  t.test('waits no longer than a publisher does', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new Bench()
      const published = bench.publish('a')
      const closed = bench.publisher.close()
      clock.advance(TIMEOUT_MS)
      t.same(await outcomes([published]), [UNCONFIRMED])
      await closed
      t.equal(clock.pending.all, 0)
    })
  })

  t.test('what is lost from then on is not sent again', async (t) => {
    const bench = new Bench()
    const published = bench.publish('a', true)
    const closed = bench.publisher.close()
    await bench.break()
    t.same(await outcomes([published]), [UNCONFIRMED])
    await closed
  })

  t.test('what was lost before is, if there is a connection in time', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new Bench()
      const published = bench.publish('a', true)
      await bench.break()
      const closed = bench.publisher.close()
      await bench.connect()
      await bench.answer()
      t.same(await outcomes([published]), ['id of a'])
      await closed
      t.equal(clock.pending.all, 0)
    })
  })
})
