import dns, { type LookupAllOptions } from 'node:dns'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { Agent, get as httpGet } from 'node:http'
import { type ClientHttp2Stream, connect as http2Connect } from 'node:http2'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import eventStream, {
  type EventStreamOptions,
  type EventStreams,
  type Message,
  type SSEConnection
} from '../../lib/index.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { RawClient, request } from '../helpers/raw-client.ts'
import {
  build as buildServer,
  deferred,
  listen,
  logger,
  nextTurn,
  until,
  untilResting
} from '../helpers/server.ts'

/** No socket is ever idle for too long: what `close()` does not end holds it for ever, and the test with it. */
const PATIENT = { keepAliveTimeout: 2 ** 31 - 1, http2SessionTimeout: 0 }

function build(
  t: Test,
  plugin?: EventStreamOptions,
  server?: Parameters<typeof buildServer>[2]
): Promise<FastifyInstance> {
  return buildServer(t, plugin, { ...PATIENT, ...server })
}

/** Closes the server while the clock stands still: a `close()` that needs a deadline to end never does. */
function closeAtOnce(app: FastifyInstance): Promise<void> {
  return FakeClock.run(() => app.close())
}

/** Begins to close the server, and lets `drainMs` pass: all of its streams are there until then, and no longer. */
function closeAtDeadline(t: Test, app: FastifyInstance, drainMs: number, hubs = [app.sse]): Promise<void> {
  return FakeClock.run(async (clock) => {
    const connections = hubs.flatMap((hub) => [...hub.connections])
    const listeners = app.server.listenerCount('connection')
    const closed = app.close()
    await until(() => app.server.listenerCount('connection') > listeners)
    clock.advance(drainMs - 1)
    await nextTurn()
    const states = connections.map(({ state }) => state)
    t.same(states, Array(connections.length).fill('closing'))
    clock.advance(1)
    await closed
  })
}

/** Sends far more than any socket takes. */
function flood(sse: SSEConnection): void {
  for (let i = 0; i < 200; i++) sse.send('x'.repeat(100_000))
}

t.test('close() › every stream that is read gets all of it, a retry, and its end', async (t) => {
  for (const forceCloseConnections of [true, false, 'idle'] as const) {
    t.test(`forceCloseConnections: ${forceCloseConnections}`, async (t) => {
      const farewell = (): Message => ({ event: 'restart', data: 'soon' })
      const app = await build(t, { farewell, retryMs: [10, 20] }, { forceCloseConnections })
      const reasons: string[] = []
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart()
        sse.closed.then((reason) => reasons.push(reason))
        for (let i = 0; i < 10; i++) sse.send(`${i}:${'x'.repeat(10_000)}`)
      })
      const { port } = await listen(app)
      const clients = Array.from({ length: 20 }, () => RawClient.get(port, '/'))
      await Promise.all(clients.map((client) => client.until('data: 0:')))
      await closeAtOnce(app)
      await Promise.all(clients.map((client) => client.closed))
      const retries = new Set<string>()
      for (const client of clients) {
        const end = /data: 9:x{10000}\n\nevent: restart\ndata: soon\n\nretry: (1\d|20)\n$/.exec(client.body)
        retries.add(String(end?.[1]))
        t.match(client.received, /\r\n0\r\n\r\n$/)
      }
      t.notOk(retries.has('undefined'))
      t.ok(retries.size > 3, 'they do not all come back at once')
      t.same(reasons, Array(20).fill('shutdown'))
    })
  }
})

