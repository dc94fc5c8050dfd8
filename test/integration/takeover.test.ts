import { connect as http2Connect } from 'node:http2'
import { PassThrough, Readable } from 'node:stream'
import { setInterval } from 'node:timers/promises'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import t, { type Test } from 'tap'
import eventStream, { type SSEConnection } from '../../lib/index.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { RawClient, request } from '../helpers/raw-client.ts'
import { build, deferred, listen, logger, nextTurn, until, untilResting } from '../helpers/server.ts'

const FAREWELL = 'event: close\ndata: Closing the connection\n\n'

t.test('sseStart › the head', async (t) => {
  t.test('is flushed before the first event', async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      reply.sseStart()
    })
    const { port } = await listen(app)
    const client = RawClient.get(port, '/')
    await client.until('\r\n\r\n')
    t.match(client.head, /^HTTP\/1\.1 200 OK\r\n/)
    t.match(client.head, 'content-type: text/event-stream; charset=utf-8')
    t.match(client.head, 'cache-control: private, no-cache, no-store, no-transform')
    t.match(client.head, 'x-accel-buffering: no')
    t.match(client.head, 'Transfer-Encoding: chunked')
    t.equal(client.body, '')
    client.socket.destroy()
  })

  t.test('what the application set wins', async (t) => {
    const app = await build(t)
    app.addHook('onSend', async (_request, reply) => {
      reply.header('x-hook', 'on-send')
    })
    app.get('/', async (_request, reply) => {
      reply.header('Cache-Control', 'no-cache').header('x-own', '1')
      reply.sseStart().close()
      reply.header('x-later', 'in the same turn')
    })
    const response = await app.inject('/')
    t.equal(response.statusCode, 200)
    t.match(response.headers, {
      'cache-control': 'no-cache',
      'x-own': '1',
      'x-later': 'in the same turn',
      'x-hook': 'on-send',
      'content-type': 'text/event-stream; charset=utf-8'
    })
  })

  t.test('another status than 200 is an error, which is answered', async (t) => {
    const app = await build(t)
    const ended = deferred<unknown>()
    app.get('/', async (_request, reply) => {
      const sse = reply.code(201).sseStart()
      sse.send('never')
      ended.resolve(await sse.closed)
    })
    const response = await app.inject('/')
    t.equal(response.statusCode, 500)
    t.match(response.json(), {
      code: 'FST_ERR_EVENTSTREAM_INVALID_STATUS',
      message: 'The status of this event stream is 200, and not 201'
    })
    t.equal(await ended.promise, 'error')
    t.equal(app.sse.connections.size, 0)
  })

  t.test('goes out at the end of the turn, or with the first thing that is written', async (t) => {
    const app = await build(t, { heartbeatMs: false })
    const go = deferred()
    app.get('/turn', async (_request, reply) => {
      reply.sseStart()
      await go.promise
    })
    const first: Record<string, (sse: SSEConnection) => unknown> = {
      send: (sse) => sse.send('x'),
      comment: (sse) => sse.comment(),
      subscribe: (sse) => app.sse.channel('a').subscribe(sse),
      close: (sse) => sse.close()
    }
    app.get<{ Params: { name: string } }>('/message/:name', async ({ params }, reply) => {
      const sse = reply.sseStart({ head: 'message' })
      await go.promise
      first[params.name]?.(sse)
    })
    const { port } = await listen(app)
    const turn = RawClient.get(port, '/turn')
    const others = Object.keys(first).map((name) => RawClient.get(port, `/message/${name}`))
    await turn.until('\r\n\r\n')
    await until(() => app.sse.connections.size === 1 + others.length)
    await untilResting(() => others.filter(({ received }) => received !== '').length)
    t.same(
      others.map(({ received }) => received),
      others.map(() => '')
    )
    go.resolve()
    await Promise.all(others.map((client) => client.until(/^HTTP\/1\.1 200 OK\r\n.*\r\n\r\n/s)))
    for (const client of [turn, ...others]) client.socket.destroy()
  })

  t.test("a client's Connection: close is honoured", async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      reply.sseStart().close()
    })
    const { port } = await listen(app)
    const client = RawClient.get(port, '/', { Connection: 'close' })
    await client.closed
    t.match(client.head, 'Connection: close')
    t.equal(client.body, FAREWELL)
  })
})

