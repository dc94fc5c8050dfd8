import { execFile } from 'node:child_process'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  createEventBuffer,
  createResponse,
  createSession,
  type Session,
  type SessionOptions
} from 'better-sse'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t from 'tap'
import type { SSEConnection } from '../../lib/index.ts'
import { type EventReader, type ReceivedEvent, readEvents } from '../../lib/testing/testing.ts'
import { pairs } from '../helpers/manual.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { runTypeScript } from '../helpers/run-typescript.ts'
import { build, deferred, listen, nextTurn, until } from '../helpers/server.ts'
import { PEER_NAMES } from './peer-names.ts'

interface Test {
  teardown(fn: () => unknown): void
}

/** One of theirs, and where it listens. */
interface Served {
  app: FastifyInstance
  port: number
  url: string
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const ACCEPT = { accept: 'text/event-stream' }
const isFromNode26 = Number.parseInt(process.versions.node, 10) >= 26
const FAREWELL = { event: 'close', data: 'Closing the connection' }

const PAIRS = pairs()

/** The servers that run a pair's programs, theirs first. */
async function startPair(t: Test, wanted: string): Promise<{ theirs: string; ours: string }> {
  const { theirs = '', ours = '' } = PAIRS.find(({ name }) => name === wanted) ?? {}
  const [peer, own] = [bare(t), await build(t)]
  await runTypeScript(theirs, { app: peer })
  await runTypeScript(ours, { app: own })
  return { theirs: (await listen(peer)).url, ours: (await listen(own)).url }
}

/** A server whose `close()` also ends the streams of others. */
function bare(t: Test): FastifyInstance {
  const app = Fastify({ forceCloseConnections: true })
  t.teardown(() => app.close())
  return app
}

/** `body` is that of a handler, as text: the types of two of the libraries exclude each other. */
async function startFastifySse(t: Test, body: string, scope: Record<string, unknown> = {}): Promise<Served> {
  const code = `
    await app.register(fastifySSE)
    app.get('/', { sse: 'only' }, async (request, reply) => {${body}})`
  const app = bare(t)
  await runTypeScript(`import { fastifySSE } from '@fastify/sse'\n${code}`, { ...scope, app })
  return { app, ...(await listen(app)) }
}

async function startFastifySseV2(
  t: Test,
  body: string,
  scope: Record<string, unknown> = {}
): Promise<Served> {
  const code = `
    await app.register(FastifySSEPlugin)
    app.get('/', (request, reply) => {${body}})`
  const app = bare(t)
  await runTypeScript(`import { FastifySSEPlugin } from 'fastify-sse-v2'\n${code}`, { ...scope, app })
  return { app, ...(await listen(app)) }
}

async function startBetterSse(
  t: Test,
  handle: (session: Session, reply: FastifyReply) => void,
  options: SessionOptions = {}
): Promise<Served> {
  const app = bare(t)
  app.get('/', async (request, reply) => {
    reply.hijack()
    handle(await createSession(request.raw, reply.raw, options), reply)
  })
  return { app, ...(await listen(app)) }
}

async function startOurs(t: Test, handle: (sse: SSEConnection) => unknown): Promise<Served> {
  const app = await build(t)
  app.get('/', async (_request, reply) => {
    await handle(reply.sseStart())
  })
  return { app, ...(await listen(app)) }
}

async function read(t: Test, url: string, headers: Record<string, string> = {}): Promise<EventReader> {
  const leaving = new AbortController()
  t.teardown(() => leaving.abort())
  const response = await fetch(url, { headers: { ...ACCEPT, ...headers }, signal: leaving.signal })
  return readEvents(response, { timeoutMs: Infinity })
}

/** The next events, as far as they are not `sse-cursor`. */
async function take(reader: EventReader, count: number): Promise<ReceivedEvent[]> {
  const events: ReceivedEvent[] = []
  while (events.length < count) {
    const event = await reader.next()
    if (event.event !== 'sse-cursor') events.push(event)
  }
  return events
}

async function post(url: string, data: unknown): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const { status } = await fetch(url, { method: 'POST', headers, body: JSON.stringify(data) })
  if (status !== 200) throw new Error(`POST ${url}: ${status}`)
}

async function leaveAfterHello(port: number): Promise<void> {
  const client = RawClient.get(port, '/', ACCEPT)
  await client.until('hello')
  client.socket.destroy()
}

function withoutId({ event, data }: ReceivedEvent): { event: string; data: string } {
  return { event, data }
}

/** Gives nothing, and never ends. */
class IdleSource implements AsyncIterableIterator<string> {
  isAsked = false
  isReturned = false

  next(): Promise<IteratorResult<string>> {
    this.isAsked = true
    return new Promise(() => {})
  }

