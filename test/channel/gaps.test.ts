import { AsyncLocalStorage } from 'node:async_hooks'
import { subscribe as subscribeTo, unsubscribe as unsubscribeFrom } from 'node:diagnostics_channel'
import t from 'tap'
import { hashOf } from '../../lib/channel/last-event-id.ts'
import type { ChannelOptions, Cursor, Gap, GapAnswer, Subscription } from '../../lib/index.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { deferred, nextTurn } from '../helpers/server.ts'
import { StrictParser } from '../helpers/strict-parser.ts'

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'
const ON_GAP_MS = 5_000

/** A channel that keeps the last two of five messages. */
async function withLost(options: ChannelOptions = {}) {
  const bench = new ChannelBench()
  const channel = bench.channel('news', { maxMessages: 2, ...options })
  const cursors = await channel.publish(['1', '2', '3', '4', '5'])
  const [lost = '', , oldest = '', fourth = '', newest = ''] = cursors
  const comeBack = (lastEventId = lost): Reader => bench.subscribed(['news'], lastEventId)
  return { bench, channel, comeBack, lost, oldest, fourth, newest }
}

/** A reader that is up to date, and has stopped to read. */
async function blocked(options: ChannelOptions = {}) {
  const bench = new ChannelBench()
  const channel = bench.channel('news', options)
  const reader = bench.subscribed(['news'], undefined, { from: 'oldest' })
  bench.endTurn()
  reader.block()
  await channel.publish('0')
  bench.endTurn()
  return { bench, channel, reader }
}

