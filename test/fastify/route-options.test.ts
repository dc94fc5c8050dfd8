import swagger from '@fastify/swagger'
import { Type, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import Fastify, { type FastifyInstance } from 'fastify'
import {
  jsonSchemaTransform,
  serializerCompiler,
  validatorCompiler,
  type ZodTypeProvider
} from 'fastify-type-provider-zod'
import t, { type Test } from 'tap'
import { z } from 'zod'
import eventStream, { eventStreamTransform, type StartOptions } from '../../lib/index.ts'
import { injectStream } from '../../lib/testing/testing.ts'
import { build, logger } from '../helpers/server.ts'

const INVALID_MESSAGE = 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE'
const INVALID_OPTION = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
const QUOTE = Type.Object({ symbol: Type.String(), price: Type.Number() })
const EVENTS = { quote: QUOTE, message: Type.String() }
const OTHERS = { other: Type.Null() }

/** What a schema keeps as its own, without what a library adds for itself. */
function plain(schema: unknown): unknown {
  return JSON.parse(JSON.stringify(schema))
}

async function documented(t: Test): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(swagger, { openapi: { openapi: '3.2.0' } })
  await app.register(eventStream)
  return app
}

function responseOf(app: FastifyInstance, path = '/'): Record<string, unknown> {
  const { paths } = plain(app.swagger()) as { paths: Record<string, { get: { responses: { 200: object } } }> }
  return { ...paths[path]?.get.responses[200] }
}

const ITEM = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    event: { type: 'string' },
    data: { type: 'string' },
    retry: { type: 'integer', minimum: 0 }
  },
  oneOf: [
    {
      properties: {
        event: { enum: ['quote'] },
        data: { type: 'string', contentMediaType: 'application/json', contentSchema: plain(QUOTE) }
      },
      required: ['event', 'data']
    },
    { properties: { event: { enum: ['message'] }, data: { type: 'string' } }, required: ['data'] },
    {
      description: 'Of channels, or a farewell',
      properties: { event: { not: { enum: ['quote', 'message'] } } },
      required: ['event', 'data']
    },
    { description: 'An id or a reconnection time alone', not: { required: ['data'] } }
  ]
}
const STREAM = { schema: { type: 'string' }, itemSchema: ITEM }

t.test('sseStart({ events })', async (t) => {
  const app = await build(t)
  const errors: unknown[] = []
  app.get('/', (_request, reply) => {
    const sse = reply.sseStart({ events: EVENTS, farewell: false })
    const wrong = [
      { event: 'quote', data: { symbol: 'a' } },
      { event: 'trade', data: {} },
      { data: 5 }
    ] as never[]
    for (const message of wrong) {
      try {
        void sse.send(message)
      } catch (error) {
        errors.push(error)
      }
    }
    void sse.send({ event: 'quote', data: Object.assign({ symbol: 'a', price: 1 }, { secret: 1 }) })
    void sse.send('text')
    void sse.send({ id: 7 })
    void sse.sendAll(['more']).then(() => sse.close())
  })
  const stream = await injectStream(app, '/')
  t.same(
    (await stream.rest()).map(({ event, data }) => [event, data]),
    [
      ['quote', '{"symbol":"a","price":1}'],
      ['message', 'text'],
      ['message', 'more']
    ],
    'only what was declared, and of it what fits'
  )
  t.match(errors, [
    { code: INVALID_MESSAGE, message: /message\.data .*must have required property 'price'/ },
    { code: INVALID_MESSAGE, message: /message\.event to be one of quote, message, got a string/ },
    { code: INVALID_MESSAGE, message: /message\.data .*data must be string\), got a number/ }
  ])
  t.equal(errors.length, 3)

  t.test('that are wrong fail the call', async (t) => {
    const app = await build(t)
    const rows = [{}, null, { a: 1 }, { a: { type: 'x' } }]
    app.get('/:n', (request, reply) => {
      const { n } = request.params as { n: string }
      reply.sseStart({ events: rows[Number(n)] } as StartOptions)
    })
    for (const n of rows.keys()) {
      const response = await app.inject(`/${n}`)
      t.equal(response.statusCode, 500)
      t.equal(response.json().code, INVALID_OPTION)
    }
  })
})

