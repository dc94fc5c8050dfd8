import fc from 'fast-check'
import t from 'tap'
import {
  type ChannelOptions,
  type Cursor,
  type Gap,
  type GapAnswer,
  memoryHistory,
  type SSEConnection,
  type Subscription
} from '../../lib/index.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'
import { deferred, nextTurn } from '../helpers/server.ts'
import { type DispatchedEvent, StrictParser } from '../helpers/strict-parser.ts'

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'

type Step =
  | { readonly act: 'publish'; readonly count: number; readonly length: number }
  | { readonly act: 'turn'; readonly shares: number }
  | { readonly act: 'block' | 'unblock' }
  | { readonly act: 'read'; readonly bytes: number }
  | { readonly act: 'cut'; readonly at: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      act: fc.constant('publish' as const),
      count: fc.integer({ min: 1, max: 5 }),
      length: fc.constantFrom(1, 1, 1_000, 40_000, 70_000)
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constant('turn' as const), shares: fc.constantFrom(1, 2, Infinity) })
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constantFrom('block' as const, 'unblock' as const) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('read' as const), bytes: fc.nat(100_000) }) },
  {
    weight: 1,
    arbitrary: fc.record({ act: fc.constant('cut' as const), at: fc.double({ min: 0, max: 1, noNaN: true }) })
  }
)

/** A client that comes back after each cut with the last id that it committed, and keeps what it got. */
class Returning {
  readonly bench = new ChannelBench()
  readonly channel = this.bench.channel('news', {
    history: memoryHistory({ maxBytes: 100_000_000, maxAgeMs: false })
  })
  readonly published: string[] = []
  readonly received: string[] = []
  reader = this.bench.reader()
  readonly #filter: ((data: string) => boolean) | undefined
  #lastEventId = ''

  constructor(filter?: (data: string) => boolean) {
    this.#filter = filter
    this.#subscribe()
  }

  take(step: Step): void {
    const { reader, bench, channel, published } = this
    if (step.act === 'publish') {
      for (let i = 0; i < step.count; i++) {
        const data = `${published.length}:${'x'.repeat(step.length)}`
        published.push(data)
        channel.publish(data)
      }
    } else if (step.act === 'turn') {
      bench.endTurn(step.shares)
    } else if (step.act === 'read') {
      reader.read(step.bytes)
    } else if (step.act === 'cut') {
      this.#cut(step.at)
    } else {
      reader[step.act]()
    }
  }

  finish(): void {
    this.reader.unblock()
    this.bench.endTurn()
    this.#keep(Buffer.from(this.reader.transport.text))
  }

  #cut(at: number): void {
    const bytes = Buffer.from(this.reader.transport.text)
    this.reader.connection.destroy()
    this.#keep(bytes.subarray(0, Math.round(bytes.length * at)))
    this.reader = this.bench.reader(this.#lastEventId)
    this.#subscribe()
  }

  #subscribe(): void {
    const filter = this.#filter
    this.channel.subscribe(this.reader.connection, {
      from: 'oldest',
      ...(filter && { filter: ({ data }) => filter(data) })
    })
  }

  #keep(bytes: Uint8Array): void {
    const parser = new StrictParser()
    for (const { data } of parser.feed(bytes)) this.received.push(data)
    this.#lastEventId = parser.lastEventId || this.#lastEventId
  }
}

/** @throws when a client did not get exactly what was published, once and in order. */
function assertExact({ received, published }: Returning, isChosen = (_data: string): boolean => true): void {
  const expected = published.filter(isChosen)
  const wrong = expected.findIndex((data, i) => received[i] !== data)
  if (wrong >= 0 || received.length > expected.length) {
    const headOf = (data: string | undefined): string | undefined => data?.slice(0, data.indexOf(':'))
    throw new Error(
      `got ${received.map(headOf)}, first wrong at ${wrong}, of ${expected.length} that were published`
    )
  }
}

