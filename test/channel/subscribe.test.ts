import { AsyncLocalStorage } from 'node:async_hooks'
import { inspect } from 'node:util'
import t from 'tap'
import type { ChannelMessage, Cursor, From, SubscribeOptions, Subscription } from '../../lib/index.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { nextTurn } from '../helpers/server.ts'

const CODE = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'

/** A channel with three messages. */
async function published() {
  const bench = new ChannelBench()
  const channel = bench.channel()
  const [one = '', two = '', three = ''] = await channel.publish(['1', '2', '3'])
  return { bench, channel, one, two, three }
}

t.test('Channel › subscribe › where a client starts', async (t) => {
  type Published = Awaited<ReturnType<typeof published>>
  const table: [
    string,
    (cursors: Published) => [lastEventId: string | undefined, SubscribeOptions?],
    string[]
  ][] = [
    ['by default with the next message', () => [undefined], ['4']],
    ["from: 'now' with the next message", () => [undefined, { from: 'now' }], ['4']],
    ["from: 'oldest' with the oldest", () => [undefined, { from: 'oldest' }], ['1', '2', '3', '4']],
    ["from: 'first' with the first", () => [undefined, { from: 'first' }], ['1', '2', '3', '4']],
    ['from: { last: 2 } with the newest two', () => [undefined, { from: { last: 2 } }], ['2', '3', '4']],
    ['from: { last: 0 } with the next', () => [undefined, { from: { last: 0 } }], ['4']],
    ['from: { last: 3 } with all', () => [undefined, { from: { last: 3 } }], ['1', '2', '3', '4']],
    ['from: { last: 9 } with what there is', () => [undefined, { from: { last: 9 } }], ['1', '2', '3', '4']],
    ['from: a cursor after its message', ({ two }) => [undefined, { from: two }], ['3', '4']],
    ['from: the newest cursor with the next', ({ three }) => [undefined, { from: three }], ['4']],
    ['that returns, after what it has', ({ one }) => [one], ['2', '3', '4']],
    ['that returns, and has everything, with the next', ({ three }) => [three], ['4']],
    ['that returns, wherever others start', ({ two }) => [two, { from: 'oldest', resume: true }], ['3', '4']],
    ['with resume: false where others start', ({ one }) => [one, { resume: false }], ['4']],
    [
      'with resume: false and from',
      ({ three }) => [three, { resume: false, from: 'oldest' }],
      ['1', '2', '3', '4']
    ],
    [
      'with options that are undefined, as without',
      ({ one }) => [one, { resume: undefined } as object],
      ['2', '3', '4']
    ]
  ]
  for (const [name, startOf, expected] of table) {
    t.test(name, async (t) => {
      const before = await published()
      const { bench, channel } = before
      const [lastEventId, options] = startOf(before)
      const reader = bench.subscribed(['news'], lastEventId, options)
      channel.publish('4')
      bench.endTurn()
      t.same(reader.data, expected)
      t.equal(bench.counters.gaps, 0)
    })
  }

  t.test(
    "from: 'first' tells a gap when the beginning is no longer kept, 'oldest' and last do not",
    async (t) => {
      const table: [From, string[]][] = [
        ['first', ['!tokens expired', '501', '502']],
        ['oldest', ['501', '502']],
        [{ last: 1 }, ['502']],
        [{ last: 1_000 }, ['501', '502']]
      ]
      for (const [from, expected] of table) {
        const bench = new ChannelBench()
        const channel = bench.channel('tokens', { maxMessages: 2 })
        for (let token = 1; token <= 502; token++) channel.publish(`${token}`)
        t.same(bench.given(['tokens'], undefined, { from }), expected)
      }
    }
  )

  t.test("from: 'first' of a channel that was never published to is no gap", async (t) => {
    const bench = new ChannelBench()
    bench.channel('other', { maxMessages: 1 }).publish(['1', '2'])
    t.same(bench.given(['news'], undefined, { from: 'first' }), [])
  })

  t.test('from: { last: n } counts only what is kept', async (t) => {
    const { bench, channel } = await published()
    bench.subscribed(['news'])
    for (let i = 0; i < 5; i++) channel.publish('typing', { keep: false })
    const reader = bench.subscribed(['news'], undefined, { from: { last: 1 } })
    bench.endTurn()
    t.same(
      reader.data.filter((data) => data !== 'typing'),
      ['3']
    )
  })

  t.test("from: 'oldest' is what is kept when the first message is given", async (t) => {
    for (const slow of ['gap', 'disconnect'] as const) {
      const bench = new ChannelBench()
      const channel = bench.channel('news', { slow, maxMessages: 2 })
      channel.publish(['1', '2', '3'])
      const waiting = bench.waiting()
      waiting.connection.handlerOnSettle()
      channel.subscribe(waiting.connection, { from: 'oldest' })
      for (const data of ['4', '5']) {
        channel.publish(data)
        bench.endTurn()
      }
      waiting.connection.open(waiting.transport)
      bench.endTurn()
      t.same(waiting.told, ['4', '5'])
      t.equal(waiting.connection.state, 'open')
    }
  })

  t.test('from: a cursor that the history does not know is a gap', async (t) => {
    const { bench } = await published()
    t.same(bench.given(['news'], undefined, { from: 'no-cursor' }), ['!news unknown', '1', '2', '3'])
  })
})

