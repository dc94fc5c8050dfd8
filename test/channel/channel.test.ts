import { subscribe as subscribeTo, unsubscribe as unsubscribeFrom } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import t from 'tap'
import type { History } from '../../lib/history/history.ts'
import {
  type ChannelMessage,
  type ChannelOptions,
  memoryHistory,
  type Publishable,
  type PublishOptions,
  type SubscribeOptions,
  type Subscription
} from '../../lib/index.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'
import { nextTurn } from '../helpers/server.ts'
import { hasSettled } from '../helpers/settled.ts'

const KIB = 1024

t.test('Channel › publish › what arrives', async (t) => {
  t.test('is the message, with the cursor that publish() gave as its id', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    const first = await channel.publish({ event: 'tick', data: { price: 1 }, retry: 5 })
    const second = await channel.publish('two\nlines')
    const third = await channel.publish({ data: '', event: '' })
    const fourth = await channel.publish({ retry: 7 })
    bench.endTurn()
    t.equal(
      reader.transport.text,
      `id: ${first}\nevent: tick\ndata: {"price":1}\nretry: 5\n\n` +
        `id: ${second}\ndata: two\ndata: lines\n\n` +
        `id: ${third}\ndata: \n\n` +
        `id: ${fourth}\nretry: 7\n\n`
    )
    t.equal(new Set([first, second, third, fourth]).size, 4)
  })

  t.test('was encoded once, however many get it', async (t) => {
    let calls = 0
    const serializer = (data: unknown): string => `${++calls}:${JSON.stringify(data)}`
    const bench = new ChannelBench({ serializer })
    const channel = bench.channel()
    const readers = Array.from({ length: 3 }, () => bench.reader())
    for (const { connection } of readers) channel.subscribe(connection)
    const data = { a: 1 }
    channel.publish({ data })
    data.a = 2
    bench.endTurn()
    for (const reader of readers) t.same(reader.data, ['1:{"a":1}'])
  })

  t.test('comes at the end of the turn, and all of one turn in one write', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    bench.endTurn()
    const before = reader.transport.writes.length
    for (const data of ['a', 'b', 'c']) channel.publish(data)
    t.equal(bench.pending, 1, 'one flush of the channel, however much is published')
    t.equal(reader.transport.writes.length, before)
    bench.endTurn()
    t.equal(reader.transport.writes.length, before + 1)
    t.same(reader.data, ['a', 'b', 'c'])
  })

  t.test('waits for the head of a connection that is opening', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.waiting()
    channel.subscribe(reader.connection)
    channel.publish('early')
    bench.endTurn()
    t.equal(reader.beforeHead.text, '')
    reader.connection.open(reader.transport)
    bench.endTurn()
    t.same(reader.data, ['early'])
  })

  t.test('is kept without subscriptions for those who come later', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    await channel.publish('a')
    await channel.publish('b')
    const reader = bench.reader()
    channel.subscribe(reader.connection, { from: 'oldest' })
    bench.endTurn()
    t.same(reader.data, ['a', 'b'])
    t.equal(bench.published, 2)
  })

  t.test('counts as delivered once for each connection', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const [first, second] = [bench.reader(), bench.reader()]
    channel.subscribe(first.connection)
    channel.subscribe(second.connection, { filter: ({ data }) => data === 'a' })
    channel.publish('a')
    channel.publish('b')
    bench.endTurn()
    t.equal(bench.delivered, 3)
    t.equal(first.connection.messages, 2)
    t.equal(second.connection.messages, 1)
    t.equal(first.connection.bytes, first.transport.text.length)
  })
})

t.test('Channel › publish › the key', async (t) => {
  const table: [Publishable, PublishOptions | undefined, string][] = [
    [{ event: 'tick', data: 1 }, undefined, 'tick'],
    [{ event: 'tick', data: 1 }, {}, 'tick'],
    [{ event: 'tick', data: 1 }, { key: 'EUR' }, 'EUR'],
    [{ event: 'tick', data: 1 }, { key: '' }, ''],
    [{ data: 1 }, undefined, ''],
    ['text', undefined, ''],
    ['text', { key: 'k' }, 'k']
  ]
  for (const [message, options, expected] of table) {
    t.test(`of ${JSON.stringify(message)} with ${JSON.stringify(options)} is '${expected}'`, async (t) => {
      const bench = new ChannelBench()
      const channel = bench.channel()
      const keys: string[] = []
      channel.subscribe(bench.reader().connection, { filter: ({ key }) => keys.push(key) > 0 })
      channel.publish(message, options)
      bench.endTurn()
      t.same(keys, [expected])
    })
  }
})

