import { deepStrictEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Subscription } from '../../lib/index.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'
import { StrictParser } from '../helpers/strict-parser.ts'

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'
const NAMES = ['a', 'b', 'c'] as const
const ROOMY = { channels: { '*': { maxBytes: 100_000_000, maxAgeMs: false } } } as const

type Step =
  | { readonly act: 'publish'; readonly to: readonly string[]; readonly length: number }
  | { readonly act: 'send'; readonly length: number }
  | { readonly act: 'toggle'; readonly name: string }
  | { readonly act: 'turn'; readonly shares: number }
  | { readonly act: 'read'; readonly bytes: number }
  | { readonly act: 'block' | 'unblock' }

const name = fc.constantFrom(...NAMES)
const length = fc.constantFrom(1, 1, 1, 1_000, 70_000)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      act: fc.constant('publish' as const),
      to: fc.uniqueArray(name, { minLength: 1, maxLength: 2 }),
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
const toggle: fc.Arbitrary<Step> = fc.record({ act: fc.constant('toggle' as const), name })

/** Three channels and one client that is subscribed to all of them, and what it must get. */
class Inbox {
  readonly bench = new ChannelBench(ROOMY)
  readonly #subscriptions = new Map<string, Subscription>()
  /** What was published, in order. */
  readonly published: string[] = []
  /** What was published and reached the client, over all of its connections. */
  readonly received: string[] = []
  #reader: Reader
  #lastEventId: string | undefined
  #count = 0
  #isClosed = false
  /** The messages that must reach this connection, in order. */
  readonly expected: string[] = []

  constructor() {
    this.#reader = this.#open()
  }