t.test('Subscription › the seam from replay to live is exact', async (t) => {
  t.test('under any interleaving of publishing, reading, stalling, leaving and coming back', async (t) => {
    const steps = fc.array(step, { maxLength: 40 })
    fc.assert(
      fc.property(steps, (steps) => {
        const client = new Returning()
        for (const step of steps) client.take(step)
        client.finish()
        assertExact(client)
      }),
      { numRuns: 300 }
    )
    t.pass()
  })

  t.test('with a filter too', async (t) => {
    const steps = fc.array(step, { maxLength: 40 })
    const isChosen = (data: string): boolean => Number.parseInt(data, 10) % 3 === 1
    fc.assert(
      fc.property(steps, (steps) => {
        const client = new Returning(isChosen)
        for (const step of steps) client.take(step)
        client.finish()
        assertExact(client, isChosen)
      }),
      { numRuns: 300 }
    )
    t.pass()
  })

  t.test('when messages are published while a client catches up, in shares of 256 KiB', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const expected: string[] = []
    const publish = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const data = `${expected.length}`.padStart(10_000, '0')
        expected.push(data)
        channel.publish(data)
      }
    }
    const cursor = await channel.publish('what it has')
    publish(60)
    const reader = bench.reader(cursor)
    channel.subscribe(reader.connection)
    const progress: number[] = []
    while (reader.data.length < expected.length) {
      bench.endTurn(1)
      progress.push(reader.data.length)
      if (expected.length < 80) publish(10)
    }
    t.same(reader.data, expected)
    t.ok(progress.length > 2 && (progress[0] ?? 0) < 60, 'it did not get all at once')
    t.ok(reader.transport.writes.every((write) => write.length < 80_000))
  })

  t.test('when messages are published while it is blocked, and the moment it drains', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    reader.block()
    channel.publish('1')
    bench.endTurn()
    channel.publish('2')
    bench.endTurn()
    channel.publish('3')
    t.same(reader.data, ['1'], 'which waits to be read')
    t.equal(reader.connection.bufferedBytes, reader.transport.text.length)
    reader.read(Infinity)
    t.same(reader.data, ['1', '2', '3'], 'all at once, without a queue')
    channel.publish('4')
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['1', '2', '3', '4'])
  })

  t.test('when a message is published from inside of a write', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    const { transport } = reader
    const write = transport.writeBatch.bind(transport)
    let count = 0
    transport.writeBatch = (batch) => {
      if (++count < 10) channel.publish(String(count))
      return write(batch)
    }
    bench.endTurn()
    t.same(reader.data, ['1', '2', '3', '4', '5', '6', '7', '8', '9'])
  })

  t.test('when several clients stand at different places', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const cursors: Cursor[] = []
    for (let i = 0; i < 30; i++) cursors.push(await channel.publish(String(i)))
    const readers = cursors.map((cursor) => bench.reader(cursor))
    for (const { connection } of readers) channel.subscribe(connection)
    channel.publish('30')
    bench.endTurn()
    for (const [i, reader] of readers.entries()) {
      t.same(
        reader.data,
        Array.from({ length: 30 - i }, (_, offset) => String(i + 1 + offset))
      )
    }
  })
})

t.test('Subscription › tells its place', async (t) => {
  t.test('at once, so that a client that is cut off before the first message misses none', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const cursor = await channel.publish('before')
    const reader = bench.reader()
    bench.endTurn()
    channel.subscribe(reader.connection)
    bench.endTurn()
    t.equal(reader.transport.text, `id: ${cursor}\n\n`)
    t.equal(reader.connection.messages, 0, 'which is no message')
    const { lastEventId } = reader
    reader.connection.destroy()
    channel.publish('missed')
    const back = bench.reader(lastEventId)
    channel.subscribe(back.connection)
    bench.endTurn()
    t.same(back.data, ['missed'])
  })

  t.test('as an event, which clients note that do not note an id alone', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader(undefined, { cursorEvent: 'sse-cursor' })
    const { cursor } = channel.subscribe(reader.connection)
    bench.endTurn()
    t.equal(reader.transport.text, `id: ${cursor}\nevent: sse-cursor\ndata: {}\n\n`)
    t.equal(reader.connection.messages, 0, 'which is no message')
    const other = bench.channel('other').subscribe(reader.connection)
    bench.endTurn()
    t.match(reader.events[1], { type: 'sse-cursor', lastEventId: `news=${cursor}&other=${other.cursor}` })
  })

  t.test('in a channel in which nothing was ever published', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    const { cursor } = channel.subscribe(reader.connection)
    bench.endTurn()
    t.equal(reader.transport.text, `id: ${cursor}\n\n`)
    channel.publish('first')
    const back = bench.reader(reader.lastEventId)
    channel.subscribe(back.connection)
    bench.endTurn()
    t.same(back.data, ['first'])
  })

  t.test('with the first message, when there is one', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    const cursor = await channel.publish('a')
    bench.endTurn()
    t.equal(reader.transport.text, `id: ${cursor}\ndata: a\n\n`)
  })

  t.test('after what was sent before, and before what is sent after', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    reader.connection.send('before')
    const { cursor } = channel.subscribe(reader.connection)
    reader.connection.send('after')
    bench.endTurn()
    t.equal(reader.transport.text, `data: before\n\nid: ${cursor}\n\ndata: after\n\n`)
  })

  t.test('not while onGap is asked what to tell instead', async (t) => {
    const bench = new ChannelBench()
    const answer = deferred<string>()
    const history = memoryHistory({ maxMessages: 2 })
    const channel = bench.channel('news', { history, onGap: () => answer.promise })
    const reader = bench.reader()
    reader.block()
    reader.connection.send('before')
    bench.endTurn()
    channel.subscribe(reader.connection)
    for (const data of ['a', 'b', 'c', 'd']) channel.publish(data)
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['before'])
    t.equal(reader.lastEventId, '')
    answer.resolve('state')
    await nextTurn()
    bench.endTurn()
    t.same(reader.data, ['before', 'state', 'c', 'd'])
  })

  t.test('when the filter has passed over all there was', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    channel.publish('a')
    const cursor = await channel.publish('b')
    const reader = bench.reader()
    const subscription = channel.subscribe(reader.connection, { from: 'oldest', filter: () => false })
    bench.endTurn()
    t.equal(reader.transport.text, `id: ${cursor}\n\n`)
    t.equal(subscription.cursor, cursor)
  })
})

/** A channel that keeps the last two of five messages. */
async function withLost(options: ChannelOptions = {}) {
  const bench = new ChannelBench()
  const history = memoryHistory({ maxMessages: 2 })
  const channel = bench.channel('news', { history, ...options })
  const cursors: Cursor[] = []
  for (const data of ['1', '2', '3', '4', '5']) cursors.push(await channel.publish(data))
  const [lost = '', , oldest = '', , newest = ''] = cursors
  const comeBack = (lastEventId = lost): Reader => {
    const reader = bench.reader(lastEventId)
    channel.subscribe(reader.connection)
    return reader
  }
  return { bench, channel, comeBack, lost, oldest, newest }
}