t.test('Channel › subscribe › where a snapshot is followed from', async (t) => {
  const bench = new ChannelBench()
  await bench.publishEach('a1', 'b2')
  const from = bench.cursor()
  await bench.publishEach('a3', 'b4')
  t.same(bench.given(['a', 'b', 'never'], undefined, { from }), ['a3', 'b4'])
  t.equal(bench.counters.gaps, 0)
})

t.test('Channel › subscribe › notBefore', async (t) => {
  const bounds: [string, (cursors: readonly Cursor[], clock: FakeClock) => Cursor | Date][] = [
    ['a cursor', (cursors) => cursors[1] ?? ''],
    ['a time', () => new Date(Date.now() - 500)]
  ]
  for (const [name, boundOf] of bounds) {
    t.test(`${name}: nothing of what came before is given, at the start and on every return`, async (t) => {
      const clock = FakeClock.install(t)
      const bench = new ChannelBench()
      const channel = bench.channel()
      const cursors: Cursor[] = []
      for (const data of ['1', '2', '3', '4']) {
        cursors.push(await channel.publish(data))
        clock.spend(data === '2' ? 1_000 : 1)
      }
      const notBefore = boundOf(cursors, clock)
      const [oldest = ''] = cursors
      const starts: [string | undefined, SubscribeOptions][] = [
        [undefined, { from: 'oldest', notBefore }],
        [undefined, { from: 'first', notBefore }],
        [undefined, { from: { last: 10 }, notBefore }],
        [undefined, { from: oldest, notBefore }],
        [oldest, { notBefore }],
        [oldest, { resume: false, from: 'oldest', notBefore }]
      ]
      for (const [brought, options] of starts) {
        t.same(bench.given(['news'], brought, options), ['3', '4'])
      }
      t.same(bench.given(['news'], cursors[2], { notBefore }), ['4'], 'but it takes nobody back')
    })
  }

  t.test('is no gap, whatever was lost before it', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { maxMessages: 2 })
    const [oldest, , , notBefore = ''] = await channel.publish(['1', '2', '3', '4', '5'])
    t.same(bench.given(['news'], oldest, { notBefore }), ['5'])
  })
})

