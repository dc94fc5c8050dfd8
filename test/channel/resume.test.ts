import { AssertionError } from 'node:assert/strict'
import t from 'tap'
import type { Cursor, Subscription } from '../../lib/index.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { deferred } from '../helpers/server.ts'
import { StrictParser } from '../helpers/strict-parser.ts'

/** How long what is missed waits for a handler, and how long after that the id counts that was brought. */
const HOLD_MS = 250
const UNSETTLED_MS = 10_000

/** What a client has of a stream that was cut after some of its blocks, and the id with which it comes back. */
interface Cut {
  readonly told: readonly string[]
  readonly lastEventId: string | undefined
}

/** All the ways in which a stream can be cut. */
function cutsOf(reader: Reader, brought: string | undefined): Cut[] {
  const blocks = reader.transport.text.split('\n\n')
  return blocks.map((_, count) => {
    const parser = new StrictParser()
    const text = blocks.slice(0, count).map((block) => `${block}\n\n`)
    const { length } = parser.feed(Buffer.from(text.join('')))
    return { told: reader.told.slice(0, length), lastEventId: parser.lastEventId || brought }
  })
}

/** @throws when a client has lost something that it was not told, or has something twice, or out of order in a channel. */
function assertNothingLost(told: readonly string[], published: readonly string[]): void {
  const given = told.filter((data) => !data.startsWith('!'))
  const gaps = told.filter((data) => data.startsWith('!')).map((data) => data.split(' ')[0])
  const lost = published.filter(
    (data) => !given.includes(data) && !gaps.includes('!') && !gaps.includes(`!${data.replace(/\d+$/, '')}`)
  )
  const twice = given.filter((data, i) => given.indexOf(data) !== i)
  const mixed = given.filter((data, i) => {
    const name = data.replace(/\d+$/, '')
    return given.slice(i).some((other) => {
      const isOfSame = other.replace(/\d+$/, '') === name
      return isOfSame && published.indexOf(other) < published.indexOf(data)
    })
  })
  if (lost.length + twice.length + mixed.length === 0) return
  throw new AssertionError({ message: `lost ${lost}, twice ${twice}, mixed ${mixed} of ${told}` })
}

t.test('Connection › a handler that awaits between its subscriptions', async (t) => {
  const orders = [
    ['a', 'b'],
    ['b', 'a'],
    ['a', 'b', 'c'],
    ['c', 'a', 'b']
  ]
  const awaits: [string, readonly number[]][] = [
    ['nothing', [0]],
    ['a turn', [1]],
    ['less than 250 ms', [HOLD_MS - 1]],
    ['more than 250 ms', [HOLD_MS + 1, 5]],
    ['some seconds', [1_000, 3_000, 1_000]]
  ]
  for (const order of orders) {
    for (const [name, waits] of awaits) {
      t.test(`awaits ${name} between ${order.join(', ')}: nothing is lost, wherever it is cut`, async (t) => {
        const clock = FakeClock.install(t)
        const bench = new ChannelBench()
        const published: string[] = []
        let count = 0
        const publish = (): void => {
          const names = order.map((name) => `${name}${++count}`)
          published.push(...names)
          bench.publishEach(...names)
        }
        const brought = bench.cursor()
        publish()
        publish()
        let clients: Cut[] = [{ told: [], lastEventId: brought }]
        let cuts = 0
        for (const round of ['first', 'second']) {
          const next: Cut[] = []
          for (const { told, lastEventId } of clients) {
            const reader = bench.unsettled(lastEventId)
            for (const [i, name] of order.entries()) {
              bench.channel(name).subscribe(reader.connection)
              if (i === order.length - 1) break
              for (const ms of waits) {
                clock.advance(ms)
                if (round === 'first') publish()
                if (ms > 0) bench.endTurn()
              }
            }
            bench.endTurn()
            reader.connection.handlerOnSettle()
            bench.endTurn()
            for (const cut of cutsOf(reader, lastEventId)) {
              const all = [...told, ...cut.told]
              next.push({ told: all, lastEventId: cut.lastEventId })
              const back = bench.subscribed(order.toReversed(), cut.lastEventId)
              bench.endTurn()
              assertNothingLost([...all, ...back.told], published)
              back.leave()
              cuts++
            }
            reader.leave()
          }
          clients = next
        }
        t.ok(cuts > 20, `${cuts} cuts`)
        if (!name.startsWith('more than') && !name.startsWith('some')) t.equal(bench.counters.gaps, 0)
      })
    }
  }
})

