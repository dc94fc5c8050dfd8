import t from 'tap'
import type { LiveChannel } from '../../lib/channel/live-channel.ts'
import type { ChannelOptions, EventStreamOptions } from '../../lib/index.ts'
import { ChannelBench } from '../helpers/channel-bench.ts'
import { collectGarbage, gc, heapBytes } from '../helpers/garbage.ts'
import { refusal } from '../helpers/refusal.ts'
import { nextTurn } from '../helpers/server.ts'

const CODE = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
/** Less than 3,000 names take, of 200 bytes each. */
const FEW_BYTES = 600_000

/** Channels of a server that is ready. */
function ready(options?: EventStreamOptions): ChannelBench {
  const bench = new ChannelBench(options)
  bench.channels.ready()
  return bench
}

/** Asks for a channel, and lets it go. @returns how to see whether it is still there. */
function visit(bench: ChannelBench, name: string, options?: ChannelOptions): WeakRef<LiveChannel> {
  return new WeakRef(bench.channel(name, options))
}

t.test('Channels › a name is one channel, whoever asks', async (t) => {
  const bench = new ChannelBench()
  const channel = bench.channel('news')
  t.equal(channel.name, 'news')
  t.equal(channel.size, 0)
  t.ok(bench.channel('news') === channel)
  t.ok(bench.channel('news', { slow: 'latest' }) === channel)
  t.ok(bench.channel('News') !== channel)
  for (const name of ['__proto__', 'constructor']) {
    const hostile = bench.channel(name)
    t.equal(hostile.name, name)
    t.ok(bench.channel(name) === hostile)
  }
})

t.test('Channels › a name is text of up to 256 bytes', async (t) => {
  const bench = new ChannelBench()
  const accepted = [
    'x',
    ' ',
    '0',
    '\0',
    '\n',
    'a:b',
    '{}',
    '*',
    'x'.repeat(256),
    'é'.repeat(128),
    '緑'.repeat(85)
  ]
  for (const name of accepted) t.equal(bench.channel(name).name, name)
  const rule = 'the channel name to be a well-formed string of 1 to 256 bytes'
  const refused: [unknown, string][] = [
    ['', "'' (string)"],
    ['\ud83d', "'\\ud83d' (string)"],
    ['x'.repeat(257), `'${'x'.repeat(80)}'... 177 more characters (string)`],
    ['é'.repeat(129), `'${'é'.repeat(80)}'... 49 more characters (string)`],
    [null, 'null (null)'],
    [1, '1 (number)'],
    [['news'], "[ 'news' ] (array)"],
    [Symbol('news'), 'Symbol(news) (symbol)'],
    [{ toString: () => 'news' }, '{ toString: [Function: toString] } (object)']
  ]
  for (const [name, got] of refused) {
    const error = { code: CODE, ...refusal(rule, got) }
    t.throws(() => Reflect.apply(bench.channels.get, bench.channels, [name]), error, got)
  }
})

t.test('Channels › options', async (t) => {
  t.test('are those of the registration until others are given', async (t) => {
    const bench = new ChannelBench({ slow: 'disconnect', channels: { '*': { maxMessages: 7 } } })
    const channel = bench.channel('news')
    t.match(channel.options, { slow: 'disconnect', afterGap: 'oldest', gapEvent: 'gap', maxMessages: 7 })
    bench.channel('news', { afterGap: 'now' })
    bench.channel('news', { gapEvent: 'lost' })
    bench.channel('news')
    t.match(channel.options, { slow: 'disconnect', afterGap: 'now', gapEvent: 'lost', maxMessages: 7 })
    t.equal(bench.channel('other').options.gapEvent, 'gap', 'of this channel alone')
    t.throws(() => bench.channel('news', { slow: 'never' } as unknown as ChannelOptions), { code: CODE })
    t.equal(channel.options.slow, 'disconnect', 'and wrong ones change nothing')
  })

  t.test('that limit what is kept are the same for all who name the channel', async (t) => {
    const bench = new ChannelBench({ channels: { 'room:*': { maxMessages: 2 } } })
    bench.channels.ready()
    for (const data of ['1', '2', '3']) await bench.channel('room:a').publish(data)
    t.same(bench.given(['room:a'], undefined, { from: 'oldest' }), ['2', '3'])
  })

  for (const isSubscribed of [false, true]) {
    const name = `that limit what is kept count from the next message on, ${isSubscribed ? 'with' : 'without'} subscriptions`
    t.test(name, async (t) => {
      const bench = new ChannelBench()
      const channel = bench.channel()
      if (isSubscribed) channel.subscribe(bench.reader().connection)
      for (const data of ['1', '2', '3']) channel.publish(data)
      bench.endTurn()
      bench.channel('news', { maxMessages: 2 })
      channel.publish('4')
      bench.endTurn()
      t.equal((await channel.info()).messages, 2)
    })
  }

  t.test('that would change what is kept are refused when the server is ready', async (t) => {
    const bench = new ChannelBench({ channels: { news: { maxMessages: 5, maxAgeMs: false } } })
    bench.channel('news', { maxBytes: 3_000 })
    bench.channels.ready()
    const changes: ChannelOptions[] = [{ maxMessages: 6 }, { maxBytes: 9_999 }, { maxAgeMs: 1_000 }]
    for (const options of changes) {
      const [name = ''] = Object.keys(options)
      t.throws(() => bench.channel('news', options), {
        code: CODE,
        message: new RegExp(`^Expected ${name} to be set before the server is ready`)
      })
    }
    const same = { maxMessages: 5, maxBytes: 3_000, maxAgeMs: false, slow: 'latest' } as const
    t.equal(bench.channel('news', same).options.slow, 'latest', 'but not those that change nothing')
    t.equal(bench.channel('news').options.maxMessages, 5)
  })
})

