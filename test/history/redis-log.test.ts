import assert from 'node:assert/strict'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { arrive } from '../../lib/history/arrivals.ts'
import type { Cursor, LoggedFrame } from '../../lib/history/history.ts'
import { RedisReplyError } from '../../lib/history/redis/redis-link.ts'
import type { OwnMessage } from '../../lib/history/redis/redis-log.ts'
import { comparePlaces, placeBefore } from '../../lib/history/redis/stream-id.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { heapBytes } from '../helpers/garbage.ts'
import { ALL, cursors, Ear, gapAfter, numbered, type PatientLog, readAll, texts } from '../helpers/history.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { nextTurn } from '../helpers/server.ts'
import { hasSettled } from '../helpers/settled.ts'
import { LogBench, TTL_MS, toldOf } from './redis-log-bench.ts'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

const redis = await RedisServer.start()
t.teardown(() => redis.stop())

const KIB = 1024
const A_MINUTE_MS = 60_000
/** How long a publisher waits for what is before his message to come by itself. */
const NOTICE_MS = 50
/** What only the newest message fits into, so that all others must be fetched. */
const TINY = { maxBytes: 1 }

function start(t: Test, limits?: Parameters<typeof LogBench.start>[2]): Promise<LogBench> {
  return LogBench.start(t, redis, limits)
}

function open(t: Test, limits?: Parameters<typeof LogBench.start>[2]): ReturnType<typeof LogBench.open> {
  return LogBench.open(t, redis, limits)
}

/** Waits until what was asked of Redis, and what follows from that, has been done. */
async function settled(bench: LogBench): Promise<void> {
  for (let runs = -1; runs !== bench.runs.length; ) {
    runs = bench.runs.length
    await bench.command('PING')
    await nextTurn()
  }
}

t.test('RedisLog › open', async (t) => {
  t.test('of a channel that was never used, begins a stream with an entry that is no message', async (t) => {
    const bench = await open(t)
    const [[id, fields] = ['', []], ...rest] = await bench.entries()
    t.same([fields, rest], [['start', '1'], []])
    t.equal(bench.reader.head, id)
    t.equal(bench.reader.oldest, id)
    t.same(await bench.reader.read(id, ALL), { complete: true, frames: [], cursor: id })
    const ttl = Number(await bench.command('PTTL', bench.keys.log))
    t.ok(ttl > TTL_MS / 2 && ttl <= TTL_MS, 'which expires')
  })

  t.test('stands where the stream ends', async (t) => {
    const bench = await start(t)
    for (const text of ['a', 'b', 'c']) await bench.publish(text)
    const reader = await bench.follow()
    const [[first] = [''], ...rest] = await bench.entries()
    t.equal(reader.head, rest.at(-1)?.[0])
    t.equal(reader.oldest, first)
    t.equal(reader.headArrival, 0)
    t.same(bench.takeRuns(), ['OPEN'], 'and reads nothing')
    t.same(texts(await readAll(reader, reader.oldest)), ['a', 'b', 'c'])
    t.same(bench.takeRuns(), ['READ'])
  })

  t.test('of a stream that has lost its beginning: the oldest place is before an entry', async (t) => {
    const bench = await start(t)
    for (const text of ['a', 'b', 'c']) await bench.publish(text)
    await bench.command('XTRIM', bench.keys.log, 'MAXLEN', '2')
    const reader = await bench.follow()
    const [[oldest] = ['']] = await bench.entries()
    t.equal(reader.oldest, placeBefore(oldest))
    t.same(texts(await readAll(reader, reader.oldest)), ['b', 'c'])
    t.same(texts(await readAll(reader, oldest)), ['c'])
  })

  t.test('nothing can be read, and nothing is asked for, before', async (t) => {
    const bench = await start(t)
    const log = bench.log.follow(new Ear())
    for (const place of ['', '0-1', 'x']) t.equal(log.read(place, ALL), undefined)
    t.same([log.head, log.oldest, log.headArrival, log.arrivalAfter('0-1')], ['', '', 0, undefined])
    log.release('')
    bench.log.retry()
    await bench.log.prove()
    t.same(bench.runs, [])
  })

  t.test('that fails can be repeated', async (t) => {
    const bench = await start(t)
    const following = bench.log.follow(new Ear())
    bench.failure = new Error('away')
    await t.rejects(bench.log.open(), { message: 'away' })
    t.equal(bench.log.isOpen, false)
    bench.failure = undefined
    await bench.log.open()
    t.not(following.head, '')
  })

  t.test('asks once, however often it is called meanwhile', async (t) => {
    const bench = await start(t)
    const following = bench.log.follow(new Ear())
    await Promise.all([bench.log.open(), bench.log.open(), bench.log.open()])
    t.not(following.head, '')
    t.same(bench.takeRuns(), ['OPEN'])
  })

  t.test('again: what was in memory is read from Redis, and nothing is lost', async (t) => {
    const bench = await open(t)
    const { reader } = bench
    const place = reader.head
    await bench.append('a', 'b')
    await bench.publish('c')
    await bench.log.open()
    t.same(texts(await readAll(reader, place)), ['a', 'b', 'c'])
    t.equal(reader.head, (await bench.entries()).at(-1)?.[0])
  })

  t.test('who comes later stands where the log is', async (t) => {
    const bench = await open(t)
    const [, head] = await bench.append('a', 'b')
    const later = await bench.follow()
    t.equal(later.head, head)
    t.same(bench.takeRuns(), ['OPEN'])
  })
})