t.test('close() › streams that start or end during the sweep', async (t) => {
  t.test('a handler that is already running is refused', async (t) => {
    const app = await build(t)
    const entered = deferred()
    const swept = deferred()
    app.addHook('preClose', async () => swept.resolve())
    app.get('/late', async (_request, reply) => {
      entered.resolve()
      await swept.promise
      reply.sseStart()
    })
    const { url } = await listen(app)
    const late = fetch(`${url}/late`)
    await entered.promise
    const closed = closeAtOnce(app)
    const response = await late
    t.equal(response.status, 503)
    t.equal(((await response.json()) as { code: string }).code, 'FST_ERR_EVENTSTREAM_CLOSING')
    t.match(response.headers.get('retry-after'), /^[1-5]$/)
    t.equal(response.headers.get('connection'), 'close')
    await closed
  })

  t.test('one that is still in its onSend hooks gets its head, its messages and its end', async (t) => {
    const app = await build(t, { retryMs: false })
    const started = deferred<SSEConnection>()
    const entered = deferred()
    app.addHook('onSend', async (_request, _reply, payload) => {
      const { signal } = await started.promise
      entered.resolve()
      await once(signal, 'abort')
      return payload
    })
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      sse.send('early')
      started.resolve(sse)
    })
    const { url } = await listen(app)
    const response = fetch(url)
    await entered.promise
    const closed = closeAtOnce(app)
    t.equal(await (await response).text(), 'data: early\n\n')
    await closed
  })

  t.test('one that was closed just before does not hold its keep-alive socket', async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      await reply.sseStart().send('x'.repeat(100_000))
    })
    const { port } = await listen(app)
    const client = RawClient.get(port, '/')
    await client.until('data: x')
    const [sse] = app.sse.connections
    sse?.close()
    await closeAtOnce(app)
    await client.closed
    t.match(client.body, /data: x+\n\nevent: close\ndata: Closing the connection\n\n$/)
  })

  t.test('one that closes itself when it hears of the shutdown', async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      sse.signal.addEventListener('abort', () => sse.close())
      sse.send('hello')
    })
    const { port } = await listen(app)
    const client = RawClient.get(port, '/')
    await client.until('hello')
    await closeAtOnce(app)
    await client.closed
    t.notMatch(client.body, 'event: close')
  })
})

t.test('close() › a reader that takes nothing is destroyed at drainMs', async (t) => {
  const drainMs = 300
  const app = await build(t, { drainMs, maxBufferedBytes: 50_000_000 })
  app.get('/', async (_request, reply) => flood(reply.sseStart()))
  const { port } = await listen(app)
  const stuck = RawClient.get(port, '/')
  await stuck.until('data: x')
  stuck.socket.pause()
  const [sse] = app.sse.connections
  await closeAtDeadline(t, app, drainMs)
  t.equal(await sse?.closed, 'shutdown')
  stuck.socket.destroy()
})

t.test('close() › a second close() is the first', async (t) => {
  const app = await build(t)
  app.get('/', async (_request, reply) => {
    await reply.sseStart().send('hello')
  })
  const { port } = await listen(app)
  const client = RawClient.get(port, '/')
  await client.until('hello')
  await Promise.all([closeAtOnce(app), app.close()])
  await app.close()
  await client.closed
  t.match(client.body, /^data: hello\n\nretry: \d+\n$/, 'one retry, not two')
})

t.test('close() › without streams, before listening, after inject()', async (t) => {
  const unused = await build(t)
  await closeAtOnce(unused)
  t.equal(unused.sse.stats().opened, 0)
  const app = await build(t)
  app.get('/', async (_request, reply) => reply.sseStart().close())
  await app.inject('/')
  await closeAtOnce(app)
  t.equal(app.sse.stats().opened, 1)
})

t.test('close() › an open inject() stream is ended', async (t) => {
  const app = await build(t, { retryMs: false })
  app.get('/', async (_request, reply) => {
    await reply.sseStart().send('hello')
  })
  const response = await app.inject({ url: '/', payloadAsStream: true })
  const chunks: Buffer[] = []
  response.stream().on('data', (chunk) => chunks.push(chunk))
  await closeAtOnce(app)
  t.equal(String(Buffer.concat(chunks)), 'data: hello\n\n')
})

t.test('close() › keep-alive agents: sockets on which a stream has ended do not hold it', async (t) => {
  const app = await build(t)
  app.get('/', async (_request, reply) => {
    const sse = reply.sseStart()
    await sse.send('hello')
    sse.close()
  })
  const { port } = await listen(app)
  const agent = new Agent({ keepAlive: true })
  t.teardown(() => agent.destroy())
  await new Promise((resolve) => {
    httpGet({ port, host: '127.0.0.1', agent }, (response) => response.resume().on('end', resolve))
  })
  await closeAtOnce(app)
  t.notOk(app.server.listening)
})