t.test('Channels › what nobody holds is forgotten', async (t) => {
  const bench = ready()
  const ref = visit(bench, 'news', { slow: 'latest' })
  await collectGarbage()
  t.equal(ref.deref(), undefined)
  t.equal(bench.channel('news').options.slow, 'gap', 'with its options')
})

t.test('Channels › messages are kept though nobody holds their channel', async (t) => {
  const bench = ready()
  const publish = (): Promise<string> => bench.channel('news').publish('1')
  await publish()
  await collectGarbage()
  t.same(bench.given(['news'], undefined, { from: 'oldest' }), ['1'])
})

t.test('Channels › options that are given before the server is ready stay for good', async (t) => {
  const bench = new ChannelBench()
  visit(bench, 'news', { slow: 'latest' })
  const undeclared = visit(bench, 'undeclared')
  bench.channels.ready()
  await collectGarbage()
  t.equal(bench.channel('news').options.slow, 'latest')
  t.equal(undeclared.deref(), undefined, 'a name without options is not kept')
  bench.channel('news').subscribe(bench.reader().connection).unsubscribe()
  bench.endTurn()
  await collectGarbage()
  t.equal(bench.channel('news').options.slow, 'latest', 'also when its last subscription has gone')
})

t.test('Channels › what has subscriptions or readers stays, and is listed', async (t) => {
  const bench = ready()
  const live = (): string[] => [...bench.channels.live].map(({ name }) => name)
  visit(bench, 'news', { slow: 'latest' })
  const [one, two] = [bench.reader(), bench.reader()]
  const first = bench.channel('news').subscribe(one.connection)
  const second = bench.channel('news').subscribe(two.connection)
  const abort = new AbortController()
  const reading = bench.channel('other').read({ signal: abort.signal }).next()
  t.same(live(), ['news', 'other'])
  t.equal(bench.counters.subscriptions, 2)
  await collectGarbage()
  t.ok(bench.channel('news') === first.channel)
  first.unsubscribe()
  abort.abort()
  t.match(await reading, { done: true })
  bench.endTurn()
  t.same(live(), ['news'])
  await collectGarbage()
  t.ok(bench.channel('news') === second.channel)
  t.equal(bench.channel('news').options.slow, 'latest')
  second.unsubscribe()
  bench.endTurn()
  t.same(live(), [])
  t.equal(bench.counters.subscriptions, 0)
  t.ok(bench.channel('news') === second.channel, 'and is there as long as somebody holds it')
})

t.test('Channels › a name that is asked for again before its channel is swept is one channel', async (t) => {
  const bench = ready()
  const ref = visit(bench, 'idle')
  await nextTurn()
  gc()
  t.equal(ref.deref(), undefined)
  const channel = bench.channel('idle')
  await collectGarbage()
  t.ok(bench.channel('idle') === channel)
})

t.test('Channels › names leave nothing', async (t) => {
  const uses: [string, (channel: LiveChannel) => unknown][] = [
    ['that were asked for', () => {}],
    ['of which nothing was kept', (channel) => channel.publish('x', { keep: false })],
    ['that were read from', (channel) => channel.read({ from: 'oldest' })],
    ['of which something was asked', (channel) => channel.info()]
  ]
  for (const [name, use] of uses) {
    const bench = ready()
    const ask = (start: number): void => {
      for (let n = start; n < start + 3_000; n++) use(bench.channel(`${n}${'x'.repeat(200)}`))
      bench.endTurn()
    }
    ask(0)
    const before = await heapBytes()
    ask(3_000)
    const grown = (await heapBytes()) - before
    t.ok(grown < FEW_BYTES, `${grown} bytes for 3,000 names ${name}`)
  }
})