t.test('Channel › subscribe › filter', async (t) => {
  t.test('chooses what a connection gets, and others are not touched by it', async (t) => {
    const bench = new ChannelBench()
    const even = bench.subscribed(['news'], undefined, { filter: ({ data }) => Number(data) % 2 === 0 })
    const all = bench.subscribed(['news'])
    const cursors = await bench.channel().publish(['1', '2', '3', '4'])
    bench.endTurn()
    t.same(even.data, ['2', '4'])
    t.same(even.ids, [cursors[1], cursors[3]])
    t.same(all.data, ['1', '2', '3', '4'])
  })

  t.test('leaves no holes to count in the ids', async (t) => {
    const bench = new ChannelBench()
    bench.channel()
    const steps = new Set<number>()
    const reader = bench.subscribed(['news'], undefined, { filter: ({ data }) => data === 'mine' })
    for (let i = 0; i < 200; i++) bench.channel().publish('mine')
    bench.endTurn()
    let before = 0
    for (const id of reader.ids) {
      const place = Number.parseInt(id.slice(0, 10), 36)
      if (before > 0) steps.add(place - before)
      before = place
    }
    t.ok(steps.size > 5, `${steps.size} different steps between messages that follow each other`)
    t.ok([...steps].every((step) => step >= 1))
  })

  t.test('may change what json() gave it: each sees what was published', async (t) => {
    const bench = new ChannelBench()
    const filter = (message: ChannelMessage): boolean => {
      const data = message.json() as { secret: boolean }
      const isSecret = data.secret
      data.secret = !data.secret
      return !isSecret && !(message.json() as { secret: boolean }).secret
    }
    const readers = [1, 2, 3].map(() => bench.subscribed(['news'], undefined, { filter }))
    bench.channel().publish([{ data: { secret: true } }, { data: { secret: false } }])
    bench.endTurn()
    for (const reader of readers) t.same(reader.data, ['{"secret":false}'])
  })

  t.test('is called as who subscribed, whoever publishes', async (t) => {
    const bench = new ChannelBench()
    const user = new AsyncLocalStorage<string>()
    const filter: SubscribeOptions['filter'] = ({ data }) => data === `for ${user.getStore()}`
    const readers = ['ann', 'bob'].map((name) =>
      user.run(name, () => bench.subscribed(['news'], undefined, { filter }))
    )
    await user.run('bob', async () => {
      await bench.channel().publish(['for ann', 'for bob'])
      bench.endTurn()
    })
    t.same(
      readers.map(({ data }) => data),
      [['for ann'], ['for bob']]
    )
  })

  t.test('that throws passes over the message, which is logged once for all who do', async (t) => {
    const bench = new ChannelBench()
    const filter = (message: ChannelMessage): boolean =>
      (message.json() as { region: string }).region === 'local'
    const readers = [1, 2].map(() => bench.reader())
    for (const { connection } of readers) {
      bench.channel().subscribe(connection, { filter })
      bench.channel('other').subscribe(connection)
    }
    const local = { data: { region: 'local' } }
    await bench.channel().publish(local)
    const id = await bench.channel().publish('no JSON at all')
    bench.channel('other').publish('x')
    bench.channel().publish(local)
    bench.endTurn()
    for (const { data, connection } of readers) {
      t.same(data, ['{"region":"local"}', 'x', '{"region":"local"}'])
      t.equal(connection.state, 'open')
    }
    const back = bench.reader(readers[0]?.ids[0])
    bench.channel().subscribe(back.connection, { filter })
    bench.endTurn()
    t.same(back.data, ['{"region":"local"}'], 'who comes back to it is not cut again')
    t.match(
      [...readers, back].flatMap(({ logs }) => logs),
      [{ level: 'error', message: 'a filter failed', err: { name: 'SyntaxError' } }]
    )
    t.equal([...readers, back].flatMap(({ logs }) => logs).length, 1)
    t.type(id, 'string')
  })

  t.test('that answers with a promise ends the stream with an error: nothing is given', async (t) => {
    const allows = async (): Promise<boolean> => false
    for (const answer of [allows, () => Promise.reject(new Error('unseen'))]) {
      const bench = new ChannelBench()
      const filter = (() => answer()) as unknown as () => boolean
      const reader = bench.reader()
      const { signal } = reader.connection
      bench.channel('first').subscribe(reader.connection)
      bench.channel().subscribe(reader.connection, { filter })
      const other = bench.subscribed(['news'])
      bench.publishEach('first1', 'news2', 'first3', 'news4')
      bench.endTurn()
      await nextTurn()
      t.notOk(reader.data.some((data) => data.startsWith('news')))
      t.equal(reader.connection.reason, 'error')
      const err = { code: CODE, message: 'Expected filter to return true or false, got a promise' }
      t.match(reader.logs, [{ level: 'error', message: 'a filter failed', err }])
      t.equal(reader.logs.length, 1)
      t.match(signal.reason.cause, err)
      t.same(other.data, ['news2', 'news4'])
    }
  })

  t.test('that destroys its connection has nothing given', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader()
    const filter = (): boolean => {
      reader.connection.destroy()
      return true
    }
    bench.channel().subscribe(reader.connection, { filter })
    bench.channel().publish(['a', 'b'])
    bench.endTurn()
    t.same(reader.data, [])
  })

  t.test('that takes long lets others have their turn', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new ChannelBench()
      let asked = 0
      const filter = (): boolean => {
        asked++
        clock.spend(2)
        return false
      }
      const slow = bench.subscribed(['news'], undefined, { filter })
      const other = bench.subscribed(['news'])
      bench.endTurn()
      for (let i = 0; i < 100; i++) bench.channel().publish(`${i}`)
      while (other.data.length === 0) bench.endTurn(1)
      t.ok(asked <= 1, `${asked} messages were looked at before`)
      t.equal(other.data.length, 100)
      bench.endTurn()
      t.equal(asked, 100)
      t.same(slow.data, [])
    })
  })

  t.test('that chooses little tells its place each 64 KiB that it passed over', async (t) => {
    const bench = new ChannelBench()
    const brought = bench.cursor()
    const cursors = await Promise.all(
      Array.from({ length: 20 }, () => {
        const cursor = bench.channel().publish('x'.repeat(10_000))
        bench.endTurn()
        return cursor
      })
    )
    const reader = bench.subscribed(['news'], brought, { filter: () => false })
    bench.endTurn()
    const told = [...reader.transport.text.matchAll(/id: (\S+)/g)].map(([, id]) => id)
    t.equal(told.length, 3)
    t.equal(told[0], cursors[6])
    reader.leave()
    const back = bench.subscribed(['news'], told[0])
    bench.endTurn()
    t.equal(back.data.length, 13)
  })
})

