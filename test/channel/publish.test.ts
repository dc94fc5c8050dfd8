import { subscribe as subscribeTo, unsubscribe as unsubscribeFrom } from 'node:diagnostics_channel'
import { inspect } from 'node:util'
import t from 'tap'
import type { Publishable, PublishOptions } from '../../lib/index.ts'
import { ChannelBench } from '../helpers/channel-bench.ts'
import { heapBytes } from '../helpers/garbage.ts'
import { nextTurn } from '../helpers/server.ts'
import { hasSettled } from '../helpers/settled.ts'

const KIB = 1024

t.test('Channel › publish › what arrives', async (t) => {
  t.test('is the message, with the cursor that publish() gave as its id', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.subscribed(['news'])
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
    t.same([first, second, third, fourth].sort(), [first, second, third, fourth], 'in the order of strings')
  })

  t.test('was encoded once, however many get it', async (t) => {
    let calls = 0
    const serializer = (data: unknown): string => `${++calls}:${JSON.stringify(data)}`
    const bench = new ChannelBench({ serializer })
    const readers = Array.from({ length: 3 }, () => bench.subscribed(['news']))
    const data = { a: 1 }
    bench.channel().publish({ data })
    data.a = 2
    bench.endTurn()
    for (const reader of readers) t.same(reader.data, ['1:{"a":1}'])
  })

  t.test('comes at the end of the turn, and all of one turn in one write', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['news'])
    bench.endTurn()
    const before = reader.transport.writes.length
    for (const data of ['a', 'b', 'c']) bench.channel().publish(data)
    t.equal(bench.pending, 1, 'one round, however much is published')
    t.equal(reader.transport.writes.length, before)
    bench.endTurn()
    t.equal(reader.transport.writes.length, before + 1)
    t.same(reader.data, ['a', 'b', 'c'])
  })

  t.test('counts as delivered once for each connection', async (t) => {
    const bench = new ChannelBench()
    const first = bench.subscribed(['news'])
    const second = bench.subscribed(['news'], undefined, { filter: ({ data }) => data === 'a' })
    bench.channel().publish(['a', 'b'])
    bench.endTurn()
    t.match(bench.counters, { published: 2, delivered: 3 })
    t.equal(first.connection.messages, 2)
    t.equal(second.connection.messages, 1)
    t.equal(first.connection.bytes, first.transport.text.length)
  })
})

t.test('Channel › publish › several messages', async (t) => {
  t.test('are published in one step, each with a cursor of its own', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['news'])
    const cursors = await bench.channel().publish(['a', { event: 'b', data: 1 }, { data: 'c' }])
    bench.endTurn()
    t.same(reader.data, ['a', '1', 'c'])
    t.same(reader.ids, cursors)
    t.equal(reader.transport.batches.length, 1)
  })

  t.test('are published all or none', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['news'])
    const wrong = ['a', { data: 1n }] as Publishable[]
    t.throws(() => bench.channel().publish(wrong), { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION' })
    bench.endTurn()
    t.same(reader.data, [])
    t.same(await bench.channel().publish([]), [], 'none are none')
  })

  t.test('with one idempotency key are published once, all of them', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['news'])
    const cursors = await bench.channel().publish(['a', 'b'], { idempotencyKey: 'k' })
    t.same(await bench.channel().publish(['a', 'b'], { idempotencyKey: 'k' }), cursors)
    bench.endTurn()
    t.same(reader.data, ['a', 'b'])
  })
})