t.test('Channel › publish › the idempotency key', async (t) => {
  t.test('is handed to the history, and what has the same one is published once', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    const keys = ['a', ' ', '0', '__proto__', '😀'.repeat(128), 'x'.repeat(256)]
    const given: string[] = []
    for (const idempotencyKey of keys) {
      const first = await channel.publish(idempotencyKey, { idempotencyKey })
      t.equal(await channel.publish('again', { idempotencyKey, key: 'k' }), first)
      given.push(first)
    }
    t.equal(new Set(given).size, keys.length)
    bench.endTurn()
    t.same(reader.data, keys)
    const other = bench.channel('other', { history: channel.options.history })
    t.not(await other.publish('x', { idempotencyKey: 'a' }), given[0], 'in one channel')
  })

  t.test('that is undefined is none', async (t) => {
    const channel = new ChannelBench().channel()
    const options = { idempotencyKey: undefined } as unknown as PublishOptions
    t.not(await channel.publish('x', options), await channel.publish('x', options))
  })

  t.test('what is not published again does not keep its publisher waiting', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    channel.subscribe(bench.reader().connection)
    bench.endTurn()
    const large = 'x'.repeat(100 * KIB)
    const first = channel.publish(large, { idempotencyKey: 'a' })
    bench.endTurn()
    t.equal(await channel.publish(large, { idempotencyKey: 'a' }), await first)
    t.equal(await channel.publish(large, { idempotencyKey: 'a' }), await first)
  })
})

t.test('Channel › publish › refuses', async (t) => {
  const table: [string, unknown, unknown, string][] = [
    ['an id of its own', { id: 'a', data: '' }, undefined, 'INVALID_MESSAGE'],
    ['an id that is 0', { id: 0, data: '' }, undefined, 'INVALID_MESSAGE'],
    ['an id that resets', { id: '', data: '' }, undefined, 'INVALID_MESSAGE'],
    ['null', null, undefined, 'INVALID_MESSAGE'],
    ['undefined', undefined, undefined, 'INVALID_MESSAGE'],
    ['an empty message', {}, undefined, 'INVALID_MESSAGE'],
    ['an unknown field', { data: '', type: 'x' }, undefined, 'INVALID_MESSAGE'],
    ['an event with a line end', { event: 'a\nb', data: '' }, undefined, 'INVALID_MESSAGE'],
    ['an event that is none', { event: 1, data: '' }, undefined, 'INVALID_MESSAGE'],
    ['data that cannot be serialized', { data: 1n }, undefined, 'SERIALIZATION'],
    ['a message that is too large', 'x'.repeat(200), undefined, 'MESSAGE_TOO_LARGE'],
    ['a key that is no string', 'a', { key: 1 }, 'INVALID_OPTION'],
    ...['', 'x'.repeat(257), '\ud83d', 1, null, true, ['a'], {}].map(
      (idempotencyKey): [string, unknown, unknown, string] => [
        `the idempotency key ${inspect(idempotencyKey, { maxStringLength: 10 })}`,
        'a',
        { idempotencyKey },
        'INVALID_OPTION'
      ]
    ),
    ['an unknown option', 'a', { kye: 'x' }, 'INVALID_OPTION'],
    ['options that are none', 'a', null, 'INVALID_OPTION']
  ]
  for (const [name, message, options, code] of table) {
    t.test(`${name}, at the call and before anything is kept`, async (t) => {
      const bench = new ChannelBench({ maxMessageBytes: 100 })
      const channel = bench.channel()
      t.throws(() => channel.publish(message as string, options as PublishOptions), {
        code: `FST_ERR_EVENTSTREAM_${code}`
      })
      await channel.publish('good')
      const reader = bench.reader()
      channel.subscribe(reader.connection, { from: 'oldest' })
      bench.endTurn()
      t.same(reader.data, ['good'])
      t.equal(bench.published, 1)
    })
  }

  t.test('with the option and its value', async (t) => {
    const channel = new ChannelBench().channel()
    t.throws(() => channel.publish('a', { idempotencyKey: '' }), {
      message: "Expected idempotencyKey to be a well-formed string of 1 to 256 characters, got '' (string)"
    })
  })

  t.test('but not an id that is undefined', async (t) => {
    const bench = new ChannelBench()
    const message = { id: undefined, data: 'x' } as unknown as Publishable
    t.type(await bench.channel().publish(message), 'string')
  })
})

