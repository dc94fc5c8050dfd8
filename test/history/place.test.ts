import fc from 'fast-check'
import t from 'tap'
import {
  formatCursor,
  formatPlace,
  parseCursor,
  placeAfter,
  placeOfTime,
  timeOfCursor
} from '../../lib/history/place.ts'
import { FakeClock } from '../helpers/fake-clock.ts'

const EPOCH = '0123456789'
const LAST = 36 ** 10 - 1
const place = fc.integer({ min: 0, max: LAST })
const distance = fc.integer({ min: 0, max: 40 })

t.test('placeAfter()', async (t) => {
  const clock = FakeClock.install(t)
  const now = () => placeOfTime(Date.now())

  t.test('is the time, to the millisecond', async (t) => {
    for (let i = 0; i < 1_000; i++) {
      const microseconds = placeAfter(0) - now()
      t.ok(microseconds >= 0 && microseconds <= 1_000, `${microseconds}`)
      clock.spend(1)
    }
  })

  t.test('comes after the one before, also when the clock stands still or goes back', async (t) => {
    let last = placeAfter(0)
    for (const ms of [0, -1, -60_000, 0, 1]) {
      clock.spend(ms)
      for (let i = 0; i < 1_000; i++) {
        const next = placeAfter(last)
        if (!(Number.isSafeInteger(next) && next > last)) t.fail(`${next} after ${last}`)
        last = next
      }
    }
    t.ok(last > now())
  })

  t.test('is a little above it then, by no fixed step: nobody can count', async (t) => {
    const last = now() + 10_000
    const steps = new Set(Array.from({ length: 1_000 }, () => placeAfter(last) - last))
    t.ok(steps.size > 8, [...steps].join())
    t.ok(Math.max(...steps) <= 17)
  })
})

t.test('placeOfTime() › takes a date and milliseconds alike', async (t) => {
  t.equal(placeOfTime(new Date(1_700_000_000_123)), 1_700_000_000_123_000)
  t.equal(placeOfTime(1_700_000_000_123), 1_700_000_000_123_000)
})

t.test('formatCursor() › is ten digits in base 36, and what the history calls itself', async (t) => {
  t.equal(formatCursor(0, EPOCH), `0000000000-${EPOCH}`)
  t.equal(formatCursor(36, EPOCH), `0000000010-${EPOCH}`)
  t.equal(formatCursor(LAST, EPOCH), `zzzzzzzzzz-${EPOCH}`)
})

t.test('formatCursor() › has ten digits until 2085', async (t) => {
  t.equal(formatPlace(placeOfTime(Date.UTC(2085, 0))).length, 10)
})

t.test('formatCursor() › is in order as a string, as places are as numbers', async () => {
  const isInOrder = (a: number, b: number) =>
    Math.sign(a - b) === compare(formatCursor(a, EPOCH), formatCursor(b, EPOCH))
  fc.assert(fc.property(place, place, isInOrder))
  fc.assert(fc.property(place, distance, (place, by) => isInOrder(place, Math.max(0, place - by))))
})

t.test('parseCursor()', async (t) => {
  t.test('reads what was written', async () => {
    fc.assert(fc.property(place, (place) => parseCursor(formatCursor(place, EPOCH), EPOCH) === place))
  })

  t.test('reads nothing else', async (t) => {
    const digits = formatPlace(placeOfTime(1_700_000_000_000))
    t.type(parseCursor(`${digits}-${EPOCH}`, EPOCH), 'number')
    const others = [
      '',
      digits,
      `${digits}-`,
      `-${EPOCH}`,
      `${digits}-012345678`,
      `${digits}-${EPOCH}0`,
      `${digits}-${EPOCH} `,
      ` ${digits}-${EPOCH}`,
      `${digits}-${EPOCH}\n`,
      `${digits.toUpperCase()}-${EPOCH}`,
      `${digits.slice(1)}-${EPOCH}`,
      `0${digits}-${EPOCH}`,
      `+${digits.slice(1)}-${EPOCH}`,
      `${digits}_${EPOCH}`,
      `${digits}-${EPOCH}&12345678=${digits}`
    ]
    for (const other of others) t.equal(parseCursor(other, EPOCH), undefined, JSON.stringify(other))
  })
})

t.test('timeOfCursor()', async (t) => {
  t.test('is known of any history', async (t) => {
    t.equal(timeOfCursor(formatCursor(1_700_000_000_123_456, 'another')), 1_700_000_000_123_456)
  })

  t.test('is not known of what is no cursor', async (t) => {
    for (const other of ['', 'yesterday', '0000000000', `0000000000-${'0'.repeat(17)}`, '000000000-0']) {
      t.equal(timeOfCursor(other), undefined, other)
    }
  })
})

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