t.test('RedisLog › takeNotice()', async (t) => {
  t.test('takes a message that follows the head, without asking Redis', async (t) => {
    const bench = await open(t)
    const ear = new Ear()
    const reader = await bench.follow(ear)
    const place = reader.head
    const given = await bench.append('a', 'b', 'c')
    const frames = await readAll(reader, place)
    t.same(texts(frames), ['a', 'b', 'c'])
    t.same(cursors(frames), given)
    t.equal(ear.told, 3)
    t.same(bench.takeRuns(), ['OPEN'])
  })

  t.test('takes the key, the text and their lengths as they were given', async (t) => {
    const bench = await open(t)
    const rows: [key: string, text: string][] = [
      ['', 'data: x\n\n'],
      ['k', 'x'],
      ['a b', ' x y'],
      ['\n 1 \n', '\n'],
      ['', ''],
      ['😀', 'é'],
      ['\ufeff', '\ufeff'],
      ['\0', '\0']
    ]
    const place = bench.reader.head
    for (const [key, text] of rows) {
      t.equal(bench.log.takeNotice(toldOf(await bench.publish(text, key))), true)
    }
    const frames = await readAll(bench.reader, place)
    t.same(
      frames.map(({ key, text, byteLength }) => [key, text, byteLength]),
      rows.map(([key, text]) => [key, text, Buffer.byteLength(text)])
    )
  })

  t.test('takes several messages, and tells of them once', async (t) => {
    const bench = await open(t)
    const ear = new Ear()
    await bench.follow(ear)
    const place = bench.reader.head
    const [first, ...rest] = [
      await bench.publish('a b', 'k'),
      await bench.publish(''),
      await bench.publish('😀')
    ]
    const items = rest.map((message) => toldOf(message).split(' ').slice(2).join(' '))
    t.equal(bench.log.takeNotice([toldOf(first), ...items].join('')), true)
    t.same(texts(await readAll(bench.reader, place)), ['a b', '', '😀'])
    t.equal(ear.told, 1)
    t.equal(bench.log.takeNotice([toldOf(first), ...items].join('')), true, 'which it knows then')
    t.same(texts(await readAll(bench.reader, place)), ['a b', '', '😀'])
  })

  t.test('leaves what it has', async (t) => {
    const bench = await open(t)
    const { reader } = bench
    const place = reader.head
    const notices: OwnMessage[] = []
    for (const text of ['a', 'b', 'c']) notices.push(await bench.publish(text))
    for (const notice of notices) bench.log.takeNotice(toldOf(notice))
    const ear = new Ear()
    await bench.follow(ear)
    for (const notice of notices) t.equal(bench.log.takeNotice(toldOf(notice)), true)
    t.equal(ear.told, 0)
    t.same(texts(await readAll(reader, place)), ['a', 'b', 'c'])
  })

  t.test('leaves what is older than it has', async (t) => {
    const bench = await start(t)
    const notice = await bench.publish('a')
    await bench.publish('b')
    const reader = await bench.follow()
    const { head } = reader
    t.equal(bench.log.takeNotice(toldOf(notice)), true)
    t.equal(reader.head, head)
  })

  t.test('says that the head must be proved, if something is between', async (t) => {
    const bench = await open(t)
    const { reader } = bench
    const place = reader.head
    await bench.publish('a')
    const notice = await bench.publish('b')
    t.equal(bench.log.takeNotice(toldOf(notice)), false)
    t.equal(reader.head, place)
    await bench.log.prove()
    t.equal(reader.head, notice.id)
    t.same(texts(await readAll(reader, place)), ['a', 'b'])
    t.same(bench.takeRuns(), ['OPEN', 'READ'])
  })

  t.test('takes nothing that it does not understand', async (t) => {
    const bench = await open(t)
    await bench.append('a')
    const { head } = bench.reader
    for (const told of [
      '',
      'x',
      ' ',
      `${head} `,
      `${head}  x`,
      `${head}  5-5 3 -9 0 abc`,
      `${head}  5-5 3 0 9 abc`
    ]) {
      bench.log.takeNotice(told)
      t.equal(bench.reader.head, head, `"${told}"`)
    }
    t.equal(bench.log.takeNotice('x'), false, 'so that the head is proved')
  })

  t.test('keeps nothing of long notices that it does not need', async (t) => {
    const benches: Awaited<ReturnType<typeof open>>[] = []
    for (let n = 0; n < 20; n++) benches.push(await open(t, TINY))
    const before = await heapBytes()
    for (const bench of benches) {
      await bench.append('x'.repeat(1_000_000), 'y')
      bench.reader.release(bench.reader.head)
    }
    t.ok((await heapBytes()) - before < 4_000_000)
  })

  t.test('before the log is open: it is proved when it is', async (t) => {
    const bench = await start(t)
    const notice = await bench.publish('a')
    t.equal(bench.log.takeNotice(toldOf(notice)), true)
    const reader = await bench.follow()
    await settled(bench)
    t.same(bench.takeRuns(), ['OPEN', 'READ'])
    t.equal(reader.head, notice.id)
  })

  t.test('that comes late does not bring back what is trimmed', async (t) => {
    const bench = await open(t, { ...TINY, maxLength: 100 })
    const { reader } = bench
    const trims: OwnMessage[] = []
    for (let n = 0; trims.length < 3; n++) {
      const notice = await bench.publish(`${n}`)
      bench.log.takeNotice(toldOf(notice))
      if (notice.oldest !== '') trims.push(notice)
    }
    reader.release(reader.head)
    const [first, , last] = trims
    assert.ok(first && last)
    t.equal(reader.oldest, last.oldest)
    bench.log.takeNotice(toldOf(first))
    t.equal(reader.oldest, last.oldest)
    t.equal(await gapAfter(reader, first.oldest), 'expired')
  })

  t.test(
    'lost, repeated and in any order: the log is never wrong, and complete when it was proved',
    async (t) => {
      t.comment(`FC_SEED=${seed}`)
      const order = fc.array(fc.nat(11), { maxLength: 30 })
      const property = fc.asyncProperty(order, fc.array(fc.nat(11)), async (order, proofs) => {
        const bench = await open(t)
        const { reader } = bench
        const place = reader.head
        const notices: OwnMessage[] = []
        for (const text of numbered(0, 12)) notices.push(await bench.publish(text))
        for (const [i, n] of order.entries()) {
          const notice = notices[n]
          if (notice !== undefined && !bench.log.takeNotice(toldOf(notice)) && proofs.includes(i))
            await bench.log.prove()
          const told = texts(await readAll(reader, place))
          assert.deepEqual(told, numbered(0, told.length))
        }
        await bench.log.prove()
        assert.deepEqual(texts(await readAll(reader, place)), numbered(0, 12))
        reader.close()
      })
      await fc.assert(property, { seed, numRuns: 30 })
      t.pass()
    }
  )
})

