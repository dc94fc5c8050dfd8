import t from 'tap'
import { arrive } from '../../lib/history/arrivals.ts'
import { Batch, PIECE_BYTES } from '../../lib/wire/batch.ts'
import { Batches, RecentBatches, type Stretch } from '../../lib/channel/batches.ts'
import type { Cursor, History, Log } from '../../lib/history/history.ts'
import { memoryHistory } from '../../lib/history/memory/memory-history.ts'
import { Ear, fill, frame } from '../helpers/history.ts'

interface Bench {
  readonly history: History
  readonly batches: Batches
  /** The place before the first message. */
  readonly start: Cursor
  /** How often the log was read. */
  reads: number
}

/** The batches of a log. */
function bench(recent = new RecentBatches(), history = memoryHistory()): Bench {
  const log = history.follow('a', new Ear())
  const counted: Log = {
    get head() {
      return log.head
    },
    get headArrival() {
      return log.headArrival
    },
    oldest: log.oldest,
    arrivalAfter: (after) => log.arrivalAfter(after),
    read: (after, limits) => {
      result.reads++
      return log.read(after, limits)
    },
    release: (upTo) => log.release(upTo),
    close: () => log.close()
  }
  const result = { history, batches: new Batches(counted, recent), start: log.head, reads: 0 }
  return result
}

function textOf(stretch: Stretch | undefined): string | undefined {
  if (!stretch?.complete) throw new Error(`a gap: ${stretch?.reason}`)
  return stretch.batch && Buffer.from(stretch.batch.payload).toString()
}

t.test('Batch › is one chunk of HTTP/1.1, with its messages inside', async (t) => {
  const table = [
    ['', '0\r\n\r\n'],
    ['data: x\n\n', '9\r\ndata: x\n\n\r\n'],
    ['é😀\u2028', '9\r\né😀\u2028\r\n'],
    ['x'.repeat(255), `ff\r\n${'x'.repeat(255)}\r\n`],
    ['\r\n', '2\r\n\r\n\r\n']
  ] as const
  for (const [text, chunk] of table) {
    const batch = new Batch(text, 3)
    t.same(batch.chunk, Buffer.from(chunk))
    t.equal(Buffer.from(batch.payload).toString(), text)
    t.equal(batch.byteLength, Buffer.byteLength(text))
    t.equal(batch.messages, 3)
  }
})

t.test('Batches › a batch is all that follows a cursor, each message with its id', async (t) => {
  const { history, batches, start } = bench()
  const [a, b, c] = await fill(history, 'a', 3)
  const all = batches.after(start, '', Infinity, false)
  t.equal(textOf(all), `id: ${a}\ndata: 0\n\nid: ${b}\ndata: 1\n\nid: ${c}\ndata: 2\n\n`)
  t.match(all, { complete: true, cursor: c, batch: { messages: 3 } })
  const some = batches.after(b ?? '', 'x=1-1&a=', Infinity, false)
  t.equal(textOf(some), `id: x=1-1&a=${c}\ndata: 2\n\n`, 'after the cursors of other channels')
  t.match(some, { complete: true, cursor: c, batch: { messages: 1 } })
})

t.test('Batches › nothing is no batch', async (t) => {
  const { history, batches, start } = bench()
  const nothing = { complete: true, batch: undefined, readBytes: 0 }
  t.same(batches.after(start, '', Infinity, false), { ...nothing, cursor: start })
  const [, second] = await fill(history, 'a', 2)
  batches.clear()
  const mark = arrive()
  await history.append('a', frame('x'), '')
  batches.clear()
  t.same(batches.after(second ?? '', '', mark, false), { ...nothing, cursor: second })
})

t.test('Batches › nothing is not kept, for it may become a gap without a message', async (t) => {
  const { history, batches, start } = bench(undefined, memoryHistory({ maxTotalBytes: 1 }))
  const mark = arrive()
  await fill(history, 'a', 1)
  t.match(batches.after(start, '', mark, false), { complete: true, batch: undefined })
  await fill(history, 'another', 1)
  t.match(batches.after(start, '', mark, false), { complete: false, reason: 'expired' })
})

t.test('Batches › a gap is a gap, for all who stand there', async (t) => {
  const bare = bench()
  const { batches } = bare
  const gap = batches.after('-', '', Infinity, false)
  t.match(gap, { complete: false, reason: 'unknown' })
  t.equal(batches.after('-', '', Infinity, false), gap)
  t.equal(bare.reads, 1)
  t.match(
    batches.selectAfter('-', '', Infinity, false, () => true),
    { complete: false, reason: 'unknown' }
  )
})

t.test('Batches › those who stand at the same place share one', async (t) => {
  const shared = bench()
  const { history, batches, start } = shared
  const [first = ''] = await fill(history, 'a', 1)
  const firstMark = arrive()
  await fill(history, 'a', 1, 1)
  const mark = arrive()
  const [, head = ''] = await fill(history, 'a', 2, 2)
  const places: [Cursor, string, number, boolean][] = [
    [start, '', Infinity, false],
    [start, '', Infinity, true],
    [start, '', mark, false],
    [start, '', firstMark, false],
    [start, 'a=', Infinity, false],
    [start, 'b=1&a=', Infinity, false],
    [first, '', Infinity, false],
    [first, 'a=', Infinity, false],
    [head, '', Infinity, false]
  ]
  const stretches = places.map((place) => batches.after(...place))
  t.equal(shared.reads, places.length)
  t.equal(new Set(stretches).size, places.length, 'whose ids and limits are the same')
  for (const [i, place] of places.entries()) t.equal(batches.after(...place), stretches[i])
  for (const before of [arrive(), arrive(), Number.MAX_SAFE_INTEGER]) {
    t.equal(batches.after(start, '', before, false), stretches[0], 'a limit above the head is none')
  }
  t.equal(shared.reads, places.length, 'which is read once')
  t.match(stretches[2], { batch: { messages: 2 } })
})