t.test('Channel › subscribe › refuses', async (t) => {
  t.test('what is no connection of the same registration', async (t) => {
    const channel = new ChannelBench().channel()
    const foreign = new ChannelBench().reader().connection
    for (const wrong of [undefined, null, 'x', {}, channel, foreign]) {
      t.throws(() => channel.subscribe(wrong as never), {
        code: CODE,
        message:
          /^Expected the connection to be what reply\.sseStart\(\) of the same registration returned, got/
      })
    }
    t.equal(channel.size, 0)
  })

  t.test('options that are wrong', async (t) => {
    const wrong: unknown[] = [
      ...['', 1, null, {}, { last: -1 }, { last: 1.5 }, { last: '2' }, { last: 1, foo: 2 }].map((from) => ({
        from
      })),
      ...['yesterday', new Date('never'), 1].map((notBefore) => ({ notBefore })),
      ...['a', async () => false].map((filter) => ({ filter })),
      ...[{ resume: 1 }, { form: 'now' }, null, []]
    ]
    const bench = new ChannelBench()
    const { connection } = bench.reader()
    for (const options of wrong) {
      const subscribe = () => bench.channel().subscribe(connection, options as SubscribeOptions)
      t.throws(subscribe, { code: CODE }, inspect(options))
    }
    t.equal(bench.channel().size, 0)
  })

  t.test('a connection whose event of cursors is one that the channel declares', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { events: { place: {} } })
    const { connection } = bench.reader(undefined, { cursorEvent: 'place' })
    t.throws(() => channel.subscribe(connection), { code: CODE, message: /^Expected cursorEvent to be / })
  })
})

t.test('Channel › subscribe › a second time', async (t) => {
  const filter = (): boolean => true
  const same: [SubscribeOptions | undefined, SubscribeOptions | undefined][] = [
    [undefined, undefined],
    [undefined, {}],
    [{ from: 'oldest' }, { from: 'oldest' }],
    [
      { from: { last: 2 }, filter },
      { filter, from: { last: 2 } }
    ],
    [{ notBefore: new Date(5) }, { notBefore: new Date(5) }],
    [{ resume: false }, { resume: false }]
  ]
  const others: [SubscribeOptions | undefined, SubscribeOptions | undefined][] = [
    [undefined, { from: 'oldest' }],
    [{ from: { last: 2 } }, { from: { last: 3 } }],
    [{ filter }, undefined],
    [{ filter }, { filter: () => true }],
    [{ notBefore: new Date(5) }, { notBefore: new Date(6) }],
    [{ resume: false }, {}]
  ]

  t.test('with the same options is the same subscription', async (t) => {
    for (const [first, second] of same) {
      const { bench, channel } = await published()
      const reader = bench.reader()
      const subscription = channel.subscribe(reader.connection, first)
      t.equal(channel.subscribe(reader.connection, second), subscription)
      t.equal(channel.size, 1)
      channel.publish('once')
      bench.endTurn()
      t.equal(reader.data.filter((data) => data === 'once').length, 1)
    }
  })

  t.test('with other options is refused, and the subscription goes on', async (t) => {
    for (const [first, second] of others) {
      const { bench, channel } = await published()
      const reader = bench.reader()
      channel.subscribe(reader.connection, first)
      t.throws(() => channel.subscribe(reader.connection, second), {
        code: 'FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED',
        message: 'The connection is already subscribed to the channel "news"'
      })
      channel.publish('once')
      bench.endTurn()
      t.equal(reader.data.at(-1), 'once')
    }
  })
})

