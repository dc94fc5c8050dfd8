import { subscribe as subscribeTo, unsubscribe as unsubscribeFrom } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { EventSource } from 'eventsource'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { validatorCompiler } from 'fastify-type-provider-zod'
import t, { type Test } from 'tap'
import { Agent, fetch, EventSource as UndiciEventSource } from 'undici'
import { z } from 'zod'
import eventStream, {
  type CloseEvent,
  type DiagnosticsEvents,
  type EventStreamOptions,
  type EventStreams,
  type GapAnswer,
  type SSEConnection,
  type StartOptions,
  type Subscription
} from '../../lib/index.ts'
import { type EventReader, type ReceivedEvent, readEvents } from '../../lib/testing/testing.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { RawClient, request } from '../helpers/raw-client.ts'
import { build, deferred, listen, logger, nextTurn, until } from '../helpers/server.ts'
import { parseStream } from '../helpers/strict-parser.ts'

const key = readFileSync(new URL('../fixtures/key.pem', import.meta.url))
const cert = readFileSync(new URL('../fixtures/cert.pem', import.meta.url))

/** The data of all events that a client got so far. */
function dataOf(client: RawClient): string[] {
  const { events } = parseStream(Buffer.from(client.body, 'latin1'))
  return events.filter(({ type }) => type !== 'sse-cursor').map(({ data }) => data)
}

/** What tells long data apart, in a few characters. */
function short(data: readonly string[]): string[] {
  return data.map((text) => `${text.replace(/\.+$/, '')} of ${text.length}`)
}

/** A route for each channel of the names in its path: `/a`, `/a,b`. */
function subscribeRoute(app: FastifyInstance, options?: StartOptions): void {
  app.get<{ Params: { names: string } }>('/:names', async ({ params }, reply) => {
    const sse = reply.sseStart(options)
    for (const name of params.names.split(',')) app.sse.channel(name).subscribe(sse)
  })
}

t.test('app.sse › stats()', async (t) => {
  t.test('counts everything since the plugin was registered', async (t) => {
    const startedAt = performance.now()
    const app = await build(t, { farewell: false, heartbeatMs: false })
    app.get<{ Params: { names: string } }>('/:names', async ({ params }, reply) => {
      const sse = reply.sseStart()
      for (const name of params.names.split(',')) app.sse.channel(name).subscribe(sse)
      sse.send('hello')
    })
    const nothing = {
      connections: 0,
      opened: 0,
      channels: 0,
      subscriptions: 0,
      runs: 0,
      published: 0,
      delivered: 0,
      messages: 0,
      bytes: 0,
      gaps: 0,
      evictions: 0,
      refused: 0,
      flushSlices: 0,
      longestFlushSliceMs: 0
    }
    t.same(app.sse.stats(), nothing)
    const { port } = await listen(app)
    const both = RawClient.get(port, '/a,b')
    const one = RawClient.get(port, '/a?lastEventId=nonsense')
    await Promise.all([both.until('data: hello'), one.until('data: hello')])
    await app.sse.channel('a').publish('1')
    await app.sse.channel('b').publish('2')
    await app.sse.channel('c').publish('unheard')
    await Promise.all([both.until('data: 2'), one.until('data: 1')])
    const counts = {
      connections: 2,
      opened: 2,
      channels: 2,
      subscriptions: 3,
      runs: 0,
      published: 3,
      delivered: 3,
      messages: 3 + 2 + 1,
      bytes: both.body.length + one.body.length,
      gaps: 1,
      evictions: 0,
      refused: 0
    }
    const { flushSlices, longestFlushSliceMs, ...counted } = app.sse.stats()
    t.same(counted, counts)
    t.ok(flushSlices > 0 && Number.isInteger(flushSlices))
    t.ok(longestFlushSliceMs > 0 && longestFlushSliceMs < performance.now() - startedAt)

    app.sse.closeWhere(() => true)
    await until(() => app.sse.connections.size === 0)
    const after = { ...counts, connections: 0, channels: 0, subscriptions: 0 }
    t.match(app.sse.stats(), after, 'what was counted stays, what was there is gone')
  })

  t.test('counts the readers that were too slow', async (t) => {
    const app = await build(t)
    const closed = deferred<unknown>()
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart({ maxBufferedBytes: 1_000 })
      while (sse.state !== 'closed') sse.send('x'.repeat(1_000_000))
      closed.resolve(await sse.closed)
    })
    const { port } = await listen(app)
    RawClient.get(port, '/')
    t.equal(await closed.promise, 'slow')
    t.equal(app.sse.stats().evictions, 1)
  })

  t.test('counts slices only in turns in which something was written', async (t) => {
    const app = await build(t)
    subscribeRoute(app)
    const { port } = await listen(app)
    const client = RawClient.get(port, '/a')
    await client.until('id: ')
    await nextTurn()
    const { flushSlices } = app.sse.stats()
    for (let i = 0; i < 10; i++) await nextTurn()
    t.equal(app.sse.stats().flushSlices, flushSlices)
    await FakeClock.run(async () => {
      for (let i = 0; i < 10; i++) app.sse.channel('a').publish(String(i))
      await client.until('data: 9')
      await nextTurn()
    })
    t.equal(app.sse.stats().flushSlices, flushSlices + 1)
  })
})

