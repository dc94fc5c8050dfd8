import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { FrameBudget } from '../../lib/history/frame-budget.ts'
import type { Cursor, History } from '../../lib/history/history.ts'
import { type MemoryHistoryOptions, memoryHistory } from '../../lib/history/memory/memory-history.ts'
import { MemoryLog } from '../../lib/history/memory/memory-log.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { heapBytes } from '../helpers/garbage.ts'
import {
  ALL,
  Ear,
  fill,
  frame,
  gapAfter,
  numbered,
  readAll,
  readKept,
  textOf,
  texts
} from '../helpers/history.ts'
import { historyConformance } from './conformance.ts'
import { testAgainstModel } from './model.ts'
import type { CreateStore } from './store.ts'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

const store: CreateStore = ({ maxMessages }) => {
  const history = memoryHistory({ maxMessages })
  return { history, later: (cursor) => plus(cursor, 1), dispose: () => history.close() }
}
historyConformance(t, 'MemoryHistory', store)
testAgainstModel(t, 'MemoryHistory', store)

/** The cursor of the same channel that was given `count` later. */
function plus(cursor: Cursor, count: number): Cursor {
  return `${epochOf(cursor)}-${numberOf(cursor) + count}`
}

function epochOf(cursor: Cursor): string {
  return cursor.slice(0, cursor.indexOf('-'))
}

function numberOf(cursor: Cursor): number {
  return Number(cursor.slice(cursor.indexOf('-') + 1))
}

/** Appends a message that counts as `byteLength` bytes. */
function appendBytes(history: History, channel: string, n: number, byteLength: number): Promise<Cursor> {
  return history.append(channel, { text: textOf(n), byteLength }, '')
}

/** The numbers of the messages that are kept. */
async function kept(history: History, channel: string): Promise<number[]> {
  return (await readKept(history, channel)).map(({ text }) => Number(text.slice('data: '.length)))
}

/** What counts besides the text: for each message, and for each channel that has any. */
const MESSAGE = 256
const CHANNEL = 768

/** A history that forgets a channel without followers as soon as another one has a message. */
function forgetful(): History {
  return memoryHistory({ maxTotalBytes: 1 })
}

t.test('memoryHistory › options', async (t) => {
  const code = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
  const ms = 'an integer from 1 to 2147483647 (milliseconds)'
  const bytes = 'an integer of at least 1 (bytes)'
  const rows = [
    ['maxMessages', 'an integer of at least 1', [1, 2 ** 53 - 1], [false, 0, -1, 1.5, 2 ** 53, Infinity]],
    ['maxBytes', bytes, [1, 2 ** 53 - 1], [false, 0, -1, 1.5, 2 ** 53, Infinity]],
    ['maxAgeMs', ms, [1, 2 ** 31 - 1, false], [true, 0, -1, 1.5, 2 ** 31, Infinity]],
    ['maxTotalBytes', bytes, [1, 2 ** 53 - 1], [false, 0, -1, 1.5, 2 ** 53, Infinity]]
  ] as const
  const make = (options: unknown): History => Reflect.apply(memoryHistory, undefined, [options])

  for (const [name, rule, accepted, refused] of rows) {
    t.test(name, async (t) => {
      for (const value of [...accepted, undefined]) t.doesNotThrow(() => make({ [name]: value }), `${value}`)
      for (const value of [...refused, null, Number.NaN, '5', 5n, [], {}]) {
        const message = new RegExp(`^Expected ${name} to be ${rule.replace(/[()]/g, '\\$&')}, got `)
        t.throws(() => make({ [name]: value }), { code, message }, `${value}`)
      }
    })
  }

  t.test('of no other name', async (t) => {
    const names = rows.map(([name]) => name).join(', ')
    for (const name of ['maxmessages', 'max', '', 'constructor']) {
      const message = `Expected ${name} to be one of ${names}, got 1 (number)`
      t.throws(() => make({ [name]: 1 }), { code, message })
    }
    for (const given of [null, 1, 'x']) t.throws(() => make(given), { code, message: /to be an object/ })
  })

  t.test('what the caller changes later does not count', async (t) => {
    const options: MemoryHistoryOptions = { maxMessages: 2 }
    const history = memoryHistory(options)
    options.maxMessages = 100
    await fill(history, 'a', 5)
    t.same(await kept(history, 'a'), [3, 4])
  })
})