function gapEvent(id: Cursor, reason: Gap['reason'], event = 'gap', channel = 'news'): DispatchedEvent {
  return { type: event, data: JSON.stringify({ channel, reason }), lastEventId: id }
}

t.test('Subscription › a gap', async (t) => {
  const foreign = await new ChannelBench().channel('news').publish('in a process that has ended')
  const table: [string, Gap['reason'], (cursors: { lost: Cursor; newest: Cursor }) => string][] = [
    ['words', 'unknown', () => 'hello'],
    ['an id that send() once gave', 'unknown', () => '42'],
    ['what no id can be', 'unknown', () => 'é \u0001'],
    ['a cursor and more', 'unknown', ({ newest }) => `${newest}, ${newest}`],
    ['a huge id', 'unknown', () => 'x'.repeat(5000)],
    ['a broken number', 'unknown', ({ newest }) => newest.replace(/\d+$/, '05')],
    ["another process's cursor", 'foreign', () => foreign],
    ["another channel's cursor, by its epoch", 'foreign', ({ lost }) => `00000000${lost.slice(8)}`],
    ['a cursor of what is no longer kept', 'expired', ({ lost }) => lost],
    ['a cursor that was not given yet', 'future', ({ newest }) => newest.replace(/\d+$/, '6')]
  ]
  for (const [name, reason, idOf] of table) {
    t.test(`${reason} is what ${name} makes: told with an id, then on from the oldest kept`, async (t) => {
      const { bench, channel, comeBack, ...cursors } = await withLost()
      const reader = comeBack(idOf(cursors))
      bench.endTurn()
      t.same(reader.events[0], gapEvent(cursors.oldest, reason))
      t.same(reader.data.slice(1), ['4', '5'])
      t.same(bench.gaps, [{ reader: reader.connection, gap: { channel: 'news', reason } }])
      t.equal(bench.delivered, 2)
      t.equal(reader.connection.messages, 3)
    })
  }

  t.test('its bytes', async (t) => {
    const { bench, comeBack, oldest, newest } = await withLost()
    const reader = comeBack('x')
    bench.endTurn()
    const fourth = newest.replace(/5$/, '4')
    t.equal(
      reader.transport.text,
      `id: ${oldest}\nevent: gap\ndata: {"channel":"news","reason":"unknown"}\n\n` +
        `id: ${fourth}\ndata: 4\n\nid: ${newest}\ndata: 5\n\n`
    )
  })

  t.test('is none while the very next message is kept', async (t) => {
    const { bench, comeBack, oldest } = await withLost()
    const reader = comeBack(oldest)
    bench.endTurn()
    t.same(reader.data, ['4', '5'])
    t.same(bench.gaps, [])
  })

  t.test('is told once: a client that is cut off after it goes on from its id', async (t) => {
    const { bench, comeBack } = await withLost()
    const reader = comeBack()
    bench.endTurn()
    reader.connection.transportOnClose()
    const back = comeBack(reader.events[0]?.lastEventId)
    bench.endTurn()
    t.same(back.data, ['4', '5'])
    t.equal(bench.gaps.length, 1)
  })

  t.test('in an empty channel leads to its head', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('empty')
    const reader = bench.reader('hello')
    const subscription = channel.subscribe(reader.connection)
    bench.endTurn()
    t.same(reader.events, [gapEvent(String(subscription.cursor), 'unknown', 'gap', 'empty')])
    const next = bench.reader(reader.lastEventId)
    channel.subscribe(next.connection)
    channel.publish('first')
    bench.endTurn()
    t.same(next.data, ['first'])
  })

  t.test("with afterGap: 'now' leads to the next message", async (t) => {
    const { bench, channel, comeBack, newest } = await withLost({ afterGap: 'now' })
    const reader = comeBack()
    bench.endTurn()
    t.same(reader.events, [gapEvent(newest, 'expired')])
    channel.publish('6')
    bench.endTurn()
    t.same(reader.data.slice(1), ['6'])
  })

  t.test('has the name that gapEvent gives it', async (t) => {
    const { bench, comeBack, oldest } = await withLost({ gapEvent: 'lost: some' })
    const reader = comeBack()
    bench.endTurn()
    t.same(reader.events[0], gapEvent(oldest, 'expired', 'lost: some'))
  })

  t.test('comes before what is sent after subscribe(), and after what was sent before', async (t) => {
    const { bench, channel } = await withLost()
    const reader = bench.reader('hello')
    reader.connection.send('before')
    channel.subscribe(reader.connection)
    reader.connection.send('after')
    bench.endTurn()
    t.same(
      reader.events.map(({ type, data }) => (type === 'gap' ? type : data)),
      ['before', 'gap', '4', '5', 'after']
    )
  })
})

