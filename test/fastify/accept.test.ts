import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import eventStream from '../../lib/index.ts'

/** What the rule says, the header, whether that is so. */
type Row = readonly [name: string, accept: string, isSo: boolean]

/** `/choose` asks, `/stream` starts whatever the header says. */
async function createApp(t: Test): Promise<FastifyInstance> {
  const app = Fastify()
  await app.register(eventStream, { farewell: false })
  app.get('/choose', async (request, reply) => {
    if (!request.acceptsEventStream()) return { stream: false }
    reply.sseStart().close()
  })
  app.get('/stream', async (_request, reply) => {
    reply.sseStart().close()
  })
  t.teardown(() => app.close())
  return app
}

/** A refusal is Fastify's to send. */
async function check(t: Test, app: FastifyInstance, [name, accept, isSo]: Row): Promise<void> {
  const started = await app.inject({ url: '/stream', headers: { accept } })
  const type = started.headers['content-type']
  t.equal(started.headers.vary, 'Accept')
  t.equal(started.statusCode, isSo ? 200 : 406, `${name}: ${accept}`)
  if (isSo) {
    t.equal(type, 'text/event-stream; charset=utf-8')
    return
  }
  t.match(type, 'application/json', 'no event stream')
  t.strictSame(started.json(), {
    statusCode: 406,
    code: 'FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE',
    error: 'Not Acceptable',
    message: `The Accept header "${accept}" refuses text/event-stream`
  })
}

t.test('accept › a request without the header accepts everything, and asks for no stream', async (t) => {
  const app = await createApp(t)
  t.equal((await app.inject('/stream')).statusCode, 200)
  t.same((await app.inject('/choose')).json(), { stream: false })
})

t.test('acceptsEventStream › is whether a stream is named, and not less wanted than JSON', async (t) => {
  const app = await createApp(t)
  const rows: readonly Row[] = [
    ['what an EventSource sends', 'text/event-stream', true],
    ['in capitals', 'Text/Event-Stream', true],
    ['with its charset', 'text/event-stream;charset=utf-8', true],
    ['with another charset', 'text/event-stream;charset=latin1', false],
    ['refused', 'text/event-stream;q=0', false],
    ['refused, all else accepted', '*/*, text/event-stream;q=0', false],
    ['what fetch() and curl send', '*/*', false],
    ['its family alone', 'text/*', false],
    ['JSON', 'application/json', false],
    ['a page', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', false],
    ['none', '', false],
    ['both, alike, as clients of MCP do', 'application/json, text/event-stream', true],
    ['both, alike, with parameters', 'application/json;charset=utf-8, text/event-stream;q=1.0', true],
    ['both, the stream less', 'application/json, text/event-stream;q=0.9', false],
    ['both, the stream less, first', 'text/event-stream;q=0.9, application/json', false],
    ['both, the stream more', 'application/json;q=0.9, text/event-stream', true],
    ['both, the stream more, though little of each', 'application/json;q=0.1, text/event-stream;q=0.2', true],
    [
      'JSON with parameters, the stream less',
      'application/json;charset=utf-8, text/event-stream;q=0.5',
      false
    ],
    ['JSON with parameters that ours has not', 'application/json;v=2, text/event-stream;q=0.5', true],
    ['JSON by its family', 'application/*, text/event-stream;q=0.5', false],
    ['JSON as anything', '*/*, text/event-stream;q=0.5', false],
    ['anything, alike', '*/*, text/event-stream', true],
    ['JSON refused, anything else more', 'application/json;q=0, */*, text/event-stream;q=0.5', true],
    ['a longer name', 'text/event-streams', false],
    ['one inside a quoted string', 'application/json;a="x,text/event-stream"', false],
    ['an open quotation before it', 'application/json;a="x,text/event-stream', false],
    ['noise beside it', 'garbage;;;===,,text/event-stream', true]
  ]
  for (const [name, accept, isSo] of rows) {
    const chosen = await app.inject({ url: '/choose', headers: { accept } })
    t.equal(chosen.body, isSo ? '' : '{"stream":false}', `${name}: ${accept}`)
    t.equal(chosen.headers.vary, 'Accept', 'either way')
  }
})

/** Fastify removes what it does not name. */
const OTHER_HEADERS = {
  type: 'object',
  properties: { other: { type: 'string' } },
  additionalProperties: false
}

t.test('accept › counts also where a schema removes it', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(eventStream, { farewell: false })
  app.get('/choose', { schema: { headers: OTHER_HEADERS } }, async (request) => request.acceptsEventStream())
  app.get('/stream', { schema: { headers: OTHER_HEADERS } }, async (_request, reply) => {
    reply.sseStart()
  })
  app.get('/later', { schema: { headers: OTHER_HEADERS } }, async (_request, reply) => reply.sseRetryAfter())
  const ask = (url: string, accept: string) => app.inject({ url, headers: { accept } })
  t.equal((await ask('/choose', 'text/event-stream')).body, 'true')
  t.equal((await ask('/stream', 'application/json')).statusCode, 406)
  t.match((await ask('/later', 'text/event-stream')).body, /^retry: \d+\n/, 'an EventSource comes back')
})