t.test('memoryHistory › cursors', async (t) => {
  t.test('are <epoch>-<number>, and count from 1 without holes', async (t) => {
    const history = memoryHistory()
    const log = history.follow('a', new Ear())
    const given = [log.head, ...(await fill(history, 'a', 12))]
    for (const cursor of given) t.match(cursor, /^[0-9a-z]{8}-(0|[1-9]\d*)$/)
    t.same(given.map(numberOf), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
    t.equal(new Set(given.map(epochOf)).size, 1, 'a channel has one epoch')
  })

  t.test('a channel has its epoch for good, and no other has the same', async (t) => {
    const history = forgetful()
    const names = Array.from({ length: 2_000 }, (_, n) => `channel ${n}`)
    const epochs = async () => {
      const cursors = await Promise.all(names.map((name) => history.append(name, frame('x'), '')))
      return cursors.map(epochOf)
    }
    const first = await epochs()
    t.equal(new Set(first).size, names.length)
    t.same(await epochs(), first, 'also when it was forgotten in between')
  })

  t.test('each history has epochs of its own, as each start of a process has', async (t) => {
    const [one, two] = [memoryHistory(), memoryHistory()]
    const [given = '', other = ''] = [...(await fill(one, 'a', 1)), ...(await fill(two, 'a', 1))]
    t.not(epochOf(given), epochOf(other))
    t.equal(await gapAfter(one.follow('a', new Ear()), other), 'foreign')
    t.equal(await gapAfter(two.follow('a', new Ear()), given), 'foreign')
  })

  t.test('are told apart by their form', async (t) => {
    const history = memoryHistory()
    const log = history.follow('a', new Ear())
    const [cursor = ''] = await fill(history, 'a', 1)
    const epoch = epochOf(cursor)
    const table = [
      [`${epoch}-0`, undefined],
      [`${epoch}-1`, undefined],
      [`${epoch}-2`, 'future'],
      [`${epoch}-999999999999999`, 'future'],
      [`${epoch}-1000000000000000`, 'unknown'],
      [`${epoch}-01`, 'unknown'],
      [`${epoch}-00`, 'unknown'],
      [`${epoch}--1`, 'unknown'],
      [`${epoch}-+1`, 'unknown'],
      [`${epoch}-1.0`, 'unknown'],
      [`${epoch}-1e0`, 'unknown'],
      [`${epoch}-0x1`, 'unknown'],
      [`${epoch}- 1`, 'unknown'],
      [`${epoch}-1\n`, 'unknown'],
      [`${epoch}-`, 'unknown'],
      [`${epoch}1`, 'unknown'],
      [`${epoch}_1`, 'unknown'],
      [epoch, 'unknown'],
      ['1', 'unknown'],
      ['-1', 'unknown'],
      [`${epoch.slice(1)}-1`, 'unknown'],
      [`x${epoch}-1`, 'unknown'],
      [`${epoch.slice(1)}A-1`, 'foreign'],
      ['---------1', 'foreign'],
      ['1760000000000-0', 'unknown']
    ] as const
    for (const [given, reason] of table) {
      t.equal(await gapAfter(log, given), reason, JSON.stringify(given))
      if (reason !== undefined) t.equal(log.arrivalAfter(given), undefined)
    }
  })
})

t.test('memoryHistory › maxMessages', async (t) => {
  t.test('is exact', async (t) => {
    for (const maxMessages of [1, 2, 7]) {
      const history = memoryHistory({ maxMessages })
      const given = await fill(history, 'a', 20)
      t.same(texts(await readKept(history, 'a')), numbered(20 - maxMessages, 20))
      const log = history.follow('a', new Ear())
      t.equal(log.oldest, given[19 - maxMessages])
      t.equal(await gapAfter(log, given[18 - maxMessages] ?? ''), 'expired')
    }
  })

  t.test('is 1,000 if not given', async (t) => {
    const history = memoryHistory()
    await fill(history, 'a', 1_001)
    t.same(texts(await readKept(history, 'a')), numbered(1, 1_001))
  })
})

t.test('memoryHistory › maxBytes', async (t) => {
  t.test('drops the oldest until the rest fits', async (t) => {
    const history = memoryHistory({ maxBytes: 100 })
    const sizes = [40, 40, 20, 1, 60, 39, 40, 1_000, 1, 99, 100, 101, 2]
    const expected = [
      [0],
      [0, 1],
      [0, 1, 2],
      [1, 2, 3],
      [2, 3, 4],
      [3, 4, 5],
      [5, 6],
      [7],
      [8],
      [8, 9],
      [10],
      [11],
      [12]
    ]
    for (const [n, size] of sizes.entries()) {
      await appendBytes(history, 'a', n, size)
      t.same(await kept(history, 'a'), expected[n], `${size} bytes more`)
    }
  })

  t.test('is of each channel', async (t) => {
    const history = memoryHistory({ maxBytes: 100 })
    for (let n = 0; n < 5; n++) for (const channel of ['a', 'b']) await appendBytes(history, channel, n, 40)
    t.same(
      [await kept(history, 'a'), await kept(history, 'b')],
      [
        [3, 4],
        [3, 4]
      ]
    )
  })

  t.test('is 1 MiB if not given', async (t) => {
    const history = memoryHistory()
    for (const [n, size] of [1_048_575, 1].entries()) await appendBytes(history, 'a', n, size)
    t.same(await kept(history, 'a'), [0, 1])
    await appendBytes(history, 'a', 2, 1)
    t.same(await kept(history, 'a'), [1, 2])
  })

  t.test('what is held does not count, and goes when it is released', async (t) => {
    const history = memoryHistory({ maxBytes: 100 })
    const log = history.follow('a', new Ear())
    const given: Cursor[] = [log.head]
    for (let n = 0; n < 5; n++) given.push(await appendBytes(history, 'a', n, 60))
    t.same(await kept(history, 'a'), [0, 1, 2, 3, 4])
    log.release(given[2] ?? '')
    t.same(await kept(history, 'a'), [2, 3, 4])
    log.release(given[5] ?? '')
    t.same(await kept(history, 'a'), [4])
  })
})

t.test('memoryHistory › maxAgeMs', async (t) => {
  t.test('drops messages when their time has come', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory({ maxAgeMs: 10_000 })
      const ear = new Ear()
      const log = history.follow('a', ear)
      const given = [log.head]
      for (let n = 0; n < 3; n++) {
        given.push(...(await fill(history, 'a', 1, n)))
        await fill(history, 'b', 1, n)
        log.release(log.head)
        clock.advance(1_000)
      }
      clock.advance(6_999)
      t.same(
        [await kept(history, 'a'), await kept(history, 'b')],
        [
          [0, 1, 2],
          [0, 1, 2]
        ]
      )
      clock.advance(1)
      t.same(
        [await kept(history, 'a'), await kept(history, 'b')],
        [
          [1, 2],
          [1, 2]
        ]
      )
      t.equal(log.oldest, given[1])
      t.equal(await gapAfter(log, given[0] ?? ''), 'expired')
      clock.advance(10_000)
      t.same([await kept(history, 'a'), await kept(history, 'b')], [[], []])
      t.equal(log.head, given[3], 'the head stays')
      t.equal(log.oldest, given[3])
      t.equal(await gapAfter(log, given[3] ?? ''), undefined, 'and is no gap')
      t.equal(await gapAfter(log, given[2] ?? ''), 'expired')
      t.equal(ear.told, 3, 'nobody is told')
      t.same(clock.pending, { all: 0, withRef: 0 }, 'no timer is left')
    })
  })

  t.test('and begins again when everything has gone', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory({ maxAgeMs: 1_000, maxTotalBytes: CHANNEL + 2 * MESSAGE + 100 })
      for (let round = 0; round < 3; round++) {
        for (let n = 0; n < 3; n++) await appendBytes(history, 'a', n, 40)
        t.same(await kept(history, 'a'), [1, 2], 'what is kept counts')
        t.same(clock.pending, { all: 1, withRef: 0 })
        clock.advance(1_000)
        t.same(await kept(history, 'a'), [])
      }
    })
  })

  t.test('is 5 minutes if not given', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory()
      await fill(history, 'a', 1)
      clock.advance(299_999)
      t.same(await kept(history, 'a'), [0])
      clock.advance(1)
      t.same(await kept(history, 'a'), [])
    })
  })

  t.test('false sets no limit', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory({ maxAgeMs: false })
      await fill(history, 'a', 1)
      t.same(clock.pending, { all: 0, withRef: 0 })
      clock.advance(1e12)
      t.same(await kept(history, 'a'), [0])
    })
  })

  t.test('one timer for all, which does not keep the process alive, and is gone after close()', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory()
      t.same(clock.pending, { all: 0, withRef: 0 })
      for (const channel of ['a', 'b', 'c']) await fill(history, channel, 3)
      t.same(clock.pending, { all: 1, withRef: 0 })
      await history.close()
      t.same(clock.pending, { all: 0, withRef: 0 })
    })
  })

  t.test('looks at the clock at most ten times a second', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory({ maxAgeMs: 1 })
      await fill(history, 'a', 1)
      clock.advance(99)
      t.same(await kept(history, 'a'), [0])
      clock.advance(1)
      t.same(await kept(history, 'a'), [])
    })
  })

  t.test('a timer that fires early or late makes no difference', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory({ maxAgeMs: 1_000 })
      await fill(history, 'a', 1)
      clock.advance(900)
      await fill(history, 'a', 1, 1)
      clock.spend(500)
      clock.advance(0)
      t.same(await kept(history, 'a'), [1], 'late')
      clock.advance(499)
      t.same(await kept(history, 'a'), [1])
      clock.advance(1)
      t.same(await kept(history, 'a'), [])
    })
  })

  t.test('what is held stays until it is released', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory({ maxAgeMs: 1_000 })
      const log = history.follow('a', new Ear())
      const given = await fill(history, 'a', 3)
      await fill(history, 'b', 1)
      clock.advance(5_000)
      t.same(await kept(history, 'a'), [0, 1, 2])
      log.release(given[1] ?? '')
      clock.advance(100)
      t.same(await kept(history, 'a'), [2])
      log.release(log.head)
      clock.advance(100)
      t.same([await kept(history, 'a'), await kept(history, 'b')], [[], []], 'with all that is as old')
    })
  })
})