t.test('RedisLog › takeOwn()', async (t) => {
  const clock = FakeClock.install(t)

  t.test('of the next message: those who follow were told', async (t) => {
    const bench = await open(t)
    const notice = await bench.publish('a')
    await bench.log.takeOwn(notice, A_MINUTE_MS)
    t.equal(bench.reader.head, notice.id)
    await bench.log.takeOwn(notice, A_MINUTE_MS)
    t.same(bench.takeRuns(), ['OPEN'])
  })

  t.test('waits for what comes before, which comes by itself', async (t) => {
    const bench = await open(t)
    const [before, own] = [await bench.publish('a'), await bench.publish('b')]
    const taken = bench.log.takeOwn(own, A_MINUTE_MS)
    t.equal(await hasSettled(taken), false)
    bench.log.takeNotice(toldOf(before))
    t.equal(await hasSettled(taken), false)
    bench.log.takeNotice(toldOf(own))
    await taken
    t.same(bench.takeRuns(), ['OPEN'])
  })

  t.test('or is read', async (t) => {
    const bench = await open(t)
    const place = bench.reader.head
    await bench.publish('a')
    const own = await bench.publish('b')
    const taken = bench.log.takeOwn(own, A_MINUTE_MS)
    clock.advance(NOTICE_MS - 1)
    await nextTurn()
    t.same(bench.takeRuns(), ['OPEN'], 'not sooner')
    clock.advance(1)
    await taken
    t.equal(bench.reader.head, own.id)
    t.same(texts(await readAll(bench.reader, place)), ['a', 'b'])
    t.same(bench.takeRuns(), ['READ'])
  })

  t.test('ends in time, also when Redis cannot be asked or does not answer', async (t) => {
    for (const timeoutMs of [-1, 0, 30, 80]) {
      const bench = await open(t)
      await bench.publish('a')
      const own = await bench.publish('b')
      bench.failure = new Error('away')
      if (timeoutMs > NOTICE_MS) bench.gate = new Promise(() => {})
      const taken = bench.log.takeOwn(own, timeoutMs)
      for (let ms = 0; ms < timeoutMs; ms++) {
        t.equal(await hasSettled(taken), false, `${ms} of ${timeoutMs} ms`)
        clock.advance(1)
      }
      for (let timers = 0; timers < 2; timers++) {
        clock.advance(0)
        await nextTurn()
      }
      t.equal(await hasSettled(taken), true, `${timeoutMs} ms`)
      t.not(bench.reader.head, own.id)
    }
  })

  t.test('ends when nobody follows any more', async (t) => {
    const bench = await open(t)
    await bench.publish('a')
    const taken = bench.log.takeOwn(await bench.publish('b'), A_MINUTE_MS)
    bench.reader.close()
    await taken
    await bench.log.takeOwn(await bench.publish('c'), A_MINUTE_MS)
    t.same(bench.takeRuns(), ['OPEN'])
  })

  t.test('of much more than one page: ends with the jump', async (t) => {
    const bench = await open(t)
    for (let n = 0; n < 20; n++) await bench.publish('x'.repeat(10 * KIB))
    const own = await bench.publish('own')
    const taken = bench.log.takeOwn(own, A_MINUTE_MS)
    await bench.log.prove()
    await taken
    t.equal(bench.reader.head, own.id)
  })
})

t.test('RedisLog › prove()', async (t) => {
  t.test('tells those who follow, once for all that is new, and only then', async (t) => {
    const bench = await open(t)
    const ear = new Ear()
    const reader = await bench.follow(ear)
    const place = reader.head
    await bench.log.prove()
    t.equal(ear.told, 0)
    for (const text of ['a', 'b', 'c']) await bench.publish(text)
    await bench.log.prove()
    t.equal(ear.told, 1)
    t.same(texts(await readAll(reader, place)), ['a', 'b', 'c'])
  })

  t.test(
    'asks Redis once for all who ask at the same time, and once more for those who come later',
    async (t) => {
      const bench = await open(t)
      bench.takeRuns()
      const proofs = Array.from({ length: 10 }, () => bench.log.prove())
      const { id } = await bench.publish('a')
      await Promise.all([...proofs, bench.log.prove()])
      t.equal(bench.reader.head, id)
      t.same(bench.takeRuns(), ['READ', 'READ'])
    }
  )

  t.test('that fails is told to those who asked, and changes nothing', async (t) => {
    const bench = await open(t)
    const { head } = bench.reader
    await bench.publish('a')
    bench.failure = new Error('away')
    const proofs = await Promise.allSettled([bench.log.prove(), bench.log.prove()])
    t.same(
      proofs.map(({ status }) => status),
      ['rejected', 'rejected']
    )
    t.equal(bench.reader.head, head)
    bench.failure = undefined
    await bench.log.prove()
    t.not(bench.reader.head, head)
  })

  t.test('takes nothing that came meanwhile by itself', async (t) => {
    const bench = await open(t)
    const place = bench.reader.head
    const proof = bench.log.prove()
    await bench.append('a', 'b')
    await proof
    await bench.log.prove()
    t.same(texts(await readAll(bench.reader, place)), ['a', 'b'])
  })

  t.test('more than a page behind: those who follow read it page by page', async (t) => {
    const bench = await open(t)
    const ear = new Ear()
    const reader = await bench.follow(ear)
    const place = reader.head
    const before = arrive()
    const all = Array.from({ length: 40 }, (_, n) => `${n}:${'x'.repeat(10 * KIB)}`)
    for (const text of all) await bench.publish(text)
    await bench.log.prove()
    t.equal(ear.told, 1)
    t.equal(reader.head, (await bench.entries()).at(-1)?.[0])
    t.ok(reader.headArrival > before)
    t.same(bench.takeRuns(), ['OPEN', 'READ'])
    t.same(await reader.read(place, { ...ALL, before }), { complete: true, frames: [], cursor: place })
    t.same(bench.takeRuns(), [], 'the first page is there')
    t.same(texts(await readAll(reader, place)), all)
    const reads = bench.takeRuns()
    t.ok(reads.length >= 5 && reads.length <= 7, `the others are read: ${reads}`)
    const given = await bench.append('live')
    t.same(cursors(await readAll(reader, reader.oldest)).at(-1), given[0])
  })

  t.test('more than a page behind, and ahead of that by itself', async (t) => {
    const bench = await open(t)
    const { reader } = bench
    const place = reader.head
    const notices: OwnMessage[] = []
    const all = Array.from({ length: 20 }, (_, n) => `${n}:${'x'.repeat(10 * KIB)}`)
    for (const text of all) notices.push(await bench.publish(text))
    const proof = bench.log.prove()
    for (const notice of notices) bench.log.takeNotice(toldOf(notice))
    await proof
    t.same(texts(await readAll(reader, place)), all)
    t.same(bench.takeRuns(), ['OPEN', 'READ'])
  })
})

t.test('RedisLog › heardAt', async (t) => {
  t.test('is at which tick something last showed that the head is right', async (t) => {
    const bench = await open(t)
    const { log } = bench
    const shows = async (act: () => unknown): Promise<boolean> => {
      bench.tick++
      await act()
      return log.heardAt === bench.tick
    }
    t.equal(await shows(() => log.open()), true)
    const notice = await bench.publish('a')
    t.equal(await shows(() => log.takeNotice(toldOf(notice))), true, 'a message that follows it')
    t.equal(await shows(() => log.takeNotice(toldOf(notice))), false, 'one that is known does not')
    t.equal(await shows(() => log.prove()), true)
    t.equal(await shows(() => log.hear()), true)
    t.equal(await shows(() => log.sweep()), false)
    await bench.publish('b')
    const late = await bench.publish('c')
    t.equal(await shows(() => log.takeNotice(toldOf(late))), false)
  })
})

/** What one test reads: a stream of messages and others, some in memory and the rest not. */
interface Laid {
  readonly bench: LogBench
  readonly reader: PatientLog
  /** The messages of the stream, in order. */
  readonly messages: readonly { readonly id: string; readonly key: string; readonly text: string }[]
  /** All places of the stream, in order. There is none before its beginning. */
  readonly places: readonly Cursor[]
}

