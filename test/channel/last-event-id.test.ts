import t from 'tap'
import {
  cursorIn,
  cursorOrNone,
  encodeName,
  MAX_CURSOR_LENGTH,
  MAX_ID_LENGTH
} from '../../lib/channel/last-event-id.ts'

t.test('last event id › a name is encoded into what CORS lets through without asking', async (t) => {
  const table = [
    ['news', 'news'],
    ['Az09-_.~', 'Az09-_.~'],
    ['a b', 'a%20b'],
    ['a:b', 'a%3Ab'],
    ['a=b&c', 'a%3Db%26c'],
    ['%61', '%2561'],
    ["!'()*", '%21%27%28%29%2A'],
    ['ä😀', '%C3%A4%F0%9F%98%80'],
    ['a/b?c#d', 'a%2Fb%3Fc%23d'],
    ['\0\n', '%00%0A'],
    ['__proto__', '__proto__']
  ] as const
  for (const [name, encoded] of table) {
    t.equal(encodeName(name), encoded)
    t.equal(decodeURIComponent(encoded), name)
  }
  const ascii = String.fromCharCode(...Array.from({ length: 128 }, (_, code) => code))
  t.match(encodeName(ascii), /^[A-Za-z0-9._~%-]+$/)
})

t.test('last event id › who brings none was not here', async (t) => {
  t.equal(cursorIn(undefined, 'news'), undefined)
})

t.test('last event id › one cursor is for every channel', async (t) => {
  for (const cursor of ['1', 'abcdefgh-12', '1760000000000-0', 'A.b_c~d-e', '-', 'x'.repeat(64)]) {
    t.same(cursorIn(cursor, 'news'), { cursor, isNamed: false })
    t.same(cursorIn(cursor, 'chat'), { cursor, isNamed: false })
  }
})

t.test('last event id › of several, each channel has its own', async (t) => {
  const id = 'news=abc-1&a%20b=def-2&newsletter=ghi-3&=x&__proto__=jkl-4'
  t.equal(cursorIn(id, 'news')?.cursor, '-', 'a name without characters makes it none')
  const table = [
    ['news=abc-1', 'news', 'abc-1'],
    ['news=abc-1', 'new', undefined],
    ['news=abc-1', 'newsletter', undefined],
    ['news=abc-1', 'ews', undefined],
    ['news=abc-1', 'abc-1', undefined],
    ['news=abc-1', '', undefined],
    ['news=abc-1&chat=def-2', 'news', 'abc-1'],
    ['news=abc-1&chat=def-2', 'chat', 'def-2'],
    ['newsletter=ghi-3&news=abc-1', 'news', 'abc-1'],
    ['a%20b=def-2&news=abc-1', 'a%20b', 'def-2'],
    ['a%20b=def-2&news=abc-1', 'a b', undefined],
    ['news=abc-1&a%20b=def-2', 'a%20b', 'def-2'],
    ['a%20b=def-2', 'b', undefined],
    ['__proto__=jkl-4', '__proto__', 'jkl-4'],
    ['a=1-1', 'toString', undefined],
    ['news=first-1&news=second-2', 'news', 'first-1'],
    [`news=${'x'.repeat(64)}`, 'news', 'x'.repeat(64)],
    [`news=${'x'.repeat(65)}`, 'news', '-'],
    [`chat=${'x'.repeat(65)}&news=abc-1`, 'news', 'abc-1']
  ] as const
  for (const [lastEventId, name, cursor] of table) {
    const expected = cursor === undefined ? undefined : { cursor, isNamed: true }
    t.same(cursorIn(lastEventId, name), expected, `${name} in ${lastEventId.slice(0, 40)}`)
  }
})

t.test('last event id › anything else is a cursor that no history knows', async (t) => {
  const nonsense = [
    ...['', ' ', '\0', 'a b', 'é', 'Ã©', '😀', 'a,b', '1, 2', 'a:b', 'a/b', '"1"', '*', '+', '$', '>', '(1'],
    ...[
      'news=',
      '=abc-1',
      '=',
      '&',
      'news=abc-1&',
      '&news=abc-1',
      'news=a&&chat=b',
      'news=a&chat',
      'news==a'
    ],
    ...[
      'news=a b',
      'news=%61',
      'a b=c',
      'a:b=c',
      'news=a=b',
      'news=abc-1\n',
      '\nnews=abc-1',
      'news=abc-1, x=1'
    ],
    ...['abc-1\n', '%', 'a%20b', 'x'.repeat(65), 'news=a&'.repeat(3_000), '='.repeat(100_000)]
  ]
  for (const lastEventId of nonsense) {
    t.equal(cursorIn(lastEventId, 'news')?.cursor, '-', JSON.stringify(lastEventId.slice(0, 30)))
  }
})

t.test('last event id › cursors from elsewhere are looked at before a history sees them', async (t) => {
  for (const cursor of ['abc-1', '-', 'now', 'x'.repeat(64)]) t.equal(cursorOrNone(cursor), cursor)
  for (const text of ['', ' ', 'a b', 'a=b', 'a&b', '%', 'é', 'abc-1\n', '\nabc-1', 'x'.repeat(65)]) {
    t.equal(cursorOrNone(text), '-', JSON.stringify(text.slice(0, 30)))
  }
})

t.test('last event id › three channels of 12 characters fit into what CORS lets through', async (t) => {
  t.equal(MAX_ID_LENGTH, 1_024)
  const part = `${'x'.repeat(12)}=${'y'.repeat(MAX_CURSOR_LENGTH)}`
  t.ok([part, part, part].join('&').length <= 128)
})