t.test('Subscription › onGap', async (t) => {
  const answers: [string, () => GapAnswer | Promise<GapAnswer>, string[]][] = [
    ['a message', () => ({ event: 'state', data: { a: 1 } }), ['{"a":1}']],
    ['a string', () => 'state', ['state']],
    ['several messages', () => ['a', { data: 'b' }, { event: 'c', data: '' }], ['a', 'b', '']],
    ['a promise of a message', async () => ({ data: 'later' }), ['later']],
    ['a promise of several', async () => ['later', 'and later'], ['later', 'and later']]
  ]
  for (const [name, onGap, expected] of answers) {
    t.test(`${name} is sent instead of the gap event, with the id at its end`, async (t) => {
      const { bench, comeBack, oldest, newest } = await withLost({ onGap })
      const reader = comeBack()
      bench.endTurn()
      await nextTurn()
      t.same(
        reader.events.map(({ data, lastEventId }) => [data, lastEventId]),
        [
          ...expected.map((data, i) => [data, i === expected.length - 1 ? oldest : '']),
          ['4', newest.replace(/5$/, '4')],
          ['5', newest]
        ]
      )
      t.notMatch(reader.transport.text, 'event: gap')
      t.same(reader.logs, [])
      t.equal(reader.connection.messages, expected.length + 2)
      t.equal(bench.delivered, 2)
    })
  }

  for (const [name, onGap] of [
    ['undefined', () => undefined],
    ['null', () => null],
    ['no messages', () => []],
    ['a promise of undefined', async () => undefined],
    ['a promise of no messages', async () => []]
  ] as [string, () => GapAnswer | Promise<GapAnswer>][]) {
    t.test(`${name} stands for the gap event`, async (t) => {
      const { bench, comeBack, oldest } = await withLost({ onGap, gapEvent: 'lost' })
      const reader = comeBack()
      bench.endTurn()
      await nextTurn()
      t.same(reader.events[0], gapEvent(oldest, 'expired', 'lost'))
      t.same(reader.data.slice(1), ['4', '5'])
      t.same(reader.logs, [])
    })
  }

  const boom = new Error('boom')
  const failures: [string, () => unknown, object][] = [
    [
      'throws',
      () => {
        throw boom
      },
      boom
    ],
    ['rejects', () => Promise.reject(boom), boom],
    ['answers with an id', () => ({ id: 1, data: '' }), { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }],
    ['answers with one bad message of two', () => ['a', {}], { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }],
    [
      'promises what cannot be serialized',
      async () => ({ data: 1n }),
      { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION' }
    ]
  ]
  for (const [name, onGap, err] of failures) {
    t.test(`that ${name} is logged, and the gap event is sent`, async (t) => {
      const { bench, comeBack, oldest } = await withLost({ onGap } as ChannelOptions)
      const reader = comeBack()
      bench.endTurn()
      await nextTurn()
      t.same(reader.events[0], gapEvent(oldest, 'expired'))
      t.same(reader.data.slice(1), ['4', '5'])
      t.match(reader.logs, [{ level: 'error', message: 'onGap failed', err }])
      t.equal(reader.logs.length, 1)
    })
  }

  t.test('gets the gap and the subscription', async (t) => {
    const calls: [Gap, Subscription][] = []
    const onGap = (...call: [Gap, Subscription]): undefined => void calls.push(call)
    const { bench, channel, lost } = await withLost({ onGap })
    const reader = bench.reader(lost)
    const subscription = channel.subscribe(reader.connection)
    bench.endTurn()
    t.same(
      calls.map(([gap]) => gap),
      [{ channel: 'news', reason: 'expired' }]
    )
    t.equal(calls[0]?.[1], subscription)
  })

  t.test('may send to the connection itself, and publish', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', {
      onGap: ({ reason }, { connection }) => {
        connection.comment(reason)
        channel.publish('2')
        return undefined
      }
    })
    channel.publish('1')
    const reader = bench.reader('hello')
    channel.subscribe(reader.connection)
    bench.endTurn()
    t.same(reader.data, ['{"channel":"news","reason":"unknown"}', '1', '2'])
    t.same(reader.stream.comments, ['unknown'])
  })

  t.test('may send so much that it is written at once, though something was sent before', async (t) => {
    const snapshot = 's'.repeat(70_000)
    const bench = new ChannelBench()
    const channel = bench.channel('news', {
      onGap: async (_gap, { connection }) => void (connection as SSEConnection).send(snapshot)
    })
    channel.publish('1')
    const reader = bench.reader('hello')
    channel.subscribe(reader.connection)
    reader.connection.send('sent')
    bench.endTurn()
    await nextTurn()
    bench.endTurn()
    t.same(
      reader.data.map((data) => data.slice(0, 8)),
      ['sent', 'ssssssss', '{"channe', '1']
    )
  })

  for (const [afterGap, expected] of [
    ['oldest', ['1', '2', '3']],
    ['now', ['3']]
  ] as const) {
    t.test(
      `afterGap: '${afterGap}': nothing is written while its answer is awaited, and nothing lost`,
      async (t) => {
        const answer = deferred<GapAnswer>()
        const bench = new ChannelBench()
        const channel = bench.channel('news', { afterGap, onGap: () => answer.promise })
        for (const data of ['1', '2']) channel.publish(data)
        const reader = bench.reader('hello', { heartbeatMs: 1000 })
        channel.subscribe(reader.connection)
        bench.endTurn()
        channel.publish('3')
        bench.endTurn()
        for (const now of [0, 1000]) reader.connection.beat(now)
        reader.connection.send('sent')
        bench.endTurn()
        t.equal(reader.transport.text, ': \n\ndata: sent\n\n', 'no id that would lead over the gap')
        answer.resolve('state')
        await nextTurn()
        bench.endTurn()
        t.same(reader.data, ['sent', 'state', ...expected])
        t.equal(bench.gaps.length, 1)
      }
    )
  }

  for (const [slow, afterGap, expected] of [
    ['gap', 'oldest', ['6', '7']],
    ['disconnect', 'oldest', ['6', '7']],
    ['gap', 'now', ['6', '7']]
  ] as const) {
    const name = `slow: '${slow}', afterGap: '${afterGap}'`
    t.test(`${name}: what is dropped while its answer is awaited is a part of the same gap`, async (t) => {
      const answer = deferred<GapAnswer>()
      const bench = new ChannelBench()
      const options = { slow, afterGap, onGap: () => answer.promise }
      const channel = bench.channel('news', { ...options, history: memoryHistory({ maxMessages: 2 }) })
      for (const data of ['1', '2', '3', '4', '5']) channel.publish(data)
      const reader = bench.reader('hello')
      channel.subscribe(reader.connection)
      bench.endTurn()
      for (const data of expected) channel.publish(data)
      bench.endTurn()
      answer.resolve('state')
      await nextTurn()
      bench.endTurn()
      t.same(reader.data, ['state', ...expected])
      t.equal(bench.gaps.length, 1)
      t.equal(reader.connection.state, 'open')
    })

    t.test(`${name}: what came later and is dropped too is another gap, and nobody was slow`, async (t) => {
      const answers = [deferred<GapAnswer>(), deferred<GapAnswer>()]
      const reasons: string[] = []
      const onGap = ({ reason }: Gap) => answers[reasons.push(reason) - 1]?.promise
      const bench = new ChannelBench()
      const history = memoryHistory({ maxMessages: 2 })
      const channel = bench.channel('news', { slow, afterGap, onGap, history } as ChannelOptions)
      channel.publish('1')
      const reader = bench.reader('hello')
      channel.subscribe(reader.connection)
      bench.endTurn()
      for (const [i, answer] of answers.entries()) {
        if (i === 0) for (const data of ['2', '3', '4']) channel.publish(data)
        bench.endTurn()
        answer.resolve(`state ${i}`)
        await nextTurn()
        bench.endTurn()
      }
      t.same(reasons, ['unknown', 'expired'])
      t.same(reader.data, ['state 0', 'state 1', ...(afterGap === 'oldest' ? ['3', '4'] : [])])
      t.equal(reader.connection.state, 'open')
    })
  }

  t.test('a client that is cut off inside of the answer is told the gap again', async (t) => {
    const { bench, comeBack, lost } = await withLost({ onGap: () => ['a', 'b', 'c'] })
    const reader = comeBack()
    bench.endTurn()
    const parser = new StrictParser()
    const { text } = reader.transport
    parser.feed(Buffer.from(text.slice(0, text.indexOf('data: c'))))
    t.equal(parser.lastEventId, '', 'it still has the id with which it came')
    const back = comeBack(lost)
    bench.endTurn()
    t.same(back.data, ['a', 'b', 'c', '4', '5'])
    t.equal(bench.gaps.length, 2)
  })

  t.test('an answer that comes when the subscription has ended is not sent', async (t) => {
    const answer = deferred<GapAnswer>()
    const { bench, channel, lost } = await withLost({ onGap: () => answer.promise })
    const readers = [bench.reader(lost), bench.reader(lost)]
    const [first, second] = readers.map(({ connection }) => channel.subscribe(connection))
    bench.endTurn()
    first?.unsubscribe()
    second?.connection.destroy()
    answer.resolve('late')
    await nextTurn()
    bench.endTurn()
    for (const { transport } of readers) t.equal(transport.text, '')
  })

  t.test('an answer that comes when the connection is closing is not sent', async (t) => {
    const answer = deferred<GapAnswer>()
    const { bench, comeBack } = await withLost({ onGap: () => answer.promise })
    const reader = comeBack()
    bench.endTurn()
    reader.connection.close()
    answer.resolve('late')
    await nextTurn()
    bench.endTurn()
    t.equal(reader.transport.text, FAREWELL)
    t.ok(reader.transport.ended)
  })

  t.test('may close the connection: the farewell is the last thing that is written', async (t) => {
    const onGap = (_gap: Gap, { connection }: Subscription): undefined => void connection.close()
    const { bench, comeBack } = await withLost({ onGap })
    const reader = comeBack()
    bench.endTurn()
    t.ok(reader.transport.text.endsWith(FAREWELL))
    t.ok(reader.transport.ended)
  })

  t.test('may destroy the connection: nothing more is written', async (t) => {
    const onGap = (_gap: Gap, { connection }: Subscription): undefined => void connection.destroy()
    const { bench, comeBack } = await withLost({ onGap })
    const reader = comeBack()
    bench.endTurn()
    t.equal(reader.transport.text, '')
    t.equal(reader.connection.messages, 0)
  })
})

