import t from 'tap'
import type { LiveChannel } from '../../lib/channel/channel.ts'
import {
  type ChannelOptions,
  type Cursor,
  type GapAnswer,
  memoryHistory,
  type SubscribeOptions,
  type Subscription
} from '../../lib/index.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'
import { LateHistory } from '../helpers/late-history.ts'
import { deferred, nextTurn } from '../helpers/server.ts'
import { hasSettled } from '../helpers/settled.ts'

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'

interface Bench {
  readonly bench: ChannelBench
  readonly history: LateHistory
  readonly channel: LiveChannel
  /** The cursors of messages 1, 2 and 3, which were published before. */
  readonly one: Cursor
  readonly two: Cursor
  readonly three: Cursor
  /** A client that is subscribed to the channel. */
  subscribe(lastEventId?: string, options?: SubscribeOptions): Reader
}

/** The channel `a` on a late history, with three messages. */
async function late(options: ChannelOptions = {}, history = new LateHistory()): Promise<Bench> {
  const bench = new ChannelBench()
  const channel = bench.channel('a', { history, ...options })
  const [one, two, three] = [
    await channel.publish('1'),
    await channel.publish('2'),
    await channel.publish('3')
  ]
  const subscribe = (lastEventId?: string, options?: SubscribeOptions): Reader => {
    const reader = bench.reader(lastEventId)
    channel.subscribe(reader.connection, options)
    bench.endTurn()
    return reader
  }
  return { bench, history, channel, one, two, three, subscribe }
}

/** The same, on a history whose logs are open. */
function open(options: ChannelOptions = {}): Promise<Bench> {
  return late(options, new LateHistory({ isOpen: true }))
}

function message(id: string, data: string): string {
  return `id: ${id}\ndata: ${data}\n\n`
}

function gap(id: string, reason: string, channel = 'a'): string {
  return `id: ${id}\nevent: gap\ndata: ${JSON.stringify({ channel, reason })}\n\n`
}

