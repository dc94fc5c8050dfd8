import t from 'tap'
import { EventStreamReader } from '../../lib/wire/event-stream-reader.ts'

interface Read {
  readonly events: readonly object[]
  readonly comments: readonly string[]
  readonly retryMs: readonly number[]
  readonly isTooLong: boolean
}

function read(pieces: readonly (string | Uint8Array)[], maxLength?: number): Read {
  const events: object[] = []
  const comments: string[] = []
  const retryMs: number[] = []
  let isTooLong = false
  const reader = new EventStreamReader(
    {
      onEvent: ({ id, event, data }) => events.push({ id, event, data }),
      onComment: (text) => comments.push(text),
      onRetry: (ms) => retryMs.push(ms),
      onTooLong: () => {
        isTooLong = true
      }
    },
    maxLength
  )
  for (const piece of pieces) reader.feed(piece)
  return { events, comments, retryMs, isTooLong }
}

const NO_ID = { id: undefined, event: undefined }

t.test('EventStreamReader', async (t) => {
  t.test('reads events, comments and reconnection times, wherever bytes are cut', async (t) => {
    const text = '\ufeffid: ü\r\nevent: 😀\r\ndata: é\r\ndata: x\r\n\r\n: c\nretry: 5\ndata: b\r\rdata: c\r\r'
    const whole = {
      events: [
        { id: 'ü', event: '😀', data: 'é\nx' },
        { ...NO_ID, data: 'b' },
        { ...NO_ID, data: 'c' }
      ],
      comments: ['c'],
      retryMs: [5],
      isTooLong: false
    }
    t.same(read([text]), whole)
    const bytes = Buffer.from(text)
    for (let i = 0; i <= bytes.length; i++) t.same(read([bytes.subarray(0, i), '', bytes.subarray(i)]), whole)
    t.same(read(Array.from(bytes, (byte) => Buffer.of(byte))), whole)
  })

  t.test(
    'an event is there with the CR that ends it, and a LF that comes later is a part of it',
    async (t) => {
      t.same(read(['data: a\r\r']).events, [{ ...NO_ID, data: 'a' }])
      t.same(read(['data: a\r', '\n', '\r', '\n', 'data: b\n\n']).events, [
        { ...NO_ID, data: 'a' },
        { ...NO_ID, data: 'b' }
      ])
    }
  )

  t.test('an event that is too long is told, after those before it', async (t) => {
    const { events, isTooLong } = read(['data: a\n\ndata: ', 'x'.repeat(50)], 20)
    t.same(events, [{ ...NO_ID, data: 'a' }])
    t.ok(isTooLong)
    t.notOk(read(['data: a\n\n'.repeat(50)], 20).isTooLong)
    t.same(read(['nothing of it\n']), { events: [], comments: [], retryMs: [], isTooLong: false })
  })
})

t.test('EventStreamReader › tells at the end whether the last event is complete', async (t) => {
  const endsWithin = (...pieces: string[]): boolean => {
    const reader = new EventStreamReader({ onEvent: () => {} })
    for (const piece of pieces) reader.feed(piece)
    return reader.end()
  }
  for (const rest of ['', '\n', ':', ': c', ':\n', 'retry: 5', 'retry: 5\n', 'data: y\n\n', 'data: y\r\r']) {
    t.equal(endsWithin(rest), false, JSON.stringify(rest))
    t.equal(endsWithin('id: 1\nevent: a\ndata: x\n\n', rest), false, JSON.stringify(rest))
  }
  for (const rest of [
    'd',
    'data',
    'data:\n',
    'data: y',
    'data: y\r',
    'data: y\r\n',
    'event: a',
    'event: a\n',
    'id: 1\n'
  ]) {
    t.equal(endsWithin(rest), true, JSON.stringify(rest))
    t.equal(endsWithin('data: x\n\n', rest), true, JSON.stringify(rest))
  }
})
