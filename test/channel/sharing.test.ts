import t from 'tap'
import type { Batch } from '../../lib/wire/batch.ts'
import { ChannelBench, type Reader } from '../helpers/channel-bench.ts'

/** How many readers are found before others have their turn. */
const SHARE = 256
const PIECE_BYTES = 65_536
/** What is kept of the batches of a channel, and of how many channels. */
const MAX_RUNS = 16
const MAX_WINDOWS = 16

function batchesOf({ transport }: Reader): Batch[] {
  return transport.batches.filter(({ messages }) => messages > 0)
}

function chunksOf(reader: Reader): Buffer[] {
  return batchesOf(reader).map(({ chunk }) => chunk)
}

t.test('Batches › are one chunk in memory', async (t) => {
  t.test('for all who stand at the same place, whether or not they read', async (t) => {
    const bench = new ChannelBench()
    const readers = Array.from({ length: 40 }, () => bench.subscribed(['news']))
    bench.endTurn()
    for (const reader of readers.slice(20)) reader.block()
    bench.channel().publish(['1', '2'])
    bench.endTurn()
    t.equal(new Set(readers.flatMap(chunksOf)).size, 1)
    t.equal(chunksOf(readers[0] as Reader).length, 1)
  })

  t.test('whatever other channels they have', async (t) => {
    const bench = new ChannelBench()
    const readers = Array.from({ length: 40 }, (_, i) => bench.subscribed([`user:${i}`, 'news', 'other']))
    bench.endTurn()
    bench.channel().publish(['1', '2'])
    bench.endTurn()
    t.equal(new Set(readers.flatMap(chunksOf)).size, 1)
    bench.channel('user:0').publish('own')
    bench.endTurn()
    bench.channel().publish('3')
    bench.endTurn()
    t.equal(new Set(readers.map((reader) => chunksOf(reader).at(-1))).size, 1, 'also after one of their own')
  })

  t.test('for those who come back to different places: from the next 64 KiB on', async (t) => {
    const bench = new ChannelBench()
    const cursors = [bench.cursor()]
    for (let i = 0; i < 12; i++) {
      bench.channel().publish(`${i}`.padEnd(20_000, '.'))
      cursors.push(bench.history.cursorAt(bench.history.head))
    }
    bench.endTurn()
    const [first, same, later] = [cursors[0], cursors[0], cursors[4]].map((id) =>
      bench.subscribed(['news'], id)
    )
    bench.endTurn()
    t.same(chunksOf(same as Reader), chunksOf(first as Reader))
    for (const [i, chunk] of chunksOf(same as Reader).entries()) t.equal(chunk, chunksOf(first as Reader)[i])
    t.equal(chunksOf(later as Reader)[0], chunksOf(first as Reader)[1])
  })

  t.test('but not with what was not kept, for those who come back', async (t) => {
    const bench = new ChannelBench()
    const brought = bench.cursor()
    const here = [bench.subscribed(['news']), bench.subscribed(['news'])]
    bench.endTurn()
    bench.channel().publish('1')
    bench.channel().publish('typing', { keep: false })
    bench.channel().publish('2')
    bench.endTurn()
    for (const { told } of here) t.same(told, ['1', 'typing', '2'])
    t.same(bench.given(['news'], brought), ['1', '2'])
  })

  t.test('of up to 64 KiB, and at least one message', async (t) => {
    const bench = new ChannelBench({ channels: { '*': { maxMessages: 10_000, maxBytes: 10_000_000 } } })
    const brought = bench.cursor()
    const sizes = [1, PIECE_BYTES * 1.5, 10, 10, PIECE_BYTES - 100, 10, 10]
    for (const size of sizes) bench.channel().publish('x'.repeat(size))
    for (let i = 0; i < 2_000; i++) bench.channel().publish('x')
    bench.endTurn()
    const reader = bench.subscribed(['news'], brought)
    bench.endTurn()
    t.equal(reader.data.length, sizes.length + 2_000)
    const [first, ...more] = batchesOf(reader)
    t.match(first, { messages: 2 })
    t.ok(more.every(({ byteLength }) => byteLength < 80_000))
    t.ok(more.length < 5, `${more.length} more`)
  })
})

