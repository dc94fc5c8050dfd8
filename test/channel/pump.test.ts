import { deepStrictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  type ChannelOptions,
  type Gap,
  type GapAnswer,
  memoryHistory,
  type Subscription
} from '../../lib/index.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'
import { deferred, nextTurn } from '../helpers/server.ts'
import { StrictParser } from '../helpers/strict-parser.ts'

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'
const NAMES = ['a', 'b', 'c'] as const

/** A combined id as what it says: the cursor of each channel. */
function placesOf(id: string): Record<string, string> {
  return Object.fromEntries(
    id.split('&').map((part) => {
      const [name = '', cursor = ''] = part.split('=')
      return [decodeURIComponent(name), cursor]
    })
  )
}

/** Three channels, and a reader that is subscribed to all of them. */
function inbox(options: ChannelOptions = {}, lastEventId?: string) {
  const bench = new ChannelBench({ maxBufferedBytes: 100_000_000 })
  const history = memoryHistory({ maxBytes: 100_000_000, maxAgeMs: false })
  const [a, b, c] = NAMES.map((name) => bench.channel(name, { history, ...options })) as Channels
  const channels = [a, b, c] as const
  const subscribe = (reader: Reader): Subscription[] =>
    channels.map((channel) => channel.subscribe(reader.connection))
  const reader = bench.reader(lastEventId, { maxBufferedBytes: 100_000_000, stallMs: false })
  return { bench, a, b, c, channels, reader, subscribe, subscriptions: subscribe(reader) }
}

type Channels = [LiveChannel, LiveChannel, LiveChannel]
type LiveChannel = ReturnType<ChannelBench['channel']>

type Step =
  | { readonly act: 'publish'; readonly to: readonly number[]; readonly length: number }
  | { readonly act: 'send'; readonly length: number }
  | { readonly act: 'toggle'; readonly at: number }
  | { readonly act: 'turn'; readonly shares: number }
  | { readonly act: 'read'; readonly bytes: number }
  | { readonly act: 'block' | 'unblock' }

const at = fc.integer({ min: 0, max: 2 })
const length = fc.constantFrom(1, 1, 1, 1_000, 70_000)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      act: fc.constant('publish' as const),
      to: fc.array(at, { minLength: 1, maxLength: 6 }),
      length
    })
  },
  { weight: 3, arbitrary: fc.record({ act: fc.constant('send' as const), length }) },
  {
    weight: 3,
    arbitrary: fc.record({ act: fc.constant('turn' as const), shares: fc.constantFrom(1, 2, 3, Infinity) })
  },
  { weight: 2, arbitrary: fc.record({ act: fc.constant('read' as const), bytes: fc.nat(100_000) }) },
  { weight: 2, arbitrary: fc.record({ act: fc.constantFrom('block' as const, 'unblock' as const) }) }
)
const toggle: fc.Arbitrary<Step> = fc.record({ act: fc.constant('toggle' as const), at })

