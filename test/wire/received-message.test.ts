import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { formatMessage, type Message } from '../../lib/wire/message.ts'
import { ReceivedMessage, RecentMessages } from '../../lib/wire/received-message.ts'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

type KeptFrame = ConstructorParameters<typeof ReceivedMessage>[0]

function kept(message: Message | string, key = ''): KeptFrame {
  const text = formatMessage(message, JSON.stringify)
  return { cursor: 'abc-1', text, byteLength: Buffer.byteLength(text), key }
}

function read(message: Message | string): [event: string, data: string] {
  const { event, data } = new ReceivedMessage(kept(message))
  return [event, data]
}

t.test('received message › is what a client has', async (t) => {
  const table: [Message | string, string, string][] = [
    ['hello', '', 'hello'],
    [{ data: '' }, '', ''],
    [{ event: 'tick', data: 1 }, 'tick', '1'],
    [{ event: 'tick', data: { a: [1] }, retry: 5 }, 'tick', '{"a":[1]}'],
    [{ data: 'a\nb\r\nc\rd' }, '', 'a\nb\nc\nd'],
    [{ data: '\n\n' }, '', '\n\n'],
    [{ data: ' x ' }, '', ' x '],
    [{ event: ' a: b ', data: '' }, ' a: b ', ''],
    [{ data: 'event: other\ndata: more\nid: 7\nretry: 1' }, '', 'event: other\ndata: more\nid: 7\nretry: 1'],
    [{ event: 'data: x', data: 'y' }, 'data: x', 'y'],
    [{ data: 'a\u2028b\0\ufeff😀' }, '', 'a\u2028b\0\ufeff😀'],
    [{ retry: 5 }, '', '']
  ]
  for (const [n, [message, event, data]] of table.entries()) {
    t.same(read(message), [event, data], `message ${n}`)
  }
})

t.test('received message › has the cursor as id, and its key', async (t) => {
  const message = new ReceivedMessage({ ...kept({ event: 'tick', data: 1 }, 'EUR/USD'), cursor: 'xyz-9' })
  t.equal(message.id, 'xyz-9')
  t.equal(message.key, 'EUR/USD')
})

t.test('received message › is the same for all who ask for the same frame', async (t) => {
  const recent = new RecentMessages()
  const frame = kept('x')
  const message = recent.of(frame)
  t.equal(recent.of(frame), message)
  t.not(recent.of(kept('x')), message)
})

t.test('received message › is kept as long as few others are read, however long it is', async (t) => {
  const recent = new RecentMessages()
  const long = kept('x'.repeat(2_000_000))
  const message = recent.of(long)
  t.equal(recent.of(long), message)
  const [older, newer] = [kept('a'.repeat(600_000)), kept('b'.repeat(600_000))]
  const oldMessage = recent.of(older)
  const newMessage = recent.of(newer)
  t.equal(recent.of(newer), newMessage)
  t.not(recent.of(older), oldMessage)
  t.not(recent.of(long), message)
})

t.test('received message › json() gives everyone who asks a value of his own', async (t) => {
  const message = new ReceivedMessage(kept({ data: { region: 'local', tags: ['a'] } }))
  const mine = message.json() as { region: string; tags: string[] }
  mine.region = 'none'
  mine.tags.push('b')
  t.same(message.json(), { region: 'local', tags: ['a'] })
  t.equal(new ReceivedMessage(kept({ data: null })).json(), null)
})

t.test('received message › json() throws each time for data that is no JSON', async (t) => {
  const message = new ReceivedMessage(kept('no JSON'))
  for (let call = 0; call < 2; call++) t.throws(() => message.json(), { name: 'SyntaxError' })
})

t.test('received message › reportOnce() calls once, whoever asks', async (t) => {
  const recent = new RecentMessages()
  const [one, other] = [kept('1'), kept('2')]
  const reports: string[] = []
  for (const by of ['a', 'b', 'c']) recent.of(one).reportOnce(() => reports.push(`1 by ${by}`))
  recent.of(other).reportOnce(() => reports.push('2'))
  t.same(reports, ['1 by a', '2'])
})

t.test(`received message › reads what was written (FC_SEED=${seed})`, async (t) => {
  t.comment(`FC_SEED=${seed}`)
  const part = fc.oneof(
    fc.constantFrom('\n', '\r', '\r\n', ':', ' ', 'data: ', 'event: ', 'id: 1', '\u2028', '😀'),
    fc.string({ unit: 'binary', maxLength: 5 })
  )
  const text = fc.array(part, { maxLength: 8 }).map((parts) => parts.join(''))
  const property = fc.property(text, text, (event, data) => {
    const name = event.replace(/[\r\n]/g, '')
    assert.deepEqual(read({ event: name, data }), [name, data.replace(/\r\n?/g, '\n')])
  })
  fc.assert(property, { seed, numRuns: 500 })
  t.pass()
})