t.test('Subscription › a gap', async (t) => {
  t.test('its bytes: told at the place of the newest message that was lost', async (t) => {
    const { bench, comeBack, oldest, fourth, newest } = await withLost()
    const reader = comeBack()
    bench.endTurn()
    t.equal(
      reader.transport.text.slice(0, -`id: ${newest}\n\n`.length),
      `id: ${oldest}\nevent: gap\ndata: {"channel":"news","reason":"expired"}\n\n` +
        `id: ${fourth}\ndata: 4\n\nid: ${newest}\ndata: 5\n\n`
    )
    t.equal(bench.counters.delivered, 2)
    t.equal(reader.connection.messages, 3)
    t.equal(bench.counters.gaps, 1)
  })

  t.test('is told once: a client that is cut off after it goes on from its id', async (t) => {
    const { bench, comeBack } = await withLost()
    const reader = comeBack()
    bench.endTurn()
    reader.leave()
    const back = comeBack(reader.ids[0])
    bench.endTurn()
    t.same(back.told, ['4', '5'])
    t.equal(bench.counters.gaps, 1)
  })

  t.test('of a channel that has lost all it had, and is not used, is remembered', async (t) => {
    const clock = FakeClock.install(t)
    const bench = new ChannelBench({ channels: { '*': { maxAgeMs: 1_000 } } })
    const [brought] = await bench.publishEach('news1', 'news2')
    clock.advance(2_000)
    const back = bench.subscribed(['news', 'other'], brought)
    const other = bench.subscribed(['other'], brought)
    bench.endTurn()
    t.same(back.told, ['!news expired'])
    t.same(other.told, [])
  })

  t.test(
    'of what came since somebody began with the oldest message, and was dropped before that was given',
    async (t) => {
      const bench = new ChannelBench({ channels: { '*': { maxMessages: 1 } } })
      await bench.publishEach('news1', 'news2', 'cleared3')
      const reader = bench.unsettled()
      bench.channels.subscribe(reader.connection, ['news', 'cleared'], { from: 'oldest' })
      await bench.publishEach('cleared4')
      await bench.channel('cleared').clear()
      reader.block()
      bench.endTurn()
      reader.connection.handlerOnSettle()
      reader.unblock()
      bench.endTurn()
      t.same(reader.told.toSorted(), ['!cleared slow', 'news2'])
    }
  )

  t.test(
    'of what an earlier subscription was still to give, and was dropped before the next one gave it',
    async (t) => {
      const bench = new ChannelBench({ channels: { a: { maxMessages: 1 } } })
      const reader = await bench.blocked('other')
      const earlier = bench.channel('a').subscribe(reader.connection)
      await bench.publishEach('a1')
      earlier.unsubscribe()
      bench.channel('a').subscribe(reader.connection, { from: 'oldest' })
      await bench.publishEach('a2')
      bench.endTurn()
      reader.unblock()
      bench.endTurn()
      t.same(reader.told, ['other', 'other', '!a slow', 'a2'])
    }
  )

  t.test('what came before anybody followed is too old in time, also when nothing comes', async (t) => {
    const clock = FakeClock.install(t)
    const bench = new ChannelBench({ channels: { '*': { maxAgeMs: 1_000 } } })
    await bench.publishEach('news1', 'read2')
    bench.subscribed(['news'])
    const reading = bench.channel('read').read({ from: 'now' })
    const next = reading.next()
    bench.endTurn()
    clock.advance(2_000)
    for (const name of ['news', 'read']) t.equal(bench.history.lengthOf(name), 0, name)
    await reading.return?.()
    await next
  })

  t.test('is an item of the order, beside the messages of other channels', async (t) => {
    const bench = new ChannelBench({ channels: { b: { maxMessages: 1 } } })
    const brought = bench.cursor()
    await bench.publishEach('a1', 'b2', 'a3', 'b4', 'a5', 'b6', 'a7')
    const reader = bench.subscribed(['b', 'a'], brought)
    bench.endTurn()
    const expected = ['a1', 'a3', '!b expired', 'a5', 'b6', 'a7']
    t.same(reader.told, expected)
    for (const [i, id] of reader.ids.entries()) {
      t.same(bench.given(['a', 'b'], id), expected.slice(i + 1), `cut after ${expected[i]}`)
    }
  })

  t.test('of two channels at one place is told for both', async (t) => {
    const bench = new ChannelBench({ channels: { '*': { maxMessages: 1 } } })
    const brought = bench.cursor()
    await bench.channels.publish(['a', 'b'], 'lost')
    await bench.publishEach('a1', 'b2')
    const reader = bench.subscribed(['a', 'b'], brought)
    bench.endTurn()
    t.same(reader.told.slice(0, 2).toSorted(), ['!a expired', '!b expired'])
    t.same(reader.told.slice(2), ['a1', 'b2'])
    const ids = new Set(reader.ids.slice(0, 2))
    t.same([...ids].length, 2, 'of which only the second one leads over it')
    t.same(bench.given(['a', 'b'], reader.ids[1]), ['a1', 'b2'])
  })

  t.test('at the place of a message that another channel still has comes with it', async (t) => {
    const bench = new ChannelBench({ channels: { b: { maxMessages: 1 } } })
    const brought = bench.cursor()
    await bench.channels.publish(['a', 'b'], 'both')
    await bench.publishEach('a1', 'b2')
    const reader = bench.subscribed(['a', 'b'], brought)
    bench.endTurn()
    t.same(reader.told, ['!b expired', 'both', 'a1', 'b2'])
    for (const [i, id] of reader.ids.entries()) {
      t.same(
        bench.given(['a', 'b'], id || brought),
        i === 0 ? ['!b expired', 'both', 'a1', 'b2'] : ['both', 'a1', 'b2'].slice(i)
      )
    }
  })

  t.test('of a channel that is joined later leaves the others where they are', async (t) => {
    const bench = new ChannelBench({ channels: { b: { maxMessages: 1 } } })
    const reader = bench.subscribed(['a'])
    await bench.publishEach('b1', 'b2', 'b3', 'a4')
    bench.endTurn()
    bench.channel('b').subscribe(reader.connection, { from: 'first' })
    await bench.publishEach('a5')
    bench.endTurn()
    const expected = ['a4', '!b expired', 'b3', 'a5']
    t.same(reader.told, expected)
    for (const [i, id] of reader.ids.entries()) {
      const options = { from: 'first' } as const
      t.same(bench.given(['a', 'b'], id, options), i === 0 ? ['a5'] : expected.slice(i + 1))
    }
  })

  t.test(
    'of a channel that has not caught up skips what another one gives that has not, either',
    async (t) => {
      const bench = new ChannelBench({ channels: { b: { maxMessages: 1 } } })
      const [start = ''] = await bench.publishEach('c0')
      await bench.publishEach('a1')
      await bench.channels.publish(['a', 'b'], 'both')
      const [place = ''] = await bench.publishEach('c2')
      await bench.publishEach('a3', 'b4', 'a5', 'b6', 'a7')
      const [digits] = start.split('-')
      const brought = `${place}&${hashOf('a')}=${digits}&${hashOf('b')}=${digits}`
      const expected = ['a1', 'both', 'a3', '!b expired', 'a5', 'b6', 'a7']
      for (const channels of [
        ['a', 'b'],
        ['b', 'a']
      ]) {
        const reader = bench.subscribed(channels, brought)
        bench.endTurn()
        t.same(reader.told, expected)
        for (const [i, id] of reader.ids.entries()) t.same(bench.given(channels, id), expected.slice(i + 1))
      }
    }
  )

  t.test(
    'leaves in mind what was given before: another channel that has it does not give it again',
    async (t) => {
      const bench = new ChannelBench({ channels: { a: { maxMessages: 1 } } })
      const reader = bench.subscribed(['a'])
      await bench.channels.publish(['a', 'b'], 'both')
      bench.endTurn()
      for (const [first, ...others] of [
        ['a1', 'a2', 'a3'],
        ['a4', 'a5', 'a6']
      ] as const) {
        reader.block()
        await bench.publishEach(first)
        bench.endTurn()
        await bench.publishEach(...others)
        bench.endTurn()
        reader.unblock()
        bench.endTurn()
      }
      bench.channel('b').publish('b7')
      bench.channel('b').subscribe(reader.connection, { from: 'oldest' })
      bench.endTurn()
      t.same(reader.told, ['both', 'a1', '!a slow', 'a3', 'a4', '!a slow', 'a6', 'b7'])
    }
  )

  t.test(
    'was lost from where it begins, however far other channels have come before it is told',
    async (t) => {
      const bench = new ChannelBench({ channels: { a: { maxMessages: 1 } } })
      const reader = bench.subscribed(['a', 'b'])
      bench.endTurn()
      reader.block()
      await bench.publishEach('b0')
      bench.endTurn()
      await bench.channels.publish(['a', 'c'], 'both')
      await bench.publishEach('b1', 'a2', 'a3')
      bench.endTurn()
      reader.unblock()
      bench.endTurn()
      bench.channel('c').subscribe(reader.connection, { from: 'oldest' })
      bench.endTurn()
      t.same(reader.told, ['b0', 'b1', '!a slow', 'a3', 'both'])
    }
  )

  t.test("with afterGap: 'now' leads to the next message", async (t) => {
    const { bench, channel, comeBack, lost } = await withLost({ afterGap: 'now' })
    const reader = comeBack()
    bench.endTurn()
    t.same(reader.told, ['!news expired'])
    channel.publish('6')
    bench.endTurn()
    t.same(reader.told, ['!news expired', '6'])
    t.ok((reader.ids[0] ?? '') > lost)
  })

  t.test('in which its channel has ended is the last, unless the channel has begun anew', async (t) => {
    for (const isNew of [false, true]) {
      const { bench, channel, reader } = await blocked()
      channel.publish('1')
      channel.end('2')
      bench.endTurn()
      channel.window.expire(Number.MAX_VALUE)
      if (isNew) channel.publish('3')
      reader.unblock()
      bench.endTurn()
      t.same(reader.told, ['0', '!news slow', ...(isNew ? ['3'] : ['Closing the connection'])])
      t.equal(reader.connection.state, isNew ? 'open' : 'closing')
    }
  })

  t.test('has the name that gapEvent gives it', async (t) => {
    const { bench, comeBack } = await withLost({ gapEvent: 'lost: some' })
    const reader = comeBack()
    bench.endTurn()
    t.equal(reader.events[0]?.type, 'lost: some')
  })

  t.test('that goes beyond what was sent meanwhile is told before it', async (t) => {
    const bench = new ChannelBench({ channels: { a: { maxMessages: 1 } } })
    const reader = bench.subscribed(['a', 'b'])
    bench.endTurn()
    reader.block()
    bench.publishEach('b0')
    bench.endTurn()
    await bench.publishEach('a1')
    reader.connection.send('sent')
    await bench.publishEach('a2', 'a3', 'b4')
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.told, ['b0', '!a slow', 'sent', 'a3', 'b4'])
  })

  t.test('of what was unsubscribed is told up to there', async (t) => {
    const bench = new ChannelBench({ channels: { a: { maxMessages: 1 } } })
    const reader = bench.subscribed(['a', 'b'])
    bench.endTurn()
    reader.block()
    bench.publishEach('b0')
    bench.endTurn()
    await bench.publishEach('a1', 'b2')
    reader.connection.subscriptions[0]?.unsubscribe()
    await bench.publishEach('b3', 'a4', 'a5')
    bench.endTurn()
    bench.channel('a').publish(['a6', 'a7'])
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.told.toSorted(), ['!a slow', 'b0', 'b2', 'b3'])
    t.equal(bench.channel('a').size, 0)
  })

  t.test('is told to node:diagnostics_channel', async (t) => {
    const events: unknown[] = []
    const connectionOnGap = (event: unknown): number => events.push(event)
    subscribeTo('fastify-eventstream:gap', connectionOnGap)
    t.teardown(() => unsubscribeFrom('fastify-eventstream:gap', connectionOnGap))
    const { bench, comeBack } = await withLost()
    const { connection } = comeBack()
    const unknown = comeBack('hello').connection
    bench.endTurn()
    t.same(events, [
      { connection: unknown, reason: 'unknown' },
      { connection, channel: 'news', reason: 'expired' }
    ])
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
      const { bench, comeBack, oldest, fourth, newest } = await withLost({ onGap })
      const reader = comeBack()
      bench.endTurn()
      await nextTurn()
      bench.endTurn()
      t.same(
        reader.events.map(({ data, lastEventId }) => [data, lastEventId]),
        [
          ...expected.map((data, i) => [data, i === expected.length - 1 ? oldest : '']),
          ['4', fourth],
          ['5', newest]
        ]
      )
      t.notMatch(reader.transport.text, 'event: gap')
      t.same(bench.logs, [])
      t.equal(reader.connection.messages, expected.length + 2)
      t.equal(bench.counters.delivered, 2)
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
      const { bench, comeBack } = await withLost({ onGap, gapEvent: 'lost' })
      const reader = comeBack()
      bench.endTurn()
      await nextTurn()
      bench.endTurn()
      t.equal(reader.events[0]?.type, 'lost')
      t.same(reader.told, ['!news expired', '4', '5'])
      t.same(bench.logs, [])
    })
  }

  const boom = new Error('boom')
  const failures: [string, () => unknown, object][] = [
    ['throws', () => thrown(boom), boom],
    ['rejects', () => Promise.reject(boom), boom],
    ['answers with an id', () => ({ id: 1, data: '' }), { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }],
    ['answers with one bad message of two', () => ['a', {}], { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }],
    ['promises bad data', async () => ({ data: 1n }), { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION' }]
  ]
  for (const [name, onGap, err] of failures) {
    t.test(`that ${name} is logged, and the gap event is sent`, async (t) => {
      const { bench, comeBack } = await withLost({ onGap } as ChannelOptions)
      const reader = comeBack()
      bench.endTurn()
      await nextTurn()
      bench.endTurn()
      t.same(reader.told, ['!news expired', '4', '5'])
      t.match(bench.logs, [
        { fields: { err, gap: { channel: 'news', reason: 'expired' } }, message: 'onGap failed' }
      ])
      t.equal(bench.logs.length, 1)
    })
  }

  t.test('that never answers is waited for for 5 s, then logged, and the gap event is sent', async (t) => {
    const clock = FakeClock.install(t)
    const { bench, channel, comeBack } = await withLost({ onGap: () => new Promise(() => {}) })
    const reader = comeBack()
    bench.endTurn()
    channel.publish('6')
    clock.advance(ON_GAP_MS - 1)
    await nextTurn()
    bench.endTurn()
    t.same(reader.told, [])
    clock.advance(1)
    await nextTurn()
    bench.endTurn()
    t.same(reader.told, ['!news expired', '4', '5', '6'])
    t.match(bench.logs, [{ fields: { err: { message: 'it did not answer within 5000 ms' } } }])
    t.equal(clock.pending.withRef, 0)
  })

  t.test('is called as who subscribed, whoever publishes', async (t) => {
    const user = new AsyncLocalStorage<string>()
    const { bench, channel, reader } = await user.run('ann', () =>
      blocked({ maxMessages: 1, onGap: () => ({ data: `for ${user.getStore()}` }) })
    )
    await user.run('bob', async () => {
      for (const data of ['1', '2']) {
        await channel.publish(data)
        bench.endTurn()
      }
      reader.unblock()
      bench.endTurn()
    })
    t.same(reader.data.slice(-2), ['for ann', '2'])
  })

  t.test('gets the gap and the subscription', async (t) => {
    const calls: [Gap, Subscription][] = []
    const onGap = (...call: [Gap, Subscription]): undefined => void calls.push(call)
    const { bench, comeBack } = await withLost({ onGap })
    const reader = comeBack()
    bench.endTurn()
    t.same(
      calls.map(([gap]) => gap),
      [{ channel: 'news', reason: 'expired' }]
    )
    t.equal(calls[0]?.[1], reader.connection.subscriptions[0])
  })

  t.test('may send to the connection itself, and publish', async (t) => {
    const { bench, channel, comeBack } = await withLost({
      onGap: ({ reason }, { connection }) => {
        connection.comment(reason)
        channel.publish('6')
        return undefined
      }
    })
    const reader = comeBack()
    bench.endTurn()
    t.same(reader.told, ['!news expired', '4', '5', '6'])
    t.same(reader.stream.comments, ['expired'])
  })

  for (const [afterGap, expected] of [
    ['oldest', ['4', '5', '6']],
    ['now', ['6']]
  ] as const) {
    t.test(
      `afterGap: '${afterGap}': nothing is told while its answer is awaited, and nothing lost`,
      async (t) => {
        const answer = deferred<GapAnswer>()
        const { bench, channel, lost } = await withLost({ afterGap, onGap: () => answer.promise })
        const reader = bench.reader(lost, { heartbeatMs: 1_000 })
        channel.subscribe(reader.connection)
        bench.channel('other').subscribe(reader.connection)
        bench.endTurn()
        channel.publish('6')
        bench.channel('other').publish('o')
        bench.endTurn()
        for (const now of [0, 1_000]) reader.connection.beat(now)
        bench.endTurn()
        t.equal(reader.transport.text, ':\n', 'no id that would lead over the gap')
        answer.resolve('state')
        await nextTurn()
        bench.endTurn()
        t.same(reader.told, ['state', ...expected, 'o'])
        t.equal(bench.counters.gaps, 1)
      }
    )
  }

  t.test('what came after the call is held until the answer is there', async (t) => {
    const answer = deferred<GapAnswer>()
    const { bench, channel, comeBack } = await withLost({ onGap: () => answer.promise })
    const reader = comeBack()
    bench.endTurn()
    for (const data of ['6', '7', '8']) {
      channel.publish(data)
      bench.endTurn()
    }
    answer.resolve('state')
    await nextTurn()
    bench.endTurn()
    t.same(reader.told, ['state', '4', '5', '6', '7', '8'])
    t.equal((await channel.info()).messages, 2, 'and no longer')
  })

  t.test('no publisher waits for an answer, be it the one who is to give it', async (t) => {
    const large = 'x'.repeat(70_000)
    const { bench, channel, comeBack } = await withLost({
      onGap: async () => {
        await channel.publish(large)
        return 'state'
      }
    })
    const reader = comeBack()
    bench.endTurn()
    bench.endTurn()
    const other = bench.channel('other').publish(large)
    bench.endTurn()
    await other
    await nextTurn()
    bench.endTurn()
    t.same(
      reader.told.map((text) => text.slice(0, 5)),
      ['state', '4', '5', 'xxxxx']
    )
  })

  t.test('what a gap has skipped was not given: another channel that has it gives it', async (t) => {
    const bench = new ChannelBench({ channels: { small: { maxMessages: 1 } } })
    const from = bench.cursor()
    bench.channels.publish(['small', 'wide'], 'both')
    bench.channel('small').publish('newest')
    const reader = bench.subscribed(['other'])
    bench.endTurn()
    bench.channel('small').subscribe(reader.connection, { from })
    bench.endTurn()
    bench.channel('wide').subscribe(reader.connection, { from: 'oldest' })
    bench.endTurn()
    t.same(reader.told, ['!small expired', 'newest', 'both'])
  })

  t.test(
    'what is sent and the farewell wait for the answer, too; at the end the event is told instead',
    async (t) => {
      const answer = deferred<GapAnswer>()
      const { bench, channel, comeBack } = await withLost({ onGap: () => answer.promise })
      const [reader, closed] = [comeBack(), comeBack()]
      bench.endTurn()
      reader.connection.send('sent')
      channel.publish('6')
      closed.connection.close()
      bench.endTurn()
      t.same(reader.told, [])
      t.match(closed.told, ['!news expired', '4', '5', '6'])
      answer.resolve('state')
      await nextTurn()
      bench.endTurn()
      t.same(reader.told, ['state', '4', '5', 'sent', '6'])
    }
  )

  t.test('a reader that is blocked while it waits for an answer holds nothing', async (t) => {
    const answer = deferred<GapAnswer>()
    const { bench, channel, comeBack } = await withLost({ onGap: () => answer.promise })
    const reader = comeBack()
    bench.endTurn()
    channel.publish('6')
    bench.endTurn()
    reader.block()
    reader.connection.beat(0)
    reader.connection.beat(20_000)
    for (const data of ['7', '8', '9']) {
      channel.publish(data)
      bench.endTurn()
    }
    t.equal((await channel.info()).messages, 2)
    answer.resolve('state')
  })

  t.test('a client that is cut off inside of the answer is told the gap again', async (t) => {
    const { bench, comeBack } = await withLost({ onGap: () => ['a', 'b', 'c'] })
    const reader = comeBack()
    bench.endTurn()
    const parser = new StrictParser()
    const { text } = reader.transport
    parser.feed(Buffer.from(text.slice(0, text.indexOf('data: c'))))
    t.equal(parser.lastEventId, '', 'it still has the id with which it came')
    const back = comeBack()
    bench.endTurn()
    t.same(back.told, ['a', 'b', 'c', '4', '5'])
    t.equal(bench.counters.gaps, 2)
  })

  t.test('the answers of two channels are given together, when both are there', async (t) => {
    const answers = { a: deferred<GapAnswer>(), b: deferred<GapAnswer>() }
    const onGap = ({ channel }: { channel: string }) => answers[channel as 'a' | 'b'].promise
    const bench = new ChannelBench({ onGap })
    const reader = bench.subscribed(['a', 'b'], 'hello')
    bench.publishEach('a1')
    bench.endTurn()
    answers.b.resolve('state of b')
    await nextTurn()
    bench.endTurn()
    t.same(reader.told, [])
    answers.a.resolve('state of a')
    await nextTurn()
    bench.endTurn()
    t.same(reader.told, ['state of a', 'state of b', 'a1'])
    t.same(reader.ids[0], '')
  })

  t.test(
    'what is subscribed to while its answer is awaited comes after it, and nothing is skipped',
    async (t) => {
      const answer = deferred<GapAnswer>()
      const bench = new ChannelBench({ channels: { news: { maxMessages: 1, onGap: () => answer.promise } } })
      const [brought, from = ''] = await bench.publishEach('news1', 'other2', 'other3', 'news4', 'news5')
      const reader = bench.subscribed(['news'], brought)
      bench.endTurn()
      bench.channel('other').subscribe(reader.connection, { from, resume: false })
      bench.endTurn()
      answer.resolve('state')
      await nextTurn()
      bench.endTurn()
      t.same(reader.told, ['state', 'other3', 'news5'])
      t.same(bench.given(['news', 'other'], reader.lastEventId), [])
    }
  )

  t.test('an answer that comes when the connection has ended is not sent', async (t) => {
    const answer = deferred<GapAnswer>()
    const { bench, comeBack } = await withLost({ onGap: () => answer.promise })
    const reader = comeBack()
    bench.endTurn()
    reader.connection.destroy()
    answer.resolve('late')
    await nextTurn()
    bench.endTurn()
    t.equal(reader.transport.text, '')
  })

  t.test('may end the connection: nothing is written after that', async (t) => {
    for (const end of ['close', 'destroy'] as const) {
      const onGap = (_gap: Gap, { connection }: Subscription): undefined => void connection[end]()
      const { bench, comeBack } = await withLost({ onGap })
      const reader = comeBack()
      bench.endTurn()
      if (end === 'close') t.ok(reader.transport.text.endsWith(FAREWELL))
      else t.equal(reader.transport.text, '')
      reader.leave()
      t.equal(bench.channels.live.size, 0)
    }
  })
})