/** Three channels and one client that is subscribed to all of them, and what it must get. */
class Inbox {
  readonly bench = new ChannelBench()
  readonly #channels = NAMES.map((name) =>
    this.bench.channel(name, { history: memoryHistory({ maxBytes: 100_000_000, maxAgeMs: false }) })
  )
  readonly #subscriptions = new Map<string, Subscription>()
  readonly #published: string[] = []
  readonly #received: string[] = []
  #reader: Reader
  #lastEventId: string | undefined
  #count = 0
  #isClosed = false
  /** The messages that must reach this connection, in order. */
  expected: string[] = []

  constructor() {
    this.#reader = this.#open()
  }

  /** What reached this connection so far, in order. */
  get stream(): string[] {
    return new StrictParser().feed(Buffer.from(this.#reader.transport.text)).map(({ data }) => data)
  }

  publishedTo(name: string): string[] {
    return this.#published.filter((data) => data.startsWith(name))
  }

  /** Over all of the client's connections. */
  receivedFrom(name: string): string[] {
    return this.#received.filter((data) => data.startsWith(name))
  }

  take(step: Step): void {
    if (step.act === 'publish') this.#publish(step.to, step.length)
    else if (step.act === 'send') this.#send(step.length)
    else if (step.act === 'toggle') this.#toggle(step.at)
    else if (step.act === 'turn') this.bench.endTurn(step.shares)
    else if (step.act === 'read') this.#reader.read(step.bytes)
    else this.#reader[step.act]()
  }

  close(): void {
    if (this.#isClosed) return
    this.#reader.connection.close()
    this.#isClosed = true
    this.expected.push('Closing the connection')
  }

  finish(): void {
    this.#reader.unblock()
    this.bench.endTurn()
    this.#keep(1)
  }

  /** Cuts the connection after this part of its bytes. The client comes back with the last id that it has. */
  comeBack(part: number): void {
    this.#keep(part)
    this.#reader.connection.destroy()
    this.#reader = this.#open()
  }

  #open(): Reader {
    const reader = this.bench.reader(this.#lastEventId, { maxBufferedBytes: 100_000_000 })
    for (const channel of this.#channels) {
      const isChosen = { filter: () => true }
      const options = { from: 'oldest' as const, ...(channel.name === 'c' && isChosen) }
      this.#subscriptions.set(channel.name, channel.subscribe(reader.connection, options))
    }
    return reader
  }

  #publish(to: readonly number[], length: number): void {
    for (const at of to) {
      const channel = this.#channels[at] as LiveChannel
      const data = `${channel.name}${++this.#count}${'.'.repeat(length)}`
      this.#published.push(data)
      if (!this.#isClosed && this.#subscriptions.get(channel.name)?.active) this.expected.push(data)
      channel.publish(data)
    }
  }

  #send(length: number): void {
    const data = `sent ${++this.#count}${'.'.repeat(length)}`
    if (!this.#isClosed) this.expected.push(data)
    this.#reader.connection.send(data)
  }

  /** What was published before, and is not taken, is not written any more. */
  #toggle(at: number): void {
    const channel = this.#channels[at] as LiveChannel
    const subscription = this.#subscriptions.get(channel.name)
    if (!subscription?.active) {
      this.#subscriptions.set(channel.name, channel.subscribe(this.#reader.connection))
      return
    }
    subscription.unsubscribe()
    const isBlocked = this.#reader.transport.bufferedBytes > 0
    const written = isBlocked ? this.stream.length : this.expected.length
    const rest = this.expected.slice(written).filter((data) => !data.startsWith(channel.name))
    this.expected = [...this.expected.slice(0, written), ...rest]
  }

  #keep(part: number): void {
    const bytes = Buffer.from(this.#reader.transport.text)
    const parser = new StrictParser()
    const events = parser.feed(bytes.subarray(0, Math.round(bytes.length * part)))
    this.#received.push(...events.map(({ data }) => data))
    this.#lastEventId = parser.lastEventId || this.#lastEventId
  }
}

function assertSame(actual: readonly string[], expected: readonly string[]): void {
  const short = (list: readonly string[]): string[] => list.map((data) => data.replace(/\.+/, ''))
  deepStrictEqual(short(actual), short(expected))
}

t.test('Pump › ids', async (t) => {
  t.test('of one channel are its cursors', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader()
    const channel = bench.channel('any name')
    channel.subscribe(reader.connection)
    const cursor = await channel.publish('x')
    bench.endTurn()
    t.equal(reader.transport.text, `id: ${cursor}\ndata: x\n\n`)
  })

  t.test('of several say where the connection stands in each', async (t) => {
    const { bench, a, b, reader, subscriptions } = inbox()
    const places = Object.fromEntries(subscriptions.map(({ channel, cursor }) => [channel.name, cursor]))
    bench.endTurn()
    t.equal(reader.transport.text, `id: a=${places.a}&b=${places.b}&c=${places.c}\n\n`)
    const published = [
      ['a', await a.publish('1')],
      ['b', await b.publish('2')],
      ['b', await b.publish('3')],
      ['a', await a.publish('4')]
    ] as const
    bench.endTurn()
    const { events } = reader
    for (const [i, [name, cursor]] of published.entries()) {
      places[name] = cursor
      t.same(placesOf(String(events[i]?.lastEventId)), places)
    }
    t.equal(events.length, 4)
  })

  t.test('take up to 28 characters for a cursor', async (t) => {
    const { bench, reader, subscriptions } = inbox()
    bench.endTurn()
    for (const { cursor } of subscriptions) t.ok(String(cursor).length <= 28)
    t.ok(reader.lastEventId.length <= 'a=&b=&c='.length + 3 * 28)
  })

  for (const name of [
    'a b',
    'user:ann',
    'ü😀',
    "it's (*all*)!",
    'a=b&c',
    '%',
    '%3D',
    '&',
    '=',
    '-',
    '..',
    '\0\n'
  ]) {
    t.test(`percent-encode the name ${JSON.stringify(name)}, and find it again`, async (t) => {
      const bench = new ChannelBench()
      const channels = [bench.channel(name), bench.channel('b'), bench.channel(`${name}b`)]
      const reader = bench.reader()
      for (const channel of channels) channel.subscribe(reader.connection)
      bench.endTurn()
      t.match(reader.lastEventId, /^[A-Za-z0-9._~%=&-]+$/)
      t.same(
        placesOf(reader.lastEventId),
        Object.fromEntries(
          [...reader.lastEventId.matchAll(/=([^&]+)/g)].map(([, cursor], i) => [channels[i]?.name, cursor])
        )
      )
      for (const [i, channel] of channels.entries()) channel.publish(String(i))
      const back = bench.reader(reader.lastEventId)
      for (const channel of channels) channel.subscribe(back.connection)
      bench.endTurn()
      t.same(back.data, ['0', '1', '2'])
      t.same(bench.gaps, [])
    })
  }

  t.test('keep their names when only one subscription is left, and are none when none is', async (t) => {
    const { bench, a, b, reader, subscriptions } = inbox()
    bench.endTurn()
    subscriptions[1]?.unsubscribe()
    subscriptions[2]?.unsubscribe()
    const cursor = await a.publish('1')
    b.publish('unseen')
    bench.endTurn()
    t.equal(reader.lastEventId, `a=${cursor}`)
    subscriptions[0]?.unsubscribe()
    const { text } = reader.transport
    a.publish('unseen')
    reader.connection.send('sent')
    reader.connection.comment()
    bench.endTurn()
    t.equal(reader.transport.text, `${text}data: sent\n\n: \n\n`)
  })

  t.test('tell the place in a channel that comes later at once', async (t) => {
    const bench = new ChannelBench()
    const [a, b] = [bench.channel('a'), bench.channel('b')]
    const reader = bench.reader()
    const first = a.subscribe(reader.connection)
    bench.endTurn()
    const before = reader.transport.text
    const second = b.subscribe(reader.connection)
    bench.endTurn()
    t.equal(reader.transport.text, `${before}id: a=${first.cursor}&b=${second.cursor}\n\n`)
  })

  t.test('are not for send() on such a connection', async (t) => {
    const { bench, reader } = inbox()
    for (const id of ['mine', '', 0]) {
      t.throws(() => reader.connection.send({ id, data: '' }), {
        code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE',
        message: /absent on a connection that is subscribed to a channel/
      })
    }
    reader.connection.send({ data: 'without' })
    bench.endTurn()
    t.same(reader.data, ['without'])
  })

  t.test('are for send() again when the last subscription has ended', async (t) => {
    const { bench, a, reader, subscriptions } = inbox()
    for (const subscription of subscriptions) {
      t.throws(() => reader.connection.send({ id: 'mine', data: '' }))
      subscription.unsubscribe()
    }
    reader.connection.send({ id: 'mine', data: '' })
    bench.endTurn()
    t.equal(reader.lastEventId, 'mine')
    a.subscribe(reader.connection)
    t.throws(() => reader.connection.send({ id: 'mine', data: '' }))
    const cursor = await a.publish('1')
    bench.endTurn()
    t.equal(reader.lastEventId, `a=${cursor}`)
  })
})

