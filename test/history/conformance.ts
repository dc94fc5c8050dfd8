import assert from 'node:assert/strict'
import type { Test } from 'tap'
import { arrive } from '../../lib/history/arrivals.ts'
import type { Cursor, ReadLimits } from '../../lib/history/history.ts'
import {
  ALL,
  cursors,
  Ear,
  fill,
  frame,
  gapAfter,
  numbered,
  PatientLog,
  readAll,
  readKept,
  textOf,
  texts
} from '../helpers/history.ts'
import type { CreateStore, Store, StoreLimits } from './store.ts'

const CURSOR = /^[A-Za-z0-9._~-]{1,28}$/
const FAR: StoreLimits = { maxMessages: 100_000 }
const NEAR: StoreLimits = { maxMessages: 10 }

const HOSTILE_TEXTS = [
  'data: x\n\n',
  '',
  ' ',
  '\n',
  '\r\n\r',
  '\0\x01\x1b\x7f',
  '\ufeff\u2028\u2029\u0085\u{10ffff}',
  'data: 😀é\nid: 1\nretry: 0\n\n',
  '"\\"\\\\{}$1$&%00%s',
  '*1\r\n$3\r\nDEL\r\n',
  'é'.repeat(300_000)
]
const HOSTILE_NAMES = [
  ...['a', 'b', 'A', 'ä', 'a\u0308', 'a:b', 'a:', ':b', '{a}', '{a}b', 'a{b', '{}', '{', '*', '[a-z]', '?'],
  ...['a b', 'a\nb', 'a\r\nb', '\0', 'a\0', '😀', '%61', 'a=b&c=d', '../a', 'a/b', '-', '$', '+', '0', '1'],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'null', 'undefined'],
  ...['x'.repeat(255), 'x'.repeat(256), `${'x'.repeat(255)}y`]
]
/** What clients can bring and no history can have given, by the alphabet and the length of cursors. */
const NO_CURSORS = [
  '',
  ...' |-|+|$|>|*|(|(1|é|😀|\0|\n|\ud800|%|{}|[]|../..|1 1'.split('|'),
  ...['9'.repeat(100_000), '-'.repeat(100_000), '9'.repeat(29)]
]
/** What clients can bring and no history gives, although it could be a cursor. */
const NOT_GIVEN = [
  ...['--', '.', '~', '_', '0', '1', 'now', 'oldest', 'null', 'undefined', 'NaN', '__proto__', 'constructor'],
  ...['1'.repeat(28), '9'.repeat(28), 'a'.repeat(28), '0-1', '1-1', '99999999999999-0', 'aaaaaaaa-1']
]

/** What every history keeps, whatever it keeps it in. */
export function historyConformance(t: Test, name: string, create: CreateStore): void {
  const bench: Bench = { t, name, open: (t, limits) => openStore(t, create, limits) }
  testAppend(bench)
  testFollow(bench)
  testRead(bench)
  testLatestOnly(bench)
  testGaps(bench)
  testLimits(bench)
  testChannels(bench)
  testClose(bench)
}

interface Bench {
  /** Of which these are tests. */
  readonly t: Test
  readonly name: string
  /** A new store, which is gone when the test ends. */
  open(t: Test, limits?: StoreLimits): Promise<Required<Store>>
}

async function openStore(t: Test, create: CreateStore, limits = FAR): Promise<Required<Store>> {
  const store = await create(limits)
  t.teardown(() => store.dispose())
  const { history, slack = 1, tellsForeign = true } = store
  return {
    history,
    slack,
    tellsForeign,
    later: (cursor) => store.later(cursor),
    dispose: () => store.dispose()
  }
}