t.test('Channel › subscribe › a connection that has ended is not subscribed', async (t) => {
  for (const end of ['close', 'destroy', 'transportOnClose'] as const) {
    const bench = new ChannelBench()
    const hook = () => t.fail('called')
    const channel = bench.channel('news', { onSubscribe: hook, onUnsubscribe: hook })
    const reader = bench.reader()
    reader.connection[end]()
    const { text } = reader.transport
    const subscription = channel.subscribe(reader.connection)
    t.match(subscription, { channel, connection: reader.connection, active: false })
    subscription.unsubscribe()
    channel.publish('a')
    bench.endTurn()
    t.equal(reader.transport.text, text)
    t.equal(bench.channels.live.size, 0)
  }
})

t.test('Subscription › unsubscribe()', async (t) => {
  t.test('ends it: what was published before is still written, and nothing after', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const [reader, other] = [bench.reader(), bench.reader()]
    const subscription = channel.subscribe(reader.connection)
    t.match(subscription, { channel, connection: reader.connection, active: true })
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

  t.test('what was published before comes also to a reader that is blocked then', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['news', 'other'])
    bench.endTurn()
    reader.block()
    bench.publishEach('other0', 'news1', 'other2', 'news3')
    bench.endTurn()
    for (const subscription of reader.connection.subscriptions) subscription.unsubscribe()
    bench.publishEach('news4', 'other5')
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['other0', 'news1', 'other2', 'news3'])
    t.equal(bench.channels.live.size, 0)
  })

  t.test('and subscribe() again in one turn while the head is not out loses nothing', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.waiting()
    reader.connection.handlerOnSettle()
    for (const round of ['1', '2', '3']) {
      const subscription = channel.subscribe(reader.connection)
      channel.publish(`in ${round}`)
      subscription.unsubscribe()
      channel.publish(`out ${round}`)
    }
    channel.subscribe(reader.connection)
    channel.publish('end')
    bench.endTurn()
    reader.connection.open(reader.transport)
    bench.endTurn()
    t.same(reader.data, ['in 1', 'in 2', 'in 3', 'end'])
    t.equal(bench.counters.gaps, 0)
  })

  t.test('and subscribe() again from an older place gives each message once', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.waiting()
    reader.connection.handlerOnSettle()
    const subscription = channel.subscribe(reader.connection)
    channel.publish(['1', '2'])
    subscription.unsubscribe()
    channel.publish('3')
    channel.subscribe(reader.connection, { from: 'oldest', filter: ({ data }) => data !== '2' })
    channel.publish('4')
    reader.connection.open(reader.transport)
    bench.endTurn()
    t.same(reader.data, ['1', '3', '4'], 'as the new subscription says')
  })

  t.test('uses up what the client brought: the next subscription begins at its from', async (t) => {
    const { bench, channel, one } = await published()
    const reader = bench.reader(one)
    const subscription = channel.subscribe(reader.connection)
    bench.endTurn()
    subscription.unsubscribe()
    channel.publish('between')
    channel.subscribe(reader.connection)
    channel.publish('4')
    bench.endTurn()
    t.same(reader.data, ['2', '3', '4'])
  })

  t.test('of the last one lets send() give ids again', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['a', 'b'])
    for (const subscription of reader.connection.subscriptions) {
      t.throws(() => reader.connection.send({ id: 'mine', data: '' }), {
        code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE',
        message: /absent on a connection that is subscribed to a channel/
      })
      subscription.unsubscribe()
    }
    reader.connection.send({ id: 'mine', data: '' })
    bench.endTurn()
    t.equal(reader.lastEventId, 'mine')
  })

  t.test('of all while a round is being told leaves nothing to do', async (t) => {
    const bench = new ChannelBench()
    const readers = Array.from({ length: 600 }, () => bench.subscribed(['news']))
    bench.endTurn()
    bench.channel().publish('a')
    bench.endTurn(1)
    for (const { connection } of readers) connection.destroy()
    bench.endTurn()
    t.equal(bench.channels.live.size, 0)
    t.equal(bench.pending, 0)
  })
})