/** A reader that is up to date, and has stopped to read. */
async function blocked(options: ChannelOptions = {}) {
  const bench = new ChannelBench()
  const channel = bench.channel('news', options)
  const reader = bench.reader()
  const subscription = channel.subscribe(reader.connection)
  bench.endTurn()
  reader.block()
  const first = await channel.publish('0')
  bench.endTurn()
  return { bench, channel, reader, subscription, first }
}

t.test('Subscription › slow readers', async (t) => {
  t.test('have no queue: nothing is written before they have read', async (t) => {
    const { bench, channel, reader, subscription, first } = await blocked()
    const { writes } = reader.transport
    const before = writes.length
    for (let i = 1; i <= 500; i++) {
      channel.publish(String(i))
      bench.endTurn()
    }
    t.equal(writes.length, before)
    t.ok(reader.connection.bufferedBytes < 100)
    t.equal(subscription.cursor, first)
    reader.unblock()
    bench.endTurn()
    t.same(
      reader.data,
      Array.from({ length: 501 }, (_, i) => String(i))
    )
  })

  t.test("with slow: 'gap' are told what fell out of history, and go on with what is kept", async (t) => {
    const { bench, channel, reader } = await blocked({ history: memoryHistory({ maxMessages: 2 }) })
    const cursors: Cursor[] = []
    for (const data of ['1', '2', '3', '4']) {
      cursors.push(await channel.publish(data))
      bench.endTurn()
    }
    reader.unblock()
    bench.endTurn()
    t.same(reader.events[1], gapEvent(String(cursors[1]), 'slow'))
    t.same(reader.data.slice(2), ['3', '4'])
    t.equal(reader.connection.state, 'open')
    t.same(
      bench.gaps.map(({ gap }) => gap),
      [{ channel: 'news', reason: 'slow' }]
    )
  })

  t.test("with slow: 'gap' that came back, and then were slow, are told so", async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { history: memoryHistory({ maxMessages: 2 }) })
    const cursor = await channel.publish('0')
    channel.publish('1')
    const reader = bench.reader(cursor)
    reader.block()
    channel.subscribe(reader.connection)
    bench.endTurn()
    for (const data of ['2', '3', '4']) channel.publish(data)
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['1', '{"channel":"news","reason":"slow"}', '3', '4'])
  })

  for (const slow of ['gap', 'disconnect'] as const) {
    t.test(
      `with slow: '${slow}' are not those who begin with the oldest message, whatever that is`,
      async (t) => {
        const bench = new ChannelBench()
        const channel = bench.channel('news', { slow, history: memoryHistory({ maxMessages: 2 }) })
        for (const data of ['1', '2', '3']) channel.publish(data)
        const waiting = bench.waiting()
        const subscription = channel.subscribe(waiting.connection, { from: 'oldest' })
        for (const data of ['4', '5']) {
          channel.publish(data)
          bench.endTurn()
        }
        waiting.connection.open(waiting.transport)
        bench.endTurn()
        t.same(waiting.data, ['4', '5'])
        t.same(bench.gaps, [])
        t.ok(subscription.active)
      }
    )
  }

  t.test("with slow: 'gap' lose nothing that is kept", async (t) => {
    const { bench, channel, reader } = await blocked({ history: memoryHistory({ maxMessages: 2 }) })
    for (const data of ['1', '2']) channel.publish(data)
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', '1', '2'])
    t.same(bench.gaps, [])
  })

  t.test(
    "with slow: 'disconnect' are destroyed when something was lost, and told when they are back",
    async (t) => {
      const calls: unknown[] = []
      const { bench, channel, reader, subscription } = await blocked({
        slow: 'disconnect',
        history: memoryHistory({ maxMessages: 2 }),
        onGap: (gap) => void calls.push(gap.reason)
      })
      for (const data of ['1', '2']) channel.publish(data)
      bench.endTurn()
      reader.read(Infinity)
      t.same(reader.data, ['0', '1', '2'], 'not before')
      const { lastEventId } = reader
      for (const data of ['3', '4', '5']) channel.publish(data)
      bench.endTurn()
      t.equal(reader.connection.state, 'open')
      const { text } = reader.transport
      reader.unblock()
      t.equal(reader.connection.reason, 'slow')
      t.ok(reader.transport.destroyed)
      t.equal(reader.transport.text, text)
      t.notOk(subscription.active)
      t.same(calls, [])
      t.same(bench.gaps, [], 'it was told nothing')
      const back = bench.reader(lastEventId)
      channel.subscribe(back.connection)
      bench.endTurn()
      t.equal(back.data[0], '{"channel":"news","reason":"expired"}')
      t.same(back.data.slice(1), ['4', '5'])
      t.same(calls, ['expired'])
    }
  )

  t.test("with slow: 'disconnect' others on the same connection end with it", async (t) => {
    const { bench, channel, reader } = await blocked({
      slow: 'disconnect',
      history: memoryHistory({ maxMessages: 1 })
    })
    const other = bench.channel('other')
    const subscription = other.subscribe(reader.connection)
    for (const data of ['1', '2']) {
      channel.publish(data)
      other.publish(data)
    }
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.equal(reader.connection.reason, 'slow')
    t.notOk(subscription.active)
    t.same(reader.data, ['0'])
  })
})