t.test('Channel › publish › resolves', async (t) => {
  const below = 'x'.repeat(64 * KIB - 'data: \n\n'.length - 1)
  const exactly = `${below}x`

  t.test('at once below 64 KiB in one turn', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    channel.subscribe(bench.reader().connection)
    t.ok(await hasSettled(channel.publish(below)))
  })

  t.test('from there on when the subscriptions were offered it', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    bench.endTurn()
    const cursor = await channel.publish(below)
    const published = [channel.publish('a'), channel.publish('b')]
    t.notOk(await hasSettled(Promise.race(published)))
    await nextTurn()
    t.notOk(await hasSettled(Promise.race(published)), 'however long that takes')
    t.equal(bench.published, 3, 'but the history has them')
    bench.endTurn()
    const [a, b] = await Promise.all(published)
    t.same(
      reader.events.map(({ lastEventId }) => lastEventId),
      [cursor, a, b]
    )
    t.ok(await hasSettled(channel.publish(below)), 'and counts from there anew')
  })

  t.test('not before the last of many was offered it', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const readers = Array.from({ length: 40 }, () => bench.reader())
    for (const { connection } of readers) channel.subscribe(connection)
    bench.endTurn()
    const published = channel.publish(exactly)
    const haveIt = (): number => readers.filter(({ transport }) => transport.text.includes('data')).length
    const offered: number[] = []
    while (!(await hasSettled(published))) {
      offered.push(haveIt())
      bench.endTurn(1)
    }
    t.ok(
      offered.some((count) => count > 0 && count < 40),
      offered.join()
    )
    t.equal(haveIt(), 40)
  })

  t.test('whether or not a reader takes it', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    reader.block()
    for (let i = 0; i < 10; i++) {
      const published = channel.publish(below)
      bench.endTurn()
      t.ok(await hasSettled(published))
    }
    t.equal(reader.transport.writes.length, 1)
  })

  t.test('in the next turn without subscriptions', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    t.ok(await hasSettled(channel.publish(below)))
    const published = [channel.publish('a'), channel.publish('b')]
    t.notOk(await hasSettled(Promise.race(published)))
    await nextTurn()
    t.ok(await hasSettled(Promise.all(published)))
    t.ok(await hasSettled(channel.publish(below)), 'and counts from there anew')
  })

  t.test('when the last subscription ends', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection)
    const published = channel.publish(exactly)
    t.notOk(await hasSettled(published))
    reader.connection.destroy()
    t.ok(await hasSettled(published))
  })
})

t.test('Channel › publish › when the history rejects', async (t) => {
  const closed = { code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED' }

  async function withClosedHistory() {
    const bench = new ChannelBench()
    const history = memoryHistory()
    const channel = bench.channel('news', { history })
    await history.close()
    return { bench, channel }
  }

  for (const [size, message] of [
    ['small', 'x'],
    ['large', 'x'.repeat(64 * KIB)]
  ] as const) {
    t.test(`who awaits a ${size} message gets the error, and nothing is logged`, async (t) => {
      const { bench, channel } = await withClosedHistory()
      channel.subscribe(bench.reader().connection)
      try {
        await channel.publish(message)
        t.fail('not rejected')
      } catch (error) {
        t.match(error, closed)
      }
      t.same(bench.logs, [])
    })

    t.test(`so does who listens to the promise of a ${size} message`, async (t) => {
      const { bench, channel } = await withClosedHistory()
      t.match(await channel.publish(message).catch((error) => error), closed)
      await nextTurn()
      t.same(bench.logs, [])
    })

    t.test(`and if nobody waits for a ${size} message, it is logged`, async (t) => {
      const { bench, channel } = await withClosedHistory()
      channel.publish(message)
      await nextTurn()
      await nextTurn()
      t.match(bench.logs, [
        { fields: { err: closed, channel: 'news' }, message: 'a message could not be published' }
      ])
    })
  }
})

t.test('Channel › publish › tells node:diagnostics_channel', async (t) => {
  const events: unknown[] = []
  const channelOnPublish = (event: unknown): number => events.push(event)
  const bench = new ChannelBench()
  const history = memoryHistory()
  const channel = bench.channel('news', { history })
  await channel.publish('before')
  subscribeTo('fastify-eventstream:publish', channelOnPublish)
  t.teardown(() => unsubscribeFrom('fastify-eventstream:publish', channelOnPublish))
  const cursor = await channel.publish('é')
  await nextTurn()
  t.same(events, [{ channel: 'news', cursor, byteLength: Buffer.byteLength('data: é\n\n') }])
  await history.close()
  await t.rejects(channel.publish('rejected'))
  await nextTurn()
  t.equal(events.length, 1, 'but not what was not kept')
})

t.test('Channel › subscribe › where a client starts', async (t) => {
  async function published(options: ChannelOptions = {}) {
    const bench = new ChannelBench()
    const channel = bench.channel('news', options)
    const cursors = []
    for (const data of ['1', '2', '3']) cursors.push(await channel.publish(data))
    const [one = '', two = '', three = ''] = cursors
    return { bench, channel, one, two, three }
  }
  type Published = Awaited<ReturnType<typeof published>>
  const table: [
    string,
    (cursors: Published) => [lastEventId: string | undefined, SubscribeOptions?],
    string[]
  ][] = [
    ['by default with the next message', () => [undefined], ['4']],
    ["from: 'now' with the next message", () => [undefined, { from: 'now' }], ['4']],
    ["from: 'oldest' with the oldest", () => [undefined, { from: 'oldest' }], ['1', '2', '3', '4']],
    ['from: a cursor after its message', ({ two }) => [undefined, { from: two }], ['3', '4']],
    ['from: the newest cursor with the next', ({ three }) => [undefined, { from: three }], ['4']],
    ['that returns, after what it has', ({ one }) => [one], ['2', '3', '4']],
    ['that returns, and has everything, with the next', ({ three }) => [three], ['4']],
    ['that returns, wherever others start', ({ two }) => [two, { from: 'oldest', resume: true }], ['3', '4']],
    [
      'that returns with an id of several channels, after its part of it',
      ({ two }) => [`a=x&news=${two}`],
      ['3', '4']
    ],
    [
      'that returns with an id of other channels, where others start',
      ({ two }) => [`new=${two}&a=x`, { from: 'oldest' }],
      ['1', '2', '3', '4']
    ],
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
      const reader = bench.reader(lastEventId)
      channel.subscribe(reader.connection, options)
      channel.publish('4')
      bench.endTurn()
      t.same(reader.data, expected)
      t.same(bench.gaps, [])
    })
  }

  t.test("a client that brought the word 'oldest' has brought no cursor", async (t) => {
    const { bench, channel } = await published()
    const reader = bench.reader('oldest')
    channel.subscribe(reader.connection)
    bench.endTurn()
    t.same(
      bench.gaps.map(({ gap }) => gap),
      [{ channel: 'news', reason: 'unknown' }]
    )
  })

  t.test('from: a cursor that the history does not know is a gap', async (t) => {
    const { bench, channel } = await published()
    const reader = bench.reader()
    channel.subscribe(reader.connection, { from: 'nonsense' })
    bench.endTurn()
    t.same(reader.data, ['{"channel":"news","reason":"unknown"}', '1', '2', '3'])
  })
})

