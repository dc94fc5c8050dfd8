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

t.test('parseRead() › what others have appended is a gap', async (t) => {
  const message = (place: number): string[] => [`${place}`, `${place - 1}`, `["k"]\n${place}`]
  const read = parseRead('a', ['9', '2', '1', ...message(3), ...message(4)])
  t.match(read, { head: 9, dropped: 2, isEnded: true, previous: 2 })
  t.same(
    read.messages.map(({ place, text }) => [place, text]),
    [
      [3, '3'],
      [4, '4']
    ]
  )
  for (const strange of [
    ['4', '', '["k"]\n4'],
    ['4', '3', ''],
    ['4', '3', 'no header\n']
  ]) {
    const { dropped, messages } = parseRead('a', ['9', '2', '0', ...message(3), ...strange, ...message(5)])
    t.equal(dropped, 4)
    t.same(
      messages.map(({ place }) => place),
      [5]
    )
  }
  t.match(parseRead('a', []), { head: 0, dropped: 0, messages: [], isEnded: false, previous: undefined })
  for (const answer of [null, 'text', [1]]) t.throws(() => parseRead('a', answer), /with something else/)
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
