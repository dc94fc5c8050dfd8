import Fastify from 'fastify'
import t from 'tap'
import {
  resolveOptions,
  resolveRouteOptions,
  resolveStartOptions
} from '../../lib/fastify/resolved-options.ts'
import eventStream, { type EventStreamOptions, type StartOptions, type Store } from '../../lib/index.ts'
import { refusal } from '../helpers/refusal.ts'

const CODE = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
const MS_RULE = 'an integer from 1 to 2147483647 (milliseconds)'
const BYTES_RULE = 'an integer of at least 1 (bytes)'
const RANGE_RULE = '[min, max] with integers 0 <= min <= max <= 2147483647 (milliseconds)'
const TIME_RULE = 'a valid Date or milliseconds since the epoch'
const FAREWELL_RULE = 'a message, a function or false'
const EVENT_RULE = 'a well-formed string of at least one character, without line ends'

const base = resolveOptions({})

function resolve(given: object): ReturnType<typeof resolveOptions> {
  // What the types refuse is what these tests are about.
  return resolveOptions(given as EventStreamOptions)
}

function resolveStart(given: object): ReturnType<typeof resolveStartOptions> {
  return resolveStartOptions(base, given as StartOptions)
}

/** Values that no option takes but `false`, with how the error shows them. */
const NEVER: readonly (readonly [unknown, string])[] = [
  [null, 'null (null)'],
  [true, 'true (boolean)'],
  ['', "'' (string)"],
  ['1000', "'1000' (string)"],
  [1000n, '1000n (bigint)'],
  [Number.NaN, 'NaN (number)'],
  [Infinity, 'Infinity (number)'],
  [Symbol('x'), 'Symbol(x) (symbol)'],
  [[], '[] (array)'],
  [Object(1000), '[Number: 1000] (object)']
]
const NO_COUNT: readonly (readonly [unknown, string])[] = [
  ...NEVER,
  [-1, '-1 (number)'],
  [0, '0 (number)'],
  [1.5, '1.5 (number)'],
  [2 ** 53, '9007199254740992 (number)'],
  [{}, '{} (object)'],
  [() => 1, '[Function (anonymous)] (function)']
]
const NO_MS: readonly (readonly [unknown, string])[] = [...NO_COUNT, [2_147_483_648, '2147483648 (number)']]
const FALSE: readonly [unknown, string] = [false, 'false (boolean)']
const NO_OBJECT = NEVER.filter(
  ([value]) => typeof value !== 'object' || value === null || Array.isArray(value)
)
const NO_FUNCTION: readonly (readonly [unknown, string])[] = [
  ...NEVER,
  FALSE,
  [{}, '{} (object)'],
  [1, '1 (number)']
]

/** Option, rule, values that it takes, values that it refuses. */
type Row = readonly [string, string, readonly unknown[], readonly (readonly [unknown, string])[]]

