import { once } from 'node:events'
import { type ClientHttp2Session, connect } from 'node:http2'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import t from 'tap'
import { admit, Limit, type LimitedStream } from '../../lib/fastify/limit.ts'
import type { SSEConnection } from '../../lib/index.ts'
import { injectStream } from '../../lib/testing/testing.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { build, deferred, listen, logger, until } from '../helpers/server.ts'

const ACCEPT = { accept: 'text/event-stream' }
const RETRY = /^retry: (\d+)\n/

/** `/` starts a stream; `?key=` says whose it is. */
async function serve(
  t: Parameters<typeof build>[0],
  limit: object,
  server: object = {}
): Promise<FastifyInstance> {
  const app = await build(t, { limit, retryMs: [2000, 4000], farewell: false }, server)
  app.get('/', (_request, reply) => void reply.sseStart())
  return app
}

const byQuery = { keyGenerator: ({ query }: { query: unknown }) => (query as { key?: string }).key }

/** The streams that are open, in the order in which they began. */
function keysOf(app: FastifyInstance): unknown[] {
  return [...app.sse.connections].map(({ request }) => byQuery.keyGenerator(request))
}

function statesOf(streams: readonly SSEConnection[]): unknown[] {
  return streams.map(({ state }) => state)
}

t.test('limit › an EventSource that is refused is told when to come back, others by a status', async (t) => {
  const { lines, options } = logger()
  const app = await serve(t, { max: 2, maxPerKey: 1, ...byQuery }, { logger: options })
  await injectStream(app, '/?key=ann')
  const perKey = { code: 'FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY', statusCode: 429 }
  const inAll = { code: 'FST_ERR_EVENTSTREAM_TOO_MANY', statusCode: 503 }
  for (const [url, body] of [
    ['/?key=ann', perKey],
    ['/?key=bob', inAll]
  ] as const) {
    if (body === inAll) await injectStream(app, '/')
    const told = await app.inject({ url, headers: ACCEPT })
    t.match(told, { statusCode: 200, headers: { 'content-type': 'text/event-stream; charset=utf-8' } })
    t.match(told.headers['cache-control'], 'no-store')
    const retryMs = Number(RETRY.exec(told.body)?.[1])
    t.ok(retryMs >= 2000 && retryMs <= 4000, told.body)
    for (const headers of [{}, { accept: '*/*' }]) {
      const refused = await app.inject({ url, headers })
      t.match(refused.json(), body)
      t.equal(refused.statusCode, body.statusCode)
      t.match(refused.headers['retry-after'], /^[234]$/)
    }
  }
  t.match(app.sse.stats(), { connections: 2, opened: 2, refused: 6 })
  const refusals = lines.filter(({ msg }) => msg === 'event stream refused')
  t.equal(refusals.length, 6)
  t.match(refusals[0]?.eventStream, { code: perKey.code })
})

t.test('limit › has room again when a stream has closed, whatever closed it', async (t) => {
  const app = await serve(t, { max: 1 })
  const ways: Record<string, (sse: SSEConnection, abort: () => unknown) => unknown> = {
    close: (sse) => sse.close(),
    destroy: (sse) => sse.destroy(),
    client: (_sse, abort) => abort()
  }
  for (const [name, leave] of Object.entries(ways)) {
    const stream = await injectStream(app, '/')
    t.equal((await app.inject('/')).statusCode, 503, name)
    const [sse] = app.sse.connections
    if (sse === undefined) throw new Error('there is no stream')
    leave(sse, () => stream.abort())
    await sse.closed
  }
  t.match(app.sse.stats(), { connections: 0, opened: 3, refused: 3 })
})

t.test('limit › counts no stream whose handler or hook has failed, nor one that never was', async (t) => {
  const app = await build(t, { limit: { max: 1, maxPerKey: 1 } })
  const fail = (): never => {
    throw new Error('no')
  }
  app.get('/thrown', (_request, reply) => {
    reply.sseStart()
    fail()
  })
  app.get('/rejected', async (_request, reply) => {
    reply.sseStart()
    fail()
  })
  app.get('/hook', { onSend: async () => fail() }, (_request, reply) => void reply.sseStart())
  app.get('/status', (_request, reply) => void reply.code(201).sseStart())
  app.get('/head', (_request, reply) => void reply.sseStart())
  for (const url of ['/thrown', '/rejected', '/hook', '/status']) {
    t.equal((await app.inject(url)).statusCode, 500, url)
    t.equal(app.sse.connections.size, 0, url)
  }
  t.equal((await app.inject({ method: 'HEAD', url: '/head' })).statusCode, 200)
  await injectStream(app, '/head')
  t.equal(
    (await app.inject({ method: 'HEAD', url: '/head' })).statusCode,
    200,
    'is no stream, and takes no room'
  )
})