t.test('sseStart › hooks', async (t) => {
  t.test('onSend hooks run before the head, whether they are synchronous or not', async (t) => {
    for (const isAsync of [false, true]) {
      const app = await build(t)
      const ran: string[] = []
      app.addHook('onSend', (_request, reply, payload, done) => {
        ran.push('onSend')
        reply.header('set-cookie', 'a=1')
        if (isAsync) setImmediate(done, null, payload)
        else done(null, payload)
      })
      app.addHook('onResponse', async () => {
        ran.push('onResponse')
      })
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart()
        t.equal(sse.state, 'opening')
        sse.send('1')
        await sse.send('2')
        sse.close()
        await sse.closed
      })
      const { port } = await listen(app)
      const client = RawClient.get(port, '/', { Connection: 'close' })
      await client.closed
      t.match(client.head, 'set-cookie: a=1')
      t.equal(client.body, `data: 1\n\ndata: 2\n\n${FAREWELL}`)
      t.same(ran, ['onSend', 'onResponse'])
    }
  })

  t.test('a handler that returns at once is left alone, whatever it returns', async (t) => {
    const app = await build(t)
    app.addHook('onSend', async (_request, _reply, payload) => {
      await nextTurn()
      return payload
    })
    app.get('/undefined', async (_request, reply) => void reply.sseStart())
    app.get('/reply', async (_request, reply) => {
      reply.sseStart()
      return reply
    })
    app.get('/value', async (_request, reply) => {
      reply.sseStart()
      return { value: 1 }
    })
    app.get('/callback', (_request, reply) => void reply.sseStart())
    const { url } = await listen(app)
    for (const path of ['/undefined', '/reply', '/value', '/callback']) {
      const response = await fetch(url + path)
      const [sse] = app.sse.connections
      sse?.send('late')
      sse?.close()
      t.equal(await response.text(), `data: late\n\n${FAREWELL}`, path)
    }
  })

  t.test('handlerTimeout ends with the takeover', (t) =>
    FakeClock.run(async (clock) => {
      const app = await build(t)
      const handlerTimeout = 30
      app.get('/late', { handlerTimeout }, async () => {
        clock.advance(handlerTimeout)
        await nextTurn()
      })
      app.get('/', { handlerTimeout }, async (_request, reply) => {
        const sse = reply.sseStart()
        clock.advance(handlerTimeout)
        await sse.send('still here')
        sse.close()
      })
      t.equal((await app.inject('/late')).statusCode, 503)
      t.equal((await app.inject('/')).body, `data: still here\n\n${FAREWELL}`)
    })
  )

  t.test('a stream can be started in a preHandler hook', async (t) => {
    const app = await build(t)
    const preHandler = (_request: unknown, reply: import('fastify').FastifyReply, done: () => void): void => {
      reply.sseStart().close()
      done()
    }
    app.get('/', { preHandler }, async () => t.fail('the handler must not run'))
    t.equal((await app.inject('/')).body, FAREWELL)
  })

  t.test('trailers are left out where HTTP/1.0 has no place for them', async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      reply.trailer('etag', async () => 'x')
      reply.sseStart().close()
    })
    const { port } = await listen(app)
    const client = RawClient.connect(port, 'GET / HTTP/1.0\r\n\r\n')
    await client.closed
    t.match(client.head, /^HTTP\/1\.1 200 OK\r\n/)
    t.notMatch(client.head, /^(trailer|transfer-encoding):/im)
    t.ok(client.received.endsWith(`\r\n\r\n${FAREWELL}`), client.received)
  })

  t.test('trailers are sent after the stream', async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      reply.trailer('etag', (_reply, _payload, done) => done(null, 'x'))
      const sse = reply.sseStart()
      await sse.send('1')
      sse.close()
    })
    const { port } = await listen(app)
    const client = RawClient.get(port, '/', { Connection: 'close' })
    await client.closed
    t.equal(client.body, `data: 1\n\n${FAREWELL}`)
    t.match(client.received, /\r\n0\r\netag: x\r\n\r\n$/)
  })
})

t.test('sseStart › refused', async (t) => {
  t.test('a second call', async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      t.throws(() => reply.sseStart(), { code: 'FST_ERR_EVENTSTREAM_ALREADY_STARTED' })
      sse.close()
    })
    t.equal((await app.inject('/')).body, FAREWELL)
  })

  t.test('after the reply was sent, hijacked, or its head written', async (t) => {
    const app = await build(t)
    const refused = { code: 'FST_ERR_EVENTSTREAM_REPLY_SENT' }
    app.get('/sent', (_request, reply) => {
      reply.send('sent')
      t.throws(() => reply.sseStart(), refused)
    })
    app.get('/hijacked', (_request, reply) => {
      reply.hijack()
      t.throws(() => reply.sseStart(), refused)
      reply.raw.end('hijacked')
    })
    app.get('/head', (_request, reply) => {
      reply.raw.writeHead(200).flushHeaders()
      t.throws(() => reply.sseStart(), refused)
      reply.hijack().raw.end('head')
    })
    for (const path of ['/sent', '/hijacked', '/head']) t.equal((await app.inject(path)).body, path.slice(1))
  })

  t.test('with wrong options, before anything is sent', async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      reply.sseStart({ heartbeatMs: -1 })
    })
    const response = await app.inject('/')
    t.equal(response.statusCode, 500)
    t.match(response.json(), {
      code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION',
      message: 'Expected heartbeatMs to be an integer from 1 to 2147483647 (milliseconds), got a number'
    })
  })

  for (const isRaw of [false, true]) {
    t.test(
      `with a header that cannot be sent${isRaw ? ', beside one of the response' : ''}: the error is answered and nothing is left`,
      async (t) => {
        const app = await build(t)
        const ended = deferred<unknown>()
        app.get('/', async (_request, reply) => {
          if (isRaw) reply.raw.setHeader('x-raw', '1')
          const sse = reply.header('x-good', '1').header('x-bad', 'a\nb').sseStart()
          ended.resolve(await sse.closed)
        })
        const { url } = await listen(app)
        const response = await fetch(url)
        t.equal(response.status, 500)
        t.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
        t.equal(response.headers.get('x-good'), null)
        t.equal(response.headers.get('x-accel-buffering'), null)
        t.match(await response.json(), { code: 'ERR_INVALID_CHAR' })
        t.equal(await ended.promise, 'error')
        t.equal(app.sse.connections.size, 0)
      }
    )
  }

  t.test(
    'with a status message that cannot be sent: the error is answered with one of its own',
    async (t) => {
      const app = await build(t)
      app.get('/', async (_request, reply) => {
        reply.raw.statusMessage = 'a\nb'
        reply.sseStart()
      })
      app.get('/status', async (_request, reply) => {
        reply.raw.statusMessage = 'a\nb'
        reply.code(404).sseStart()
      })
      const { url } = await listen(app)
      for (const [path, code] of [
        ['/', 'ERR_INVALID_CHAR'],
        ['/status', 'FST_ERR_EVENTSTREAM_INVALID_STATUS']
      ]) {
        const response = await fetch(`${url}${path}`)
        t.equal(`${response.status} ${response.statusText}`, '500 Internal Server Error')
        t.match(await response.json(), { code })
      }
    }
  )

  t.test('after something else has sent a head: the client is gone, and the log says why', async (t) => {
    const log = logger()
    const app = await build(t, {}, { logger: log.options })
    const ended = deferred<unknown[]>()
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      reply.raw.write('not mine')
      ended.resolve([await sse.closed, sse.signal.reason.cause.code])
    })
    const client = RawClient.get((await listen(app)).port, '/')
    t.same(await ended.promise, ['error', 'ERR_HTTP_HEADERS_SENT'])
    await client.closed
    t.notMatch(client.received, /text\/event-stream/)
    t.match(
      log.lines.filter(({ level }) => level === 50),
      [{ msg: 'the head of an event stream could not be sent', err: { code: 'ERR_HTTP_HEADERS_SENT' } }]
    )
  })
})