function testAppend({ t, name, open }: Bench): void {
  t.test(`${name} › append › gives each message a cursor that is never given twice`, async (t) => {
    const { history } = await open(t, NEAR)
    const given: Cursor[] = []
    for (let round = 0; round < 60; round++) {
      for (const channel of ['a', 'b', 'c']) given.push(...(await fill(history, channel, 1)))
    }
    for (const cursor of given) assert.match(cursor, CURSOR)
    t.equal(new Set(given).size, 180, 'over all channels, also when the messages are no longer kept')
  })

  t.test(`${name} › append › keeps the order of the calls, also when nobody waits for them`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    const appends = Array.from({ length: 300 }, (_, n) => ({
      a: history.append('a', frame(textOf(n)), ''),
      b: history.append('b', frame(textOf(-n)), '')
    }))
    const given = await Promise.all(appends.map(({ a }) => a))
    await Promise.all(appends.map(({ b }) => b))
    const frames = await readAll(log, start)
    t.same(texts(frames), numbered(0, 300))
    t.same(cursors(frames), given, 'and each call has the cursor of its own message')
    t.equal(log.head, given.at(-1))
    t.same(
      texts(await readKept(history, 'b')),
      numbered(0, 300).map((_, n) => textOf(-n))
    )
  })

  t.test(`${name} › append › keeps text, size and key as they are`, async (t) => {
    const { history } = await open(t)
    for (const [n, text] of HOSTILE_TEXTS.entries()) {
      const key = HOSTILE_NAMES[n] ?? ''
      await history.append('a', frame(text), key)
    }
    await history.append('a', frame('x'), '')
    const frames = await readKept(history, 'a')
    for (const [n, text] of [...HOSTILE_TEXTS, 'x'].entries()) {
      t.ok(frames[n]?.text === text, `text ${n}`)
      t.equal(frames[n]?.byteLength, Buffer.byteLength(text))
      t.equal(frames[n]?.key, n < HOSTILE_TEXTS.length ? HOSTILE_NAMES[n] : '')
    }
    t.equal(frames.length, HOSTILE_TEXTS.length + 1)
  })

  t.test(`${name} › append › appends nothing twice that has the same idempotency key`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    for (const [n, key] of HOSTILE_NAMES.entries()) {
      const first = await history.append('a', frame(textOf(n)), '', key)
      const other = await history.append('a', frame('something else'), 'x', key)
      assert.equal(other, first, `the key ${key}`)
    }
    const frames = await readAll(log, start)
    t.same(texts(frames), numbered(0, HOSTILE_NAMES.length))
    const [one, two, three] = await Promise.all([
      history.append('a', frame('x'), '', 'at once'),
      history.append('a', frame('y'), '', 'at once'),
      history.append('b', frame('z'), '', 'at once')
    ])
    t.equal(one, two, 'also while the first is under way')
    t.not(one, three, 'but each channel has keys of its own')
    t.same(texts(await readAll(log, frames.at(-1)?.cursor ?? '')), ['x'])
    const without = await Promise.all([1, 2].map(() => history.append('a', frame('x'), '')))
    t.equal(new Set(without).size, 2, 'without a key, everything is appended')
  })

  t.test(`${name} › append › keeps messages that nobody follows`, async (t) => {
    const { history } = await open(t)
    const given = await fill(history, 'a', 5)
    const frames = await readKept(history, 'a')
    t.same(texts(frames), numbered(0, 5))
    t.same(cursors(frames), given)
    t.same(cursors(await readKept(history, 'a')), given, 'and keeps them when somebody has left')
  })
}