t.test('limit › counts from sseStart() on, before slow hooks are done', async (t) => {
  const app = await build(t, { limit: { max: 1 } })
  const go = deferred()
  app.get('/', { onSend: async () => go.promise }, (_request, reply) => void reply.sseStart())
  const first = injectStream(app, '/')
  await until(() => app.sse.connections.size === 1)
  const second = app.inject('/')
  go.resolve()
  t.equal((await second).statusCode, 503)
  await first
})

t.test('limit › of a route holds beside the plugin’s', async (t) => {
  const app = await build(t, { limit: { max: 3 } })
  const eventStream = { limit: { max: 1 } }
  const start = (_request: unknown, reply: FastifyReply): void => void reply.sseStart()
  app.get('/a', { eventStream }, start)
  app.get('/b', { eventStream }, start)
  app.get('/c', start)
  await injectStream(app, '/a')
  t.equal((await app.inject('/a')).statusCode, 503)
  await injectStream(app, '/b')
  await injectStream(app, '/c')
  t.equal((await app.inject('/c')).statusCode, 503)
  app.sse.closeWhere(({ request }) => request.url === '/a')
  await until(() => app.sse.connections.size === 2)
  await injectStream(app, '/c')
  t.equal((await app.inject('/a')).statusCode, 503, 'there is room in the route, and none in all')
})

t.test('limit › onExceeded: replace ends the oldest of the key, with its farewell', async (t) => {
  const limit = { max: 3, maxPerKey: 2, onExceeded: 'replace' as const, ...byQuery }
  const app = await build(t, { limit })
  app.get('/', (_request, reply) => void reply.sseStart())
  const first = await injectStream(app, '/?key=ann')
  const [oldest] = app.sse.connections
  await injectStream(app, '/?key=bob')
  await injectStream(app, '/?key=ann')
  await injectStream(app, '/?key=ann')
  t.equal((await first.next()).event, 'close')
  t.equal(await oldest?.closed, 'replaced')
  t.same(keysOf(app), ['bob', 'ann', 'ann'])
  t.equal((await app.inject('/?key=bob')).statusCode, 503, 'the room of others is not taken')
  t.equal((await app.inject('/')).statusCode, 503)
  t.same(keysOf(app), ['bob', 'ann', 'ann'], 'who is refused replaces nobody')
  await injectStream(app, '/?key=ann')
  t.match(app.sse.stats(), { opened: 5, refused: 2 })
})

t.test(
  'limit › who gives way and does not read is gone when its successor gives way or leaves',
  async (t) => {
    const limit = { maxPerKey: 1, onExceeded: 'replace' as const }
    const app = await build(t, { limit, maxMessageBytes: 64_000_000 })
    const started: SSEConnection[] = []
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      started.push(sse)
      await sse.send('more than the sockets take '.repeat(1_000_000))
    })
    const { port } = await listen(app)
    const open = async (): Promise<RawClient> => {
      const before = started.length
      const client = RawClient.get(port, '/')
      client.socket.pause()
      t.teardown(() => client.socket.destroy())
      await until(() => started.length > before && started.at(-1)?.state === 'open')
      return client
    }
    await open()
    await open()
    t.same(statesOf(started), ['closing', 'open'])
    const third = await open()
    t.same(statesOf(started), ['closed', 'closing', 'open'])
    t.equal(await started[0]?.closed, 'replaced')
    third.socket.destroy()
    await until(() => app.sse.connections.size === 0)
    t.equal(await started[1]?.closed, 'replaced')
  }
)

t.test('limit › who gives way counts no more, also before it has closed', async (t) => {
  const limit = new Limit<LimitedStream>({ maxPerKey: 1, onExceeded: 'replace', keyGenerator: () => 'ann' })
  const streams = [1, 2, 3].map((id) => ({ request: { id } as unknown as FastifyRequest }))
  const [first, second] = streams
  const replaced = streams.map((stream) => [...admit([limit], stream)])
  t.same(replaced, [[], [first], [second]])
})

