import t from 'tap'
import {
  formatHeader,
  parseNotice,
  parseNumbers,
  parseProbe,
  parseRead
} from '../../../lib/history/redis/redis-message.ts'

t.test('formatHeader() › comes back with the notice', async (t) => {
  for (const [key, channels, isEnd] of [
    ['', ['a'], false],
    ['k', ['a'], false],
    ['k', ['a', 'b'], false],
    ['', ['a'], true]
  ] as const) {
    // The script writes this one for none.
    const header = formatHeader(key, channels, isEnd) || '[""]'
    t.match(parseNotice('a', `7 5\n${header}\ndata: 1\n\n`), {
      message: { place: 7, key, channels, isEnd, isKept: true, text: 'data: 1\n\n' },
      previous: [['a', 5]]
    })
  }
  t.match(parseNotice('a', '7 -\n[""]\n'), { message: { isKept: false }, previous: [] })
})

t.test('parseNotice() › what was before it in each of several channels', async (t) => {
  const header = formatHeader('', ['b', 'a', 'c'], false)
  t.same(parseNotice('a', `7 5 0 5 6\n${header}\n`)?.previous, [
    ['a', 5],
    ['b', 0],
    ['c', 6]
  ])
  t.same(parseNotice('a', `7 - - - -\n${header}\n`)?.previous, [])
})

t.test('parseNotice() › what is none', async (t) => {
  const none = [
    '',
    '7',
    '7 5',
    '7 5\n',
    '7\n[""]\n',
    '-1 5\n[""]\n',
    '7 5\n[""]',
    '7 5\n["]\n',
    '7 5\n[1]\n',
    '7 5 x\n[""]\n'
  ]
  for (const body of [...none, '7 5\n["",1]\n', '7 5\n["",[1]]\n', '7 5\n{}\n', '7 5\nnull\n'])
    t.equal(parseNotice('a', body), undefined, body)
})

t.test('parseRead() › what is missing is a gap', async (t) => {
  const message = (place: number, previous = place - 1): string[] => [
    `${place}`,
    `${previous}`,
    `["k"]\n${place}`
  ]
  const read = parseRead('a', 2, ['4', '2', '1', ...message(3), ...message(4)])
  t.match(read, { head: 4, dropped: 2, isEnded: true, previous: 2 })
  t.same(
    read.messages.map(({ place, text }) => [place, text]),
    [
      [3, '3'],
      [4, '4']
    ]
  )
  const first = message(3)
  const gaps: [string, after: number, string[], { dropped: number; places: number[]; previous?: number }][] =
    [
      ['nothing, for who stands between two', 4, message(5, 3), { dropped: 0, places: [5], previous: 3 }],
      [
        'a strange one, without the place before',
        2,
        [...first, '4', '', '["k"]\n4', ...message(5)],
        { dropped: 4, places: [5], previous: 4 }
      ],
      [
        'one without a text',
        2,
        [...first, '4', '3', '', ...message(5)],
        { dropped: 4, places: [5], previous: 4 }
      ],
      [
        'one without a header',
        2,
        [...first, '4', '3', 'no header\n', ...message(5)],
        { dropped: 4, places: [5], previous: 4 }
      ],
      [
        'one before the first',
        1,
        [...first, ...message(4), ...message(5)],
        { dropped: 2, places: [3, 4, 5], previous: 2 }
      ],
      ['one in the middle', 2, [...first, ...message(5)], { dropped: 4, places: [5], previous: 4 }],
      ['the last', 2, first, { dropped: 5, places: [] }]
    ]
  for (const [title, after, entries, gap] of gaps) {
    const { dropped, messages, previous } = parseRead('a', after, ['5', '0', '0', ...entries])
    t.strictSame(
      { dropped, places: messages.map(({ place }) => place), previous },
      { previous: undefined, ...gap },
      title
    )
  }
  t.match(parseRead('a', 0, []), { head: 0, dropped: 0, messages: [], isEnded: false, previous: undefined })
  for (const answer of [null, 'text', [1]]) t.throws(() => parseRead('a', 0, answer), /with something else/)
})

t.test('parseProbe()', async (t) => {
  t.same(parseProbe(['e.1', '7', '1']), { epoch: 'e', site: 'e.1', place: 7, isKnown: true })
  t.same(parseProbe(['e.', '7', '0']), { epoch: 'e', site: 'e.', place: 7, isKnown: false })
  for (const answer of [null, 'e', [], [1, '7', '1'], ['e', '7'], ['e', '7', 'x']])
    t.throws(() => parseProbe(answer), /with something else/)
})

t.test('parseNumbers()', async (t) => {
  t.same(parseNumbers(['1', '0'], 2), [1, 0])
  for (const answer of ['1', null, ['x'], ['-1'], ['1.5'], ['9007199254740993'], ['1', '2']])
    t.throws(() => parseNumbers(answer, 1), /something else than numbers/)
})