t.test('Channels › one stream that joins and leaves many rooms keeps none of them', async (t) => {
  for (const brought of [undefined, 'an id that nobody knows', 'one that is known']) {
    const bench = ready()
    const { connection, transport } = bench.reader(brought === 'one that is known' ? bench.cursor() : brought)
    const visitRooms = (start: number): void => {
      for (let n = start; n < start + 3_000; n++) {
        const subscription = bench.channel(`${n}:${'x'.repeat(200)}`).subscribe(connection)
        if (n % 100 === 0) bench.endTurn()
        subscription.unsubscribe()
      }
      bench.endTurn()
      transport.writes.length = 0
      transport.batches.length = 0
    }
    visitRooms(0)
    const before = await heapBytes()
    visitRooms(3_000)
    const grown = (await heapBytes()) - before
    t.ok(grown < FEW_BYTES, `${grown} bytes for 3,000 rooms, of a client with ${brought ?? 'no id'}`)
    t.equal(bench.channels.live.size, 0)
    t.same(connection.subscriptions, [])
    t.equal(bench.counters.subscriptions, 0)
  }
})

t.test('Channels › subscribe()', async (t) => {
  t.test('subscribes to all of a set, each once, with the same options', async (t) => {
    const bench = new ChannelBench()
    await bench.publishEach('a1', 'b2')
    const reader = bench.reader()
    const { connection } = reader
    const subscriptions = bench.channels.subscribe(connection, ['a', 'b', 'a'], { from: 'oldest' })
    t.same(
      subscriptions.map(({ channel }) => channel.name),
      ['a', 'b']
    )
    t.same(connection.subscriptions, subscriptions)
    bench.endTurn()
    t.same(reader.data, ['a1', 'b2'])
  })

  t.test('to none of them if one refuses', async (t) => {
    const bench = new ChannelBench()
    bench.channel('private', {
      onSubscribe: () => {
        throw new Error('banned')
      }
    })
    const reader = bench.reader()
    t.throws(() => bench.channels.subscribe(reader.connection, ['a', 'b', 'private', 'c']), {
      message: 'banned'
    })
    t.same(reader.connection.subscriptions, [])
    bench.endTurn()
    t.equal(bench.channels.live.size, 0)
  })
})

t.test('Channels › close()', async (t) => {
  const bench = new ChannelBench()
  const channel = bench.channel()
  await channel.publish('1')
  bench.channels.close()
  await t.rejects(channel.publish('2'), { code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED' })
  t.equal((await channel.info()).messages, 0, 'and what was kept is gone')
})

t.test('Channel › what an admin page shows', async (t) => {
  t.test('who is subscribed to a channel, and since when', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const before = Date.now()
    const readers = ['ann', 'bob', 'cy'].map((context) => bench.reader(undefined, { context }))
    for (const { connection } of readers) channel.subscribe(connection)
    t.same(
      channel.subscriptions.map(({ connection }) => connection.context),
      ['ann', 'bob', 'cy']
    )
    for (const { openedAt } of channel.subscriptions) t.ok(Math.abs(openedAt - before) < 60_000)
    channel.subscriptions[0]?.unsubscribe()
    readers[2]?.connection.destroy()
    t.same(
      channel.subscriptions.map(({ connection }) => connection.context),
      ['bob']
    )
  })

  t.test('what a connection is subscribed to, since when it is there, and whose it is', async (t) => {
    const bench = new ChannelBench()
    const { connection } = bench.reader(undefined, { context: { user: 'ann' } })
    t.same(connection.subscriptions, [])
    const [a, b] = bench.channels.subscribe(connection, ['a', 'b'])
    t.same(connection.subscriptions, [a, b])
    t.same(connection.context, { user: 'ann' })
    t.ok(connection.openedAt < Date.now() + 60_000)
    a?.unsubscribe()
    t.same(connection.subscriptions, [b])
  })

  t.test('what a channel keeps', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { maxMessages: 2 })
    const nothing = {
      subscriptions: 0,
      messages: 0,
      bytes: 0,
      oldest: undefined,
      newest: undefined,
      ended: false
    }
    t.same(await channel.info(), nothing)
    const [, oldest, newest] = await channel.publish(['1', '2', '3'])
    channel.subscribe(bench.reader().connection)
    const bytes = 2 * 'data: 1\n\n'.length
    t.same(await channel.info(), { subscriptions: 1, messages: 2, bytes, oldest, newest, ended: false })
  })
})

t.test('Channels › live › has no channel that was left in this turn', async (t) => {
  const bench = new ChannelBench()
  const reader = bench.reader()
  const subscription = bench.channel().subscribe(reader.connection)
  bench.channel().publish('1')
  t.same([...bench.channels.live], [bench.channel()])
  subscription.unsubscribe()
  t.equal(bench.channels.live.size, 0, 'though what was published before is still to come')
  bench.endTurn()
  t.same(reader.data, ['1'])
})
