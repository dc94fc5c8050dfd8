import t from 'tap'
import { formatId, hashOf, parseId, sumOf } from '../../lib/channel/last-event-id.ts'
import { History } from '../../lib/history/history.ts'
import { formatPlace } from '../../lib/history/place.ts'

const NONE: ReadonlyMap<string, number> = new Map()

/** A history with three places. */
function places() {
  const history = new History(1_000)
  const [early, middle, late] = [history.stamp(), history.stamp(), history.stamp()]
  return { history, early, middle, late, cursor: history.cursorAt(late) }
}

t.test('last event id › of who has caught up is the cursor', async (t) => {
  const { history, late, cursor } = places()
  t.equal(formatId(cursor, NONE, undefined), cursor)
  t.match(cursor, /^[0-9a-z]{10}-[0-9a-f]{10}$/)
  t.match(parseId(cursor, history), { place: late, uncertainty: undefined })
  t.equal(parseId(cursor, history)?.exceptions.size, 0)
})

t.test('last event id › names channels that have not caught up', async (t) => {
  const { history, early, middle, late, cursor } = places()
  const exceptions = new Map([
    [hashOf('a'), early],
    [hashOf('緑茶の話'), middle]
  ])
  const id = formatId(cursor, exceptions, undefined)
  t.equal(id, `${cursor}&${hashOf('a')}=${formatPlace(early)}&${hashOf('緑茶の話')}=${formatPlace(middle)}`)
  const standpoint = parseId(id, history)
  t.equal(standpoint?.place, late)
  t.same([...(standpoint?.exceptions ?? [])], [...exceptions])
})

t.test('last event id › tells from where on it is not known what was given', async (t) => {
  const { history, early, cursor } = places()
  for (const sum of ['', sumOf(['a', 'b'])]) {
    const id = formatId(cursor, NONE, { since: early, sum })
    t.equal(id, `${cursor}&~=${formatPlace(early)}${sum === '' ? '' : `.${sum}`}`)
    t.same(parseId(id, history)?.uncertainty, { since: early, sum })
  }
})

t.test('last event id › of more than 1,024 bytes tells the lowest place for all', async (t) => {
  const { history, early, middle, cursor } = places()
  const names = Array.from({ length: 60 }, (_, i) => hashOf(`room:${i}`))
  const of = (count: number) =>
    formatId(cursor, new Map(names.slice(0, count).map((name) => [name, middle])), undefined)
  t.equal(of(50).length, cursor.length + 50 * 20)
  t.ok(of(50).length <= 1_024)
  t.equal(of(51), `${cursor}&~=${formatPlace(middle)}`)
  t.same(parseId(of(60), history)?.uncertainty, { since: middle, sum: '' })
  const exceptions = new Map(names.map((name) => [name, middle]))
  const known = formatId(cursor, exceptions, { since: early, sum: sumOf(['a']) })
  t.equal(known, `${cursor}&~=${formatPlace(early)}`, 'also if that is where it was not known before')
})

t.test('last event id › a name is 8 characters, whatever it is', async (t) => {
  const names = ['', 'a', 'b', 'A', 'a=b&c', '~', '%', '\0\n', 'x'.repeat(1_000), '緑茶の話', '😀']
  for (const name of names) t.match(hashOf(name), /^[\w-]{8}$/)
  t.equal(new Set(names.map(hashOf)).size, names.length)
  t.equal(hashOf('a'), hashOf('a'))
})

t.test('last event id › a sum is the same for the same names, in whatever order', async (t) => {
  t.equal(sumOf(['a', 'b', 'c']), sumOf(['c', 'a', 'b']))
  const sums = [[], ['a'], ['b'], ['a', 'b'], ['ab'], ['a', 'b', 'c']].map(sumOf)
  t.equal(new Set(sums).size, sums.length)
})

t.test('last event id › anything else is not known', async (t) => {
  const { history, early, late, cursor } = places()
  const foreign = new History(1_000)
  const future = `${formatPlace(late + 1)}${cursor.slice(10)}`
  const nonsense = [
    ...['', ' ', 'now', 'oldest', '42', 'é \u0001', 'x'.repeat(5_000), '&', '=', '-', '~'],
    ...[
      foreign.cursorAt(foreign.stamp()),
      future,
      `${cursor}, ${cursor}`,
      `${cursor}\n`,
      cursor.toUpperCase()
    ],
    ...[`${cursor}&`, `&${cursor}`, `${cursor}&&`, `${cursor}&x`, `${cursor}&~`, `${cursor}&~=`],
    ...[`${cursor}&~=${formatPlace(late + 1)}`, `${cursor}&${hashOf('a')}=${formatPlace(late + 1)}`],
    ...[`${cursor}&~=${formatPlace(early)}.`, `${cursor}&~=${formatPlace(early)}.short`],
    ...[`${cursor}&short=${formatPlace(early)}`, `${cursor}&${hashOf('a')}=${early}x`],
    `${cursor}${'&'.repeat(100_000)}`
  ]
  for (const id of nonsense) t.equal(parseId(id, history), undefined, JSON.stringify(id.slice(0, 50)))
  t.equal(parseId(`${cursor}&~=${formatPlace(late)}`, history)?.place, late, 'but a place may be the newest')
})