t.test('Channels › publish › to several channels', async (t) => {
  t.test('who is subscribed to more than one of them receives the message once', async (t) => {
    const bench = new ChannelBench()
    const readers = [['a', 'b', 'c'], ['b', 'a'], ['a'], ['c']].map((names) => bench.subscribed(names))
    const cursor: string = await bench.channels.publish(['a', 'b', 'a'], 'once')
    bench.endTurn()
    t.same(
      readers.map(({ data }) => data),
      [['once'], ['once'], ['once'], []]
    )
    t.equal(readers[0]?.lastEventId, cursor)
    t.equal(bench.counters.published, 1)
    t.equal(bench.counters.delivered, 3)
  })

  t.test('whoever comes back to both of them receives it once, too', async (t) => {
    const bench = new ChannelBench()
    const brought = bench.cursor()
    await bench.channels.publish(['a', 'b'], 'both')
    await bench.publishEach('a1', 'b2')
    t.same(bench.given(['b', 'a'], brought), ['both', 'a1', 'b2'])
  })

  t.test('it does not come again when a channel is joined later, from before it', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader()
    bench.channel('a').subscribe(reader.connection, { filter: ({ data }) => data !== 'hidden' })
    for (const data of ['both', 'hidden']) bench.channels.publish(['a', 'b'], data)
    await bench.publishEach('a1', 'b2')
    bench.endTurn()
    bench.channel('b').subscribe(reader.connection, { from: 'oldest' })
    bench.endTurn()
    t.same(reader.data, ['both', 'a1', 'hidden', 'b2'])
  })

  t.test('it comes if the filter of one of them chooses it', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader()
    bench.channel('a').subscribe(reader.connection, { filter: () => false })
    bench.channel('b').subscribe(reader.connection, { filter: ({ data }) => data !== 'none' })
    for (const data of ['one', 'none']) bench.channels.publish(['a', 'b'], data)
    bench.endTurn()
    t.same(reader.data, ['one'])
  })

  t.test('it is encoded once for all that declare the same', async (t) => {
    const bench = new ChannelBench()
    let count = 0
    const data = { toJSON: () => ++count }
    await bench.channels.publish(['a', 'b', 'c'], { data })
    t.equal(count, 1)
  })

  t.test('it must fit the declared events of all, and is what the first one that has any says', async (t) => {
    const bench = new ChannelBench()
    const price = { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] }
    bench.channel('strict', { events: { tick: price } })
    bench.channel('other', { events: { tick: {}, news: {} } })
    const reader = bench.subscribed(['plain'])
    const publish = (channels: string[], message: object) =>
      bench.channels.publish(channels, message as Publishable)
    for (const channels of [
      ['plain', 'strict'],
      ['strict', 'other', 'plain'],
      ['other', 'strict']
    ]) {
      for (const wrong of [{ event: 'tick', data: { b: 1 } }, { event: 'news', data: 1 }, { data: 'x' }]) {
        t.throws(() => publish(channels, wrong), { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' })
      }
    }
    await publish(['plain', 'strict'], { event: 'tick', data: { a: 1, secret: 2 } })
    await publish(['plain', 'other', 'strict'], { event: 'tick', data: { a: 1, more: 2 } })
    bench.endTurn()
    t.same(reader.data, ['{"a":1}', '{"a":1,"more":2}'])
  })

  t.test('an idempotency key is of the set of channels, in whatever order', async (t) => {
    const bench = new ChannelBench()
    const options = { idempotencyKey: 'k' }
    const both = await bench.channels.publish(['a', 'b'], '1', options)
    t.equal(await bench.channels.publish(['b', 'a'], '1', options), both)
    t.not(await bench.channels.publish('a', '2', options), both)
    t.not(await bench.channels.publish(['a', 'c'], '3', options), both)
    t.same(bench.given(['a'], undefined, { from: 'oldest' }), ['1', '2', '3'])
  })

  t.test('needs at least one, by its name', async (t) => {
    const bench = new ChannelBench()
    for (const wrong of [[], undefined, 1, {}, [''], [1]]) {
      t.throws(() => bench.channels.publish(wrong as string[], 'x'), {
        code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
      })
    }
    t.equal(bench.counters.published, 0)
  })
})

t.test('Channel › publish › keep: false', async (t) => {
  t.test('reaches those who are here, and nobody who comes later or back', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const brought = bench.cursor()
    const here = bench.subscribed(['news'])
    bench.endTurn()
    channel.publish('1')
    channel.publish({ event: 'typing', data: 'ann' }, { keep: false })
    channel.publish('2')
    bench.endTurn()
    const back = bench.subscribed(['news'], brought)
    const late = bench.subscribed(['news'], undefined, { from: 'oldest' })
    bench.endTurn()
    t.same(here.data, ['1', 'ann', '2'])
    t.same(back.data, ['1', '2'])
    t.same(late.data, ['1', '2'])
    t.equal((await channel.info()).messages, 2)
  })

  t.test('is no gap for who was not there, and for who was slow', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { maxMessages: 2 })
    const brought = await channel.publish('0')
    const slow = bench.subscribed(['news'])
    bench.endTurn()
    slow.block()
    channel.publish('1')
    bench.endTurn()
    for (let i = 0; i < 10; i++) channel.publish('typing', { keep: false })
    bench.endTurn()
    channel.publish('2')
    slow.unblock()
    bench.endTurn()
    t.same(slow.data, ['1', '2'])
    t.same(bench.given(['news'], brought), ['1', '2'])
    t.equal(bench.counters.gaps, 0)
  })
})