function testFollow({ t, name, open }: Bench): void {
  t.test(`${name} › follow › an empty history begins at its head`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    t.match(start, CURSOR, 'which is a cursor')
    t.equal(log.oldest, start)
    t.equal(log.headArrival, 0)
    t.equal(log.arrivalAfter(start), undefined)
    t.same(await log.read(start, ALL), { complete: true, frames: [], cursor: start })
    await fill(history, 'a', 3)
    t.same(texts(await readAll(log, start)), numbered(0, 3), 'and what comes first comes after it')
    t.equal(log.oldest, start)
  })

  t.test(`${name} › follow › the head is the newest message`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    for (const cursor of await fill(history, 'a', 3)) t.match(cursor, CURSOR)
    const [last] = await fill(history, 'a', 1, 3)
    t.equal(log.head, last)
    const other = await PatientLog.follow(history, 'a')
    t.equal(other.head, last, 'for those who come later too')
    t.equal(other.oldest, log.oldest)
    t.same(await other.read(other.head, ALL), { complete: true, frames: [], cursor: last })
  })

  t.test(`${name} › follow › all who follow are told before the publisher`, async (t) => {
    const { history } = await open(t)
    const heads: unknown[] = []
    const ears = [new Ear(), new Ear(), new Ear()]
    const log = await PatientLog.follow(history, 'a', { logOnAppend: () => heads.push(log.head) })
    for (const ear of ears) await PatientLog.follow(history, 'a', ear)
    const elsewhere = new Ear()
    await PatientLog.follow(history, 'b', elsewhere)
    for (let n = 0; n < 5; n++) {
      const told = ears.map((ear) => ear.told)
      const [cursor] = await fill(history, 'a', 1, n)
      for (const [i, ear] of ears.entries()) t.ok(ear.told > (told[i] ?? Infinity), `told of message ${n}`)
      t.equal(await heads.at(-1), cursor, 'when the head has moved')
    }
    t.equal(elsewhere.told, 0, "of another channel's messages nobody is told")
  })

  t.test(`${name} › follow › nobody is told after close()`, async (t) => {
    const { history } = await open(t)
    const [early, late, twice] = [new Ear(), new Ear(), new Ear()]
    const first = await PatientLog.follow(history, 'a', early)
    await PatientLog.follow(history, 'a', late)
    const second = await PatientLog.follow(history, 'a', twice)
    await PatientLog.follow(history, 'a', twice)
    await fill(history, 'a', 1)
    first.close()
    second.close()
    const [told, toldTwice] = [early.told, twice.told]
    const toldLate = late.told
    await fill(history, 'a', 1, 1)
    t.equal(early.told, told)
    t.ok(late.told > toldLate, 'but the others are')
    t.ok(twice.told > toldTwice, 'also those who follow twice and have closed once')
  })
}

function testRead({ t, name, open }: Bench): void {
  t.test(`${name} › read › a page ends with the frame that reaches maxBytes`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    const sizes = [10, 20, 5, 5, 40, 1, 1]
    const given: Cursor[] = [start]
    for (const size of sizes) given.push(await history.append('a', frame('x'.repeat(size)), ''))
    const table = [
      [0, 1, 1],
      [0, 9, 1],
      [0, 10, 1],
      [0, 11, 2],
      [0, 30, 2],
      [0, 31, 3],
      [0, 36, 4],
      [0, 40, 4],
      [0, 41, 5],
      [0, 81, 6],
      [0, 82, 7],
      [0, Infinity, 7],
      [1, 1, 1],
      [1, 25, 2],
      [4, 40, 1],
      [4, 41, 2],
      [6, 100, 1]
    ] as const
    for (const [after, maxBytes, count] of table) {
      const page = await log.read(given[after] ?? '', { ...ALL, maxBytes })
      assert.ok(page.complete)
      const lengths = page.frames.map(({ byteLength }) => byteLength)
      const title = `${maxBytes} bytes after ${after} messages`
      t.same(lengths, sizes.slice(after, after + count), title)
      t.equal(page.cursor, given[after + count], 'and the next page goes on after it')
    }
  })

  t.test(`${name} › read › idBytes count for each frame`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    for (let n = 0; n < 5; n++) await history.append('a', frame('x'.repeat(10)), '')
    const table = [
      [1, 1],
      [25, 1],
      [26, 2],
      [75, 3],
      [76, 4]
    ] as const
    for (const [maxBytes, count] of table) {
      const page = await log.read(start, { ...ALL, maxBytes, idBytes: 15 })
      t.equal(page.frames.length, count, `${maxBytes} bytes`)
    }
  })

  t.test(`${name} › read › sizes are bytes, not characters`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    for (let n = 0; n < 3; n++) await history.append('a', frame('é'.repeat(5)), '')
    const page = await log.read(start, { ...ALL, maxBytes: 20 })
    t.equal(page.frames.length, 2)
  })

  t.test(`${name} › read › pages give everything once and in order, from wherever they start`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const given = [log.head, ...(await fill(history, 'a', 40))]
    for (const maxBytes of [1, 9, 10, 64, 1e9, Infinity]) {
      for (const after of [0, 1, 17, 39, 40]) {
        const frames = await readAll(log, given[after] ?? '', { maxBytes })
        t.same(texts(frames), numbered(after, 40), `${maxBytes} bytes a page, after ${after} messages`)
      }
    }
  })

  t.test(`${name} › read › changes nothing`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    await fill(history, 'a', 5)
    const state = async () => [log.head, log.oldest, log.headArrival]
    const before = await state()
    const limits = [{ ...ALL, maxBytes: 1 }, { ...ALL, isLatestOnly: true }, { ...ALL, before: 0 }, ALL]
    const pages = []
    for (const limit of limits) pages.push(await log.read(start, limit))
    await log.read('nonsense', ALL)
    for (const [i, limit] of limits.entries()) t.same(await log.read(start, limit), pages[i])
    t.same(await state(), before)
  })

  t.test(`${name} › read › before: only what arrived before`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    await PatientLog.follow(history, 'b')
    const given = [log.head]
    const marks: number[] = [arrive()]
    for (let n = 0; n < 4; n++) {
      given.push(...(await fill(history, 'a', 1, n)))
      await fill(history, 'b', 1, n)
      marks.push(arrive())
    }
    for (const [count, before] of marks.entries()) {
      const page = await log.read(given[0] ?? '', { ...ALL, before })
      t.same(texts(page.frames), numbered(0, count), `${count} messages`)
      assert.ok(page.complete)
      t.equal(page.cursor, given[count])
    }
    t.same(await log.read(given[2] ?? '', { ...ALL, before: marks[1] ?? 0 }), {
      complete: true,
      frames: [],
      cursor: given[2]
    })
    const frames = await readAll(log, given[0] ?? '')
    for (const [n, { arrival }] of frames.entries()) {
      t.ok((marks[n] ?? Infinity) < arrival && arrival < (marks[n + 1] ?? 0), 'they are counted in order')
      const page = await log.read(given[0] ?? '', { ...ALL, before: arrival })
      t.equal(page.frames.length, n, 'and do not come before themselves')
      t.equal(log.arrivalAfter(given[n] ?? ''), arrival)
    }
    t.equal(log.headArrival, frames.at(-1)?.arrival)
    t.equal(log.arrivalAfter(given[4] ?? ''), undefined, 'after the newest there is nothing')
  })
}