t.test('close() › on localhost, where Fastify listens on two addresses', async (t) => {
  const app = await build(t)
  app.get('/', async (_request, reply) => {
    await reply.sseStart().send('hello')
  })
  await app.listen({ port: 0, host: 'localhost' })
  const addresses = app.addresses().filter((address): address is AddressInfo => typeof address !== 'string')
  const bodies = addresses.map(async ({ address, family, port }) => {
    const host = family === 'IPv6' ? `[${address}]` : address
    return (await fetch(`http://${host}:${port}`)).text()
  })
  await until(() => app.sse.stats().messages === bodies.length)
  await closeAtOnce(app)
  for (const body of await Promise.all(bodies)) t.match(body, /^data: hello\n\nretry: \d+\n$/)
})

t.test('close() › on localhost, the second server refuses and ends as the first does', async (t) => {
  const { lookup } = dns
  t.teardown(() => Object.assign(dns, { lookup }))
  Object.assign(dns, {
    lookup: (name: string, ...args: [LookupAllOptions, (error: null, found: object[]) => void]) => {
      if (args[0].all) args[1](null, [{ address: '127.0.0.1' }, { address: '::1' }])
      else Reflect.apply(lookup, dns, [name, ...args])
    }
  })
  for (const http2 of [false, true]) {
    const app = await build(t, {}, http2 ? { http2 } : {})
    app.get('/', async (_request, reply) => void reply.sseStart().send('hello'))
    const closing = deferred()
    app.addHook('preClose', () => closing.promise)
    await app.listen({ port: 0, host: 'localhost' })
    const second = (app.addresses() as AddressInfo[]).find(({ family }) => family === 'IPv6')
    if (second === undefined) {
      closing.resolve()
      return t.pass('a machine without IPv6')
    }
    const { address: host, port } = second
    const client = new RawClient(connect(port, host))
    const session = http2Connect(`http://[${host}]:${port}`)
    const sessionClosed = once(session, 'close')
    t.teardown(() => session.destroy())
    if (http2) session.request({ ':path': '/' }).resume()
    else client.socket.write(request('GET', '/'))
    if (!http2) session.destroy()
    await until(() => app.sse.stats().messages === 1)
    const closed = closeAtOnce(app)
    await (http2 ? sessionClosed : client.closed)
    const late = new RawClient(connect(port, host))
    late.socket.write(request('GET', '/'))
    await late.closed
    t.equal(late.received, '', 'not 503, which would end an EventSource for ever')
    client.socket.destroy()
    closing.resolve()
    await closed
    if (!http2) t.match(client.body, /^data: hello\n\nretry: \d+\n$/)
  }
})