t.test('sseStart › HEAD gets the head only, and registers nothing', async (t) => {
  const { lines, options } = logger()
  const app = await build(t, {}, { logger: options })
  const ended: unknown[] = []
  app.get('/', async (_request, reply) => {
    const sse = reply.sseStart()
    ended.push(sse.state, sse.signal.aborted, await sse.closed, app.sse.connections.size)
    await sse.send('never')
  })
  app.head('/own', async (_request, reply) => {
    reply.sseStart().send('never')
  })
  const { port } = await listen(app)
  for (const path of ['/', '/own']) {
    const client = RawClient.connect(port, request('HEAD', path, { Connection: 'close' }))
    await client.closed
    t.match(client.received, /^HTTP\/1\.1 200 OK\r\n/)
    t.match(client.received, 'content-type: text/event-stream')
    t.ok(client.received.endsWith('\r\n\r\n'))
    t.equal(client.body, '')
  }
  t.same(ended, ['closed', true, 'server', 0])
  t.equal(app.sse.stats().opened, 0)
  const errors = lines.filter(({ level }) => level >= 50)
  t.same(errors, [], 'nothing is wrong with it')
})

t.test('a handler that fails before the head is out is answered as any other', async (t) => {
  const failing: Record<string, (sse: SSEConnection) => unknown> = {
    'throws in the turn of sseStart()': () => {
      throw Object.assign(new Error('full'), { statusCode: 429 })
    },
    'rejects in the turn of sseStart()': async (sse) => {
      await sse.send('never')
      throw Object.assign(new Error('full'), { statusCode: 429 })
    },
    'sends a bad message first': async (sse) => {
      await sse.send({ data: 1n })
    }
  }
  for (const [name, fail] of Object.entries(failing)) {
    t.test(`one that ${name}`, async (t) => {
      const log = logger()
      const app = await build(t, {}, { logger: log.options })
      const closed = deferred<unknown>()
      app.get('/', (_request, reply) => {
        const sse = reply.sseStart()
        sse.closed.then(closed.resolve)
        return fail(sse)
      })
      const { url } = await listen(app)
      const response = await fetch(url)
      const status = name.includes('bad') ? 500 : 429
      t.equal(response.status, status)
      t.match(await response.json(), { statusCode: status })
      t.equal(await closed.promise, 'error')
      t.equal(log.lines.filter(({ err }) => err !== undefined).length, 1, 'and logged once')
      t.equal(app.sse.connections.size, 0)
    })
  }

  t.test('by an error handler that fails itself, too', async (t) => {
    const app = await build(t)
    for (const [path, fail] of Object.entries({
      '/throws': () => {
        throw new Error('translated')
      },
      '/rejects': () => Promise.reject(new Error('translated')),
      '/later': () => nextTurn().then(() => Promise.reject(new Error('translated')))
    })) {
      app.get(path, { errorHandler: fail }, async (_request, reply) => {
        reply.sseStart()
        throw new Error('full')
      })
    }
    const { url } = await listen(app)
    for (const path of ['/throws', '/rejects', '/later']) {
      const response = await fetch(url + path)
      t.equal(response.status, 500)
      t.match(await response.json(), { message: 'translated' })
    }
  })

  t.test('also much later, if the head waits for the first message', async (t) => {
    const app = await build(t, { head: 'message' })
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      await nextTurn()
      await nextTurn()
      if (sse.state === 'opening') throw Object.assign(new Error('the upstream'), { statusCode: 502 })
    })
    const response = await app.inject('/')
    t.equal(response.statusCode, 502)
    t.match(response.json(), { message: 'the upstream' })
    t.equal(app.sse.connections.size, 0)
  })
})