t.test('Channel › subscribe › filter', async (t) => {
  t.test('chooses what a connection gets, and others are not touched by it', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const [even, all] = [bench.reader(), bench.reader()]
    channel.subscribe(even.connection, { filter: ({ data }) => Number(data) % 2 === 0 })
    channel.subscribe(all.connection)
    const cursors = []
    for (const data of ['1', '2', '3', '4']) cursors.push(await channel.publish(data))
    bench.endTurn()
    t.same(
      even.events.map(({ data, lastEventId }) => [data, lastEventId]),
      [
        ['2', cursors[1]],
        ['4', cursors[3]]
      ]
    )
    t.same(all.data, ['1', '2', '3', '4'])
  })

  t.test('sees the message as its readers get it', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const seen: ChannelMessage[] = []
    channel.subscribe(bench.reader().connection, { filter: (message) => seen.push(message) > 0 })
    const ids = [
      await channel.publish({ event: 'tick', data: { a: 1 }, retry: 1 }, { key: 'k' }),
      await channel.publish('event: no\r\ndata: \rx'),
      await channel.publish({ retry: 5 })
    ]
    bench.endTurn()
    t.same(
      seen.map(({ id, event, data, key }) => [id, event, data, key]),
      [
        [ids[0], 'tick', '{"a":1}', 'k'],
        [ids[1], '', 'event: no\ndata: \nx', ''],
        [ids[2], '', '', '']
      ]
    )
  })

  t.test('json() parses once for all', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const parsed: unknown[] = []
    const filter = (message: ChannelMessage): boolean => parsed.push(message.json()) > 0
    for (let i = 0; i < 3; i++) channel.subscribe(bench.reader().connection, { filter })
    channel.publish({ data: { a: 1 } })
    bench.endTurn()
    t.same(parsed, [{ a: 1 }, { a: 1 }, { a: 1 }])
    t.equal(new Set(parsed).size, 1)
  })

  t.test('json() throws when the data is none', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const errors: unknown[] = []
    channel.subscribe(bench.reader().connection, {
      filter: (message) => {
        for (let i = 0; i < 2; i++) {
          try {
            message.json()
          } catch (error) {
            errors.push(error)
          }
        }
        return true
      }
    })
    channel.publish('{')
    bench.endTurn()
    t.match(errors, [{ name: 'SyntaxError' }, { name: 'SyntaxError' }])
  })

  t.test('is asked about what a returning client missed, too', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const cursor = await channel.publish('0')
    for (const data of ['1', '2', '3']) channel.publish(data)
    const reader = bench.reader(cursor)
    channel.subscribe(reader.connection, { filter: ({ data }) => data !== '2' })
    bench.endTurn()
    t.same(reader.data, ['1', '3'])
  })

  for (const [name, more] of [
    ['one channel', 0],
    ['several channels', 1]
  ] as const) {
    t.test(`that passes little over lets others have their turn, with ${name}`, async (t) => {
      const bench = new ChannelBench()
      const history = memoryHistory({ maxMessages: 20_000, maxBytes: 10_000_000 })
      const channels = ['a', 'b'].slice(0, 1 + more).map((channel) => bench.channel(channel, { history }))
      const cursors = channels.map((channel) => channel.subscribe(bench.reader().connection).cursor)
      for (let i = 0; i < 3_000; i++) for (const channel of channels) channel.publish(`${i}`.repeat(10))
      bench.endTurn()
      const reader = bench.reader(
        channels.map(({ encodedName }, i) => `${encodedName}=${cursors[i]}`).join('&')
      )
      let asked = 0
      const filter = (): boolean => asked++ < 0
      for (const channel of channels) channel.subscribe(reader.connection, { filter })
      let shares = 0
      let most = 0
      while (bench.pending > 0 && shares < 1_000) {
        const before = asked
        bench.endTurn(1)
        shares++
        most = Math.max(most, asked - before)
      }
      t.ok(shares > 5, `${shares} shares`)
      t.ok(most <= 1_000, `${most} messages in one of them`)
      t.equal(asked, 3_000 * channels.length)
      t.same(reader.data, [])
      t.ok(Number(reader.lastEventId.split('-').at(-1)) > 2_500, 'its client is told how far it is')
    })
  }

  t.test('that destroys its connection has nothing delivered', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection, {
      filter: () => {
        reader.connection.destroy()
        return true
      }
    })
    channel.publish('a')
    bench.endTurn()
    t.equal(bench.delivered, 0)
    t.same(reader.data, [])
  })

  t.test('may unsubscribe', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    const subscription = channel.subscribe(reader.connection, {
      filter: ({ data }) => {
        if (data === 'last') subscription.unsubscribe()
        return subscription.active || data === 'last'
      }
    })
    for (const data of ['first', 'last', 'more']) channel.publish(data)
    bench.endTurn()
    channel.publish('late')
    bench.endTurn()
    t.same(reader.data, ['first', 'last'])
    t.same(reader.logs, [])
    t.equal(channel.size, 0)
  })

  t.test('that throws ends its connection with reason error, and is logged', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const [failing, other] = [bench.reader(), bench.reader()]
    const err = new Error('secret')
    const subscription = channel.subscribe(failing.connection, {
      filter: () => {
        throw err
      }
    })
    channel.subscribe(other.connection)
    bench.endTurn()
    const place = failing.lastEventId
    const { signal } = failing.connection
    failing.connection.send('sent before')
    channel.publish('a')
    failing.connection.send('sent after')
    bench.endTurn()
    t.equal(
      failing.transport.text,
      `id: ${place}\n\ndata: sent before\n\ndata: sent after\n\n`,
      'without a word of the error'
    )
    t.same(failing.transport.ended, { reuse: true })
    t.equal(failing.connection.reason, 'error')
    t.equal(signal.reason.cause, err)
    t.same(failing.logs, [{ level: 'error', message: 'a subscription failed', err }])
    failing.connection.transportOnClose()
    t.notOk(subscription.active)
    t.same(other.data, ['a'])
    t.equal(channel.size, 1)
  })

  t.test('that throws while the connection is ending is logged too', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    channel.subscribe(reader.connection, {
      filter: () => {
        throw new Error('late')
      }
    })
    channel.publish('a')
    reader.connection.close()
    t.same(reader.data, ['Closing the connection'])
    t.equal(reader.logs.length, 1)
    t.equal(reader.connection.reason, 'server')
  })
})