  /** What reached this connection so far, in order. */
  get stream(): string[] {
    return new StrictParser().feed(Buffer.from(this.#reader.transport.text)).map(({ data }) => data)
  }

  take(step: Step): void {
    if (step.act === 'publish') this.#publish(step.to, step.length)
    else if (step.act === 'send') this.#send(step.length)
    else if (step.act === 'toggle') this.#toggle(step.name)
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
    for (const name of NAMES) {
      const isChosen = { filter: ({ data }: { data: string }) => data !== 'none' }
      const options = { from: 'oldest' as const, ...(name === 'c' && isChosen) }
      this.#subscriptions.set(name, this.bench.channel(name).subscribe(reader.connection, options))
    }
    return reader
  }

  #publish(to: readonly string[], length: number): void {
    const data = `${++this.#count} ${to}${'.'.repeat(length)}`
    this.published.push(data)
    if (!this.#isClosed && to.some((name) => this.#subscriptions.get(name)?.active)) this.expected.push(data)
    this.bench.channels.publish(to, data)
  }

  #send(length: number): void {
    const data = `${++this.#count} sent${'.'.repeat(length)}`
    if (!this.#isClosed) this.expected.push(data)
    this.#reader.connection.send(data)
  }

  /** What was published before is given all the same. */
  #toggle(name: string): void {
    const subscription = this.#subscriptions.get(name)
    if (subscription?.active) subscription.unsubscribe()
    else this.#subscriptions.set(name, this.bench.channel(name).subscribe(this.#reader.connection))
  }

  #keep(part: number): void {
    const bytes = Buffer.from(this.#reader.transport.text)
    const parser = new StrictParser()
    const events = parser.feed(bytes.subarray(0, Math.round(bytes.length * part)))
    this.received.push(...events.map(({ data }) => data).filter((data) => !data.includes('sent')))
    this.#lastEventId = parser.lastEventId || this.#lastEventId
  }
}

function assertSame(actual: readonly string[], expected: readonly string[]): void {
  const short = (list: readonly string[]): string[] => list.map((data) => data.replace(/\.+/, ''))
  deepStrictEqual(short(actual), short(expected))
}

/** Three channels, and a reader that is subscribed to all of them. */
function inbox() {
  const bench = new ChannelBench(ROOMY)
  const reader = bench.reader(undefined, { maxBufferedBytes: 100_000_000, stallMs: false })
  bench.channels.subscribe(reader.connection, NAMES)
  const publish = (...names: string[]) => bench.publishEach(...names)
  return { bench, reader, publish }
}

t.test('Connection › the order of channels', async (t) => {
  t.test('is the order of publishing: live, on return, and from the oldest', async (t) => {
    const bench = new ChannelBench()
    const brought = bench.cursor()
    const live = bench.subscribed(['b', 'a'])
    const order = ['a1', 'b2', 'a3', 'b4']
    const cursors = await bench.publishEach(...order)
    bench.endTurn()
    const back = bench.subscribed(['a', 'b'], brought)
    const oldest = bench.subscribed(['b', 'a'], undefined, { from: 'oldest' })
    const last = bench.subscribed(['b', 'a'], undefined, { from: { last: 2 } })
    bench.endTurn()
    for (const reader of [live, back, oldest, last]) t.same(reader.data, order)
    for (const [i, id] of cursors.entries()) {
      t.same(bench.given(['a', 'b'], id), order.slice(i + 1), `after ${order[i]}`)
    }
  })

  t.test('is that of the calls, with what is sent to the connection alone', async (t) => {
    const { bench, reader, publish } = inbox()
    publish('a1')
    reader.connection.send('2')
    publish('b3', 'b4')
    reader.connection.send('5')
    reader.connection.send('6')
    publish('c7', 'a8')
    reader.connection.send('9')
    bench.endTurn()
    t.same(reader.data, ['a1', '2', 'b3', 'b4', '5', '6', 'c7', 'a8', '9'])
  })

  t.test('is kept when a message is published from inside of a write', async (t) => {
    const { bench, reader, publish } = inbox()
    const write = reader.transport.writeBatch.bind(reader.transport)
    let count = 0
    reader.transport.writeBatch = (batch) => {
      if (++count < 6) publish(`${NAMES[count % 3]}${count}`)
      return write(batch)
    }
    bench.endTurn()
    t.same(reader.data, ['b1', 'c2', 'a3', 'b4', 'c5'])
  })

  t.test('is kept under any interleaving with sending, subscribing, stalling and closing', async (t) => {
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
      { numRuns: 300 }
    )
    t.pass()
  })

  t.test('is exact over any number of cuts, at any byte', async (t) => {
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
          assertSame(client.received, client.published)
        }
      ),
      { numRuns: 300 }
    )
    t.pass()
  })
})