t.test('Channel › publish › the key is the event if none is given', async (t) => {
  const table: [Publishable, PublishOptions | undefined, string][] = [
    [{ event: 'tick', data: 1 }, undefined, 'tick'],
    [{ event: 'tick', data: 1 }, {}, 'tick'],
    [{ event: 'tick', data: 1 }, { key: 'EUR' }, 'EUR'],
    [{ event: 'tick', data: 1 }, { key: '' }, ''],
    [{ data: 1 }, undefined, ''],
    ['text', undefined, ''],
    ['text', { key: 'k' }, 'k']
  ]
  const bench = new ChannelBench()
  const keys: string[] = []
  bench.subscribed(['news'], undefined, { filter: ({ key }) => keys.push(key) > 0 })
  for (const [message, options] of table) bench.channel().publish(message, options)
  bench.endTurn()
  t.same(
    keys,
    table.map(([, , key]) => key)
  )
})

t.test('Channel › publish › the idempotency key', async (t) => {
  t.test('what has the same one is published once, as long as it is kept', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { maxMessages: 10 })
    const reader = bench.subscribed(['news'])
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
    t.not(await bench.channel('other').publish('x', { idempotencyKey: 'a' }), given[0], 'in one channel')
    for (let i = 0; i < 10; i++) channel.publish(String(i))
    bench.endTurn()
    t.not(await channel.publish('a', { idempotencyKey: 'a' }), given[0])
  })

  t.test('makes ids of the application’s own a place to resume from', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('orders')
    const rows = [7, 8, 9].map((id) => ({ id, total: id * 10 }))
    const publish = (row: (typeof rows)[number]) =>
      channel.publish({ event: 'order', data: row }, { idempotencyKey: `row:${row.id}` })
    for (const row of rows) await publish(row)
    const [, last] = rows
    // The client knows the last row it has, and the publication of that row is where it goes on.
    const from = await publish(last as (typeof rows)[number])
    const reader = bench.subscribed(['orders'], undefined, { from })
    bench.endTurn()
    t.same(
      reader.data.map((data) => JSON.parse(data).id),
      [9]
    )
    t.equal(bench.counters.gaps, 0)
  })

  t.test('and the key are copied: what they were cut out of is not held', async (t) => {
    const bench = new ChannelBench()
    const publish = (): void => {
      for (let i = 0; i < 20; i++) {
        const body = `${i}:${'x'.repeat(1_000_000)}`
        const cut = body.slice(0, 30)
        bench.channel(`${i}`).publish('x', { key: cut, idempotencyKey: cut })
      }
    }
    const before = await heapBytes()
    publish()
    const grown = (await heapBytes()) - before
    t.ok(grown < 1_000_000, `${grown} bytes for 20 keys that were cut out of 20 MB`)
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
    ['the event of gaps', { event: 'lost', data: '' }, undefined, 'INVALID_MESSAGE'],
    ['the event of gaps of all channels', { event: 'gap', data: '' }, undefined, 'INVALID_MESSAGE'],
    ['the event of cursors', { event: 'sse-cursor', data: '' }, undefined, 'INVALID_MESSAGE'],
    ['data that cannot be serialized', { data: 1n }, undefined, 'SERIALIZATION'],
    ['a message that is too large', 'x'.repeat(200), undefined, 'MESSAGE_TOO_LARGE'],
    ['a key that is no string', 'a', { key: 1 }, 'INVALID_OPTION'],
    ['a key that is not well-formed', 'a', { key: '\ud83d' }, 'INVALID_OPTION'],
    ['keep that is no boolean', 'a', { keep: 0 }, 'INVALID_OPTION'],
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
  t.test('at the call, and before anything is kept', async (t) => {
    const bench = new ChannelBench({ maxMessageBytes: 100 })
    const channel = bench.channel('news', { gapEvent: 'lost' })
    for (const [name, message, options, code] of table) {
      const publish = () => channel.publish(message as string, options as PublishOptions)
      t.throws(publish, { code: `FST_ERR_EVENTSTREAM_${code}` }, name)
    }
    t.equal(bench.counters.published, 0)
    t.same(bench.given(['news'], undefined, { from: 'oldest' }), [])
  })

  t.test('but not an id that is undefined, nor an event that tells nothing', async (t) => {
    const bench = new ChannelBench({ cursorEvent: false })
    for (const message of [
      { id: undefined, data: 'x' },
      { event: 'sse-cursor', data: 'x' }
    ]) {
      t.type(await bench.channel().publish(message as unknown as Publishable), 'string')
    }
  })
})

