import t from 'tap'
import type { ChannelPatterns } from '../../lib/channel/channel-options.ts'
import { cursorIn } from '../../lib/channel/last-event-id.ts'
import type { From, ReadItem, SubscribeOptions } from '../../lib/index.ts'
import { ChannelBench } from '../helpers/channel-bench.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { HeldStore } from '../helpers/held-store.ts'
import { nextTurn, until } from '../helpers/server.ts'
import { hasSettled } from '../helpers/settled.ts'
import type { Shelf } from '../helpers/shelf-store.ts'

const UNKNOWN = '0000000001-elsewhere'

/** A server whose history is on a shelf that others may share. */
async function server(
  shelf?: Shelf,
  channels: ChannelPatterns = {}
): Promise<ChannelBench & { store: HeldStore }> {
  const store = new HeldStore(shelf)
  const bench = Object.assign(new ChannelBench({ history: { store }, channels }), { store })
  await bench.history.open()
  return bench
}

/** One that comes when others have published `1`, `2`, … to channels. */
async function late(counts: Record<string, number> = { news: 3 }) {
  const first = await server()
  const cursors: string[] = []
  for (const [name, count] of Object.entries(counts)) {
    for (let i = 1; i <= count; i++) cursors.push(await first.channel(name).publish(`${name} ${i}`))
  }
  const bench = await server(first.store.shelf)
  return { first, bench, store: bench.store, cursors }
}

/** Lets what the store was asked be answered, and the turn end. */
async function settle(bench: ChannelBench): Promise<void> {
  await nextTurn()
  bench.endTurn()
}

async function given(bench: ChannelBench, names: string[], id?: string, options?: SubscribeOptions) {
  if (id !== undefined) await bench.history.prove(cursorIn(id))
  const reader = bench.subscribed(names, id, options)
  await settle(bench)
  return reader.told
}

async function readAll(bench: ChannelBench, from: From | undefined, count: number): Promise<string[]> {
  const items: ReadItem[] = []
  for await (const item of bench.channel().read(from === undefined ? {} : { from })) {
    if (items.push(item) === count) break
  }
  return items.map((item) => (item.type === 'gap' ? `! ${item.reason}` : item.data))
}

t.test('store › where a subscription begins', async (t) => {
  const all = ['news 1', 'news 2', 'news 3']
  const cases: Record<string, { from: (cursors: string[]) => From; told: string[]; read?: string[] }> = {
    now: { from: () => 'now', told: [] },
    oldest: { from: () => 'oldest', told: all },
    first: { from: () => 'first', told: all },
    'the last two': { from: () => ({ last: 2 }), told: all.slice(1) },
    'a cursor that is to be proved': { from: ([first]) => first ?? '', told: all.slice(1) },
    'a cursor that the store does not know': {
      from: (cursors) => String(cursors.at(-1)).replace(/^.{10}/, 'zzzzzzzzzz'),
      told: ['!news unknown', ...all],
      read: ['! unknown', ...all]
    },
    "another history's cursor": {
      from: () => UNKNOWN,
      told: ['!news unknown', ...all],
      read: ['! unknown', ...all]
    }
  }
  for (const [title, { from, told, read = told }] of Object.entries(cases)) {
    const { bench, cursors } = await late()
    t.same(await given(bench, ['news'], undefined, { from: from(cursors) }), told, title)
    if (read.length === 0) continue
    const other = await late()
    t.same(await readAll(other.bench, from(other.cursors), read.length), read, `read() from ${title}`)
  }
})