t.test('Channel › subscribe › refuses', async (t) => {
  t.test('what is no connection', async (t) => {
    const channel = new ChannelBench().channel()
    for (const wrong of [undefined, null, 'x', {}, channel]) {
      t.throws(() => channel.subscribe(wrong as never), {
        code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION',
        message: /^Expected the connection to be what reply\.sseStart\(\) returned, got/
      })
    }
    t.equal(channel.size, 0)
  })

  const table: [string, unknown][] = [
    ['an empty cursor', { from: '' }],
    ['a cursor that is no string', { from: 1 }],
    ['resume that is no boolean', { resume: 1 }],
    ['a filter that is no function', { filter: 'a' }],
    ['a filter whose answer would be a promise', { filter: async () => false }],
    ['an unknown option', { form: 'now' }],
    ['options that are none', null],
    ['options that are a list', []]
  ]
  for (const [name, options] of table) {
    t.test(name, async (t) => {
      const bench = new ChannelBench()
      const channel = bench.channel()
      const { connection } = bench.reader()
      t.throws(() => channel.subscribe(connection, options as SubscribeOptions), {
        code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
      })
      t.equal(channel.size, 0)
    })
  }

  t.test('no connection that left and comes back, whose place from before is used up', async (t) => {
    const bench = new ChannelBench()
    const [channel, other] = [bench.channel(), bench.channel('other')]
    const cursor = await channel.publish('1')
    for (const data of ['2', '3']) channel.publish(data)
    for (const lastEventId of [cursor, `news=${cursor}`]) {
      const reader = bench.reader(lastEventId)
      const subscription = channel.subscribe(reader.connection)
      bench.endTurn()
      subscription.unsubscribe()
      channel.publish('between')
      channel.subscribe(reader.connection)
      other.subscribe(reader.connection)
      channel.publish('4')
      bench.endTurn()
      t.same(reader.data.slice(0, 2), ['2', '3'])
      t.same(reader.data.slice(-1), ['4'])
      t.equal(reader.data.filter((data) => data === '2').length, 1)
    }
    t.same(bench.gaps, [])
  })

  t.test('a connection that is subscribed already, but not once it was unsubscribed', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader()
    const subscription = channel.subscribe(reader.connection)
    t.throws(() => channel.subscribe(reader.connection), {
      code: 'FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED',
      message: 'The connection is already subscribed to the channel "news"'
    })
    t.equal(channel.size, 1)
    channel.publish('once')
    subscription.unsubscribe()
    channel.publish('never')
    channel.subscribe(reader.connection)
    const cursor = await channel.publish('again')
    bench.endTurn()
    t.same(reader.data, ['once', 'again'])
    t.equal(reader.lastEventId, cursor)
  })

  t.test('a channel more than fits into ids of 1,024 bytes', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader()
    for (const name of ['a', 'b', 'c']) bench.channel(name.repeat(256)).subscribe(reader.connection)
    const one = bench.channel('d'.repeat(137))
    const fits = bench.channel('é'.repeat(22) + 'd'.repeat(4))
    t.throws(() => one.subscribe(reader.connection), {
      code: 'FST_ERR_EVENTSTREAM_TOO_MANY_CHANNELS',
      message: /^With the channel "d+" the ids of this connection could take 1025 bytes/
    })
    t.equal(one.size, 0)
    fits.subscribe(reader.connection)
    bench.endTurn()
    t.ok(reader.lastEventId.length <= 1024)
    t.equal(reader.lastEventId.split('&').length, 4)
  })
})