t.test('Channel › reserved events', async (t) => {
  t.test('of gaps and cursors are not for send() on a connection that is subscribed', async (t) => {
    const bench = new ChannelBench({ gapEvent: 'hole' })
    bench.channel('other', { gapEvent: 'lost' })
    const { connection } = bench.reader(undefined, { cursorEvent: 'place' })
    const send = (event: string) => () => connection.send({ event, data: '' })
    bench.shared.reserved.addCursor('place')
    for (const event of ['hole', 'lost', 'place']) t.doesNotThrow(send(event), 'before')
    bench.channels.subscribe(connection, ['news'])
    for (const event of ['hole', 'lost', 'place']) {
      t.throws(send(event), {
        code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE',
        message:
          /^Expected message.event to be none of the events by which the connection tells gaps and cursors/
      })
    }
    for (const event of ['', 'gap', 'tick']) t.doesNotThrow(send(event))
  })

  t.test('what onGap answers has none of them but its own', async (t) => {
    const bench = new ChannelBench()
    bench.channel('other', { gapEvent: 'lost' })
    for (const [event, isTold] of [
      ['gap', true],
      ['lost', false],
      ['sse-cursor', false]
    ] as const) {
      bench.channel('news', { onGap: () => ({ event, data: 'mine' }) })
      const expected = isTold ? ['mine'] : ['!news unknown']
      t.same(bench.given(['news'], '0000000001-elsewhere').slice(0, 1), expected, event)
    }
    t.match(bench.logs, [{ message: 'onGap failed' }, { message: 'onGap failed' }])
  })
})

t.test('Channel › onSubscribe', async (t) => {
  t.test('is called with the subscription, which counts and gets what is published there', async (t) => {
    const bench = new ChannelBench()
    const calls: unknown[][] = []
    const channel = bench.channel('lobby', {
      onSubscribe: (subscription) => {
        calls.push([subscription, subscription.active, channel.size])
        channel.publish(`${channel.size} present`)
        subscription.connection.comment('welcome')
      }
    })
    const reader = bench.reader()
    const subscription = channel.subscribe(reader.connection)
    bench.endTurn()
    t.same(calls, [[subscription, true, 1]])
    t.match(reader.transport.text, /^id: \S+\ndata: 1 present\n\n: welcome\n$/)
  })

  t.test('that throws undoes the subscription, and subscribe() throws it', async (t) => {
    const bench = new ChannelBench()
    const error = new Error('banned')
    let isBanned = true
    let ended = 0
    const channel = bench.channel('lobby', {
      onSubscribe: () => {
        if (isBanned) throw error
      },
      onUnsubscribe: () => {
        ended++
      }
    })
    await channel.publish('past')
    const reader = bench.reader()
    t.throws(() => channel.subscribe(reader.connection, { from: 'oldest' }), error)
    t.equal(channel.size, 0)
    channel.publish('unseen')
    bench.endTurn()
    t.same(reader.data, [])
    t.equal(reader.connection.state, 'open')
    t.equal(ended, 0, 'onUnsubscribe is not called')
    t.equal(bench.channels.live.size, 0)
    isBanned = false
    channel.subscribe(reader.connection)
    channel.publish('seen')
    bench.endTurn()
    t.same(reader.data, ['seen'])
  })

  t.test('is not waited for, and what it rejects with is logged', async (t) => {
    const bench = new ChannelBench()
    const err = new Error('later')
    const channel = bench.channel('lobby', { onSubscribe: () => Promise.reject(err) })
    const subscription = channel.subscribe(bench.reader().connection)
    t.ok(subscription.active)
    await nextTurn()
    t.ok(subscription.active)
    t.same(bench.logs, [{ fields: { err, channel: 'lobby' }, message: 'onSubscribe failed' }])
  })

  t.test('may end the connection, or the subscription, and throw', async (t) => {
    const acts: [string, (subscription: Subscription) => void][] = [
      ['destroy', ({ connection }) => connection.destroy()],
      ['unsubscribe', (subscription) => subscription.unsubscribe()]
    ]
    for (const [name, act] of acts) {
      for (const isBanned of [false, true]) {
        const bench = new ChannelBench()
        const channel = bench.channel('lobby', {
          onSubscribe: (subscription) => {
            act(subscription)
            if (isBanned) throw new Error('banned')
          }
        })
        const reader = bench.subscribed(['news'])
        const subscribe = (): Subscription => channel.subscribe(reader.connection)
        if (isBanned) t.throws(subscribe, { message: 'banned' }, name)
        else t.notOk(subscribe().active, name)
        t.equal(channel.size, 0)
        await bench.publishEach('news1', 'lobby2')
        bench.endTurn()
        t.same(reader.data, name === 'destroy' ? [] : ['news1'])
        t.same(
          [...bench.channels.live].map(({ name }) => name),
          name === 'destroy' ? [] : ['news']
        )
      }
    }
  })
})