const STREAM_ROWS: readonly Row[] = [
  ['serializer', 'a function', [JSON.stringify, () => 'x'], NO_FUNCTION],
  ['heartbeatMs', MS_RULE, [1, 15_000, 2_147_483_647, false], NO_MS],
  ['maxMessageBytes', BYTES_RULE, [48, 2 ** 31, 2 ** 53 - 1], [...NO_COUNT, FALSE]],
  ['maxBufferedBytes', BYTES_RULE, [1, 2 ** 31, 2 ** 53 - 1], [...NO_COUNT, FALSE]],
  ['stallMs', MS_RULE, [1, 30_000, 2_147_483_647, false], NO_MS],
  ['maxAgeMs', MS_RULE, [1, 3_600_000, 2_147_483_647, false], NO_MS],
  [
    'retryMs',
    RANGE_RULE,
    [[0, 0], [1, 1], [0, 2_147_483_647], Object.freeze([1000, 5000]), false],
    [
      ...NEVER,
      [1000, '1000 (number)'],
      [[1000], '[ 1000 ] (array)'],
      [[1, 2, 3], '[ 1, 2, 3 ] (array)'],
      [[2, 1], '[ 2, 1 ] (array)'],
      [[-1, 1], '[ -1, 1 ] (array)'],
      [[0.5, 1], '[ 0.5, 1 ] (array)'],
      [[0, 1.5], '[ 0, 1.5 ] (array)'],
      [[0, 2_147_483_648], '[ 0, 2147483648 ] (array)'],
      [['0', '1'], "[ '0', '1' ] (array)"],
      [{ length: 2, 0: 0, 1: 1 }, "{ '0': 0, '1': 1, length: 2 } (object)"]
    ]
  ],
  [
    'cursorEvent',
    EVENT_RULE,
    ['sse-cursor', ' ', 'é😀', false],
    [
      ...NEVER.filter(([value]) => value !== '1000'),
      ['a\nb', "'a\\nb' (string)"],
      ['\ud83d', "'\\ud83d' (string)"]
    ]
  ],
  [
    'heartbeatEvent',
    EVENT_RULE,
    ['ping', ' ', 'é😀', false],
    [
      ...NEVER.filter(([value]) => value !== '1000'),
      ['a\nb', "'a\\nb' (string)"],
      ['\ud83d', "'\\ud83d' (string)"]
    ]
  ],
  [
    'finite',
    'true or false',
    [true, false],
    [
      [null, 'null (null)'],
      ['true', "'true' (string)"]
    ]
  ],
  [
    'checkAccept',
    'true or false',
    [true, false],
    [
      [null, 'null (null)'],
      [1, '1 (number)'],
      ['true', "'true' (string)"]
    ]
  ],
  ['head', "'turn' or 'message'", ['turn', 'message'], [...NEVER, FALSE, ['Turn', "'Turn' (string)"]]],
  ['endWithChannels', 'true or false', [true, false], [[null, 'null (null)']]],
  [
    'farewell',
    FAREWELL_RULE,
    [{ event: 'bye', data: { at: 1 } }, { id: '' }, { retry: 0 }, () => false, false],
    [
      [null, 'null (null)'],
      [true, 'true (boolean)'],
      [1, '1 (number)'],
      [[], '[] (array)'],
      [{}, '{} (object)'],
      [{ event: 'bye' }, "{ event: 'bye' } (object)"],
      [{ retry: -1 }, '{ retry: -1 } (object)'],
      [{ data: undefined }, '{ data: undefined } (object)'],
      [{ data: 'x', text: 'y' }, "{ data: 'x', text: 'y' } (object)"],
      ['\ud83d', "'\\ud83d' (string)"]
    ]
  ]
]

const CHANNEL_ROWS: readonly Row[] = [
  [
    'slow',
    "'gap' or 'disconnect' or 'latest'",
    ['gap', 'disconnect', 'latest'],
    [...NEVER, FALSE, ['Gap', "'Gap' (string)"], ['slow', "'slow' (string)"], [['gap'], "[ 'gap' ] (array)"]]
  ],
  [
    'afterGap',
    "'oldest' or 'now'",
    ['oldest', 'now'],
    [...NEVER, FALSE, ['gap', "'gap' (string)"], ['now ', "'now ' (string)"]]
  ],
  [
    'gapEvent',
    EVENT_RULE,
    ['gap', ' ', 'é😀', 'error', ':', '1000'],
    [
      ...NEVER.filter(([value]) => value !== '1000'),
      FALSE,
      ['a\nb', "'a\\nb' (string)"],
      ['a\r', "'a\\r' (string)"],
      ['\n', "'\\n' (string)"],
      ['\ud83d', "'\\ud83d' (string)"]
    ]
  ],
  ['onGap', 'a function', [() => undefined, async () => 'x'], NO_FUNCTION],
  ['onSubscribe', 'a function', [() => {}], NO_FUNCTION],
  ['onUnsubscribe', 'a function', [() => {}], NO_FUNCTION]
]

const PLUGIN_ROWS: readonly Row[] = [
  ...STREAM_ROWS,
  ['drainMs', MS_RULE, [1, 5000, 2_147_483_647], [...NO_MS, FALSE]],
  [
    'channels',
    'an object',
    [{}, { '*': {}, 'room:*': { maxMessages: 50, maxBytes: 1, maxAgeMs: false }, news: { slow: 'latest' } }],
    [...NO_OBJECT, FALSE]
  ],
  ['history', 'an object', [{ maxTotalBytes: 1 }, { maxTotalBytes: 2 ** 53 - 1 }], [...NO_OBJECT, FALSE]],
  ['limit', 'an object', [], [...NO_OBJECT, FALSE]],
  ['runs', 'an object', [], [...NO_OBJECT, FALSE]],
  ...CHANNEL_ROWS
]