t.test('Batches › are not kept for ever', async (t) => {
  t.test('but only the last of a channel', async (t) => {
    const bench = new ChannelBench()
    const cursors = [bench.cursor()]
    for (let i = 0; i < MAX_RUNS; i++) cursors.push(await bench.channel().publish(`${i}`))
    bench.endTurn()
    bench.subscribed(['news'])
    const come = (at: number): Buffer | undefined => {
      const reader = bench.subscribed(['news'], cursors[at])
      bench.endTurn()
      const [chunk] = chunksOf(reader)
      reader.leave()
      return chunk
    }
    const first = come(0)
    for (let at = 1; at < MAX_RUNS; at++) come(at)
    t.equal(come(0), first, `one of ${MAX_RUNS}`)
    await bench.channel().publish('more')
    bench.endTurn()
    const again = come(0)
    t.not(again, first, 'which ends too early now')
    for (let at = 1; at <= MAX_RUNS; at++) come(at)
    t.not(come(0), again, 'and makes room for others')
  })

  t.test('and of them 256 KiB', async (t) => {
    const bench = new ChannelBench()
    const brought = bench.cursor()
    for (let i = 0; i < 12; i++) bench.channel().publish(`${i}`.padEnd(60_000, '.'))
    bench.endTurn()
    bench.subscribed(['news'])
    const come = (): Buffer[] => {
      const reader = bench.subscribed(['news'], brought)
      bench.endTurn()
      return chunksOf(reader)
    }
    const [first, second] = [come(), come()]
    t.equal(first.length, second.length)
    t.not(first[0], second[0], 'more than that was built since')
  })

  t.test('of the last channels that any were built for', async (t) => {
    const bench = new ChannelBench()
    const brought = bench.cursor()
    const names = Array.from({ length: MAX_WINDOWS }, (_, i) => `${i}`)
    for (const name of [...names, 'more']) await bench.channel(name).publish('x')
    for (const name of [...names, 'more']) bench.subscribed([name])
    bench.endTurn()
    const come = (name: string): Buffer | undefined => {
      const reader = bench.subscribed([name], brought)
      bench.endTurn()
      return chunksOf(reader)[0]
    }
    const chunks = names.map(come)
    for (const [i, name] of names.entries()) t.equal(come(name), chunks[i])
    come('more')
    t.not(come('0'), chunks[0], 'the oldest one makes room')
    t.equal(come('15'), chunks[15])
  })

  t.test('when the last subscription has gone', async (t) => {
    const bench = new ChannelBench()
    const brought = bench.cursor()
    await bench.channel().publish('x')
    bench.endTurn()
    const come = (): Buffer | undefined => {
      const readers = [1, 2].map(() => bench.subscribed(['news'], brought))
      bench.endTurn()
      const chunks = new Set(readers.map((reader) => chunksOf(reader)[0]))
      t.equal(chunks.size, 1)
      for (const reader of readers) reader.leave()
      return [...chunks][0]
    }
    t.not(come(), come())
  })
})

t.test('Rounds › find readers in shares of 256, and nobody takes before all are found', async (t) => {
  const bench = new ChannelBench()
  const readers = Array.from({ length: 3 * SHARE }, (_, i) =>
    bench.subscribed(i % 2 === 0 ? ['a'] : ['a', 'b'])
  )
  bench.endTurn()
  bench.publishEach('a1', 'b2', 'a3')
  const haveSome = (): number => readers.filter(({ data }) => data.length > 0).length
  const other = bench.reader()
  other.connection.send('in between')
  for (let share = 1; share <= 3; share++) {
    bench.endTurn(share === 1 ? 1 : 2)
    t.equal(haveSome(), 0, `after ${share} shares`)
  }
  t.same(other.data, ['in between'], 'others have their turn')
  bench.endTurn()
  for (const [i, reader] of readers.entries()) {
    if (i % 2 === 0) t.same(reader.data, ['a1', 'a3'])
    else t.same(reader.data, ['a1', 'b2', 'a3'])
  }
})

t.test('Rounds › what is published while readers are found comes in the next round, in order', async (t) => {
  const bench = new ChannelBench()
  const readers = Array.from({ length: 2 * SHARE }, () => bench.subscribed(['a', 'b']))
  bench.endTurn()
  bench.publishEach('b1')
  bench.endTurn(1)
  bench.publishEach('a2', 'b3')
  bench.endTurn()
  for (const reader of readers) t.same(reader.data, ['b1', 'a2', 'b3'])
})

t.test('Rounds › a reader that comes while others are found misses nothing', async (t) => {
  const bench = new ChannelBench()
  const brought = bench.cursor()
  Array.from({ length: 2 * SHARE }, () => bench.subscribed(['a']))
  bench.endTurn()
  bench.publishEach('a1')
  bench.endTurn(1)
  const late = bench.subscribed(['a', 'b'])
  const back = bench.subscribed(['a', 'b'], brought)
  bench.publishEach('b2', 'a3')
  bench.endTurn()
  t.same(late.data, ['b2', 'a3'])
  t.same(back.data, ['a1', 'b2', 'a3'])
})