t.test('Connection › what a returning client missed', async (t) => {
  async function away(names: readonly string[] = ['a', 'b']) {
    const bench = new ChannelBench()
    const brought = bench.cursor()
    const reader = bench.unsettled(brought)
    await bench.publishEach('a1', 'b2')
    const subscribe = (name: string) => bench.channel(name).subscribe(reader.connection)
    for (const name of names) subscribe(name)
    bench.endTurn()
    return { bench, brought, reader, subscribe, connection: reader.connection }
  }

  t.test('waits until its handler has settled, and is in one order then', async (t) => {
    FakeClock.install(t)
    const { bench, reader, subscribe, connection } = await away(['b'])
    t.equal(reader.transport.text, '')
    t.ok(reader.transport.started, 'but the stream has begun')
    subscribe('a')
    bench.publishEach('b3')
    bench.endTurn()
    connection.handlerOnSettle()
    bench.endTurn()
    t.same(reader.data, ['a1', 'b2', 'b3'])
    t.ok(reader.ids.every((id) => id.length <= 64))
  })

  t.test('waits for promises that it is told of', async (t) => {
    FakeClock.install(t)
    const { bench, reader, connection } = await away()
    let settle = (): void => {}
    connection.waitFor(new Promise<void>((resolve) => (settle = resolve)))
    connection.waitFor(Promise.reject(new Error('also if they reject')))
    connection.handlerOnSettle()
    bench.endTurn()
    t.same(reader.data, [])
    settle()
    await Promise.resolve()
    await Promise.resolve()
    bench.endTurn()
    t.same(reader.data, ['a1', 'b2'])
  })

  t.test('holds back what is sent, too, for that is later', async (t) => {
    FakeClock.install(t)
    const { bench, reader, connection } = await away()
    connection.send('sent')
    bench.endTurn()
    t.same(reader.data, [])
    connection.handlerOnSettle()
    bench.endTurn()
    t.same(reader.data, ['a1', 'b2', 'sent'])
  })

  t.test('waits for 250 ms at most', async (t) => {
    const clock = FakeClock.install(t)
    const { bench, reader, connection } = await away()
    clock.advance(HOLD_MS - 1)
    bench.endTurn()
    t.same(reader.data, [])
    clock.advance(1)
    bench.endTurn()
    t.same(reader.data, ['a1', 'b2'])
    connection.handlerOnSettle()
    bench.endTurn()
    t.equal(clock.pending.all, clock.pending.all - clock.pending.withRef, 'and keeps no process alive')
  })

  t.test('leaves no timer when the client has gone, or the handler has settled', async (t) => {
    const clock = FakeClock.install(t)
    for (const end of ['transportOnClose', 'handlerOnSettle'] as const) {
      for (const ms of [0, HOLD_MS]) {
        const bench = new ChannelBench({ channels: { '*': { maxAgeMs: false } } })
        const reader = bench.unsettled(bench.cursor())
        bench.channels.subscribe(reader.connection, ['a'])
        bench.endTurn()
        clock.advance(ms)
        bench.endTurn()
        t.equal(clock.pending.all, 1)
        reader.connection[end]()
        bench.endTurn()
        t.equal(clock.pending.all, 0)
      }
    }
  })

  t.test('does not wait for a new client without a past', async (t) => {
    FakeClock.install(t)
    const bench = new ChannelBench()
    const reader = bench.unsettled()
    bench.channels.subscribe(reader.connection, ['a', 'b'])
    await bench.publishEach('a1')
    bench.endTurn()
    t.same(reader.data, ['a1'])
  })

  t.test('waits for a new client with a past, and is in one order then', async (t) => {
    FakeClock.install(t)
    const bench = new ChannelBench()
    await bench.publishEach('a1', 'b2', 'a3')
    const reader = bench.unsettled()
    bench.channel('b').subscribe(reader.connection, { from: 'oldest' })
    bench.endTurn()
    t.same(reader.data, [])
    bench.channel('a').subscribe(reader.connection, { from: 'oldest' })
    reader.connection.handlerOnSettle()
    bench.endTurn()
    t.same(reader.data, ['a1', 'b2', 'a3'])
  })

  t.test('is subscribed to later: the id counts for 10 s after the 250 ms', async (t) => {
    const table: [number, string[]][] = [
      [UNSETTLED_MS - 1, ['a1', 'b2', 'b4']],
      [UNSETTLED_MS, ['a1', 'b4']]
    ]
    for (const [ms, expected] of table) {
      await FakeClock.run(async (clock) => {
        const { bench, reader, subscribe, connection } = await away(['a'])
        clock.advance(HOLD_MS)
        bench.endTurn()
        clock.advance(ms)
        subscribe('b')
        bench.publishEach('b4')
        bench.endTurn()
        t.same(reader.told, expected, `after ${ms} ms`)
        connection.handlerOnSettle()
      })
    }
  })

  t.test('counts for a reader that was blocked for all that time, and was told nothing', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new ChannelBench()
      await bench.publishEach('news1')
      const reader = bench.unsettled('lost')
      bench.channel().subscribe(reader.connection, { from: 'oldest' })
      bench.endTurn()
      reader.block()
      reader.connection.beat(0)
      reader.connection.beat(20_000)
      clock.advance(HOLD_MS + UNSETTLED_MS)
      reader.unblock()
      bench.endTurn()
      t.match(reader.told, [/unknown/, 'news1'])
      reader.connection.handlerOnSettle()
    })
  })

  t.test('is used up when the handler has settled: later subscriptions begin at their from', async (t) => {
    FakeClock.install(t)
    const { bench, reader, subscribe, connection } = await away(['a'])
    connection.handlerOnSettle()
    bench.endTurn()
    subscribe('b')
    await bench.publishEach('b3', 'a4')
    bench.endTurn()
    t.same(reader.told, ['a1', 'b3', 'a4'])
  })

  t.test('and was left and joined again before it was given is given once', async (t) => {
    FakeClock.install(t)
    const { bench, reader, subscribe, connection } = await away(['a'])
    connection.subscriptions[0]?.unsubscribe()
    await bench.publishEach('a3')
    subscribe('a')
    await bench.publishEach('a4')
    connection.handlerOnSettle()
    bench.endTurn()
    t.same(reader.told, ['a1', 'a4'])
  })
})