const START_ROWS: readonly Row[] = [
  ...STREAM_ROWS,
  ['events', 'at least one event', [{ quote: { type: 'object' } }], [[{}, '{} (object)']]],
  [
    'expiresAt',
    TIME_RULE,
    [new Date(0), new Date(), Date.now(), 0, -1, 1.5],
    [
      [new Date(Number.NaN), 'Invalid Date (object)'],
      [Number.NaN, 'NaN (number)'],
      [Infinity, 'Infinity (number)'],
      [null, 'null (null)'],
      [false, 'false (boolean)'],
      ['2030-01-01', "'2030-01-01' (string)"],
      [1n, '1n (bigint)'],
      [{}, '{} (object)']
    ]
  ],
  ['context', 'anything', [null, false, 1, 'Ann', { user: 1 }, [], () => 1], []]
]

/** The connection has them, and not the options that streams share. */
const OF_ONE_STREAM = ['expiresAt', 'context']

for (const [title, rows, resolveOne] of [
  ["the plugin's options", PLUGIN_ROWS, resolve],
  ["a stream's options", START_ROWS, resolveStart]
] as const) {
  t.test(title, async (t) => {
    for (const [name, rule, accepted, refused] of rows) {
      t.test(name, async (t) => {
        for (const value of accepted) {
          const resolved: object = resolveOne({ [name]: value })
          const kept = OF_ONE_STREAM.includes(name) ? undefined : value
          t.same(Reflect.get(resolved, name), kept, `takes ${describe(value)}`)
        }
        for (const [value, got] of refused) {
          const { message } = refusal(`${name} to be ${rule}`, got)
          t.throws(() => resolveOne({ [name]: value }), { code: CODE, message }, `refuses ${got}`)
        }
        t.strictSame(resolveOne({ [name]: undefined }), resolveOne({}), 'undefined is the same as none')
      })
    }

    t.test('an unknown name is refused, whatever its value', async (t) => {
      const names = rows.map(([name]) => name)
      for (const name of [
        'heartbeat',
        'HeartbeatMs',
        'histories',
        '',
        'toString',
        'constructor',
        '__proto__',
        '0'
      ]) {
        const given = Object.fromEntries([[name, 1]])
        const error = {
          code: CODE,
          message: `Expected ${name} to be one of ${names.join(', ')}, got a number`
        }
        t.throws(() => resolveOne(given), error, name)
      }
    })

    t.test('the result is frozen, and what was given is left alone', async (t) => {
      const given = Object.freeze({ heartbeatMs: 1 })
      const resolved = resolveOne(given)
      t.ok(Object.isFrozen(resolved))
      t.equal(resolved.heartbeatMs, 1)
      t.same(given, { heartbeatMs: 1 })
    })
  })
}