t.test('Pump › resume', async (t) => {
  t.test('restores each channel, from any event of the stream', async (t) => {
    const { bench, a, b, c, reader, subscribe } = inbox()
    bench.endTurn()
    const start = reader.lastEventId
    for (const channel of [a, b, a, c, c, b, a, a, b, c]) {
      channel.publish({ event: channel.name, data: bench.published })
      channel.publish({ event: channel.name, data: bench.published })
    }
    bench.endTurn()
    const { events } = reader
    t.equal(events.length, 20)
    const per = (list: typeof events, name: string) =>
      list.filter(({ type }) => type === name).map(({ data }) => data)
    for (const [i, id] of [start, ...events.map(({ lastEventId }) => lastEventId)].entries()) {
      const back = bench.reader(id)
      subscribe(back)
      bench.endTurn()
      for (const name of NAMES) t.same(per(back.events, name), per(events.slice(i), name))
    }
    t.same(bench.gaps, [])
  })

  t.test('is exact for each channel under any interleaving and cut at any byte', async (t) => {
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.array(fc.nat(1_000), { maxLength: 3 }),
        (steps, cuts) => {
          const client = new Inbox()
          const lengthOfPart = Math.ceil(steps.length / (cuts.length + 1))
          for (const [i, cut] of cuts.entries()) {
            for (const step of steps.slice(i * lengthOfPart, (i + 1) * lengthOfPart)) client.take(step)
            client.comeBack(cut / 1_000)
          }
          for (const step of steps.slice(cuts.length * lengthOfPart)) client.take(step)
          client.finish()
          for (const name of NAMES) assertSame(client.receivedFrom(name), client.publishedTo(name))
        }
      ),
      { numRuns: 300 }
    )
    t.pass()
  })

  t.test("reads only the channels that are subscribed: a client's id grants nothing", async (t) => {
    const bench = new ChannelBench()
    const [news, secret] = [bench.channel('news'), bench.channel('secret')]
    const place = await secret.publish('s1')
    secret.publish('s2')
    const cursor = await news.publish('n1')
    news.publish('n2')
    const reader = bench.reader(`secret=${place}&news=${cursor}`)
    news.subscribe(reader.connection)
    secret.publish('s3')
    bench.endTurn()
    t.same(reader.data, ['n2'])
    t.notMatch(reader.transport.text, 'secret')
    t.equal(secret.size, 0)
  })

  for (const order of ['the first', 'the second'] as const) {
    t.test(`with one plain id goes on in the channel whose it is, which is ${order}`, async (t) => {
      const bench = new ChannelBench()
      const history = memoryHistory()
      const [a, b] = [bench.channel('a', { history }), bench.channel('b', { history })]
      const cursor = await a.publish('a1')
      a.publish('a2')
      b.publish('b1')
      const reader = bench.reader(cursor)
      const channels = order === 'the first' ? [a, b] : [b, a]
      for (const channel of channels) channel.subscribe(reader.connection)
      b.publish('b2')
      bench.endTurn()
      t.same(reader.data, ['a2', 'b2'], 'the other begins as for a client that brought nothing')
      t.same(bench.gaps, [])
      t.same(Object.keys(placesOf(reader.lastEventId)).sort(), ['a', 'b'])
      t.equal(placesOf(reader.lastEventId).b, b.subscribe(bench.reader().connection).cursor)
    })
  }

  t.test('with one plain id of a message that is no longer kept tells that one channel a gap', async (t) => {
    const bench = new ChannelBench()
    const history = memoryHistory({ maxMessages: 1 })
    const [a, b] = [bench.channel('a', { history }), bench.channel('b', { history })]
    const lost = await a.publish('a1')
    for (const data of ['a2', 'a3']) a.publish(data)
    b.publish('b1')
    const reader = bench.reader(lost)
    for (const channel of [b, a]) channel.subscribe(reader.connection, { from: 'oldest' })
    bench.endTurn()
    t.same(reader.data.toSorted(), ['a3', 'b1', '{"channel":"a","reason":"expired"}'])
  })

  t.test('with one plain id that is of none of them tells each a gap', async (t) => {
    const bench = new ChannelBench()
    const [a, b] = [bench.channel('a'), bench.channel('b')]
    const reader = bench.reader('nonsense')
    for (const channel of [a, b]) channel.subscribe(reader.connection)
    bench.endTurn()
    t.same(
      bench.gaps.map(({ gap }) => gap),
      [a, b].map(({ name }) => ({ channel: name, reason: 'unknown' }))
    )
  })

  t.test('tells a gap in one channel, and goes on in the others', async (t) => {
    const { bench, a, b } = inbox()
    const cursor = await a.publish('a1')
    a.publish('a2')
    b.publish('b1')
    const back = bench.reader(`b=nonsense&a=${cursor}`)
    for (const channel of [a, b]) channel.subscribe(back.connection)
    bench.endTurn()
    t.same(back.data, ['a2', '{"channel":"b","reason":"unknown"}', 'b1'])
  })

  t.test('is not led over a gap whose answer is still out, by the ids of other channels', async (t) => {
    for (const brought of ['nonsense', '!']) {
      const answer = deferred<GapAnswer>()
      const asked: Gap[] = []
      const onGap = (gap: Gap) => {
        asked.push(gap)
        return answer.promise
      }
      const bench = new ChannelBench()
      const [a, b] = [bench.channel('a'), bench.channel('b', { onGap })]
      b.publish('b1')
      const cursor = await a.publish('a1')
      const reader = bench.reader(brought === '!' ? '!' : `a=${cursor}&b=${brought}`)
      a.subscribe(reader.connection, { resume: brought !== '!' })
      b.subscribe(reader.connection)
      a.publish('a2')
      bench.endTurn()
      t.same(reader.data, ['a2'])
      const back = bench.reader(reader.lastEventId)
      for (const channel of [a, b]) channel.subscribe(back.connection)
      bench.endTurn()
      t.same(asked, Array(2).fill({ channel: 'b', reason: 'unknown' }))
      answer.resolve(undefined)
      await nextTurn()
      bench.endTurn()
      t.same(reader.data.slice(1), ['{"channel":"b","reason":"unknown"}', 'b1'])
      t.same(back.data, ['{"channel":"b","reason":"unknown"}', 'b1'])
    }
  })
})