t.test('channel(name, { events })', async (t) => {
  const app = await build(t)
  const channel = app.sse.channel('quotes', { events: EVENTS })
  t.throws(() => channel.publish({ event: 'quote', data: 5 } as never), { code: INVALID_MESSAGE })
  t.throws(() => channel.publish({ event: 'other', data: 5 } as never), { code: INVALID_MESSAGE })
  app.get('/', (_request, reply) => channel.subscribe(reply.sseStart()))
  const stream = await injectStream(app, '/')
  await channel.publish({ event: 'quote', data: { symbol: 'a', price: 1 } })
  t.equal((await stream.next('quote')).data, '{"symbol":"a","price":1}')
  t.throws(() => app.sse.channel('other', { events: { a: { type: 'x' } } }), { code: INVALID_OPTION })
  await t.rejects(build(t, { events: EVENTS } as never), { code: INVALID_OPTION }, 'not for all channels')

  t.test('are also those of what onGap returns', async (t) => {
    const app = await build(t)
    const other = app.sse.channel('other', {
      events: EVENTS,
      onGap: () => ({ event: 'quote', data: 'wrong' })
    })
    app.get('/other', (_request, reply) => other.subscribe(reply.sseStart()))
    const options = { url: '/other', headers: { 'last-event-id': 'unknown' } }
    const stream = await injectStream(app, options)
    t.equal((await stream.next()).event, 'gap', 'which is told instead')
  })
})

t.test('the route option eventStream', async (t) => {
  t.test("comes over the plugin's options, and sseStart()'s over it", async (t) => {
    const app = await build(t, { heartbeatMs: 1_000, farewell: { data: 'bye' } })
    const eventStream = { farewell: { data: 'so long' }, checkAccept: false }
    const routes = { '/plugin': {}, '/route': { eventStream }, '/start': { eventStream } }
    for (const [path, options] of Object.entries(routes)) {
      app.get(path, options, (_request, reply) =>
        reply.sseStart(path === '/start' ? { farewell: false } : {}).close()
      )
    }
    const headers = { accept: 'application/json' }
    t.equal((await app.inject({ url: '/plugin', headers })).statusCode, 406)
    t.equal((await app.inject('/plugin')).body, 'data: bye\n\n')
    t.equal((await app.inject({ url: '/route', headers })).body, 'data: so long\n\n')
    t.equal((await app.inject({ url: '/start', headers })).body, '')
  })

  t.test('that is wrong fails at registration', async (t) => {
    const app = await build(t)
    for (const [name, eventStream] of [
      ['stallMs', { stallMs: -1 }],
      ['drainMs', { drainMs: 1 }],
      ['expiresAt', { expiresAt: 1 }],
      ['eventStream', true]
    ] as const) {
      const refused = { code: INVALID_OPTION, message: new RegExp(`^Expected ${name} to be `) }
      t.throws(() => app.get('/', { eventStream } as never, () => {}), refused, name)
    }
  })

  t.test(
    'is not known of a route that was added before the plugin had loaded, which is logged once',
    async (t) => {
      for (const isAwaited of [true, false]) {
        const log = logger()
        const app = Fastify({ logger: log.options })
        t.teardown(() => app.close())
        const registered = app.register(eventStream)
        if (isAwaited) await registered
        app.get('/', { eventStream: { finite: true } }, (_request, reply) => reply.sseStart().close())
        app.setNotFoundHandler((_request, reply) => reply.sseStart().close())
        for (const path of ['/missing', '/', '/']) await app.inject(path)
        const warnings = log.lines.filter(({ level }) => level === 40)
        const msg = /^the route was added before the plugin had loaded/
        t.match(warnings, isAwaited ? [] : [{ msg, route: { method: 'GET', url: '/' } }])
        t.equal(warnings.length, isAwaited ? 0 : 1)
      }
    }
  )
})