t.test('Connection › a slow reader', async (t) => {
  t.test('has no queue: nothing is written before it has read', async (t) => {
    const { bench, reader, publish } = inbox()
    bench.endTurn()
    reader.block()
    publish('a0')
    bench.endTurn()
    const before = reader.transport.writes.length
    for (let i = 1; i <= 500; i++) {
      publish(`${NAMES[i % 3]}${i}`)
      bench.endTurn()
    }
    t.equal(reader.transport.writes.length, before)
    t.ok(reader.connection.bufferedBytes < 100)
    reader.unblock()
    bench.endTurn()
    t.same(
      reader.data,
      Array.from({ length: 501 }, (_, i) => `${NAMES[i % 3]}${i}`)
    )
  })

  t.test('catches up in shares of 256 KiB, and takes in what is published meanwhile', async (t) => {
    const bench = new ChannelBench(ROOMY)
    const brought = bench.cursor()
    const expected: string[] = []
    const publish = (count: number): void => {
      for (let i = 0; i < count; i++) {
        const data = `${expected.length}`.padStart(10_000, '0')
        expected.push(data)
        bench.channel(NAMES[i % 2]).publish(data)
      }
    }
    publish(60)
    const reader = bench.subscribed(['a', 'b'], brought)
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
})

t.test('Connection › ids', async (t) => {
  t.test('are the same for everybody, and as long, however many channels there are', async (t) => {
    const bench = new ChannelBench()
    const readers = [['a'], ['a', 'b'], ['b', 'c', 'a']].map((names) => bench.subscribed(names))
    const cursor = await bench.channel('a').publish('x')
    bench.endTurn()
    for (const reader of readers) t.same(reader.ids, [cursor])
    t.match(cursor, /^[0-9a-z]{10}-[0-9a-f]{10}$/)
  })

  t.test('of a thousand channels with long names take up no more, and resume exactly', async (t) => {
    const names = Array.from({ length: 1_000 }, (_, i) => `${'日本語の部屋'.repeat(12)}${i}`)
    const bench = new ChannelBench()
    const reader = bench.subscribed(names)
    bench.endTurn()
    const order = Array.from({ length: 300 }, (_, i) => names[(i * 7) % 1_000] ?? '')
    for (const [i, name] of order.entries()) bench.channel(name).publish(`${i}`)
    bench.endTurn()
    t.equal(reader.events.length, 300)
    t.ok(reader.ids.every((id) => id.length <= 64))
    for (const i of [0, 150, 299]) {
      const back = bench.subscribed(names.toReversed(), reader.ids[i])
      bench.endTurn()
      t.same(back.data, reader.data.slice(i + 1), 'after a cut')
      t.ok(back.ids.every((id) => id.length <= 64))
    }
    t.equal(bench.counters.gaps, 0)
  })

  t.test('name channels that have not caught up, in at most 1,024 bytes, and resume exactly', async (t) => {
    for (const count of [1, 40, 200]) {
      const names = Array.from({ length: count }, (_, i) => `${'日本語の部屋'.repeat(12)}${i}`)
      const bench = new ChannelBench()
      for (const name of names) bench.channel(name).publish([`${name}1`, `${name}2`])
      bench.endTurn()
      const reader = bench.subscribed(['live'])
      bench.channel('live').publish('live')
      bench.endTurn()
      bench.channels.subscribe(reader.connection, names, { from: 'oldest' })
      bench.endTurn()
      t.equal(reader.data.length, 1 + 2 * count)
      t.ok(reader.ids.every((id) => id.length <= 1_024))
      t.ok(reader.lastEventId.length <= 64, 'and 64 when they have')
      for (const cut of [1, count, 2 * count]) {
        const back = bench.subscribed(['live', ...names], reader.ids[cut])
        bench.endTurn()
        const given = [...reader.data.slice(1, cut + 1), ...back.data]
        const isTold = (reader.ids[cut] ?? '').includes('~')
        const missed = names
          .flatMap((name) => [`${name}1`, `${name}2`])
          .filter((data) => !given.includes(data))
        const gaps = back.told.filter((data) => data.startsWith('!')).map((data) => data.split(' ')[0])
        t.ok(
          missed.every((data) => gaps.includes(`!${data.slice(0, -1)}`)),
          'what is not given is told'
        )
        if (!isTold) t.same([missed, gaps], [[], []], 'and nothing is, if the id could say it all')
        t.equal(new Set(given).size, given.length)
      }
    }
  })

  t.test(
    'tell the place of a new subscription at once, so that who is cut off then misses nothing',
    async (t) => {
      const bench = new ChannelBench()
      const reader = bench.subscribed(['a'])
      bench.endTurn()
      t.match(reader.transport.text, /^id: [0-9a-z-]+\n\n$/)
      t.equal(reader.connection.messages, 0, 'which is no message')
      const { lastEventId, transport } = reader
      bench.channel('b').subscribe(reader.connection)
      bench.endTurn()
      t.equal(transport.writes.length, 2)
      t.ok(reader.lastEventId > lastEventId)
      reader.leave()
      await bench.publishEach('a1', 'b2')
      t.same(bench.given(['a', 'b'], reader.lastEventId), ['a1', 'b2'])
    }
  )

  t.test('come with an event, which clients note that do not note an id alone', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader(undefined, { cursorEvent: 'sse-cursor' })
    bench.channel().subscribe(reader.connection)
    bench.endTurn()
    t.equal(reader.transport.text, `id: ${reader.lastEventId}\nevent: sse-cursor\ndata: {}\n\n`)
    t.equal(reader.connection.messages, 0)
  })
})

t.test('Connection › heartbeats', async (t) => {
  const options = { heartbeatMs: 1_000, stallMs: false } as const

  /** A connection that is quiet from `now` on. */
  function beat(reader: Reader, now: number): void {
    for (const at of [now, now + 1_000]) reader.connection.beat(at)
    reader.endTurn()
  }

  t.test('tell the place when the filter has passed messages over since the last', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader(undefined, options)
    bench.channel('a').subscribe(reader.connection, { filter: ({ data }) => data === 'yes' })
    bench.channel('b').subscribe(reader.connection)
    const first = await bench.channel('a').publish('yes')
    bench.endTurn()
    reader.connection.beat(0)
    await bench.channel('a').publish(['no', 'no'])
    bench.endTurn()
    const text = `id: ${first}\ndata: yes\n\n`
    t.equal(reader.transport.text, text)
    reader.connection.beat(999)
    bench.endTurn()
    t.equal(reader.transport.text, text, 'not before the stream was quiet for heartbeatMs')
    reader.connection.beat(1_000)
    bench.endTurn()
    const told = reader.transport.text.slice(text.length)
    t.match(told, /^id: [0-9a-z-]+\n\n$/)
    const { lastEventId } = reader
    beat(reader, 1_001)
    t.equal(reader.transport.text, `${text}${told}:\n`, 'then there is nothing new to tell')
    t.equal(reader.connection.messages, 1)
    t.equal(reader.connection.bytes, reader.transport.text.length)
    t.same(bench.given(['a', 'b'], lastEventId), [])
  })

  t.test(
    'tell the place by the event that was chosen, which clients note that note no id without data',
    async (t) => {
      const bench = new ChannelBench()
      const reader = bench.reader(undefined, { ...options, heartbeatEvent: 'ping' })
      bench.channel().subscribe(reader.connection, { filter: () => false })
      bench.endTurn()
      await bench.channel().publish('no')
      bench.endTurn()
      const { length } = reader.transport.text
      beat(reader, 0)
      const told = `id: ${reader.lastEventId}\nevent: ping\ndata: {}\n\n`
      t.equal(reader.transport.text.slice(length), told)
      beat(reader, 1_001)
      t.equal(reader.transport.text.slice(length), `${told}event: ping\ndata: {}\n\n`)
      t.same(bench.given(['a'], reader.lastEventId), [])
    }
  )

  t.test('are comments on a connection that has given up its subscriptions', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader(undefined, options)
    bench.channel().subscribe(reader.connection, { filter: () => false })
    bench.endTurn()
    bench.channel().publish('no')
    bench.endTurn()
    reader.connection.subscriptions[0]?.unsubscribe()
    bench.endTurn()
    const { text } = reader.transport
    beat(reader, 0)
    t.equal(reader.transport.text, `${text}:\n`)
  })
})

t.test('Connection › close()', async (t) => {
  t.test('delivers what was published before it, and nothing after', async (t) => {
    const { bench, reader, publish } = inbox()
    publish('a1')
    reader.connection.send('2')
    publish('b3')
    reader.connection.close()
    publish('a4')
    reader.connection.send('5')
    bench.endTurn()
    t.same(reader.data, ['a1', '2', 'b3', 'Closing the connection'])
    t.ok(reader.transport.text.endsWith(`data: b3\n\n${FAREWELL}`))
    t.same(reader.transport.ended, { reuse: true })
    reader.leave()
    t.equal(bench.channels.live.size, 0)
  })

  t.test('gives a returning client what it missed, though its handler has not settled', async (t) => {
    const bench = new ChannelBench()
    const brought = bench.cursor()
    await bench.publishEach('a1', 'b2')
    const reader = bench.unsettled(brought)
    bench.channels.subscribe(reader.connection, ['a', 'b'])
    reader.connection.close()
    bench.endTurn()
    t.same(reader.data, ['a1', 'b2', 'Closing the connection'])
    t.ok(reader.transport.ended)
  })
})
