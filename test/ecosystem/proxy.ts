import { readFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setInterval } from 'node:timers/promises'

import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { EventSource } from 'undici'
import type { EventStreamOptions, SSEConnection } from '../../lib/index.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { type ProxyProgram, ReverseProxy } from '../helpers/reverse-proxy.ts'
import { build, listen, until } from '../helpers/server.ts'

const STREAMS = 20
export const EVENTS = 50
const END = 'end'
const CLIENT = '127.0.0.2'

const cert = readFileSync(new URL('../fixtures/cert.pem', import.meta.url))

type ProxyName = ProxyProgram['name']
type Edits = Record<string, string>

/** For the idle test: how long a stream may be idle, and the heartbeat, which is much shorter. */
const TIMEOUT_MS = 1_000
const HEARTBEAT_MS = 10
const SHORT_TIMEOUTS: Record<ProxyName, Edits> = {
  nginx: { 'proxy_pass http://app;': `proxy_pass http://app; proxy_read_timeout ${TIMEOUT_MS}ms;` },
  haproxy: {
    'timeout client 50s': `timeout client ${TIMEOUT_MS}ms`,
    'timeout server 50s': `timeout server ${TIMEOUT_MS}ms`
  }
}

/** With these, an application is told that a client has left only because the client has. */
const NO_TIMEOUTS: Record<ProxyName, Edits> = {
  nginx: { 'proxy_pass http://app;': 'proxy_pass http://app; proxy_read_timeout 24h;' },
  haproxy: { 'timeout client 50s': 'timeout client 24h', 'timeout server 50s': 'timeout server 24h' }
}

/** For the reload test: how soon streams that outlive a reload are cut. */
const EARLY_CUT: Record<ProxyName, Edits> = {
  nginx: { 'worker_shutdown_timeout 60s': 'worker_shutdown_timeout 300ms' },
  haproxy: { 'hard-stop-after 60s': 'hard-stop-after 300ms' }
}

/** A server, its streams as they are opened, and a proxy before it. */
interface Stage {
  readonly app: FastifyInstance
  readonly proxy: ReverseProxy
  /** The application's own port. */
  readonly direct: number
  readonly streams: SSEConnection[]
}

/** Each stream begins with one event that says how the application was asked, and gets nothing else by itself. */
export async function stage(
  t: Test,
  program: ProxyProgram,
  { edits = {}, ...options }: EventStreamOptions & { edits?: Edits } = {}
): Promise<Stage> {
  const app = await build(t, { heartbeatMs: false, ...options }, { trustProxy: true })
  const streams: SSEConnection[] = []
  app.get('/', async (request, reply) => {
    const sse = reply.sseStart()
    streams.push(sse)
    sse.send(`first by ${request.protocol} for ${request.ip}`)
  })
  app.get('/silent', async (_request, reply) => {
    const sse = reply.sseStart({ heartbeatMs: false })
    streams.push(sse)
    sse.send('first and last')
  })
  app.get('/news', async (_request, reply) => {
    const sse = reply.sseStart()
    sse.send({ retry: 1 })
    app.sse.channel('news').subscribe(sse)
  })
  app.get('/other', async () => 'no stream')
  const { port } = await listen(app)
  const proxy = await ReverseProxy.start(t, program, { upstream: port, edits })
  return { app, proxy, direct: port, streams }
}

/** A client that has got the first event, and its stream. */
async function open(
  t: Test,
  { proxy: { port }, streams }: Stage,
  path = '/'
): Promise<{ client: RawClient; sse: SSEConnection }> {
  const client = RawClient.get(port, path)
  t.teardown(() => client.socket.destroy())
  await client.until('data: first')
  return { client, sse: last(streams) }
}

export function last<T>(items: readonly T[]): T {
  const item = items.at(-1)
  if (item === undefined) throw new Error('there is none')
  return item
}

/** Sends events one by one, each when the one before has come. */
export async function sendOneByOne(
  sse: SSEConnection,
  received: (data: string) => Promise<void>
): Promise<void> {
  for (let i = 0; i < EVENTS; i++) {
    await sse.send(`event ${i}.`)
    await received(`data: event ${i}.\n\n`)
  }
}

/** What a readable gave so far. */
export function textOf(readable: NodeJS.ReadableStream): () => string {
  let text = ''
  readable.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  return () => text
}