t.test('close() › HTTP/2: streams end, and so do their sessions', async (t) => {
  for (const endsBefore of [false, true]) {
    t.test(endsBefore ? 'whose streams have ended before' : 'whose streams are open', async (t) => {
      const app = await build(t, {}, { http2: true })
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart()
        await sse.send('hello')
        if (endsBefore) sse.close()
      })
      await app.listen({ port: 0, host: '127.0.0.1' })
      const session = http2Connect(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}`)
      t.teardown(() => session.destroy())
      const sessionClosed = new Promise((resolve) => session.on('close', resolve))
      const bodies = [1, 2].map(async () => {
        const stream = session.request({ ':path': '/' })
        let body = ''
        for await (const chunk of stream) body += chunk
        return body
      })
      if (endsBefore) await Promise.all(bodies)
      else await until(() => app.sse.stats().messages === 2)
      await closeAtOnce(app)
      for (const body of await Promise.all(bodies))
        t.match(body, /^data: hello\n\n(event: close|retry: \d+\n$)/)
      await sessionClosed
    })
  }

  for (const stuck of ['stream', 'socket'] as const) {
    t.test(`a reader whose ${stuck} is stuck is destroyed at drainMs`, async (t) => {
      const drainMs = 200
      const app = await build(t, { drainMs, maxBufferedBytes: 50_000_000 }, { http2: true })
      app.get('/', async (_request, reply) => flood(reply.sseStart()))
      const { port } = await listen(app)
      const relay = await startRelay(t, port)
      await once(openStream(t, relay.port), 'response')
      if (stuck === 'socket') relay.stop()
      await closeAtDeadline(t, app, drainMs)
    })
  }
})

t.test('close() › HTTP/2: a stream that was too slow before does not hold it by its socket', async (t) => {
  const [drainMs, stallMs] = [200, 100]
  const app = await build(t, { drainMs, stallMs, maxBufferedBytes: 50_000_000 }, { http2: true })
  const started = deferred<SSEConnection>()
  app.get('/', async (_request, reply) => {
    const sse = reply.sseStart()
    started.resolve(sse)
    flood(sse)
  })
  const { port } = await listen(app)
  const relay = await startRelay(t, port)
  await FakeClock.run(async (clock) => {
    const stream = openStream(t, relay.port)
    await once(stream, 'response')
    relay.stop()
    clock.advance(2 * stallMs)
    t.equal(await (await started.promise).closed, 'slow')
  })
  await closeAtDeadline(t, app, drainMs)
})

t.test(
  'HTTP/2: the session of a stream that was too slow goes, too, if nothing on it makes progress',
  async (t) => {
    for (const stops of ['stream', 'socket'] as const) {
      const stallMs = 100
      const app = await build(
        t,
        { stallMs, maxBufferedBytes: 50_000_000, heartbeatMs: false },
        { http2: true }
      )
      const started = deferred<SSEConnection>()
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart()
        started.resolve(sse)
        flood(sse)
      })
      const sockets: Socket[] = []
      app.server.on('connection', (socket) => sockets.push(socket))
      const { port } = await listen(app)
      const relay = await startRelay(t, port)
      await FakeClock.run(async (clock) => {
        const session = http2Connect(`http://127.0.0.1:${relay.port}`).on('error', () => {})
        t.teardown(() => session.destroy())
        const stream = session.request({ ':path': '/' }).on('error', () => {})
        await once(stream, 'response')
        const sse = await started.promise
        if (stops === 'socket') {
          session.setLocalWindowSize(2 ** 30)
          relay.stop()
          session.settings({ initialWindowSize: 2 ** 30 })
        }
        await untilResting(() => sse.bufferedBytes)
        clock.advance(2 * stallMs)
        t.equal(await sse.closed, 'slow')
        const [socket] = sockets
        for (let times = 0; times < 3; times++) {
          await untilResting(() => Number(socket?.bytesWritten))
          clock.advance(stallMs)
        }
        await nextTurn()
        t.equal(socket?.destroyed, stops === 'socket')
      })
    }
  }
)

t.test('close() › HTTP/2: sessions without a stream do not hold it either', async (t) => {
  for (const [method, path, status] of [
    ['GET', '/plain', 200],
    ['HEAD', '/', 200],
    ['GET', '/refused', 406]
  ] as const) {
    const app = await build(t, {}, { http2: true })
    app.get('/', async (_request, reply) => void reply.sseStart())
    app.get('/refused', async (_request, reply) => void reply.sseStart())
    app.get('/plain', async () => 'plain')
    const { port } = await listen(app)
    const session = http2Connect(`http://127.0.0.1:${port}`)
    t.teardown(() => session.destroy())
    const accept = path === '/refused' ? 'application/json' : '*/*'
    const stream = session.request({ ':path': path, ':method': method, accept })
    const answered = once(stream, 'response')
    const streamClosed = once(stream, 'close')
    stream.resume()
    t.match(await answered, [{ ':status': status }])
    await streamClosed
    const sessionClosed = once(session, 'close')
    await closeAtOnce(app)
    await sessionClosed
  }
})

t.test('close() › HTTP/2: a session that comes during the sweep does not hold it', async (t) => {
  const [key, cert] = ['key', 'cert'].map((name) =>
    readFileSync(new URL(`../fixtures/${name}.pem`, import.meta.url))
  )
  const app = await build(t, {}, { http2: true, https: { key, cert } })
  const closing = deferred()
  app.addHook('preClose', () => closing.promise)
  const { port } = await listen(app)
  const socket = connect(port, '127.0.0.1')
  await once(app.server, 'connection')
  const closed = closeAtOnce(app)
  const secure = connectTls({ socket, ALPNProtocols: ['h2'], servername: 'localhost', ca: String(cert) })
  const session = http2Connect('https://localhost', { createConnection: () => secure })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await once(session, 'connect')
  const sessionClosed = once(session, 'close')
  closing.resolve()
  await closed
  await sessionClosed
})