t.test('Channel › subscribe › a connection that has ended is not subscribed', async (t) => {
  for (const end of ['close', 'destroy', 'transportOnClose'] as const) {
    t.test(`by ${end}()`, async (t) => {
      const bench = new ChannelBench()
      const calls: string[] = []
      const channel = bench.channel('news', {
        onSubscribe: () => calls.push('onSubscribe'),
        onUnsubscribe: () => calls.push('onUnsubscribe')
      })
      const reader = bench.reader()
      reader.connection[end]()
      const { text } = reader.transport
      const subscription = channel.subscribe(reader.connection)
      t.match(subscription, { channel, connection: reader.connection, active: false, cursor: undefined })
      subscription.unsubscribe()
      channel.publish('a')
      bench.endTurn()
      t.equal(reader.transport.text, text)
      t.equal(channel.size, 0)
      t.same(calls, [])
      t.same(bench.audiences, [])
    })
  }
})

t.test('Channel › subscribe › returns the subscription', async (t) => {
  const bench = new ChannelBench()
  const channel = bench.channel()
  const cursor = await channel.publish('0')
  const reader = bench.reader()
  const subscription = channel.subscribe(reader.connection)
  t.equal(subscription.channel, channel)
  t.equal(subscription.connection, reader.connection)
  t.equal(subscription.active, true)
  t.equal(subscription.cursor, cursor)
  const next = await channel.publish('1')
  t.equal(subscription.cursor, cursor, 'which moves when a message is written')
  bench.endTurn()
  t.equal(subscription.cursor, next)
})

t.test('Channel › subscribe › returns no cursor that may be that of another channel', async (t) => {
  const bench = new ChannelBench()
  const [a, b] = [bench.channel('a'), bench.channel('b')]
  const cursor = await a.publish('1')
  const { connection } = bench.reader(cursor)
  const other = b.subscribe(connection)
  t.equal(other.cursor, undefined, 'who knows whose it is that the client brought?')
  t.equal(a.subscribe(connection).cursor, cursor, 'this is its channel')
  bench.endTurn()
  t.equal(other.cursor, b.subscribe(bench.reader().connection).cursor, 'so it is not of that one')
})

t.test('Channel › subscribe › a cursor of a channel that was left is none of another one', async (t) => {
  for (const order of [
    ['a', 'b', '-a'],
    ['b', 'a', '-a'],
    ['a', '-a', 'b']
  ]) {
    const bench = new ChannelBench()
    const cursor = await bench.channel('a').publish('1')
    const reader = bench.reader(cursor)
    const subscriptions = new Map<string, Subscription>()
    for (const step of order) {
      if (step.startsWith('-')) subscriptions.get(step.slice(1))?.unsubscribe()
      else subscriptions.set(step, bench.channel(step).subscribe(reader.connection))
    }
    bench.endTurn()
    t.same(bench.gaps, [], order.join())
  }
})

