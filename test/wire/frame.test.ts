import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  encodeComment,
  encodeMessage,
  encodePublished,
  type FrameOptions,
  pieceEnd
} from '../../lib/wire/frame.ts'
import type { Message } from '../../lib/wire/message.ts'

const MEBIBYTE = 1_048_576
const options: FrameOptions = { serializer: JSON.stringify, maxMessageBytes: MEBIBYTE }

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

function limit(maxMessageBytes: number): FrameOptions {
  return { ...options, maxMessageBytes }
}

t.test('encodeMessage', async (t) => {
  t.test('gives the text and its length in bytes', async (t) => {
    const rows: readonly (readonly [string, Message | string, string])[] = [
      ['ASCII', { id: 1, event: 'a', data: 'b', retry: 2 }, 'id: 1\nevent: a\ndata: b\nretry: 2\n\n'],
      ['two bytes', 'ü', 'data: ü\n\n'],
      ['three bytes', '\u2028', 'data: \u2028\n\n'],
      ['a BOM', '\ufeff', 'data: \ufeff\n\n'],
      ['four bytes', '😀', 'data: 😀\n\n'],
      ['bytes', { data: Buffer.from('ü') }, 'data: ü\n\n'],
      ['JSON', { data: ['ü'] }, 'data: ["ü"]\n\n']
    ]
    for (const [name, message, text] of rows) {
      const byteLength = new TextEncoder().encode(text).length
      t.strictSame(encodeMessage(message, options), { text, byteLength }, name)
    }
  })

  t.test('uses the serializer that it is given, once', async (t) => {
    let calls = 0
    const serializer = (data: unknown): string => `${typeof data} ${++calls}`
    t.equal(encodeMessage({ data: 1 }, { ...options, serializer }).text, 'data: number 1\n\n')
    t.equal(calls, 1)
  })

  t.test('throws what cannot be a message', async (t) => {
    const wrong = { id: 'a b', data: 'x' }
    t.throws(() => encodeMessage(wrong, options), { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' })
    t.throws(() => encodeMessage({ data: 1n }, options), { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION' })
  })

  t.test('throws what is longer on the wire than maxMessageBytes', async (t) => {
    const code = 'FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE'
    const message = (bytes: number, most: number): string =>
      `The message takes ${bytes} bytes on the wire, maxMessageBytes is ${most}`
    t.equal(encodeMessage('ü', limit(10)).byteLength, 10, 'exactly as long')
    t.throws(() => encodeMessage('ü', limit(9)), { code, message: message(10, 9) }, 'one byte longer')
    t.throws(
      () => encodeMessage({ retry: 1 }, limit(1)),
      { code, message: message(9, 1) },
      'also without data'
    )

    const newlines = '\n'.repeat(MEBIBYTE)
    const encoded = 7 * (MEBIBYTE + 1) + 1
    t.throws(
      () => encodeMessage(newlines, options),
      { code, message: message(encoded, MEBIBYTE) },
      '1 MiB of newlines becomes 7 MiB'
    )
    t.equal(encodeMessage(newlines, limit(encoded)).byteLength, encoded, 'and is sent if it may be')
  })
})

t.test('encodePublished › ends with the blank line that an id needs', async (t) => {
  const rows: readonly (readonly [Message | string, string])[] = [
    [{ retry: 5 }, 'retry: 5\n\n'],
    [{ data: 'x', retry: 5 }, 'data: x\nretry: 5\n\n'],
    ['retry: 5', 'data: retry: 5\n\n']
  ]
  for (const [message, text] of rows)
    t.strictSame(encodePublished(message, options), { text, byteLength: text.length })
})

t.test('encodeComment', async (t) => {
  t.strictSame(encodeComment('ü', options), { text: ': ü\n', byteLength: 5 }, 'gives a frame too')
  t.equal(encodeComment('', limit(2)).text, ':\n', 'an empty one takes 2 bytes')
  t.throws(
    () => encodeComment('', limit(1)),
    {
      code: 'FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE',
      message: /takes 2 bytes on the wire, maxMessageBytes is 1/
    },
    'throws what is too long'
  )
  t.throws(
    () => encodeComment('\ud83d', options),
    { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' },
    'throws what has no UTF-8 form'
  )
})

t.test('pieceEnd', async (t) => {
  const bytes = Buffer.from('aü\u2028😀b')
  const rows = [
    ['all of it, when it fits', 0, 11, 11],
    ['all of it, when there is one byte less', 0, 12, 11],
    ['all of it, when there is much less', 0, 100, 11],
    ['between characters', 0, 3, 3],
    ['before a character of two bytes that it would cut', 0, 2, 1],
    ['before one of three, at either cut', 3, 2, 3],
    ['before one of four, at each cut', 0, 9, 6],
    ['counted from the start', 1, 5, 6],
    ['the last one', 10, 4, 11]
  ] as const
  for (const [name, start, most, end] of rows) t.equal(pieceEnd(bytes, start, most), end, name)
  for (const cut of [7, 8, 9])
    t.equal(pieceEnd(bytes, 0, cut), 6, `a character of four bytes, cut after ${cut - 6}`)

  t.test(`cuts any text into whole characters (FC_SEED=${seed})`, async (t) => {
    t.comment(`FC_SEED=${seed}`)
    const property = fc.property(
      fc.string({ unit: 'binary', maxLength: 60 }),
      fc.integer({ min: 4, max: 40 }),
      (text, most) => {
        const bytes = Buffer.from(text)
        const pieces: string[] = []
        for (let start = 0; start < bytes.length; ) {
          const end = pieceEnd(bytes, start, most)
          assert.ok(end <= Math.min(start + most, bytes.length), 'no longer than the limit')
          assert.ok(end === bytes.length || end - start > most - 4, 'no shorter than it must')
          pieces.push(
            new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes.subarray(start, end))
          )
          start = end
        }
        assert.equal(pieces.join(''), text)
      }
    )
    fc.assert(property, { seed, numRuns: 1_000 })
    t.pass()
  })
})
