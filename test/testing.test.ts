import { Readable } from 'node:stream'
import Fastify from 'fastify'
import t from 'tap'
import eventStream, { type CloseReason } from '../lib/index.ts'
import { injectStream, readEvents } from '../lib/testing.ts'
import { build, deferred, listen } from './helpers/server.ts'

t.test('injectStream', async (t) => {
  t.test('starts a stream without a port, and gives its events one after another', async (t) => {
    const app = await build(t)
    app.get('/prices', (_request, reply) => {
      reply.header('x-shop', 'a')
      const sse = reply.sseStart()
      sse.send({ id: 7, event: 'price', data: { value: 1 } })
      sse.send('two\nlines')
    })
    const stream = await injectStream(app, '/prices')
    t.equal(stream.statusCode, 200)
    t.equal(stream.headers['x-shop'], 'a')
    t.same(await stream.next(), { id: '7', event: 'price', data: '{"value":1}' })
    t.same(await stream.next(), { id: '7', event: 'message', data: 'two\nlines' })
    t.equal(stream.lastEventId, '7')
    t.equal(app.server.listening, false)
    await stream.abort()
  })

  t.test('takes what inject() takes', async (t) => {
    const app = await build(t)
    app.post('/', (request, reply) => {
      const { method, body, headers } = request
      reply
        .sseStart()
        .send({ data: { method, body, accept: headers.accept, last: headers['last-event-id'] } })
    })
    const stream = await injectStream(app, {
      method: 'POST',
      url: '/',
      payload: { a: 1 },
      headers: { 'last-event-id': '5' }
    })
    t.same(JSON.parse((await stream.next()).data), {
      method: 'POST',
      body: { a: 1 },
      accept: 'text/event-stream',
      last: '5'
    })
  })

  t.test('abort() leaves as a client does', async (t) => {
    const app = await build(t)
    const left = deferred<CloseReason>()
    app.get('/', (_request, reply) => {
      const sse = reply.sseStart()
      sse.send('hello')
      void sse.closed.then(left.resolve)
    })
    const stream = await injectStream(app, '/')
    await stream.next()
    const next = stream.next()
    await Promise.all([stream.abort(), t.rejects(next)])
    t.equal(await left.promise, 'client')
    await stream.abort()
    t.same(await Promise.all([...app.sse.connections]), [])
  })

  t.test('asyncDispose is abort(), for `await using` on Node 24', async (t) => {
    const app = await build(t)
    app.get('/', (_request, reply) => void reply.sseStart())
    const stream = await injectStream(app, '/')
    const [sse] = app.sse.connections
    await stream[Symbol.asyncDispose]()
    t.equal(await sse?.closed, 'client')
  })

  t.test('rest() gives what comes until the end', async (t) => {
    const app = await build(t)
    app.get('/', (_request, reply) => {
      const sse = reply.sseStart({ farewell: false })
      void sse.sendAll(['a', 'b', 'c']).then(() => sse.close())
    })
    const stream = await injectStream(app, '/')
    t.equal((await stream.next()).data, 'a')
    t.same(
      (await stream.rest()).map(({ data }) => data),
      ['b', 'c']
    )
    await t.rejects(stream.next(), { message: 'The stream ended before an event' })
    t.same(await stream.rest(), [])
    await stream.abort()
  })

  t.test('says what came instead of an event stream', async (t) => {
    const app = await build(t)
    app.get('/', (_request, reply) => reply.code(401).send({ error: 'who are you?' }))
    await t.rejects(injectStream(app, '/'), {
      message: 'Expected an event stream, got 401 application/json; charset=utf-8 {"error":"who are you?"}'
    })
    await t.rejects(injectStream(app, '/nothing'), { message: /^Expected an event stream, got 404 / })
  })

  t.test('says so when the server does not start, and nothing else', async (t) => {
    const app = Fastify()
    app.register(async () => {
      throw new Error('no database')
    })
    await t.rejects(injectStream(app, '/'), { message: 'no database' })
  })

  t.test('does not wait for ever for the end of what came instead', async (t) => {
    const app = await build(t)
    app.get('/', (_request, reply) => {
      const body = new Readable({ read() {} })
      body.push('and so on')
      return reply.type('text/plain').send(body)
    })
    await t.rejects(injectStream(app, '/', { timeoutMs: 200 }), {
      message: 'the end of the response did not come within 200 ms'
    })
  })

  t.test('does not wait for ever for a stream that is not started', async (t) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(eventStream)
    app.get('/', (_request, reply) => void reply.hijack())
    await t.rejects(injectStream(app, '/', { timeoutMs: 20 }), {
      message: 'the head of the response did not come within 20 ms'
    })
  })
})