/** What is told on one of the plugin's diagnostics channels until the test ends. */
function toldOn<Name extends keyof DiagnosticsEvents>(t: Test, name: Name): DiagnosticsEvents[Name][] {
  const events: DiagnosticsEvents[Name][] = []
  const channelOnMessage = (event: unknown): void => void events.push(event as DiagnosticsEvents[Name])
  subscribeTo(name, channelOnMessage)
  t.teardown(() => unsubscribeFrom(name, channelOnMessage))
  return events
}

t.test('node:diagnostics_channel › tells what happens to streams and channels', async (t) => {
  const opened = toldOn(t, 'fastify-eventstream:open')
  const closed = toldOn(t, 'fastify-eventstream:close')
  const published = toldOn(t, 'fastify-eventstream:publish')
  const gaps = toldOn(t, 'fastify-eventstream:gap')
  const slices = toldOn(t, 'fastify-eventstream:flush')
  const app = await build(t, { farewell: false })
  subscribeRoute(app)
  const { port } = await listen(app)
  const leaving = RawClient.get(port, '/news')
  await leaving.until('id: ')
  const [first] = app.sse.connections
  t.same(opened, [{ connection: first }])
  t.equal(opened[0]?.connection, first)
  t.same(gaps, [])

  const lost = RawClient.get(port, '/news?lastEventId=nonsense')
  await lost.until('event: gap')
  const [, second] = app.sse.connections
  t.same(gaps, [{ connection: second, reason: 'unknown' }])
  t.equal(gaps[0]?.connection, second)

  const cursor = await app.sse.channel('news').publish({ event: 'x', data: 'é' })
  await lost.until('event: x')
  const byteLength = Buffer.byteLength('event: x\ndata: é\n\n')
  t.same(published, [{ channels: ['news'], cursor, byteLength }])
  const [one, other] = await app.sse.publish(['news', 'more'], ['1', '22'])
  t.same(published.slice(1), [
    { channels: ['news', 'more'], cursor: one, byteLength: 9 },
    { channels: ['news', 'more'], cursor: other, byteLength: 10 }
  ])

  t.same(closed, [])
  leaving.socket.destroy()
  await until(() => app.sse.connections.size === 1)
  app.sse.closeWhere(() => true)
  await lost.until(/0\r\n\r\n$/)
  await until(() => app.sse.connections.size === 0)
  t.same(
    closed.map(({ connection, reason }: CloseEvent) => [connection === first, connection === second, reason]),
    [
      [true, false, 'client'],
      [false, true, 'server']
    ]
  )
  t.ok(slices.length > 0)
  for (const { durationMs } of slices) t.type(durationMs, 'number')
})