t.test('Connection › ids of a client whose handler has not settled', async (t) => {
  /** A client that was given something of `a` before its handler subscribed to `b`, and was cut off then. */
  async function cutBefore(b: 'missed' | 'missed nothing') {
    const clock = FakeClock.install(t)
    const bench = new ChannelBench()
    const brought = bench.cursor()
    await bench.publishEach(...(b === 'missed' ? ['a1', 'b2', 'a3'] : ['a1', 'a3']))
    const reader = bench.unsettled(brought)
    bench.channel('a').subscribe(reader.connection)
    bench.endTurn()
    clock.advance(HOLD_MS)
    bench.endTurn()
    const { data, lastEventId } = reader
    reader.leave()
    await bench.publishEach('a4', 'b5')
    return { bench, clock, data, lastEventId }
  }

  t.test(
    'say from where on it is not known what it has, and to which channels it was subscribed',
    async (t) => {
      const { data, lastEventId } = await cutBefore('missed')
      t.same(data, ['a1', 'a3'])
      t.match(lastEventId, /^[0-9a-z]{10}-[0-9a-f]{10}&~=[0-9a-z]{10}\.[\w-]{8}$/)
    }
  )

  t.test('make a gap of what it may have missed, in the channels that had something there', async (t) => {
    const { bench, lastEventId } = await cutBefore('missed')
    const back = bench.subscribed(['a', 'b', 'c'], lastEventId)
    bench.endTurn()
    t.same(back.told.slice(0, 2).toSorted(), ['!a uncertain', '!b uncertain'])
    t.same(back.told.slice(2), ['a4', 'b5'])
    t.ok(back.ids.at(-1) !== undefined && !back.lastEventId.includes('&'), 'which is over then')
  })

  t.test('make no gap if nothing was there', async (t) => {
    const { bench, lastEventId } = await cutBefore('missed nothing')
    t.same(bench.given(['b'], lastEventId), ['b5'])
  })

  t.test('make no gap for the same set of channels', async (t) => {
    const { bench, lastEventId } = await cutBefore('missed')
    t.same(bench.given(['a'], lastEventId), ['a4'])
  })

  t.test('make a gap of what was there and is kept no longer', async (t) => {
    for (const [later, expected] of [
      [1, ['!b uncertain', 'b5']],
      [2, ['!b expired', 'b6']]
    ] as const) {
      const { bench, lastEventId } = await cutBefore('missed')
      bench.channel('b').configure({ maxMessages: 1 })
      if (later === 2) await bench.publishEach('b6')
      else bench.endTurn()
      bench.channel('b').window.trim()
      const told = bench.given(['b'], lastEventId)
      t.same([told[0], told.at(-1)], expected)
    }
  })

  t.test('make no gap of what is expired and was before', async (t) => {
    const bench = new ChannelBench({ channels: { b: { maxMessages: 1 } } })
    await bench.publishEach('b1', 'b2')
    const brought = bench.cursor()
    await FakeClock.run(async (clock) => {
      const reader = bench.unsettled(brought)
      await bench.publishEach('a3')
      bench.channel('a').subscribe(reader.connection)
      bench.endTurn()
      clock.advance(HOLD_MS)
      bench.endTurn()
      t.same(bench.given(['a', 'b'], reader.lastEventId), ['!a uncertain'])
    })
  })

  t.test('name channels that the handler has not subscribed to, as long as it may', async (t) => {
    const clock = FakeClock.install(t)
    const bench = new ChannelBench()
    await bench.publishEach('c1', 'c2', 'a3')
    const first = bench.subscribed(['a'])
    bench.endTurn()
    bench.channel('c').subscribe(first.connection, { from: 'oldest' })
    bench.endTurn()
    const [id = ''] = first.ids
    t.match(id, /^[0-9a-z-]+&[\w-]{8}=[0-9a-z]{10}$/)
    first.leave()
    const second = bench.unsettled(id)
    bench.channel('a').subscribe(second.connection)
    await bench.publishEach('a4')
    bench.endTurn()
    clock.advance(HOLD_MS)
    bench.endTurn()
    const { lastEventId } = second
    t.match(lastEventId, /^[0-9a-z-]+&[\w-]{8}=[0-9a-z]{10}&~=/)
    bench.channel('c').subscribe(second.connection)
    second.connection.handlerOnSettle()
    bench.endTurn()
    t.same(second.told, ['a4', 'c2'], 'which goes on where it stands')
    const third = bench.subscribed(['a', 'c'], lastEventId)
    bench.endTurn()
    t.same(
      third.told.filter((data) => data.startsWith('c')),
      ['c2']
    )
  })

  t.test('collapse when they would be too long, and a cut then is a gap', async (t) => {
    const names = Array.from({ length: 60 }, (_, i) => `${String.fromCharCode(0x3042 + i)}x`)
    const bench = new ChannelBench()
    await bench.publishEach(...names.map((name) => `${name}1`))
    const reader = bench.subscribed(['a'])
    await bench.publishEach('a1')
    bench.endTurn()
    bench.channels.subscribe(reader.connection, names, { from: 'oldest' })
    bench.endTurn()
    const id = reader.ids[1] ?? ''
    t.match(id, /^[0-9a-z-]+&~=[0-9a-z]{10}$/)
    const back = bench.subscribed(['a', ...names], id)
    bench.endTurn()
    t.same(back.told.toSorted(), ['!a uncertain', ...names.map((name) => `!${name} uncertain`)].toSorted())
  })
})