interface Layout {
  readonly entries: readonly { readonly key: string; readonly size: number; readonly isMessage: boolean }[]
  /** How many of them were there before the log opened. */
  readonly before: number
  readonly maxBytes: number
}

const layout: fc.Arbitrary<Layout> = fc.record({
  entries: fc.array(
    fc.record({
      key: fc.constantFrom('', 'x', 'y', '__proto__'),
      size: fc.oneof(
        { weight: 12, arbitrary: fc.integer({ min: 0, max: 300 }) },
        { weight: 2, arbitrary: fc.integer({ min: 5_000, max: 40_000 }) },
        { weight: 1, arbitrary: fc.constant(90_000) }
      ),
      isMessage: fc.oneof(...[true, true, true, true, true, false].map((is) => fc.constant(is)))
    }),
    { maxLength: 60, size: 'max' }
  ),
  before: fc.nat(60),
  maxBytes: fc.constantFrom(1, 1, 500, 50_000, 1_000_000)
})

async function lay(t: Test, { entries, before, maxBytes }: Layout): Promise<Laid> {
  const bench = await LogBench.start(t, redis, { maxBytes })
  const messages: Laid['messages'][number][] = []
  let reader: PatientLog | undefined
  for (const [n, { key, size, isMessage }] of entries.entries()) {
    if (n === before) reader = await bench.follow()
    const text = `${n}:${'é'.repeat(size / 2)}`
    if (isMessage) {
      const notice = await bench.publish(text, key)
      if (!bench.log.takeNotice(toldOf(notice))) await bench.log.prove()
      messages.push(notice)
    } else {
      await bench.xadd('*', 'key', key)
    }
  }
  reader ??= await bench.follow()
  await bench.log.prove()
  reader.release(reader.head)
  bench.takeRuns()
  const ids = (await bench.entries()).map(([id]) => id)
  return { bench, reader, messages, places: ids.flatMap((id) => [placeBefore(id), id]).slice(1) }
}

const FROM = fc.nat(1_000)
const LIMITS = fc.record({
  maxBytes: fc.oneof(fc.integer({ min: 1, max: 1_000 }), fc.constantFrom(65_536, 200_000, Infinity)),
  idBytes: fc.constantFrom(0, 33),
  isLatestOnly: fc.boolean()
})

t.test('RedisLog › pages that are not in memory', async (t) => {
  t.test(`give what an array would, from any place and with any limits (FC_SEED=${seed})`, async (t) => {
    t.comment(`FC_SEED=${seed}`)
    let reads = 0
    const readers = fc.array(fc.tuple(FROM, LIMITS), { minLength: 1, maxLength: 8 })
    const property = fc.asyncProperty(layout, readers, async (layout, readers) => {
      const laid = await lay(t, layout)
      const { bench, reader, messages, places } = laid
      for (const [from, limits] of readers) {
        const place = places[from % places.length] ?? ''
        const pages = await pagesFrom(reader, place, limits)
        checkPages(
          pages,
          limits,
          messages.filter(({ id }) => comparePlaces(id, place) > 0)
        )
      }
      reads += bench.takeRuns().filter((name) => name === 'READ').length
      reader.close()
    })
    await fc.assert(property, { seed, numRuns: 60 })
    t.ok(reads > 30, `${reads} pages were read from Redis`)
  })

  t.test('are read by all at once as by one after another', async (t) => {
    const property = fc.asyncProperty(
      layout,
      fc.array(FROM, { minLength: 1, maxLength: 12 }),
      async (layout, from) => {
        const { reader, messages, places } = await lay(t, layout)
        const chosen = from.map((n) => places[n % places.length] ?? '')
        const all = await Promise.all(chosen.map((place) => readAll(reader, place, { maxBytes: 3_000 })))
        for (const [i, place] of chosen.entries()) {
          const expected = messages.filter(({ id }) => comparePlaces(id, place) > 0).map(({ id }) => id)
          assert.deepEqual(cursors(all[i] ?? []), expected)
        }
        reader.close()
      }
    )
    await fc.assert(property, { seed, numRuns: 30 })
    t.pass()
  })

  t.test('have no arrival, or that of what came before, and keep to `before`', async (t) => {
    const bench = await start(t, TINY)
    for (const text of ['a', 'b', 'c']) await bench.publish(text)
    const reader = await bench.follow()
    const first = arrive()
    await bench.append('d', 'e')
    const second = arrive()
    await bench.append('f', 'g')
    reader.release(reader.head)
    const { oldest } = reader
    t.equal(reader.arrivalAfter(oldest), undefined)
    const frames = await readAll(reader, oldest)
    t.same(
      frames.slice(0, 3).map(({ arrival }) => arrival),
      [0, 0, 0]
    )
    for (const [i, { arrival }] of frames.entries()) t.ok(arrival >= (frames[i - 1]?.arrival ?? 0))
    t.same(texts((await reader.read(oldest, { ...ALL, before: 0 })).frames), [])
    t.same(texts(await readAll(reader, oldest, { before: first })), ['a', 'b', 'c'])
    t.ok(second < reader.headArrival)
  })

  t.test('isLatestOnly: the newest of a key comes, be it in memory, in a page, or in both', async (t) => {
    for (const maxBytes of [1, 30, 1_000_000]) {
      for (const isProved of [true, false]) {
        const bench = await open(t, { maxBytes })
        const { reader } = bench
        const place = reader.head
        for (const text of ['1', '2', '3', '4', '5']) {
          const notice = await bench.publish(text.repeat(10), 'k')
          if (!isProved) bench.log.takeNotice(toldOf(notice))
        }
        await bench.log.prove()
        reader.release(reader.head)
        t.same(texts(await readAll(reader, place, { isLatestOnly: true })), ['5555555555'])
        const { id } = await bench.publish('6', 'k')
        const page = await reader.read(place, { ...ALL, isLatestOnly: true })
        t.ok(
          page.complete && page.cursor !== place,
          'also when there is a newer one of which nobody was told'
        )
        await bench.log.prove()
        t.equal(reader.head, id)
      }
    }
  })

  t.test('lead into what is in memory', async (t) => {
    const bench = await open(t, { maxBytes: 2 })
    const { reader } = bench
    const place = reader.head
    const given = await bench.append('a', 'b', 'c', 'd', 'e')
    reader.release(reader.head)
    t.equal(bench.log.length, 2)
    await bench.publish('of which nobody was told')
    const frames = await readAll(reader, place)
    t.same(texts(frames), ['a', 'b', 'c', 'd', 'e'])
    for (const [i, { arrival }] of frames.entries()) t.ok(arrival >= (frames[i - 1]?.arrival ?? 0))
    for (const frame of await readAll(reader, given[2] ?? '')) {
      const other = frames.find(({ cursor }) => cursor === frame.cursor)
      t.equal(other?.arrival, frame.arrival, 'which is the same wherever it is read')
    }
  })

  t.test('do not have what is lost in a fork that the log never saw', async (t) => {
    const bench = await open(t, TINY)
    const { reader } = bench
    const place = reader.head
    const given = await bench.append('a', 'b', 'c')
    reader.release(reader.head)
    await bench.publish('lost')
    await readAll(reader, place)
    await bench.forkAfter(1 + given.length)
    await bench.append('d')
    reader.release(reader.head)
    t.same(texts(await readAll(reader, place)), ['a', 'b', 'c', 'd'])
  })

  t.test('are dropped when nobody used them between two looks at the log', async (t) => {
    const bench = await open(t, TINY)
    const { reader, log } = bench
    const place = reader.head
    await bench.append('a', 'b', 'c')
    reader.release(reader.head)
    const reads = async (): Promise<number> => {
      await readAll(reader, place)
      return bench.takeRuns().length
    }
    await reads()
    log.sweep()
    t.equal(await reads(), 0)
    log.sweep()
    t.equal(await reads(), 0)
    log.sweep()
    log.sweep()
    t.equal(await reads(), 1)
  })
})