t.test(
  'accept › over HTTP/2 a schema of the headers does not make a finite stream an endless one',
  async (t) => {
    const app = Fastify({ http2: true })
    t.teardown(() => app.close())
    await app.register(eventStream)
    app.post('/', { schema: { headers: OTHER_HEADERS } }, async (_request, reply) => {
      const sse = reply.sseStart()
      await sse.send(String(sse.finite))
      sse.close()
    })
    await app.listen()
    const client = connectHttp2(`http://localhost:${(app.server.address() as AddressInfo).port}`)
    t.teardown(() => client.close())
    const request = client.request({ ':method': 'POST', ':path': '/' }).end()
    t.equal(await text(request), 'data: true\n\n')
  }
)

t.test('acceptsEventStream › adds to the Vary header that there is', async (t) => {
  const app = await createApp(t)
  app.get<{ Querystring: { vary: string } }>('/vary', async (request, reply) => {
    reply.header('vary', request.query.vary)
    return [request.acceptsEventStream(), request.acceptsEventStream()]
  })
  for (const [given, vary] of [
    ['Origin', 'Origin, Accept'],
    ['Accept-Encoding', 'Accept-Encoding, Accept'],
    ['origin,accept', 'origin,accept'],
    ['*', '*']
  ]) {
    t.equal((await app.inject(`/vary?vary=${given}`)).headers.vary, vary)
  }
})

t.test('acceptsEventStream › may be asked by a hook that runs before the plugin’s', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  app.addHook('onRequest', async (request) => void request.acceptsEventStream())
  await app.register(eventStream)
  app.get('/', async () => 'x')
  t.equal((await app.inject('/')).headers.vary, 'Accept')
})

