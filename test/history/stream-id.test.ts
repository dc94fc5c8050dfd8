import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  comparePlaces,
  entryAt,
  isBefore,
  isForeign,
  isPlace,
  placeBefore,
  RANDOM_RANGE,
  randomPart,
  tagOf
} from '../../lib/history/redis/stream-id.ts'

const MAX = '18446744073709551615'

t.test('stream id › a place is right after an entry, or right before it', async (t) => {
  for (const id of ['0-0', '0-1', '1-0', '1700000000000-8796093022207', `${MAX}-${MAX}`]) {
    t.ok(isPlace(id), id)
    t.ok(isPlace(placeBefore(id)))
    t.equal(entryAt(id), id)
    t.equal(entryAt(placeBefore(id)), id)
    t.equal(isBefore(id), false)
    t.equal(isBefore(placeBefore(id)), true)
  }
  t.equal(placeBefore('1-2'), '~1-2')
})

t.test('stream id › what is no id of Redis is no place', async (t) => {
  const wrong = [
    ...['', '-', '~', '0', '1', '1-', '-1', '1-1-1', '1_1', '1.0-1', ' 1-1', '1-1 ', '1-1\n', '\n1-1'],
    ...[
      '01-1',
      '1-01',
      '00-0',
      '+1-1',
      '1-+1',
      '1--1',
      '0x1-1',
      '1e3-1',
      'a-1',
      '1-a',
      '1-*',
      '$',
      '*',
      '>',
      '+'
    ],
    ...['~~1-1', '1-1~', '~-', '(1-1', '-~1', '١-١', `${MAX}0-1`, `1-${MAX}0`, '18446744073709551616-0'],
    ...['0-18446744073709551616', `1-${'9'.repeat(25)}`, `${'9'.repeat(60)}-1`]
  ]
  for (const text of wrong) t.equal(isPlace(text), false, JSON.stringify(text))
})

t.test('stream id › places are compared as numbers, and before an entry is before it', async (t) => {
  const sorted = [
    ...['~0-0', '0-0', '~0-1', '0-1', '0-9', '0-10', `0-${MAX}`, '~1-0', '1-0', '9-5', '10-0', '10-4'],
    ...['~99-99999999999999999', '99-99999999999999999', '99-100000000000000000', `${MAX}-0`, `${MAX}-${MAX}`]
  ]
  for (const [i, a] of sorted.entries()) {
    for (const [j, b] of sorted.entries()) {
      t.equal(Math.sign(comparePlaces(a, b)), Math.sign(i - j), `${a} and ${b}`)
    }
  }
})

t.test('stream id › the order is that of BigInt', async (t) => {
  const part = fc.bigInt({ min: 0n, max: BigInt(MAX) })
  const place = fc.record({
    ms: fc.oneof(part, fc.bigInt({ min: 0n, max: 3n })),
    number: part,
    before: fc.boolean()
  })
  fc.assert(
    fc.property(place, place, (a, b) => {
      const [textA, textB] = [a, b].map(({ ms, number, before }) => `${before ? '~' : ''}${ms}-${number}`)
      const differences = [a.ms - b.ms, a.number - b.number, BigInt(b.before) - BigInt(a.before)]
      const expected = differences.find((difference) => difference !== 0n) ?? 0n
      assert.equal(
        Math.sign(comparePlaces(textA ?? '', textB ?? '')),
        Number(expected > 0n) - Number(expected < 0n)
      )
    })
  )
  t.pass()
})

t.test('stream id › a tag says whose an id is', async (t) => {
  const tags = Array.from({ length: 5_000 }, (_, n) => tagOf(`channel ${n}`))
  for (const tag of tags) assert.ok(Number.isInteger(tag) && tag >= 1 && tag < 2 ** 20, String(tag))
  t.equal(tagOf('channel 7'), tags[7], 'the same for good')
  t.ok(new Set(tags).size > 4_900, 'and seldom that of another')
  const [mine = 0, theirs = 0] = tags
  for (const random of [0, 1, RANDOM_RANGE - 1]) {
    for (const before of ['', '~']) {
      const idOf = (tag: number): string => `${before}1700000000000-${tag * RANDOM_RANGE + random}`
      t.equal(isForeign(idOf(mine), mine), false)
      t.equal(isForeign(idOf(theirs), mine), true)
    }
  }
})

t.test('stream id › one that somebody else gave is nobody’s', async (t) => {
  for (const number of ['0', '1', String(RANDOM_RANGE - 1), String(2 ** 43), MAX]) {
    t.equal(isForeign(`5-${number}`, 1), false, number)
  }
})

t.test('stream id › the random part is below its range', async (t) => {
  const parts = Array.from({ length: 10_000 }, () => randomPart())
  for (const part of parts) assert.match(part, /^(0|[1-9]\d{0,6})$/)
  const numbers = parts.map(Number)
  t.ok(numbers.every((number) => number < RANDOM_RANGE))
  t.ok(
    numbers.some((number) => number > 0.9 * RANDOM_RANGE) &&
      numbers.some((number) => number < 0.1 * RANDOM_RANGE)
  )
  t.ok(new Set(parts).size > 9_900)
})

t.test('stream id › with a tag and a random part it fits into a cursor', async (t) => {
  const longest = placeBefore(`9999999999999-${2 ** 20 * RANDOM_RANGE - 1}`)
  t.ok(longest.length <= 28, 'until the year 2286')
  t.ok(Number.isSafeInteger(2 ** 20 * RANDOM_RANGE), 'and into a number of Lua and JavaScript')
})