interface PageRead {
  readonly from: Cursor
  readonly frames: readonly LoggedFrame[]
  readonly cursor: Cursor
}

async function pagesFrom(
  reader: PatientLog,
  place: Cursor,
  limits: { maxBytes: number; idBytes: number; isLatestOnly: boolean }
): Promise<PageRead[]> {
  const pages: PageRead[] = []
  for (let from = place; ; ) {
    const page = await reader.read(from, { ...ALL, ...limits })
    assert.ok(page.complete, `there is a gap after ${from}`)
    pages.push({ from, frames: page.frames, cursor: page.cursor })
    if (page.cursor === from) return pages
    assert.ok(comparePlaces(page.cursor, from) > 0, 'pages lead on')
    from = page.cursor
  }
}

function checkPages(
  pages: readonly PageRead[],
  { maxBytes, idBytes, isLatestOnly }: { maxBytes: number; idBytes: number; isLatestOnly: boolean },
  messages: Laid['messages']
): void {
  for (const { from, frames, cursor } of pages) {
    const sizes = frames.map(({ byteLength }) => byteLength + idBytes)
    const allButLast = sizes.slice(0, -1).reduce((sum, size) => sum + size, 0)
    assert.ok(allButLast < maxBytes, 'a page ends with the frame that reaches maxBytes')
    for (const frame of frames) {
      assert.ok(comparePlaces(frame.cursor, from) > 0 && comparePlaces(frame.cursor, cursor) <= 0)
    }
  }
  const frames = pages.flatMap((page) => page.frames)
  const shown = (list: readonly { readonly text: string }[]): string[] =>
    texts(list).map((text) => text.slice(0, 20))
  const chosen = isLatestOnly
    ? messages.filter(({ id, key }, i) => {
        const isLatest = !messages.slice(i + 1).some((newer) => newer.key === key)
        return isLatest || frames.some((frame) => frame.cursor === id)
      })
    : messages
  assert.deepEqual(shown(frames), shown(chosen))
  assert.deepEqual(
    frames.map(({ cursor, key, byteLength }) => [cursor, key, byteLength]),
    chosen.map(({ id, key, text }) => [id, key, Buffer.byteLength(text)])
  )
}

t.test('RedisLog › what many wait for is read once', async (t) => {
  t.test('1,000 readers at one place cost one READ', async (t) => {
    const bench = await open(t, TINY)
    const { reader } = bench
    const place = reader.head
    await bench.append(...numbered(0, 100))
    reader.release(reader.head)
    bench.takeRuns()
    const all = await Promise.all(Array.from({ length: 1_000 }, () => readAll(reader, place)))
    for (const frames of all) assert.deepEqual(texts(frames), numbered(0, 100))
    t.same(bench.takeRuns(), ['READ'])
  })

  t.test('and so do 100 at 100 places of one page', async (t) => {
    const bench = await open(t, TINY)
    const { reader } = bench
    const given = [reader.head, ...(await bench.append(...numbered(0, 100)))]
    reader.release(reader.head)
    bench.takeRuns()
    const all = await Promise.all(given.toReversed().map((place) => readAll(reader, place)))
    for (const [i, frames] of all.entries()) assert.deepEqual(texts(frames), numbered(100 - i, 100))
    t.same(bench.takeRuns(), ['READ'])
  })

  t.test('1,000 who come back to the places of many pages cost about one READ for each page', async (t) => {
    const bench = await open(t, TINY)
    const { reader } = bench
    const messages = Array.from({ length: 200 }, (_, n) => `${n}:${'x'.repeat(4 * KIB)}`)
    const given = [reader.head, ...(await bench.append(...messages))]
    reader.release(reader.head)
    bench.takeRuns()
    const all = await Promise.all(
      Array.from({ length: 1_000 }, (_, n) => readAll(reader, given[n % 200] ?? '', { maxBytes: 64 * KIB }))
    )
    for (const [n, frames] of all.entries()) assert.deepEqual(texts(frames), messages.slice(n % 200))
    const reads = bench.takeRuns().length
    t.ok(reads >= 12 && reads <= 40, `${reads} for 13 pages`)
  })

  t.test('a READ that fails is repeated, and nobody waits for ever', async (t) => {
    for (const failure of [new Error('broken'), new RedisReplyError(new Error('BUSY Redis is busy'))]) {
      const bench = await open(t, TINY)
      const { reader } = bench
      const place = reader.head
      await bench.append('a', 'b', 'c')
      reader.release(reader.head)
      bench.failure = failure
      const reading = readAll(reader, place)
      await settled(bench)
      t.equal(await hasSettled(reading), false)
      bench.failure = undefined
      bench.log.sweep()
      t.same(texts(await reading), ['a', 'b', 'c'])
    }
  })

  t.test('a READ that fails is repeated when Redis is back', async (t) => {
    const bench = await open(t, TINY)
    const { reader } = bench
    const place = reader.head
    await bench.append('a', 'b')
    reader.release(reader.head)
    bench.failure = new Error('broken')
    const reading = readAll(reader, place)
    await settled(bench)
    bench.failure = undefined
    bench.log.retry()
    t.same(texts(await reading), ['a', 'b'])
  })

  t.test('an id that Redis would not take is unknown, and nobody waits for it', async (t) => {
    const bench = await open(t, TINY)
    const { reader } = bench
    const given: Cursor[] = []
    for (const text of ['a', 'b', 'c', 'd']) {
      const [ms = ''] = reader.head.split('-')
      while (Date.now() <= Number(ms)) await nextTurn()
      given.push(...(await bench.append(text)))
    }
    reader.release(reader.head)
    const [first = '', second = ''] = given
    for (const number of ['18446744073709551616', '9'.repeat(25), '9'.repeat(40)]) {
      const hostile = `${first.split('-')[0]}-${number}`
      const [reason, frames] = await Promise.all([gapAfter(reader, hostile), readAll(reader, second)])
      t.equal(reason, 'unknown')
      t.same(texts(frames), ['c', 'd'])
    }
  })

  t.test(
    'thousands of places that there are not cost memory within bounds, and no wrong answer',
    async (t) => {
      const bench = await open(t, TINY)
      const { reader } = bench
      const place = reader.head
      await bench.append('a', 'b')
      reader.release(reader.head)
      const [ms = '', number = ''] = reader.head.split('-')
      const future = Array.from({ length: 600 }, (_, n) => `${ms}-${BigInt(number) + BigInt(n + 1)}`)
      const tagged = future.filter((id) => id.length <= 27)
      const reasons = await Promise.all(tagged.map((id) => gapAfter(reader, id)))
      t.same(new Set(reasons), new Set(['future']))
      t.same(texts(await readAll(reader, place)), ['a', 'b'])
    }
  )
})

