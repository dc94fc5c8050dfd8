import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import eventStream, { type CloseReason } from '../../lib/index.ts'
import { injectStream, readEvents } from '../../lib/testing/testing.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { build, deferred, listen, nextTurn } from '../helpers/server.ts'
import { hasSettled } from '../helpers/settled.ts'

/** A test during which time passes only by hand, so that nothing is late on a busy machine. */
function timed(t: Test, name: string, test: (t: Test, clock: FakeClock) => Promise<void>): void {
  t.test(name, (t) => FakeClock.run((clock) => test(t, clock)))
}

t.test('injectStream', async (t) => {
  timed(t, 'starts a stream without a port, and gives its events one after another', async (t) => {
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

  timed(t, 'takes what inject() takes', async (t) => {
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

  timed(t, 'takes each status that a finite stream may have', async (t) => {
    const app = await build(t)
    app.post<{ Params: { status: string } }>('/:status', async ({ params }, reply) => {
      const sse = reply.code(Number(params.status)).sseStart()
      await sse.send('made')
      sse.close()
    })
    const { url } = await listen(app)
    for (const status of [200, 201, 202]) {
      const stream = await injectStream(app, { method: 'POST', url: `/${status}` })
      t.equal(stream.statusCode, status)
      t.same(await stream.rest(), [{ id: '', event: 'message', data: 'made' }])
      const response = await fetch(`${url}/${status}`, { method: 'POST' })
      t.same(await readEvents(response).rest(), [{ id: '', event: 'message', data: 'made' }])
    }
  })

  timed(t, 'abort() leaves as a client does', async (t) => {
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

  timed(t, 'asyncDispose is abort(), for `await using` on Node 24', async (t) => {
    const app = await build(t)
    app.get('/', (_request, reply) => void reply.sseStart())
    const stream = await injectStream(app, '/')
    const [sse] = app.sse.connections
    await stream[Symbol.asyncDispose]()
    t.equal(await sse?.closed, 'client')
  })

  timed(t, 'rest() gives what comes until the end', async (t) => {
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

  timed(t, 'says what came instead of an event stream', async (t) => {
    const app = await build(t)
    app.get('/', (_request, reply) => reply.code(401).send({ error: 'who are you?' }))
    await t.rejects(injectStream(app, '/'), {
      message: 'Expected an event stream, got 401 application/json; charset=utf-8 {"error":"who are you?"}'
    })
    await t.rejects(injectStream(app, '/nothing'), { message: /^Expected an event stream, got 404 / })
  })

  timed(t, 'says so when the server does not start, and nothing else', async (t) => {
    const app = Fastify()
    app.register(async () => {
      throw new Error('no database')
    })
    await t.rejects(injectStream(app, '/'), { message: 'no database' })
  })

  timed(t, 'does not wait for ever for the end of what came instead', async (t, clock) => {
    const app = await build(t)
    app.get('/', (_request, reply) => {
      const body = new Readable({ read() {} })
      body.push('and so on')
      return reply.type('text/plain').send(body)
    })
    const answered = deferred()
    const inject = async (request: InjectOptions): Promise<unknown> => {
      const response = await app.inject(request)
      setImmediate(answered.resolve)
      return response
    }
    const injected = injectStream({ inject } as FastifyInstance, '/', { timeoutMs: 200 })
    await answered.promise
    clock.advance(199)
    t.notOk(await hasSettled(injected))
    clock.advance(1)
    await t.rejects(injected, { message: 'the end of the response did not come within 200 ms' })
  })

  timed(t, 'does not wait for ever for a stream that is not started', async (t, clock) => {
    const app = Fastify()
    t.teardown(() => app.close())
    await app.register(eventStream)
    const hijacked = deferred()
    app.get('/', (_request, reply) => {
      reply.hijack()
      hijacked.resolve()
    })
    const injected = injectStream(app, '/', { timeoutMs: 20 })
    await hijacked.promise
    clock.advance(19)
    t.notOk(await hasSettled(injected))
    clock.advance(1)
    await t.rejects(injected, { message: 'the head of the response did not come within 20 ms' })
  })
})

t.test('next()', async (t) => {
  timed(t, 'of a name skips other events', async (t) => {
    const stream = readEvents(Readable.from(['data: a\n\nevent: b\ndata: c\n\n', 'data: d\n\n']))
    t.same(await stream.next('b'), { id: '', event: 'b', data: 'c' })
    t.same((await stream.next()).data, 'd')
    await t.rejects(stream.next('b'), { message: 'The stream ended before the event "b"' })
  })

  timed(t, 'does not wait for ever, but for five seconds if it is not told', async (t, clock) => {
    for (const [options, ms] of [
      [{ timeoutMs: 20 }, 20],
      [undefined, 5000]
    ] as const) {
      const body = new Readable({ read() {} })
      const stream = readEvents(body, options)
      for (const [wait, what] of [
        [() => stream.next('price'), 'the event "price"'],
        [() => stream.rest(), 'the end of the stream']
      ] as const) {
        const waiting: Promise<unknown> = wait()
        clock.advance(ms - 1)
        t.notOk(await hasSettled(waiting), `${ms}`)
        clock.advance(1)
        await t.rejects(waiting, { message: `${what} did not come within ${ms} ms` })
      }
      body.destroy()
    }
  })

  timed(t, 'leaves what comes after its time to who asks next', async (t, clock) => {
    const body = new Readable({ read() {} })
    const stream = readEvents(body, { timeoutMs: 20 })
    const rejectsInTime = async (waiting: Promise<unknown>, message: string | RegExp): Promise<void> => {
      await nextTurn()
      clock.advance(20)
      await t.rejects(waiting, { message })
    }
    await rejectsInTime(stream.next(), 'an event did not come within 20 ms')
    await rejectsInTime(stream.next('b'), 'the event "b" did not come within 20 ms')
    body.push('id: 1\ndata: a\n\n')
    t.match(await stream.next(), { data: 'a', id: '1' })
    body.push('id: 2\ndata: b\n\nid: 3\ndata: c\n\n')
    await rejectsInTime(stream.rest(), /the end of the stream/)
    t.match(await stream.next(), { data: 'b' })
    t.equal(stream.lastEventId, '2', 'and not of what nobody has asked for yet')
    body.push(null)
    t.match(await stream.rest(), [{ data: 'c' }])
    t.equal(stream.lastEventId, '3')
  })

  timed(t, 'waits for ever if it may', async (t, clock) => {
    for (const timeoutMs of [Infinity, 2 ** 31]) {
      const body = new Readable({ read() {} })
      const next = readEvents(body, { timeoutMs }).next()
      clock.advance(1e12)
      body.push('data: a\n\n')
      t.equal((await next).data, 'a')
    }
  })

  timed(t, 'called twice at once gives two events', async (t) => {
    const stream = readEvents(Readable.from(['data: a\n\n', 'data: b\n\n']))
    const [a, b] = await Promise.all([stream.next(), stream.next()])
    t.same([a.data, b.data].sort(), ['a', 'b'])
  })

  timed(t, 'fails as the stream does', async (t) => {
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
  timed(t, 'reads the response of fetch()', async (t) => {
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

  timed(t, 'refuses another one', async (t) => {
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
