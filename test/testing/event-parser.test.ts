import { createParser } from 'eventsource-parser'
import fc from 'fast-check'
import t from 'tap'
import { EventParser, type ReceivedEvent } from '../../lib/testing/event-parser.ts'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

function parse(...chunks: (string | Uint8Array)[]): ReceivedEvent[] {
  const parser = new EventParser()
  return chunks.flatMap((chunk) => parser.feed(chunk))
}

t.test('EventParser', async (t) => {
  t.test('dispatches events as WHATWG HTML, section 9.2.6, says', async (t) => {
    const rows: readonly [string, string, readonly Partial<ReceivedEvent>[]][] = [
      ['data', 'data: a\n\n', [{ id: '', event: 'message', data: 'a' }]],
      ['lines of data', 'data: a\ndata\ndata:b\n\n', [{ data: 'a\n\nb' }]],
      ['only the first space goes', 'data:  a\n\n', [{ data: ' a' }]],
      ['a name, for one event', 'event: x\ndata: a\n\ndata: b\n\n', [{ event: 'x' }, { event: 'message' }]],
      ['an id stays', 'id: 1\ndata: a\n\ndata: b\n\n', [{ id: '1' }, { id: '1' }]],
      ['an empty id resets', 'id: 1\ndata: a\n\nid\ndata: b\n\n', [{ id: '1' }, { id: '' }]],
      ['an id with NUL is none', 'id: 1\0\ndata: a\n\n', [{ id: '' }]],
      ['no data, no event', 'event: x\nid: 1\n\n', []],
      ['no blank line, no event', 'data: a\n', []],
      [
        'CRLF and CR, the last at once',
        'data: a\r\ndata: b\r\r\ndata: c\r\r',
        [{ data: 'a\nb' }, { data: 'c' }]
      ],
      ['other fields', 'x: y\ndata: a\n\n', [{ data: 'a' }]],
      ['comments', ':data: a\n: x\ndata: b\n\n', [{ data: 'b' }]]
    ]
    for (const [name, text, events] of rows) {
      const received = parse(text)
      t.equal(received.length, events.length, name)
      t.match(received, events, name)
    }
  })

  t.test('wherever bytes are cut', async (t) => {
    const text = 'id: ü\r\nevent: 😀\r\ndata: é\r\ndata: x\r\n\r\n: c\n\ndata: b\r\rdata: c\r\r'
    const whole = parse(text)
    t.equal(whole.length, 3)
    const bytes = Buffer.from(text)
    for (let i = 0; i <= bytes.length; i++) {
      t.same(parse(bytes.subarray(0, i), '', bytes.subarray(i)), whole)
    }
    t.same(parse(...Array.from(bytes, (byte) => Buffer.of(byte))), whole)
  })

  t.test('keeps comments, the last id and the reconnection time', async (t) => {
    const parser = new EventParser()
    parser.feed(': a\n:b\n\nretry: 10\nretry: x\nid: 3\n')
    t.same(parser.comments, ['a', 'b'])
    t.equal(parser.retryMs, 10)
    t.equal(parser.lastEventId, '', 'which counts from the end of its block')
    parser.feed('\n')
    t.equal(parser.lastEventId, '3')
  })

  t.test('as another parser does, whatever comes', async () => {
    const word = fc.constantFrom('data', 'event', 'id', 'retry', ':', ': ', ' ', '\n', '\n', '\r\n', 'x', '5')
    fc.assert(
      fc.property(fc.array(word, { maxLength: 40 }), fc.nat(60), (words, cut) => {
        const text = words.join('')
        const events: ReceivedEvent[] = []
        let id = ''
        const reference = createParser({
          onEvent: (message) => {
            events.push({ id: message.id ?? id, event: message.event || 'message', data: message.data })
          }
        })
        reference.feed(text)
        const own = parse(text.slice(0, cut), text.slice(cut))
        for (const event of own) id = event.id
        return (
          JSON.stringify(own.map(({ data, event }) => [event, data])) ===
          JSON.stringify(events.map(({ data, event }) => [event, data]))
        )
      }),
      { seed, numRuns: 2_000 }
    )
  })
})