t.test('store › what a client missed', async (t) => {
  t.test('is loaded for who comes back on another server', async (t) => {
    const { bench, cursors } = await late({ a: 2, b: 2 })
    t.same(await given(bench, ['a', 'b'], cursors[0]), ['a 2', 'b 1', 'b 2'])
  })

  t.test('is a gap if it is not kept any more', async (t) => {
    const first = await server()
    const channel = first.channel('a', { maxMessages: 2 })
    const cursors = await channel.publish(['1', '2', '3', '4'])
    const bench = await server(first.store.shelf)
    t.same(await given(bench, ['a'], cursors[0]), ['!a expired', '3', '4'])
    t.same(await given(bench, ['a'], cursors[1]), ['3', '4'], 'but not to who had it')
    t.same(await given(bench, ['a'], undefined, { from: 'first' }), ['!a expired', '3', '4'])
  })

  t.test('is uncertain if its id said so, as soon as it is known', async (t) => {
    const { bench, cursors } = await late({ a: 2, b: 2 })
    const [since = '', , , last = ''] = cursors
    const id = `${last}&~=${since.slice(0, 10)}`
    t.same(await given(bench, ['a', 'b'], id), ['!a uncertain', '!b uncertain'])
    t.same(await given(bench, ['c'], id), [], 'where nothing was, nothing is lost')
  })

  t.test('is uncertain where it is asked for after the store has lost places', async (t) => {
    const { bench, store, cursors } = await late({ a: 1, b: 1, c: 1 })
    await bench.history.prove(cursors[0] ?? '')
    const reader = bench.unsettled(cursors[0])
    bench.channels.subscribe(reader.connection, ['b'])
    store.listener?.storeOnLoss([], store.shelf.last)
    bench.channels.subscribe(reader.connection, ['c'])
    reader.connection.handlerOnSettle()
    await settle(bench)
    t.same(reader.told, ['!c uncertain', 'b 1', 'c 1'])
  })

  t.test('is a gap where others stood, if the store has dropped what was told to those since', async (t) => {
    const limits = { a: { maxMessages: 1 } }
    const first = await server(undefined, limits)
    const [one, two] = [await first.channel('a').publish('1'), await first.channel('a').publish('2')]
    const bench = await server(first.store.shelf, limits)
    bench.subscribed(['a'])
    await settle(bench)
    await bench.history.prove(one)
    bench.store.hold('read')
    const late = bench.subscribed(['a'], one)
    for (const data of ['3', '4']) await first.channel('a').publish(data)
    bench.store.release('read')
    await settle(bench)
    await settle(bench)
    t.same([late.told, late.ids[0]], [['!a expired', '3', '4'], two])
  })

  t.test('is no gap if the store knows that all was told here that it has dropped', async (t) => {
    const limits = { a: { maxMessages: 1 } }
    const first = await server(undefined, limits)
    const one = await first.channel('a').publish('1')
    const bench = await server(first.store.shelf, limits)
    await bench.history.prove(one)
    bench.store.toldAfter = bench.store.shelf.last
    bench.store.hold('read')
    const late = bench.subscribed(['a'], one)
    await settle(bench)
    for (const data of ['2', '3']) await first.channel('a').publish(data)
    bench.store.release('read')
    await settle(bench)
    await settle(bench)
    t.same(late.told, ['2', '3'])
  })

  t.test('is no more than what others who came back lacked, too', async (t) => {
    const limits = { a: { maxMessages: 2 } }
    const first = await server(undefined, limits)
    const cursors = await first.channel('a').publish(['1', '2', '3', '4'])
    const bench = await server(first.store.shelf)
    bench.store.toldAfter = bench.store.shelf.last
    await given(bench, ['a'], cursors[1])
    await bench.history.prove(cursors[0] ?? '')
    bench.store.hold('read')
    const late = bench.subscribed(['a'], cursors[0])
    await first.channel('a').publish(['5', '6'])
    bench.store.release('read')
    await settle(bench)
    t.same(late.told, ['!a expired', '3', '4', '5', '6'])
  })

  t.test('is given when it is loaded while others are to be told of what came after it', async (t) => {
    const { first, bench, store, cursors } = await late({ a: 1, b: 0 })
    bench.subscribed(['b'])
    await bench.history.prove(cursors[0] ?? '')
    await settle(bench)
    store.hold('tell')
    await first.channel('a').publish('2')
    const reader = bench.subscribed(['a', 'c'], cursors[0])
    const cursor = await first.channel('b').publish('b 1')
    await settle(bench)
    reader.connection.subscriptions[1]?.unsubscribe()
    // The store told of the first message before anybody followed its channel.
    const place = Number.parseInt(cursor, 36)
    const message = { place, channels: ['b'], text: 'data: b 1\n\n', key: '', isKept: true, isEnd: false }
    store.listener?.storeOnMessages([message], place)
    await settle(bench)
    await settle(bench)
    t.same(reader.told, ['2'])
  })

  t.test('is given by an earlier subscription until it is known where the next one begins', async (t) => {
    const { bench, store } = await late({ a: 1 })
    const reader = bench.subscribed(['a'])
    await settle(bench)
    reader.block()
    for (const text of ['a 2', 'a 3', 'a 4']) {
      await bench.channel('a').publish(text)
      bench.endTurn()
    }
    reader.connection.subscriptions[0]?.unsubscribe()
    store.hold('read')
    bench.channel('a').subscribe(reader.connection, { from: { last: 1 } })
    reader.unblock()
    store.release('read')
    await settle(bench)
    await settle(bench)
    t.same(reader.told, ['a 2', 'a 3', 'a 4'])
  })

  t.test('may be lost with what nobody had told this server', async (t) => {
    const { first, bench, store } = await late({ a: 1 })
    const standing = bench.subscribed(['a'])
    await settle(bench)
    store.hold('tell')
    const beyond = await first.channel('a').publish('a 2')
    await bench.history.prove(beyond)
    const returning = bench.subscribed(['a'], beyond)
    const items = bench.channel('a').read({ from: beyond })
    const item = items.next()
    await settle(bench)
    store.listener?.storeOnFork(bench.history.head)
    await settle(bench)
    t.same(returning.told, ['!a uncertain'])
    t.same(await item, { done: false, value: { type: 'gap', reason: 'uncertain' } })
    t.same(standing.told, [], 'but not of who stands where this server does')
    store.release('tell')
    await first.channel('a').publish('a 3')
    await settle(bench)
    t.same([returning.told.slice(1), standing.told], [['a 3'], ['a 2', 'a 3']])
    await items.return?.()
  })

  t.test('was lost if the store says so, also what it has told', async (t) => {
    const { bench, store } = await late({ a: 2 })
    const reader = bench.subscribed(['a'], undefined, { from: 'oldest' })
    await settle(bench)
    reader.block()
    await bench.channel('a').publish('a 3')
    bench.endTurn()
    await bench.channel('a').publish('a 4')
    store.listener?.storeOnLoss(['a', 'nobody has it'], store.shelf.last)
    reader.unblock()
    bench.endTurn()
    t.same(reader.told, ['a 1', 'a 2', 'a 3', '!a slow'])
  })
})