t.test('Channel › size › counts the subscriptions there are', async (t) => {
  const bench = new ChannelBench()
  const channel = bench.channel()
  const readers = [bench.reader(), bench.reader(), bench.reader()]
  t.equal(channel.size, 0)
  const [first] = readers.map(({ connection }) => channel.subscribe(connection))
  t.equal(channel.size, 3)
  first?.unsubscribe()
  t.equal(channel.size, 2)
  readers[1]?.connection.destroy()
  t.equal(channel.size, 1)
  readers[2]?.connection.close()
  t.equal(channel.size, 1, 'until the last byte has left')
  readers[2]?.connection.transportOnClose()
  t.equal(channel.size, 0)
  t.same(bench.audiences, ['+news', '-news'])
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
    t.equal(calls[0]?.[0], subscription)
    t.match(reader.transport.text, /^id: \S+\ndata: 1 present\n\n: welcome\n\n$/)
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
    const reader = bench.reader()
    t.throws(() => channel.subscribe(reader.connection), error)
    t.equal(channel.size, 0)
    channel.publish('unseen')
    bench.endTurn()
    t.equal(reader.transport.text, '')
    t.equal(reader.connection.state, 'open')
    t.equal(ended, 0, 'onUnsubscribe is not called')
    t.same(bench.audiences, ['+lobby', '-lobby'])
    isBanned = false
    channel.subscribe(reader.connection)
    channel.publish('seen')
    bench.endTurn()
    t.same(reader.data, ['seen'])
  })

  t.test('that throws undoes one subscription of several', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('lobby', {
      onSubscribe: () => {
        throw new Error('banned')
      }
    })
    const reader = bench.reader()
    bench.channel('news').subscribe(reader.connection)
    t.throws(() => channel.subscribe(reader.connection), { message: 'banned' })
    const cursor = await bench.channel('news').publish('a')
    bench.endTurn()
    t.equal(reader.lastEventId, `news=${cursor}`)
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

  t.test('may end the connection', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('lobby', { onSubscribe: ({ connection }) => connection.destroy() })
    const subscription = channel.subscribe(bench.reader().connection)
    t.notOk(subscription.active)
    t.equal(channel.size, 0)
  })

  t.test('may end the connection and throw', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('lobby', {
      onSubscribe: ({ connection }) => {
        connection.destroy()
        throw new Error('banned')
      }
    })
    t.throws(() => channel.subscribe(bench.reader().connection), { message: 'banned' })
    t.same(bench.audiences, ['+lobby', '-lobby'])
  })

  t.test('may unsubscribe and throw: other subscriptions of the connection go on', async (t) => {
    const bench = new ChannelBench()
    const news = bench.channel('news')
    const lobby = bench.channel('lobby', {
      onSubscribe: (subscription) => {
        subscription.unsubscribe()
        throw new Error('banned')
      }
    })
    const reader = bench.reader()
    news.subscribe(reader.connection)
    t.throws(() => lobby.subscribe(reader.connection), { message: 'banned' })
    news.publish('a')
    bench.endTurn()
    t.same(reader.data, ['a'])
    t.equal(news.size, 1)
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
      const reader = bench.reader(undefined, { expiresAt: Date.now() + 30_000 })
      const subscription = channel.subscribe(reader.connection)
      bench.endTurn()
      t.same(calls, [])
      end(reader, subscription)
      t.same(calls, [[true, false, 0]])
      subscription.unsubscribe()
      reader.connection.destroy()
      bench.endTurn()
      t.equal(calls.length, 1)
    })
  }
})

t.test('Channel › onUnsubscribe', async (t) => {
  t.test('may publish to those who are left', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('lobby', {
      onUnsubscribe: ({ channel }) => channel.publish(`${channel.size} present`)
    })
    const readers = [bench.reader(), bench.reader()]
    for (const { connection } of readers) channel.subscribe(connection)
    readers[0]?.connection.destroy()
    bench.endTurn()
    t.same(readers[1]?.data, ['1 present'])
  })

  t.test('may end the other subscriptions of the connection, each once', async (t) => {
    const bench = new ChannelBench()
    const ended: string[] = []
    const subscriptions: Subscription[] = []
    const onUnsubscribe = ({ channel }: Subscription): void => {
      ended.push(channel.name)
      for (const subscription of subscriptions) subscription.unsubscribe()
    }
    const reader = bench.reader()
    for (const name of ['a', 'b', 'c']) {
      subscriptions.push(bench.channel(name, { onUnsubscribe }).subscribe(reader.connection))
    }
    reader.connection.destroy()
    t.same(ended.sort(), ['a', 'b', 'c'])
  })

  t.test('that throws is logged, and disturbs nobody', async (t) => {
    const bench = new ChannelBench()
    const err = new Error('boom')
    const ended: string[] = []
    const onUnsubscribe = ({ channel }: Subscription): void => {
      ended.push(channel.name)
      throw err
    }
    const reader = bench.reader()
    for (const name of ['a', 'b']) bench.channel(name, { onUnsubscribe }).subscribe(reader.connection)
    reader.connection.transportOnClose()
    t.same(ended, ['a', 'b'])
    t.same(bench.logs, [
      { fields: { err, channel: 'a' }, message: 'onUnsubscribe failed' },
      { fields: { err, channel: 'b' }, message: 'onUnsubscribe failed' }
    ])
    t.equal(await reader.connection.closed, 'client')
  })

  t.test('that rejects is logged', async (t) => {
    const bench = new ChannelBench()
    const err = new Error('later')
    const channel = bench.channel('lobby', { onUnsubscribe: () => Promise.reject(err) })
    channel.subscribe(bench.reader().connection).unsubscribe()
    await nextTurn()
    t.same(bench.logs, [{ fields: { err, channel: 'lobby' }, message: 'onUnsubscribe failed' }])
  })
})