for (const [title, rows] of [
  [
    'a range that matches',
    [
      ['the type itself', 'text/event-stream', true],
      ['everything', '*/*', true],
      ['its family', 'text/*', true],
      ['in capitals', 'TEXT/Event-Stream', true],
      ['with spaces around', ' text/event-stream ', true],
      ['one of several', 'application/json, text/event-stream', true],
      ['among empty ones', ',, text/event-stream ,', true],
      ['what a browser sends for a page', 'text/html,application/xml;q=0.9,*/*;q=0.8', true]
    ]
  ],
  [
    'no range that matches',
    [
      ['another type', 'application/json', false],
      ['another subtype', 'text/html', false],
      ['another family', 'application/*', false],
      ['a longer name', 'text/event-streams', false],
      ['a shorter name', 'text/event', false],
      ['one inside a quoted string', 'application/json;a="x,text/event-stream"', false],
      ['none at all', '', false],
      ['only commas', ',,', false]
    ]
  ],
  [
    'q=0 refuses',
    [
      ['the type itself', 'text/event-stream;q=0', false],
      ['with digits', 'text/event-stream;q=0.000', false],
      ['with spaces', 'text/event-stream ; q=0', false],
      ['in capitals', 'text/event-stream;Q=0', false],
      ['everything', '*/*;q=0', false],
      ['its family', 'text/*;q=0', false],
      ['beside what is accepted', 'application/json, text/event-stream;q=0', false],
      ['but not the smallest that is more', 'text/event-stream;q=0.001', true]
    ]
  ],
  [
    'the most specific range decides, wherever it stands',
    [
      ['refused, everything else accepted', 'text/event-stream;q=0, */*', false],
      ['the same the other way round', '*/*, text/event-stream;q=0', false],
      ['refused, its family accepted', 'text/*, text/event-stream;q=0', false],
      ['accepted, everything else refused', 'text/event-stream, */*;q=0', true],
      ['accepted, its family refused', 'text/*;q=0, text/event-stream', true],
      ['accepted with a low weight', '*/*;q=0, text/event-stream;q=0.1', true],
      ['its family refused, everything else accepted', 'text/*;q=0, */*', false],
      ['its family accepted, everything else refused', '*/*;q=0, text/*', true]
    ]
  ],
  [
    'parameters make a range more specific',
    [
      ['the same charset', 'text/event-stream;charset=utf-8', true],
      ['in capitals', 'text/event-stream;charset=UTF-8', true],
      ['quoted', 'text/event-stream;charset="utf-8"', true],
      ['another charset', 'text/event-stream;charset=latin1', false],
      ['another charset beside everything', 'text/event-stream;charset=latin1, */*;q=0.1', true],
      ['refused with it', 'text/event-stream;charset=utf-8;q=0, text/event-stream', false],
      ['refused without it', 'text/event-stream;charset=utf-8, text/event-stream;q=0', true],
      ['refused with another', 'text/event-stream;charset=latin1;q=0, text/event-stream', true],
      ['q before them', 'text/event-stream;q=0;charset=utf-8, */*', false]
    ]
  ],
  [
    'malformed headers break nothing',
    [
      ['no subtype', 'text', false],
      ['an empty subtype', 'text/', false],
      ['an empty type', '/event-stream', false],
      ['a lone asterisk', '*', false],
      ['only a weight', ';q=1', false],
      ['a weight that is no number', 'text/event-stream;q=high', false],
      ['a negative weight', 'text/event-stream;q=-1', false],
      ['noise', 'garbage;;;===,,"', false],
      ['an open quotation', 'text/event-stream;a="', false],
      ['names of an object', 'text/event-stream;constructor=x, __proto__/toString', false],
      ['noise beside the type', '"";;=, text/event-stream', true]
    ]
  ]
] as const) {
  t.test(`accept › ${title}`, async (t) => {
    const app = await createApp(t)
    for (const row of rows) await check(t, app, row)
  })
}

t.test('accept › several headers count as one', async (t) => {
  const app = await createApp(t)
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as AddressInfo
  for (const [accepts, body] of [
    [['application/json', 'text/event-stream'], 'text/event-stream'],
    [['text/event-stream', 'text/event-stream;q=0.5', 'application/json;q=0.7'], 'text/event-stream'],
    [['*/*', 'text/event-stream;q=0'], '{"stream":false}']
  ] as const) {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    const lines = accepts.map((accept) => `Accept: ${accept}\r\n`).join('')
    socket.write(`GET /choose HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${lines}\r\n`)
    const chunks = await socket.toArray()
    t.match(Buffer.concat(chunks).toString(), body, accepts.join(' + '))
  }
})

t.test("accept › a refusal goes through the application's own error handler", async (t) => {
  const app = await createApp(t)
  app.setErrorHandler((error, _request, reply) => reply.code(418).send({ mine: String(error) }))
  app.get('/handled', async (_request, reply) => {
    reply.sseStart()
  })
  const response = await app.inject({ url: '/handled', headers: { accept: 'text/html' } })
  t.equal(response.statusCode, 418)
  t.match(response.json(), { mine: /The Accept header "text\/html" refuses text\/event-stream/ })
})

t.test('accept › a handler that catches the refusal can answer something else', async (t) => {
  const app = await createApp(t)
  app.get('/either', async (_request, reply) => {
    try {
      reply.sseStart()
    } catch (error) {
      return { instead: error instanceof Error && 'code' in error && error.code }
    }
  })
  const response = await app.inject({ url: '/either', headers: { accept: 'application/json' } })
  t.same(response.json(), { instead: 'FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE' })
})

t.test('accept › checkAccept: false lets the handler decide by something else', async (t) => {
  const app = await createApp(t)
  app.get('/always', async (_request, reply) => {
    reply.sseStart({ checkAccept: false }).close()
  })
  const response = await app.inject({ url: '/always', headers: { accept: 'application/json' } })
  t.equal(response.statusCode, 200)
  t.match(response.headers['content-type'], 'text/event-stream')
})