function testLatestOnly({ t, name, open }: Bench): void {
  t.test(`${name} › read › isLatestOnly: only the newest of each key in the whole history`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const given = [log.head]
    const marks: number[] = [arrive()]
    const keys = ['x', 'y', 'x', '', '__proto__', 'y', 'x', '', 'constructor']
    for (const [n, key] of keys.entries()) {
      given.push(await history.append('a', frame(textOf(n)), key))
      marks.push(arrive())
    }
    await history.append('b', frame('elsewhere'), '__proto__')
    const read = async (after: number, limits: Partial<ReadLimits> = {}) => {
      const page = await log.read(given[after] ?? '', { ...ALL, ...limits, isLatestOnly: true })
      assert.ok(page.complete)
      return [texts(page.frames).map((text) => keys.indexOf(text) + Number(text.slice(6)) + 1), page.cursor]
    }
    t.same(await read(0), [[4, 5, 6, 7, 8], given[9]], 'of all keys')
    t.same(await read(5), [[5, 6, 7, 8], given[9]], 'in the order in which they came')
    t.same(await read(6), [[6, 7, 8], given[9]])
    t.same(
      await read(0, { maxBytes: 1 }),
      [[4], given[5]],
      'a page ends with a frame, and passes over the rest'
    )
    t.same(await read(5, { maxBytes: 10 }), [[5, 6], given[7]])
    t.same(await read(0, { before: marks[3] ?? 0 }), [[], given[3]], 'what is replaced later is passed over')
    t.same(await read(0, { before: marks[5] ?? 0 }), [[4], given[5]])
    given.push(await history.append('a', frame(textOf(9)), 'constructor'))
    t.same(await read(8), [[9], given[10]])
    t.same(await read(0, { before: marks[9] ?? 0, maxBytes: 25 }), [[4, 5, 6], given[7]])
    const frames = await readAll(log, given[0] ?? '', { isLatestOnly: true, maxBytes: 1 })
    t.same(texts(frames), [4, 5, 6, 7, 9].map(textOf), 'page by page, each comes once')
  })

  t.test(`${name} › read › isLatestOnly: the cursor passes over everything that was replaced`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    const given = await fill(history, 'a', 50)
    for (const [after, cursor] of [start, ...given.slice(0, -1)].entries()) {
      const page = await log.read(cursor, { ...ALL, isLatestOnly: true, maxBytes: 1 })
      assert.ok(page.complete)
      assert.deepEqual([texts(page.frames), page.cursor], [[textOf(49)], given[49]], `after ${after}`)
    }
    t.pass()
  })
}