t.test('Pump › order', async (t) => {
  t.test('on one connection is the order of calls', async (t) => {
    const { bench, a, b, c, reader } = inbox()
    const calls = [
      () => a.publish('1'),
      () => reader.connection.send('2'),
      () => b.publish('3'),
      () => b.publish('4'),
      () => reader.connection.send('5'),
      () => reader.connection.send('6'),
      () => c.publish('7'),
      () => a.publish('8'),
      () => reader.connection.send('9')
    ]
    for (const call of calls) call()
    bench.endTurn()
    t.same(reader.data, ['1', '2', '3', '4', '5', '6', '7', '8', '9'])
  })

  t.test('is kept for a reader that was blocked', async (t) => {
    const { bench, a, b, reader } = inbox()
    reader.block()
    bench.endTurn()
    a.publish('1')
    reader.connection.send('2')
    b.publish('3')
    bench.endTurn()
    reader.connection.send('4')
    a.publish('5')
    t.same(reader.data, [])
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['1', '2', '3', '4', '5'])
  })

  t.test('is kept when a large send() makes the connection write before the turn ends', async (t) => {
    const { bench, a, reader } = inbox()
    a.publish('1')
    reader.connection.send(`2${'x'.repeat(70_000)}`)
    a.publish('3')
    bench.endTurn()
    t.same(
      reader.data.map((data) => data[0]),
      ['1', '2', '3']
    )
  })

  t.test(
    'is kept under any interleaving of publishing, sending, subscribing, stalling and closing',
    async (t) => {
      const steps = fc.array(fc.oneof({ weight: 9, arbitrary: step }, toggle), { maxLength: 50 })
      fc.assert(
        fc.property(steps, fc.option(fc.nat(50)), (steps, closesAt) => {
          const client = new Inbox()
          for (const [i, step] of steps.entries()) {
            if (i === closesAt) client.close()
            client.take(step)
          }
          client.finish()
          assertSame(client.stream, client.expected)
        }),
        { numRuns: 400 }
      )
      t.pass()
    }
  )
})