t.test('Connection › an id that nobody knows', async (t) => {
  const elsewhere = new ChannelBench().cursor()
  const ids: [string, (bench: ChannelBench) => string][] = [
    ['words', () => 'hello'],
    ["the word 'oldest'", () => 'oldest'],
    ['an id that send() once gave', () => '42'],
    ['what no id can be', () => 'é \u0001'],
    ['a cursor and more', (bench) => `${bench.cursor()}x`],
    ['a huge id', () => 'x'.repeat(5_000)],
    ['a cursor of another process', () => elsewhere],
    ['a cursor that was not given yet', (bench) => `zzzzzzzzzz${bench.cursor().slice(10)}`]
  ]
  for (const [name, idOf] of ids) {
    t.test(`such as ${name} is one gap for all channels, and then it begins as a new client`, async (t) => {
      const bench = new ChannelBench()
      await bench.publishEach('a1', 'b2')
      const table: [object, string[]][] = [
        [{}, ['! unknown', 'a3', 'b4']],
        [{ from: 'now' }, ['! unknown', 'a3', 'b4']],
        [{ from: { last: 1 } }, ['! unknown', 'a1', 'b2', 'a3', 'b4']],
        [{ from: 'oldest' }, ['! unknown', 'a1', 'b2', 'a3', 'b4']]
      ]
      const readers = table.map(([options]) => bench.subscribed(['a', 'b'], idOf(bench), options))
      await bench.publishEach('a3', 'b4')
      bench.endTurn()
      for (const [i, [, expected]] of table.entries()) t.same(readers[i]?.told, expected)
      t.equal(readers[0]?.events[0]?.data, '{"reason":"unknown"}')
      t.equal(bench.counters.gaps, table.length)
    })
  }

  t.test('is told to who left its channel and joined it again before anything was given', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.unsettled('hello')
    bench.channel('a').subscribe(reader.connection).unsubscribe()
    bench.channel('a').subscribe(reader.connection)
    reader.connection.handlerOnSettle()
    bench.endTurn()
    t.same(reader.told, ['! unknown'])
  })

  t.test('is told with a place, so that a client that is cut off after it is not told again', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['a', 'b'], 'hello')
    bench.endTurn()
    const gap = `id: ${reader.ids[0]}\nevent: gap\ndata: {"reason":"unknown"}\n\n`
    t.ok(reader.transport.text.startsWith(gap))
    await bench.publishEach('a1', 'b2')
    t.same(bench.given(['a', 'b'], reader.ids[0]), ['a1', 'b2'])
  })

  t.test('asks channels with onGap themselves, and tells the rest together', async (t) => {
    const asked: unknown[] = []
    const onGap = (gap: unknown) => {
      asked.push(gap)
      return { event: 'state', data: 'all of a' }
    }
    for (const [names, expected] of [
      [
        ['a', 'b'],
        ['all of a', '! unknown']
      ],
      [['a'], ['all of a']]
    ] as const) {
      const bench = new ChannelBench({ channels: { a: { onGap } } })
      const reader = bench.subscribed(names, 'hello')
      bench.channel('a').publish('a1')
      bench.endTurn()
      t.same(reader.told, [...expected, 'a1'])
    }
    t.same(asked, Array(2).fill({ channel: 'a', reason: 'unknown' }))
  })

  t.test('is told of a channel, too, that onGap lets the connection wait for', async (t) => {
    const state = deferred()
    const onGap = (_gap: unknown, { connection }: Subscription): string => {
      connection.waitFor(state.promise)
      return 'state of a'
    }
    const bench = new ChannelBench({ channels: { a: { onGap } } })
    const reader = bench.subscribed(['a'], 'hello')
    bench.endTurn()
    bench.channel('b').subscribe(reader.connection)
    bench.publishEach('b1')
    bench.endTurn()
    t.same(reader.told, ['state of a', '!b unknown', 'b1'])
  })

  t.test('is no gap for who does not resume', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['a'], 'hello', { resume: false })
    await bench.publishEach('a1')
    bench.endTurn()
    t.same(reader.told, ['a1'])
  })

  t.test('is told before what a handler subscribes to later', async (t) => {
    for (const hasOnGap of [false, true]) {
      await FakeClock.run(async (clock) => {
        const onGap = ({ channel }: { channel: string }) => `state of ${channel}`
        const bench = new ChannelBench(hasOnGap ? { onGap } : {})
        const reader = bench.unsettled('hello')
        bench.channel('a').subscribe(reader.connection)
        bench.endTurn()
        t.same(reader.told, [])
        clock.advance(HOLD_MS)
        bench.endTurn()
        t.same(reader.told, hasOnGap ? ['state of a', '! unknown'] : ['! unknown'])
        bench.channel('b').subscribe(reader.connection)
        reader.connection.handlerOnSettle()
        bench.publishEach('b1')
        bench.endTurn()
        t.same(reader.told.slice(hasOnGap ? 2 : 1), ['b1'], 'of which no channel has another gap')
      })
    }
  })

  t.test('of who subscribes to nothing that resumes is told nobody', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader('hello')
    bench.endTurn()
    t.equal(reader.transport.text, '')
    const channel = bench.channel('a')
    channel.subscribe(reader.connection)
    bench.endTurn()
    t.same(reader.told, ['! unknown'])
  })
})

t.test('Connection › an id grants nothing', async (t) => {
  const bench = new ChannelBench()
  const cursors: Cursor[] = await bench.publishEach('secret1', 'news2', 'secret3', 'news4')
  const reader = bench.subscribed(['news'], cursors[0])
  bench.publishEach('secret5')
  bench.endTurn()
  t.same(reader.data, ['news2', 'news4'])
  t.notMatch(reader.transport.text, 'secret')
})

t.test('Connection › a channel that is new to a client that comes back begins at its cursor', async (t) => {
  const bench = new ChannelBench()
  const [, brought] = await bench.publishEach('b1', 'a2', 'b3')
  const reader = bench.subscribed(['a', 'b'], brought, { from: 'oldest' })
  const other = bench.subscribed(['a', 'b'], brought, { from: 'oldest', resume: false })
  bench.endTurn()
  t.same(reader.data, ['b3'])
  t.same(other.data, ['b1', 'a2', 'b3'])
})