t.test('Subscription › slow readers', async (t) => {
  t.test("with slow: 'gap' are told what fell out of history, and go on with what is kept", async (t) => {
    const { bench, channel, reader } = await blocked({ maxMessages: 2 })
    const cursors: Cursor[] = []
    for (const data of ['1', '2', '3', '4']) {
      cursors.push(await channel.publish(data))
      bench.endTurn()
    }
    reader.unblock()
    bench.endTurn()
    t.same(reader.told, ['0', '!news slow', '3', '4'])
    t.equal(reader.ids[1], cursors[1])
    t.equal(reader.connection.state, 'open')
    t.equal(bench.counters.gaps, 1)
  })

  t.test('that were told another gap before are told that they are slow now', async (t) => {
    const { bench, channel, comeBack } = await withLost()
    const reader = comeBack()
    bench.endTurn()
    reader.block()
    for (const data of ['6', '7', '8', '9']) {
      channel.publish(data)
      bench.endTurn()
    }
    reader.unblock()
    bench.endTurn()
    t.same(reader.told, ['!news expired', '4', '5', '6', '!news slow', '8', '9'])
  })

  t.test(
    "with slow: 'disconnect' are destroyed if something was lost, and told when they are back",
    async (t) => {
      const calls: unknown[] = []
      const { bench, channel, reader } = await blocked({
        slow: 'disconnect',
        maxMessages: 2,
        onGap: (gap) => void calls.push(gap.reason)
      })
      const other = bench.channel('other').subscribe(reader.connection)
      channel.publish(['1', '2'])
      bench.endTurn()
      reader.read(Infinity)
      t.same(reader.told, ['0', '1', '2'], 'not before')
      const { lastEventId } = reader
      channel.publish(['3', '4', '5'])
      bench.endTurn()
      t.equal(reader.connection.state, 'open')
      const { text } = reader.transport
      reader.unblock()
      bench.endTurn()
      t.equal(reader.connection.reason, 'slow')
      t.ok(reader.transport.destroyed)
      t.equal(reader.transport.text, text)
      t.notOk(other.active, 'with all that it is subscribed to')
      t.same(calls, [])
      t.same(bench.given(['news'], lastEventId), ['!news expired', '4', '5'])
      t.same(calls, ['expired'])
    }
  )
})