t.test('Pump › heartbeats', async (t) => {
  const options = { heartbeatMs: 1_000 }

  t.test('carry the id when the filter has passed messages over since the last', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader(undefined, options)
    channel.subscribe(reader.connection, { filter: ({ data }) => data === 'yes' })
    const first = await channel.publish('yes')
    bench.endTurn()
    reader.connection.beat(0)
    channel.publish('no')
    const passed = await channel.publish('no')
    bench.endTurn()
    const text = `id: ${first}\ndata: yes\n\n`
    t.equal(reader.transport.text, text)
    reader.connection.beat(999)
    bench.endTurn()
    t.equal(reader.transport.text, text, 'not before the stream was quiet for heartbeatMs')
    reader.connection.beat(1_000)
    bench.endTurn()
    t.equal(reader.transport.text, `${text}id: ${passed}\n\n`)
    reader.connection.beat(1_001)
    reader.connection.beat(2_001)
    bench.endTurn()
    t.equal(reader.transport.text, `${text}id: ${passed}\n\n: \n\n`, 'then there is nothing new to tell')
    t.equal(reader.connection.messages, 1)
    t.equal(reader.connection.bytes, reader.transport.text.length)
  })

  t.test('carry the places in all channels', async (t) => {
    const bench = new ChannelBench()
    const [a, b] = [bench.channel('a'), bench.channel('b')]
    const reader = bench.reader(undefined, options)
    const { cursor } = a.subscribe(reader.connection)
    b.subscribe(reader.connection, { filter: () => false })
    bench.endTurn()
    const before = reader.transport.text
    const passed = await b.publish('no')
    bench.endTurn()
    for (const now of [0, 1_000]) reader.connection.beat(now)
    bench.endTurn()
    const told = `${before}id: a=${cursor}&b=${passed}\n\n`
    t.equal(reader.transport.text, told)
    for (const now of [1_001, 2_001]) reader.connection.beat(now)
    bench.endTurn()
    t.equal(reader.transport.text, `${told}: \n\n`)
  })

  t.test('carry one named place when one channel is left', async (t) => {
    const bench = new ChannelBench()
    const [a, b] = [bench.channel('a'), bench.channel('b')]
    const reader = bench.reader(undefined, options)
    const first = a.subscribe(reader.connection)
    b.subscribe(reader.connection, { filter: () => false })
    bench.endTurn()
    first.unsubscribe()
    const passed = await b.publish('no')
    bench.endTurn()
    for (const now of [0, 1_000]) reader.connection.beat(now)
    bench.endTurn()
    t.equal(reader.lastEventId, `b=${passed}`)
  })

  t.test('are comments while a gap is not told yet', async (t) => {
    const bench = new ChannelBench()
    const a = bench.channel('a')
    const b = bench.channel('b', { onGap: () => new Promise(() => {}) })
    const place = await a.publish('1')
    const reader = bench.reader(`a=${place}&b=nonsense`, options)
    a.subscribe(reader.connection, { filter: () => false })
    b.subscribe(reader.connection)
    a.publish('2')
    bench.endTurn()
    for (const now of [0, 1_000]) reader.connection.beat(now)
    bench.endTurn()
    t.equal(reader.transport.text, ': \n\n')
  })

  t.test('that block the transport let the rest wait', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader(undefined, { ...options, stallMs: false })
    channel.subscribe(reader.connection, { filter: ({ data }) => data !== 'no' })
    bench.endTurn()
    channel.publish('no')
    bench.endTurn()
    reader.block()
    for (const now of [0, 1_000]) reader.connection.beat(now)
    const { length } = reader.transport.writes
    channel.publish('yes')
    bench.endTurn()
    for (const now of [2_000, 4_000]) reader.connection.beat(now)
    t.equal(reader.transport.writes.length, length)
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['yes'])
  })
})