t.test('Channel › onUnsubscribe › is called once, whatever ended the subscription', async (t) => {
  const table: [string, (reader: Reader, subscription: Subscription) => void][] = [
    ['unsubscribe()', (_reader, subscription) => subscription.unsubscribe()],
    ['a client that left', ({ connection }) => connection.transportOnClose()],
    ['a transport that failed', ({ connection }) => connection.transportOnError(new Error('reset'))],
    ['destroy() of the connection', ({ connection }) => connection.destroy()],
    ['a slow reader', ({ connection }) => connection.evict('slow')],
    ['close(), when the last byte has left', (reader) => closed(reader, (connection) => connection.close())],
    ['an expiry', (reader) => closed(reader, (connection) => connection.beat(60_000))],
    ['a handler that failed', (reader) => closed(reader, (connection) => connection.fail(new Error()))],
    ['a shutdown', (reader) => closed(reader, (connection) => connection.shutdown())]
  ]
  function closed({ connection }: Reader, end: (connection: Reader['connection']) => void): void {
    end(connection)
    t.equal(connection.state, 'closing')
    connection.transportOnClose()
  }
  for (const [name, end] of table) {
    t.test(`by ${name}`, async (t) => {
      const bench = new ChannelBench()
      const calls: unknown[] = []
      const channel = bench.channel('lobby', {
        onUnsubscribe: (ended) => calls.push([ended === subscription, ended.active, channel.size])
      })
      const reader = bench.reader(undefined, { maxAgeMs: 30_000 })
      const subscription = channel.subscribe(reader.connection)
      bench.endTurn()
      t.same(calls, [])
      end(reader, subscription)
      t.same(calls, [[true, false, 0]])
      subscription.unsubscribe()
      reader.connection.destroy()
      bench.endTurn()
      t.equal(calls.length, 1)
      t.equal(bench.channels.live.size, 0)
    })
  }
})

t.test('Channel › onUnsubscribe', async (t) => {
  t.test('may publish to those who are left', async (t) => {
    const bench = new ChannelBench()
    bench.channel('lobby', { onUnsubscribe: ({ channel }) => channel.publish(`${channel.size} present`) })
    const [leaver, left] = [bench.subscribed(['lobby']), bench.subscribed(['lobby'])]
    leaver.connection.destroy()
    bench.endTurn()
    t.same(left.data, ['1 present'])
  })

  t.test('may end the other subscriptions of the connection, each once', async (t) => {
    const bench = new ChannelBench()
    const ended: string[] = []
    const reader = bench.reader()
    const subscriptions: Subscription[] = []
    const onUnsubscribe = ({ channel }: Subscription): void => {
      ended.push(channel.name)
      for (const subscription of subscriptions) subscription.unsubscribe()
    }
    for (const name of ['a', 'b', 'c']) {
      subscriptions.push(bench.channel(name, { onUnsubscribe }).subscribe(reader.connection))
    }
    reader.connection.destroy()
    t.same(ended.sort(), ['a', 'b', 'c'])
    t.equal(bench.channels.live.size, 0)
  })

  t.test('that throws is logged, and disturbs nobody', async (t) => {
    const bench = new ChannelBench({
      onUnsubscribe: () => {
        throw err
      }
    })
    const err = new Error('boom')
    const reader = bench.subscribed(['a', 'b'])
    reader.connection.transportOnClose()
    t.same(bench.logs, [
      { fields: { err, channel: 'a' }, message: 'onUnsubscribe failed' },
      { fields: { err, channel: 'b' }, message: 'onUnsubscribe failed' }
    ])
    t.equal(await reader.connection.closed, 'client')
  })

  t.test('that rejects is logged', async (t) => {
    const err = new Error('later')
    const bench = new ChannelBench({ onUnsubscribe: () => Promise.reject(err) })
    bench.channel('lobby').subscribe(bench.reader().connection).unsubscribe()
    await nextTurn()
    t.same(bench.logs, [{ fields: { err, channel: 'lobby' }, message: 'onUnsubscribe failed' }])
  })
})
