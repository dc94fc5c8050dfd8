import t from 'tap'
import { FrameBudget } from '../../lib/history/frame-budget.ts'
import { Frames } from '../../lib/history/frames.ts'
import type { Cursor } from '../../lib/history/history.ts'
import { PageCache, type RedisEntry, RedisPages } from '../../lib/history/redis/redis-pages.ts'
import { ALL, texts } from '../helpers/history.ts'

const MIB = 1_048_576
const NO_ARRIVAL = (): number => 0

function entry(n: number, text: string | null = `${n}`, key = ''): RedisEntry {
  return { id: `${n}-0`, key, text }
}

/** Entries `start` to `end`, that one included. */
function entries(start: number, end: number): RedisEntry[] {
  return Array.from({ length: end - start + 1 }, (_, i) => entry(start + i))
}

/** The pages of one log whose memory is empty. */
function pagesOf(cache = new PageCache()): { pages: RedisPages; frames: Frames } {
  const owner = { length: 0, isHeld: false, dropOldest() {} }
  const frames = new Frames(new FrameBudget(Infinity), owner, 0)
  return { pages: new RedisPages(cache, frames), frames }
}

function read(pages: RedisPages, after: Cursor): string[] | undefined {
  const page = pages.read(after, ALL)
  return page && texts(page.frames)
}

t.test('RedisPages › read()', async (t) => {
  t.test('gives what follows a place of a page, and where that ends', async (t) => {
    const { pages } = pagesOf()
    pages.add('3-0', entries(3, 6), NO_ARRIVAL)
    const rows: [Cursor, string[] | undefined][] = [
      ['2-0', undefined],
      ['~3-0', undefined],
      ['3-0', ['4', '5', '6']],
      ['~4-0', ['4', '5', '6']],
      ['4-0', ['5', '6']],
      ['~5-0', ['5', '6']],
      ['5-0', ['6']],
      ['~6-0', ['6']],
      ['6-0', undefined],
      ['7-0', undefined]
    ]
    for (const [after, expected] of rows) t.same(read(pages, after), expected, after)
    t.match(pages.read('3-0', ALL), { complete: true, cursor: '6-0' })
  })

  t.test('from before an entry on', async (t) => {
    const { pages } = pagesOf()
    pages.add('~3-0', entries(3, 5), NO_ARRIVAL)
    t.same(read(pages, '~3-0'), ['3', '4', '5'])
    t.same(read(pages, '3-0'), ['4', '5'])
    t.equal(read(pages, '2-0'), undefined)
  })

  t.test('a place between the entries of a page is none', async (t) => {
    const { pages } = pagesOf()
    pages.add('3-0', [entry(3), entry(5), entry(7)], NO_ARRIVAL)
    for (const place of ['4-0', '~4-0', '5-1', '3-1', '~6-9']) {
      t.same(pages.read(place, ALL), { complete: false, frames: [], reason: 'unknown' }, place)
    }
  })

  t.test('what is no message is passed over, and is a place', async (t) => {
    const { pages } = pagesOf()
    pages.add('1-0', [entry(1, null), entry(2, null), entry(3), entry(4, null), entry(5, null)], NO_ARRIVAL)
    for (const place of ['1-0', '~2-0', '2-0', '~3-0']) t.same(read(pages, place), ['3'], place)
    for (const place of ['3-0', '~4-0', '4-0', '~5-0']) t.same(read(pages, place), [], place)
    t.match(pages.read('3-0', ALL), { complete: true, frames: [], cursor: '5-0' })
  })

  t.test('of a page without entries is nothing', async (t) => {
    const { pages } = pagesOf()
    pages.add('1-0', [], NO_ARRIVAL)
    pages.add('~2-0', [], NO_ARRIVAL)
    for (const place of ['1-0', '~2-0', '2-0']) t.equal(read(pages, place), undefined)
  })

  t.test('has the arrivals that it is given, and keeps to `before`', async (t) => {
    const { pages } = pagesOf()
    pages.add('1-0', entries(1, 5), (id) => Number(id.split('-')[0]) * 10)
    t.same(texts(pages.read('1-0', { ...ALL, before: 40 })?.frames ?? []), ['2', '3'])
    t.match(pages.read('1-0', { ...ALL, before: 40 }), { complete: true, cursor: '3-0' })
    t.match(pages.read('1-0', { ...ALL, before: 20 }), { complete: true, frames: [], cursor: '1-0' })
    t.match(pages.read('1-0', { ...ALL, before: 0 }), { complete: true, frames: [], cursor: '1-0' })
  })

  t.test('isLatestOnly: leaves out what a newer one of the page or of memory replaces', async (t) => {
    const { pages, frames } = pagesOf()
    const page = [entry(1), entry(2, 'a', 'x'), entry(3, 'b', 'y'), entry(4, 'c', 'x'), entry(5, 'd', 'z')]
    pages.add('1-0', page, NO_ARRIVAL)
    const latest = () => texts(pages.read('1-0', { ...ALL, isLatestOnly: true })?.frames ?? [])
    t.same(latest(), ['b', 'c', 'd'])
    frames.append('4-0', 'c', 1, 'x', 1, 0)
    frames.append('5-0', 'd', 1, 'z', 2, 0)
    t.same(latest(), ['b', 'c', 'd'], 'not by itself')
    frames.append('6-0', 'e', 1, 'y', 3, 0)
    t.same(latest(), ['c', 'd'])
    t.match(pages.read('1-0', { ...ALL, isLatestOnly: true, maxBytes: 1 }), { complete: true, cursor: '4-0' })
  })
})