t.test('limit › keyGenerator', async (t) => {
  t.test('is the address by default', async (t) => {
    const app = await serve(t, { maxPerKey: 1 }, { trustProxy: true })
    const from = (address: string) => ({ url: '/', headers: { 'x-forwarded-for': address } })
    await injectStream(app, from('10.0.0.1'))
    t.equal((await app.inject(from('10.0.0.1'))).statusCode, 429)
    await injectStream(app, from('10.0.0.2'))
  })

  t.test('may give no key, which is not limited', async (t) => {
    const app = await serve(t, { maxPerKey: 1, ...byQuery })
    for (let count = 0; count < 3; count++) await injectStream(app, '/')
    t.equal(app.sse.connections.size, 3)
  })

  t.test(
    'that throws or gives what is no key is an error of the request, and nothing is counted',
    async (t) => {
      const app = await build(t)
      const mine = () => {
        throw Object.assign(new Error('mine'), { statusCode: 418 })
      }
      const rows = [
        ['/throws', mine, 418],
        ['/promise', async () => 'ann', 500],
        ['/object', () => ({}), 500]
      ] as const
      for (const [url, keyGenerator] of rows) {
        const limit = { max: 1, maxPerKey: 1, keyGenerator: keyGenerator as () => string }
        app.get(url, { eventStream: { limit } }, (_request, reply) => void reply.sseStart())
      }
      for (const [url, , statusCode] of rows) {
        for (const headers of [ACCEPT, {}])
          t.equal((await app.inject({ url, headers })).statusCode, statusCode)
      }
      t.match(app.sse.stats(), { connections: 0, opened: 0, refused: 0 })
    }
  )
})