t.test('close() › connections that come during the sweep are refused, and do not hold it', async (t) => {
  const app = await build(t)
  const closing = deferred()
  app.addHook('preClose', () => closing.promise)
  app.get('/', async (_request, reply) => {
    await reply.sseStart().send('hello')
  })
  const { port } = await listen(app)
  const client = RawClient.get(port, '/')
  await client.until('hello')
  const closed = closeAtOnce(app)
  await client.closed
  const silent = RawClient.connect(port)
  const asking = RawClient.get(port, '/')
  await Promise.all([silent.closed, asking.closed])
  t.equal(asking.received, '', 'not 503, which would end an EventSource for ever')
  closing.resolve()
  await closed
})

t.test('close() › trailers still come after the stream', async (t) => {
  const app = await build(t, { retryMs: false })
  app.get('/', async (_request, reply) => {
    reply.trailer('etag', (_reply, _payload, done) => setImmediate(done, null, 'x'))
    await reply.sseStart().send('1')
  })
  const { port } = await listen(app)
  const client = RawClient.get(port, '/')
  await client.until('data: 1')
  await closeAtOnce(app)
  await client.closed
  t.match(client.received, /\r\n0\r\netag: x\r\n\r\n$/)
})

/** An HTTP/2 stream that takes much before it is full. */
function openStream(t: Test, port: number): ClientHttp2Stream {
  const session = http2Connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 2 ** 30 } })
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  return session.request({ ':path': '/' }).on('error', () => {})
}

/** A relay to `port` that can stop to read from the server, as a network does that takes nothing any more. */
async function startRelay(t: Test, port: number): Promise<{ port: number; stop(): void }> {
  const upstreams: Socket[] = []
  const server = createServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    upstreams.push(upstream)
    client.pipe(upstream).pipe(client)
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const upstream of upstreams) upstream.destroy()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      for (const upstream of upstreams) upstream.unpipe().pause()
    }
  }
}

t.test('close() › two servers, or two scopes of one, each end their own streams', async (t) => {
  const app = Fastify(PATIENT)
  const hubs: EventStreams[] = []
  for (const prefix of ['/a', '/b']) {
    app.register(
      async (scope) => {
        await scope.register(eventStream, { retryMs: prefix === '/a' ? [1, 1] : [2, 2] })
        hubs.push(scope.sse)
        scope.get('/', async (_request, reply) => {
          await reply.sseStart().send('hello')
        })
      },
      { prefix }
    )
  }
  const { url } = await listen(app)
  const bodies = ['/a', '/b'].map(async (path) => (await fetch(url + path)).text())
  await until(() => hubs.reduce((sum, hub) => sum + hub.stats().messages, 0) === 2)
  await closeAtOnce(app)
  t.same(await Promise.all(bodies), ['data: hello\n\nretry: 1\n', 'data: hello\n\nretry: 2\n'])
})

t.test('close() › several scopes drain at the same time', async (t) => {
  const drainMs = 400
  const app = Fastify(PATIENT)
  const hubs: EventStreams[] = []
  for (const prefix of ['/a', '/b', '/c']) {
    app.register(
      async (scope) => {
        await scope.register(eventStream, { drainMs, maxBufferedBytes: 50_000_000 })
        hubs.push(scope.sse)
        scope.get('/', async (_request, reply) => flood(reply.sseStart()))
      },
      { prefix }
    )
  }
  const { port } = await listen(app)
  for (const path of ['/a', '/b', '/c']) {
    const stuck = RawClient.get(port, path)
    await stuck.until('data: x')
    stuck.socket.pause()
    t.teardown(() => stuck.socket.destroy())
  }
  await closeAtDeadline(t, app, drainMs, hubs)
})

t.test('drainMs must leave Fastify time', async (t) => {
  const app = Fastify({ pluginTimeout: 4000 })
  app.register(eventStream)
  await t.rejects(async () => app.ready(), {
    code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION',
    message: "Expected drainMs (5000) to be below Fastify's pluginTimeout (4000), got a number"
  })
  const unbounded = Fastify({ pluginTimeout: 0 })
  await unbounded.register(eventStream, { drainMs: 60_000 })
  await unbounded.close()
})