t.test('memoryHistory › maxTotalBytes', async (t) => {
  t.test('drops the oldest of all channels', async (t) => {
    const history = memoryHistory({ maxTotalBytes: 3 * CHANNEL + 4 * MESSAGE + 100 })
    const state = async () => [await kept(history, 'a'), await kept(history, 'b'), await kept(history, 'c')]
    await appendBytes(history, 'a', 0, 30)
    await appendBytes(history, 'b', 0, 30)
    await appendBytes(history, 'a', 1, 30)
    await appendBytes(history, 'c', 0, 10)
    t.same(await state(), [[0, 1], [0], [0]], 'up to the limit nothing')
    await appendBytes(history, 'c', 1, 1)
    t.same(await state(), [[1], [0], [0, 1]])
    await appendBytes(history, 'b', 1, 60)
    t.same(await state(), [[], [1], [0, 1]], 'as many as it takes')
    await appendBytes(history, 'a', 2, 10_000)
    t.same(await state(), [[2], [], []], 'but the newest is kept whatever its size')
    await appendBytes(history, 'a', 3, 100)
    t.same(await state(), [[3], [], []])
  })

  t.test('also those that are held', async (t) => {
    const history = memoryHistory({ maxTotalBytes: CHANNEL + 2 * MESSAGE + 100 })
    const log = history.follow('a', new Ear())
    const given = [log.head]
    for (let n = 0; n < 3; n++) given.push(await appendBytes(history, 'a', n, 40))
    t.same(await kept(history, 'a'), [1, 2])
    t.equal(await gapAfter(log, given[0] ?? ''), 'expired')
    t.equal(log.arrivalAfter(given[0] ?? ''), undefined)
    t.equal(log.oldest, given[1])
    log.release(given[0] ?? '')
    t.same(await kept(history, 'a'), [1, 2], 'to release them is no harm')
    for (let n = 0; n < 10; n++) await appendBytes(history, 'b', n, 100)
    t.same(await kept(history, 'a'), [])
    t.equal(log.head, given[3])
    t.equal(await gapAfter(log, given[3] ?? ''), undefined, 'the head of nothing is no gap')
    t.equal(await gapAfter(log, given[2] ?? ''), 'expired')
    const next = await appendBytes(history, 'a', 3, 1)
    t.equal(next, plus(given[3] ?? '', 1))
    t.same(texts(await readAll(log, given[3] ?? '')), [textOf(3)])
  })

  t.test('counts keys', async (t) => {
    const history = memoryHistory({ maxTotalBytes: CHANNEL + 2 * MESSAGE + 100 })
    for (let n = 0; n < 3; n++) await history.append('a', { text: textOf(n), byteLength: 1 }, 'k'.repeat(49))
    t.same(await kept(history, 'a'), [1, 2])
    await history.append('a', { text: textOf(3), byteLength: 1 }, 'k'.repeat(50))
    t.same(await kept(history, 'a'), [3])
  })

  t.test('is 64 MiB if not given', async (t) => {
    const history = memoryHistory()
    for (let n = 0; n < 64; n++) await appendBytes(history, `${n}`, n, 1_048_576 - MESSAGE - CHANNEL)
    t.same([await kept(history, '0'), await kept(history, '1')], [[0], [1]])
    await appendBytes(history, '64', 64, 1)
    t.same([await kept(history, '0'), await kept(history, '1')], [[], [1]])
  })

  t.test('counts what every other limit has dropped', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory({
        maxMessages: 2,
        maxBytes: 60,
        maxAgeMs: 1_000,
        maxTotalBytes: 2 * CHANNEL + 3 * MESSAGE + 100
      })
      await appendBytes(history, 'a', 0, 40)
      for (let n = 0; n < 10; n++) await appendBytes(history, 'b', n, 20)
      for (let n = 0; n < 10; n++) await appendBytes(history, 'b', n, 50)
      t.same([await kept(history, 'a'), await kept(history, 'b')], [[0], [9]])
      clock.advance(1_000)
      await appendBytes(history, 'c', 0, 50)
      await appendBytes(history, 'd', 0, 50)
      t.same([await kept(history, 'c'), await kept(history, 'd')], [[0], [0]])
    })
  })
})