function testGaps({ t, name, open }: Bench): void {
  t.test(`${name} › gaps › what is no cursor is unknown`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    for (const state of ['an empty history', 'a history with messages']) {
      for (const cursor of NO_CURSORS) {
        const title = `${JSON.stringify(cursor.slice(0, 30))} in ${state}`
        t.same(await log.read(cursor, ALL), { complete: false, frames: [], reason: 'unknown' }, title)
        t.equal(log.arrivalAfter(cursor), undefined)
      }
      for (const cursor of NOT_GIVEN) t.not(await gapAfter(log, cursor), undefined, `${cursor} in ${state}`)
      await fill(history, 'a', 3)
    }
  })

  t.test(`${name} › gaps › what is almost a cursor is none`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const given = [log.head, ...(await fill(history, 'a', 2))]
    for (const cursor of given) {
      const almost = [
        ...[
          ` ${cursor}`,
          `${cursor} `,
          `${cursor}\n`,
          `\n${cursor}`,
          `${cursor}\0`,
          `"${cursor}"`,
          `(${cursor}`
        ],
        ...[
          `0${cursor}`,
          `-${cursor}`,
          `+${cursor}`,
          `${cursor}-`,
          `${cursor}.`,
          `${cursor}.0`,
          `${cursor}e0`
        ],
        ...[`a=${cursor}`, `${cursor},${cursor}`, `${cursor}${cursor}`, cursor.toUpperCase()]
      ]
      for (const other of almost) {
        if (given.includes(other)) continue
        assert.notEqual(await gapAfter(log, other), undefined, JSON.stringify(other))
        assert.equal(log.arrivalAfter(other), undefined, JSON.stringify(other))
      }
    }
    t.pass()
  })

  t.test(`${name} › gaps › a cursor of another channel is foreign`, async (t) => {
    const { history, tellsForeign } = await open(t)
    const [mine, theirs] = [await PatientLog.follow(history, 'a'), await PatientLog.follow(history, 'b')]
    const starts = [mine.head, theirs.head] as const
    const check = async (log: PatientLog, foreign: readonly Cursor[]) => {
      for (const cursor of foreign) {
        const reason = await gapAfter(log, cursor)
        if (tellsForeign) t.equal(reason, 'foreign', cursor)
        else t.not(reason, undefined, cursor)
        t.equal(log.arrivalAfter(cursor), undefined)
      }
    }
    await check(mine, [starts[1]])
    await check(theirs, [starts[0]])
    const given = await fill(history, 'a', 3)
    await check(theirs, given)
    await check(mine, await fill(history, 'b', 5))
    await check(theirs, given)
  })

  t.test(`${name} › gaps › a cursor of another store is foreign`, async (t) => {
    const { history, tellsForeign } = await open(t)
    const other = await open(t)
    const log = await PatientLog.follow(history, 'a')
    const otherLog = await PatientLog.follow(other.history, 'a')
    const foreign = [otherLog.head, ...(await fill(other.history, 'a', 3))]
    for (const count of [0, 1, 3]) {
      await fill(history, 'a', count)
      for (const cursor of foreign) {
        const reason = await gapAfter(log, cursor)
        if (tellsForeign) t.equal(reason, 'foreign', cursor)
        else t.not(reason, undefined, cursor)
      }
    }
  })

  t.test(`${name} › gaps › a cursor that is not given yet is of the future`, async (t) => {
    const { history, later } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    for (const count of [0, 1, 3]) {
      await fill(history, 'a', count)
      const head = log.head
      const future = [later(head), later(later(head)), later(later(later(head)))]
      for (const cursor of future) {
        t.equal(await gapAfter(log, cursor), 'future', `${cursor}, the head is ${head}`)
        t.equal(log.arrivalAfter(cursor), undefined)
      }
      t.equal(await gapAfter(log, head), undefined, 'the head is not')
    }
  })

  t.test(`${name} › gaps › a cursor whose followers are no longer kept has expired`, async (t) => {
    const { history, slack } = await open(t, NEAR)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    log.close()
    const count = NEAR.maxMessages * (slack + 2)
    const given = await fill(history, 'a', count)
    const late = await PatientLog.follow(history, 'a')
    for (const cursor of [start, ...given.slice(0, count - NEAR.maxMessages * slack - 1)]) {
      assert.equal(await gapAfter(late, cursor), 'expired')
      assert.equal(late.arrivalAfter(cursor), undefined)
    }
    const kept = given.slice(-NEAR.maxMessages - 1)
    for (const [i, cursor] of kept.entries()) {
      const expected = numbered(count - NEAR.maxMessages + i, count)
      assert.deepEqual(texts(await readAll(late, cursor)), expected, 'what is followed by all is no gap')
    }
    t.equal(await gapAfter(late, late.oldest), undefined, 'the oldest place is none')
  })
}