t.test('after close() nothing of the plugin is left in the process', async (t) => {
  const { hasSubscribers } = await import('node:diagnostics_channel')
  const channel = 'tracing:fastify.request.handler:error'
  const log = logger()
  const app = Fastify({ logger: log.options })
  await app.register(eventStream)
  await app.ready()
  t.ok(hasSubscribers(channel))
  await app.close()
  t.notOk(hasSubscribers(channel))
})

for (const return503OnClosing of [true, false]) {
  t.test(
    `an EventSource that asks a closing server comes back (return503OnClosing: ${return503OnClosing})`,
    async (t) => {
      const app = await build(t, { retryMs: [2000, 2000] }, { return503OnClosing })
      const [holding, swept] = [deferred(), deferred()]
      app.addHook('preClose', () => {
        swept.resolve()
        return holding.promise
      })
      app.get('/', async (_request, reply) => {
        await reply.sseStart().send('hello')
      })
      const { port } = await listen(app)
      const connections = new Set<Socket>()
      app.server.on('connection', (socket) => connections.add(socket))
      const clients = [{ accept: 'text/event-stream', origin: 'https://app.example.com' }, {}].map(
        (headers) => ({
          client: RawClient.connect(port, 'GET / HTTP/1.1\r\n'),
          rest: request('GET', '/', headers).slice('GET / HTTP/1.1\r\n'.length)
        })
      )
      await until(() => connections.size === 2)
      const closed = app.close()
      await swept.promise
      for (const { client, rest } of clients) client.socket.write(rest)
      const [told, refused] = clients.map(({ client }) => client)
      await Promise.all([told?.closed, refused?.closed])
      t.match(told?.received, /^HTTP\/1\.1 200 OK[\s\S]*retry: 2000\n/)
      t.match(refused?.received, /^HTTP\/1\.1 503 /)
      if (return503OnClosing) t.match(told?.head, /access-control-allow-origin: https:\/\/app\.example\.com/i)
      t.equal(app.sse.stats().refused, return503OnClosing ? 1 : 2)
      holding.resolve()
      await closed
    }
  )
}

t.test('finite streams may end by themselves while the server closes, and are whole then', async (t) => {
  const app = await build(t)
  const started = deferred<SSEConnection>()
  app.post('/', async (_request, reply) => {
    const sse = reply.sseStart()
    await sse.send('half')
    started.resolve(sse)
  })
  const { url } = await listen(app)
  const response = await fetch(url, { method: 'POST' })
  const sse = await started.promise
  const closed = closeAtOnce(app)
  await nextTurn()
  await sse.send('the rest')
  sse.close()
  t.equal(await response.text(), 'data: half\n\ndata: the rest\n\n')
  await closed
})

t.test('finite streams that have not ended at drainMs are broken off, with their last words', async (t) => {
  const farewell = (reason: string): Message => ({ event: 'error', data: reason })
  const app = await build(t, { drainMs: 100 })
  app.post('/', { eventStream: { farewell } }, async (_request, reply) => void reply.sseStart().send('half'))
  const { port } = await listen(app)
  const client = RawClient.connect(port, request('POST', '/'))
  await client.until('half')
  await app.close()
  await client.closed
  t.equal(client.body, 'data: half\n\nevent: error\ndata: shutdown\n\n')
  t.notMatch(client.received, /\r\n0\r\n\r\n$/)
})

t.test(
  'app.sse.drain() ends streams as the shutdown does, while the server answers other requests',
  async (t) => {
    const app = await build(t, { retryMs: [1, 1] })
    const started = deferred<SSEConnection>()
    app.get('/', (_request, reply) => void reply.sseStart().send('endless'))
    app.post('/', (_request, reply) => {
      const sse = reply.sseStart()
      sse.send('half')
      started.resolve(sse)
    })
    app.get('/other', async () => 'other')
    const { url } = await listen(app)
    const endless = await fetch(url)
    const finite = await fetch(url, { method: 'POST' })
    const sse = await started.promise
    const drained = app.sse.drain({ timeoutMs: 1_000_000 })
    t.equal(await endless.text(), 'data: endless\n\nretry: 1\n')
    t.equal(await (await fetch(`${url}/other`)).text(), 'other')
    t.equal((await fetch(url, { method: 'POST' })).status, 503, 'no stream is started any more')
    t.equal(sse.state, 'open')
    sse.close()
    t.equal(await finite.text(), 'data: half\n\n')
    await drained
  }
)