t.test('the route option eventStream: { events }', async (t) => {
  t.test('is checked when a stream of the route sends', async (t) => {
    const app = await build(t)
    const errors: unknown[] = []
    app.get('/', { eventStream: { events: EVENTS }, config: { own: 1 } as object }, (request, reply) => {
      const sse = reply.sseStart()
      try {
        void sse.send({ event: 'other', data: null } as never)
      } catch (error) {
        errors.push(error)
      }
      void sse.send({ event: 'quote', data: { symbol: 'a', price: 1, secret: 1 } })
      void sse.send(JSON.stringify(request.routeOptions.config))
    })
    app.get('/own', { eventStream: { events: EVENTS } }, (_request, reply) => {
      void reply.sseStart({ events: OTHERS }).send({ event: 'other', data: null })
    })
    const stream = await injectStream(app, '/')
    t.equal((await stream.next()).data, '{"symbol":"a","price":1}')
    t.match(JSON.parse((await stream.next()).data), { own: 1 }, 'beside what the route was configured with')
    await stream.abort()
    t.match(errors, [{ code: INVALID_MESSAGE }])
    const own = await injectStream(app, '/own')
    t.equal((await own.next()).event, 'other', 'what sseStart() is given comes first')
  })

  t.test('that is wrong fails at registration', async (t) => {
    const app = await build(t)
    t.throws(() => app.get('/', { eventStream: { events: {} } }, () => {}), { code: INVALID_OPTION })
    const reserved = { eventStream: { events: { 'sse-cursor': {} } } }
    t.throws(() => app.get('/', reserved, () => {}), { code: INVALID_OPTION })
    app.get('/late', { eventStream: { events: { a: { $ref: 'price#' } } } }, () => {})
    await t.rejects(async () => await app.ready(), { code: INVALID_OPTION, message: /events\.a .*price/ })
  })

  t.test('may refer to schemas that are added later', async (t) => {
    const app = await build(t)
    app.get('/', { eventStream: { events: { price: { $ref: 'price#' } } } }, (_request, reply) => {
      void reply.sseStart().send({ event: 'price', data: 5 })
    })
    app.addSchema({ $id: 'price', type: 'number' })
    const stream = await injectStream(app, '/')
    t.equal((await stream.next()).data, '5')
  })

  t.test('is in the OpenAPI document: OpenAPI 3.2, section 4.14.4.4', async (t) => {
    const app = await documented(t)
    app.get('/', { eventStream: { events: EVENTS } }, () => {})
    await app.ready()
    t.same(responseOf(app), { description: 'Event stream', content: { 'text/event-stream': STREAM } })
  })

  t.test('without schemas whose references lead nowhere there', async (t) => {
    const app = await documented(t)
    const events = { a: { definitions: { n: { type: 'number' } }, $ref: '#/definitions/n' } }
    app.get('/', { eventStream: { events } }, () => {})
    await app.ready()
    const { itemSchema } =
      (responseOf(app).content as Record<string, typeof STREAM>)['text/event-stream'] ?? {}
    const data = { type: 'string', contentMediaType: 'application/json' }
    t.same(itemSchema?.oneOf[0], {
      properties: { event: { enum: ['a'] }, data },
      required: ['event', 'data']
    })
  })

  t.test('beside what else the route answers', async (t) => {
    const app = await documented(t)
    const json = { type: 'object', description: 'All quotes', properties: { a: { type: 'string' } } }
    const content = { 'text/csv': { schema: { type: 'string' } } }
    app.get('/json', { eventStream: { events: EVENTS }, schema: { response: { 200: json } } }, () => ({
      a: 'b',
      c: 'd'
    }))
    app.get(
      '/any',
      { eventStream: { events: EVENTS }, schema: { response: { '2xx': json, 404: json } } },
      () => ({})
    )
    app.get(
      '/csv',
      { eventStream: { events: EVENTS }, schema: { summary: 'x', response: { 200: { content } } } },
      () => ''
    )
    app.get('/none', { schema: { response: { 200: json } } }, () => ({}))
    app.get(
      '/api',
      { eventStream: { events: EVENTS }, schema: { response: { 200: json } } },
      (_request, reply) => reply.type('application/vnd.api+json').send({ a: 'b', c: 'd' })
    )
    const own = {
      headers: { 'x-a': { type: 'string' } },
      content: { 'text/event-stream': { example: 'data: a' } }
    }
    app.get('/own', { eventStream: { events: EVENTS }, schema: { response: { 200: own } } }, () => ({}))
    await app.ready()
    for (const path of ['/json', '/any']) {
      const response = responseOf(app, path)
      t.match(response, { description: 'All quotes', content: { 'text/event-stream': STREAM } })
      t.match(response, {
        content: { 'application/json': { schema: { properties: { a: { type: 'string' } } } } }
      })
    }
    t.match(responseOf(app, '/csv'), { content: { 'text/event-stream': STREAM, ...content } })
    t.notMatch(responseOf(app, '/none'), { content: { 'text/event-stream': {} } })
    t.same((await app.inject('/json')).json(), { a: 'b' }, 'and is serialized as before')
    t.same((await app.inject('/api')).json(), { a: 'b' }, 'and so is what has another type')
    t.match(responseOf(app, '/own'), {
      headers: { 'x-a': {} },
      content: { 'text/event-stream': { ...STREAM, example: 'data: a' } }
    })
  })
})