function testLimits({ t, name, open }: Bench): void {
  const { maxMessages } = NEAR

  t.test(`${name} › limits › the newest messages are kept, and not many more`, async (t) => {
    const { history, slack } = await open(t, NEAR)
    const count = maxMessages * (slack + 2)
    for (let n = 1; n <= count; n++) {
      await fill(history, 'a', 1, n - 1)
      const kept = texts(await readKept(history, 'a'))
      assert.deepEqual(kept, numbered(n - kept.length, n))
      assert.ok(kept.length >= Math.min(n, maxMessages), `${kept.length} of ${n} are too few`)
      assert.ok(kept.length <= maxMessages * slack, `${kept.length} of ${n} are too many`)
    }
    t.pass()
  })

  t.test(`${name} › release › what was not released is kept beyond the limits`, async (t) => {
    const { history, slack } = await open(t, NEAR)
    const log = await PatientLog.follow(history, 'a')
    const count = maxMessages * (slack + 2)
    const given = [log.head, ...(await fill(history, 'a', count))]
    t.same(texts(await readAll(log, given[0] ?? '')), numbered(0, count))
    log.release(given[5] ?? '')
    t.same(texts(await readAll(log, given[5] ?? '')), numbered(5, count), 'those after the cursor')
    log.release(log.head)
    const frames = await readAll(log, log.oldest)
    t.ok(frames.length <= maxMessages * slack, 'and no longer')
    t.same(texts(frames), numbered(count - frames.length, count))
    t.equal(await gapAfter(log, given[5] ?? ''), 'expired')
  })

  t.test(`${name} › release › each follower holds for itself`, async (t) => {
    const { history, slack } = await open(t, NEAR)
    const early = await PatientLog.follow(history, 'a')
    const start = early.head
    const [middle] = await fill(history, 'a', 1)
    const late = await PatientLog.follow(history, 'a')
    const count = maxMessages * (slack + 2)
    await fill(history, 'a', count, 1)
    early.release(early.head)
    t.same(texts(await readAll(early, middle ?? '')), numbered(1, count + 1), 'from where it began')
    t.equal(late.head, early.head)
    late.release(late.head)
    t.equal(await gapAfter(late, start), 'expired')
    const held = late.head
    await fill(history, 'a', count, count + 1)
    early.release(early.head)
    t.same(texts(await readAll(late, held)), numbered(count + 1, 2 * count + 1))
    late.close()
    const frames = await readAll(early, early.oldest)
    t.ok(frames.length <= maxMessages * slack, 'and until it closes')
  })

  t.test(`${name} › release › who comes later does not hold what was there`, async (t) => {
    const { history, slack } = await open(t, NEAR)
    await fill(history, 'a', maxMessages)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    const count = maxMessages * (slack + 2)
    await fill(history, 'a', count, maxMessages)
    t.ok((await readAll(log, log.oldest)).length <= count)
    t.same(texts(await readAll(log, start)), numbered(maxMessages, maxMessages + count))
  })

  t.test(`${name} › release › is of one channel`, async (t) => {
    const { history, slack } = await open(t, NEAR)
    const log = await PatientLog.follow(history, 'a')
    const start = log.head
    const count = maxMessages * (slack + 2)
    for (let n = 0; n < count; n++) {
      await fill(history, 'a', 1, n)
      await fill(history, 'b', 1, n)
    }
    t.ok((await readKept(history, 'b')).length <= maxMessages * slack, 'what others do not hold is dropped')
    t.same(texts(await readAll(log, start)), numbered(0, count))
  })
}