t.test(
  'store › a client whose channels are quiet keeps an id that is known when it comes back',
  async (t) => {
    const bench = await server()
    const reader = bench.subscribed(['a', 'b'])
    await settle(bench)
    const { shelf, listener } = bench.store
    let told = reader.lastEventId
    const news: string[] = []
    for (let minute = 1; minute <= 10; minute++) {
      shelf.last += 60_000_000
      listener?.storeOnMessages([], shelf.last)
      bench.endTurn()
      // Whatever else is sent, so that there is no heartbeat.
      reader.connection.send('hello')
      reader.connection.beat(0)
      bench.endTurn()
      if (reader.lastEventId === told) continue
      told = reader.lastEventId
      news.push(`${minute} minutes`)
    }
    t.same(news, ['5 minutes', '10 minutes'])
    t.equal(told, bench.history.cursorAt(shelf.last))
  }
)

t.test('store › nobody waits for it for long', async (t) => {
  t.test('what is late comes behind what others of the channels have, and ids say so', async (t) => {
    const { bench, store } = await late({ a: 2, b: 1, c: 1 })
    bench.subscribed(['b'])
    await settle(bench)
    const clock = FakeClock.install(t)
    store.hold('read')
    const reader = bench.subscribed(['a', 'c'], undefined, { from: 'oldest' })
    bench.channel('b').subscribe(reader.connection)
    const { ready } = reader.connection.output.feed ?? {}
    await bench.channel('b').publish('b 2')
    await settle(bench)
    t.same([reader.told, ready && (await hasSettled(ready))], [[], false], 'the head waits')
    clock.advance(1_000)
    t.ok(ready && (await hasSettled(ready)), 'for a second')
    bench.channel('d').subscribe(reader.connection, { from: 'oldest' })
    bench.endTurn()
    t.same(reader.told, ['b 2'])
    t.match(reader.lastEventId, /^\w{10}-\w+(&[\w-]{8}=0000000000){3}$/)
    const other = await server(store.shelf)
    t.same(await given(other, ['a', 'b', 'c'], reader.lastEventId), ['a 1', 'a 2', 'c 1'])
    store.release('read')
    await settle(bench)
    t.same(reader.told, ['b 2', 'a 1', 'a 2', 'c 1'])
    await bench.channel('b').publish('b 3')
    bench.endTurn()
    t.match([reader.told.at(-1), reader.lastEventId], ['b 3', /^\w{10}-\w+$/])
    t.equal(reader.connection.output.feed?.ready, undefined)
  })

  t.test('who leaves meanwhile leaves nothing', async (t) => {
    const { bench, store } = await late({ a: 1 })
    const clock = FakeClock.install(t)
    store.hold('read')
    const reader = bench.subscribed(['a'], undefined, { from: 'oldest' })
    const { ready } = reader.connection.output.feed ?? {}
    await nextTurn()
    reader.leave()
    t.ok(ready && (await hasSettled(ready)))
    t.same([bench.channels.live.size, clock.pending.all], [0, 0])
    store.release('read')
    await settle(bench)
    t.equal(bench.history.lengthOf('a'), 0)
  })

  t.test('what was published before unsubscribe() still comes', async (t) => {
    const { bench, store } = await late({ a: 2 })
    store.hold('read')
    const reader = bench.reader()
    const subscription = bench.channel('a').subscribe(reader.connection, { from: 'oldest' })
    await settle(bench)
    subscription.unsubscribe()
    store.release('read')
    await bench.channel('a').publish('a 3')
    await settle(bench)
    t.same(reader.told, ['a 1', 'a 2'])
  })

  t.test('also if it has not come yet', async (t) => {
    const { bench, store } = await late({ a: 2 })
    store.hold('tell')
    await bench.channel('a').publish('a 3')
    const reader = bench.reader()
    bench.channel('a').subscribe(reader.connection, { from: 'oldest' }).unsubscribe()
    store.release('tell')
    await settle(bench)
    t.same(reader.told, ['a 1', 'a 2', 'a 3'])
  })

  t.test('what a client brings that cannot be proved in a second is not known', async (t) => {
    const { bench, store, cursors } = await late({ a: 2 })
    const clock = FakeClock.install(t)
    store.hold('prove')
    const proven = bench.history.prove(String(cursors[0]))
    await nextTurn()
    clock.advance(1_000)
    await proven
    const reader = bench.subscribed(['a'], cursors[0])
    await settle(bench)
    t.same(reader.told, ['! unknown'])
  })

  t.test('publish() rejects after five seconds, or when the store fails', async (t) => {
    const { bench, store } = await late({ a: 0 })
    const code = 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED'
    const clock = FakeClock.install(t)
    store.hold('append')
    const held = bench.channel('a').publish('a 1')
    await nextTurn()
    clock.advance(4_999)
    t.notOk(await hasSettled(held))
    clock.advance(1)
    await t.rejects(held, { code, cause: { message: /within 5000 ms/ } })
    store.release('append')
    store.fail('append')
    await t.rejects(bench.channel('a').publish('a 2'), { code, cause: { message: 'append failed' } })
    store.recover('append')
    await t.resolves(bench.channel('a').publish('a 3'))
  })
})