t.test("Subscription › slow: 'latest'", async (t) => {
  const slow = 'latest'

  t.test('gives everything to a reader that keeps up', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { slow })
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    for (const data of ['1', '2', '3']) channel.publish(data)
    bench.endTurn()
    for (const data of ['4', '5']) channel.publish(data)
    bench.endTurn()
    t.same(reader.data, ['1', '2', '3', '4', '5'])
  })

  t.test('gives the newest of each key, in order, to one that was blocked, then everything', async (t) => {
    const { bench, channel, reader } = await blocked({ slow })
    for (const [data, key] of [
      ['a1', 'a'],
      ['b1', 'b'],
      ['c1', 'c'],
      ['b2', 'b'],
      ['a2', 'a'],
      ['b3', 'b']
    ] as const) {
      channel.publish(data, { key })
      bench.endTurn()
    }
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', 'c1', 'a2', 'b3'])
    for (const data of ['a3', 'a4']) channel.publish(data, { key: 'a' })
    bench.endTurn()
    t.same(reader.data.slice(4), ['a3', 'a4'])
    t.same(bench.gaps, [])
  })

  t.test('the key is the event name if none is given', async (t) => {
    const { bench, channel, reader } = await blocked({ slow })
    for (const event of ['typing', 'gone', 'typing']) channel.publish({ event, data: event })
    channel.publish('x')
    channel.publish('y')
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', 'gone', 'typing', 'y'])
  })

  t.test('gives a client that returns the newest of each key, then everything', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { slow })
    const cursor = await channel.publish('0')
    for (const data of ['1', '2']) channel.publish(data)
    const reader = bench.reader(cursor)
    channel.subscribe(reader.connection)
    bench.endTurn()
    t.same(reader.data, ['2'])
    for (const data of ['3', '4']) channel.publish(data)
    bench.endTurn()
    t.same(reader.data, ['2', '3', '4'])
  })

  t.test('is the same on a connection with several channels', async (t) => {
    const bench = new ChannelBench()
    const [channel, other] = [bench.channel('news', { slow }), bench.channel('other')]
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    other.subscribe(reader.connection)
    bench.endTurn()
    reader.block()
    channel.publish('0')
    bench.endTurn()
    for (const data of ['1', '2']) {
      channel.publish(data)
      other.publish(`other ${data}`)
    }
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', 'other 1', '2', 'other 2'])
    for (const data of ['3', '4']) channel.publish(data)
    bench.endTurn()
    t.same(reader.data.slice(4), ['3', '4'], 'everything, once it has caught up')
  })

  for (const others of [[], ['other']]) {
    t.test(
      `passes over what was replaced between send()s, with ${others.length} other channels`,
      async (t) => {
        const bench = new ChannelBench()
        const channel = bench.channel('news', { slow })
        const reader = bench.reader()
        for (const name of others) bench.channel(name).subscribe(reader.connection)
        channel.subscribe(reader.connection)
        bench.endTurn()
        reader.block()
        reader.connection.send('0')
        bench.endTurn()
        channel.publish('1')
        reader.connection.send('sent')
        for (const data of ['2', '3']) channel.publish(data)
        bench.endTurn()
        reader.unblock()
        bench.endTurn()
        t.same(reader.data, ['0', 'sent', '3'])
      }
    )
  }

  t.test('goes over several pages of 64 KiB, and takes in what is published between them', async (t) => {
    const { bench, channel, reader } = await blocked({ slow })
    const publish = (key: string, round: number): void => {
      channel.publish(`${key}${round}`.padEnd(30_000, '.'), { key })
    }
    for (let round = 1; round <= 3; round++) for (const key of 'abcdefgh') publish(key, round)
    bench.endTurn()
    const taken: string[][] = []
    for (let page = 0; page < 6; page++) {
      const before = reader.data.length
      reader.read(Infinity)
      taken.push(reader.data.slice(before).map((data) => data.slice(0, 2)))
      if (page === 0) for (const key of 'ah') publish(key, 4)
      bench.endTurn()
    }
    t.same(taken, [['a3', 'b3', 'c3'], ['d3', 'e3', 'f3'], ['g3', 'a4', 'h4'], [], [], []])
  })

  t.test('goes on after a gap that is told late', async (t) => {
    const answer = deferred<GapAnswer>()
    const bench = new ChannelBench()
    const channel = bench.channel('news', { slow, onGap: () => answer.promise })
    for (const data of ['1', '2', '3']) channel.publish(data)
    const reader = bench.reader('hello')
    channel.subscribe(reader.connection)
    bench.endTurn()
    answer.resolve('state')
    await nextTurn()
    bench.endTurn()
    t.same(reader.data, ['state', '3'])
  })

  t.test('gives the newest that pass the filter', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { slow })
    const cursor = await channel.publish('0')
    for (const data of ['1', '2', '3']) channel.publish(data)
    const reader = bench.reader(cursor)
    const asked: string[] = []
    channel.subscribe(reader.connection, { filter: ({ data }) => asked.push(data) > 0 && data !== '3' })
    bench.endTurn()
    t.same(asked, ['1', '2', '3'])
    t.same(reader.data, ['2'])
  })

  t.test('tells a gap when the history lost more than was replaced', async (t) => {
    const { bench, channel, reader } = await blocked({ slow, history: memoryHistory({ maxMessages: 2 }) })
    for (const data of ['1', '2', '3']) channel.publish(data, { key: data })
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', '{"channel":"news","reason":"slow"}', '2', '3'])
  })
})