t.test('Late history › a log that is not open', async (t) => {
  t.test('has no place, and nothing is written before it has', async (t) => {
    for (const lastEventId of [undefined, 'x', 'a=x', 'a=x&b=y']) {
      const { bench, channel, subscribe } = await late()
      const reader = subscribe(lastEventId)
      await channel.publish('4')
      bench.endTurn()
      t.equal(reader.transport.text, '', `the client brought ${lastEventId}`)
      t.ok(reader.transport.started, 'but the head of the response')
      t.same(bench.gaps, [])
    }
  })

  t.test("from: 'now' is where it stands when it opens", async (t) => {
    const { bench, history, channel, subscribe } = await late()
    const reader = subscribe()
    const four = await channel.publish('4')
    history.come()
    const five = await channel.publish('5')
    bench.endTurn()
    const six = await channel.publish('6')
    bench.endTurn()
    t.not(four, '')
    t.equal(reader.transport.text, message(five, '5') + message(six, '6'))
  })

  t.test("from: 'oldest' is what is kept when it opens", async (t) => {
    const history = new LateHistory({ history: memoryHistory({ maxMessages: 2 }) })
    const { bench, channel, subscribe } = await late({}, history)
    const reader = subscribe(undefined, { from: 'oldest' })
    const four = await channel.publish('4')
    history.come()
    const five = await channel.publish('5')
    bench.endTurn()
    t.equal(reader.transport.text, message(four, '4') + message(five, '5'))
    t.same(bench.gaps, [], 'or what is left of that when it is first read')
  })

  t.test('a cursor goes on when it opens, whoever brought it', async (t) => {
    for (const how of ['plain', 'named', 'of several', 'from']) {
      const { bench, history, channel, one, two, three, subscribe } = await late()
      const ids = { plain: one, named: `a=${one}`, 'of several': `b=x&a=${one}`, from: undefined }
      const reader = subscribe(ids[how as keyof typeof ids], how === 'from' ? { from: one } : {})
      t.equal(reader.transport.text, '', `${how}: not even its own place is told before`)
      history.come()
      bench.endTurn()
      t.equal(reader.transport.text, message(two, '2') + message(three, '3'), how)
      const four = await channel.publish('4')
      bench.endTurn()
      t.equal(reader.lastEventId, four, how)
    }
  })

  t.test('a cursor that is the head is told when it opens', async (t) => {
    for (const named of ['', 'a=']) {
      const { bench, history, three, subscribe } = await late()
      const reader = subscribe(`${named}${three}`)
      t.equal(reader.transport.text, '')
      history.come()
      bench.endTurn()
      t.equal(reader.transport.text, `id: ${three}\n\n`)
    }
  })

  t.test('a place is told when it opens, so that who is cut off then misses nothing', async (t) => {
    const { bench, history, channel, three, subscribe } = await late()
    const reader = subscribe()
    history.come()
    bench.endTurn()
    t.equal(reader.transport.text, `id: ${three}\n\n`)
    reader.connection.destroy()
    const four = await channel.publish('4')
    const back = subscribe(reader.lastEventId)
    history.come()
    bench.endTurn()
    t.equal(back.transport.text, message(four, '4'))
  })

  t.test('subscription.cursor and ready say when it is settled', async (t) => {
    const { bench, history, channel, three } = await late()
    const subscription = channel.subscribe(bench.reader().connection)
    t.equal(subscription.cursor, undefined)
    t.equal(await hasSettled(subscription.ready), false)
    const { ready } = subscription
    bench.endTurn()
    history.come()
    t.equal(subscription.cursor, three, 'before anything is written')
    await ready
    await subscription.ready
    const later = channel.subscribe(bench.reader().connection)
    t.equal(later.cursor, three, 'at once when the log is open')
    await later.ready
  })

  t.test('a cursor is settled at once, as far as it is clear whose it is', async (t) => {
    const { bench, history, channel, one, three } = await late()
    const named = channel.subscribe(bench.reader(`a=${one}`).connection)
    await named.ready
    const plain = channel.subscribe(bench.reader(one).connection)
    t.equal(await hasSettled(plain.ready), false, 'it could be of another channel')
    const from = channel.subscribe(bench.reader().connection, { from: one })
    await from.ready
    bench.endTurn()
    history.come()
    bench.endTurn()
    await plain.ready
    for (const { cursor } of [named, plain, from]) t.equal(cursor, three)
  })

  t.test('what is lost by then is lost by nobody’s slowness', async (t) => {
    for (const slow of ['gap', 'disconnect', 'latest'] as const) {
      for (const how of ['plain', 'named', 'from']) {
        const history = new LateHistory({ history: memoryHistory({ maxMessages: 1 }) })
        const { bench, one, two, three, subscribe } = await late({ slow }, history)
        const reader = subscribe(
          { plain: one, named: `a=${one}` }[how],
          how === 'from' ? { from: one } : undefined
        )
        bench.endTurn()
        history.come()
        bench.endTurn()
        t.equal(reader.transport.text, gap(two, 'expired') + message(three, '3'), `${slow}, ${how}`)
        t.equal(reader.connection.state, 'open')
      }
    }
  })

  t.test("slow: 'latest' gives who comes back the newest of each key", async (t) => {
    for (const named of ['', 'a=']) {
      const { bench, history, one, three, subscribe } = await late({ slow: 'latest' })
      const reader = subscribe(`${named}${one}`)
      bench.endTurn()
      history.come()
      bench.endTurn()
      t.equal(reader.transport.text, message(three, '3'))
    }
  })

  t.test('direct sends, heartbeats and publishers do not wait for it', async (t) => {
    const { bench, history, channel, three } = await late()
    const reader = bench.reader(undefined, { heartbeatMs: 1_000 })
    channel.subscribe(reader.connection)
    reader.connection.send('before')
    bench.endTurn()
    reader.connection.beat(1)
    reader.connection.beat(1_001)
    t.equal(reader.transport.text, 'data: before\n\n: \n\n')
    const large = channel.publish('x'.repeat(100_000))
    await large
    await channel.publish('4')
    reader.connection.send('after')
    bench.endTurn()
    history.come()
    bench.endTurn()
    t.not(reader.lastEventId, three)
    t.equal(reader.transport.text, `data: before\n\n: \n\ndata: after\n\nid: ${reader.lastEventId}\n\n`)
  })

  t.test('who leaves before it opens leaves nothing behind', async (t) => {
    const ways: Record<string, (reader: Reader, subscription: Subscription) => void> = {
      'unsubscribe()': (_, subscription) => subscription.unsubscribe(),
      'close()': ({ connection }) => connection.close(),
      'destroy()': ({ connection }) => connection.destroy(),
      'the client': ({ connection }) => connection.transportOnClose()
    }
    for (const [name, leave] of Object.entries(ways)) {
      const ended: Subscription[] = []
      const { bench, history, channel } = await late({ onUnsubscribe: (one) => void ended.push(one) })
      const reader = bench.reader()
      const subscription = channel.subscribe(reader.connection)
      const { ready } = subscription
      bench.endTurn()
      t.equal(history.pending, 1)
      leave(reader, subscription)
      bench.endTurn()
      reader.connection.transportOnClose()
      await ready
      t.same([subscription.active, subscription.cursor, channel.size], [false, undefined, 0], name)
      t.same(ended, [subscription])
      t.same([history.pending, bench.pending], [0, 0])
      t.equal(reader.transport.text, name === 'close()' ? FAREWELL : '')
    }
  })

  t.test('who was refused by onSubscribe leaves nothing behind', async (t) => {
    const promised: Promise<void>[] = []
    const onSubscribe = ({ ready }: Subscription): void => {
      promised.push(ready)
      throw new Error('no')
    }
    const { bench, history, channel } = await late({ onSubscribe })
    t.throws(() => channel.subscribe(bench.reader().connection), { message: 'no' })
    t.equal(await hasSettled(Promise.all(promised)), true)
    t.same([history.pending, channel.size], [0, 0])
  })

  t.test('who leaves and comes back before it opens begins anew', async (t) => {
    const { bench, history, channel, three } = await late()
    const reader = bench.reader()
    channel.subscribe(reader.connection).unsubscribe()
    channel.subscribe(reader.connection)
    bench.endTurn()
    history.come()
    const four = await channel.publish('4')
    bench.endTurn()
    t.not(four, three)
    t.equal(reader.transport.text, message(four, '4'))
  })

  t.test('opens for those who came meanwhile too', async (t) => {
    const { bench, history, channel, two, three, subscribe } = await late()
    const readers = [subscribe(), subscribe(two), subscribe(undefined, { from: 'oldest' })]
    history.come()
    const four = await channel.publish('4')
    bench.endTurn()
    t.same(
      readers.map(({ data }) => data),
      [['4'], ['3', '4'], ['1', '2', '3', '4']]
    )
    t.same(new Set(readers.map(({ lastEventId }) => lastEventId)), new Set([four]))
    t.not(three, four)
  })
})

