import type { ServerHttp2Session } from 'node:http2'
import cookie from '@fastify/cookie'
import cors from '@fastify/cors'
import type { Test } from 'tap'
import type { SSEConnection } from '../../../lib/index.ts'
import { deferred, until } from '../../helpers/server.ts'
import { EVENTS, expectedFrom, hostileMessages, NAMES, seed } from './hostile-messages.ts'
import { type Received, Recorder } from './recorder.ts'
import { type Browser, closeUnreachable, fixture, last, listen, newsSite, open, site, visit } from './site.ts'

/** HTTP/1.1 connections that browsers open to a host. */
const LIMIT = 6
const STREAMS_ON_HTTP2 = 20
/** For servers that close: a browser that tried its old port more often could be given just that for its own end. */
const AFTER_CLOSE = { retryMs: [100, 100] } as const

/** What browsers do each in their own way. */
export interface Behaviour {
  /** Otherwise it waits for the first byte of the body. */
  readonly opensWithHead: boolean
  /** Whether an id that comes without data counts, as the standard says. */
  readonly notesBareIds: boolean
  /** Otherwise NULs vanish from data and event names. */
  readonly keepsNul: boolean
  /** Otherwise it goes on waiting for a stream of HTTP/2 that was reset, or whose connection was cut. */
  readonly noticesResets: boolean
  /** Otherwise its driver shows each tab that it speaks to. */
  readonly hasBackground: boolean
  /** Redirects after which it comes back to where they led; after others it asks at the old address again. */
  readonly lastingRedirects: readonly number[]
}

const UNTIL_HIDDEN = `new Promise((resolve) => {
  const check = () => document.visibilityState === 'hidden' && resolve()
  document.addEventListener('visibilitychange', check)
  check()
})`