t.test('Channel › options', async (t) => {
  const table: [string, unknown][] = [
    ['slow', 'drop'],
    ['slow', 1],
    ['afterGap', 'newest'],
    ['gapEvent', ''],
    ['gapEvent', 'a\nb'],
    ['gapEvent', '\ud800'],
    ['gapEvent', 1],
    ['onGap', 'a'],
    ['onSubscribe', {}],
    ['onUnsubscribe', null],
    ['history', null],
    ['history', {}],
    ['history', { append() {}, follow() {} }],
    ['slwo', 'gap']
  ]
  for (const [name, value] of table) {
    t.test(`${name} cannot be ${JSON.stringify(value)}, and the channel keeps what it has`, async (t) => {
      const bench = new ChannelBench()
      const channel = bench.channel('news', { gapEvent: 'lost' })
      t.throws(() => channel.configure({ gapEvent: 'gone', [name]: value }), {
        code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION',
        message: new RegExp(`^Expected ${name} to be `)
      })
      t.equal(channel.options.gapEvent, 'lost')
    })
  }

  t.test('are replaced one by one by those that are given later', async (t) => {
    const channel = new ChannelBench({ slow: 'latest' }).channel('news', { afterGap: 'now' })
    t.match(channel.options, { slow: 'latest', afterGap: 'now', gapEvent: 'gap' })
    channel.configure({ gapEvent: 'lost', afterGap: undefined } as object)
    channel.configure({ slow: 'disconnect' })
    t.match(channel.options, { slow: 'disconnect', afterGap: 'now', gapEvent: 'lost' })
  })

  t.test('count at once for subscriptions that there are', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.reader('nonsense')
    channel.subscribe(reader.connection)
    channel.configure({ gapEvent: 'lost' })
    bench.endTurn()
    t.equal(reader.events[0]?.type, 'lost')
  })

  t.test('the history can only change while nobody is subscribed', async (t) => {
    const bench = new ChannelBench()
    const [first, second] = [memoryHistory(), memoryHistory()]
    const channel = bench.channel('news', { history: first })
    channel.publish('in the first')
    const reader = bench.reader()
    const subscription = channel.subscribe(reader.connection, { from: 'oldest' })
    t.throws(() => channel.configure({ history: second }), {
      code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION',
      message: /^Expected history to be the one that the channel has while it has subscriptions/
    })
    channel.configure({ history: first, slow: 'latest' })
    bench.endTurn()
    subscription.unsubscribe()
    channel.configure({ history: second })
    channel.publish('in the second')
    channel.subscribe(reader.connection, { from: 'oldest', resume: false })
    bench.endTurn()
    t.same(reader.data, ['in the first', 'in the second'])
  })
})

t.test('Channel › a batch has up to 64 KiB with its ids', async (t) => {
  const bench = new ChannelBench()
  const history = memoryHistory({ maxMessages: 10_000 })
  const channels = Array.from({ length: 9 }, (_, i) => bench.channel(`${i}`.repeat(80), { history }))
  const reader = bench.reader()
  for (const channel of channels) channel.subscribe(reader.connection)
  bench.endTurn()
  for (let i = 0; i < 1_000; i++) channels[0]?.publish('x')
  bench.endTurn()
  t.equal(reader.data.length, 1_000)
  const largest = Math.max(...reader.transport.writes.map(({ length }) => length))
  t.ok(largest > 60_000 && largest < 70_000, `${largest} bytes`)
})

t.test('Channel › a history that cannot be read ends those who read it', async (t) => {
  const bench = new ChannelBench()
  const err = new Error('out of order')
  const history = memoryHistory()
  const unreadable: History = {
    append: (...message) => history.append(...message),
    follow(name, listener) {
      const log = history.follow(name, listener)
      return {
        get head() {
          return log.head
        },
        headArrival: 0,
        oldest: log.oldest,
        arrivalAfter: (cursor) => log.arrivalAfter(cursor),
        read() {
          throw err
        },
        release: (cursor) => log.release(cursor),
        close: () => log.close()
      }
    },
    close: () => history.close()
  }
  const channel = bench.channel('news', { history: unreadable })
  const reader = bench.reader()
  channel.subscribe(reader.connection)
  bench.endTurn()
  channel.publish('a')
  bench.endTurn()
  t.equal(reader.connection.reason, 'error')
  t.match(reader.logs, [{ level: 'error', message: 'a subscription failed', err }])
  t.ok(reader.transport.ended)
  t.equal(channel.size, 0)
})

t.test('Channel › what the history refuses is not published', async (t) => {
  const bench = new ChannelBench()
  const history = memoryHistory()
  const channel = bench.channel('news', { history })
  await channel.publish('a')
  await history.close()
  const refused = channel.publish('b')
  t.equal(bench.published, 1, 'at no time')
  await t.rejects(refused, { code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED' })
  t.equal(bench.published, 1)
})