t.test('Late history › a place that is not there', async (t) => {
  t.test('is waited for, and what is newer comes after it', async (t) => {
    const { bench, history, channel, one, two, three, subscribe } = await open()
    history.hold(one)
    const reader = subscribe(one)
    const four = await channel.publish('4')
    bench.endTurn()
    t.equal(reader.transport.text, '')
    t.equal(history.pending, 1)
    history.come()
    t.equal(reader.transport.text, '', 'until the end of the turn')
    bench.endTurn()
    t.equal(reader.transport.text, message(two, '2') + message(three, '3') + message(four, '4'))
    t.equal(history.pending, 0)
  })

  t.test('is waited for page by page', async (t) => {
    const inner = memoryHistory()
    const history = new LateHistory({ history: inner, isOpen: true, isForgetful: true, pageBytes: 1 })
    const { bench, channel, one, subscribe } = await late({}, history)
    const reader = subscribe(`a=${one}`)
    for (const expected of [[], ['2'], ['2', '3']]) {
      t.same(reader.data, expected)
      history.come()
      bench.endTurn()
    }
    await channel.publish('4')
    bench.endTurn()
    t.same(reader.data, ['2', '3', '4'], 'and then it is live')
    t.equal(history.pending, 0)
  })

  t.test('holds up nobody else', async (t) => {
    const { bench, history, channel, one, two, subscribe } = await open()
    history.hold(one)
    const [waiting, other, live] = [subscribe(one), subscribe(two), subscribe()]
    await channel.publish('4')
    bench.endTurn()
    waiting.connection.send('direct')
    bench.endTurn()
    t.same(
      [waiting, other, live].map(({ data }) => data),
      [['direct'], ['3', '4'], ['4']]
    )
  })

  t.test('is asked for again by whoever needs it, when it did not come with the others', async (t) => {
    const { bench, history, channel, one, two, subscribe } = await open()
    history.hold(one)
    const reader = subscribe(one)
    history.hold(two)
    const other = subscribe(two)
    history.come()
    history.hold(two)
    bench.endTurn()
    t.same([reader.data, other.data], [['2', '3'], []])
    t.equal(history.pending, 1)
    history.come()
    await channel.publish('4')
    bench.endTurn()
    t.same(other.data, ['3', '4'])
  })

  t.test('is no gap, but can turn out to be one', async (t) => {
    for (const slow of ['gap', 'disconnect'] as const) {
      const history = new LateHistory({ history: memoryHistory({ maxMessages: 3 }), isOpen: true })
      const { bench, channel, one, subscribe, three } = await late({ slow }, history)
      history.hold(one)
      const reader = subscribe(one)
      const four = await channel.publish('4')
      const five = await channel.publish('5')
      bench.endTurn()
      t.equal(reader.transport.text, '')
      history.come()
      bench.endTurn()
      const rest = message(three, '3') + message(four, '4') + message(five, '5')
      const oldest = three.replace('-3', '-2')
      t.equal(reader.transport.text, gap(oldest, 'expired') + rest, 'expired, for it never had its turn')
    }
  })

  t.test('of a reader that was there before: what is lost is lost by its slowness', async (t) => {
    const history = new LateHistory({ history: memoryHistory({ maxMessages: 2 }), isOpen: true })
    const { bench, channel, subscribe } = await late({}, history)
    const reader = subscribe()
    reader.block()
    const four = await channel.publish('4')
    bench.endTurn()
    history.hold(four)
    for (const data of ['5', '6', '7']) await channel.publish(data)
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['4'])
    history.come()
    bench.endTurn()
    t.match(reader.transport.text, /"reason":"slow"/)
    t.same(reader.data.slice(2), ['6', '7'])
  })

  t.test('a filter sees what comes, and only then', async (t) => {
    const { bench, history, channel, one, three, subscribe } = await open()
    history.hold(one)
    const asked: string[] = []
    const filter = ({ data }: { data: string }): boolean => {
      asked.push(data)
      return data !== '2'
    }
    const reader = subscribe(one, { filter })
    await channel.publish('4')
    bench.endTurn()
    t.same(asked, [])
    history.come()
    bench.endTurn()
    t.same(asked, ['2', '3', '4'])
    t.same(reader.data, ['3', '4'])
    t.not(reader.lastEventId, three)
  })

  t.test('a filter that throws ends the connection then', async (t) => {
    const { bench, history, one, subscribe } = await open()
    history.hold(one)
    const filter = (): never => {
      throw new Error('no')
    }
    const reader = subscribe(one, { filter })
    t.equal(reader.connection.state, 'open')
    history.come()
    bench.endTurn()
    t.equal(reader.connection.state, 'closing')
    t.equal(reader.connection.reason, 'error')
    t.equal(history.pending, 0)
  })

  t.test("slow: 'latest' gives the newest of each key of what comes", async (t) => {
    const { bench, history, channel, one, three, subscribe } = await open({ slow: 'latest' })
    history.hold(one)
    const reader = subscribe(`a=${one}`)
    const other = await channel.publish({ event: 'other', data: '4' })
    bench.endTurn()
    history.come()
    bench.endTurn()
    t.equal(reader.transport.text, `${message(three, '3')}id: ${other}\nevent: other\ndata: 4\n\n`)
  })

  t.test('who leaves while it is waited for gets nothing of it', async (t) => {
    const ways: Record<string, (reader: Reader, subscription: Subscription) => void> = {
      'unsubscribe()': (_, subscription) => subscription.unsubscribe(),
      'close()': ({ connection }) => connection.close(),
      'destroy()': ({ connection }) => connection.destroy(),
      'the client': ({ connection }) => connection.transportOnClose()
    }
    for (const [name, leave] of Object.entries(ways)) {
      const { bench, history, channel, one, subscribe } = await open()
      history.hold(one)
      const stays = subscribe(one)
      const reader = bench.reader(one)
      const subscription = channel.subscribe(reader.connection)
      bench.endTurn()
      leave(reader, subscription)
      bench.endTurn()
      history.come()
      bench.endTurn()
      t.equal(reader.transport.text, name === 'close()' ? FAREWELL : '', name)
      reader.connection.transportOnClose()
      t.equal(subscription.active, false)
      t.equal(channel.size, 1)
      t.same(stays.data, ['2', '3'], 'the others do')
    }
  })

  t.test('word of what nobody waits for any more changes nothing', async (t) => {
    const { bench, history, one, three, subscribe } = await open()
    history.hold(one)
    const waiting = subscribe(one)
    const reader = subscribe()
    waiting.connection.destroy()
    history.come()
    bench.endTurn()
    t.equal(reader.transport.text, `id: ${three}\n\n`)
    t.equal(bench.pending, 0)
  })

  t.test('is read once for all who wait for it', async (t) => {
    const READERS = 5_000
    const { bench, history, channel, one, subscribe } = await open()
    history.hold(one)
    const readers = Array.from({ length: READERS }, () => {
      const reader = bench.reader(`a=${one}`)
      channel.subscribe(reader.connection)
      return reader
    })
    bench.endTurn()
    const other = subscribe()
    const { there } = history.reads
    history.come()
    bench.endTurn()
    t.equal(history.reads.there, there + 1)
    for (const { transport } of readers) {
      if (transport.batches[0] !== readers[0]?.transport.batches[0]) t.fail('they share what was read')
    }
    t.same(readers[READERS - 1]?.data, ['2', '3'])
    t.same(other.data, [])
  })
})