t.test('RedisLog › places that there are not', async (t) => {
  t.test('each has its reason', async (t) => {
    const bench = await open(t, { ...TINY, maxLength: 100 })
    const { reader, keys } = bench
    const origin = reader.head
    const given = await bench.append(...numbered(0, 500))
    reader.release(reader.head)
    await bench.log.prove()
    const [ms = ''] = given[450]?.split('-') ?? []
    const [headMs = ''] = reader.head.split('-')
    const least = keys.tag * 2 ** 23
    const table: [string, string | undefined][] = [
      ['', 'unknown'],
      ['x', 'unknown'],
      [`5-${(keys.tag + 1) * 2 ** 23}`, 'foreign'],
      [origin, 'expired'],
      [given[0] ?? '', 'expired'],
      [`5-${least}`, 'expired'],
      ['5-0', 'expired'],
      [`${Number(headMs) + 1}-${least}`, 'future'],
      [`~${Number(headMs) + 1}-${least}`, 'future'],
      [given[450] ?? '', undefined],
      [placeBefore(given[450] ?? ''), undefined],
      [reader.oldest, undefined],
      [reader.head, undefined]
    ]
    for (const [place, reason] of table) t.equal(await gapAfter(reader, place), reason, place)
    for (const before of ['', '~']) {
      const reason = await gapAfter(reader, `${before}${ms}-${least + 2 ** 23 - 1}`)
      if (!given.includes(`${ms}-${least + 2 ** 23 - 1}`)) t.equal(reason, 'unknown', 'between two messages')
    }
  })

  t.test('a place of a stream that was deleted is none of the one that came after it', async (t) => {
    const bench = await open(t)
    const [a = ''] = await bench.append('a')
    await bench.delete()
    await bench.publish('b')
    await bench.log.prove()
    const { reader } = bench
    t.equal(await gapAfter(reader, a), 'foreign')
    t.same(texts(await readAll(reader, reader.oldest)), ['b'])
  })
})