t.test('a handler that fails after the start ends the stream with reason error', async (t) => {
  t.test('when it rejects: logged once, not a word of it on the wire', async (t) => {
    const log = logger()
    const app = await build(t, {}, { logger: log.options })
    const reason = deferred<unknown>()
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      sse.closed.then(reason.resolve)
      await sse.send('before')
      await nextTurn()
      throw new Error('secret')
    })
    const { url } = await listen(app)
    t.equal(await (await fetch(url)).text(), 'data: before\n\n')
    t.equal(await reason.promise, 'error')
    const errors = log.lines.filter(({ err }) => err?.message === 'secret')
    t.equal(errors.length, 1)
    t.match(log.lines.at(-1), { eventStream: { reason: 'error' }, msg: 'event stream closed' })
  })

  t.test('also on a route that was added before the plugin had loaded', async (t) => {
    const { default: Fastify } = await import('fastify')
    const { default: eventStream } = await import('../../lib/index.ts')
    const app = Fastify()
    t.teardown(() => app.close())
    app.register(eventStream)
    app.get('/', async (_request, reply) => {
      await reply.sseStart().send('before')
      await nextTurn()
      throw new Error('secret')
    })
    t.equal((await app.inject('/')).body, 'data: before\n\n')
  })

  t.test('but one that gives up because its own signal has aborted has not failed', async (t) => {
    const log = logger()
    const app = await build(t, {}, { logger: log.options })
    const signals: AbortSignal[] = []
    app.get('/timer', async (_request, reply) => {
      const sse = reply.sseStart()
      signals.push(sse.signal)
      for await (const _ of setInterval(1, undefined, { signal: sse.signal })) await sse.send('tick')
    })
    app.get('/reason', async (_request, reply) => {
      const sse = reply.sseStart()
      signals.push(sse.signal)
      await sse.send('tick')
      await new Promise((_resolve, reject) => {
        sse.signal.addEventListener('abort', () => reject(sse.signal.reason))
      })
    })
    app.get('/other', async (_request, reply) => {
      const sse = reply.sseStart()
      signals.push(sse.signal)
      await sse.send('tick')
      await sse.closed
      throw new Error('other')
    })
    const { port } = await listen(app)
    for (const path of ['/timer', '/reason', '/other']) {
      const client = RawClient.get(port, path)
      await client.until('tick')
      client.socket.destroy()
      await until(() => signals.at(-1)?.aborted === true)
      await nextTurn()
    }
    t.match(
      log.lines.filter(({ level }) => level > 30).map(({ err }) => err?.message),
      ['other']
    )
  })

  t.test('and its stream ends as it does without it, before the head and after', async (t) => {
    const log = logger()
    const app = await build(t, {}, { logger: log.options })
    const answered: unknown[] = []
    app.addHook('onResponse', async (_request, reply) => void answered.push(reply.statusCode))
    for (const head of ['turn', 'message'] as const) {
      app.get(`/${head}`, async (_request, reply) => {
        const { signal } = reply.sseStart({ head })
        await nextTurn()
        setImmediate(() => app.sse.closeWhere(() => true))
        await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      })
    }
    const { url } = await listen(app)
    for (const head of ['turn', 'message']) {
      const response = await fetch(`${url}/${head}`)
      t.equal(response.status, 200)
      t.equal(await response.text(), FAREWELL)
      await until(() => answered.length > 0)
      t.equal(answered.pop(), 200)
    }
    t.same(
      log.lines.filter(({ level }) => level > 30),
      []
    )
  })

  t.test('nor one that reads an upload whose client leaves', async (t) => {
    const log = logger()
    const app = await build(t, {}, { logger: log.options })
    const failed = deferred<unknown>()
    app.addContentTypeParser('text/plain', (_request, payload, done) => done(null, payload))
    app.post<{ Body: Readable }>('/', async ({ body }, reply) => {
      const sse = reply.sseStart()
      try {
        for await (const chunk of body) sse.send(String(chunk))
      } catch (error) {
        failed.resolve((error as NodeJS.ErrnoException).code)
        throw error
      }
    })
    const { port } = await listen(app)
    const headers = { 'Content-Type': 'text/plain', 'Content-Length': '10' }
    const client = RawClient.connect(port, request('POST', '/', headers, 'half'))
    await client.until('data: half')
    client.socket.destroy()
    t.equal(await failed.promise, 'ECONNRESET')
    await nextTurn()
    t.same(
      log.lines.filter(({ level }) => level > 30),
      []
    )
  })

  t.test('a bad message that the handler does not catch ends it the same way', async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      await sse.send('before')
      await nextTurn()
      await sse.send({ data: 1n })
    })
    t.equal((await app.inject('/')).body, 'data: before\n\n')
  })

  t.test('an error of another server in this process changes nothing', async (t) => {
    const [app, other] = [await build(t), await build(t)]
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      t.equal((await other.inject('/')).statusCode, 500)
      await sse.send('still here')
      sse.close()
    })
    other.get('/', async () => {
      throw new Error('other')
    })
    t.equal((await app.inject('/')).body, `data: still here\n\n${FAREWELL}`)
  })
})