t.test('limit › wrong ones fail at registration', async (t) => {
  for (const [limit, message] of [
    [5, 'limit to be an object, got a number'],
    [{}, 'limit to be a max, a maxPerKey or both, got an object'],
    [{ max: 0 }, 'limit.max to be an integer of at least 1, got a number'],
    [{ maxPerKey: '1' }, 'limit.maxPerKey to be an integer of at least 1, got a string'],
    [{ max: 1, onExceeded: 'drop' }, "limit.onExceeded to be 'refuse' or 'replace', got a string"],
    [{ max: 1, keyGenerator: 'ip' }, 'limit.keyGenerator to be a function, got a string'],
    [{ maximum: 1 }, 'maximum to be one of max, maxPerKey, keyGenerator, onExceeded, got a number'],
    [
      { max: 1, onExceeded: 'replace' },
      'limit.maxPerKey to be given, for only streams of the same key replace each other, got undefined'
    ]
  ] as const) {
    const error = { code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION', message: `Expected ${message}` }
    await t.rejects(build(t, { limit } as object), error)
    const app = await build(t)
    t.throws(() => app.get('/', { eventStream: { limit } as object }, async () => {}), error)
  }
})

t.test('limit › a handler that catches the refusal answers what it likes', async (t) => {
  const app = await build(t, { limit: { max: 1 } })
  app.get('/', async (_request, reply) => {
    try {
      reply.sseStart()
    } catch (error) {
      return { code: (error as { code: string }).code }
    }
  })
  await injectStream(app, '/')
  const response = await app.inject({ url: '/', headers: ACCEPT })
  t.same(response.json(), { code: 'FST_ERR_EVENTSTREAM_TOO_MANY' })
})

t.test(
  'limit › a refusal goes through hooks, and only what is no EventSource to the error handler',
  async (t) => {
    const app = await build(t, { limit: { max: 1 } })
    app.addHook('onSend', async (_request, reply, payload) => {
      reply.header('x-hook', 'yes')
      return payload
    })
    app.setErrorHandler(async (_error, _request, reply) => reply.code(418).send('mine'))
    app.get('/', async (_request, reply) => void reply.sseStart())
    app.get('/typed', async (_request, reply) => void reply.type('application/json').sseStart())
    app.get('/hook', { preHandler: async (_request, reply) => void reply.sseStart() }, async () => {})
    await injectStream(app, '/')
    for (const url of ['/', '/typed', '/hook']) {
      const told = await app.inject({ url, headers: ACCEPT })
      t.match(told, { statusCode: 200, body: RETRY, headers: { 'x-hook': 'yes' } }, url)
      t.match(await app.inject(url), { statusCode: 418, body: 'mine', headers: { 'x-hook': 'yes' } }, url)
    }
  }
)

t.test('limit › a burst of 1,000 requests against max: 10 opens ten, over HTTP/1.1', async (t) => {
  const app = await serve(t, { max: 10 })
  const { port } = await listen(app)
  const clients = Array.from({ length: 1000 }, () =>
    RawClient.get(port, '/', { ...ACCEPT, Connection: 'close' })
  )
  await until(() => clients.filter(({ socket }) => socket.closed).length === 990)
  t.match(app.sse.stats(), { connections: 10, opened: 10, refused: 990 })
  const told = clients.map(
    ({ received }) => /^HTTP\/1.1 200 [\s\S]+\r\n\r\nretry: (\d+)\n/.exec(received)?.[1]
  )
  const times = told.filter((time) => time !== undefined)
  t.equal(times.length, 990)
  t.ok(new Set(times).size > 300, 'and each at another time')
  for (const { socket } of clients) socket.destroy()
})

t.test('limit › a burst of 1,000 requests against max: 10 opens ten, over HTTP/2', async (t) => {
  const app = await serve(t, { max: 10 }, { http2: true })
  const { url } = await listen(app)
  const sessions: ClientHttp2Session[] = Array.from({ length: 10 }, () => connect(url))
  t.teardown(() => {
    for (const session of sessions) session.destroy()
  })
  await Promise.all(sessions.map((session) => once(session, 'remoteSettings')))
  const bodies: string[] = []
  for (const session of sessions) {
    for (let count = 0; count < 100; count++) {
      const stream = session.request({ ':path': '/', ...ACCEPT })
      stream.setEncoding('utf8')
      let body = ''
      stream.on('data', (chunk: string) => {
        body += chunk
      })
      stream.on('end', () => bodies.push(body))
      stream.on('error', () => {})
    }
  }
  await until(() => bodies.length === 990)
  t.match(app.sse.stats(), { connections: 10, opened: 10, refused: 990 })
  t.ok(bodies.every((body) => RETRY.test(body)))
})

t.test('sseRetryAfter', async (t) => {
  const app = await build(t, { retryMs: [1000, 1000] })
  app.get('/default', async (_request, reply) => reply.sseRetryAfter())
  app.get('/callback', (_request, reply) => void reply.sseRetryAfter(30_000))
  app.get('/status', async (_request, reply) => reply.code(429).sseRetryAfter(30_000))
  app.get(
    '/hook',
    { onRequest: async (_request, reply) => reply.sseRetryAfter(30_000) },
    async () => 'not reached'
  )
  app.post('/post', async (_request, reply) => reply.sseRetryAfter(500))
  app.get('/wrong', async (_request, reply) => reply.sseRetryAfter(-1))
  app.get('/late', async (_request, reply) => {
    reply.sseStart().close()
    t.throws(() => reply.sseRetryAfter(), { code: 'FST_ERR_EVENTSTREAM_REPLY_SENT' })
  })
  const rows = [
    ['GET', '/default', 503, '1', 1000, 1000],
    ['GET', '/callback', 503, '', 30_000, 37_500],
    ['GET', '/status', 429, '', 30_000, 37_500],
    ['GET', '/hook', 503, '', 30_000, 37_500],
    ['POST', '/post', 503, '1', 0, 0]
  ] as const
  for (const [method, url, statusCode, seconds, min, max] of rows) {
    const refused = await app.inject({ method, url })
    t.equal(refused.statusCode, statusCode, url)
    t.match(refused.json(), { code: 'FST_ERR_EVENTSTREAM_RETRY_LATER', statusCode })
    t.match(refused.headers['retry-after'], seconds === '' ? /^3[0-8]$/ : seconds)
    const asStream = await app.inject({ method, url, headers: ACCEPT })
    if (method === 'POST') {
      t.equal(asStream.statusCode, statusCode, 'no EventSource can ask so')
      continue
    }
    t.equal(asStream.statusCode, 200)
    const retryMs = Number(RETRY.exec(asStream.body)?.[1])
    t.ok(retryMs >= min && retryMs <= max, `${url}: ${retryMs}`)
  }
  t.equal(app.sse.stats().refused, 10)
  t.match((await app.inject('/wrong')).json(), { message: /^Expected ms to be an integer from 1 to / })
  await app.inject('/late')
  t.equal(app.sse.stats().refused, 10)
})

t.test('sseRetryAfter › retryMs: false tells no time', async (t) => {
  const app = await build(t, { retryMs: false })
  app.get('/', async (_request, reply) => reply.sseRetryAfter())
  t.match(await app.inject({ url: '/', headers: ACCEPT }), { statusCode: 200, body: '' })
  const refused = await app.inject('/')
  t.equal(refused.headers['retry-after'], undefined)
})