t.test(
  'store › who leaves a channel and joins it again in one turn misses nothing that is on its way',
  async (t) => {
    for (const others of [0, 1]) {
      await t.test(others === 0 ? 'while nobody else is there' : 'beside others', async (t) => {
        const { bench, store, first } = await late({ a: 0 })
        for (let i = 0; i < others; i++) bench.subscribed(['a'])
        const reader = bench.subscribed(['a'])
        await settle(bench)
        const rejoin = async (): Promise<void> => {
          const [subscription] = reader.connection.subscriptions
          subscription?.unsubscribe()
          bench.channel('a').subscribe(reader.connection)
          store.release('tell')
          await settle(bench)
          await settle(bench)
        }
        store.hold('tell')
        void bench.channel('a').publish('of this server')
        await nextTurn()
        await rejoin()
        t.same(reader.told, ['of this server'])
        store.hold('tell')
        await first.channel('a').publish('of another')
        await bench.channel('nobody').publish('later, to a channel that nobody has')
        await rejoin()
        t.same(reader.told, ['of this server', 'of another'])
      })
    }
  }
)

t.test(
  'store › who leaves a channel and joins it again, and again, before it is loaded, misses nothing',
  async (t) => {
    const { bench, store, first } = await late({ a: 1 })
    store.hold('read')
    const reader = bench.subscribed(['a'], undefined, { from: 'oldest' })
    for (const data of ['2', '3', '4']) {
      reader.connection.subscriptions[0]?.unsubscribe()
      bench.channel('a').subscribe(reader.connection)
      await first.channel('a').publish(data)
    }
    store.release('read')
    await settle(bench)
    t.same(reader.told, ['a 1', '2', '3', '4'])
  }
)

