import assert from 'node:assert/strict'
import { Type } from '@fastify/type-provider-typebox'
import t from 'tap'
import { z } from 'zod'
import { DeclaredEvents, jsonSchemaOf } from '../../lib/wire/declared-events.ts'

const INVALID_MESSAGE = 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE'
const INVALID_OPTION = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'

/** What a client gets as data. */
function textOf(declared: DeclaredEvents, event: unknown, data: unknown): string {
  return declared
    .format(event, data)
    .replace(/^(event: .*\n)?data: /, '')
    .replace(/\n$/, '')
}

const QUOTE = {
  type: 'object',
  properties: {
    symbol: { type: 'string' },
    price: { type: 'number' },
    at: { type: 'string', format: 'date-time' }
  },
  required: ['symbol', 'price']
}

const ANY_ARGS = { type: 'object', properties: { args: { type: 'array', items: {} } } }
const NESTED = { type: 'object', properties: { quote: QUOTE } }

function thrower(): never {
  throw 'nothing'
}

/** An object that is another one in JSON. */
function as(json: object, object: object): object {
  return { ...object, toJSON: () => json }
}

t.test('DeclaredEvents › data that fits', async (t) => {
  const rows: readonly [string, object, unknown, string][] = [
    ['an object', QUOTE, { symbol: 'a', price: 1.5 }, '{"symbol":"a","price":1.5}'],
    ['without what is not declared', QUOTE, { symbol: 'a', price: 1, secret: 1 }, '{"symbol":"a","price":1}'],
    [
      'a date',
      QUOTE,
      { symbol: 'a', price: 1, at: new Date(0) },
      '{"symbol":"a","price":1,"at":"1970-01-01T00:00:00.000Z"}'
    ],
    ['undefined is absent', QUOTE, { symbol: 'a', price: 1, at: undefined }, '{"symbol":"a","price":1}'],
    ['a string, as it is', { type: 'string' }, 'a "b"', 'a "b"'],
    ['a date alone', { type: 'string' }, new Date(0), '1970-01-01T00:00:00.000Z'],
    ['a number', { type: 'integer' }, 5, '5'],
    ['null', { type: ['string', 'null'] }, null, 'null'],
    ['an array', { type: 'array', items: { type: 'integer' } }, [1, 2], '[1,2]'],
    ['anything', {}, { a: [1] }, '{"a":[1]}'],
    ['an array that might be a string', { type: ['string', 'array'] }, [1, 2], '[1,2]'],
    [
      'an object with a text of its own that might be a string',
      { type: 'array', items: { anyOf: [{ type: ['null', 'string', 'object'], properties: { type: {} } }] } },
      [{ type: 1, toString: () => 'text' }],
      '[{"type":1}]'
    ],
    [
      'a constant that looks like a schema',
      { const: { type: ['string', 'array'] } },
      { type: ['string', 'array'] },
      '{"type":["string","array"]}'
    ],
    [
      'one of two',
      { anyOf: [{ type: 'string' }, QUOTE] },
      { symbol: 'a', price: 1 },
      '{"symbol":"a","price":1}'
    ],
    ['of TypeBox', Type.Object({ a: Type.Integer() }), { a: 1, b: 2 }, '{"a":1}'],
    ['of Zod', z.object({ a: z.number() }), { a: 1, b: 2 }, '{"a":1}'],
    ['a string of Zod', z.string(), 'a', 'a'],
    ['undefined in an array is null', ANY_ARGS, { args: [1, undefined, () => 1] }, '{"args":[1,null,null]}'],
    ['a word like any other', ANY_ARGS, { args: ['undefined'] }, '{"args":["undefined"]}'],
    ['the same as a string', {}, 'undefined', 'undefined'],
    [
      'what it is in JSON',
      QUOTE,
      as({ symbol: 'b', price: 2 }, { symbol: 'a', price: 1 }),
      '{"symbol":"b","price":2}'
    ],
    [
      'the same inside',
      NESTED,
      { quote: as({ symbol: 'b', price: 2 }, {}) },
      '{"quote":{"symbol":"b","price":2}}'
    ],
    ['a format, unchecked', { anyOf: [{ type: 'string', format: 'uuid' }, { type: 'null' }] }, 'zz', 'zz'],
    ['what Zod makes of it', z.string().transform((text) => text.length), 'abc', '3']
  ]
  for (const [name, schema, data, text] of rows) {
    t.equal(textOf(new DeclaredEvents({ quote: schema }), 'quote', data), text, name)
  }
})