t.test('an onSend hook that fails gives the normal error response', async (t) => {
  for (const isAsync of [false, true]) {
    t.test(isAsync ? 'asynchronously' : 'synchronously', async (t) => {
      const app = await build(t)
      const onError: string[] = []
      const ended = deferred<unknown[]>()
      app.addHook('onError', async (_request, _reply, error) => {
        onError.push(error.message)
      })
      app.setErrorHandler(async (error: Error, _request, reply) => {
        await nextTurn()
        return reply.code(418).send({ handled: error.message })
      })
      const onSend = (
        _request: unknown,
        _reply: unknown,
        payload: unknown,
        done: (e: Error | null, p?: unknown) => void
      ): void => {
        const error = typeof payload === 'string' ? null : new Error('no')
        if (isAsync) setImmediate(done, error, payload)
        else done(error, payload)
      }
      app.get('/', { onSend }, async (_request, reply) => {
        const sse = reply.sseStart()
        sse.send('never')
        const reason = await sse.closed
        ended.resolve([reason, sse.signal.reason.cause.message])
      })
      const { url } = await listen(app)
      const response = await fetch(url)
      t.equal(response.status, 418)
      t.equal(response.headers.get('content-type'), 'application/json; charset=utf-8')
      t.same(await response.json(), { handled: 'no' })
      t.same(await ended.promise, ['error', 'no'])
      t.same(onError, ['no'])
      t.equal(app.sse.connections.size, 0)
    })
  }

  t.test('also when the handler has returned, and fails, meanwhile', async (t) => {
    const app = await build(t)
    let handling = deferred()
    app.setErrorHandler(async (error: Error, _request, reply) => {
      handling.resolve()
      await nextTurn()
      return reply.code(500).send({ handled: error.message })
    })
    const onSend = async (_request: unknown, _reply: unknown, payload: unknown): Promise<unknown> => {
      await nextTurn()
      if (typeof payload !== 'string') throw new Error('no')
      return payload
    }
    app.get('/returned', { onSend }, async (_request, reply) => void reply.sseStart())
    app.get('/returns', { onSend }, async (_request, reply) => {
      reply.sseStart()
      await handling.promise
    })
    app.get('/rejects', { onSend }, async (_request, reply) => {
      reply.sseStart()
      await handling.promise
      throw new Error('secret')
    })
    const { url } = await listen(app)
    for (const path of ['/returned', '/returns', '/rejects']) {
      handling = deferred()
      t.same(await (await fetch(url + path)).json(), { handled: 'no' })
    }
  })
})

t.test('an onSend hook that replaces the stream is answered as it wants, and said to be wrong', async (t) => {
  const log = logger()
  const app = await build(t, {}, { logger: log.options })
  const ended = deferred<unknown>()
  app.get('/', { onSend: async () => 'other' }, async (_request, reply) => {
    const sse = reply.sseStart()
    await sse.closed
    ended.resolve(sse.signal.reason.cause.code)
  })
  const { url } = await listen(app)
  t.equal(await (await fetch(url)).text(), 'other')
  t.equal(await ended.promise, 'FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED')
  t.equal(log.lines.filter(({ err }) => err?.code === 'FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED').length, 1)
})

t.test(
  'the log tells of a stream that was closed at once, and in whose place something else is sent',
  async (t) => {
    const send: Record<string, (app: FastifyInstance) => void> = {
      'by onSend': (app) => {
        app.get('/', { onSend: async () => 'other' }, async (_request, reply) => startAndClose(reply))
      },
      'by who has sent it before a preSerialization hook': (app) => {
        app.get('/', { preSerialization: async (_request, reply) => startAndClose(reply) }, async () => ({}))
      }
    }
    const startAndClose = (reply: FastifyReply): void => {
      const sse = reply.sseStart()
      sse.send('lost')
      sse.close()
    }
    for (const [how, route] of Object.entries(send)) {
      t.test(how, async (t) => {
        const log = logger()
        const app = await build(t, {}, { logger: log.options })
        route(app)
        await app.inject('/')
        await until(() => app.sse.connections.size === 0)
        const codes = log.lines.flatMap(({ err }) => err?.code ?? [])
        t.same(codes, ['FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED'])
      })
    }
  }
)

t.test(
  'an onSend hook that reads the stream instead of piping it gets an error to answer with',
  async (t) => {
    const app = await build(t)
    const readers: [string, (payload: Readable) => unknown][] = [
      ['from', (payload) => Readable.from(payload)],
      ['web', (payload) => Readable.toWeb(payload)],
      ['all', (payload) => payload.toArray()]
    ]
    for (const [name, read] of readers) {
      const onSend = async (_request: unknown, _reply: unknown, payload: unknown): Promise<unknown> =>
        payload instanceof Readable ? await read(payload) : payload
      app.get(`/${name}`, { onSend }, async (_request, reply) => {
        await reply.sseStart().send('never')
      })
    }
    const { url } = await listen(app)
    for (const [name] of readers) {
      const response = await fetch(`${url}/${name}`)
      t.equal(response.status, 500, name)
      t.equal(((await response.json()) as { code: string }).code, 'FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED')
    }
    await until(() => app.sse.connections.size === 0)
  }
)

t.test(
  'a stream that an onSend hook puts in front, and whose client leaves, ends with reason client',
  async (t) => {
    const app = await build(t)
    const ended = deferred<unknown>()
    app.addHook('onSend', async (_request, _reply, payload) => (payload as Readable).pipe(new PassThrough()))
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      await sse.send('hello')
      ended.resolve([await sse.closed, sse.signal.reason.cause])
    })
    const { port } = await listen(app)
    const client = RawClient.get(port, '/')
    await client.until('hello')
    client.socket.destroy()
    t.same(await ended.promise, ['client', undefined])
  }
)

t.test('an onSend hook that puts a stream in front, which then goes, ends it with an error', async (t) => {
  for (const error of [new Error('mine'), undefined]) {
    t.test(error === undefined ? 'without a word' : 'its own', async (t) => {
      const app = await build(t)
      const ended = deferred<unknown>()
      const front = new PassThrough()
      app.addHook('onSend', async (_request, _reply, payload) => (payload as Readable).pipe(front))
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart()
        await sse.send('hello')
        ended.resolve([await sse.closed, sse.signal.reason.cause])
      })
      const { port } = await listen(app)
      const client = RawClient.get(port, '/')
      await client.until('hello')
      front.destroy(error)
      t.match(await ended.promise, ['error', error ?? { code: 'FST_ERR_EVENTSTREAM_RESPONSE_ENDED' }])
      await client.closed
    })
  }
})