t.test('store › publish()', async (t) => {
  t.test('gives a cursor of the history that took the message', async (t) => {
    const { bench, store } = await late({ a: 0 })
    bench.subscribed(['a'])
    await settle(bench)
    store.hold('tell')
    const { epoch } = store
    const published = bench.channel('a').publish('1')
    await nextTurn()
    Object.assign(store.shelf, { epoch: '0000000000' })
    store.release('tell')
    t.ok((await published).endsWith(`-${epoch}`))
  })

  t.test('resolves when it has come to those who are here', async (t) => {
    const { bench, store } = await late({ a: 0 })
    const reader = bench.subscribed(['a'])
    await settle(bench)
    const clock = FakeClock.install(t)
    store.hold('tell')
    const published = [bench.channel('a').publish('1'), bench.channel('a').publish('2')]
    await nextTurn()
    t.notOk(await hasSettled(Promise.race(published)))
    store.release('tell')
    await Promise.all(published)
    bench.endTurn()
    t.same(reader.told, ['1', '2'])
    store.hold('tell')
    const lost = bench.channel('a').publish('3')
    await nextTurn()
    clock.advance(1_000)
    await t.resolves(lost, 'but does not wait for long')
    await t.resolves(bench.channel('nobody').publish('4'), 'nor where nobody is')
  })

  t.test('is waited for by who joins while it is under way, and leaves and joins again', async (t) => {
    const { bench, store, first } = await late({ a: 0 })
    store.hold('append')
    const published = bench.channel('a').publish('of this server')
    const reader = bench.subscribed(['a'])
    await settle(bench)
    store.hold('tell')
    await first.channel('a').publish('of another')
    store.release('append')
    await settle(bench)
    t.notOk(await hasSettled(published))
    reader.connection.subscriptions[0]?.unsubscribe()
    bench.channel('a').subscribe(reader.connection)
    store.release('tell')
    await published
    reader.connection.send('sent')
    await settle(bench)
    t.same(reader.told, ['of another', 'of this server', 'sent'])
  })

  t.test('is before what is sent afterwards, and from: "now" after it', async (t) => {
    const { bench } = await late({ a: 0 })
    const reader = bench.subscribed(['a'])
    await settle(bench)
    await bench.channel('a').publish('1')
    reader.connection.send('sent')
    const later = bench.subscribed(['a'])
    await bench.channel('a').publish('2')
    await settle(bench)
    t.same([reader.told, later.told], [['1', 'sent', '2'], ['2']])
  })

  t.test('what is published again with the same key is not told twice', async (t) => {
    const { bench, first } = await late({ a: 0 })
    const reader = bench.subscribed(['a'])
    await settle(bench)
    const options = { idempotencyKey: 'once' }
    const cursor = await first.channel('a').publish('1', options)
    t.equal(await bench.channel('a').publish('1', options), cursor)
    bench.endTurn()
    t.same([reader.told, bench.counters.published], [['1'], 0])
  })

  t.test('to channels that nobody has is remembered of 10,000 until it has come', async (t) => {
    const { bench, store } = await late({ a: 0 })
    store.hold('tell')
    const names = ['a', 'b', ...Array.from({ length: 9_999 }, (_, i) => `${i}`)]
    const published = names.map((name) => bench.channel(name).publish(name))
    await settle(bench)
    await Promise.all(published)
    const reader = bench.subscribed(['a', 'b'])
    store.release('tell')
    await settle(bench)
    t.same(reader.told, ['a'])
  })

  t.test('keep: false reaches all who are here, and nobody later', async (t) => {
    const { bench, first } = await late({ a: 1 })
    const reader = bench.subscribed(['a'], undefined, { from: 'oldest' })
    await settle(bench)
    await first.channel('a').publish('typing', { keep: false })
    bench.endTurn()
    t.same(reader.told, ['a 1', 'typing'])
    t.same(await given(bench, ['a'], undefined, { from: 'oldest' }), ['a 1'])
  })
})

