import assert from 'node:assert/strict'
import { createParser } from 'eventsource-parser'
import fc from 'fast-check'
import t, { type Test } from 'tap'
import { formatComment, formatMessage, type Message, type Serializer } from '../../lib/wire/message.ts'
import { kindIn, refusal } from '../helpers/refusal.ts'
import { type DispatchedEvent, parseStream, StrictParser } from '../helpers/strict-parser.ts'

const ID_RULE =
  'message.id to be 0 to 1,024 printable ASCII characters without spaces, or a safe integer or bigint >= 0'
const EVENT_RULE = 'message.event to be a well-formed string without line ends'
const RETRY_RULE = 'message.retry to be an integer from 0 to 2147483647'
const SHAPE_RULE = 'the message to be an object or a string'
const EMPTY_RULE = 'the message to be an object with an id, data or retry'
const ORPHAN_RULE = 'message.data to be present beside an event, which clients otherwise never dispatch'
const SURROGATE_RULE = 'message.data to be a string without lone surrogates'

/** What the rule says, the message, its exact text. */
type Accepted = readonly [name: string, message: unknown, text: string]
/** What the rule says, what is no message, the error's message. */
type Refused = readonly [name: string, message: unknown, expected: string, got: string]

function format(message: unknown, serializer: Serializer = JSON.stringify): string {
  // What the types refuse is what these tests are about.
  return formatMessage(message as Message, serializer)
}

/** Each row gives exactly its text, which is one well-formed block. */
function accepts(t: Test, rows: readonly Accepted[]): void {
  for (const [name, message, text] of rows) {
    t.equal(format(message), text, name)
    t.doesNotThrow(() => parseStream(text), `${name}, and is one whole block`)
  }
}