t.test('what hooks and handlers say of length, coding and status cannot corrupt the stream', async (t) => {
  const app = await build(t)
  app.addHook('onSend', async (_request, reply, payload) => {
    reply.code(304)
    return payload
  })
  app.get('/', async (_request, reply) => {
    reply.header('content-length', 5).header('transfer-encoding', 'gzip')
    const sse = reply.sseStart()
    await sse.send('HTTP/1.1 200 forged')
    sse.close()
  })
  const { port } = await listen(app)
  const client = RawClient.get(port, '/', { Connection: 'close' })
  await client.closed
  t.match(client.head, /^HTTP\/1\.1 200 OK\r\n/)
  t.notMatch(client.head.toLowerCase(), 'content-length')
  t.equal(client.body, `data: HTTP/1.1 200 forged\n\n${FAREWELL}`)
  const old = RawClient.connect(port, 'GET / HTTP/1.0\r\n\r\n')
  await old.closed
  t.match(old.received, /^HTTP\/1\.1 200 OK\r\n/)
  t.notMatch(old.head.toLowerCase(), /content-length|transfer-encoding/)
})

/** What `compression` of Express makes of a response: it forgets whom to tell of a write, and may code what is written. */
function replaceWrite(response: FastifyReply['raw'], code: (chunk: unknown) => unknown): void {
  const { write } = response
  const replaced = (chunk: unknown): boolean => {
    if (!response.headersSent) response.writeHead(response.statusCode)
    return Reflect.apply(write, response, [code(chunk)])
  }
  Object.assign(response, { write: replaced })
}

t.test('middleware that has replaced what writes the response', async (t) => {
  const replaced = async (t: Test, server: { http2?: boolean } = {}, code = (chunk: unknown) => chunk) => {
    const app = await build(t, {}, server)
    app.addHook('onRequest', async (_request, reply) => replaceWrite(reply.raw, code))
    return app
  }

  t.test('is written through, also where it was told that no head was ever sent', async (t) => {
    const app = await replaced(t)
    app.addHook('onRequest', async (_request, { raw }) => {
      // As `@fastify/express` does.
      Object.defineProperty(raw, 'headersSent', { configurable: true, get: () => false })
    })
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      await sse.send('one')
      await nextTurn()
      await sse.send('two')
      sse.close()
    })
    const { url } = await listen(app)
    t.equal(await (await fetch(url)).text(), `data: one\n\ndata: two\n\n${FAREWELL}`)
  })

  t.test('HTTP/2: a stream that is closed with something queued ends', async (t) => {
    const app = await replaced(t, { http2: true })
    const ended = deferred<unknown>()
    const long = 'x'.repeat(200_000)
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      sse.send(long)
      sse.close()
      ended.resolve(await sse.closed)
    })
    const { port } = await listen(app)
    t.equal(await bodyOf(t, port), `data: ${long}\n\n${FAREWELL}`)
    t.equal(await ended.promise, 'server')
  })

  t.test('a finite stream breaks off, also when it is coded by what keeps it back', async (t) => {
    const app = await replaced(t, {}, () => '')
    const ended = deferred<unknown>()
    app.post('/', async (_request, reply) => {
      const sse = reply.sseStart()
      sse.closed.then(ended.resolve)
      await sse.send('half')
      await nextTurn()
      throw new Error('the rest cannot be had')
    })
    const { url } = await listen(app)
    const response = await fetch(url, { method: 'POST' })
    await t.rejects(response.text())
    t.equal(await ended.promise, 'error')
  })
})

t.test('what is written to the response after the stream has ended hurts nobody', async (t) => {
  const app = await build(t)
  const written = deferred<unknown>()
  app.get('/', async (_request, reply) => {
    const sse = reply.sseStart()
    sse.close()
    await nextTurn()
    reply.raw.write('late', 'utf8', written.resolve)
  })
  const { url } = await listen(app)
  t.equal(await (await fetch(url)).text(), FAREWELL)
  t.match(await written.promise, { code: 'ERR_STREAM_WRITE_AFTER_END' })
})

t.test('a stream may be closed before its head is out, without a word', async (t) => {
  const app = await build(t, { farewell: false })
  app.addHook('onSend', async (_request, _reply, payload) => payload)
  app.get('/', async (_request, reply) => {
    reply.sseStart().close()
  })
  const { url } = await listen(app)
  const response = await fetch(url)
  t.equal(response.headers.get('content-type'), 'text/event-stream; charset=utf-8')
  t.equal(await response.text(), '')
})

t.test('a stream that is destroyed before its head is out leaves the client without an answer', async (t) => {
  const app = await build(t)
  app.addHook('onSend', async (_request, _reply, payload) => payload)
  app.get('/', async (_request, reply) => {
    reply.sseStart().destroy()
  })
  const { port } = await listen(app)
  const client = RawClient.get(port, '/')
  await client.closed
  t.equal(client.received, '')
})

t.test('a stream ends at its maximum age, also if nothing else is timed', (t) =>
  FakeClock.run(async (clock) => {
    const app = await build(t, { heartbeatMs: false, stallMs: false, maxAgeMs: 1000 })
    app.get('/', async (_request, reply) => void reply.sseStart())
    const client = RawClient.get((await listen(app)).port, '/')
    await client.until('\r\n\r\n')
    const [sse] = app.sse.connections
    clock.advance(899)
    t.equal(sse?.state, 'open')
    clock.advance(101)
    t.equal(await sse?.closed, 'expired')
    await client.until(/0\r\n\r\n$/)
    t.match(client.body, /^retry: \d+\n$/)
    client.socket.destroy()
  })
)