t.test('Subscription › unsubscribe()', async (t) => {
  t.test('ends it: what was published before is still written, and nothing after', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const [reader, other] = [bench.reader(), bench.reader()]
    const subscription = channel.subscribe(reader.connection)
    channel.subscribe(other.connection)
    channel.publish('before')
    subscription.unsubscribe()
    channel.publish('after')
    subscription.unsubscribe()
    bench.endTurn()
    t.same(reader.data, ['before'])
    t.same(other.data, ['before', 'after'])
    t.notOk(subscription.active)
    t.equal(channel.size, 1)
    t.equal(reader.connection.state, 'open')
  })

  t.test('writes nothing to a reader that takes nothing', async (t) => {
    const { bench, channel, reader, subscription } = await blocked()
    channel.publish('1')
    subscription.unsubscribe()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0'])
  })

  t.test('writes all that was published before to a reader that takes it', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    const subscription = channel.subscribe(reader.connection)
    for (let i = 0; i < 10; i++) channel.publish(`${i}`.padEnd(64_000, '.'))
    subscription.unsubscribe()
    bench.endTurn()
    t.equal(reader.data.length, 10)
  })

  t.test('writes all that was published before, also in turn with another channel', async (t) => {
    const bench = new ChannelBench()
    const [channel, other] = [bench.channel('a'), bench.channel('b')]
    const reader = bench.reader()
    const subscription = channel.subscribe(reader.connection)
    other.subscribe(reader.connection)
    for (let i = 0; i < 5; i++) {
      channel.publish(`a${i}`)
      other.publish(`b${i}`)
    }
    subscription.unsubscribe()
    bench.endTurn()
    t.same(reader.data, ['a0', 'b0', 'a1', 'b1', 'a2', 'b2', 'a3', 'b3', 'a4', 'b4'])
  })

  t.test('while a flush serves the channel, it leaves the others their turn', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const readers = Array.from({ length: 40 }, () => bench.reader())
    const subscriptions = readers.map(({ connection }) => channel.subscribe(connection))
    bench.endTurn()
    channel.publish('a')
    bench.endTurn(1)
    for (const i of [3, 16, 20, 39]) subscriptions[i]?.unsubscribe()
    bench.endTurn()
    for (const reader of readers) t.same(reader.data, ['a'])
  })

  t.test('of all while a flush serves the channel leaves nothing to do', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const readers = Array.from({ length: 40 }, () => bench.reader())
    for (const { connection } of readers) channel.subscribe(connection)
    channel.publish('a')
    bench.endTurn(40)
    for (const { connection } of readers) connection.destroy()
    bench.endTurn()
    t.equal(channel.size, 0)
    t.same(bench.audiences, ['+news', '-news'])
  })
})

