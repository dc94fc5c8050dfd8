import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import eventStream from '../../lib/index.ts'

/** What the rule says, the header, whether it lets the answer be an event stream. */
type Row = readonly [name: string, accept: string, isAccepted: boolean]

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

/** Both ways to ask give the same answer, and a refusal is Fastify's to send. */
async function check(t: Test, app: FastifyInstance, [name, accept, isAccepted]: Row): Promise<void> {
  const headers = { accept }
  const chosen = await app.inject({ url: '/choose', headers })
  t.equal(chosen.body, isAccepted ? '' : '{"stream":false}', `${name}: ${accept}`)
  const started = await app.inject({ url: '/stream', headers })
  const type = started.headers['content-type']
  if (isAccepted) {
    t.match({ status: started.statusCode, type }, { status: 200, type: 'text/event-stream; charset=utf-8' })
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

t.test('accept › a request without the header accepts everything', async (t) => {
  const app = await createApp(t)
  const chosen = await app.inject('/choose')
  t.equal(chosen.headers['content-type'], 'text/event-stream; charset=utf-8')
  t.equal((await app.inject('/stream')).statusCode, 200)
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
      ['an open quotation, which is no parameter', 'text/event-stream;a="', true],
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