t.test('the log has a line for each opening and each closing', async (t) => {
  const log = logger()
  const app = await build(t, {}, { logger: log.options })
  app.get('/', async (_request, reply) => {
    const sse = reply.sseStart()
    await sse.send('1')
    sse.close()
  })
  const response = await app.inject({ url: '/', headers: { 'last-event-id': '7' } })
  const lines = log.lines.filter(({ eventStream }) => eventStream !== undefined)
  t.match(lines, [
    { level: 30, msg: 'event stream opened', eventStream: { lastEventId: '7' } },
    {
      level: 30,
      msg: 'event stream closed',
      eventStream: { reason: 'server', durationMs: Number, messages: 1, bytes: response.body.length }
    }
  ])
})

t.test('the log tells the opening of one that was closed before its head was out, too', async (t) => {
  for (const isAsync of [false, true]) {
    const log = logger()
    const app = await build(t, {}, { logger: log.options })
    app.addHook('onSend', (_request, _reply, payload, done) => {
      if (isAsync) setImmediate(done, null, payload)
      else done(null, payload)
    })
    app.get('/', (_request, reply) => reply.sseStart().close())
    await app.inject('/')
    const lines = log.lines.filter(({ eventStream }) => eventStream !== undefined)
    t.same(
      lines.map(({ msg }) => msg),
      ['event stream opened', 'event stream closed']
    )
  }
})

t.test('the log has none of those requests of which the server logs nothing', async (t) => {
  const isFirst = ({ id }: FastifyRequest): boolean => id === 'req-1'
  const controller = (disableRequestLogging: boolean | typeof isFirst): LogController =>
    new LogController({ disableRequestLogging })
  for (const [name, options, expected] of [
    ['of any', { disableRequestLogging: true }, []],
    ['of some', { disableRequestLogging: isFirst }, ['req-2', 'req-2']],
    ['of any, by its controller', { logController: controller(true) }, []],
    ['of some, by its controller', { logController: controller(isFirst) }, ['req-2', 'req-2']],
    ['of none', {}, ['req-1', 'req-1', 'req-2', 'req-2']]
  ] as const) {
    const log = logger()
    const app = Fastify({ ...options, logger: log.options })
    t.teardown(() => app.close())
    await app.register(async (scope) => {
      await scope.register(eventStream)
      scope.get('/', async (_request, reply) => reply.sseStart().close())
    })
    for (let i = 0; i < 2; i++) await app.inject('/')
    const lines = log.lines.filter(({ eventStream }) => eventStream !== undefined)
    const ids = lines.map(({ reqId }) => reqId)
    t.same(ids, expected, name)
  }
})

t.test('who chooses what is logged is asked before a stream is there, and not when it ends', async (t) => {
  let isOpen = false
  const disableRequestLogging = (): boolean => {
    if (isOpen) throw new Error('asked too late')
    return true
  }
  const app = await build(t, {}, { logController: new LogController({ disableRequestLogging }) })
  const reason = deferred<unknown>()
  const news = app.sse.channel('news')
  app.get('/', async (_request, reply) => {
    const sse = reply.sseStart()
    news.subscribe(sse)
    isOpen = true
    void sse.closed.then(reason.resolve)
  })
  const client = RawClient.get((await listen(app)).port, '/')
  await client.until(/sse-cursor/)
  client.socket.destroy()
  t.equal(await reason.promise, 'client')
  t.equal(news.size, 0)
})

t.test('a connectionTimeout that is not longer than the heartbeat is warned of at boot', async (t) => {
  const table = [
    [{ heartbeatMs: 5000 }, 5000, 1],
    [{ heartbeatMs: false }, 5000, 1],
    [{ heartbeatMs: 4999 }, 5000, 0],
    [{}, 0, 0]
  ] as const
  for (const [options, connectionTimeout, warnings] of table) {
    const log = logger()
    await build(t, options, { logger: log.options, connectionTimeout })
    t.equal(log.lines.filter(({ level }) => level === 40).length, warnings)
  }
})

t.test('app.sse', async (t) => {
  const app = await build(t)
  app.get('/:name', async (_request, reply) => {
    await reply.sseStart().send('hello')
  })
  const { port } = await listen(app)
  const [a, b] = [RawClient.get(port, '/a'), RawClient.get(port, '/b')]
  await Promise.all([a.until('hello'), b.until('hello')])
  t.match(app.sse.stats(), { connections: 2, opened: 2, messages: 2, bytes: 2 * 'data: hello\n\n'.length })
  t.same([...app.sse.connections].map(({ request }) => request.url).sort(), ['/a', '/b'])
  t.equal(
    app.sse.closeWhere(({ request }) => request.url === '/a'),
    1
  )
  await a.until('event: close')
  b.socket.destroy()
  await until(() => app.sse.connections.size === 0)
  t.match(app.sse.stats(), { connections: 0, opened: 2, messages: 2 })
  a.socket.destroy()
})