t.test('next()', async (t) => {
  t.test('of a name skips other events', async (t) => {
    const stream = readEvents(Readable.from(['data: a\n\nevent: b\ndata: c\n\n', 'data: d\n\n']))
    t.same(await stream.next('b'), { id: '', event: 'b', data: 'c' })
    t.same((await stream.next()).data, 'd')
    await t.rejects(stream.next('b'), { message: 'The stream ended before the event "b"' })
  })

  t.test('does not wait for ever', async (t) => {
    const body = new Readable({ read() {} })
    const stream = readEvents(body, { timeoutMs: 20 })
    await t.rejects(stream.next('price'), { message: 'the event "price" did not come within 20 ms' })
    await t.rejects(stream.rest(), { message: 'the end of the stream did not come within 20 ms' })
    body.destroy()
  })

  t.test('leaves what comes after its time to who asks next', async (t) => {
    const body = new Readable({ read() {} })
    const stream = readEvents(body, { timeoutMs: 20 })
    await t.rejects(stream.next(), { message: 'an event did not come within 20 ms' })
    await t.rejects(stream.next('b'), { message: 'the event "b" did not come within 20 ms' })
    body.push('id: 1\ndata: a\n\n')
    t.match(await stream.next(), { data: 'a', id: '1' })
    body.push('id: 2\ndata: b\n\nid: 3\ndata: c\n\n')
    await t.rejects(stream.rest(), { message: /the end of the stream/ })
    t.match(await stream.next(), { data: 'b' })
    t.equal(stream.lastEventId, '2', 'and not of what nobody has asked for yet')
    body.push(null)
    t.match(await stream.rest(), [{ data: 'c' }])
    t.equal(stream.lastEventId, '3')
  })

  t.test('waits for ever if it may', async (t) => {
    const stream = readEvents(Readable.from(['data: a\n\n']), { timeoutMs: Infinity })
    t.equal((await stream.next()).data, 'a')
  })

  t.test('called twice at once gives two events', async (t) => {
    const stream = readEvents(Readable.from(['data: a\n\n', 'data: b\n\n']))
    const [a, b] = await Promise.all([stream.next(), stream.next()])
    t.same([a.data, b.data].sort(), ['a', 'b'])
  })

  t.test('fails as the stream does', async (t) => {
    const stream = readEvents(
      Readable.from(
        (async function* () {
          yield 'data: a\n\n'
          throw new Error('cut')
        })()
      )
    )
    t.equal((await stream.next()).data, 'a')
    await t.rejects(stream.next(), { message: 'cut' })
  })
})

t.test('readEvents', async (t) => {
  t.test('reads the response of fetch()', async (t) => {
    const app = await build(t)
    app.get('/', (_request, reply) => {
      const sse = reply.sseStart()
      sse.comment('hi')
      sse.send({ retry: 1234 })
      sse.send({ id: 1, data: 'a' })
      sse.close()
    })
    const { url } = await listen(app)
    const events = readEvents(await fetch(url))
    const got: string[] = []
    for await (const { event, data } of events) got.push(`${event}: ${data}`)
    t.same(got, ['message: a', 'close: Closing the connection'])
    t.same(events.comments, ['hi'])
    t.equal(events.retryMs, 1234)
    t.equal(events.lastEventId, '1')
  })

  t.test('refuses another one', async (t) => {
    const app = await build(t)
    app.get('/', () => ({}))
    const { url } = await listen(app)
    const response = await fetch(url)
    t.throws(() => readEvents(response), {
      message: 'Expected an event stream, got 200 application/json; charset=utf-8'
    })
    await response.body?.cancel()
    t.throws(() => readEvents(new Response(null, { headers: { 'content-type': 'text/event-stream' } })))
  })
})
