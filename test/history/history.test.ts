import fc from 'fast-check'
import t, { type Test } from 'tap'
import type { CountedEntry } from '../../lib/history/budget.ts'
import { formatCursor } from '../../lib/history/place.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { heapBytes } from '../helpers/garbage.ts'
import { Bench, entriesOf } from './bench.ts'

const MB = 1_000_000

t.test('History › places', async (t) => {
  t.test('are in order over all channels, as cursors are as strings', async (t) => {
    const bench = new Bench()
    const cursors = Array.from({ length: 1_000 }, (_, i) => bench.publish(i % 3 === 0 ? 'a' : 'b', `${i}`))
    t.same([...cursors].sort(), cursors)
    const all = [...entriesOf(bench.window('a')), ...entriesOf(bench.window('b'))]
    const inOrder = all.sort((one, other) => one.place - other.place)
    t.same(
      inOrder.map(({ text }) => Number(text)),
      cursors.map((_, i) => i)
    )
    t.same(
      inOrder.map(({ cursor }) => cursor),
      cursors
    )
  })

  t.test('stamp() › comes after all that is there, and before all that comes', async (t) => {
    const { history } = new Bench()
    const first = history.stamp()
    const second = history.stamp()
    t.ok(second > first)
    t.equal(history.head, second)
  })

  t.test('head › is the newest, also when nothing is kept of it', async (t) => {
    const bench = new Bench()
    t.equal(bench.history.head, 0)
    const kept = bench.publish('a', '1')
    t.equal(bench.history.head, bench.placeOf(kept))
    const passing = bench.pass('a', '2')
    t.equal(bench.history.head, bench.placeOf(passing))
  })

  t.test('the messages of one step follow each other', async (t) => {
    const bench = new Bench()
    const before = bench.history.stamp()
    const cursors = bench.append('a', ['1', '2', '3'])
    t.equal(cursors.length, 3)
    t.same(
      entriesOf(bench.window('a'), before).map(({ cursor }) => cursor),
      cursors
    )
    t.same(bench.append('a', []), [])
  })
})

t.test('History › cursors', async (t) => {
  t.test('are known if they were given, and in between', async (t) => {
    const bench = new Bench()
    const { history } = bench
    const cursor = bench.publish('a', '1')
    t.equal(history.placeOf(cursor), bench.window('a').newest?.place)
    const stamped = history.stamp()
    t.equal(history.placeOf(history.cursorAt(stamped)), stamped)
    t.equal(history.placeOf(history.cursorAt(stamped - 1)), stamped - 1)
    t.equal(history.placeOf(history.cursorAt(0)), 0)
  })

  t.test('are not known if they are ahead of it', async (t) => {
    const { history } = new Bench()
    const head = history.stamp()
    t.equal(history.placeOf(history.cursorAt(head + 1)), undefined)
    t.equal(history.placeOf(history.cursorAt(36 ** 10 - 1)), undefined)
  })

  t.test('are not known if they are those of another, as of the process before', async (t) => {
    const { history } = new Bench()
    const epoch = new Bench().publish('a', '1').slice(11)
    t.equal(history.placeOf(formatCursor(history.stamp(), epoch)), undefined)
  })

  t.test('are not known if they are nonsense', async () => {
    const { history } = new Bench()
    history.stamp()
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii' }), (text) => history.placeOf(text) === undefined)
    )
  })

  t.test('have a form: ten digits, and ten that name the history', async (t) => {
    const bench = new Bench()
    const cursor = bench.publish('a', '1')
    t.match(cursor, /^[0-9a-z]{10}-[0-9a-f]{10}$/)
    const epoch = cursor.slice(11)
    t.equal(bench.history.cursorAt(12345), formatCursor(12345, epoch))
    t.not(new Bench().publish('a', '1').slice(11), epoch)
  })
})

t.test('History › a message of several channels', async (t) => {
  t.test('is one, with one place', async (t) => {
    const bench = new Bench()
    bench.publish('a', '0')
    const cursor = bench.publish(['a', 'b'], '1')
    const [inA, inB] = [bench.window('a').newest, bench.window('b').newest]
    t.equal(inA, inB)
    t.equal(inA?.cursor, cursor)
    t.same([bench.texts('a'), bench.texts('b')], [['0', '1'], ['1']])
  })

  t.test('tells what it is in', async (t) => {
    const bench = new Bench()
    bench.publish(['a', 'b'], '1')
    const { windows } = bench.window('a').newest as CountedEntry
    t.same(
      windows.map(({ channel }) => channel),
      ['a', 'b']
    )
  })
})