t.test('Batches › the newest message is limited too', async (t) => {
  const { history, batches, start } = bench()
  const before = arrive()
  const [cursor] = await fill(history, 'a', 1)
  const arrival = before + 1
  t.match(batches.after(start, '', arrival, false), { complete: true, batch: undefined, cursor: start })
  t.match(batches.after(start, '', arrival + 1, false), { complete: true, cursor })
})

t.test('Batches › only the newest of each key, if that is asked', async (t) => {
  const { history, batches, start } = bench()
  await history.append('a', frame('data: 1\n\n'), 'x')
  const second = await history.append('a', frame('data: 2\n\n'), 'y')
  const third = await history.append('a', frame('data: 3\n\n'), 'x')
  const latest = batches.after(start, '', Infinity, true)
  t.equal(textOf(latest), `id: ${second}\ndata: 2\n\nid: ${third}\ndata: 3\n\n`)
})

t.test('Batches › are kept until they are cleared, and not many', async (t) => {
  const kept = bench()
  const { history, batches, start } = kept
  const old = batches.after(start, '', Infinity, false)
  const [cursor] = await fill(history, 'a', 1)
  batches.clear()
  const fresh = batches.after(start, '', Infinity, false)
  t.not(fresh, old)
  t.match(fresh, { cursor })

  kept.reads = 0
  for (let n = 0; n < 15; n++) batches.after(start, `${n}=`, Infinity, false)
  t.equal(batches.after(start, '', Infinity, false), fresh, 'one of 16')
  batches.after(start, '16=', Infinity, false)
  t.equal(kept.reads, 16)
  t.not(batches.after(start, '', Infinity, false), fresh, 'the 17th makes room for itself')
  t.equal(kept.reads, 17)
  batches.after(start, '16=', Infinity, false)
  t.equal(kept.reads, 17, 'and stays')
})

t.test('RecentBatches › keeps those of the last logs that any were built for', async (t) => {
  const recent = new RecentBatches()
  const benches = Array.from({ length: 16 }, () => bench(recent))
  const build = ({ batches, start }: Bench): Stretch | undefined => batches.after(start, '', Infinity, false)
  const stretches = benches.map(build)
  t.same(benches.map(build), stretches, '16 of them')
  t.ok(benches.every(({ reads }) => reads === 1))

  const [first, second] = benches
  first?.batches.after(first.start, 'x=', Infinity, false)
  const late = bench(recent)
  build(late)
  build(late)
  t.equal(late.reads, 1)
  t.equal(first && build(first), stretches[0], 'one that was used again is not the oldest')
  t.not(second && build(second), stretches[1], 'but the next one is, and what it had is dropped')
  t.same(
    benches.map(({ reads }) => reads),
    [2, 2, ...Array.from({ length: 14 }, () => 1)]
  )
})

t.test('RecentBatches › drops what is not needed any more', async (t) => {
  const recent = new RecentBatches()
  const [dropped, other] = [bench(recent), bench(recent)]
  for (const { batches, start } of [dropped, other]) batches.after(start, '', Infinity, false)
  recent.drop(dropped.batches)
  for (const { batches, start } of [dropped, other]) batches.after(start, '', Infinity, false)
  t.same([dropped.reads, other.reads], [2, 1])
})

t.test('Batches › a batch has up to 64 KiB, and at least one message', async (t) => {
  const { history, batches, start } = bench()
  const idBytes = `id: ${start}\n`.length
  const sizes = [PIECE_BYTES - 2 * idBytes - 1, 1, 10, PIECE_BYTES * 3, 1, 1]
  for (const size of sizes) await history.append('a', frame('x'.repeat(size)), '')
  const counts: number[] = []
  for (let place = start; ; ) {
    const stretch = batches.after(place, '', Infinity, false)
    if (!stretch?.complete || stretch.batch === undefined) break
    counts.push(stretch.batch.messages)
    place = stretch.cursor
  }
  t.same(counts, [2, 2, 2])
})

t.test('Batches › selectAfter › gives what is selected, to one alone', async (t) => {
  const alone = bench()
  const { history, batches, start } = alone
  const given = await fill(history, 'a', 4)
  const head = given[3]
  const isOdd = ({ text }: { text: string }) => /[13]/.test(text)
  const odd = batches.selectAfter(start, 'a=', Infinity, false, isOdd)
  t.equal(textOf(odd), `id: a=${given[1]}\ndata: 1\n\nid: a=${head}\ndata: 3\n\n`)
  t.match(odd, { cursor: head, batch: { messages: 2 } })
  const none = batches.selectAfter(start, '', Infinity, false, () => false)
  t.match(none, { complete: true, batch: undefined, cursor: head }, 'what is not is passed over')
  const mark = arrive()
  await history.append('a', frame('data: 5\n\n'), '')
  const limited = batches.selectAfter(start, '', mark, true, () => true)
  t.match(limited, { cursor: head, batch: { messages: 1 } }, 'the newest of what the limits let through')
  t.equal(alone.reads, 3)
  batches.selectAfter(start, '', mark, true, () => true)
  t.equal(alone.reads, 4, 'and is not kept')
  t.match(batches.after(start, '', mark, true), { cursor: head, batch: undefined })
  t.equal(alone.reads, 5)
})
