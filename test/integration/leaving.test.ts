import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect as http2Connect } from 'node:http2'
import { connect, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import Fastify, { type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import eventStream, { type SSEConnection } from '../../lib/index.ts'
import { RawClient, request } from '../helpers/raw-client.ts'
import { build, deferred, listen, nextTurn, untilResting } from '../helpers/server.ts'

const [key, cert] = ['key', 'cert'].map((name) =>
  readFileSync(new URL(`../fixtures/${name}.pem`, import.meta.url))
)
const https = { key, cert }
const host = '127.0.0.1'
const BODY_BYTES = 300_000

/** How a client asks, and the ways in which it leaves. */
interface Client {
  /** What it reads of the answer. */
  readonly body: Duplex
  leave(): void
}

interface Protocol {
  readonly server: { http2?: true; https?: { key: unknown; cert: unknown } }
  readonly ways: readonly string[]
  open(t: Test, port: number, way: string, bodyBytes: number): Promise<Client>
}

/** What the server sees first of a leaving client, by Node's own events. */
function firstEvent({ raw }: FastifyRequest, stream: Duplex | undefined): Promise<unknown> {
  const emitter = stream ?? raw.socket
  return new Promise((resolve) => {
    for (const event of ['end', 'aborted', 'error', 'close'])
      if (event !== 'end' || stream === undefined) emitter.once(event, resolve)
  })
}

function http1(server: Protocol['server'], secure: (tcp: Socket) => Socket): Protocol {
  const leave: Record<string, (socket: Socket, tcp: Socket) => unknown> = {
    'is killed': (socket) => socket.destroy(),
    'resets the connection': (_socket, tcp) => tcp.resetAndDestroy(),
    'ends its side': (socket) => socket.end()
  }
  return {
    server,
    ways: Object.keys(leave),
    async open(t, port, way, bodyBytes) {
      const tcp = connect(port, host).on('error', () => {})
      const socket = secure(tcp).on('error', () => {})
      t.teardown(() => socket.destroy())
      const headers: Record<string, string> = bodyBytes > 0 ? { 'Content-Length': String(bodyBytes) } : {}
      socket.write(request('GET', '/', headers, 'x'.repeat(bodyBytes)))
      await once(socket, 'readable')
      return { body: socket, leave: () => leave[way]?.(socket, tcp) }
    }
  }
}

function http2(server: Protocol['server'], scheme: string): Protocol {
  return {
    server: { http2: true, ...server },
    ways: ['resets without an error', 'cancels', 'fails', 'ends its session', 'is killed'],
    async open(t, port, way, bodyBytes) {
      const session = http2Connect(`${scheme}://127.0.0.1:${port}`, { ca: String(cert) })
      session.on('error', () => {})
      t.teardown(() => session.destroy())
      const stream = session.request({ ':path': '/' }, { endStream: bodyBytes === 0 })
      stream.on('error', () => {})
      if (bodyBytes > 0) stream.write('x'.repeat(bodyBytes))
      await once(stream, 'response')
      const codes = ['resets without an error', 'fails', 'cancels']
      const leave = (): unknown => {
        const code = codes.indexOf(way)
        if (code >= 0) return stream.close(code === 2 ? 8 : code * 2)
        return way === 'is killed' ? session.socket.destroySoon() : session.destroy()
      }
      return { body: stream, leave }
    }
  }
}

const protocols: Record<string, Protocol> = {
  'HTTP/1.1': http1({}, (tcp) => tcp),
  'HTTP/1.1 over TLS': http1({ https }, (socket) =>
    connectTls({ socket, ca: String(cert), servername: 'localhost' })
  ),
  'HTTP/2': http2({}, 'http'),
  'HTTP/2 over TLS': http2({ https }, 'https')
}

/** What there is when the client leaves: whether it reads, a body that nobody reads, and what the server has done. */
const situations: Record<
  string,
  { reads?: true; bodyBytes?: number; start(sse: SSEConnection): void; reason?: string }
> = {
  idle: { reads: true, start: (sse) => void sse.send('hello') },
  'with a body that nobody reads': {
    reads: true,
    bodyBytes: BODY_BYTES,
    start: (sse) => void sse.send('hello')
  },
  'with much queued': { start: flood },
  'with much queued, and the end': {
    start(sse) {
      flood(sse)
      sse.close()
    },
    reason: 'server'
  },
  'with little queued behind much, and the end': {
    start(sse) {
      for (let i = 0; i < 3; i++) sse.send('x'.repeat(30_000))
      sse.close()
    },
    reason: 'server'
  }
}

function flood(sse: SSEConnection): void {
  for (let i = 0; i < 100; i++) sse.send('x'.repeat(100_000))
}

for (const [protocolName, protocol] of Object.entries(protocols)) {
  for (const [situation, { reads, bodyBytes = 0, start, reason = 'client' }] of Object.entries(situations)) {
    for (const way of protocol.ways) {
      // Who has ended its side may still read what was queued before.
      if (way === 'ends its side' && reason !== 'client') continue
      t.test(`${protocolName} › a client that ${way}, ${situation}`, async (t) => {
        const app = await build(
          t,
          { maxBufferedBytes: 2 ** 30, stallMs: false, heartbeatMs: false },
          protocol.server
        )
        const started = deferred<SSEConnection>()
        const seen = deferred<unknown[]>()
        app.get('/', async (request, reply) => {
          const stream = 'stream' in reply.raw ? (reply.raw.stream as Duplex) : undefined
          const first = firstEvent(request, stream)
          const sse = reply.sseStart()
          start(sse)
          started.resolve(sse)
          await first
          await nextTurn()
          seen.resolve([
            sse.state,
            sse.reason,
            sse.signal.aborted,
            await sse.send('late'),
            app.sse.connections.size
          ])
        })
        const { port } = await listen(app)
        const client = await protocol.open(t, port, way, bodyBytes)
        const sse = await started.promise
        if (reads) client.body.resume()
        await untilResting(() => sse.bufferedBytes)
        if (situation.includes('much queued')) t.not(sse.bufferedBytes, 0)
        client.leave()
        t.same(await seen.promise, ['closed', reason, true, false, 0])
        t.equal(await sse.closed, reason)
      })
    }
  }
}

t.test('HTTP/2 › a client that does not read what is answered instead of a stream, and leaves', async (t) => {
  for (const path of ['/fails', '/replaced']) {
    for (const code of [0, 8]) {
      const app = await build(t, {}, { http2: true })
      const started = deferred<SSEConnection>()
      app.get('/fails', async (_request, reply) => {
        started.resolve(reply.sseStart())
        throw new Error('x'.repeat(1_000))
      })
      app.get('/replaced', { onSend: async () => 'x'.repeat(1_000) }, (_request, reply) => {
        started.resolve(reply.sseStart())
      })
      const { port } = await listen(app)
      const session = http2Connect(`http://127.0.0.1:${port}`, { settings: { initialWindowSize: 0 } })
      t.teardown(() => session.destroy())
      await once(session, 'remoteSettings')
      const stream = session.request({ ':path': path }).on('error', () => {})
      await once(stream, 'response')
      const sse = await started.promise
      stream.close(code)
      t.equal(await sse.closed, 'error', `${path}, by a reset with ${code}`)
      t.equal(app.sse.connections.size, 0)
    }
  }
})

t.test(
  'nothing is left of a connection whose end is the end of the body, when its client ends it',
  async (t) => {
    const app = await build(t)
    const started = deferred<SSEConnection>()
    app.get('/', (_request, reply) => {
      started.resolve(reply.sseStart())
    })
    const { port } = await listen(app)
    const client = RawClient.connect(port, 'GET / HTTP/1.0\r\n\r\n')
    const { socket, closed } = await started.promise
    const isGone = once(socket, 'close')
    client.socket.end()
    t.equal(await closed, 'client')
    await isGone
  }
)

t.test(
  "request.signal aborts when the client leaves, before and after the start, and not with the request's body",
  async (t) => {
    for (const method of ['GET', 'POST'] as const) {
      for (const when of ['before', 'after', 'first read after leaving'] as const) {
        const app = await build(t)
        const [started, result] = [deferred<unknown>(), deferred<unknown[]>()]
        app.route({
          method,
          url: '/',
          handler: async (request, reply) => {
            const early = when === 'first read after leaving' ? undefined : request.signal
            for (let turns = 0; turns < 5; turns++) await nextTurn()
            const before = early?.aborted
            const sse = when === 'after' ? reply.sseStart() : undefined
            started.resolve(undefined)
            const { socket } = request.raw
            if (!socket.destroyed) await once(socket, 'close')
            await nextTurn()
            result.resolve([
              before,
              request.signal.aborted,
              sse && [sse.signal === early, early?.reason.reason]
            ])
            if (sse === undefined) return 'nobody reads it'
          }
        })
        const { port } = await listen(app)
        const body = method === 'POST' ? '{"prompt":1}' : ''
        const headers: Record<string, string> =
          method === 'POST'
            ? { 'Content-Type': 'application/json', 'Content-Length': String(body.length) }
            : {}
        const client = RawClient.connect(port, request(method, '/', headers, body))
        await started.promise
        client.socket.destroy()
        const stream = when === 'after' ? [true, 'client'] : undefined
        t.same(
          await result.promise,
          [when === 'first read after leaving' ? undefined : false, true, stream],
          `${method}, ${when}`
        )
      }
    }
  }
)

t.test(
  'request.signal aborts with the handlerTimeout, and when it was read before the plugin has seen the request',
  async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    const signals: AbortSignal[] = []
    app.addHook('onRequest', async (request) => void signals.push(request.signal))
    await app.register(eventStream)
    app.get('/', { handlerTimeout: 10 }, async ({ signal }) => {
      signals.push(signal)
      await once(signal, 'abort')
    })
    app.post('/', async (request) => {
      for (let turns = 0; turns < 5; turns++) await nextTurn()
      return request.signal.aborted
    })
    t.equal((await app.inject('/')).statusCode, 503)
    t.match(signals[1]?.reason, { code: 'FST_ERR_HANDLER_TIMEOUT' })
    t.equal(signals[0], signals[1])
    t.equal((await app.inject({ method: 'POST', url: '/', payload: { a: 1 } })).body, 'false')
  }
)