function refuses(t: Test, rows: readonly Refused[]): void {
  for (const [name, message, expected, got] of rows) {
    const error = { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE', ...refusal(expected, got) }
    t.throws(() => format(message), error, name)
  }
}

function refusesToSerialize(t: Test, rows: readonly (readonly [string, unknown, string, RegExp])[]): void {
  for (const [name, data, got, cause] of rows) {
    const message = `The data cannot be serialized: ${kindIn(got)}`
    const error = { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION', message, cause: { message: cause } }
    t.throws(() => format({ data }), error, name)
  }
}

/** An object that turns into a legal value whenever it is asked to, and tells that it was. */
function impostor(value: string | number): { asked: boolean; object: object } {
  const state = { asked: false, object: {} }
  const answer = (): string | number => {
    state.asked = true
    return value
  }
  state.object = { toString: answer, valueOf: answer, toJSON: answer, [Symbol.toPrimitive]: answer }
  return state
}

t.test('message', async (t) => {
  t.test('data › a string is sent as it is', async (t) => {
    accepts(t, [
      ['text', { data: 'hello' }, 'data: hello\n\n'],
      ['a string stands for { data }', 'hello', 'data: hello\n\n'],
      ['the empty string is an event with empty data', { data: '' }, 'data: \n\n'],
      ['so is the empty string alone', '', 'data: \n\n'],
      ['a leading space', { data: ' x' }, 'data:  x\n\n'],
      ['only spaces', { data: '  ' }, 'data:   \n\n'],
      ['trailing spaces', { data: 'x  ' }, 'data: x  \n\n'],
      ['a leading tab', { data: '\tx' }, 'data: \tx\n\n'],
      ['a leading colon', { data: ':x' }, 'data: :x\n\n'],
      ['what looks like a field', { data: 'id: 1' }, 'data: id: 1\n\n'],
      ['what looks like JSON', { data: '"x"' }, 'data: "x"\n\n'],
      ['U+2028 and U+2029 are no line ends', 'a\u2028b\u2029c', 'data: a\u2028b\u2029c\n\n'],
      ['U+0085, VT and FF are no line ends', 'a\u0085b\vc\fd', 'data: a\u0085b\vc\fd\n\n'],
      ['a BOM, also the first one', '\ufeffa\ufeff', 'data: \ufeffa\ufeff\n\n'],
      ['NUL and other control characters', '\0\x01\x1b\x7f', 'data: \0\x01\x1b\x7f\n\n'],
      ['noncharacters', '\uffff\ufffe\u{10ffff}', 'data: \uffff\ufffe\u{10ffff}\n\n'],
      ['a replacement character', '\ufffd', 'data: \ufffd\n\n'],
      ['astral characters', '😀𝄞', 'data: 😀𝄞\n\n'],
      ['combining marks are not composed', 'e\u0301', 'data: e\u0301\n\n']
    ])
  })

  t.test('data › line ends', async (t) => {
    accepts(t, [
      ['LF', 'a\nb', 'data: a\ndata: b\n\n'],
      ['CRLF is one', 'a\r\nb', 'data: a\ndata: b\n\n'],
      ['a lone CR is a line end', 'a\rb', 'data: a\ndata: b\n\n'],
      ['LF CR are two', 'a\n\rb', 'data: a\ndata: \ndata: b\n\n'],
      ['CR CR LF are two', 'a\r\r\nb', 'data: a\ndata: \ndata: b\n\n'],
      ['CR CRLF LF CR are four', '\r\r\n\n\r', 'data: \ndata: \ndata: \ndata: \ndata: \n\n'],
      ['a trailing one makes one more line', 'a\n', 'data: a\ndata: \n\n'],
      ['a trailing CR makes one more line', 'a\r', 'data: a\ndata: \n\n'],
      ['a trailing CRLF makes one more line', 'a\r\n', 'data: a\ndata: \n\n'],
      ['a leading one makes one more line', '\na', 'data: \ndata: a\n\n'],
      ['one alone makes two lines', '\n', 'data: \ndata: \n\n'],
      ['n of them make n + 1 lines', '\n\n\n', 'data: \ndata: \ndata: \ndata: \n\n'],
      ['a blank line does not end the message', 'a\n\nb', 'data: a\ndata: \ndata: b\n\n'],
      [
        'no field is smuggled in by LF',
        'a\nid: 1\n\ndata: b',
        'data: a\ndata: id: 1\ndata: \ndata: data: b\n\n'
      ],
      [
        'no field is smuggled in by CR',
        'a\rid: 1\r\rdata: b',
        'data: a\ndata: id: 1\ndata: \ndata: data: b\n\n'
      ],
      ['beside characters that only look like one', '\u2028\n\u0085', 'data: \u2028\ndata: \u0085\n\n']
    ])
  })

  t.test('data › lone surrogates have no UTF-8 form', async (t) => {
    refuses(t, [
      ['a high one', { data: 'a\ud83d' }, SURROGATE_RULE, "'a\\ud83d' (string)"],
      ['a low one', { data: '\ude00a' }, SURROGATE_RULE, "'\\ude00a' (string)"],
      ['a pair the wrong way round', { data: '\ude00\ud83d' }, SURROGATE_RULE, "'\\ude00\\ud83d' (string)"],
      [
        'two halves with a line end between them',
        '\ud83d\n\ude00',
        SURROGATE_RULE,
        "'\\ud83d\\n\\ude00' (string)"
      ]
    ])
    t.equal(format({ data: ['\ud83d'] }), 'data: ["\\ud83d"]\n\n', 'JSON writes them as escapes')
    t.throws(
      () => format({ data: {} }, () => '\ud83d'),
      { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' },
      "in a serializer's result"
    )
  })

  t.test('data › anything else goes through the serializer', async (t) => {
    accepts(t, [
      ['an object', { data: { a: 'ü', b: [1] } }, 'data: {"a":"ü","b":[1]}\n\n'],
      ['an array', { data: [1, '2', null] }, 'data: [1,"2",null]\n\n'],
      ['null', { data: null }, 'data: null\n\n'],
      ['zero', { data: 0 }, 'data: 0\n\n'],
      ['false', { data: false }, 'data: false\n\n'],
      ['a Date', { data: new Date(0) }, 'data: "1970-01-01T00:00:00.000Z"\n\n'],
      ['a String object', { data: Object('x') }, 'data: "x"\n\n'],
      ['line ends, which JSON escapes', { data: { a: '\r\n' } }, 'data: {"a":"\\r\\n"}\n\n'],
      ['an object with its own toJSON', { data: { toJSON: () => 'mine' } }, 'data: "mine"\n\n']
    ])

    t.test('which is called exactly once, with the data alone', async (t) => {
      const calls: unknown[][] = []
      const data = { a: 1 }
      const serializer = (...args: unknown[]): string => {
        calls.push(args)
        return 'text'
      }
      t.equal(format({ data }, serializer), 'data: text\n\n')
      t.equal(calls.length, 1)
      t.equal(calls[0]?.length, 1)
      t.equal(calls[0]?.[0], data)
    })

    t.test('but strings and bytes never do', async (t) => {
      const serializer = (): never => {
        throw new Error('called')
      }
      t.equal(format({ data: 'x' }, serializer), 'data: x\n\n')
      t.equal(format('x', serializer), 'data: x\n\n')
      t.equal(format({ data: Buffer.from('x') }, serializer), 'data: x\n\n')
    })

    t.test('whose result is data like any other', async (t) => {
      t.equal(
        format({ data: 1 }, () => 'a\r\nb\rid: 1\n'),
        'data: a\ndata: b\ndata: id: 1\ndata: \n\n',
        'split'
      )
      t.equal(
        format({ data: 1 }, () => ''),
        'data: \n\n',
        'empty'
      )
      t.equal(
        format({ data: undefined }, () => 'nothing'),
        'data: nothing\n\n',
        'also for undefined'
      )
    })
  })

  t.test('data › what cannot be serialized', async (t) => {
    const circular: Record<string, unknown> = {}
    circular.self = circular
    const notText = /^Expected the serializer's result to be a string, got undefined$/
    const toJSON = (): never => {
      throw new Error('mine')
    }
    refusesToSerialize(t, [
      ['undefined', undefined, 'undefined (undefined)', notText],
      ['a function', () => 'x', '[Function (anonymous)] (function)', notText],
      ['a symbol', Symbol('x'), 'Symbol(x) (symbol)', notText],
      ['a toJSON that gives nothing', { toJSON() {} }, '{ toJSON: [Function: toJSON] } (object)', notText],
      ['a BigInt', 1n, '1n (bigint)', /BigInt/],
      ['a BigInt inside', { a: 1n }, '{ a: 1n } (object)', /BigInt/],
      ['a circle', circular, '<ref *1> { self: [Circular *1] } (object)', /circular/],
      ['a toJSON that throws', { toJSON }, '{ toJSON: [Function: toJSON] } (object)', /^mine$/]
    ])

    const emptied: [string, object][] = [
      ['Promise', Promise.resolve(1)],
      ['Map', new Map([[1, 2]])],
      ['Map', new Map()],
      ['Set', new Set([1])],
      ['WeakMap', new WeakMap()],
      ['ArrayBuffer', new ArrayBuffer(8)],
      ['SharedArrayBuffer', new SharedArrayBuffer(8)],
      ['DataView', new DataView(new ArrayBuffer(8))],
      ['Error', new Error('x')],
      ['RangeError', new RangeError('x')],
      ['RegExp', /x/],
      ['URLSearchParams', new URLSearchParams('a=1')],
      ['Headers', new Headers({ a: 'b' })],
      [
        'Counter',
        new (class Counter {
          readonly #count = 1
          get count(): number {
            return this.#count
          }
        })()
      ]
    ]
    for (const [name, data] of emptied) {
      const cause = { message: `JSON keeps nothing of a ${name}` }
      const refused = { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION', cause }
      t.throws(() => format({ data }), refused, name)
      t.throws(() => format({ data: [{ inside: data }] }), refused, `${name} inside`)
      t.throws(() => format({ data: { toJSON: () => ({ inside: data }) } }), refused)
      t.equal(
        format({ data }, (given) => JSON.stringify(given)),
        'data: {}\n\n',
        'a serializer of its own decides'
      )
    }
    t.throws(() => format({ data: { a: Object.create({ a: 1 }) } }), {
      code: 'FST_ERR_EVENTSTREAM_SERIALIZATION'
    })
    accepts(t, [
      ['an empty object', { data: {} }, 'data: {}\n\n'],
      ['one without a prototype', { data: Object.create(null) }, 'data: {}\n\n'],
      ['what has no value', { data: { a: {}, b: undefined, c: [] } }, 'data: {"a":{},"c":[]}\n\n'],
      ['boxes beside', { data: [{}, Object(1), Object('{}')] }, 'data: [{},1,"{}"]\n\n'],
      ['dates beside', { data: [{}, new Date(0)] }, 'data: [{},"1970-01-01T00:00:00.000Z"]\n\n']
    ])

    const results: readonly unknown[] = [undefined, null, 1, true, {}, [], Object('x'), Buffer.from('x')]
    for (const result of results) {
      const error = { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION', cause: { name: 'TypeError' } }
      const serializer = (() => result) as Serializer
      t.throws(() => format({ data: 1 }, serializer), error, `a serializer that returns ${typeof result}`)
    }
    const asynchronous = (async () => 'x') as unknown as Serializer
    t.throws(
      () => format({ data: 1 }, asynchronous),
      { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION', cause: { message: /got a promise$/ } },
      'a serializer that returns a promise'
    )
    const cause = new Error('mine')
    t.throws(
      () =>
        format({ data: 1 }, () => {
          throw cause
        }),
      {
        code: 'FST_ERR_EVENTSTREAM_SERIALIZATION',
        message: 'The data cannot be serialized: a number',
        cause
      },
      'a serializer that throws'
    )
  })

  t.test('data › bytes are UTF-8 text', async (t) => {
    accepts(t, [
      ['a Buffer', { data: Buffer.from('ü😀') }, 'data: ü😀\n\n'],
      ['a Uint8Array', { data: new TextEncoder().encode('ü😀') }, 'data: ü😀\n\n'],
      ['a view of a part', { data: Buffer.from('-ü-').subarray(1, 3) }, 'data: ü\n\n'],
      ['none', { data: new Uint8Array() }, 'data: \n\n'],
      ['line ends', { data: Buffer.from('a\rb\n') }, 'data: a\ndata: b\ndata: \n\n'],
      ['a BOM stays', { data: Buffer.from('\ufeffa') }, 'data: \ufeffa\n\n'],
      ['NUL', { data: Uint8Array.of(0) }, 'data: \0\n\n']
    ])
    const rule = 'message.data to be valid UTF-8'
    refuses(t, [
      ['a byte that never occurs', { data: Uint8Array.of(0xff) }, rule, 'Uint8Array(1) [ 255 ] (object)'],
      ['a cut character', { data: Buffer.from([0xc3]) }, rule, 'Buffer(1) [Uint8Array] [ 195 ] (object)'],
      ['an overlong form', { data: Uint8Array.of(0xc0, 0x8a) }, rule, 'Uint8Array(2) [ 192, 138 ] (object)'],
      [
        'a surrogate',
        { data: Uint8Array.of(0xed, 0xa0, 0x80) },
        rule,
        'Uint8Array(3) [ 237, 160, 128 ] (object)'
      ]
    ])
    t.equal(format({ data: Uint16Array.of(7) }), 'data: {"0":7}\n\n', 'other typed arrays are no bytes')
  })

  t.test('event', async (t) => {
    accepts(t, [
      ['a name', { event: 'tick', data: '' }, 'event: tick\ndata: \n\n'],
      ['the empty string is no event line', { event: '', data: '' }, 'data: \n\n'],
      ['undefined is no event line', { event: undefined, data: '' }, 'data: \n\n'],
      ['error and open are legal', { event: 'error', data: 'open' }, 'event: error\ndata: open\n\n'],
      ['spaces inside and around', { event: ' a b ', data: '' }, 'event:  a b \ndata: \n\n'],
      ['a colon', { event: ':', data: '' }, 'event: :\ndata: \n\n'],
      ['any other character', { event: '\0\u2028ü😀', data: '' }, 'event: \0\u2028ü😀\ndata: \n\n']
    ])
    refuses(t, [
      ['LF', { event: 'a\nb', data: '' }, EVENT_RULE, "'a\\nb' (string)"],
      ['CR', { event: 'a\rb', data: '' }, EVENT_RULE, "'a\\rb' (string)"],
      ['CRLF', { event: 'a\r\n', data: '' }, EVENT_RULE, "'a\\r\\n' (string)"],
      ['a lone surrogate', { event: '\ud83d', data: '' }, EVENT_RULE, "'\\ud83d' (string)"],
      ['null', { event: null, data: '' }, EVENT_RULE, 'null (null)'],
      ['a number', { event: 1, data: '' }, EVENT_RULE, '1 (number)'],
      ['a boolean', { event: false, data: '' }, EVENT_RULE, 'false (boolean)'],
      ['a symbol', { event: Symbol('x'), data: '' }, EVENT_RULE, 'Symbol(x) (symbol)'],
      ['an array', { event: ['x'], data: '' }, EVENT_RULE, "[ 'x' ] (array)"],
      ['a String object', { event: Object('x'), data: '' }, EVENT_RULE, "[String: 'x'] (object)"],
      ['without data, which clients never dispatch', { event: 'x' }, ORPHAN_RULE, 'undefined (undefined)'],
      ['without data, beside an id', { id: 1, event: 'x' }, ORPHAN_RULE, 'undefined (undefined)'],
      ['without data, beside retry', { event: 'x', retry: 1 }, ORPHAN_RULE, 'undefined (undefined)']
    ])
  })

  t.test('id', async (t) => {
    const longest = 'x'.repeat(1024)
    const alphabet = String.fromCharCode(...Array.from({ length: 94 }, (_, index) => 0x21 + index))
    accepts(t, [
      ['a string', { id: 'a:1', data: '' }, 'id: a:1\ndata: \n\n'],
      ['every printable ASCII character', { id: alphabet, data: '' }, `id: ${alphabet}\ndata: \n\n`],
      ['zero is an id', { id: 0, data: '' }, 'id: 0\ndata: \n\n'],
      ['so is the string', { id: '0', data: '' }, 'id: 0\ndata: \n\n'],
      ['minus zero is zero', { id: -0, data: '' }, 'id: 0\ndata: \n\n'],
      ['a safe integer', { id: 2 ** 53 - 1, data: '' }, 'id: 9007199254740991\ndata: \n\n'],
      ['a bigint', { id: 2n ** 64n, data: '' }, 'id: 18446744073709551616\ndata: \n\n'],
      ['a bigint zero', { id: 0n, data: '' }, 'id: 0\ndata: \n\n'],
      ['the empty string resets', { id: '', data: '' }, 'id: \ndata: \n\n'],
      ['1,024 characters', { id: longest, data: '' }, `id: ${longest}\ndata: \n\n`],
      ['1,024 digits', { id: 10n ** 1023n, data: '' }, `id: ${10n ** 1023n}\ndata: \n\n`],
      ['alone: it moves the cursor', { id: 7 }, 'id: 7\n\n'],
      ['alone and empty', { id: '' }, 'id: \n\n'],
      ['undefined is none', { id: undefined, data: '' }, 'data: \n\n']
    ])
    const tooLong = `'${'x'.repeat(80)}'... 945 more characters (string)`
    refuses(t, [
      ['NaN', { id: Number.NaN, data: '' }, ID_RULE, 'NaN (number)'],
      ['a fraction', { id: 1.5, data: '' }, ID_RULE, '1.5 (number)'],
      ['a negative number', { id: -1, data: '' }, ID_RULE, '-1 (number)'],
      ['an unsafe integer', { id: 2 ** 53, data: '' }, ID_RULE, '9007199254740992 (number)'],
      ['infinity', { id: Infinity, data: '' }, ID_RULE, 'Infinity (number)'],
      ['a negative bigint', { id: -1n, data: '' }, ID_RULE, '-1n (bigint)'],
      ['1,025 characters', { id: `${longest}x`, data: '' }, ID_RULE, tooLong],
      ['1,025 digits', { id: 10n ** 1024n, data: '' }, ID_RULE, `1${'0'.repeat(119)}… (bigint)`],
      ['a leading space', { id: ' 1', data: '' }, ID_RULE, "' 1' (string)"],
      ['a trailing space', { id: '1 ', data: '' }, ID_RULE, "'1 ' (string)"],
      ['a space', { id: ' ', data: '' }, ID_RULE, "' ' (string)"],
      ['a space inside', { id: 'a b', data: '' }, ID_RULE, "'a b' (string)"],
      ['a tab', { id: 'a\tb', data: '' }, ID_RULE, "'a\\tb' (string)"],
      ['NUL', { id: 'a\0', data: '' }, ID_RULE, "'a\\x00' (string)"],
      ['DEL', { id: '\x7f', data: '' }, ID_RULE, "'\\x7F' (string)"],
      ['LF', { id: 'a\nb', data: '' }, ID_RULE, "'a\\nb' (string)"],
      ['a trailing LF', { id: 'a\n', data: '' }, ID_RULE, "'a\\n' (string)"],
      ['CR', { id: 'a\r', data: '' }, ID_RULE, "'a\\r' (string)"],
      ['a BOM', { id: '\ufeff1', data: '' }, ID_RULE, "'\ufeff1' (string)"],
      ['non-ASCII', { id: 'ü', data: '' }, ID_RULE, "'ü' (string)"],
      ['a lone surrogate', { id: '\ud83d', data: '' }, ID_RULE, "'\\ud83d' (string)"],
      ['null', { id: null, data: '' }, ID_RULE, 'null (null)'],
      ['a boolean', { id: true, data: '' }, ID_RULE, 'true (boolean)'],
      ['a symbol', { id: Symbol('x'), data: '' }, ID_RULE, 'Symbol(x) (symbol)'],
      ['an array', { id: ['1'], data: '' }, ID_RULE, "[ '1' ] (array)"],
      ['a Date', { id: new Date(0), data: '' }, ID_RULE, '1970-01-01T00:00:00.000Z (object)'],
      ['bytes', { id: Buffer.from('1'), data: '' }, ID_RULE, 'Buffer(1) [Uint8Array] [ 49 ] (object)']
    ])
  })

  t.test('retry', async (t) => {
    accepts(t, [
      ['milliseconds', { retry: 3000, data: '' }, 'data: \nretry: 3000\n\n'],
      ['zero is legal', { retry: 0, data: '' }, 'data: \nretry: 0\n\n'],
      ['minus zero is zero', { retry: -0, data: '' }, 'data: \nretry: 0\n\n'],
      ['the largest', { retry: 2_147_483_647, data: '' }, 'data: \nretry: 2147483647\n\n'],
      ['alone, which needs no blank line', { retry: 1 }, 'retry: 1\n'],
      ['undefined is none', { retry: undefined, data: '' }, 'data: \n\n']
    ])
    refuses(t, [
      ['one more than the largest', { retry: 2_147_483_648 }, RETRY_RULE, '2147483648 (number)'],
      ['a negative number', { retry: -1 }, RETRY_RULE, '-1 (number)'],
      ['a fraction', { retry: 0.5 }, RETRY_RULE, '0.5 (number)'],
      ['NaN', { retry: Number.NaN }, RETRY_RULE, 'NaN (number)'],
      ['infinity', { retry: Infinity }, RETRY_RULE, 'Infinity (number)'],
      ['what would be written with an exponent', { retry: 1e21 }, RETRY_RULE, '1e+21 (number)'],
      ['a string', { retry: '1' }, RETRY_RULE, "'1' (string)"],
      ['the empty string', { retry: '' }, RETRY_RULE, "'' (string)"],
      ['a bigint', { retry: 1n }, RETRY_RULE, '1n (bigint)'],
      ['null', { retry: null }, RETRY_RULE, 'null (null)'],
      ['false', { retry: false }, RETRY_RULE, 'false (boolean)'],
      ['an array', { retry: [1] }, RETRY_RULE, '[ 1 ] (array)'],
      ['beside data that is legal', { data: 'x', retry: -1 }, RETRY_RULE, '-1 (number)']
    ])
  })

  t.test('shape', async (t) => {
    class Tick {
      readonly event = 'tick'
      readonly data = 1
      toString(): string {
        return 'never used'
      }
    }
    accepts(t, [
      [
        'the order is id, event, data, retry',
        { retry: 4, data: 'c\nd', event: 'b', id: 'a' },
        'id: a\nevent: b\ndata: c\ndata: d\nretry: 4\n\n'
      ],
      ['id and retry', { retry: 2, id: 1 }, 'id: 1\nretry: 2\n\n'],
      ['no event and no data beside an id', { id: 1, event: '' }, 'id: 1\n\n'],
      ['an instance of a class', new Tick(), 'event: tick\ndata: 1\n\n'],
      ['an object without a prototype', Object.assign(Object.create(null), { data: 'x' }), 'data: x\n\n'],
      ['fields that are inherited', Object.create({ data: 'x' }), 'data: x\n\n'],
      ['a frozen object', Object.freeze({ data: 'x' }), 'data: x\n\n'],
      ['symbols as names do not count', Object.assign({ data: 'x' }, { [Symbol('x')]: 1 }), 'data: x\n\n']
    ])
    const FIELD_RULE = 'each field of the message to be id, event, data or retry'
    const long = 'x'.repeat(1000)
    refuses(t, [
      ['nothing', undefined, SHAPE_RULE, 'undefined (undefined)'],
      ['null', null, SHAPE_RULE, 'null (null)'],
      ['a number', 1, SHAPE_RULE, '1 (number)'],
      ['a bigint', 1n, SHAPE_RULE, '1n (bigint)'],
      ['a boolean', true, SHAPE_RULE, 'true (boolean)'],
      ['a symbol', Symbol('x'), SHAPE_RULE, 'Symbol(x) (symbol)'],
      ['a function', function send() {}, SHAPE_RULE, '[Function: send] (function)'],
      ['an array', ['x'], SHAPE_RULE, "[ 'x' ] (array)"],
      ['an array with fields', Object.assign([], { data: 'x' }), SHAPE_RULE, "[ data: 'x' ] (array)"],
      ['{}', {}, EMPTY_RULE, '{} (object)'],
      ['a Date, which has no fields', new Date(0), EMPTY_RULE, '1970-01-01T00:00:00.000Z (object)'],
      [
        'a Map, which has no fields',
        new Map([['data', 'x']]),
        EMPTY_RULE,
        "Map(1) { 'data' => 'x' } (object)"
      ],
      ['only undefined fields', { id: undefined }, EMPTY_RULE, '{ id: undefined } (object)'],
      ['only an empty event', { event: '' }, EMPTY_RULE, "{ event: '' } (object)"],
      ['a field that does not exist', { data: 'x', comment: 'y' }, FIELD_RULE, "'comment' (string)"],
      [
        'one with a long name',
        { [long]: 1 },
        FIELD_RULE,
        `'${'x'.repeat(80)}'... 920 more characters (string)`
      ],
      ['a field in capitals', { Data: 'x' }, FIELD_RULE, "'Data' (string)"],
      ['a field that is undefined and does not exist', { type: undefined }, FIELD_RULE, "'type' (string)"],
      ['bytes, which are data and no message', Buffer.from('a'), FIELD_RULE, "'0' (string)"],
      ['a String object', Object('x'), FIELD_RULE, "'0' (string)"]
    ])
    t.throws(
      () => format({ data: undefined }),
      { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION' },
      'data that is present and undefined is not the same as none'
    )

    t.test('each field is read once, so that what was checked is what is sent', async (t) => {
      const reads: string[] = []
      const values: Record<string, unknown> = { id: '1', event: 'x', data: 'y', retry: 2 }
      const message = {}
      for (const name of Object.keys(values)) {
        const get = (): unknown => {
          reads.push(name)
          return values[name]
        }
        Object.defineProperty(message, name, { enumerable: true, get })
      }
      t.equal(format(message), 'id: 1\nevent: x\ndata: y\nretry: 2\n\n')
      t.same(reads.sort(), ['data', 'event', 'id', 'retry'])
    })

    t.test('a field that throws when it is read throws the same', async (t) => {
      const message = {
        get data(): string {
          throw new Error('mine')
        }
      }
      t.throws(() => format(message), { message: 'mine' })
    })
  })

  t.test('objects that turn into legal values are refused without asking them', async (t) => {
    const error = { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }
    for (const [field, value] of [
      ['id', '1'],
      ['id', 1],
      ['event', 'tick'],
      ['retry', 1]
    ] as const) {
      const { object, ...state } = impostor(value)
      t.throws(
        () => format({ data: 'x', [field]: object }),
        error,
        `${field} like the ${typeof value} ${value}`
      )
      t.throws(() => format({ data: 'x', [field]: [object] }), error, `${field} as an array of one`)
      t.notOk(state.asked, 'nobody asked')
    }
  })

  t.test('a refused value is described without running its code', async (t) => {
    const boom = (): never => {
      throw new Error('run')
    }
    const error = { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }
    const inspecting = { [Symbol.for('nodejs.util.inspect.custom')]: boom }
    t.throws(() => format({ id: inspecting }), error, 'a custom inspection')
    t.throws(() => format({ id: Object.defineProperty({}, 'a', { get: boom }) }), error, 'a getter')
    t.throws(
      () => format({ id: Object.defineProperty({}, 'constructor', { get: boom }) }),
      error,
      'a constructor'
    )
    t.throws(() => format({ id: new Proxy({}, { get: boom, ownKeys: boom }) }), error, 'a proxy')
  })
})

t.test('comment', async (t) => {
  t.test('one line per line of text', async (t) => {
    const rows = [
      ['text', 'hello', ': hello\n'],
      ['empty', '', ':\n'],
      ['LF, CR and CRLF', 'a\nb\rc\r\nd', ': a\n: b\n: c\n: d\n'],
      ['a trailing line end', 'a\n', ': a\n: \n'],
      ['what looks like a field', 'a\ndata: b\n\nid: 1', ': a\n: data: b\n: \n: id: 1\n'],
      ['a leading colon and space', ': x', ': : x\n'],
      ['any other character', '\0\ufeff\u2028😀', ': \0\ufeff\u2028😀\n']
    ] as const
    for (const [name, comment, text] of rows) {
      t.equal(formatComment(comment), text, name)
      const { comments, events } = parseStream(text)
      t.same(comments, comment.split(/\r\n|\r|\n/), `${name}, and every line is a comment`)
      t.same(events, [], `${name}, and no event`)
    }
  })

  t.test('a text that cannot be sent', async (t) => {
    const code = 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE'
    for (const [value, got] of [
      [undefined, 'undefined (undefined)'],
      [null, 'null (null)'],
      [1, '1 (number)'],
      [['x'], "[ 'x' ] (array)"],
      [Object('x'), "[String: 'x'] (object)"]
    ] as const) {
      t.throws(() => formatComment(value), { code, ...refusal('the comment to be a string', got) }, got)
    }
    const message = 'Expected the comment to be a string without lone surrogates, got a string'
    t.throws(() => formatComment('\ud83d'), { code, message }, 'a lone surrogate')
  })
})

t.test('the strict parser', async (t) => {
  t.test('reads what the standard says', async (t) => {
    const stream =
      ': hi\n:\nid: 1\nevent: a\ndata: x\ndata: \n\nretry: 5\nid: 2\n\ndata: y\n\nid: \ndata: z\n\n'
    t.same(parseStream(stream), {
      events: [
        { type: 'a', data: 'x\n', lastEventId: '1' },
        { type: 'message', data: 'y', lastEventId: '2' },
        { type: 'message', data: 'z', lastEventId: '' }
      ],
      comments: ['hi', ''],
      lastEventId: '',
      retryMs: 5
    })
  })

  t.test('an id counts from the blank line that ends its block', async (t) => {
    const parser = new StrictParser()
    t.same(parser.feed(Buffer.from('id: 1\ndata: a\n\nid: 2\ndata: b\n')).length, 1)
    t.equal(parser.lastEventId, '1')
    t.throws(() => parser.end(), /a cut block/)
    parser.feed(Buffer.from('\n'))
    t.equal(parser.lastEventId, '2')
    parser.end()
  })

  t.test('refuses what a correct server never sends', async (t) => {
    const rows = [
      ['a CR as line end', 'data: a\r\n\n', /a CR/],
      ['another field', 'foo: a\n\n', /unknown field/],
      ['a field in capitals', 'Data: a\n\n', /unknown field/],
      ['a line without a colon', 'data\n\n', /without a colon/],
      ['no space after the colon', 'data:a\n\n', /no space/],
      ['an empty event', 'event: \ndata: a\n\n', /wrong value/],
      ['an id with NUL', 'id: \0\ndata: a\n\n', /wrong value/],
      ['a retry that is no number', 'retry: 1s\n\n', /wrong value/],
      ['an empty retry', 'retry: \n\n', /wrong value/],
      ['a BOM', '\ufeffdata: a\n\n', /unknown field/],
      ['a repeated id', 'id: 1\nid: 1\n\n', /repeated/],
      ['an event without data', 'event: a\n\n', /without data/],
      ['a blank line that ends nothing', 'data: a\n\n\n', /ends nothing/],
      ['a block without its blank line', 'data: a\n', /cut block/],
      ['a cut line', 'data: a\n\nda', /cut block/]
    ] as const
    for (const [name, stream, message] of rows) t.throws(() => parseStream(stream), message, name)
    t.throws(() => parseStream(Uint8Array.of(0x3a, 0x20, 0xff)), { name: 'TypeError' }, 'invalid UTF-8')
    t.throws(() => parseStream(Uint8Array.of(0x3a, 0x20, 0xc3)), { name: 'TypeError' }, 'a cut character')
  })
})

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

const LINE_ENDS = ['\r', '\n', '\r\n', '\n\r', '\r\r\n']
const HOSTILE = [
  ...LINE_ENDS,
  ...['\n\n', '\r\r', '\r\n\r\n', '\ndata: x\n\n', '\rid: 1\r', '\nretry: 1\n', '\nevent: x\n'],
  ...[':', ': ', ' ', '  ', '\t', 'data:', 'data: ', 'data', 'id:', 'id: 1', 'event:', 'retry: 0', ':\n'],
  ...['\ufeff', '\0', '\v', '\f', '\x1c', '\u0085', '\u2028', '\u2029', '\ufffd', '\uffff', '😀', '𝄞', 'ü']
]

const text = fc
  .array(
    fc.oneof(
      { arbitrary: fc.constantFrom(...HOSTILE), weight: 3 },
      { arbitrary: fc.string({ unit: 'binary', maxLength: 8 }), weight: 1 }
    ),
    { maxLength: 8 }
  )
  .map((parts) => parts.join(''))
const line = text.map((value) => value.replace(/[\r\n]/g, ''))
const idText = fc.oneof(
  fc.string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    maxLength: 12
  }),
  fc.constantFrom('0', ':', 'id:', 'data:x', '%00', 'x'.repeat(1024), '')
)
const id = fc.oneof(idText, fc.maxSafeNat(), fc.bigInt({ min: 0n }), fc.constantFrom(0, 0n))
const retry = fc.oneof(fc.integer({ min: 0, max: 2_147_483_647 }), fc.constantFrom(0, 2_147_483_647))
const data = fc.oneof(
  { arbitrary: text, weight: 6 },
  { arbitrary: text.map((value) => Buffer.from(value)), weight: 1 },
  { arbitrary: text.map((value) => new TextEncoder().encode(value)), weight: 1 },
  { arbitrary: text.map((value) => ({ [value]: [value, null] })), weight: 1 },
  { arbitrary: fc.jsonValue({ maxDepth: 1 }), weight: 1 }
)
const message: fc.Arbitrary<Message> = fc.oneof(
  { arbitrary: fc.record({ id, event: line, data, retry }, { requiredKeys: ['data'] }), weight: 9 },
  { arbitrary: fc.record({ id, retry }, { requiredKeys: ['id'] }), weight: 1 },
  { arbitrary: fc.record({ retry }), weight: 1 }
)

/** Sizes of the pieces that bytes arrive in, over and over. */
const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 500 })), {
  minLength: 1,
  maxLength: 6
})

function* cut(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let start = 0
  for (let turn = 0; start < bytes.length; turn++) {
    const end = start + (sizes[turn % sizes.length] ?? 1)
    yield bytes.subarray(start, end)
    start = end
  }
}

/** What a client has after these messages: the rule, in other words than the code's. */
function received(messages: readonly Message[]): Omit<ReturnType<typeof readStrictly>, 'comments'> {
  const events: DispatchedEvent[] = []
  let lastEventId = ''
  let retryMs: number | undefined
  for (const message of messages) {
    if (message.id !== undefined) lastEventId = String(message.id)
    // Digits have no sign: -0 is 0.
    if (message.retry !== undefined) retryMs = Math.abs(message.retry)
    if (Object.hasOwn(message, 'data')) {
      events.push({ type: message.event || 'message', data: textOf(message.data), lastEventId })
    }
  }
  return { events, lastEventId, retryMs }
}

function textOf(data: unknown): string {
  const text =
    typeof data === 'string'
      ? data
      : data instanceof Uint8Array
        ? Buffer.from(data).toString()
        : JSON.stringify(data)
  return text.replaceAll('\r\n', '\n').replaceAll('\r', '\n')
}

function readStrictly(bytes: Uint8Array, sizes: readonly number[]) {
  const parser = new StrictParser()
  const events = [...cut(bytes, sizes)].flatMap((piece) => parser.feed(piece))
  parser.end()
  const { comments, lastEventId, retryMs } = parser
  return { events, comments, lastEventId, retryMs }
}

/** The package tells of ids only beside data, and leaves it to its user to keep the last one. */
function readWithPackage(bytes: Uint8Array, sizes: readonly number[]) {
  const events: { type: string; data: string; id: string | undefined }[] = []
  const comments: string[] = []
  let retryMs: number | undefined
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const parser = createParser({
    onEvent: ({ event, data, id }) => events.push({ type: event ?? 'message', data, id }),
    onComment: (comment) => comments.push(comment),
    onRetry: (value) => {
      retryMs = value
    },
    onError: (error) => {
      throw error
    }
  })
  for (const piece of cut(bytes, sizes)) parser.feed(decoder.decode(piece, { stream: true }))
  return { events, comments, retryMs }
}

t.test(`properties (FC_SEED=${seed})`, async (t) => {
  t.comment(`FC_SEED=${seed}`)

  t.test('20,000 messages come back equal through two parsers, wherever their bytes are cut', async (t) => {
    const streams = 800
    const length = 25
    let count = 0
    const property = fc.property(
      fc.array(message, { minLength: length, maxLength: length }),
      sizes,
      (messages, sizes) => {
        const bytes = Buffer.from(messages.map((message) => format(message)).join(''))
        const { events, lastEventId, retryMs } = received(messages)
        equal(readStrictly(bytes, sizes), { events, comments: [], lastEventId, retryMs })
        const withData = messages.filter((message) => Object.hasOwn(message, 'data'))
        const own = withData.map(({ id, event, data }) => ({
          type: event || 'message',
          data: textOf(data),
          id: id === undefined ? undefined : String(id)
        }))
        equal(readWithPackage(bytes, sizes), { events: own, comments: [], retryMs })
        count += messages.length
      }
    )
    fc.assert(property, { seed, numRuns: streams })
    t.equal(count, 20_000)
  })

  t.test('a string is the message that has it as data', async (t) => {
    fc.assert(
      fc.property(text, (value) => equal(format(value), format({ data: value }))),
      { seed, numRuns: 1_000 }
    )
    t.pass()
  })

  t.test('comments come back as comments and as nothing else', async (t) => {
    const property = fc.property(text, sizes, (value, sizes) => {
      const bytes = Buffer.from(formatComment(value))
      const comments = value.split(/\r\n|\r|\n/)
      equal(readStrictly(bytes, sizes), { events: [], comments, lastEventId: '', retryMs: undefined })
      equal(readWithPackage(bytes, sizes), { events: [], comments, retryMs: undefined })
    })
    fc.assert(property, { seed, numRuns: 500 })
    t.pass()
  })

  t.test('a message with one wrong field gives no text at all', async (t) => {
    const imposture = fc.oneof(id, retry).map((value) => impostor(String(value)).object)
    const notText = fc.oneof(
      fc.constantFrom<unknown>(null, true, false, [], {}, Symbol('x'), () => '1', new Date(0), /x/),
      imposture,
      idText.map((value) => [value]),
      idText.map((value): unknown => Object(value))
    )
    const surrogate = fc.constantFrom('\ud800', '\udbff', '\udc00', '\udfff')
    const illFormed = fc.tuple(text, surrogate, text).map((parts) => parts.join(' '))
    const twoLines = fc.tuple(line, fc.constantFrom(...LINE_ENDS), line).map((parts) => parts.join(''))
    const wrongNumber = fc.oneof(
      fc.integer({ max: -1 }),
      fc.double().filter((value) => !Number.isSafeInteger(value)),
      fc.bigInt({ max: -1n })
    )
    const wrong: fc.Arbitrary<object> = fc.oneof(
      fc.record({
        id: fc.oneof(
          text.filter((value) => !/^[!-~]*$/.test(value)),
          fc.string({ unit: fc.constantFrom('x', ':', '0'), minLength: 1025, maxLength: 1100 }),
          illFormed,
          wrongNumber,
          notText
        )
      }),
      fc.record({ event: fc.oneof(twoLines, illFormed, notText, fc.integer(), fc.bigInt()) }),
      fc.record({
        retry: fc.oneof(text, wrongNumber, notText, fc.bigInt(), fc.integer({ min: 2 ** 31, max: 2 ** 40 }))
      }),
      fc.record({
        data: fc.oneof(
          illFormed,
          fc.uint8Array().map((bytes) => Buffer.concat([bytes, Uint8Array.of(0xff)])),
          fc.constantFrom<unknown>(undefined, Symbol('x'), () => 'x', { toJSON: () => undefined }),
          fc.bigInt(),
          fc.bigInt().map((value) => ({ value }))
        )
      }),
      line.filter((name) => !['id', 'event', 'data', 'retry'].includes(name)).map((name) => ({ [name]: 'x' }))
    )
    const orphan = fc.record(
      { id, event: line.filter((event) => event !== ''), retry },
      { requiredKeys: ['event'] }
    )
    const refused = fc.oneof(
      fc.tuple(message, wrong).map(([message, wrong]): object => ({ ...message, ...wrong })),
      orphan
    )
    const property = fc.property(refused, (message) => {
      const outcome = attempt(message)
      if (outcome.text !== undefined) throw new Error(`accepted as ${JSON.stringify(outcome.text)}`)
      equal(outcome.code?.startsWith('FST_ERR_EVENTSTREAM_'), true)
    })
    fc.assert(property, { seed, numRuns: 5_000 })
    t.pass()
  })

  t.test('whatever is given, the client gets exactly that or the call throws', async (t) => {
    const anything = fc.anything({
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
      withUnicodeString: true
    })
    const wild = fc.oneof(
      anything,
      fc.record(
        {
          id: fc.oneof(id, anything),
          event: fc.oneof(line, anything),
          data: fc.oneof(data, anything),
          retry: fc.oneof(retry, anything)
        },
        { requiredKeys: [] }
      )
    )
    let accepted = 0
    let refused = 0
    const property = fc.property(wild, (value) => {
      const { text, code } = attempt(value)
      if (text === undefined) {
        refused++
        equal(code?.startsWith('FST_ERR_EVENTSTREAM_'), true)
        return
      }
      accepted++
      const message = typeof value === 'string' ? { data: value } : (value as Message)
      equal(parseStream(text), { ...received([message]), comments: [] })
    })
    fc.assert(property, { seed, numRuns: 4_000 })
    t.ok(accepted > 500, `${accepted} accepted`)
    t.ok(refused > 500, `${refused} refused`)
  })
})

/** The text or the error's code; an error without one is a bug. */
function attempt(message: unknown): { text?: string; code?: string } {
  try {
    return { text: format(message) }
  } catch (error) {
    if (error instanceof Error && 'code' in error && typeof error.code === 'string')
      return { code: error.code }
    throw error
  }
}

/** Cheaper than twenty thousand assertions. */
function equal(actual: unknown, expected: unknown): void {
  assert.deepStrictEqual(actual, expected)
}