  async return(): Promise<IteratorResult<string>> {
    this.isReturned = true
    return { done: true, value: undefined }
  }

  [Symbol.asyncIterator](): this {
    return this
  }
}

t.test('manual › moving › each library has a pair of programs', async (t) => {
  t.same(
    PAIRS.map(({ name }) => name),
    PEER_NAMES
  )
  for (const { name, ours } of PAIRS) t.match(ours, /^\/\/ fastify-eventstream\n/, name)
})

t.test('moving from @fastify/sse', async (t) => {
  t.test('a source gives the same events, also after a Last-Event-ID, and here the farewell', async (t) => {
    const { theirs, ours } = await startPair(t, '@fastify/sse')
    for (const [headers, steps] of [
      [{}, ['fetch', 'compile', 'upload']],
      [{ 'last-event-id': '1' }, ['compile', 'upload']]
    ] as const) {
      const events = await (await read(t, `${theirs}/build`, headers)).rest()
      t.same(
        events.map(({ data }) => data),
        steps.map((step) => JSON.stringify({ step }))
      )
      const own = await (await read(t, `${ours}/build`, headers)).rest()
      t.same(own, [...events, { id: '3', ...FAREWELL }])
    }
  })

  t.test('the text in a message gets quotes there', async (t) => {
    const { url } = await startFastifySse(t, `await reply.sse.send({ data: 'text' })`)
    t.equal((await (await read(t, url)).next()).data, '"text"')
    const { url: own } = await startOurs(t, (sse) => sse.send({ data: 'text' }))
    t.equal((await (await read(t, own)).next()).data, 'text')
  })

  t.test('a source that gives nothing is no event stream there', async (t) => {
    const { url } = await startFastifySse(t, 'await reply.sse.send((async function* () {})())')
    const { status, headers } = await fetch(url, { headers: ACCEPT })
    t.same([status, headers.get('content-type')], [200, null])
    const { url: own } = await startOurs(t, (sse) => sse.sendAll([]).then(() => sse.close()))
    t.same(await (await read(t, own)).rest(), [{ id: '', ...FAREWELL }])
  })

  t.test('a source that is idle when its client leaves is not told there', async (t) => {
    const left = deferred()
    const idle = new IdleSource()
    const code = `
      await reply.sse.send('hello')
      reply.sse.onClose(left.resolve)
      await reply.sse.send(idle)`
    const { app, port } = await startFastifySse(t, code, { left, idle })
    await leaveAfterHello(port)
    await left.promise
    await app.close()
    t.same([idle.isAsked, idle.isReturned], [true, false])

    const own = new IdleSource()
    const ours = await startOurs(t, async (sse) => {
      sse.send('hello')
      await sse.sendAll(own)
    })
    await leaveAfterHello(ours.port)
    await until(() => own.isReturned)
  })

  t.test(
    'a send() that waits for a reader waits for ever there when it leaves, before Node 26, and the next rejects',
    async (t) => {
      const left = deferred()
      const waits = deferred()
      let isSettled = false
      let later: { code?: string } = {}
      const big = 'x'.repeat(50_000_000)
      const settle = (): void => {
        isSettled = true
      }
      const reject = (error: { code?: string }): void => {
        later = error
      }
      const code = `
      await reply.sse.send('hello')
      reply.sse.onClose(() => setImmediate(() => reply.sse.send('later').catch(reject).then(left.resolve)))
      reply.sse.send(big).then(settle, settle)
      waits.resolve()
      await left.promise`
      const { app, port } = await startFastifySse(t, code, { left, waits, big, settle, reject })
      const client = RawClient.get(port, '/', ACCEPT)
      client.socket.pause()
      await waits.promise
      client.socket.destroy()
      await left.promise
      await app.close()
      t.equal(isSettled, isFromNode26)
      t.equal(later.code, 'FST_ERR_SSE_CONNECTION_CLOSED')

      const waiting = deferred()
      const ended = deferred<unknown[]>()
      const own = await startOurs(t, async (sse) => {
        while (sse.bufferedBytes === 0) {
          sse.send(big.slice(0, 500_000))
          await nextTurn()
        }
        const sent = sse.send('waits')
        waiting.resolve()
        ended.resolve([await sent, await sse.send('later'), await sse.closed])
      })
      const slow = RawClient.get(own.port, '/')
      slow.socket.pause()
      await waiting.promise
      slow.socket.destroy()
      t.same(await ended.promise, [false, false, 'client'])
    }
  )

  t.test('line ends in the name of an event forge fields there', async (t) => {
    const code = `await reply.sse.send({ event: 'a\\ndata: forged', data: 1 })`
    const { url } = await startFastifySse(t, code)
    t.same(await (await read(t, url)).rest(), [{ id: '', event: 'a', data: 'forged\n1' }])
    const refused = deferred<unknown>()
    const own = await startOurs(t, (sse) =>
      refused.resolve(t.throws(() => void sse.send({ event: 'a\ndata: forged', data: 1 })))
    )
    await read(t, own.url)
    t.match(await refused.promise, { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' })
  })

  t.test('it can send another status, and be the end of a pipeline', async (t) => {
    const code = `
      reply.code(201)
      await pipeline(['one', 'two'], reply.sse.stream(), reply.raw, { end: false })`
    const { url } = await startFastifySse(t, code, { pipeline })
    const response = await fetch(url, { headers: ACCEPT })
    t.equal(response.status, 201)
    t.equal(await response.text(), 'data: one\n\ndata: two\n\n')
  })
})

t.test('moving from fastify-sse-v2', async (t) => {
  t.test('what is published reaches all, and here also those who come back', async (t) => {
    const { theirs, ours } = await startPair(t, 'fastify-sse-v2')
    const received: ReceivedEvent[][] = []
    for (const url of [theirs, ours]) {
      const readers = [await read(t, `${url}/orders`), await read(t, `${url}/orders`)]
      const welcomes = await Promise.all(readers.map((reader) => take(reader, 1)))
      await post(`${url}/orders`, { id: 1 })
      await post(`${url}/orders`, { id: 2 })
      const orders = await Promise.all(readers.map((reader) => take(reader, 2)))
      const events = readers.map((_reader, i) => [...(welcomes[i] ?? []), ...(orders[i] ?? [])])
      t.same(events[0], events[1])
      received.push(events[0] ?? [])
    }
    const [their = [], own = []] = received
    t.same(
      their.map(({ event, data }) => [event, data]),
      [
        ['hello', 'welcome'],
        ['order', '{"id":1}'],
        ['order', '{"id":2}']
      ]
    )
    t.same(own.map(withoutId), their.map(withoutId))
    t.same([...new Set(their.map(({ id }) => id))], [''])
    const [, first, second] = own
    const back = await read(t, `${ours}/orders`, { 'last-event-id': first?.id ?? '' })
    const [, missed] = await take(back, 2)
    t.same(missed, second)
  })

  t.test('the head waits for the first event there, and a retry comes with it', async (t) => {
    const asked = deferred()
    const go = deferred()
    const code = `asked.resolve(); go.promise.then(() => reply.sse({ data: 'late' }))`
    const { port, url } = await startFastifySseV2(t, code, { asked, go })
    const client = RawClient.get(port, '/')
    await asked.promise
    await fetch(`${url}/nowhere`)
    t.equal(client.received, '')
    go.resolve()
    await client.until('late')
    t.equal(client.body, 'retry: 3000\n\ndata: late\n\n')
    client.socket.destroy()

    const own = RawClient.get((await startOurs(t, () => {})).port, '/')
    await own.until('\r\n\r\n')
    t.equal(own.body, '')
    own.socket.destroy()
  })

  t.test('empty data is dropped there, and a comment may go with a message', async (t) => {
    const code = `
      reply.sse({ data: '' })
      reply.sse({ data: 'x', comment: 'why' })
      reply.sseContext.source.end()`
    const { url } = await startFastifySseV2(t, code)
    const reader = await read(t, url)
    t.same((await reader.rest()).map(withoutId), [{ event: 'message', data: 'x' }])
    t.same(reader.comments, ['why'])
    const { url: own } = await startOurs(t, (sse) => sse.send({ data: '' }))
    t.equal((await (await read(t, own)).next()).data, '')
  })

  t.test('an object as data, or a source that throws, ends the process there', async (t) => {
    for (const sent of ['{ data: {} }', `(async function* () { throw new Error('source') })()`]) {
      const program = `
        const app = require('fastify')({ forceCloseConnections: true })
        app.register(require('fastify-sse-v2'))
        app.get('/', (request, reply) => reply.sse(${sent}))
        app.listen({ port: 0, host: '127.0.0.1' }).then(fetch).then((response) => response.text())`
      const flags = ['--unhandled-rejections=throw', '-e', program]
      const run = promisify(execFile)(process.execPath, flags, { cwd: ROOT, env: {} })
      await t.rejects(run, { code: 1, killed: false, stderr: /TypeError: .*split|Error: source/ }, sent)
    }
    const { url: own } = await startOurs(t, async (sse) => {
      const failing = new ReadableStream({ start: (controller) => controller.error(new Error('source')) })
      const failed: unknown = await sse.sendAll(failing).catch((error: Error) => error.message)
      await sse.send({ data: { failed } })
      sse.close()
    })
    t.equal((await (await read(t, own)).next()).data, '{"failed":"source"}')
  })

  t.test('a source is not told there that its client has left', async (t) => {
    const left = deferred()
    const idle = new IdleSource()
    const code = `
      reply.sse({ data: 'hello' })
      reply.sse(idle)
      reply.raw.on('close', left.resolve)`
    const { app, port } = await startFastifySseV2(t, code, { left, idle })
    await leaveAfterHello(port)
    await left.promise
    await app.close()
    t.same([idle.isAsked, idle.isReturned], [true, false])
  })
})

t.test('moving from better-sse', async (t) => {
  t.test('each gets what its state, and here its filter, lets pass', async (t) => {
    const { theirs, ours } = await startPair(t, 'better-sse')
    const items = ['art', 'law', 'law', 'art'].map((topic, n) => ({ topic, n }))
    const received: ReceivedEvent[][] = []
    for (const url of [theirs, ours]) {
      const readers = [await read(t, `${url}/news/art`), await read(t, `${url}/news/law`)]
      for (const item of items) await post(`${url}/news`, item)
      received.push((await Promise.all(readers.map((reader) => take(reader, 2)))).flat())
    }
    const [their = [], own = []] = received
    t.same(
      their.map(withoutId),
      [0, 3, 1, 2].map((n) => ({ event: 'item', data: JSON.stringify(items[n]) }))
    )
    t.same(own.map(withoutId), their.map(withoutId))
    for (const events of received) t.equal(new Set(events.map(({ id }) => id)).size, 4, 'ids of their own')
  })

  t.test('an event gets a random id there, and a string quotes', async (t) => {
    const { url } = await startBetterSse(t, (session) => session.push('text'))
    const { id, ...event } = await (await read(t, url)).next()
    t.match(id, /^[0-9a-f]{8}-/)
    t.same(event, { event: 'message', data: '"text"' })
    const { url: own } = await startOurs(t, (sse) => sse.send('text'))
    t.same(await (await read(t, own)).next(), { id: '', event: 'message', data: 'text' })
  })

  t.test('push() does not wait for slow readers there, and throws when they have left', async (t) => {
    const pushed = deferred()
    const ended = deferred<[number, unknown]>()
    const { port } = await startBetterSse(t, (session, { raw }) => {
      for (let i = 0; i < 50; i++) session.push('x'.repeat(1_000_000))
      const waiting = raw.writableLength
      session.once('disconnected', () => ended.resolve([waiting, t.throws(() => session.push('late'))]))
      pushed.resolve()
    })
    const client = RawClient.get(port, '/')
    client.socket.pause()
    await pushed.promise
    client.socket.destroy()
    const [waiting, error] = await ended.promise
    t.ok(waiting > 10_000_000)
    t.match(error, { message: /non-active session/ })
  })

  t.test('of what a serializer gives only the first line is data there, and others are fields', async (t) => {
    const write = (session: Session, { raw }: FastifyReply): void => {
      session.push('one\ntwo').push('a\nevent: forged')
      raw.end()
    }
    const { url } = await startBetterSse(t, write, { serializer: String })
    const events = await (await read(t, url)).rest()
    t.same(events.map(withoutId), [
      { event: 'message', data: 'one' },
      { event: 'forged', data: 'a' }
    ])
    const { url: own } = await startOurs(t, (sse) => sse.send('a\nevent: forged'))
    t.equal((await (await read(t, own)).next()).data, 'a\nevent: forged')
  })

  t.test('reply.header() and onSend hooks do nothing there', async (t) => {
    for (const [app, expected] of [
      [bare(t), [null, null]],
      [await build(t), ['yes', 'yes']]
    ] as const) {
      app.addHook('onSend', async (_request, reply) => void reply.header('x-hook', 'yes'))
      app.get('/', async (request, reply) => {
        reply.header('x-handler', 'yes')
        if (expected[0] === 'yes') return void reply.sseStart()
        reply.hijack()
        await createSession(request.raw, reply.raw)
      })
      const leaving = new AbortController()
      t.teardown(() => leaving.abort())
      const { headers } = await fetch((await listen(app)).url, { signal: leaving.signal })
      t.same([headers.get('x-handler'), headers.get('x-hook')], expected)
    }
  })

  t.test('it works with the Fetch API, and can batch for several sessions', async (t) => {
    const batch = createEventBuffer().push('text', 'greeting', '1')
    for (let i = 0; i < 2; i++) {
      const leaving = new AbortController()
      const request = new Request('http://localhost/', { signal: leaving.signal })
      const response = createResponse(request, (session) => session.batch(batch))
      const event = await readEvents(response, { timeoutMs: Infinity }).next()
      t.same(event, { id: '1', event: 'greeting', data: '"text"' })
      leaving.abort()
    }
  })
})