t.test(`memoryHistory › keeps exactly what its limits allow (FC_SEED=${seed})`, async (t) => {
  t.comment(`FC_SEED=${seed}`)
  const channels = ['a', 'b', 'c']
  const limit = fc.integer({ min: 1, max: 60 })
  const limits = fc.record({
    maxMessages: fc.integer({ min: 1, max: 8 }),
    maxBytes: limit,
    maxTotalBytes: fc.integer({ min: 1, max: 5_000 })
  })
  const appends = fc.array(fc.tuple(fc.constantFrom(...channels), fc.integer({ min: 1, max: 30 })), {
    maxLength: 40,
    size: 'max'
  })
  const property = fc.asyncProperty(limits, appends, async (limits, appends) => {
    const history = memoryHistory(limits)
    let model: { channel: string; n: number; size: number }[] = []
    const drop = (channel?: string): void => {
      const index = model.findIndex((message) => channel === undefined || message.channel === channel)
      model = model.filter((_, i) => i !== index)
    }
    const of = (channel: string) => model.filter((message) => message.channel === channel)
    const bytes = (messages: typeof model) => messages.reduce((sum, { size }) => sum + size, 0)
    const memory = (messages: typeof model) =>
      bytes(messages) +
      messages.length * MESSAGE +
      new Set(messages.map(({ channel }) => channel)).size * CHANNEL
    for (const [n, [channel, size]] of appends.entries()) {
      await appendBytes(history, channel, n, size)
      model.push({ channel, n, size })
      while (of(channel).length > limits.maxMessages) drop(channel)
      while (bytes(of(channel)) > limits.maxBytes && of(channel).length > 1) drop(channel)
      while (memory(model) > limits.maxTotalBytes && model.length > 1) drop()
      for (const name of channels) {
        assert.deepEqual(
          await kept(history, name),
          of(name).map((message) => message.n)
        )
      }
    }
  })
  await fc.assert(property, { seed, numRuns: 100 })
  t.pass()
})