t.test('RedisLog › a fork', async (t) => {
  /** Ten messages, of which the log has all and the stream has the first `left`. */
  const forked = async (t: Test, left: number, limits?: Parameters<typeof LogBench.start>[2]) => {
    const bench = await open(t, limits)
    const { reader } = bench
    const given = [reader.head, ...(await bench.append(...numbered(0, 10)))]
    reader.release(reader.head)
    await bench.forkAfter(1 + left)
    bench.takeRuns()
    return { bench, reader, given }
  }

  t.test('leads back to the newest message that is left, and only those beyond it have a gap', async (t) => {
    for (const left of [9, 5, 1, 0]) {
      const { bench, reader, given } = await forked(t, left)
      const ear = new Ear()
      await bench.follow(ear)
      await bench.log.prove()
      t.equal(reader.head, given[left])
      t.ok(ear.told >= 1, 'who follows is told')
      for (const [n, place] of given.entries()) {
        const reason = await gapAfter(reader, place)
        t.equal(reason, n <= left ? undefined : 'future', `at message ${n}, ${left} are left`)
      }
      t.same(texts(await readAll(reader, given[0] ?? '')), numbered(0, left))
    }
  })

  t.test('goes on with what was published after it', async (t) => {
    for (const limits of [{}, TINY]) {
      const { bench, reader, given } = await forked(t, 6, limits)
      const rest = [await bench.publish('x'), await bench.publish('y')]
      const last = rest.at(-1)
      assert.ok(last)
      t.equal(bench.log.takeNotice(toldOf(last)), false)
      await bench.log.prove()
      t.equal(reader.head, last.id)
      for (const [n, place] of given.entries()) {
        if (n <= 6) t.same(texts(await readAll(reader, place)), [...numbered(n, 6), 'x', 'y'])
        else t.equal(await gapAfter(reader, place), 'unknown', `at message ${n}`)
      }
    }
  })

  t.test('is found by whoever reads a page', async (t) => {
    const { bench, reader, given } = await forked(t, 6, TINY)
    t.same(texts(await readAll(reader, given[2] ?? '')), numbered(2, 6))
    t.equal(reader.head, given[6])
    t.ok(bench.takeRuns().includes('FIND') || reader.head === given[6])
  })

  t.test('is found by whoever asks for what is lost', async (t) => {
    const { bench, reader, given } = await forked(t, 6, TINY)
    t.not(await gapAfter(reader, given[8] ?? ''), undefined)
    t.equal(reader.head, given[6])
    t.ok(bench.takeRuns().length < 10)
  })

  t.test('beyond all that is in memory begins anew', async (t) => {
    const { bench, reader, given } = await forked(t, 3, TINY)
    const { id } = await bench.publish('x')
    await bench.log.prove()
    t.equal(reader.head, id)
    t.same(texts(await readAll(reader, given[0] ?? '')), [...numbered(0, 3), 'x'])
    t.equal(await gapAfter(reader, given[4] ?? ''), 'unknown')
    t.equal(await gapAfter(reader, given[10] ?? ''), 'unknown')
  })

  t.test('is found before a place is judged that came after it, and is trimmed already', async (t) => {
    const bench = await open(t, { maxLength: 100 })
    const { reader } = bench
    await bench.append('lost')
    await bench.delete()
    const appended: OwnMessage[] = []
    while (!appended.at(-1)?.oldest) appended.push(await bench.publish('x'))
    const [first] = appended
    const last = appended.at(-1)
    assert.ok(first && last)
    t.equal(bench.log.takeNotice(toldOf(last)), false)
    t.equal(await gapAfter(reader, first.id), 'expired')
    t.same([reader.oldest, reader.head], [last.oldest, last.id], 'and leads into the new stream')
  })

  t.test('of everything is a new stream', async (t) => {
    for (const isFlushed of [true, false]) {
      const { bench, reader, given } = await forked(t, 5)
      if (isFlushed) await bench.command('FLUSHALL')
      else await bench.delete()
      await bench.log.prove()
      const [[id] = ['']] = await bench.entries()
      t.same([reader.head, reader.oldest], [id, id])
      for (const place of given) t.not(await gapAfter(reader, place), undefined)
      await bench.append('x')
      t.same(texts(await readAll(reader, id)), ['x'])
    }
  })

  t.test('is looked for in hundreds of messages at a time', async (t) => {
    for (const count of [255, 256, 257, 600]) {
      for (const left of [0, 3, count - 256, count - 1]) {
        if (left < 0) continue
        const bench = await open(t)
        const { reader } = bench
        const given = [reader.head, ...(await bench.append(...numbered(0, count)))]
        await bench.forkAfter(1 + left)
        bench.takeRuns()
        await bench.log.prove()
        t.equal(reader.head, given[left], `${left} of ${count} are left`)
        const finds = bench.takeRuns().filter((name) => name === 'FIND').length
        t.ok(finds <= Math.ceil((count - left) / 256) + 1, `${finds} FIND`)
        t.same(texts(await readAll(reader, given[0] ?? '')), numbered(0, left))
        reader.close()
      }
    }
  })

  t.test('holds nothing for readers that it does not have', async (t) => {
    const bench = await open(t)
    const { reader } = bench
    const place = reader.head
    const slow = await bench.follow()
    await bench.append(...numbered(0, 10))
    reader.release(reader.head)
    await bench.forkAfter(1 + 4)
    await bench.log.prove()
    slow.close()
    await bench.append('x', 'y')
    t.same(texts(await readAll(reader, place)), [...numbered(0, 4), 'x', 'y'])
    reader.close()
    t.equal(bench.budget.oldestTime, undefined)
  })

  t.test(
    'under any interleaving: each reader gets one line of messages without a hole, or a gap',
    async (t) => {
      t.comment(`FC_SEED=${seed}`)
      const act = fc.oneof(
        { weight: 6, arbitrary: fc.record({ do: fc.constant('publish' as const), isTold: fc.boolean() }) },
        { weight: 1, arbitrary: fc.record({ do: fc.constant('fork' as const), lost: fc.nat(4) }) },
        { weight: 2, arbitrary: fc.record({ do: fc.constant('prove' as const) }) },
        { weight: 3, arbitrary: fc.record({ do: fc.constant('read' as const), who: fc.nat(2) }) }
      )
      const steps = fc.array(act, { maxLength: 40, size: 'max' })
      const property = fc.asyncProperty(steps, fc.constantFrom(1, 1_000_000), async (steps, maxBytes) => {
        const bench = await open(t, { maxBytes })
        const { reader } = bench
        const readers = [0, 1, 2].map(() => ({ place: reader.head, got: [] as string[] }))
        const read = async (who: { place: Cursor; got: string[] }): Promise<void> => {
          const page = await reader.read(who.place, { ...ALL, maxBytes: 20 })
          const truth = (await bench.entries()).map(([id]) => id)
          if (page.complete) {
            who.got.push(...texts(page.frames))
            who.place = page.cursor
          } else {
            assert.ok(!truth.includes(who.place), 'a gap is told only where the place is gone')
            who.place = reader.oldest
            who.got = []
          }
        }
        let count = 0
        for (const step of steps) {
          if (step.do === 'publish') {
            const notice = await bench.publish(`${count++}`)
            if (step.isTold && !bench.log.takeNotice(toldOf(notice))) await bench.log.prove()
          } else if (step.do === 'fork') {
            await bench.forkAfter(Math.max(1, (await bench.entries()).length - step.lost))
          } else if (step.do === 'prove') {
            await bench.log.prove()
          } else {
            const who = readers[step.who]
            if (who !== undefined) await read(who)
          }
          reader.release(reader.head)
        }
        await bench.log.prove()
        for (const who of readers) {
          for (let last = '', reads = 0; last !== who.place || who.place !== reader.head; reads++) {
            assert.ok(reads < 200, 'it gets there')
            last = who.place
            await read(who)
          }
          const truth = (await bench.entries())
            .filter(([, fields]) => fields[0] === 'key')
            .map(([, fields]) => fields[3])
          assert.deepEqual(
            who.got,
            truth.slice(truth.length - who.got.length),
            'the end of what there is now'
          )
        }
        reader.close()
      })
      await fc.assert(property, { seed, numRuns: 60 })
      t.pass()
    }
  )
})