t.test('DeclaredEvents › data that does not fit', async (t) => {
  const cyclic: Record<string, unknown> = { symbol: 'a' }
  cyclic.self = cyclic
  const rows: readonly [string, object, unknown, RegExp][] = [
    [
      'a field of another type',
      QUOTE,
      { symbol: 'a', price: '1' },
      /allows \(data\/price must be number\), got an object$/
    ],
    ['a field that is missing', QUOTE, { symbol: 'a' }, /data must have required property 'price'/],
    ['an object for a string', { type: 'string' }, {}, /data must be string/],
    ['NaN', QUOTE, { symbol: 'a', price: Number.NaN }, /data\/price must be number/],
    ['a bigint', QUOTE, { symbol: 'a', price: 1n }, /data\/price must be number/],
    ['nothing', QUOTE, undefined, /data must be object/],
    ['nothing, where all is allowed', {}, undefined, /there is no JSON of it/],
    [
      'what does not fit in JSON',
      QUOTE,
      as({ symbol: 5, price: 2 }, { symbol: 'a', price: 1 }),
      /symbol must be string/
    ],
    [
      'the same inside',
      NESTED,
      { quote: as({ symbol: 'a', price: '2' }, { symbol: 'a', price: 1 }) },
      /price must be num/
    ],
    ['a date for an object', { type: 'object' }, new Date(0), /data must be object/],
    [
      'what throws no error',
      QUOTE,
      Object.defineProperty({}, 'symbol', { get: thrower, enumerable: true }),
      /allows, got an object$/
    ],
    ['a cycle', QUOTE, cyclic, /data must have required property 'price'/],
    ['bytes', { type: 'string' }, Buffer.from('a'), /bytes have no schema/],
    [
      'a map',
      { type: 'object' },
      new Map([[1, 2]]),
      /allows \(JSON keeps nothing of a Map\), got an object$/
    ],
    ['one inside', ANY_ARGS, { args: [Promise.resolve(1)] }, /JSON keeps nothing of a Promise/],
    ['one beside a date', ANY_ARGS, { args: [new Set([1]), new Date(0)] }, /JSON keeps nothing of a Set/],
    ['one of Zod', z.object({ a: z.any() }), { a: new Map() }, /JSON keeps nothing of a Map/],
    [
      'what is forbidden',
      { ...QUOTE, additionalProperties: false },
      { symbol: 'a', price: 1, b: 2 },
      /must NOT have additional/
    ],
    [
      'of Zod',
      z.object({ a: z.object({ b: z.number() }) }),
      { a: { b: 'x' } },
      / \(data\/a\/b\), got an object/
    ],
    ['of Zod, later', z.string().refine(async () => true), 'x', /events cannot wait/],
    ['of Zod, to nothing', z.any().transform(() => undefined), 'x', /there is no JSON of it/]
  ]
  for (const [name, schema, data, message] of rows) {
    const declared = new DeclaredEvents({ quote: schema })
    t.throws(() => textOf(declared, 'quote', data), { code: INVALID_MESSAGE, message }, name)
  }
})

t.test('DeclaredEvents › a schema whose issues have keys as objects', async (t) => {
  const issues = [{ message: 'is wrong', path: [{ key: 'a' }, 0] }, { message: 'too' }]
  const schema = { '~standard': { version: 1, vendor: 'x', validate: () => ({ issues }) } }
  t.throws(() => textOf(new DeclaredEvents({ a: schema }), 'a', 1), {
    message: /\(data\/\*\/\*, data\), got a number/,
    cause: '1 (number) data/a/0 is wrong, data too'
  })
})

t.test('DeclaredEvents › format() gives the fields as they are on the wire', async (t) => {
  const declared = new DeclaredEvents({ quote: QUOTE, message: { type: 'string' } })
  const quote = { symbol: 'a\nb', price: 1 }
  t.equal(declared.format('quote', quote), 'event: quote\ndata: {"symbol":"a\\nb","price":1}\n')
  t.equal(declared.format('message', 'a\r\nb'), 'data: a\ndata: b\n')
  t.throws(() => declared.format('message', '\ud800'), { code: INVALID_MESSAGE })
  const unsafe = new DeclaredEvents({
    quote: { type: 'object', properties: { a: { type: 'string', format: 'unsafe' } } }
  })
  t.equal(
    unsafe.format('quote', { a: 'x\n\nevent: y' }),
    'event: quote\ndata: {"a":"x\ndata: \ndata: event: y"}\n',
    'nothing is forged'
  )
})