t.test('memoryHistory › channels that were forgotten', async (t) => {
  t.test('go on counting where they were', async (t) => {
    const history = forgetful()
    const given = await fill(history, 'a', 3)
    await fill(history, 'b', 1)
    t.same(await kept(history, 'a'), [])
    const log = history.follow('a', new Ear())
    t.equal(log.head, given[2])
    t.equal(await gapAfter(log, given[2] ?? ''), undefined, 'whoever was at the head has missed nothing')
    t.equal(await gapAfter(log, given[1] ?? ''), 'expired')
    t.equal(await gapAfter(log, plus(given[2] ?? '', 1)), 'future')
    const [next = ''] = await fill(history, 'a', 1, 3)
    t.equal(next, plus(given[2] ?? '', 1))
    t.same(texts(await readAll(log, given[2] ?? '')), [textOf(3)])
  })

  t.test('never give a cursor again, however many there are', async (t) => {
    const history = forgetful()
    const given = await fill(history, 'a', 5)
    for (let n = 0; n < 10_000; n++) await history.append(`other ${n}`, frame('x'), '')
    const remembered = history.follow('a', new Ear())
    t.equal(remembered.head, given[4], 'one of 10,000 is still known')
    remembered.close()
    for (let n = 0; n < 10_001; n++) await history.append(`another ${n}`, frame('x'), '')
    const [fresh = ''] = await fill(history, 'new', 1)
    t.ok(numberOf(fresh) > 5, `a new channel begins above all that were forgotten: ${fresh}`)
    const forgotten = history.follow('a', new Ear())
    t.ok(numberOf(forgotten.head) >= 5, 'and so does one of those')
    const [next = ''] = await fill(history, 'a', 1)
    t.ok(numberOf(next) > 5 && !given.includes(next))
    for (const cursor of given.slice(0, 4)) t.equal(await gapAfter(forgotten, cursor), 'expired')
    forgotten.close()
  })

  t.test('a cursor of one that is no longer known is no false match', async (t) => {
    const history = forgetful()
    const given = await fill(history, 'a', 5)
    await fill(history, 'b', 9)
    for (let n = 0; n < 10_002; n++) await history.append(`other ${n}`, frame('x'), '')
    const log = history.follow('a', new Ear())
    await fill(history, 'a', 20)
    for (const cursor of given) t.equal(await gapAfter(log, cursor), 'expired', cursor)
    log.close()
  })

  t.test('those that are followed are not forgotten', async (t) => {
    const history = forgetful()
    const log = history.follow('a', new Ear())
    const given = await fill(history, 'a', 3)
    for (let n = 0; n < 10_002; n++) await history.append(`other ${n}`, frame('x'), '')
    t.equal(log.head, given[2])
    t.equal(await gapAfter(log, given[2] ?? ''), undefined)
    const other = history.follow('a', new Ear())
    t.equal(other.head, given[2])
    log.close()
    t.equal(other.head, given[2], 'until the last has left')
    t.equal((await fill(history, 'a', 1))[0], plus(given[2] ?? '', 1))
  })
})