t.test('Pump › close()', async (t) => {
  t.test('delivers what was published before it, and nothing after', async (t) => {
    const { bench, a, b, reader } = inbox()
    a.publish('1')
    reader.connection.send('2')
    b.publish('3')
    reader.connection.close()
    t.same(reader.data, ['1', '2', '3', 'Closing the connection'])
    a.publish('4')
    reader.connection.send('5')
    bench.endTurn()
    t.match(reader.transport.text, new RegExp(`data: 3\n\n${FAREWELL}$`))
    t.same(reader.transport.ended, { reuse: true })
    reader.connection.transportOnClose()
    t.equal(a.size, 0)
  })

  t.test('to a reader that was blocked, when it reads', async (t) => {
    const { bench, a, reader } = inbox()
    reader.block()
    bench.endTurn()
    a.publish('1')
    reader.connection.close()
    a.publish('2')
    bench.endTurn()
    t.notOk(reader.transport.ended)
    for (let i = 0; i < 5; i++) {
      reader.read(Infinity)
      bench.endTurn()
    }
    t.same(reader.data, ['1', 'Closing the connection'])
    t.ok(reader.transport.ended)
  })

  t.test('to a reader that was blocked, without a farewell', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader(undefined, { farewell: false })
    channel.subscribe(reader.connection)
    reader.block()
    bench.endTurn()
    channel.publish('1')
    reader.connection.close()
    t.notOk(reader.transport.ended)
    reader.unblock()
    t.same(reader.data, ['1'])
    t.ok(reader.transport.ended)
  })

  t.test('also what is more than one share', async (t) => {
    const { bench, a, b, reader } = inbox()
    const expected: string[] = []
    for (let i = 0; i < 20; i++) {
      const data = `${i}`.padEnd(50_000, '.')
      expected.push(data)
      const channel = i % 2 ? a : b
      channel.publish(data)
    }
    reader.connection.close()
    a.publish('late')
    bench.endTurn()
    t.same(reader.data, [...expected, 'Closing the connection'])
    t.ok(reader.transport.ended)
  })

  t.test('before the head is out', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.waiting()
    channel.subscribe(reader.connection)
    channel.publish('1')
    reader.connection.close()
    channel.publish('2')
    reader.connection.open(reader.transport)
    bench.endTurn()
    t.same(reader.data, ['1', 'Closing the connection'])
    t.ok(reader.transport.ended)
  })
})