t.test('History › idempotency keys', async (t) => {
  const idempotencyKey = 'order 1'

  t.test('what was appended is not appended again, and its cursor is the answer', async (t) => {
    const bench = new Bench()
    const cursor = bench.publish('a', '1', { idempotencyKey })
    t.equal(bench.publish('a', 'again', { idempotencyKey }), cursor)
    t.same(bench.texts('a'), ['1'])
    t.not(bench.publish('a', '2', { idempotencyKey: 'order 2' }), cursor)
  })

  t.test('several messages have one, and all their cursors are the answer', async (t) => {
    const bench = new Bench()
    const cursors = bench.append('a', ['1', '2', '3'], { idempotencyKey })
    t.same(bench.append('a', ['1', '2', '3'], { idempotencyKey }), cursors)
    t.same(bench.texts('a'), ['1', '2', '3'])
  })

  t.test('belong to a set of channels, in whatever order', async (t) => {
    const bench = new Bench()
    const cursor = bench.publish(['a', 'b'], '1', { idempotencyKey })
    t.equal(bench.publish(['b', 'a'], '1', { idempotencyKey }), cursor)
    for (const channels of [['a'], ['b'], ['a', 'b', 'c'], ['a,b'], ['a","b']]) {
      t.not(bench.publish(channels, '1', { idempotencyKey }), cursor, channels.join(' '))
    }
  })

  t.test('a name of a channel is no part of another key', async (t) => {
    const bench = new Bench()
    const cursor = bench.publish(['a', 'b'], '1', { idempotencyKey: 'c' })
    t.not(bench.publish('a', '1', { idempotencyKey: 'b","c' }), cursor)
    t.not(bench.publish('a', '1', { idempotencyKey: 'c' }), cursor)
  })

  t.test('are forgotten with the message', async (t) => {
    const bench = new Bench({ maxMessages: 2 })
    const cursor = bench.publish('a', '1', { idempotencyKey })
    bench.publish('a', '2')
    t.equal(bench.publish('a', '1', { idempotencyKey }), cursor)
    bench.publish('a', '3')
    t.not(bench.publish('a', '1', { idempotencyKey }), cursor)
    t.same(bench.texts('a'), ['3', '1'])
  })

  t.test('are known as long as one of the channels has the message', async (t) => {
    const bench = new Bench({ maxMessages: 1 })
    const cursor = bench.publish(['a', 'b'], '1', { idempotencyKey })
    bench.publish('a', '2')
    t.equal(bench.publish(['a', 'b'], '1', { idempotencyKey }), cursor)
    bench.publish('b', '2')
    t.not(bench.publish(['a', 'b'], '1', { idempotencyKey }), cursor)
  })

  t.test('of several messages are forgotten with the last one', async (t) => {
    const bench = new Bench({ maxMessages: 2 })
    const cursors = bench.append('a', ['1', '2', '3'], { idempotencyKey })
    bench.publish('a', '4')
    t.same(bench.append('a', ['1', '2', '3'], { idempotencyKey }), cursors)
    bench.publish('a', '5')
    t.notSame(bench.append('a', ['1', '2', '3'], { idempotencyKey }), cursors)
  })

  t.test('are not remembered of what nobody keeps', async (t) => {
    const bench = new Bench()
    const pass = () => bench.publish('a', '1', { idempotencyKey, isKept: false })
    t.not(pass(), pass())
    bench.follow('a')
    const cursor = pass()
    t.equal(pass(), cursor, 'but as long as it is there')
    bench.offerAll()
    t.not(pass(), cursor)
  })
})