t.test('DeclaredEvents › names', async (t) => {
  const declared = new DeclaredEvents({ message: { type: 'string' }, done: { type: 'null' } })
  t.equal(textOf(declared, undefined, 'a'), 'a', 'none is message')
  t.equal(textOf(declared, '', 'a'), 'a')
  t.equal(textOf(declared, 'message', 'a'), 'a')
  for (const name of ['other', 'constructor', '__proto__']) {
    t.throws(() => textOf(declared, name, 'a'), {
      code: INVALID_MESSAGE,
      message: `Expected message.event to be one of message, done, got a string`
    })
  }
})

t.test('DeclaredEvents › schemas that refer to others', async (t) => {
  const shared = { price: { $id: 'price', type: 'number', minimum: 0 }, own: { $id: 'own', type: 'null' } }
  const own = { $id: 'own', type: 'object', properties: { price: { $ref: 'price#' } } }
  const declared = new DeclaredEvents({ a: own, b: own, c: { $ref: 'price#' } }, shared)
  t.equal(textOf(declared, 'a', { price: 1, b: 2 }), '{"price":1}')
  t.equal(textOf(declared, 'b', { price: 1 }), '{"price":1}')
  t.equal(textOf(declared, 'c', 5), '5')
  t.throws(() => textOf(declared, 'a', { price: -1 }), { message: /data\/price must be >= 0/ })
  const broken = { x: { $id: 'x', type: 'nubmer' } }
  t.equal(
    textOf(new DeclaredEvents({ a: QUOTE }, broken), 'a', { symbol: 'a', price: 1 }),
    '{"symbol":"a","price":1}'
  )
})

t.test('DeclaredEvents › declarations that are wrong', async (t) => {
  const rows: readonly [string, unknown, RegExp][] = [
    ['no object', 'quote', /^Expected events to be an object, got a string/],
    ['no event', {}, /^Expected events to be at least one event/],
    ['no name', { '': {} }, /^Expected a name in events to be a well-formed string .* got a string/],
    ['a name of two lines', { 'a\nb': {} }, /^Expected a name in events/],
    ['a lone surrogate', { '\ud800': {} }, /^Expected a name in events/],
    ['no schema', { quote: 'number' }, /^Expected events.quote to be a schema, got a string/],
    ['null', { quote: null }, /^Expected events.quote to be a schema/],
    ['an array', { quote: [] }, /^Expected events.quote to be a schema/],
    [
      'a type that there is not',
      { quote: { type: 'nubmer' } },
      /^Expected events.quote to be a schema that compiles \(/
    ],
    ['a schema that answers later', { quote: { $async: true, type: 'number' } }, /it is \$async/],
    [
      'another draft',
      { quote: { $schema: 'https://json-schema.org/draft/2020-12/schema' } },
      /no schema with key/
    ],
    [
      'a reference to nothing',
      { quote: { $ref: 'nothing#' } },
      /^Expected events.quote to be a schema that compiles \(/
    ]
  ]
  for (const [name, schemas, message] of rows) {
    t.throws(() => new DeclaredEvents(schemas as never), { code: INVALID_OPTION, message }, name)
  }
})

t.test('jsonSchemaOf', async (t) => {
  t.equal(jsonSchemaOf(QUOTE), QUOTE)
  t.same(jsonSchemaOf(z.object({ a: z.number() })), {
    type: 'object',
    properties: { a: { type: 'number' } },
    required: ['a'],
    additionalProperties: false
  })
  t.same(jsonSchemaOf({ '~standard': { validate: () => ({ value: 1 }) } }), {}, 'which says nothing')
  t.same(
    Reflect.get(jsonSchemaOf(z.object({ a: z.date() })), 'properties'),
    { a: {} },
    'what JSON Schema cannot say'
  )
  const broken = { '~standard': { jsonSchema: { output: () => assert.fail() } } }
  t.same(jsonSchemaOf(broken), {})
})