t.test('Late history › a gap', async (t) => {
  t.test('that onGap is asked about is told when both the answer and its place are there', async (t) => {
    const answer = deferred<GapAnswer>()
    const { bench, history, channel, three, subscribe } = await open({ onGap: () => answer.promise })
    const reader = subscribe('a=nothing')
    const four = await channel.publish('4')
    bench.endTurn()
    history.hold(three)
    answer.resolve({ event: 'snapshot', data: 'all' })
    await nextTurn()
    bench.endTurn()
    t.equal(reader.transport.text, '', 'the head of then is not there yet')
    history.come()
    bench.endTurn()
    t.match(reader.transport.text, /^id: \S+\nevent: snapshot\ndata: all\n\n/)
    t.equal(reader.lastEventId, four)
  })

  t.test('whose place is lost while it is waited for is told again, as nobody’s slowness', async (t) => {
    const history = new LateHistory({ history: memoryHistory({ maxMessages: 1 }), isOpen: true })
    const answer = deferred<GapAnswer>()
    let asked = 0
    const onGap = (): Promise<GapAnswer> | undefined => (asked++ === 0 ? answer.promise : undefined)
    const { bench, channel, three, subscribe } = await late({ onGap }, history)
    const reader = subscribe('a=nothing')
    history.hold(three)
    answer.resolve(undefined)
    await nextTurn()
    await channel.publish('4')
    bench.endTurn()
    const five = await channel.publish('5')
    bench.endTurn()
    t.equal(reader.transport.text, '')
    history.come()
    bench.endTurn()
    t.same(
      bench.gaps.map(({ gap }) => gap.reason),
      ['unknown', 'expired']
    )
    t.equal(reader.lastEventId, five)
  })

  t.test('of a client that has left is told nobody', async (t) => {
    const answer = deferred<GapAnswer>()
    const { bench, history, three, subscribe } = await open({ onGap: () => answer.promise })
    const reader = subscribe('a=nothing')
    history.hold(three)
    answer.resolve(undefined)
    await nextTurn()
    reader.connection.close()
    bench.endTurn()
    t.equal(reader.transport.text, FAREWELL)
  })
})