t.test('store › memory', async (t) => {
  t.test('has nothing of channels that nobody follows, and gets it again', async (t) => {
    const { bench, store } = await late({ a: 2 })
    for (const length of [2, 3]) {
      const reader = bench.subscribed(['a'], undefined, { from: 'oldest' })
      await settle(bench)
      t.equal(bench.history.lengthOf('a'), length)
      reader.leave()
      t.equal(bench.history.lengthOf('a'), 0)
      await bench.channel('a').publish(`a ${length + 1}`)
    }
    t.same(
      store.asked.filter((asked) => /follow|read/.test(asked)),
      [...['follow a', 'read a', 'unfollow a'], ...['follow a', 'read a', 'unfollow a']]
    )
  })

  t.test('a channel that is given up in the turn in which it was followed stays so', async (t) => {
    const { bench, store } = await late({ a: 1 })
    bench.subscribed(['a']).leave()
    await settle(bench)
    t.same(
      store.asked.filter((asked) => /follow/.test(asked)),
      ['unfollow a']
    )
  })

  t.test('a window that has some gets only what it lacks', async (t) => {
    const { bench } = await late({ a: 3 })
    const now = bench.subscribed(['a'])
    await settle(bench)
    await bench.channel('a').publish('a 4')
    bench.endTurn()
    t.equal(bench.history.lengthOf('a'), 1)
    t.same(await given(bench, ['a'], undefined, { from: 'oldest' }), ['a 1', 'a 2', 'a 3', 'a 4'])
    t.same([now.told, bench.history.lengthOf('a')], [['a 4'], 4])
  })

  t.test('has no hole where others of its channels were told before it was followed', async (t) => {
    const { first, bench, store } = await late({ a: 1, b: 1 })
    bench.subscribed(['a'])
    await settle(bench)
    store.hold('follow')
    store.hold('tell')
    const reader = bench.subscribed(['b'], undefined, { from: 'oldest' })
    await first.channel('b').publish('b 2')
    await first.channels.publish(['a', 'b'], 'both')
    await first.channel('b').publish('b 3')
    const { messages } = await store.read('b', 0)
    const told = messages.filter(({ channels }) => channels.includes('a'))
    // Of `b` alone nothing was told yet.
    store.listener?.storeOnMessages(told, told[0]?.place ?? 0)
    store.listener?.storeOnMessages([], store.shelf.last)
    store.release('follow')
    await settle(bench)
    t.same(reader.told, ['b 1', 'b 2', 'both', 'b 3'])
  })

  t.test('is asked once for all who want the same, and again for who wants more', async (t) => {
    const { bench, store, cursors } = await late({ a: 3 })
    store.hold('read')
    await bench.history.prove(String(cursors[1]))
    const readers = [cursors[1], cursors[1]].map((id) => bench.subscribed(['a'], id))
    await nextTurn()
    readers.push(bench.subscribed(['a'], undefined, { from: 'oldest' }))
    store.release('read')
    await settle(bench)
    t.same(
      readers.map(({ told }) => told),
      [['a 3'], ['a 3'], ['a 1', 'a 2', 'a 3']]
    )
    t.equal(store.asked.filter((asked) => asked === 'read a').length, 2)
  })
})