t.test('Pump › shutdown', async (t) => {
  t.test('gives a reader that is behind what was published before, then the retry', async (t) => {
    const { bench, a, b, reader } = inbox()
    reader.block()
    bench.endTurn()
    const expected: string[] = []
    for (let i = 0; i < 10; i++) {
      const data = `${i}`.padEnd(50_000, '.')
      expected.push(data)
      const channel = i % 2 ? a : b
      channel.publish(data)
    }
    bench.endTurn()
    reader.closing = true
    reader.connection.shutdown()
    a.publish('late')
    t.notOk(reader.transport.ended)
    while (!reader.transport.ended) {
      reader.read(Infinity)
      bench.endTurn()
    }
    t.same(reader.data, expected)
    t.match(reader.transport.text, /\n\nretry: \d+\n\n$/)
    t.same(reader.transport.ended, { reuse: false })
  })

  t.test('tells a gap to one that is behind its history', async (t) => {
    const { bench, a, reader } = inbox({ history: memoryHistory({ maxMessages: 1 }) })
    bench.endTurn()
    reader.block()
    a.publish('1')
    bench.endTurn()
    a.publish('2')
    a.publish('3')
    bench.endTurn()
    reader.connection.shutdown()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['1', '{"channel":"a","reason":"slow"}', '3'])
    t.match(reader.transport.text, /\n\nretry: \d+\n\n$/)
  })
})

t.test('Pump › batches', async (t) => {
  function chunksOf(reader: Reader): Buffer[] {
    return reader.transport.batches.map(({ chunk }) => chunk)
  }

  t.test('are the same memory for all who stand at the same place, whether or not they read', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const readers = Array.from({ length: 40 }, () => bench.reader())
    for (const { connection } of readers) channel.subscribe(connection)
    for (const reader of readers.slice(20)) reader.block()
    for (const data of ['1', '2']) channel.publish(data)
    bench.endTurn()
    t.equal(new Set(readers.flatMap(chunksOf)).size, 1)
    t.equal(chunksOf(readers[0] as Reader).length, 1)
  })

  t.test('are shared by those who drain in the same turn', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const readers = Array.from({ length: 10 }, () => bench.reader())
    for (const { connection } of readers) channel.subscribe(connection)
    for (const reader of readers) reader.block()
    channel.publish('1')
    bench.endTurn()
    channel.publish('2')
    bench.endTurn()
    for (const reader of readers) reader.read(Infinity)
    t.equal(new Set(readers.map((reader) => chunksOf(reader)[1])).size, 1)
    t.same(readers[9]?.data, ['1', '2'])
  })

  t.test('are shared on connections with the same channels at the same places', async (t) => {
    const { bench, a, subscribe, reader } = inbox()
    const other = bench.reader()
    subscribe(other)
    bench.endTurn()
    a.publish('1')
    bench.endTurn()
    t.equal(chunksOf(other).at(-1), chunksOf(reader).at(-1))
  })

  t.test('are not shared where the ids differ', async (t) => {
    const { bench, a, reader } = inbox()
    const other = bench.reader()
    a.subscribe(other.connection)
    const cursor = await a.publish('1')
    bench.endTurn()
    t.equal(other.lastEventId, cursor)
    t.equal(placesOf(reader.lastEventId).a, cursor)
    t.same(Object.keys(placesOf(reader.lastEventId)).sort(), ['a', 'b', 'c'])
  })

  t.test('are chunks of HTTP/1.1', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    channel.publish('é')
    bench.endTurn()
    const [batch] = reader.transport.batches
    const { text } = reader.transport
    t.equal(String(batch?.chunk), `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`)
  })
})