function testChannels({ t, name, open }: Bench): void {
  t.test(`${name} › channels › are independent of each other, whatever their names`, async (t) => {
    const { history, tellsForeign } = await open(t)
    const channels = await Promise.all(
      HOSTILE_NAMES.map(async (channel) => {
        const ear = new Ear()
        const log = await PatientLog.follow(history, channel, ear)
        return { channel, ear, log, given: [log.head] }
      })
    )
    for (let round = 0; round < 3; round++) {
      for (const { channel, given } of channels) {
        given.push(await history.append(channel, frame(`${round} of ${channel}`), channel))
      }
    }
    for (const { channel, log, given } of channels) {
      const expected = [0, 1, 2].map((round) => `${round} of ${channel}`)
      assert.deepEqual(texts(await readAll(log, given[0] ?? '')), expected)
      assert.deepEqual(texts(await readAll(log, given[2] ?? '', { isLatestOnly: true })), expected.slice(2))
      assert.equal(log.head, given[3])
    }
    const all = channels.flatMap(({ given }) => given)
    t.equal(new Set(all).size, all.length, 'no cursor is of two channels')
    for (const { log, given } of channels) {
      for (const cursor of all.filter((other) => !given.includes(other))) {
        const reason = await gapAfter(log, cursor)
        assert.ok(tellsForeign ? reason === 'foreign' : reason !== undefined, `${reason}`)
      }
    }
    for (const { log } of channels.slice(0, 10)) log.close()
    for (const [n, { channel, ear }] of channels.entries()) {
      const told = channels.map((other) => other.ear.told)
      await fill(history, channel, 1)
      const more = told.map((count, i) => (channels[i]?.ear.told ?? 0) > count)
      assert.deepEqual(
        more,
        channels.map((_, i) => i === n && n >= 10),
        `who is told of ${channel}`
      )
      assert.ok(n < 10 || ear.told > 0)
    }
  })
}

function testClose({ t, name, open }: Bench): void {
  t.test(`${name} › close › rejects what is appended from now on`, async (t) => {
    const { history } = await open(t)
    const ear = new Ear()
    await PatientLog.follow(history, 'a', ear)
    await fill(history, 'a', 2)
    await history.close()
    const { told } = ear
    for (const channel of ['a', 'b']) {
      await t.rejects(history.append(channel, frame('x'), ''), { code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED' })
    }
    t.equal(ear.told, told, 'and nobody is told')
    await t.resolves(history.close(), 'may be called again')
    await t.rejects(history.append('a', frame('x'), ''), { code: /^FST_ERR_EVENTSTREAM_/ })
  })

  t.test(`${name} › close › settles what is under way`, async (t) => {
    const { history } = await open(t)
    const appends = Array.from({ length: 20 }, () => history.append('a', frame('x'), ''))
    const closed = history.close()
    appends.push(history.append('a', frame('x'), ''))
    const results = await Promise.allSettled(appends)
    await closed
    for (const result of results) {
      if (result.status === 'fulfilled') t.match(result.value, CURSOR)
      else t.match(result.reason, { code: /^FST_ERR_EVENTSTREAM_/ })
    }
    t.equal(results.at(-1)?.status, 'rejected')
  })

  t.test(`${name} › close › those who follow may leave after it`, async (t) => {
    const { history } = await open(t)
    const log = await PatientLog.follow(history, 'a')
    await fill(history, 'a', 2)
    await history.close()
    log.release(log.head)
    log.close()
    history.follow('a', new Ear()).close()
    t.pass()
  })
}