t.test('memoryHistory › idempotency keys', async (t) => {
  const appendOnce = (
    history: History,
    text: string,
    idempotencyKey: string,
    channel = 'a'
  ): Promise<Cursor> => history.append(channel, frame(text), '', idempotencyKey)

  t.test('are remembered as long as the message is kept', async (t) => {
    const history = memoryHistory({ maxMessages: 3 })
    const first = await appendOnce(history, textOf(0), 'order')
    await fill(history, 'a', 2, 1)
    t.equal(await appendOnce(history, textOf(99), 'order'), first)
    await fill(history, 'a', 1, 3)
    const again = await appendOnce(history, textOf(4), 'order')
    t.not(again, first)
    t.equal(await appendOnce(history, textOf(99), 'order'), again)
    t.same(await kept(history, 'a'), [2, 3, 4])
  })

  t.test('that are not found cost the others nothing', async (t) => {
    const history = memoryHistory({ maxMessages: 3 })
    const cursors: Cursor[] = []
    for (let n = 0; n < 6; n++) cursors.push(await appendOnce(history, textOf(n), `key ${n % 4}`))
    t.same(await kept(history, 'a'), [3, 4, 5])
    for (const n of [3, 4, 5]) t.equal(await appendOnce(history, textOf(99), `key ${n % 4}`), cursors[n])
    t.same(await kept(history, 'a'), [3, 4, 5])
  })

  t.test('are held with what readers were not offered', async (t) => {
    const history = memoryHistory({ maxMessages: 1 })
    const log = history.follow('a', new Ear())
    const first = await appendOnce(history, textOf(0), 'order')
    await fill(history, 'a', 5, 1)
    t.equal(await appendOnce(history, textOf(99), 'order'), first)
    log.release(log.head)
    t.not(await appendOnce(history, textOf(6), 'order'), first)
  })

  t.test('go with the age of the message, and with the memory of all channels', async (t) => {
    await FakeClock.run(async (clock) => {
      const history = memoryHistory({ maxAgeMs: 1_000 })
      const first = await appendOnce(history, 'x', 'order')
      clock.advance(900)
      t.equal(await appendOnce(history, 'x', 'order'), first)
      clock.advance(200)
      t.not(await appendOnce(history, 'x', 'order'), first)
      await history.close()
    })
    const history = forgetful()
    const first = await appendOnce(history, 'x', 'order')
    await fill(history, 'b', 1)
    t.not(await appendOnce(history, 'x', 'order'), first)
  })

  t.test('leave nothing behind', async (t) => {
    const history = memoryHistory({ maxMessages: 10 })
    const run = async (start: number) => {
      for (let n = start; n < start + 20_000; n++) await appendOnce(history, 'x', `${n}${'k'.repeat(200)}`)
    }
    await run(0)
    const before = await heapBytes()
    await run(20_000)
    const grown = (await heapBytes()) - before
    t.ok(grown < 1_000_000, `${grown} bytes for 20,000 more`)
  })
})