t.test('store › one that fails is asked again, and the log is told once', async (t) => {
  const { bench, store } = await late({ a: 1 })
  FakeClock.install(t)
  store.fail('follow')
  store.fail('read')
  const reader = bench.subscribed(['a'], undefined, { from: 'oldest' })
  for (const part of ['follow', 'read'] as const) {
    const asked = (): number => store.asked.filter((name) => name === `${part} a`).length
    while (asked() < 3) await nextTurn()
    if (part === 'follow') store.recover(part)
  }
  t.match(bench.logs, [{ message: 'the store of the history does not answer' }])
  t.equal(bench.logs.length, 1)
  store.recover('read')
  await until(() => reader.connection.output.feed?.ready === undefined)
  bench.endTurn()
  t.same(reader.told, ['a 1'])
  store.fail('prove')
  await bench.history.prove(`${'1'.repeat(10)}-${store.epoch}`)
  t.equal(bench.logs.length, 2, 'and again when it had worked')
})

t.test('store › what is told of it', async (t) => {
  t.test('info() is what the store has', async (t) => {
    const { bench, cursors } = await late({ a: 2 })
    const [oldest, newest] = cursors
    const bytes = 2 * Buffer.byteLength('data: a 1\n\n')
    t.same(await bench.channel('a').info(), {
      subscriptions: 0,
      messages: 2,
      bytes,
      oldest,
      newest,
      ended: false
    })
    const nothing = {
      subscriptions: 0,
      messages: 0,
      bytes: 0,
      oldest: undefined,
      newest: undefined,
      ended: false
    }
    t.same(await bench.channel('b').info(), nothing)
  })

  t.test('cursor() is after all that was published, by whomever, and known at once', async (t) => {
    const { bench, first } = await late({ a: 2 })
    const cursor = await bench.history.now()
    await first.channel('a').publish('a 3')
    const reader = bench.subscribed(['a'], undefined, { from: cursor })
    await settle(bench)
    t.same(reader.told, ['a 3'])
  })

  t.test(
    'who has published is believed when the store is away, but not what has not come since',
    async (t) => {
      const { bench, store } = await late({ a: 0 })
      store.hold('tell')
      const cursor = await bench.channel('a').publish('1')
      store.fail('prove')
      await bench.history.prove(cursor)
      t.equal(bench.history.placeOf(cursor), undefined)
      store.release('tell')
      await settle(bench)
      const told = await bench.channel('a').publish('2')
      await bench.history.prove(told)
      t.ok(bench.history.placeOf(told))
    }
  )

  t.test('a place that was proved stays so while others ask for it', async (t) => {
    const { bench, store, first } = await late({ a: 0 })
    store.hold('tell')
    const cursor = await first.channel('a').publish('1')
    await bench.history.prove(cursor)
    store.hold('prove')
    const proven = bench.history.prove(cursor)
    t.ok(bench.history.placeOf(cursor))
    store.release('prove')
    await proven
    t.ok(bench.history.placeOf(cursor))
  })

  t.test('places of which many were proved are forgotten', async (t) => {
    const { bench, cursors } = await late({ a: 1 })
    await bench.history.prove(String(cursors[0]))
    t.ok(bench.history.placeOf(String(cursors[0])))
    const published = bench.channel('b').publish(Array.from({ length: 10_000 }, () => ''))
    await settle(bench)
    await published
    t.equal(bench.history.placeOf(String(cursors[0])), undefined)
  })
})

t.test('store › close()', async (t) => {
  const { bench, store } = await late({ a: 1 })
  bench.subscribed(['a'])
  await settle(bench)
  store.hold('tell')
  const published = bench.channel('a').publish('1')
  await nextTurn()
  t.notOk(await hasSettled(published))
  await bench.channels.close()
  await t.resolves(published, 'nobody waits for what will not come')
  store.listener?.storeOnMessages([], Infinity)
  t.ok(bench.history.head < Infinity, 'nothing comes any more')
  await t.rejects(bench.channel('a').publish('2'), { code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED' })
  t.equal(store.shelf.listeners.size, 1, 'which is that of the other')
})
