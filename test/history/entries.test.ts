import t from 'tap'
import { Entries } from '../../lib/history/entries.ts'
import type { Entry } from '../../lib/history/entry.ts'
import type { Place } from '../../lib/history/place.ts'

t.test('Entries', async (t) => {
  t.test('find what is after a place, however many have been taken', async (t) => {
    const places = Array.from({ length: 60 }, (_, i) => 10 * (i + 1))
    for (const taken of [0, 1, 29, 31, 59, 60]) {
      const entries = entriesAt(places)
      for (let i = 0; i < taken; i++) t.equal(entries.shift()?.place, places[i])
      const left = places.slice(taken)
      t.same(placesOf(entries.all()), left)
      t.same(
        [entries.oldest?.place, entries.newest?.place, entries.length],
        [left[0], left.at(-1), left.length]
      )
      for (let place = 0; place <= 610; place += 5) {
        const index = entries.indexAfter(place)
        t.equal(
          entries.at(index)?.place,
          left.find((other) => other > place)
        )
        t.equal(
          entries.at(index - 1)?.place,
          left.findLast((other) => other <= place)
        )
      }
    }
  })

  t.test('find what is before the newest that count', async (t) => {
    const entries = entriesAt([1, 2, 3, 4, 5])
    entries.shift()
    const isOdd = ({ place }: Entry): boolean => place % 2 === 1
    t.same(
      [0, 1, 2, 3].map((count) => entries.at(entries.indexBefore(count, isOdd))?.place),
      [5, 4, 2, undefined]
    )
  })

  t.test('take what belongs among them', async (t) => {
    const entries = entriesAt([1, 2, 5])
    entries.shift()
    entries.merge(entriesAt([3, 6]).all())
    t.same(placesOf(entries.all()), [2, 3, 5, 6])
  })

  t.test('give out what is chosen one by one, each of which counts until then', async (t) => {
    const entries = entriesAt([1, 2, 3, 4, 5])
    const out: [Place, number][] = []
    for (const { place } of entries.takeOut(1, ({ place }) => place % 2 === 1))
      out.push([place, entries.length])
    t.same(out, [
      [3, 4],
      [5, 3]
    ])
    t.same(placesOf(entries.all()), [1, 2, 4])
  })
})

function entriesAt(places: readonly Place[]): Entries {
  const entries = new Entries()
  for (const place of places) entries.push({ place } as Entry)
  return entries
}

function placesOf(entries: readonly Entry[]): Place[] {
  return entries.map(({ place }) => place)
}