/** Two channels: `a` is not late, `b` is, and has the messages x and y. */
async function pair(history = new LateHistory()) {
  const bench = new ChannelBench()
  const a = bench.channel('a')
  const b = bench.channel('b', { history })
  const places = { a: await a.publish('0'), b: await b.publish('x') }
  const newest = await b.publish('y')
  const subscribe = (lastEventId?: string, options?: SubscribeOptions): Reader => {
    const reader = bench.reader(lastEventId)
    a.subscribe(reader.connection)
    b.subscribe(reader.connection, options)
    bench.endTurn()
    return reader
  }
  return { bench, history, a, b, places, newest, subscribe }
}

t.test('Late history › two channels on one connection, one of them late', async (t) => {
  t.test('the other does not wait, and ids leave out what is not known', async (t) => {
    const { bench, history, a, b, places, newest, subscribe } = await pair()
    const reader = subscribe()
    t.equal(reader.transport.text, `id: a=${places.a}\n\n`)
    const one = await a.publish('1')
    bench.endTurn()
    t.equal(reader.transport.text, `id: a=${places.a}\n\n${message(`a=${one}`, '1')}`)
    history.come()
    bench.endTurn()
    t.equal(reader.lastEventId, `a=${one}&b=${newest}`, 'until it opens')
    const z = await b.publish('z')
    bench.endTurn()
    t.same(reader.data, ['1', 'z'])
    t.equal(reader.lastEventId, `a=${one}&b=${z}`)
    t.same(bench.gaps, [])
  })

  t.test('whoever comes back before it opened loses nothing that it had', async (t) => {
    const { bench, history, a, places, subscribe } = await pair()
    const reader = subscribe(`a=${places.a}&b=${places.b}`)
    const one = await a.publish('1')
    bench.endTurn()
    t.equal(reader.lastEventId, `b=${places.b}&a=${one}`, 'a place that the client named stays in its ids')
    const back = subscribe(reader.lastEventId)
    history.come()
    bench.endTurn()
    t.same([reader.data, back.data], [['1', 'y'], ['y']])
    t.same(bench.gaps, [])
  })

  t.test("from: 'oldest' is what is kept when it opens", async (t) => {
    const { bench, history, a, subscribe } = await pair()
    const reader = subscribe(undefined, { from: 'oldest' })
    await a.publish('1')
    bench.endTurn()
    history.come()
    bench.endTurn()
    t.same(reader.data, ['1', 'x', 'y'])
    t.same(bench.gaps, [])
  })

  t.test('a plain cursor of the other one is none of it', async (t) => {
    const { bench, history, a, b, places, newest, subscribe } = await pair()
    const reader = subscribe(places.a)
    const one = await a.publish('1')
    bench.endTurn()
    t.equal(reader.lastEventId, `a=${one}`, 'which is clear before it opens')
    history.come()
    bench.endTurn()
    t.equal(reader.lastEventId, `a=${one}&b=${newest}`)
    await b.publish('z')
    bench.endTurn()
    t.same(reader.data, ['1', 'z'])
    t.same(bench.gaps, [])
  })

  t.test('a plain cursor of the other one: it starts where subscribe() says', async (t) => {
    for (const from of ['now', 'oldest', 'cursor']) {
      const { bench, history, places, subscribe } = await pair(new LateHistory({ isForgetful: true }))
      const reader = subscribe(places.a, { from: from === 'cursor' ? places.b : from })
      history.come()
      bench.endTurn()
      history.come()
      bench.endTurn()
      t.same(reader.data, { now: [], oldest: ['x', 'y'], cursor: ['y'] }[from], from)
      t.same(bench.gaps, [])
    }
  })

  t.test('a plain cursor of the late one is none of the other', async (t) => {
    const { bench, history, a, places, newest, subscribe } = await pair()
    const reader = subscribe(places.b)
    await a.publish('1')
    bench.endTurn()
    t.equal(reader.transport.text, '', 'which waits until that is clear')
    history.come()
    bench.endTurn()
    t.same(reader.data.toSorted(), ['1', 'y'])
    t.equal(reader.lastEventId.split('&').includes(`b=${newest}`), true)
    t.same(bench.gaps, [])
  })

  t.test('a plain cursor that none of them knows is a gap of both', async (t) => {
    const { bench, history, subscribe } = await pair()
    const reader = subscribe('nothing')
    t.equal(reader.transport.text, '')
    history.come()
    bench.endTurn()
    t.same(bench.gaps.map(({ gap }) => gap.channel).toSorted(), ['a', 'b'])
    t.equal(reader.data.length, 2 + 3, 'two gaps, and all that is kept')
  })

  t.test(
    'a plain cursor is settled when the other one can answer, though that waits for nothing',
    async (t) => {
      const history = new LateHistory({ isOpen: true })
      const { bench, a, b, subscribe, newest } = await pair(history)
      history.hold('x-1')
      const reader = bench.reader('x-1')
      b.subscribe(reader.connection, { resume: false })
      a.subscribe(reader.connection)
      bench.endTurn()
      t.equal(history.pending, 1)
      history.come()
      bench.endTurn()
      t.match(reader.transport.text, /"channel":"a","reason":"unknown"/)
      t.ok(reader.lastEventId.includes(`b=${newest}`))
      t.same(subscribe().data, [])
    }
  )

  t.test('unsubscribe() of the late one leaves the other as it is', async (t) => {
    const { bench, history, a, b } = await pair()
    const reader = bench.reader()
    a.subscribe(reader.connection)
    const subscription = b.subscribe(reader.connection)
    bench.endTurn()
    subscription.unsubscribe()
    history.come()
    const one = await a.publish('1')
    bench.endTurn()
    t.same(reader.data, ['1'])
    t.equal(reader.lastEventId, `a=${one}`)
  })

  t.test('a late place holds up neither the other channel nor close()', async (t) => {
    const { bench, history, a, b, places, subscribe } = await pair(new LateHistory({ isOpen: true }))
    history.hold(places.b)
    const reader = subscribe(`a=${places.a}&b=${places.b}`)
    await b.publish('z')
    const one = await a.publish('1')
    bench.endTurn()
    t.same(reader.data, ['1'])
    t.equal(reader.lastEventId, `b=${places.b}&a=${one}`)
    reader.connection.close()
    bench.endTurn()
    t.ok(reader.transport.text.endsWith(message(`b=${places.b}&a=${one}`, '1') + FAREWELL))
    const back = subscribe(reader.lastEventId)
    history.come()
    bench.endTurn()
    t.same(back.data, ['y', 'z'], 'and who comes back goes on there')
  })

  t.test('both late: whose a plain cursor is is settled by whichever opens', async (t) => {
    for (const order of [
      [0, 1],
      [1, 0]
    ]) {
      const bench = new ChannelBench()
      const histories = [new LateHistory(), new LateHistory()]
      const channels = ['a', 'b'].map((name, i) =>
        bench.channel(name, { history: histories[i] as LateHistory })
      )
      const [x, y] = [await channels[0]?.publish('x'), await channels[1]?.publish('y')]
      const reader = bench.reader(x)
      const subscriptions = channels.map((channel) => channel.subscribe(reader.connection, { from: y ?? '' }))
      bench.endTurn()
      for (const i of order) {
        histories[i]?.come()
        bench.endTurn()
      }
      t.same(reader.lastEventId.split('&').toSorted(), [`a=${x}`, `b=${y}`])
      await Promise.all(subscriptions.map(({ ready }) => ready))
      t.same(bench.gaps, [])
    }
  })

  t.test('both late: each comes when it does', async (t) => {
    const bench = new ChannelBench()
    const histories = [new LateHistory(), new LateHistory()] as const
    const [a, b] = [
      bench.channel('a', { history: histories[0] }),
      bench.channel('b', { history: histories[1] })
    ]
    const reader = bench.reader()
    for (const channel of [a, b]) channel.subscribe(reader.connection)
    bench.endTurn()
    t.equal(reader.transport.text, '')
    histories[1].come()
    const one = await b.publish('1')
    bench.endTurn()
    t.equal(reader.transport.text, message(`b=${one}`, '1'))
    histories[0].come()
    bench.endTurn()
    t.match(reader.lastEventId, new RegExp(`^a=[^&]+-0&b=${one}$`))
  })
})
