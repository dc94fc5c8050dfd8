import { readFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { connect as connectHttp2 } from 'node:http2'
import { setInterval } from 'node:timers/promises'
import { createGunzip } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { EventSource } from 'undici'
import { type EventStreamOptions, memoryHistory, type SSEConnection } from '../../lib/index.ts'
import { type ProxyName, ReverseProxy } from '../helpers/proxies.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { build, listen, until } from '../helpers/server.ts'

const STREAMS = 20
const EVENTS = 50
/** The goal for an event's way through a proxy. */
const EVENT_MS = 100
/** Well below the timeouts, after which an application is told of everything. */
const LEFT_MS = 10_000
const END = 'end'
const CLIENT = '127.0.0.2'

const cert = readFileSync(new URL('../fixtures/cert.pem', import.meta.url))

/** For the idle test: a heartbeat that is to these timeouts as the default 15 s are to the proxy's 60 s and 50 s. */
const HEARTBEAT_MS = 300
const SHORT_TIMEOUTS: Record<ProxyName, Record<string, string>> = {
  nginx: { 'proxy_pass http://app;': 'proxy_pass http://app; proxy_read_timeout 1200ms;' },
  haproxy: { 'timeout client 50s': 'timeout client 1000ms', 'timeout server 50s': 'timeout server 1000ms' }
}
/** Lasts longer than three timeouts of either proxy. */
const HEARTBEATS = 13

/** For the reload test: how soon streams that outlive a reload are cut. */
const EARLY_CUT: Record<ProxyName, Record<string, string>> = {
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
async function stage(
  t: Test,
  name: ProxyName,
  { edits = {}, ...options }: EventStreamOptions & { edits?: Record<string, string> } = {}
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
  const proxy = await ReverseProxy.start(t, name, { upstream: port, edits })
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

function last<T>(items: readonly T[]): T {
  const item = items.at(-1)
  if (item === undefined) throw new Error('there is none')
  return item
}

/** How long the first event took on each of several new connections, sorted. */
async function firstEventTimes(port: number): Promise<number[]> {
  const times: number[] = []
  while (times.length < STREAMS) {
    const startedAt = performance.now()
    const client = RawClient.get(port, '/')
    await client.until('data: first')
    times.push(performance.now() - startedAt)
    client.socket.destroy()
  }
  return times.sort((a, b) => a - b)
}

function summary(times: readonly number[]): string {
  const [median = 0, worst = 0] = [times[times.length / 2], times.at(-1)]
  return `${median.toFixed(1)} ms in the median, ${worst.toFixed(1)} ms at worst`
}

/** Sends events one by one, each when the one before has come. */
async function sendOneByOne(sse: SSEConnection, received: (data: string) => Promise<void>): Promise<void> {
  for (let i = 0; i < EVENTS; i++) {
    await sse.send(`event ${i}.`)
    await received(`data: event ${i}.\n\n`)
  }
}

/** What a readable gave so far. */
function textOf(readable: NodeJS.ReadableStream): () => string {
  let text = ''
  readable.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  return () => text
}

/** Asks for a compressed answer, from another address than the proxy's own. */
function getCompressed(url: string): Promise<IncomingMessage> {
  const options = { agent: false, localAddress: CLIENT, headers: { 'accept-encoding': 'gzip' } }
  return new Promise((resolve, reject) => {
    get(url, options, resolve).on('error', reject)
  })
}

for (const name of ['nginx', 'haproxy'] as const) {
  t.test(`${name} › passes the first event on while the stream is open`, async (t) => {
    const { proxy, direct } = await stage(t, name)
    const withoutProxy = await firstEventTimes(direct)
    const times = await firstEventTimes(proxy.port)
    t.comment(`first event through ${name}: ${summary(times)}; without: ${summary(withoutProxy)}`)
    const [best = Infinity] = times
    t.ok(best < EVENT_MS, `${best.toFixed(1)} ms at best`)
  })

  t.test(`${name} › holds no event back`, async (t) => {
    const { client, sse } = await open(t, await stage(t, name))
    const startedAt = performance.now()
    await sendOneByOne(sse, (data) => client.until(data))
    const tookMs = performance.now() - startedAt
    t.comment(`${EVENTS} events one by one through ${name}: ${tookMs.toFixed(1)} ms`)
    t.ok(tookMs < EVENTS * EVENT_MS)
    t.equal(client.body.match(/data: event/g)?.length, EVENTS)
  })

  t.test(`${name} › passes the head on, and tells the application who asks`, async (t) => {
    const { proxy, streams } = await stage(t, name)
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

  t.test(`${name} › cuts no stream that has a heartbeat, and one that has none`, async (t) => {
    const behind = await stage(t, name, { heartbeatMs: HEARTBEAT_MS, edits: SHORT_TIMEOUTS[name] })
    const { client, sse } = await open(t, behind)
    const silent = await open(t, behind, '/silent')
    await silent.client.closed
    t.equal(await silent.sse.closed, 'client')
    await client.until(new RegExp(`(: \n\n[^]*?){${HEARTBEATS}}`))
    await sse.send('still there')
    await client.until('data: still there\n\n')
    t.equal(behind.streams.length, 2)
  })

  t.test(`${name} › loses no event when it is reloaded under load`, async (t) => {
    const history = memoryHistory({ maxMessages: 1_000_000, maxBytes: 67_108_864 })
    const { app, proxy } = await stage(t, name, { history, edits: EARLY_CUT[name] })
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

  t.test(`${name} › tells the application at once that a client has left`, async (t) => {
    const { client, sse } = await open(t, await stage(t, name))
    const leftAt = performance.now()
    client.socket.destroy()
    t.equal(await sse.closed, 'client')
    t.ok(performance.now() - leftAt < LEFT_MS)
  })

  t.test(`${name} › carries many streams on one connection of HTTP/2`, async (t) => {
    const { app, proxy, streams } = await stage(t, name)
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

t.test('nginx › holds no event back that it compresses', async (t) => {
  const edits = { 'proxy_pass http://app;': 'proxy_pass http://app; gzip on; gzip_types text/event-stream;' }
  const { proxy, streams } = await stage(t, 'nginx', { edits })
  const response = await getCompressed(proxy.url)
  t.equal(response.headers['content-encoding'], 'gzip')
  const text = textOf(response.pipe(createGunzip()))
  await sendOneByOne(last(streams), (data) => until(() => text().includes(data)))
  last(streams).close()
  await until(() => response.complete)
})

t.test('nginx › would hold events back without the header that every stream has', async (t) => {
  const ignoring = 'proxy_pass http://app; proxy_ignore_headers X-Accel-Buffering;'
  const ways: Record<string, Record<string, string>> = {
    'those that it compresses': {
      'proxy_pass http://app;': `${ignoring} gzip on; gzip_types text/event-stream;`
    },
    'those that it asks for by HTTP/1.0, as older versions do by default': {
      'proxy_pass http://app;': ignoring,
      'proxy_http_version 1.1;': ''
    }
  }
  for (const [way, edits] of Object.entries(ways)) {
    const { proxy, streams } = await stage(t, 'nginx', { edits })
    const client = RawClient.get(proxy.port, '/', { 'Accept-Encoding': 'gzip' })
    await until(() => streams.length === 1)
    await last(streams).send('second')
    for (let i = 0; i < EVENTS; i++) await (await fetch(`${proxy.url}/other`)).text()
    t.equal(client.body, '', way)
    last(streams).close()
    await until(() => client.body !== '')
    client.socket.destroy()
  }
})

t.test('haproxy › compresses other answers, and streams never', async (t) => {
  const types = 'compression algo gzip\n  compression type text/event-stream text/plain'
  const edits = { 'option forwardfor\n': `option forwardfor\n  ${types}\n` }
  const { proxy, streams } = await stage(t, 'haproxy', { edits })
  const other = await getCompressed(`${proxy.url}/other`)
  other.resume()
  t.equal(other.headers['content-encoding'], 'gzip')
  const response = await getCompressed(proxy.url)
  t.notOk(response.headers['content-encoding'])
  const text = textOf(response)
  await sendOneByOne(last(streams), (data) => until(() => text().includes(data)))
  last(streams).close()
  await until(() => response.complete)
})