t.test('Subscription › retention › messages are held for readers that keep up', async (t) => {
  const limits: [string, Parameters<typeof memoryHistory>[0]][] = [
    ['maxMessages', { maxMessages: 5 }],
    ['maxBytes', { maxBytes: 100 }]
  ]
  for (const [name, options] of limits) {
    t.test(`though a burst is larger than ${name}`, async (t) => {
      const { bench, channel, readers, expected } = burst(40, 1_000, 10, options)
      bench.endTurn()
      for (const reader of readers) t.same(reader.data, expected)
      t.same(bench.gaps, [])
      const late = bench.reader()
      channel.subscribe(late.connection, { from: 'oldest' })
      bench.endTurn()
      t.ok(late.data.length <= 10, 'and no longer')
    })

    t.test(`though a burst is larger than ${name} and than one reader's share`, async (t) => {
      const { bench, readers, expected } = burst(3, 1_000, 1_000, options)
      bench.endTurn()
      for (const reader of readers) t.equal(reader.data.length, expected.length)
      t.same(
        bench.gaps.map(({ gap }) => gap),
        []
      )
    })
  }

  t.test('also what is published while the flush serves them', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { history: memoryHistory({ maxMessages: 1 }) })
    const readers = Array.from({ length: 40 }, () => bench.reader())
    for (const { connection } of readers) channel.subscribe(connection)
    bench.endTurn()
    const expected: string[] = []
    for (let i = 0; i < 20; i++) {
      expected.push(String(i))
      channel.publish(String(i))
      bench.endTurn(1)
    }
    bench.endTurn()
    for (const reader of readers) t.same(reader.data, expected)
  })

  t.test('but not for those that have ended', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { history: memoryHistory({ maxMessages: 5 }) })
    const [first, second] = [bench.reader(), bench.reader()]
    for (const { connection } of [first, second]) channel.subscribe(connection)
    for (let i = 0; i < 20; i++) channel.publish(String(i))
    for (const { connection } of [first, second]) connection.destroy()
    for (let i = 20; i < 40; i++) channel.publish(String(i))
    const late = bench.reader()
    channel.subscribe(late.connection, { from: 'oldest' })
    bench.endTurn()
    t.same(late.data, ['35', '36', '37', '38', '39'])
  })

  t.test('but not for those that are behind', async (t) => {
    const { bench, channel, reader } = await blocked({ history: memoryHistory({ maxMessages: 5 }) })
    const other = bench.reader()
    channel.subscribe(other.connection)
    for (const count of [20, 1]) {
      for (let i = 1; i <= count; i++) channel.publish(String(i))
      bench.endTurn()
    }
    reader.unblock()
    bench.endTurn()
    t.equal(other.data.length, 21)
    t.same(reader.data, ['0', '{"channel":"news","reason":"slow"}', '17', '18', '19', '20', '1'])
  })

  function burst(
    count: number,
    messages: number,
    length: number,
    options: Parameters<typeof memoryHistory>[0]
  ) {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { history: memoryHistory(options) })
    const readers = Array.from({ length: count }, () => bench.reader())
    for (const { connection } of readers) channel.subscribe(connection)
    const expected = Array.from({ length: messages }, (_, i) => String(i).padStart(length, '0'))
    for (const data of expected) channel.publish(data)
    return { bench, channel, readers, expected }
  }
})