t.test('events that the library itself sends are not declared', async (t) => {
  const app = await build(t)
  const clash = (name: string) => ({ events: { [name]: { type: 'object' } } })
  const options = { code: INVALID_OPTION, message: /none of the declared events, got a string/ }
  t.throws(() => app.sse.channel('a', clash('gap')), options)
  app.sse.channel('b', { ...clash('gap'), gapEvent: 'lost' })
  const channel = app.sse.channel('c', clash('sse-cursor'))
  app.get('/', (_request, reply) => void reply.sseStart(clash('sse-cursor')))
  app.get('/channel', (_request, reply) => {
    const sse = reply.sseStart()
    t.throws(() => channel.subscribe(sse), options)
    sse.close()
  })
  app.get('/other', (_request, reply) => {
    const sse = reply.sseStart({ ...clash('sse-cursor'), cursorEvent: 'place' })
    channel.subscribe(sse)
  })
  t.equal((await app.inject('/')).json().code, INVALID_OPTION)
  await (await injectStream(app, '/channel')).rest()
  const other = await injectStream(app, '/other')
  t.equal((await other.next()).event, 'place')
})

t.test('scopes that share other schemas compile the same events anew', async (t) => {
  const app = await build(t)
  const events = { v: { type: 'object', properties: { price: { $ref: 'price#' } } } }
  for (const [path, property] of [
    ['/a', 'all'],
    ['/b', 'net']
  ] as const) {
    await app.register(async (scope) => {
      scope.addSchema({ $id: 'price', type: 'object', properties: { [property]: { type: 'number' } } })
      scope.get(path, { eventStream: { events } }, (_request, reply) => {
        void reply.sseStart().send({ event: 'v', data: { price: { all: 2, net: 1 } } })
      })
    })
  }
  for (const [path, data] of [
    ['/a', '{"price":{"all":2}}'],
    ['/b', '{"price":{"net":1}}']
  ] as const) {
    const stream = await injectStream(app, path)
    t.equal((await stream.next()).data, data)
  }
})

t.test('type providers', async (t) => {
  t.test('TypeBox', async (t) => {
    const app = Fastify().withTypeProvider<TypeBoxTypeProvider>()
    t.teardown(() => app.close())
    await app.register(eventStream)
    app.get('/', { eventStream: { events: EVENTS } }, (_request, reply) => {
      const sse = reply.sseStart({ events: EVENTS })
      void sse.send({ event: 'quote', data: { symbol: 'a', price: 1 } })
      // @ts-expect-error the price is a number
      t.throws(() => sse.send({ event: 'quote', data: { symbol: 'a', price: '1' } }))
      // @ts-expect-error the event is not declared
      t.throws(() => sse.send({ event: 'trade', data: 1 }))
    })
    const channel = app.sse.channel('quotes', { events: EVENTS })
    // @ts-expect-error the data is an object
    t.throws(() => channel.publish({ event: 'quote', data: 1 }))
    const stream = await injectStream(app, '/')
    t.equal((await stream.next()).event, 'quote')
  })

  t.test('Zod, whose schemas are none of JSON', async (t) => {
    const app = Fastify().withTypeProvider<ZodTypeProvider>()
    t.teardown(() => app.close())
    app.setSerializerCompiler(serializerCompiler)
    app.setValidatorCompiler(validatorCompiler)
    const transform = eventStreamTransform(jsonSchemaTransform)
    await app.register(swagger, { openapi: { openapi: '3.1.0' }, transform })
    await app.register(eventStream)
    const events = { quote: z.object({ symbol: z.string(), price: z.number() }), message: z.string() }
    const schema = { querystring: z.object({ symbol: z.string() }) }
    app.get('/', { eventStream: { events }, schema }, (request, reply) => {
      const sse = reply.sseStart({ events })
      void sse.send({ event: 'quote', data: { symbol: request.query.symbol, price: 1 } })
      // @ts-expect-error the price is a number
      t.throws(() => sse.send({ event: 'quote', data: { symbol: 'a', price: '1' } }))
    })
    app.get('/other', { schema: { response: { 200: z.object({ a: z.string() }) } } }, () => ({ a: 'b' }))
    const channel = app.sse.channel('quotes', { events })
    // @ts-expect-error the data is an object
    t.throws(() => channel.publish({ event: 'quote', data: 1 }))
    const stream = await injectStream(app, '/?symbol=a')
    t.equal((await stream.next()).data, '{"symbol":"a","price":1}')
    const { itemSchema } =
      (responseOf(app).content as Record<string, typeof STREAM>)['text/event-stream'] ?? {}
    t.match(itemSchema, { oneOf: [{ properties: { event: { enum: ['quote'] } } }, {}] })
    t.same((await app.inject('/other')).json(), { a: 'b' })
  })

  t.test('none: a Standard Schema says its type by itself, and others unknown', async (t) => {
    const app = await build(t)
    const channel = app.sse.channel('quotes', {
      events: { quote: z.object({ price: z.number() }), other: {} }
    })
    // @ts-expect-error the price is a number
    t.throws(() => channel.publish({ event: 'quote', data: { price: 'x' } }))
    await channel.publish({ event: 'other', data: { any: 'thing' } })
  })
})