/** Asks for a compressed answer, from another address than the proxy's own. */
export function getCompressed(url: string): Promise<IncomingMessage> {
  const options = { agent: false, localAddress: CLIENT, headers: { 'accept-encoding': 'gzip' } }
  return new Promise((resolve, reject) => {
    get(url, options, resolve).on('error', reject)
  })
}

/** What both proxies do. */
export async function testProxy(t: Test, program: ProxyProgram): Promise<void> {
  const { name } = program
  await t.test('holds no event back while the stream is open', async (t) => {
    const { client, sse } = await open(t, await stage(t, program))
    await sendOneByOne(sse, (data) => client.until(data))
    t.equal(client.body.match(/data: event/g)?.length, EVENTS)
    t.equal(sse.state, 'open')
  })

  await t.test('passes the head on, and tells the application who asks', async (t) => {
    const { proxy, streams } = await stage(t, program)
    const response = await getCompressed(proxy.url)
    t.equal(response.statusCode, 200)
    t.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8')
    t.equal(response.headers['cache-control'], 'private, no-cache, no-store, no-transform')
    const hint = response.headers['x-accel-buffering']
    t.equal(hint, name === 'nginx' ? undefined : 'no', 'nginx keeps to itself what is meant for it')
    const text = textOf(response)
    last(streams).close()
    await until(() => response.complete)
    t.match(text(), `data: first by http for ${CLIENT}\n`)
  })

  await t.test('cuts no stream that has a heartbeat, and one that has none', async (t) => {
    const behind = await stage(t, program, { heartbeatMs: HEARTBEAT_MS, edits: SHORT_TIMEOUTS[name] })
    const delay = monitorEventLoopDelay({ resolution: 1 })
    for (;;) {
      delay.reset()
      delay.enable()
      const { client, sse } = await open(t, behind)
      const silent = await open(t, behind, '/silent')
      await silent.client.closed
      delay.disable()
      t.equal(await silent.sse.closed, 'client')
      // Who was too busy to send heartbeats has shown nothing.
      if (delay.max > (TIMEOUT_MS / 2) * 1e6) continue
      // The other one was opened before, so it has been open for longer than the timeout.
      await sse.send('still there')
      await client.until('data: still there\n\n')
      t.match(client.body, ':\n')
      return
    }
  })

  await t.test('loses no event when it is reloaded under load', async (t) => {
    const channels = { news: { maxMessages: 1_000_000, maxBytes: 67_108_864 } }
    const { app, proxy } = await stage(t, program, { channels, edits: EARLY_CUT[name] })
    const news = app.sse.channel('news')
    const received = Array.from({ length: STREAMS }, (): string[] => [])
    for (const data of received) {
      const client = new EventSource(`${proxy.url}/news`)
      t.teardown(() => client.close())
      client.addEventListener('message', (event) => data.push(event.data))
    }
    await until(() => news.size === STREAMS)

    const published: string[] = []
    const publish = async (data: string): Promise<void> => {
      published.push(data)
      await news.publish(data)
    }
    const reloading = proxy.reload()
    for await (const _ of setInterval(1)) {
      await publish(String(published.length))
      if (app.sse.stats().opened >= 2 * STREAMS) break
    }
    await reloading
    await publish(END)
    await until(() => received.every((data) => data.at(-1) === END))
    t.comment(`${published.length} events while ${name} was reloaded`)
    for (const data of received) t.strictSame(data, published)
    t.equal(app.sse.stats().gaps, 0)
  })

  await t.test('tells the application that a client has left, before any timeout', async (t) => {
    const { client, sse } = await open(t, await stage(t, program, { edits: NO_TIMEOUTS[name] }))
    client.socket.destroy()
    t.equal(await sse.closed, 'client')
  })

  await t.test('carries many streams on one connection of HTTP/2', async (t) => {
    const { app, proxy, streams } = await stage(t, program)
    const session = connectHttp2(`https://127.0.0.1:${proxy.tlsPort}`, { ca: cert })
    t.teardown(() => session.destroy())
    for (let i = 0; i < STREAMS; i++) {
      const request = session.request({ ':path': '/' })
      const text = textOf(request)
      await until(() => text().includes('data: first by https for 127.0.0.1\n\n'))
      t.equal(app.sse.connections.size, i + 1)
      if (i < STREAMS - 1) continue
      await sendOneByOne(last(streams), (data) => until(() => text().includes(data)))
      request.close()
    }
    t.equal(await last(streams).closed, 'client')
    t.equal(app.sse.connections.size, STREAMS - 1)
    t.equal(session.alpnProtocol, 'h2')
  })
}