t.test('RedisLog › what others do to a stream', async (t) => {
  t.test('XADD of something that is no message is passed over', async (t) => {
    for (const limits of [{}, TINY]) {
      const bench = await open(t, limits)
      const { reader } = bench
      const place = reader.head
      await bench.append('a')
      const strange = [
        await bench.xadd('*', 'foo', 'bar'),
        await bench.xadd('*', 'key', 'k'),
        await bench.xadd('*', 'text', ''),
        await bench.xadd('*', 'text', 'b', 'key', 'k', 'more', 'x')
      ]
      await bench.log.prove()
      await bench.append('c')
      reader.release(reader.head)
      const frames = await readAll(reader, place)
      t.same(texts(frames), ['a', '', 'b', 'c'])
      t.same(
        frames.map(({ key }) => key),
        ['', '', 'k', '']
      )
      for (const id of strange) {
        const expected = texts(frames.filter(({ cursor }) => comparePlaces(cursor, id) > 0))
        t.same(texts(await readAll(reader, id)), expected, 'and its id is a place like all others')
      }
    }
  })

  t.test('XADD of nothing else: the head is what is no message', async (t) => {
    for (const limits of [{}, TINY]) {
      const bench = await open(t, limits)
      const { reader } = bench
      await bench.append('a')
      const id = await bench.xadd('*', 'foo', 'bar')
      await bench.log.prove()
      t.equal(reader.head, id)
      t.same(await reader.read(id, ALL), { complete: true, frames: [], cursor: id })
      await bench.append('b')
      t.same(texts(await readAll(reader, id)), ['b'])
      t.same(texts(await readAll(reader, reader.oldest)), ['a', 'b'])
      await bench.command('XDEL', bench.keys.log, reader.head, id)
      await bench.log.prove()
      t.same(texts(await readAll(reader, reader.oldest)), ['a'])
    }
  })

  t.test('XDEL of the newest message leads back', async (t) => {
    const bench = await open(t)
    const { reader } = bench
    const place = reader.head
    const [a, b] = await bench.append('a', 'b')
    await bench.command('XDEL', bench.keys.log, b ?? '')
    await bench.log.prove()
    t.equal(reader.head, a)
    t.equal(await gapAfter(reader, b ?? ''), 'future')
    await bench.append('c')
    t.same(texts(await readAll(reader, place)), ['a', 'c'])
  })

  t.test('XDEL of another message changes nothing in memory', async (t) => {
    const bench = await open(t)
    const { reader } = bench
    const place = reader.head
    const [a] = await bench.append('a', 'b')
    await bench.command('XDEL', bench.keys.log, a ?? '')
    await bench.log.prove()
    t.same(texts(await readAll(reader, place)), ['a', 'b'])
    const late = bench.renew()
    const other = await bench.follow()
    t.equal(await gapAfter(other, a ?? ''), 'unknown')
    t.ok(late.isOpen)
  })

  t.test('XDEL of the last message that is not in memory', async (t) => {
    const bench = await open(t, TINY)
    const { reader } = bench
    const place = reader.head
    const [a = '', b = ''] = await bench.append('a', 'b', 'c')
    reader.release(reader.head)
    await bench.command('XDEL', bench.keys.log, b)
    t.same(texts(await readAll(reader, a)), ['c'])
    t.same(texts(await readAll(reader, place)), ['a', 'c'])
    t.ok(bench.takeRuns().length < 10)
  })

  t.test('XTRIM drops what nobody holds, and its readers have a gap', async (t) => {
    const bench = await open(t)
    const { reader } = bench
    const given = await bench.append(...numbered(0, 10))
    await bench.command('XTRIM', bench.keys.log, 'MAXLEN', '3')
    await bench.log.prove()
    t.same(texts(await readAll(reader, given[2] ?? '')), numbered(3, 10), 'what was not offered is held')
    reader.release(reader.head)
    t.equal(reader.oldest, given[6], 'the last that was dropped')
    t.same(texts(await readAll(reader, reader.oldest)), numbered(7, 10))
    t.equal(await gapAfter(reader, given[2] ?? ''), 'expired')
    t.same(
      texts(await readAll(reader, given[6] ?? '')),
      numbered(7, 10),
      'but not who has all that was dropped'
    )
  })

  t.test('XTRIM of what is not in memory', async (t) => {
    const bench = await open(t, TINY)
    const { reader } = bench
    const given = await bench.append(...numbered(0, 10))
    reader.release(reader.head)
    await bench.command('XTRIM', bench.keys.log, 'MAXLEN', '3')
    await bench.log.prove()
    t.equal(reader.oldest, placeBefore(given[7] ?? ''))
    t.same(texts(await readAll(reader, reader.oldest)), numbered(7, 10))
    t.equal(await gapAfter(reader, given[6] ?? ''), 'expired')
  })

  t.test('a key that is no stream any more: what is in memory is served', async (t) => {
    const bench = await open(t)
    const { reader } = bench
    const place = reader.head
    await bench.append('a')
    await bench.command('SET', bench.keys.log, 'a string')
    await t.rejects(bench.log.prove(), { code: 'WRONGTYPE' })
    t.same(texts(await readAll(reader, place)), ['a'])
    await t.rejects(bench.log.open(), { code: 'WRONGTYPE' })
    await bench.delete()
    await bench.log.prove()
    t.equal(await gapAfter(reader, place), 'foreign')
  })
})

t.test('RedisLog › memory', async (t) => {
  t.test('has the newest messages, up to maxBytes and the newest one whatever its size', async (t) => {
    const bench = await open(t, { maxBytes: 100 })
    const { reader } = bench
    const start = reader.head
    await bench.append(...Array.from({ length: 10 }, (_, n) => `${n}`.repeat(30)))
    t.equal(bench.log.length, 10, 'those who keep up have not been offered them')
    reader.release(reader.head)
    t.equal(bench.log.length, 3)
    await bench.append('x'.repeat(1_000))
    reader.release(reader.head)
    t.equal(bench.log.length, 1)
    t.equal((await readAll(reader, start)).length, 11, 'the rest is read from Redis')
  })

  t.test('is shared by all logs of a history, and the oldest go first', async (t) => {
    const bench = await open(t, { maxTotalBytes: 5_000 })
    await bench.append(...numbered(0, 30))
    t.ok(bench.log.length < 20, 'also what is held')
    t.same(texts(await readAll(bench.reader, bench.reader.oldest)), numbered(0, 30))
  })

  t.test('has nothing to drop at first', async (t) => {
    const bench = await open(t)
    const { head } = bench.reader
    bench.log.dropOldest()
    t.equal(bench.reader.head, head)
    t.equal(bench.reader.oldest, head)
  })

  t.test('has nothing of a log that nobody follows', async (t) => {
    const bench = await open(t, TINY)
    const { reader } = bench
    const other = await bench.follow()
    const place = reader.head
    await bench.append('a', 'b', 'c')
    reader.release(reader.head)
    other.release(other.head)
    await readAll(reader, place)
    reader.close()
    t.same(bench.idle, [])
    other.close()
    t.same(bench.idle, [bench.log.channel])
    t.equal(bench.budget.oldestTime, undefined)
    t.equal(bench.log.length, 0)
    t.equal(bench.log.isOpen, false)
  })

  t.test('has no pages of it either', async (t) => {
    const bench = await start(t, TINY)
    const kept: number[] = []
    const { keep, release } = bench.pages
    bench.pages.keep = (pages, bytes) => {
      kept.push(bytes)
      keep.call(bench.pages, pages, bytes)
    }
    bench.pages.release = (pages, bytes) => {
      kept.splice(kept.indexOf(bytes), 1)
      release.call(bench.pages, pages, bytes)
    }
    const reader = await bench.follow()
    const place = reader.head
    await bench.append(...numbered(0, 100))
    reader.release(reader.head)
    await readAll(reader, place)
    t.equal(kept.length, 1)
    reader.close()
    t.same(kept, [])
  })

  t.test('what comes for a log that nobody follows any more is not taken', async (t) => {
    const bench = await open(t, TINY)
    const { reader, log } = bench
    const place = reader.head
    await bench.append('a', 'b')
    reader.release(reader.head)
    const proof = log.prove()
    bench.log.follow(new Ear()).read(place, ALL)
    const again = log.open()
    reader.close()
    for (const other of [proof, again]) await t.resolves(other)
    t.pass()
  })

  t.test('what is under way when the last one leaves comes to nothing', async (t) => {
    const bench = await open(t, TINY)
    const { reader, log } = bench
    await bench.append('a', 'b')
    const waiting = [log.prove(), log.open()]
    const fetched = log.read(reader.oldest, ALL)
    t.equal(fetched?.complete ?? undefined, fetched?.complete)
    reader.close()
    for (const { status } of await Promise.allSettled(waiting)) t.equal(status, 'rejected')
    await settled(bench)
    t.equal(log.isOpen, false)
    t.equal(bench.budget.oldestTime, undefined)
  })
})