t.test('History › channels that are forgotten', async (t) => {
  t.test('one without messages and followers remembers what it dropped', async (t) => {
    const bench = new Bench({ maxTotalBytes: 1 })
    const lost = bench.publish('a', '1')
    const other = bench.publish('b', '2')
    t.same([bench.history.lengthOf('a'), bench.window('a').dropped], [0, bench.placeOf(lost)])
    const again = bench.publish('a', '3')
    t.same([bench.texts('a'), bench.window('a').dropped], [['3'], bench.placeOf(lost)])
    t.equal(bench.window('b').dropped, bench.placeOf(other))
    bench.publish('b', '4')
    t.equal(bench.window('a').dropped, bench.placeOf(again), 'also when it had come back')
  })

  t.test('one that dropped nothing has nothing to remember', async (t) => {
    const bench = new Bench()
    bench.publish('b', '1')
    bench.follow('a')
    bench.unfollow('a')
    t.equal(bench.window('a').dropped, 0)
  })

  t.test(
    'more than 10,000 are remembered, too, and hardly ever taken for one that dropped nothing',
    async (t) => {
      const bench = new Bench({ maxTotalBytes: 1 })
      const places = Array.from({ length: 30_001 }, (_, i) => bench.placeOf(bench.publish(`${i}`, '1')))
      // The newest one has its message.
      const known = places.slice(0, -1).map((place, i) => bench.window(`${i}`).dropped - place)
      t.ok(
        known.every((difference) => difference >= 0),
        'what was dropped is never taken for less'
      )
      t.ok(
        known.slice(20_000).every((difference) => difference === 0),
        'the newest are known exactly'
      )
      const wrong = known.filter((difference) => difference > 0).length
      const guessed = known
        .map((_, i) => bench.window(`new ${i}`).dropped)
        .filter((place) => place > 0).length
      t.ok(
        wrong < 300 && guessed < 300,
        `${wrong} of 20,000 later than it was, ${guessed} of 30,000 that are new`
      )
    }
  )

  t.test('one that came back is remembered for as long as the others of its time', async (t) => {
    const bench = new Bench({ maxTotalBytes: 1 })
    for (let i = 0; i < 5_000; i++) bench.publish(`${i}`, '1')
    const again = bench.placeOf(bench.publish('0', '2'))
    for (let i = 5_000; i < 14_000; i++) bench.publish(`${i}`, '1')
    t.equal(bench.window('0').dropped, again)
    t.ok(bench.window('never used').dropped < again, 'which is known, not guessed')
  })

  t.test('one that is forgotten late is remembered as it was', async (t) => {
    const bench = new Bench({ maxTotalBytes: 1 })
    bench.follow('early')
    const early = bench.placeOf(bench.publish('early', '1'))
    const places = Array.from({ length: 5_001 }, (_, i) => bench.placeOf(bench.publish(`${i}`, '1')))
    bench.unfollow('early')
    for (let i = 5_001; i < 15_001; i++) bench.publish(`${i}`, '1')
    t.equal(bench.window('early').dropped, early)
    t.equal(bench.window('5000').dropped, places[5_000])
  })

  t.test('so is one that comes back and drops nothing', async (t) => {
    const bench = new Bench({ maxTotalBytes: 1 })
    const early = bench.placeOf(bench.publish('early', '1'))
    for (let i = 0; i < 10_002; i++) bench.publish(`${i}`, '1')
    bench.follow('early')
    bench.unfollow('early')
    t.equal(bench.window('early').dropped, early)
  })

  t.test('nothing is kept of 100,000 that were only asked for', async (t) => {
    const bench = new Bench()
    await staysSmall(t, 100_000, (name) => bench.window(name))
  })

  t.test('nothing is kept of 100,000 that were followed', async (t) => {
    const bench = new Bench({ maxAgeMs: 300_000 })
    await staysSmall(t, 100_000, (name) => {
      bench.follow(name)
      bench.pass(name, 'x')
      bench.unfollow(name)
    })
  })

  t.test('nothing is kept of 100,000 that something passed by', async (t) => {
    const bench = new Bench()
    await staysSmall(t, 100_000, (name) => bench.pass(name, 'x'))
  })

  t.test('nothing is kept of 300,000 whose messages had to go', async (t) => {
    const bench = new Bench({ maxTotalBytes: 100_000, maxAgeMs: 300_000 })
    await staysSmall(t, 300_000, (name) => bench.publish(name, 'x', { idempotencyKey: name }))
  })
})