t.test('Channel › publish › resolves', async (t) => {
  const below = 'x'.repeat(64 * KIB - 'data: \n\n'.length - 1)
  const exactly = `${below}x`

  t.test('at once below 64 KiB in one turn', async (t) => {
    const bench = new ChannelBench()
    bench.subscribed(['news'])
    t.ok(await hasSettled(bench.channel().publish(below)))
  })

  t.test('from there on when the subscriptions were offered it', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reader = bench.subscribed(['news'])
    bench.endTurn()
    const cursor = await channel.publish(below)
    const published = [channel.publish('a'), channel.publish('b')]
    t.notOk(await hasSettled(Promise.race(published)))
    await nextTurn()
    t.notOk(await hasSettled(Promise.race(published)), 'however long that takes')
    t.equal(bench.counters.published, 3, 'but the history has them')
    bench.endTurn()
    t.same(reader.ids, [cursor, ...(await Promise.all(published))])
    t.ok(await hasSettled(channel.publish(below)), 'and counts from there anew')
  })

  t.test('whatever the channel is of which there is so much', async (t) => {
    const bench = new ChannelBench()
    bench.subscribed(['a'])
    bench.endTurn()
    t.ok(await hasSettled(bench.channel('b').publish(below)))
    const published = bench.channel('a').publish('x')
    t.notOk(await hasSettled(published))
    bench.endTurn()
    t.ok(await hasSettled(published))
  })

  t.test('not before the last of many was offered it', async (t) => {
    const bench = new ChannelBench()
    const readers = Array.from({ length: 40 }, () => bench.subscribed(['news']))
    bench.endTurn()
    const published = bench.channel().publish(exactly)
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
    const reader = bench.subscribed(['news'])
    bench.endTurn()
    const before = reader.transport.writes.length
    reader.block()
    for (let i = 0; i < 10; i++) {
      const published = bench.channel().publish(exactly)
      bench.endTurn()
      t.ok(await hasSettled(published))
    }
    t.equal(reader.transport.writes.length, before + 1)
  })

  t.test('in the next turn without subscriptions', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const published = [channel.publish(exactly), channel.publish('b')]
    t.notOk(await hasSettled(Promise.race(published)))
    bench.endTurn()
    t.ok(await hasSettled(Promise.all(published)))
    t.ok(await hasSettled(channel.publish(below)), 'and counts from there anew')
  })
})

t.test('Channel › publish › when the history is closed', async (t) => {
  const closed = { code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED' }

  function withClosedHistory() {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['news'])
    bench.channels.close()
    return { bench, reader, channel: bench.channel() }
  }

  for (const [size, message] of [
    ['small', 'x'],
    ['large', 'x'.repeat(64 * KIB)]
  ] as const) {
    t.test(`who awaits a ${size} message gets the error, and nothing is logged`, async (t) => {
      const { bench, channel, reader } = withClosedHistory()
      await t.rejects(channel.publish(message), closed)
      await nextTurn()
      t.same(bench.logs, [])
      bench.endTurn()
      t.same(reader.data, [])
      t.equal(bench.counters.published, 0)
    })

    t.test(`and if nobody waits for a ${size} message, it is logged`, async (t) => {
      const { bench, channel } = withClosedHistory()
      channel.publish(message)
      await nextTurn()
      await nextTurn()
      t.match(bench.logs, [
        { fields: { err: closed, channels: ['news'] }, message: 'a message could not be published' }
      ])
    })
  }
})

t.test('Channel › publish › tells node:diagnostics_channel', async (t) => {
  const events: unknown[] = []
  const channelOnPublish = (event: unknown): number => events.push(event)
  const bench = new ChannelBench()
  await bench.channel().publish('before')
  subscribeTo('fastify-eventstream:publish', channelOnPublish)
  t.teardown(() => unsubscribeFrom('fastify-eventstream:publish', channelOnPublish))
  const names = ['news', 'other']
  const cursors: readonly string[] = await bench.channels.publish(names, ['é', 'a'], { idempotencyKey: 'k' })
  t.same(
    events,
    ['data: é\n\n', 'data: a\n\n'].map((text, i) => ({
      channels: names,
      cursor: cursors[i],
      byteLength: Buffer.byteLength(text)
    }))
  )
  bench.channels.publish(names, 'é', { idempotencyKey: 'k' })
  t.same([events.length, bench.counters.published], [2, 3], 'nothing is new that was published again')
  bench.channels.close()
  await t.rejects(bench.channel().publish('rejected'))
  t.equal(events.length, 2)
})