t.test('app.sse › closeWhere() closes the streams that are chosen, with their farewell', async (t) => {
  const app = await build(t)
  subscribeRoute(app)
  const { port } = await listen(app)
  const clients = ['a', 'b', 'b'].map((name) => RawClient.get(port, `/${name}`, { 'X-User': name }))
  await Promise.all(clients.map((client) => client.until('id: ')))
  const closed = app.sse.closeWhere(({ request }) => request.headers['x-user'] === 'b')
  t.equal(closed, 2)
  await Promise.all(clients.slice(1).map((client) => client.until('data: Closing the connection')))
  await until(() => app.sse.connections.size === 1)
  t.equal(app.sse.channel('b').size, 0)
  await app.sse.channel('a').publish('still here')
  await clients[0]?.until('data: still here')
  t.equal(
    app.sse.closeWhere(() => false),
    0
  )
})

t.test('app.sse › two registrations share nothing', async (t) => {
  const app = await build(t)
  await app.close()
  const { default: Fastify } = await import('fastify')
  const server = Fastify()
  t.teardown(() => server.close())
  const hubs: EventStreams[] = []
  for (const prefix of ['/one', '/two']) {
    await server.register(
      async (scope) => {
        await scope.register(eventStream, { farewell: { event: 'bye', data: prefix } })
        hubs.push(scope.sse)
        subscribeRoute(scope)
      },
      { prefix }
    )
  }
  await server.listen({ port: 0, host: '127.0.0.1' })
  const { port } = server.server.address() as AddressInfo
  const [one, two] = ['/one/news', '/two/news'].map((path) => RawClient.get(port, path)) as [
    RawClient,
    RawClient
  ]
  await Promise.all([one.until('id: '), two.until('id: ')])
  const [first, second] = hubs as [EventStreams, EventStreams]
  t.not(first.channel('news'), second.channel('news'))
  const cursor = await first.channel('news').publish('only one')
  await second.channel('news').publish('only two')
  await Promise.all([one.until('data: only one'), two.until('data: only two')])
  t.same([dataOf(one), dataOf(two)], [['only one'], ['only two']])
  t.match([first.stats(), second.stats()], Array(2).fill({ connections: 1, published: 1, delivered: 1 }))
  const foreign = RawClient.get(port, `/two/news?lastEventId=${cursor}`)
  await foreign.until('data: {"reason":"unknown"}')
  await server.close()
  await Promise.all([one.closed, two.closed, foreign.closed])
  t.match([first.stats(), second.stats()], Array(2).fill({ connections: 0, channels: 0, subscriptions: 0 }))
})

