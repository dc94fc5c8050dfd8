import { getEventListeners } from 'node:events'
import t from 'tap'
import type { ReadItem, ReadOptions } from '../../lib/index.ts'
import { ChannelBench } from '../helpers/channel-bench.ts'
import { cpuTime, timesAsLong } from '../helpers/cpu-time.ts'
import { nextTurn } from '../helpers/server.ts'
import { hasSettled } from '../helpers/settled.ts'

/** Of times as long. */
const TOO_MUCH = 60

const CODE = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'

/** What an item is, in short. */
function textOf(item: ReadItem): string {
  return item.type === 'gap' ? `!${item.reason}` : item.data
}

/** Reads as many items as there are. */
async function take(reading: AsyncIterator<ReadItem>, count: number): Promise<string[]> {
  const items: string[] = []
  while (items.length < count) {
    const { done, value } = await reading.next()
    if (done) break
    items.push(textOf(value))
  }
  return items
}

t.test('Channel › read()', async (t) => {
  t.test('gives what is kept, and then what is published', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const ids = [
      await channel.publish({ event: 'tick', data: { a: 1 } }, { key: 'k' }),
      await channel.publish('two\nlines')
    ]
    const items: ReadItem[] = []
    for await (const item of channel.read()) {
      items.push(item)
      if (items.length === 2) {
        ids.push(await channel.publish('3'))
        bench.endTurn()
      }
      if (items.length === 3) break
    }
    t.match(items, [
      { type: 'message', id: ids[0], event: 'tick', data: '{"a":1}', key: 'k' },
      { type: 'message', id: ids[1], event: '', data: 'two\nlines', key: '' },
      { type: 'message', id: ids[2], data: '3' }
    ])
    const [first, second] = items
    t.same(first?.type === 'message' && first.json(), { a: 1 })
    t.throws(() => second?.type === 'message' && second.json(), { name: 'SyntaxError' })
    t.equal(bench.channels.live.size, 0, 'and leaves nothing when the loop ends')
  })

  t.test('waits for the next message', async (t) => {
    const bench = new ChannelBench()
    const reading = bench.channel().read()
    const next = take(reading, 1)
    t.notOk(await hasSettled(next))
    bench.channel('other').publish('x')
    bench.endTurn()
    t.notOk(await hasSettled(next))
    bench.channel().publish('1')
    bench.endTurn()
    t.same(await next, ['1'])
    await reading.return?.()
  })

  t.test('begins where it is told to', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { maxMessages: 3 })
    const [lost = '', , third = ''] = await channel.publish(['1', '2', '3', '4', '5'])
    const table: [ReadOptions | undefined, string[]][] = [
      [undefined, ['3', '4', '5']],
      [{ from: 'oldest' }, ['3', '4', '5']],
      [{ from: 'first' }, ['!expired', '3', '4', '5']],
      [{ from: { last: 2 } }, ['4', '5']],
      [{ from: third }, ['4', '5']],
      [{ from: lost }, ['!expired', '3', '4', '5']],
      [{ from: 'no-cursor' }, ['!unknown', '3', '4', '5']],
      [{ from: 'now' }, []]
    ]
    for (const [options, expected] of table) {
      const reading = channel.read(options)
      t.same(await take(reading, expected.length), expected, JSON.stringify(options))
      const next = take(reading, 1)
      t.notOk(await hasSettled(next), 'and no more')
      channel.publish('typing', { keep: false })
      bench.endTurn()
      t.same(await next, ['typing'])
      await reading.return?.()
    }
    t.equal(bench.channels.live.size, 0)
  })

  t.test('holds nobody up, and who does not ask for more for too long is told a gap', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel('news', { maxMessages: 2 })
    await channel.publish('1')
    const reading = channel.read()
    t.same(await take(reading, 1), ['1'])
    for (const data of ['2', '3', '4', '5']) {
      const published = channel.publish(data.padEnd(100_000, '.'))
      bench.endTurn()
      t.ok(await hasSettled(published))
    }
    t.same(
      (await take(reading, 3)).map((data) => data.slice(0, 5)),
      ['!slow', '4....', '5....']
    )
    await reading.return?.()
  })

  t.test('ends after the gap in which its channel has, unless the channel has begun anew', async (t) => {
    for (const isNew of [false, true]) {
      const bench = new ChannelBench()
      const channel = bench.channel()
      channel.publish('1')
      const reading = channel.read()
      t.same(await take(reading, 1), ['1'])
      channel.publish('2')
      channel.end('3')
      bench.endTurn()
      channel.window.expire(Number.MAX_VALUE)
      if (isNew) channel.publish('4')
      t.same(await take(reading, 2), isNew ? ['!slow', '4'] : ['!slow'])
    }
  })

  t.test('who waits is told of what was gone before the turn ended', async (t) => {
    const bench = new ChannelBench()
    const channel = bench.channel()
    const reading = channel.read()
    const items = take(reading, 3)
    t.notOk(await hasSettled(items))
    channel.publish('1')
    channel.clear()
    channel.publish(['2', '3'])
    bench.endTurn()
    t.same(await items, ['!slow', '2', '3'])
    await reading.return?.()
  })

  t.test('ends when its signal aborts, without an error', async (t) => {
    const bench = new ChannelBench()
    const abort = new AbortController()
    await bench.channel().publish(['1', '2', '3'])
    const reading = bench.channel().read({ signal: abort.signal })
    t.same(await take(reading, 3), ['1', '2', '3'])
    const next = reading.next()
    t.notOk(await hasSettled(next))
    abort.abort()
    t.match(await next, { done: true })
    t.equal(bench.channels.live.size, 0)
    const late = bench.channel().read({ signal: abort.signal })
    t.same(await take(late, 1), [], 'also one that has aborted before')
    t.equal(bench.channels.live.size, 0)
  })

  t.test('ends when the server closes', async (t) => {
    const bench = new ChannelBench()
    const reading = bench.channel().read()
    const next = reading.next()
    t.notOk(await hasSettled(next))
    bench.channels.close()
    bench.endTurn()
    t.match(await next, { done: true })
    t.same(await take(bench.channel().read(), 1), [])
  })

  t.test('refuses what is wrong, at the call', async (t) => {
    const channel = new ChannelBench().channel()
    const wrong: unknown[] = [
      { from: '' },
      { from: 5 },
      { from: { last: -1 } },
      { signal: {} },
      { filter: () => true },
      null
    ]
    for (const options of wrong) {
      t.throws(() => channel.read(options as ReadOptions), { code: CODE })
    }
  })
})

t.test('Channel › read() › takes no longer for each the more there are', async (t) => {
  t.test('messages of one turn', async (t) => {
    const taken = async (count: number): Promise<number> => {
      const bench = new ChannelBench()
      const reading = bench.channel().read({ from: 'now' })
      let next = reading.next()
      await nextTurn()
      void bench.channel().publish(Array.from({ length: count }, () => '.'))
      bench.endTurn()
      return cpuTime(async () => {
        for (let i = 0; i < count; i++) {
          await next
          next = reading.next()
        }
        await reading.return?.()
      })
    }
    const ratio = await timesAsLong(
      () => taken(120_000),
      () => taken(10_000),
      TOO_MUCH
    )
    t.ok(ratio < TOO_MUCH, `${ratio} times for 12 times as many`)
  })

  t.test(
    'readers: none of them listens to the end of all, which would look through the others',
    async (t) => {
      const bench = new ChannelBench()
      for (let i = 0; i < 20; i++) void bench.channel().read().next()
      await nextTurn()
      t.same(getEventListeners(bench.history.closing, 'abort'), [])
    }
  )
})