t.test('resolveOptions', async (t) => {
  t.test('every option has its default', async (t) => {
    const { serializer, ...rest } = resolveStart({})
    t.strictSame(rest, {
      heartbeatMs: 15_000,
      maxMessageBytes: 1_048_576,
      maxBufferedBytes: 1_048_576,
      stallMs: 30_000,
      maxAgeMs: false,
      finite: false,
      checkAccept: true,
      head: 'turn',
      retryMs: [1_000, 5_000],
      cursorEvent: 'sse-cursor',
      heartbeatEvent: false,
      endWithChannels: true,
      farewell: { event: 'close', data: 'Closing the connection' },
      drainMs: 5_000,
      channels: {},
      history: { maxTotalBytes: 67_108_864 },
      runs: { maxBytes: 8_388_608, keepEndedMs: 300_000, leaseMs: 10_000 },
      limit: undefined,
      slow: 'gap',
      afterGap: 'oldest',
      gapEvent: 'gap'
    })
    t.equal(serializer, JSON.stringify)
    t.ok(Object.isFrozen(base))
  })

  t.test("register's own options pass, and are not ours", async (t) => {
    t.strictSame(resolve({ prefix: '/x', logLevel: 'warn', logSerializers: {} }), base)
    t.throws(() => resolveStart({ prefix: '/x' }), { code: CODE }, 'but not for a stream')
  })

  t.test('history › its options have defaults one by one', async (t) => {
    t.same(resolve({ history: {} }).history, base.history)
    t.same(resolve({ history: { maxTotalBytes: undefined } }).history, base.history)
    t.ok(Object.isFrozen(resolve({ history: { maxTotalBytes: 1 } }).history))
  })

  t.test('history › a wrong value and an unknown name are told', async (t) => {
    for (const [value, got] of [...NO_COUNT, FALSE]) {
      const error = { code: CODE, ...refusal(`maxTotalBytes to be ${BYTES_RULE}`, got) }
      t.throws(() => resolve({ history: { maxTotalBytes: value } }), error, got)
    }
    t.throws(() => resolve({ history: { maxMessages: 1 } }), {
      code: CODE,
      message: 'Expected maxMessages to be one of maxTotalBytes, store, got a number'
    })
  })

  t.test('history › a store has all that a store has', async (t) => {
    const table: [unknown, RegExp][] = [
      [1, /^Expected store to be an object/],
      [{}, /^Expected store.open to be a function/]
    ]
    for (const [store, message] of table) {
      t.throws(() => resolve({ history: { store: store as Store } }), { code: CODE, message })
    }
  })

  t.test('channels › a wrong value and an unknown name are told at once', async (t) => {
    const rows: [object, string][] = [
      [{ '': {} }, 'Expected a name in channels to be a channel, or a pattern, got a string'],
      [{ 'room:*': 50 }, "Expected channels['room:*'] to be an object, got a number"],
      [{ '*': null }, "Expected channels['*'] to be an object, got null"],
      [{ '*': { maxMessages: 0 } }, 'Expected maxMessages to be an integer of at least 1, got a number'],
      [{ news: { maxBytes: 0.5 } }, `Expected maxBytes to be ${BYTES_RULE}, got a number`],
      [{ news: { maxAgeMs: 0 } }, `Expected maxAgeMs to be ${MS_RULE}, got a number`],
      [
        { '*': {}, news: { slow: 'later' } },
        "Expected slow to be 'gap' or 'disconnect' or 'latest', got a string"
      ],
      [{ news: { gapEvent: '' } }, `Expected gapEvent to be ${EVENT_RULE}, got a string`],
      [{ news: { events: {} } }, 'Expected events to be at least one event, got an object']
    ]
    for (const [channels, message] of rows)
      t.throws(() => resolve({ channels }), { code: CODE, message }, message)
    t.throws(() => resolve({ channels: { news: { history: {} } } }), {
      code: CODE,
      message: /^Expected history to be one of maxMessages, maxBytes, maxAgeMs, keepEndedMs, slow, /
    })
  })

  t.test('the limits of channels are set by name or pattern, not for all at once', async (t) => {
    for (const name of ['maxMessages', 'maxBytes']) {
      t.throws(() => resolve({ [name]: 1 }), {
        code: CODE,
        message: new RegExp(`^Expected ${name} to be one of serializer, .*, channels, history, `)
      })
    }
  })

  t.test('those of channels are not for a stream', async (t) => {
    for (const [name, , [value]] of CHANNEL_ROWS) {
      t.throws(() => resolveStart({ [name]: value }), {
        code: CODE,
        message: new RegExp(
          `^Expected ${name} to be one of serializer, .*, farewell, events, expiresAt, context, got `
        )
      })
    }
  })

  t.test("expiresAt is a stream's alone, drainMs the plugin's", async (t) => {
    t.throws(() => resolve({ expiresAt: 0 }), {
      code: CODE,
      message: /^Expected expiresAt to be one of serializer,/
    })
    t.throws(() => resolveStart({ drainMs: 1 }), {
      code: CODE,
      message: /^Expected drainMs to be one of serializer,/
    })
  })

  t.test('a farewell that cannot be sent is told at once, with the cause', async (t) => {
    const rows = [
      [{ farewell: { retry: -1 } }, 'farewell', 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE'],
      [{ farewell: { data: 1n } }, 'farewell', 'FST_ERR_EVENTSTREAM_SERIALIZATION'],
      [{ farewell: { id: 'bye' } }, 'farewell', 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE'],
      [{ maxMessageBytes: 42 }, 'farewell', 'FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE']
    ] as const
    for (const [given, name, code] of rows) {
      const error = {
        code: CODE,
        message: new RegExp(`^Expected ${name} to be a message, a function or false`),
        cause: { code }
      }
      t.throws(() => resolve(given), error, `${name}: ${code}`)
    }
    t.equal(resolve({ maxMessageBytes: 43 }).maxMessageBytes, 43, 'just large enough')
  })
})

t.test('resolveStartOptions', async (t) => {
  const plugin = resolve({ heartbeatMs: 1, stallMs: 2, farewell: { data: { a: 1 } } })

  t.test("are the plugin's when none are given", async (t) => {
    const resolved = resolveStartOptions(plugin)
    t.match(resolved, plugin)
    t.equal(resolveStartOptions(plugin, undefined), resolved, 'shared by all streams of a kind')
    t.equal(resolveStartOptions(plugin, {}, 'HEAD'), resolved)
    t.not(resolveStartOptions(plugin, {}, 'POST'), resolved)
  })

  t.test("replace the plugin's one by one, for this stream alone", async (t) => {
    const resolved = resolveStartOptions(plugin, { stallMs: false })
    t.equal(resolved.heartbeatMs, 1)
    t.equal(resolved.stallMs, false)
    t.strictSame(resolved.farewell, { data: { a: 1 } })
    t.equal(plugin.stallMs, 2)
  })

  t.test('take no memory but that of what is given, if no two streams share it', async (t) => {
    const shared = resolveStartOptions(plugin)
    t.equal(resolveStartOptions(plugin, { expiresAt: 1, context: {} }), shared)
    const resolved = resolveStartOptions(plugin, { expiresAt: 1, heartbeatMs: 5 })
    t.equal(Object.getPrototypeOf(resolved), shared)
    t.same(Object.keys(resolved), ['heartbeatMs'])
    t.ok(Object.isFrozen(resolved))
  })

  t.test('depend on the kind of the stream, which the method says, unless they are set', async (t) => {
    const kinds = {
      endless: {
        finite: false,
        checkAccept: true,
        head: 'turn',
        farewell: { event: 'close', data: 'Closing the connection' }
      },
      finite: { finite: true, checkAccept: false, head: 'message', farewell: false }
    }
    for (const [method, kind] of [
      ['GET', 'endless'],
      ['HEAD', 'endless'],
      ['POST', 'finite'],
      ['PUT', 'finite'],
      ['QUERY', 'finite']
    ] as const) {
      t.match(resolveStartOptions(base, {}, method), kinds[kind], method)
      t.match(resolveStartOptions(base, { finite: false }, method), kinds.endless)
      t.match(resolveStartOptions(base, { finite: true }, method), kinds.finite)
      const chosen = { checkAccept: true, head: 'turn', farewell: { data: 'bye' } } as const
      t.match(resolveStartOptions(base, chosen, method), chosen, 'what sseStart() sets')
      const ofRoute = resolveRouteOptions(resolve({ farewell: chosen.farewell }), {
        finite: true,
        head: 'turn'
      })
      t.match(resolveStartOptions(ofRoute, {}, method), { ...chosen, finite: true, checkAccept: false })
    }
  })

  t.test('are refused if the farewell cannot be sent with them', async (t) => {
    const serializer = (): never => {
      throw new Error('mine')
    }
    const cause = { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION' }
    t.throws(() => resolveStartOptions(plugin, { serializer }), {
      code: CODE,
      message: /^Expected farewell /,
      cause
    })
    t.equal(resolveStartOptions(plugin, { serializer, farewell: false }).farewell, false)
  })
})

t.test('a wrong option is told where it is given', async (t) => {
  t.test("by the plugin's registration", async (t) => {
    const app = Fastify()
    app.register(eventStream, { heartbeatMs: 0 })
    const ready = async (): Promise<unknown> => await app.ready()
    await t.rejects(ready, {
      code: CODE,
      message: `Expected heartbeatMs to be ${MS_RULE}, got a number`
    })
    await app.close()
  })

  t.test("which takes register's own options", async (t) => {
    const app = Fastify()
    await app.register(eventStream, { prefix: '/x', logLevel: 'warn', heartbeatMs: 1 })
    t.ok(app.sse)
    await app.close()
  })

  t.test("by sseStart(), which Fastify's error handler answers", async (t) => {
    const app = Fastify()
    await app.register(eventStream)
    app.get('/', async (_request, reply) => {
      reply.sseStart({ stallMs: -1 })
    })
    const response = await app.inject('/')
    t.equal(response.statusCode, 500)
    t.match(response.json(), { code: CODE, message: `Expected stallMs to be ${MS_RULE}, got a number` })
    await app.close()
  })
})

function describe(value: unknown): string {
  return typeof value === 'function' ? 'a function' : JSON.stringify(value)
}

t.test('options › must be an object', async (t) => {
  for (const given of [null, 1, 'x']) {
    const refused = {
      code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION',
      message: /^Expected the options to be an object, got /
    }
    t.throws(() => Reflect.apply(resolveOptions, undefined, [given]), refused)
    t.throws(() => Reflect.apply(resolveStartOptions, undefined, [resolveOptions({}), given]), refused)
  }
})

t.test('options › what the caller changes later does not count', async (t) => {
  const retryMs: [number, number] = [1, 2]
  const options = resolveOptions({ retryMs })
  retryMs[1] = -5
  t.same(options.retryMs, [1, 2])
  t.ok(Object.isFrozen(options.retryMs))
})
