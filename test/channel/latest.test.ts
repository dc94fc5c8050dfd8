import t from 'tap'
import type { ChannelOptions, GapAnswer } from '../../lib/index.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { deferred, nextTurn } from '../helpers/server.ts'

const slow = 'latest'

/** Publishes each as a message of which the key is the first character. */
function publish(bench: ChannelBench, messages: readonly string[], name = 'news'): void {
  for (const data of messages) bench.channel(name).publish(data, { key: data[0] ?? '' })
}

/** A reader that has stopped to read after a first message. */
function blocked(options: ChannelOptions = {}, names: readonly string[] = ['news']) {
  const bench = new ChannelBench({ channels: { news: { slow, ...options } } })
  const reader = bench.subscribed(names)
  bench.endTurn()
  block(bench, reader)
  return { bench, reader }
}

function block(bench: ChannelBench, reader: Reader): void {
  reader.block()
  publish(bench, ['0'])
  bench.endTurn()
}

t.test("Subscription › slow: 'latest'", async (t) => {
  t.test('gives everything to a reader that keeps up', async (t) => {
    const bench = new ChannelBench({ slow })
    const reader = bench.subscribed(['news'])
    publish(bench, ['a1', 'a2', 'a3'])
    bench.endTurn()
    publish(bench, ['a4', 'a5'])
    bench.endTurn()
    t.same(reader.data, ['a1', 'a2', 'a3', 'a4', 'a5'])
  })

  t.test(
    'replaces nothing by what is not kept, which may be gone before its reader comes to it',
    async (t) => {
      for (const filter of [undefined, () => true]) {
        const bench = new ChannelBench({ channels: { news: { slow } } })
        bench.channel().publish('a1', { key: 'a' })
        const reader = bench.subscribed(['news'], undefined, {
          from: 'oldest',
          ...(filter !== undefined && { filter })
        })
        bench.channel().publish('a2', { key: 'a', keep: false })
        bench.endTurn()
        t.same(reader.data, ['a1', 'a2'])
      }
    }
  )

  t.test('gives the newest of each key, in order, to one that was blocked, then everything', async (t) => {
    const { bench, reader } = blocked()
    for (const data of ['a1', 'b1', 'c1', 'b2', 'a2', 'b3']) {
      publish(bench, [data])
      bench.endTurn()
    }
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', 'c1', 'a2', 'b3'])
    publish(bench, ['a3', 'a4'])
    bench.endTurn()
    t.same(reader.data.slice(4), ['a3', 'a4'])
    t.equal(bench.counters.gaps, 0)
  })

  t.test('the key is the event name if none is given', async (t) => {
    const { bench, reader } = blocked()
    const channel = bench.channel()
    for (const event of ['typing', 'gone', 'typing']) channel.publish({ event, data: event })
    channel.publish(['x', 'y'])
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', 'gone', 'typing', 'y'])
  })

  t.test('gives a newcomer what it gives one that returns to the same place', async (t) => {
    const bench = new ChannelBench({ slow })
    const brought = bench.cursor()
    for (let i = 0; i < 100; i++) publish(bench, [`${'abc'[i % 3]}${i}`])
    const readers = [
      bench.subscribed(['news'], undefined, { from: 'oldest' }),
      bench.subscribed(['news'], undefined, { from: 'first' }),
      bench.subscribed(['news'], undefined, { from: { last: 50 } }),
      bench.subscribed(['news', 'other'], undefined, { from: 'oldest' }),
      bench.subscribed(['news'], brought),
      bench.subscribed(['news', 'other'], brought)
    ]
    bench.endTurn()
    for (const reader of readers) t.same(reader.data, ['b97', 'c98', 'a99'])
    publish(bench, ['a100', 'a101'])
    bench.endTurn()
    for (const reader of readers) t.same(reader.data.slice(3), ['a100', 'a101'])
  })

  t.test('of one channel leaves the others of the connection as they are', async (t) => {
    const { bench, reader } = blocked({}, ['news', 'other'])
    for (const data of ['a1', 'a2']) {
      publish(bench, [data])
      publish(bench, [data], 'other')
    }
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', 'a1', 'a2', 'a2'])
    publish(bench, ['a3', 'a4'])
    bench.endTurn()
    t.same(reader.data.slice(4), ['a3', 'a4'], 'everything, once it has caught up')
  })

  t.test('passes over what was replaced between what is sent, with and without other channels', async (t) => {
    for (const names of [['news'], ['news', 'other']]) {
      const bench = new ChannelBench({ slow })
      const reader = bench.subscribed(names)
      bench.endTurn()
      reader.block()
      reader.connection.send('0')
      bench.endTurn()
      publish(bench, ['a1'])
      reader.connection.send('sent')
      publish(bench, ['a2', 'a3'])
      bench.endTurn()
      reader.unblock()
      bench.endTurn()
      t.same(reader.data, ['0', 'sent', 'a3'])
    }
  })

  t.test('goes over several pages of 64 KiB, and takes in what is published between them', async (t) => {
    const { bench, reader } = blocked()
    const round = (keys: string, number: number): void =>
      publish(
        bench,
        [...keys].map((key) => `${key}${number}`.padEnd(30_000, '.'))
      )
    for (let number = 1; number <= 3; number++) round('abcdefgh', number)
    bench.endTurn()
    const taken: string[][] = []
    while (taken.flat().length < 9) {
      const before = reader.data.length
      reader.read(Infinity)
      bench.endTurn()
      const page = reader.data.slice(before).map((data) => data.slice(0, 2))
      if (page.length > 0 && taken.push(page) === 1) round('ah', 4)
      bench.endTurn()
    }
    t.same(taken, [
      ['a3', 'b3', 'c3'],
      ['d3', 'e3', 'f3'],
      ['g3', 'a4', 'h4']
    ])
  })

  t.test('goes on after a gap that is told late', async (t) => {
    const answer = deferred<GapAnswer>()
    const bench = new ChannelBench({ channels: { news: { slow, onGap: () => answer.promise } } })
    publish(bench, ['a1', 'a2', 'a3'])
    const reader = bench.subscribed(['news'], 'hello', { from: 'oldest' })
    bench.endTurn()
    answer.resolve('state')
    await nextTurn()
    bench.endTurn()
    t.same(reader.data, ['state', 'a3'])
  })

  t.test('tells a gap when the history lost more than was replaced', async (t) => {
    const { bench, reader } = blocked({ maxMessages: 2 })
    publish(bench, ['a1', 'b1', 'c1'])
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.told, ['0', '!news slow', 'b1', 'c1'])
  })

  t.test('looks only at what was published before unsubscribe()', async (t) => {
    const { bench, reader } = blocked()
    publish(bench, ['a1', 'b1', 'a2'])
    reader.connection.subscriptions[0]?.unsubscribe()
    publish(bench, ['a3', 'b2'])
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', 'b1', 'a2'])
  })

  t.test('with a filter gives the newest of each key that pass it', async (t) => {
    const bench = new ChannelBench({ slow })
    const brought = bench.cursor()
    publish(bench, ['a1', 'b1', 'a2', 'b2-hidden', 'a3-hidden'])
    const filter = ({ data }: { data: string }): boolean => !data.includes('hidden')
    const back = bench.subscribed(['news'], brought, { filter })
    const { bench: other, reader } = blocked()
    other.channel('news')
    bench.endTurn()
    t.same(back.data, ['b1', 'a2'])
    reader.leave()
    publish(bench, ['a4', 'a5'])
    bench.endTurn()
    t.same(back.data.slice(2), ['a4', 'a5'])
  })

  t.test('with a filter that is blocked again and again goes on with what is newest then', async (t) => {
    const bench = new ChannelBench({ slow })
    const reader = bench.subscribed(['news'], undefined, { filter: ({ data }) => data !== 'a9' })
    bench.endTurn()
    block(bench, reader)
    publish(bench, ['a1', 'b1', 'a2'])
    bench.endTurn()
    reader.transport.capacity = 1
    reader.read(Infinity)
    bench.endTurn()
    publish(bench, ['a3', 'b2', 'a9'])
    bench.endTurn()
    reader.unblock()
    bench.endTurn()
    t.same(reader.data, ['0', 'b1', 'a2', 'a3', 'b2'])
  })

  t.test('with a filter that takes long lets others have their turn', async (t) => {
    await FakeClock.run(async (clock) => {
      const bench = new ChannelBench({ slow })
      const brought = bench.cursor()
      for (let i = 0; i < 100; i++) publish(bench, [`${'abc'[i % 3]}${i}`])
      bench.endTurn()
      let asked = 0
      const filter = (): boolean => {
        asked++
        clock.spend(2)
        return true
      }
      const slowest = bench.subscribed(['news'], brought, { filter })
      const other = bench.subscribed(['other'])
      bench.channel('other').publish('x')
      while (other.data.length === 0) bench.endTurn(1)
      t.ok(asked <= 3, `${asked} messages were looked at before`)
      bench.endTurn()
      t.same(slowest.data, ['b97', 'c98', 'a99'])
      t.ok(asked < 210, `${asked} questions for 100 messages`)
    })
  })
})