/** What is expected of every browser's EventSource. */
export async function testEventSource(
  t: Test,
  browser: Browser,
  { opensWithHead, notesBareIds, keepsNul, noticesResets, hasBackground, lastingRedirects }: Behaviour
): Promise<void> {
  t.comment(await browser.version())

  await t.test('opens before any message', async (t) => {
    const stage = await site(t)
    const { app, asked, streams } = stage
    const head = deferred()
    app.get('/late', { onRequest: () => head.promise }, async (_request, reply) => {
      streams.push(reply.sseStart())
    })
    const { page } = await open(t, browser, stage)
    const source = await Recorder.open(page, '/late')
    await until(() => asked.length === 1)
    t.equal(await source.readyState(), 0)
    head.resolve()
    if (opensWithHead) await source.states(2)
    const other = await Recorder.open(page, '/stream')
    await other.states(2)
    t.equal(await source.readyState(), opensWithHead ? 1 : 0)
    streams[0]?.comment()
    t.same(await source.states(2), ['new 0', 'open 1'])
    t.equal(await source.readyState(), 1)

    await source.close()
    t.equal(await source.readyState(), 2)
    t.equal(await streams[0]?.closed, 'client')
    t.same(await source.states(2), ['new 0', 'open 1'])
  })

  await t.test('dispatches events by their names, with the last id', async (t) => {
    const stage = await site(t)
    const { page } = await open(t, browser, stage)
    const source = await Recorder.open(page, '/stream', { types: ['tick', 'a b', 'ü😀'] })
    await source.states(2)
    const sse = last(stage.streams)
    sse.send('unnamed')
    sse.send({ id: 0, event: 'tick', data: { now: 1 } })
    sse.send({ event: '', data: '' })
    sse.send({ id: 'news=1-2&user%3Aann=3-4', event: 'a b', data: [] })
    sse.send({ event: 'not listened to', data: '' })
    sse.send({ event: 'ü😀', data: null })
    sse.send({ id: '', data: 'forgotten' })
    sse.send({ event: 'error', data: 'no error of the EventSource' })
    sse.send({ event: 'open', data: '' })
    t.same(await source.messages(8), [
      { type: 'message', data: 'unnamed', lastEventId: '' },
      { type: 'tick', data: '{"now":1}', lastEventId: '0' },
      { type: 'message', data: '', lastEventId: '0' },
      { type: 'a b', data: '[]', lastEventId: 'news=1-2&user%3Aann=3-4' },
      { type: 'ü😀', data: 'null', lastEventId: 'news=1-2&user%3Aann=3-4' },
      { type: 'message', data: 'forgotten', lastEventId: '' },
      { type: 'error', data: 'no error of the EventSource', lastEventId: '' },
      { type: 'open', data: '', lastEventId: '' }
    ])
    t.same(await source.states(2), ['new 0', 'open 1'], 'and stays open')
  })

  await t.test('comes in after it was refused, when there is room', async (t) => {
    const stage = await site(t, { limit: { max: 1 } })
    const { app, asked, streams } = stage
    const { page } = await open(t, browser, stage)
    const first = await Recorder.open(page, '/stream')
    await first.states(2)
    const second = await Recorder.open(page, '/stream')
    await until(() => app.sse.stats().refused >= 3)
    t.equal(streams.length, 1)
    await first.close()
    await until(() => streams.length === 2)
    last(streams).send('welcome')
    t.same(await second.data(1), ['welcome'])
    t.equal(await second.readyState(), 1)
    t.equal(asked.length, 2 + app.sse.stats().refused)
  })

  await t.test('brings its last id back after an end, a cut and a reset', async (t) => {
    const stage = await site(t)
    const { asked, streams } = stage
    const { page } = await open(t, browser, stage)
    const source = await Recorder.open(page, '/stream')
    const ends: ((sse: SSEConnection) => unknown)[] = [
      (sse) => sse.close(),
      (sse) => sse.destroy(),
      (sse) => sse.socket.resetAndDestroy()
    ]
    for (const [index, end] of ends.entries()) {
      await source.states(2 + 2 * index)
      last(streams).send({ id: `id-${index}`, data: index })
      await source.messages(index + 1)
      end(last(streams))
    }
    const reopened = ends.flatMap(() => ['error 0', 'open 1'])
    t.same(await source.states(2 + 2 * ends.length), ['new 0', 'open 1', ...reopened])
    const brought = asked.map(({ lastEventId }) => lastEventId)
    t.same(brought, [undefined, 'id-0', 'id-1', 'id-2'])
    t.same(await source.data(3), ['0', '1', '2'])
  })

  await t.test(
    'notes an id that comes without data or does not, and forgets its id when told to',
    async (t) => {
      const stage = await site(t)
      const { asked, streams } = stage
      const { page } = await open(t, browser, stage)
      const source = await Recorder.open(page, '/stream')
      await source.states(2)
      last(streams).send({ id: 1, data: 'with data' })
      last(streams).send({ id: 2 })
      last(streams).send('then')
      t.equal((await source.messages(2))[1]?.lastEventId, notesBareIds ? '2' : '1')
      last(streams).destroy()
      await source.states(4)
      last(streams).send({ id: '', data: 'reset' })
      await source.messages(3)
      last(streams).destroy()
      await source.states(6)
      const brought = asked.map(({ lastEventId }) => lastEventId)
      t.same(brought, [undefined, notesBareIds ? '2' : '1', undefined])
    }
  )

  await t.test('goes on in a channel where it subscribed, when cut before a message', async (t) => {
    const stage = await site(t)
    const { app, asked, streams } = stage
    const news = app.sse.channel('news')
    app.get('/news', async (_request, reply) => {
      const sse = reply.sseStart()
      streams.push(sse)
      news.subscribe(sse)
      sse.send({ event: 'subscribed', data: '', retry: 1 })
    })
    const { page } = await open(t, browser, stage)
    const source = await Recorder.open(page, '/news', { types: ['subscribed'] })
    await source.messages(1)
    last(streams).destroy()
    const id = await news.publish('meanwhile')
    await source.states(4)
    t.type(asked[1]?.lastEventId, 'string', 'it brings its place')
    await news.publish('after')
    t.match(await source.upTo('after'), [
      { type: 'subscribed' },
      { data: 'meanwhile', lastEventId: id },
      { type: 'subscribed' },
      { data: 'after' }
    ])
  })

  await t.test('gets each message of a channel once, however often it is cut', async (t) => {
    const stage = await newsSite(t, { channels: { news: { maxBytes: 16_777_216 } } })
    const { app, asked, streams } = stage
    const news = app.sse.channel('news')
    const { page } = await open(t, browser, stage)
    const source = await Recorder.open(page, '/news')
    await source.states(2)
    const published: Received[] = []
    const publish = async (count: number): Promise<void> => {
      for (const end = published.length + count; published.length < end; ) {
        const data = `${published.length} ${'x'.repeat(20_000)}`
        published.push({ type: 'message', data, lastEventId: await news.publish(data) })
      }
    }
    for (let cuts = 0; cuts < 3; cuts++) {
      const before = published.length
      await publish(50)
      await source.messages(before + 1)
      last(streams).destroy()
      await publish(10)
      await source.messages(before + 60)
    }
    t.same(await source.messages(published.length), published)
    t.equal(asked.length, 4)
    t.equal(app.sse.stats().gaps, 0)
  })

  await t.test('goes on trying while a server restarts, and is told the gap', async (t) => {
    const first = await newsSite(t, AFTER_CLOSE)
    const { page, origin } = await open(t, browser, first)
    const source = await Recorder.open(page, '/news', { types: ['gap'] })
    await source.states(2)
    const id = await first.app.sse.channel('news').publish('before')
    await source.messages(1)
    await closeUnreachable(first)
    t.same((await source.states(4)).slice(0, 4), ['new 0', 'open 1', 'error 0', 'error 0'])

    const second = await newsSite(t, {})
    await listen(second.app, Number(new URL(origin).port))
    const [, gap] = await source.messages(2)
    t.match(gap, { type: 'gap', data: '{"reason":"unknown"}' })
    t.match(second.asked, [{ lastEventId: id }])
    await second.app.sse.channel('news').publish('after')
    t.same(await source.data(3), ['before', gap?.data, 'after'])
  })

  await t.test('stays away when the page closes on the farewell', async (t) => {
    const stage = await site(t, { farewell: { event: 'close', data: 'Closing the connection' } })
    const { asked, streams } = stage
    const { page } = await open(t, browser, stage)
    const closing = await Recorder.open(page, '/stream?closing', { types: ['close'] })
    await closing.closeOn('close')
    await closing.states(2)
    const other = await Recorder.open(page, '/stream?other', { types: ['close'] })
    await other.states(2)

    for (const sse of streams) sse.close()
    t.same(await other.states(4), ['new 0', 'open 1', 'error 0', 'open 1'], 'another one comes back')
    const farewell = { type: 'close', data: 'Closing the connection', lastEventId: '' }
    t.same(await closing.messages(1), [farewell])
    t.same(await other.messages(1), [farewell])
    t.equal(await closing.readyState(), 2)
    t.same(await closing.states(2), ['new 0', 'open 1'])
    t.same(
      asked.map(({ path }) => path),
      ['/stream?closing', '/stream?other', '/stream?other']
    )
  })

  await t.test('gives up on 204, on errors and on other types', async (t) => {
    const stage = await site(t)
    const { app, asked, streams } = stage
    const answers = { 204: undefined, 401: 'text/event-stream', 503: 'text/event-stream', 200: 'text/plain' }
    for (const [status, type] of Object.entries(answers)) {
      app.get(`/${status}`, async ({ headers }, reply) => {
        if (headers['last-event-id'] !== undefined) {
          if (type !== undefined) reply.type(type)
          return reply.code(Number(status)).send(type && 'data: no\n\n')
        }
        const sse = reply.sseStart()
        streams.push(sse)
        sse.send({ id: status, data: '', retry: 1 })
      })
    }
    const { page } = await open(t, browser, stage)
    const paths = Object.keys(answers).map((status) => `/${status}`)
    const sources: Recorder[] = []
    for (const path of paths) {
      const source = await Recorder.open(page, path)
      await source.messages(1)
      sources.push(source)
    }
    for (const sse of streams.splice(0)) sse.close()
    for (const [index, source] of sources.entries()) {
      t.same(await source.states(4), ['new 0', 'open 1', 'error 0', 'error 2'], String(paths[index]))
    }
    const other = await Recorder.open(page, '/stream')
    await other.states(2)
    last(streams).close()
    await other.states(4)
    for (const path of paths) t.equal(asked.filter((request) => request.path === path).length, 2, path)
  })

  await t.test('follows redirects, also when it comes back', async (t) => {
    const stage = await site(t)
    const { app, asked, streams } = stage
    app.get('/moved/:status', async (request, reply) => {
      const { status } = request.params as { status: string }
      return reply.redirect(`/stream?${status}`, Number(status))
    })
    const { page } = await open(t, browser, stage)
    const statuses = [301, 302, 307, 308]
    const sources: Recorder[] = []
    for (const status of statuses) {
      const source = await Recorder.open(page, `/moved/${status}`)
      await source.states(2)
      last(streams).send({ id: status, data: '' })
      await source.messages(1)
      sources.push(source)
    }
    for (const sse of streams) sse.destroy()
    for (const [index, status] of statuses.entries()) {
      t.same(await sources[index]?.states(4), ['new 0', 'open 1', 'error 0', 'open 1'])
      const [old, moved] = [`/moved/${status}`, `/stream?${status}`]
      const requests = asked.filter(({ path }) => path === old || path === moved)
      t.same(
        requests.map(({ path }) => path),
        lastingRedirects.includes(status) ? [old, moved, moved] : [old, moved, old, moved]
      )
      t.equal(last(requests).lastEventId, String(status))
    }
  })

  await t.test('sends its cookies across origins, and comes back without a preflight', async (t) => {
    const { page, origin } = await open(t, browser, await site(t))
    const { app, asked, streams } = await site(t)
    await app.register(cors, { origin, credentials: true })
    await app.register(cookie)
    app.post('/login', async (_request, reply) => {
      reply.setCookie('session', 'ann', { httpOnly: true, sameSite: 'strict', path: '/' })
    })
    const other = await listen(app)
    const fetched = (path: string, init: object): Promise<unknown> =>
      page.evaluate(`fetch('${other}${path}', ${JSON.stringify(init)}).then(({ ok }) => ok)`)
    t.ok(await fetched('/login', { method: 'POST', credentials: 'include' }))
    const anonymous = await Recorder.open(page, `${other}/stream?anonymous`)
    await anonymous.states(2)
    await anonymous.close()

    const source = await Recorder.open(page, `${other}/stream`, { withCredentials: true })
    const ids = ['4jz0k1xq-1041', 'news=4jz0k1xq-1041&user%3Aann=4jz0k1xq-7', 'a:b', 'x'.repeat(1_024)]
    for (const [index, id] of ids.entries()) {
      await source.states(2 + 2 * index)
      last(streams).send({ id, data: '' })
      await source.messages(1 + index)
      last(streams).destroy()
    }
    await source.states(2 + 2 * ids.length)
    await fetched('/', { headers: { 'last-event-id': 'a:b' } })
    const stream = { method: 'GET', path: '/stream', lastEventId: undefined, cookie: 'session=ann' }
    t.same(asked, [
      { ...stream, method: 'POST', path: '/login', cookie: undefined },
      { ...stream, path: '/stream?anonymous', cookie: undefined },
      stream,
      ...ids.map((lastEventId) => ({ ...stream, lastEventId })),
      { ...stream, method: 'OPTIONS', path: '/', cookie: undefined },
      { ...stream, path: '/', lastEventId: 'a:b', cookie: undefined }
    ])
  })

  await t.test(`receives ${EVENTS} hostile messages as they were sent (FC_SEED=${seed})`, async (t) => {
    const stage = await site(t)
    const { page } = await open(t, browser, stage)
    const source = await Recorder.open(page, '/stream', { types: NAMES })
    await source.states(2)
    const sent = hostileMessages()
    await last(stage.streams).sendAll(sent)
    const received = await source.messages(EVENTS)
    t.equal(JSON.stringify(received), JSON.stringify(expectedFrom(sent, keepsNul)))
  })

  await t.test(`opens no more than ${LIMIT} streams of a host on HTTP/1.1`, async (t) => {
    const stage = await site(t)
    const { asked, streams } = stage
    const { page, origin } = await open(t, browser, stage)
    const otherTab = await visit(t, browser, origin)
    const sources: Recorder[] = []
    while (sources.length < LIMIT) {
      const source = await Recorder.open(sources.length % 2 === 0 ? page : otherTab, '/stream')
      await source.states(2)
      sources.push(source)
    }
    const tooMany = await Recorder.open(page, '/stream')
    for (const sse of streams) sse.send('you are open')
    for (const source of sources) t.same(await source.data(1), ['you are open'])
    const elsewhere = await site(t)
    const elsewhereOrigin = await listen(elsewhere.app)
    await page.evaluate(`fetch('${elsewhereOrigin}/', { mode: 'no-cors' }).then(() => null)`)
    t.equal(await tooMany.readyState(), 0)
    t.equal(asked.length, LIMIT)

    await sources[1]?.close()
    t.same(await tooMany.states(2), ['new 0', 'open 1'])
    last(streams).send('now you too')
    t.same(await tooMany.data(1), ['now you too'])
  })

  await t.test(`opens ${STREAMS_ON_HTTP2} streams of a host on one HTTP/2 connection`, async (t) => {
    const stage = await site(t, {}, { http2: true, https: { key: fixture('key'), cert: fixture('cert') } })
    const { streams } = stage
    const sessions: ServerHttp2Session[] = []
    stage.app.server.on('session', (session: ServerHttp2Session) => sessions.push(session))
    const { page } = await open(t, browser, stage)
    const sources: Recorder[] = []
    while (sources.length < STREAMS_ON_HTTP2) {
      sources.push(await Recorder.open(page, `/stream?${sources.length}`))
    }
    for (const source of sources) await source.states(2)
    for (const sse of streams) sse.send({ id: 1, data: 'you are open' })
    for (const source of sources) t.same(await source.data(1), ['you are open'])
    t.same(new Set(streams.map(({ request }) => request.raw.httpVersion)), new Set(['2.0']))
    t.equal(sessions.length, 1)
  })

  await t.test('comes back on HTTP/2 after an end, a cut, and those of its connection', async (t) => {
    const stage = await site(t, {}, { http2: true, https: { key: fixture('key'), cert: fixture('cert') } })
    const { app, asked, streams } = stage
    const sessions: ServerHttp2Session[] = []
    app.server.on('session', (session: ServerHttp2Session) => sessions.push(session))
    const { page } = await open(t, browser, stage)
    const source = await Recorder.open(page, '/stream')
    const cuts = [(sse: SSEConnection) => sse.destroy(), () => last(sessions).destroy()]
    const ends: ((sse: SSEConnection) => unknown)[] = [
      (sse) => sse.close(),
      ...(noticesResets ? cuts : []),
      (sse) => {
        last(sessions).close()
        sse.close()
      }
    ]
    for (const [index, end] of ends.entries()) {
      await source.states(2 + 2 * index)
      last(streams).send({ id: index, data: index })
      await source.messages(index + 1)
      end(last(streams))
    }
    const reopened = ends.flatMap(() => ['error 0', 'open 1'])
    t.same(await source.states(2 + 2 * ends.length), ['new 0', 'open 1', ...reopened])
    const brought = asked.map(({ lastEventId }) => lastEventId)
    t.same(brought, [undefined, ...ends.map((_end, index) => String(index))])
  })

  if (!hasBackground) return
  await t.test('receives, and comes back, in a background tab', async (t) => {
    const stage = await site(t)
    const { asked, streams } = stage
    const { page, origin } = await open(t, browser, stage)
    const source = await Recorder.open(page, '/stream')
    await source.states(2)
    const front = await visit(t, browser, origin)
    await front.bringToFront()
    await page.evaluate(UNTIL_HIDDEN)
    last(streams).send({ id: 1, data: 'to the background' })
    await source.messages(1)
    last(streams).destroy()
    await source.states(4)
    t.match(last(asked), { lastEventId: '1' })
    last(streams).send('again')
    t.same(await source.data(2), ['to the background', 'again'])
    t.equal(await page.evaluate('document.visibilityState'), 'hidden')
  })
}