t.test('Subscription › messages are held for readers that keep up', async (t) => {
  for (const [name, options] of [
    ['maxMessages', { maxMessages: 5 }],
    ['maxBytes', { maxBytes: 100 }]
  ] as const) {
    t.test(`though a burst is larger than ${name}, and no longer`, async (t) => {
      for (const [count, length] of [
        [40, 10],
        [3, 1_000]
      ] as const) {
        const bench = new ChannelBench()
        const channel = bench.channel('news', options)
        const readers = Array.from({ length: count }, () => bench.subscribed(['news', 'other']))
        const expected = Array.from({ length: 1_000 }, (_, i) => String(i).padStart(length, '0'))
        for (const data of expected) channel.publish(data)
        bench.endTurn()
        for (const reader of readers) t.same(reader.data, expected)
        t.equal(bench.counters.gaps, 0)
        const late = bench.subscribed(['news'], undefined, { from: 'oldest' })
        bench.endTurn()
        t.ok(late.data.length <= 10)
      }
    })
  }

  t.test('but not for those that have ended, or are behind', async (t) => {
    const { bench, channel, reader } = await blocked({ maxMessages: 5 })
    const [other, gone] = [bench.subscribed(['news']), bench.subscribed(['news'])]
    bench.endTurn()
    gone.connection.destroy()
    for (let i = 1; i <= 20; i++) channel.publish(String(i))
    bench.endTurn()
    t.equal((await channel.info()).messages, 5)
    reader.unblock()
    bench.endTurn()
    t.equal(other.data.length, 20)
    t.same(reader.told, ['0', '!news slow', '16', '17', '18', '19', '20'])
  })
})

function thrown(error: Error): never {
  throw error
}