t.test('app.sse › what fails while nobody waits for it is in the log of the server', async (t) => {
  const { lines, options } = logger()
  const app = await build(t, {}, { logger: options })
  const channel = app.sse.channel('news', {
    onUnsubscribe: () => {
      throw new Error('boom')
    }
  })
  app.get('/', async (_request, reply) => {
    channel.subscribe(reply.sseStart()).unsubscribe()
  })
  const { port } = await listen(app)
  const client = RawClient.get(port, '/')
  await client.until('\r\n\r\n')
  await app.close()
  channel.publish('late')
  await until(() => lines.some(({ msg }) => msg === 'a message could not be published'))
  t.match(
    lines.filter(({ level }) => level === 50),
    [
      { msg: 'onUnsubscribe failed', channel: 'news', err: { message: 'boom' } },
      {
        msg: 'a message could not be published',
        channels: ['news'],
        err: { code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED' }
      }
    ]
  )
})

t.test('close() › with subscribed readers', async (t) => {
  t.test('each gets what was published before, a retry, and its end', async (t) => {
    const app = await build(t, { retryMs: [7, 7] })
    subscribeRoute(app)
    const ended: string[] = []
    app.sse.channel('a', {
      onUnsubscribe: ({ channel, connection }) => {
        ended.push(`${channel.name} ${connection.reason}`)
        channel.publish('unheard')
      }
    })
    const { port } = await listen(app)
    const clients = Array.from({ length: 20 }, () => RawClient.get(port, '/a,b'))
    await Promise.all(clients.map((client) => client.until('id: ')))
    const expected: string[] = []
    for (let i = 0; i < 20; i++) {
      expected.push(`${i}`.padEnd(10_000, '.'))
      app.sse.channel(i % 2 ? 'a' : 'b').publish(String(expected.at(-1)))
    }
    await FakeClock.run(() => app.close())
    await Promise.all(clients.map((client) => client.closed))
    for (const client of clients) {
      t.same(short(dataOf(client)), short(expected))
      t.match(client.received.slice(-20), /\r\nretry: 7\n\r\n0\r\n\r\n$/)
    }
    t.same(ended, Array(20).fill('a shutdown'))
    await t.rejects(app.sse.channel('a').publish('late'), { code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED' })
  })

  t.test('one that is behind gets it too, if it reads before drainMs', async (t) => {
    const app = await build(t, { retryMs: [7, 7], channels: { '*': { maxBytes: 100_000_000 } } })
    subscribeRoute(app)
    const { port } = await listen(app)
    const client = RawClient.get(port, '/a')
    await client.until('id: ')
    const [connection] = app.sse.connections
    client.socket.pause()
    const expected: string[] = []
    while (expected.length < 100 || expected.length - Number(connection?.messages) < 50) {
      expected.push(`${expected.length}`.padEnd(50_000, '.'))
      await app.sse.channel('a').publish(String(expected.at(-1)))
    }
    await FakeClock.run(async () => {
      const closed = app.close()
      await until(() => connection?.state === 'closing')
      await nextTurn()
      client.socket.resume()
      await closed
    })
    await client.closed
    t.same(short(dataOf(client)), short(expected))
    t.match(client.received.slice(-20), /\r\nretry: 7\n\r\n0\r\n\r\n$/)
  })
})

t.test('a reader of a channel that takes nothing for stallMs is destroyed as slow', (t) =>
  FakeClock.run(async (clock) => {
    const stallMs = 200
    const app = await build(t, { stallMs, channels: { '*': { maxBytes: 100_000_000 } } })
    subscribeRoute(app)
    const { port } = await listen(app)
    const client = RawClient.get(port, '/a')
    await client.until('id: ')
    client.socket.pause()
    const [connection] = app.sse.connections
    for (let count = 0; count - Number(connection?.messages) < 50; count++) {
      await app.sse.channel('a').publish('x'.repeat(50_000))
    }
    clock.advance(stallMs - 1)
    t.equal(connection?.state, 'open')
    clock.advance(stallMs)
    t.equal(await connection?.closed, 'slow')
    t.equal(app.sse.channel('a').size, 0)
    t.equal(app.sse.stats().evictions, 1)
  })
)

t.test('publish › what comes when a socket has ended, but is not closed yet, harms nobody', async (t) => {
  const app = await build(t)
  const subscriptions: Subscription[] = []
  app.get('/', async (_request, reply) => {
    subscriptions.push(app.sse.channel('a').subscribe(reply.sseStart()))
  })
  const { port } = await listen(app)
  const client = RawClient.get(port, '/')
  await client.until(/id: /)
  const [subscription] = subscriptions
  const { connection } = subscription ?? {}
  connection?.socket.end()
  app.sse.channel('a').publish('too late')
  t.equal(connection?.state, 'open')
  t.equal(await connection?.closed, 'client')
  await client.closed
  t.notMatch(client.received, /too late/)
})

t.test('onGap › an answer that comes after close() does not land in the next response', async (t) => {
  const answer = deferred<GapAnswer>()
  const asked = deferred<void>()
  const app = await build(t, {
    onGap: () => {
      asked.resolve()
      return answer.promise
    }
  })
  subscribeRoute(app)
  app.get('/plain/route', async () => 'plain')
  const { port } = await listen(app)
  const client = RawClient.get(port, '/a?lastEventId=nonsense')
  await asked.promise
  app.sse.closeWhere(() => true)
  answer.resolve('late')
  await nextTurn()
  await client.until(/0\r\n\r\n/)
  client.socket.write(request('GET', '/plain/route', { Connection: 'close' }))
  await client.closed
  const [, next] = client.received.split('\r\n0\r\n\r\n')
  t.match(next, /^HTTP\/1\.1 200 OK\r\n/)
  t.match(next, /\r\n\r\nplain$/)
})

/** What the two EventSources have in common. */
interface Client {
  addEventListener(type: string, listener: (event: object) => void): void
  close(): void
}

const CLIENTS: readonly { name: string; open: (url: string) => Client }[] = [
  { name: "undici's EventSource", open: (url) => new UndiciEventSource(url) },
  { name: 'the eventsource package', open: (url) => new EventSource(url) }
]

for (const { name, open } of CLIENTS) {
  t.test(`clients › ${name} gets exactly what it missed when the server destroys its socket`, async (t) => {
    const app = await build(t)
    const channels = [app.sse.channel('a'), app.sse.channel('b')] as const
    const connected: SSEConnection[] = []
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      for (const channel of channels) channel.subscribe(sse)
      sse.send({ event: 'ready', data: '', retry: 1 })
      connected.push(sse)
    })
    const { url } = await listen(app)
    const received: string[] = []
    const client = open(`${url}/`)
    t.teardown(() => client.close())
    const ready = new Promise<void>((resolve) => client.addEventListener('ready', () => resolve()))
    for (const channel of ['a', 'b']) {
      client.addEventListener(channel, (event) => received.push('data' in event ? String(event.data) : ''))
    }
    client.addEventListener('gap', () => t.fail('a gap'))
    const published: string[] = []
    const publish = (): void => {
      const channel = channels[published.length % 2 ? 1 : 0]
      const data = `${channel.name}${published.length}`.padEnd(published.length % 5 ? 10 : 100_000, '.')
      published.push(data)
      channel.publish({ event: channel.name, data })
    }
    await ready
    for (let round = 1; round <= 20; round++) {
      for (let i = 0; i < round; i++) publish()
      if (round % 2) await nextTurn()
      connected.at(-1)?.destroy()
      for (let i = 0; i < 5; i++) publish()
      await until(() => connected.length === round + 1)
    }
    await until(() => received.length >= published.length)
    t.same(short(received), short(published), 'in the order of publishing, over both channels')
  })

  for (const from of ['now', 'oldest'] as const) {
    t.test(`clients › ${name} is told a gap when the server has lost its memory, from ${from}`, async (t) => {
      let port = 0
      const gaps: string[] = []
      const data: string[] = []
      const start = async (): Promise<FastifyInstance> => {
        const app = await build(t, { retryMs: [1, 1] })
        app.get('/news', (_request, reply) => {
          app.sse.channel('news').subscribe(reply.sseStart(), { from })
        })
        return app
      }
      const first = await start()
      port = (await listen(first)).port
      const client = open(`http://127.0.0.1:${port}/news`)
      t.teardown(() => client.close())
      client.addEventListener('gap', (event) => 'data' in event && gaps.push(String(event.data)))
      client.addEventListener('message', (event) => 'data' in event && data.push(String(event.data)))
      await until(() => first.sse.channel('news').size === 1)
      await first.sse.channel('news').publish('before')
      await until(() => data.length === 1)
      await first.close()
      const second = await start()
      await second.sse.channel('news').publish('while it was away')
      await second.listen({ port, host: '127.0.0.1' })
      await until(() => gaps.length === 1)
      await second.sse.channel('news').publish('after')
      await until(() => data.at(-1) === 'after')
      t.same(gaps, ['{"reason":"unknown"}'])
      t.same(data, from === 'now' ? ['before', 'after'] : ['before', 'while it was away', 'after'])
    })
  }
}

/** A client of one protocol: what it gets of a path. */
type Fetch = (path: string, headers?: Record<string, string>) => Promise<EventReader>

const PROTOCOLS: readonly {
  name: string
  open: (t: Test, options?: EventStreamOptions) => Promise<Server>
}[] = [
  {
    name: 'HTTP/1.1',
    open: async (t, options) => {
      const app = await build(t, { farewell: false, ...options })
      return { app, open: await fetcher(t, app, new Agent()) }
    }
  },
  {
    name: 'HTTP/2',
    open: async (t, options) => {
      const app = await build(t, { farewell: false, ...options }, { http2: true, https: { key, cert } })
      return { app, open: await fetcher(t, app, new Agent({ allowH2: true, connect: { ca: cert } })) }
    }
  }
]

/** A server, and a client of it. */
interface Server {
  readonly app: FastifyInstance
  readonly open: Fetch
}

async function fetcher(t: Test, app: FastifyInstance, dispatcher: Agent): Promise<Fetch> {
  t.teardown(() => dispatcher.destroy())
  let url: string | undefined
  return async (path, headers = {}) => {
    url ??= (await listen(app)).url.replace('http:', app.initialConfig.https ? 'https:' : 'http:')
    const { body } = await fetch(`${url}${path}`, { headers, dispatcher })
    if (body === null) throw new Error('there is no body')
    return readEvents(body, { timeoutMs: Infinity })
  }
}

/** The next message or gap. */
async function next(events: EventReader): Promise<ReceivedEvent> {
  for (;;) {
    const event = await events.next()
    if (event.event !== 'sse-cursor') return event
  }
}

async function take(events: EventReader, count: number): Promise<string[]> {
  const data: string[] = []
  while (data.length < count) data.push((await next(events)).data)
  return data
}

for (const { name, open } of PROTOCOLS) {
  t.test(
    `${name} › each message once and in the order of publishing, over all channels and cuts`,
    async (t) => {
      const { app, open: get } = await open(t)
      subscribeRoute(app)
      const published: string[] = []
      const publish = async (): Promise<void> => {
        const n = published.length
        // Some concern two channels at once, and some nobody here.
        const names = [['a'], ['b'], ['a', 'c'], ['c'], ['b', 'a']][n % 5] ?? []
        const data = `${n} on ${names}`.padEnd(n % 7 ? 12 : 70_000, '.')
        published.push(data)
        await app.sse.publish(names, data)
        if (n % 3 === 0) await app.sse.publish('elsewhere', data)
      }
      const received: string[] = []
      let events = await get('/a,b,c')
      for (let round = 0; round < 12; round++) {
        for (let i = 0; i < 6; i++) await publish()
        // At the start of a round it has read all but a few, which it is given again.
        received.push(...(await take(events, published.length - received.length - (round % 3))))
        const [connection] = app.sse.connections
        connection?.destroy()
        await connection?.closed
        for (let i = 0; i < 3; i++) await publish()
        events = await get('/c,a,b', { 'last-event-id': events.lastEventId })
        received.push(...(await take(events, published.length - received.length - (round % 2))))
      }
      received.push(...(await take(events, published.length - received.length)))
      t.same(short(received), short(published))
      t.equal(app.sse.stats().gaps, 0)
    }
  )

  t.test(`${name} › an id that nobody knows is one gap, and then its client is as a new one`, async (t) => {
    const { app, open: get } = await open(t)
    for (const from of ['now', 'oldest'] as const) {
      app.get(`/${from}`, (_request, reply) => {
        app.sse.subscribe(reply.sseStart(), ['a', 'b'], { from })
      })
    }
    const known = await app.sse.channel('a').publish('1')
    await app.sse.channel('b').publish('2')
    const [place = '', epoch = ''] = known.split('-')
    const ids = [
      'nonsense',
      '7',
      `${place}-0123456789`,
      `zzzzzzzzzz-${epoch}`,
      `${known}&nonsense`,
      `${known}&~=zzzzzzzzzz`,
      `a=${known}`,
      'Ã©'
    ]
    for (const id of ids) {
      const [now, oldest] = await Promise.all([
        get('/now', { 'last-event-id': id }),
        get(`/oldest?lastEventId=${encodeURIComponent(id)}`)
      ])
      for (const events of [now, oldest]) {
        const gap = await next(events)
        t.same([gap.event, gap.data], ['gap', '{"reason":"unknown"}'], id)
      }
      const kept = app.sse.stats().published
      await app.sse.channel('b').publish(`${kept + 1}`)
      t.same(await take(now, 1), [`${kept + 1}`], 'from now')
      const all = Array.from({ length: kept + 1 }, (_, i) => `${i + 1}`)
      t.same(await take(oldest, kept + 1), all, 'or all that is kept')
    }
  })

  t.test(
    `${name} › the id may come as a parameter; of several the last counts, and a header first`,
    async (t) => {
      const { app, open: get } = await open(t)
      subscribeRoute(app)
      const cursors: string[] = []
      for (let i = 0; i < 4; i++) cursors.push(await app.sse.channel(i % 2 ? 'b' : 'a').publish(`${i}`))
      const [zeroth = '', first = '', second = ''] = cursors
      const rows: [string, Record<string, string>, string[]][] = [
        [`lastEventId=${second}`, {}, ['3']],
        [`lastEventId=${second}&lastEventId=${first}`, {}, ['2', '3']],
        [`lastEventId=${first}&lastEventId=nonsense`, {}, ['{"reason":"unknown"}']],
        [`lastEventId=${zeroth}`, { 'last-event-id': second }, ['3']],
        ['lastEventId=nonsense', { 'last-event-id': second }, ['3']],
        [`lastEventId=${second}`, { 'last-event-id': '' }, ['3']],
        ['lastEventId=', { 'last-event-id': first }, ['2', '3']]
      ]
      for (const [query, headers, expected] of rows) {
        t.same(await take(await get(`/a,b?${query}`, headers), expected.length), expected, query)
      }
    }
  )

  t.test(`${name} › the id counts also where a schema removes what it does not name`, async (t) => {
    const { app, open: get } = await open(t)
    const json = { type: 'object', properties: { room: { type: 'string' } }, additionalProperties: false }
    const zod = z.object({ room: z.string().optional() })
    const subscribe = async (_request: FastifyRequest, reply: FastifyReply) => {
      app.sse.channel('news').subscribe(reply.sseStart())
    }
    app.get('/parameter/json', { schema: { querystring: json } }, subscribe)
    app.get('/header/json', { schema: { headers: json } }, subscribe)
    await app.register(async (scope) => {
      scope.setValidatorCompiler(validatorCompiler)
      scope.get('/parameter/zod', { schema: { querystring: zod } }, subscribe)
      scope.get('/header/zod', { schema: { headers: zod } }, subscribe)
    })
    for (const schema of ['json', 'zod']) {
      const cursor = await app.sse.cursor()
      await app.sse.channel('news').publish('missed')
      const byParameter = await get(`/parameter/${schema}?room=1&lastEventId=${cursor}`)
      const byHeader = await get(`/header/${schema}`, { 'last-event-id': cursor })
      await app.sse.channel('news').publish('live')
      for (const events of [byParameter, byHeader]) t.same(await take(events, 1), ['missed'], schema)
    }
  })

  t.test(`${name} › subscriptions that are made one after the other lose nothing at any cut`, async (t) => {
    const { app, open: get } = await open(t)
    const names = ['a', 'b', 'c']
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      for (const name of names) {
        app.sse.channel(name).subscribe(sse)
        await nextTurn()
      }
    })
    const published: string[] = []
    const publish = async (): Promise<void> => {
      const n = published.length
      published.push(`${n}`)
      await app.sse.channel(names[n % 3] ?? '').publish(`${n}`)
    }
    const first = await get('/')
    await until(() => [...app.sse.connections][0]?.subscriptions.length === 3)
    await publish()
    const received = await take(first, 1)
    let id = first.lastEventId
    for (let turns = 0; turns < 8; turns++) {
      for (let i = 0; i < 3; i++) await publish()
      for (const connection of app.sse.connections) connection.destroy()
      const events = await get('/', { 'last-event-id': id })
      // What it gets before it is cut is any part of what it missed.
      for (let turn = 0; turn < turns; turn++) await nextTurn()
      const [connection] = app.sse.connections
      connection?.destroy()
      for await (const event of readable(events)) if (event.event !== 'sse-cursor') received.push(event.data)
      if (events.lastEventId !== '') id = events.lastEventId
    }
    const last = await get('/', { 'last-event-id': id })
    received.push(...(await take(last, published.length - received.length)))
    t.same(received, published)
    t.equal(app.sse.stats().gaps, 0)
  })
}

/** Events until the stream is broken off. */
async function* readable(events: EventReader): AsyncGenerator<ReceivedEvent> {
  try {
    yield* events
  } catch {}
}