t.test('RedisPages › keeps', async (t) => {
  t.test('the last four pages of a log', async (t) => {
    const { pages } = pagesOf()
    t.equal(pages.isEmpty, true)
    for (const start of [10, 20, 30, 40, 50]) pages.add(`${start}-0`, entries(start, start + 5), NO_ARRIVAL)
    t.equal(read(pages, '10-0'), undefined)
    for (const start of [20, 30, 40, 50]) t.equal(read(pages, `${start}-0`)?.length, 5)
    t.equal(pages.isEmpty, false)
  })

  t.test('what was used since sweep() was last called', async (t) => {
    const { pages } = pagesOf()
    pages.add('1-0', entries(1, 3), NO_ARRIVAL)
    pages.sweep()
    t.same(read(pages, '1-0'), ['2', '3'])
    pages.sweep()
    t.equal(pages.isEmpty, false)
    t.equal(read(pages, '9-0'), undefined, 'to ask for another place does not count')
    pages.sweep()
    t.equal(pages.isEmpty, true)
    pages.sweep()
    t.equal(read(pages, '1-0'), undefined)
  })

  t.test('nothing after clear()', async (t) => {
    const { pages } = pagesOf()
    pages.add('1-0', entries(1, 3), NO_ARRIVAL)
    pages.clear()
    t.equal(pages.isEmpty, true)
    t.equal(read(pages, '1-0'), undefined)
    pages.clear()
  })
})

t.test('PageCache › keeps 16 MiB of all logs, those that were read last', async (t) => {
  const cache = new PageCache()
  const logs = Array.from({ length: 20 }, () => pagesOf(cache).pages)
  const add = (pages: RedisPages | undefined): void => {
    pages?.add('1-0', [entry(1), { id: '2-0', key: '', text: 'x'.repeat(MIB - 256) }], NO_ARRIVAL)
  }
  for (const pages of logs.slice(0, 16)) add(pages)
  t.same(
    logs.map(({ isEmpty }) => isEmpty),
    [...Array(16).fill(false), ...Array(4).fill(true)]
  )
  add(logs[0])
  t.equal(logs[0]?.isEmpty, false)
  t.equal(logs[1]?.isEmpty, true, 'the one whose last page was read the longest ago')
  logs[2]?.clear()
  add(logs[16])
  t.equal(logs[3]?.isEmpty, false, 'what is released makes room')
  add(logs[17])
  t.equal(logs[3]?.isEmpty, true)
  for (let n = 0; n < 4; n++) add(logs[4])
  t.equal(logs[4]?.isEmpty, false)
  t.equal(logs[5]?.isEmpty, true)
  for (const pages of logs) pages.clear()
  logs[6]?.add('1-0', [entry(1), { id: '2-0', key: '', text: 'x'.repeat(20 * MIB) }], NO_ARRIVAL)
  t.equal(logs[6]?.isEmpty, false, 'and one page, whatever its size')
  add(logs[7])
  t.equal(logs[6]?.isEmpty, true)
})