t.test('reply.send(error) after the start counts as if the handler had thrown it', async (t) => {
  for (const when of [
    'before the head',
    'after the head',
    'after the end',
    'because the stream has ended'
  ] as const) {
    t.test(when, async (t) => {
      const log = logger()
      const app = await build(t, {}, { logger: log.options })
      const ended = deferred<unknown>()
      app.get('/', (_request, reply) => {
        const sse = reply.sseStart()
        sse.closed.then(ended.resolve)
        const error = Object.assign(new Error('secret'), { statusCode: 418 })
        if (when === 'before the head') reply.send(error)
        if (when === 'after the head')
          sse
            .send('hello')
            .then(nextTurn)
            .then(() => reply.send(error))
        if (when === 'after the end') sse[Symbol.asyncDispose]().then(() => reply.send(error))
        if (when === 'because the stream has ended') {
          sse.close()
          reply.send(new Error('stopped', { cause: sse.signal.reason }))
        }
      })
      const { url } = await listen(app)
      const response = await fetch(url)
      const body = await response.text()
      const isAnswered = when === 'before the head'
      t.equal(response.status, isAnswered ? 418 : 200)
      if (when === 'after the head') t.equal(body, 'data: hello\n\n')
      t.equal(await ended.promise, when.includes('head') ? 'error' : 'server')
      await until(() => log.lines.some(({ msg }) => msg === 'request completed'))
      const errors = log.lines.filter(({ err }) => err?.message === 'secret')
      t.equal(errors.length, when === 'because the stream has ended' ? 0 : 1, 'logged once')
      t.same(
        log.lines.filter(({ level, msg }) => level > 30 && msg !== 'secret'),
        []
      )
    })
  }
})

t.test(
  'a response that something else ends: what was sent leaves first, and the reason is error',
  async (t) => {
    for (const http2 of [false, true]) {
      for (const isWrapped of [false, true]) {
        const log = logger()
        const app = await build(t, {}, { logger: log.options, ...(http2 && { http2 }) })
        const ended = deferred<unknown[]>()
        if (isWrapped) {
          app.addHook('onRequest', async (_request, { raw }) => {
            const { end } = raw
            raw.end = function (this: typeof raw, ...args: never[]) {
              return Reflect.apply(end, this, args)
            } as typeof end
          })
        }
        app.get('/', async (_request, reply) => {
          const sse = reply.sseStart()
          await sse.send('first')
          for (let turns = 0; turns < 3; turns++) await nextTurn()
          sse.send('second')
          reply.raw.end('not mine')
          ended.resolve([await sse.closed, sse.signal.reason.cause.code])
        })
        const { port, url } = await listen(app)
        const got = http2 ? await bodyOf(t, port) : await (await fetch(url)).text()
        t.equal(got, 'data: first\n\ndata: second\n\n')
        t.same(await ended.promise, ['error', 'FST_ERR_EVENTSTREAM_RESPONSE_ENDED'])
        t.equal(log.lines.filter(({ err }) => err?.code === 'FST_ERR_EVENTSTREAM_RESPONSE_ENDED').length, 1)
      }
    }
  }
)

t.test('HTTP/2: headers of a connection are no part of the head, wherever they come from', async (t) => {
  const names = [
    'connection',
    'http2-settings',
    'keep-alive',
    'proxy-connection',
    'te',
    'transfer-encoding',
    'upgrade'
  ]
  const warnings: Error[] = []
  const onWarning = (warning: Error): void => void warnings.push(warning)
  process.on('warning', onWarning)
  t.teardown(() => process.removeListener('warning', onWarning))
  for (const place of ['handler', 'raw', 'onSend'] as const) {
    const app = await build(t, {}, { http2: true })
    if (place === 'onSend') {
      app.addHook('onSend', async (_request, reply) => {
        for (const name of names.slice(1)) reply.header(name, 'x')
      })
    }
    app.get('/', async (_request, reply) => {
      if (place === 'handler') for (const name of names) reply.header(name, 'x')
      if (place === 'raw') for (const name of names.slice(1)) reply.raw.setHeader(name, 'x')
      const sse = reply.header('x-own', '1').sseStart()
      sse.send(place)
      sse.close()
    })
    const { port } = await listen(app)
    const head: Record<string, unknown> = {}
    t.equal(await bodyOf(t, port, (headers) => Object.assign(head, headers)), `data: ${place}\n\n${FAREWELL}`)
    t.match(head, { ':status': 200, 'x-own': '1' })
    t.same(
      Object.keys(head).filter((name) => names.includes(name)),
      []
    )
  }
  t.same(warnings, [])
})

/** What an HTTP/2 client gets. */
async function bodyOf(t: Test, port: number, onHead: (headers: object) => void = () => {}): Promise<string> {
  const session = http2Connect(`http://127.0.0.1:${port}`)
  t.teardown(() => session.destroy())
  const stream = session.request({ ':path': '/' }).on('response', onHead)
  let body = ''
  for await (const chunk of stream) body += chunk
  return body
}

t.test(
  'lastEventId › what a query parser makes without a prototype is a cursor that nobody knows',
  async (t) => {
    const app = await build(
      t,
      {},
      { routerOptions: { querystringParser: () => Object.assign(Object.create(null), parsed) } }
    )
    let parsed: object = {}
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      sse.send(String(sse.lastEventId)).then(() => sse.close())
    })
    const nothing = Object.create(null)
    for (const [lastEventId, expected] of [
      [nothing, '[object]'],
      [['a', nothing], '[object]'],
      [[nothing, 'a'], 'a'],
      [[['a']], '[object]'],
      [5, '5'],
      [undefined, 'undefined']
    ]) {
      parsed = { lastEventId }
      t.match((await app.inject('/?')).body, `data: ${expected}\n`)
    }
  }
)