t.test('MemoryLog › there is nothing to drop in an empty log', async (t) => {
  const told: string[] = []
  const log = new MemoryLog(
    {
      options: { maxMessages: 1, maxBytes: 1 },
      budget: new FrameBudget(1),
      logOnIdle: () => told.push('idle')
    },
    'a',
    'epoch',
    7
  )
  log.dropOldest()
  t.same(told, [])
  t.equal(log.head, 'epoch-7')
  t.equal(log.oldest, 'epoch-7')
})

t.test('memoryHistory › what costs nothing', async (t) => {
  const MB = 1_000_000

  t.test('channels without messages and followers', async (t) => {
    const history = memoryHistory({ maxTotalBytes: 1 })
    const ear = new Ear()
    const visit = async (start: number) => {
      for (let n = start; n < start + 20_000; n++) {
        const log = history.follow(`followed ${n}`, ear)
        await history.append(`published ${n}`, frame('x'), 'key')
        log.close()
      }
    }
    await visit(0)
    const before = await heapBytes()
    await visit(20_000)
    const grown = (await heapBytes()) - before
    t.ok(grown < MB, `${grown} bytes for 40,000 more`)
    t.equal((await kept(history, 'published 39999')).length, 1)
  })

  t.test('messages that were dropped', async (t) => {
    const history = memoryHistory({ maxMessages: 10 })
    const run = async () => {
      for (let n = 0; n < 20_000; n++) {
        await history.append('a', frame(`${n}${'x'.repeat(1_000)}`), `key ${n}`)
      }
    }
    await run()
    const before = await heapBytes()
    await run()
    const grown = (await heapBytes()) - before
    t.ok(grown < MB, `${grown} bytes for 20,000 more`)
    t.equal((await kept(history, 'a')).length, 10)
  })

  t.test('and after close() nothing does', async (t) => {
    const history = memoryHistory()
    const before = await heapBytes()
    const log = history.follow('a', new Ear())
    const start = log.head
    for (let n = 0; n < 1_000; n++) {
      await history.append('a', frame(`${n}${'x'.repeat(1_000)}`), `key ${n}`)
      await history.append('b', frame(`${n}${'x'.repeat(1_000)}`), `key ${n}`)
    }
    const { head } = log
    await history.close()
    const grown = (await heapBytes()) - before
    t.ok(grown < MB, `${grown} bytes are left of 2,000 messages`)
    t.equal(await gapAfter(log, start), 'expired')
    t.same(log.read(head, ALL), { complete: true, frames: [], cursor: head })
    t.same(await kept(history, 'b'), [])
  })
})