t.test('History › nothing is kept of messages that were dropped', async (t) => {
  t.test('however many there were', async (t) => {
    const bench = new Bench({ maxMessages: 10 })
    const publish = (count: number) => {
      for (let i = 0; i < count; i++) bench.publish('a', 'x')
    }
    publish(20_000)
    const before = await heapBytes()
    publish(500_000)
    const grown = (await heapBytes()) - before
    t.ok(grown < MB, `${grown} bytes for 500,000 more`)
    t.equal(bench.history.lengthOf('a'), 10)
  })

  t.test('nor of the last ones', async (t) => {
    const bench = new Bench({ maxMessages: 1_000 })
    const before = await heapBytes()
    for (let i = 0; i < 1_900; i++) bench.publish('a', Buffer.alloc(10_000, `${i} `).toString())
    const grown = (await heapBytes()) - before
    t.ok(grown < 12 * MB, `${grown} bytes for 1,000 of 10,000`)
    t.equal(bench.history.lengthOf('a'), 1_000)
  })
})

t.test('History › what was cut out of a long string does not keep it', async (t) => {
  const cases = {
    key: (bench: Bench, cut: string) => bench.append('a', [{ text: 'x', byteLength: 1, key: cut }]),
    idempotencyKey: (bench: Bench, cut: string) => bench.publish('a', 'x', { idempotencyKey: cut }),
    'name of a channel': (bench: Bench, cut: string) => bench.publish(cut, 'x')
  }
  for (const [name, run] of Object.entries(cases)) {
    t.test(name, async (t) => {
      const bench = new Bench()
      const before = await heapBytes()
      for (let i = 0; i < 50; i++)
        run(
          bench,
          Buffer.alloc(MB, `${i} ${'x'.repeat(50)}`)
            .toString()
            .slice(0, 40)
        )
      const grown = (await heapBytes()) - before
      t.ok(grown < 5 * MB, `${grown} bytes of 50 MB`)
      t.equal(bench.history.placeOf(bench.publish('a', '1')), bench.history.head)
    })
  }

  t.test('and it is the same text', async (t) => {
    const bench = new Bench()
    const text = `long: \u{1f600} é \0 ${'x'.repeat(20)}`
    bench.append(text, [{ text: 'x', byteLength: 1, key: text }])
    t.same([bench.window(text).newest?.key, bench.window(text).channel], [text, text])
    t.equal(bench.window(text).newestOf(text), bench.window(text).newest)
  })
})

t.test('History › close()', async (t) => {
  t.test('takes no more', async (t) => {
    const bench = new Bench()
    bench.history.close()
    const options = { idempotencyKey: undefined, isKept: true, isEnd: false }
    const message = { text: '1', byteLength: 1, key: '' }
    for (const messages of [[message], []]) {
      await t.rejects(Promise.resolve(bench.history.append([bench.window('a')], messages, options)), {
        code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED',
        statusCode: 503
      })
    }
    t.same(bench.texts('a'), [])
  })

  t.test('tells those who read', async (t) => {
    const { history } = new Bench()
    let told = 0
    history.closing.addEventListener('abort', () => told++)
    t.equal(history.closing.aborted, false)
    history.close()
    history.close()
    t.same([told, history.closing.aborted], [1, true])
  })

  t.test('drops what is kept, held or not', async (t) => {
    const bench = new Bench()
    bench.append(['a', 'b'], ['1', '2'])
    bench.follow('a')
    const newest = bench.publish('a', '3')
    bench.history.close()
    t.same([bench.texts('a'), bench.texts('b')], [[], []])
    t.equal(bench.window('a').dropped, bench.placeOf(newest))
    bench.unfollow('a')
    t.equal(bench.window('a').dropped, bench.placeOf(newest))
  })

  t.test('leaves no timer', async (t) => {
    const clock = FakeClock.install(t)
    const bench = new Bench({ maxAgeMs: 1_000 })
    bench.publish('a', '1')
    bench.follow('a')
    t.same(clock.pending, { all: 1, withRef: 0 })
    bench.history.close()
    t.equal(clock.pending.all, 0)
  })
})

async function staysSmall(t: Test, count: number, visit: (name: string) => unknown): Promise<void> {
  for (let i = 0; i < 20_000; i++) visit(`warm-up ${i}`)
  const before = await heapBytes()
  for (let i = 0; i < count; i++) visit(`channel ${i}`)
  const grown = (await heapBytes()) - before
  t.ok(grown < 2 * MB, `${grown} bytes for ${count} more`)
}
