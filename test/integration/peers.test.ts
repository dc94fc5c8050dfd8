import { once } from 'node:events'
import { connect } from 'node:http2'
import type { Socket } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import t from 'tap'
import type { SSEConnection } from '../../lib/index.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { RawClient, request } from '../helpers/raw-client.ts'
import { build, deferred, listen, nextTurn, until, untilResting } from '../helpers/server.ts'

t.test('a client that leaves', async (t) => {
  t.test('is seen, by its end or by a reset, on GET and on POST with a body', async (t) => {
    const app = await build(t)
    const started: SSEConnection[] = []
    app.route({
      method: ['GET', 'POST'],
      url: '/',
      handler: async (_request, reply) => {
        const sse = reply.sseStart()
        started.push(sse)
        await sse.send('hello')
      }
    })
    const { port } = await listen(app)
    const json = { 'Content-Type': 'application/json', 'Content-Length': '13' }
    for (const [method, headers, body] of [
      ['GET', {}, ''],
      ['POST', json, '{"stream":1 }']
    ] as const) {
      for (const leave of ['end', 'destroy', 'resetAndDestroy'] as const) {
        const client = RawClient.connect(port, request(method, '/', headers, body))
        await client.until('hello')
        const sse = started.pop()
        t.equal(sse?.state, 'open')
        const { signal } = sse as SSEConnection
        client.socket[leave]()
        t.equal(await sse?.closed, 'client', `${method} ${leave}`)
        t.ok(signal.aborted)
        await client.closed
      }
    }
    t.equal(app.sse.connections.size, 0)
  })

  t.test('during authentication: the connection is born closed', async (t) => {
    const app = await build(t)
    const entered = deferred<RawClient>()
    const born = deferred<unknown[]>()
    app.addHook('preHandler', async (req) => {
      const left = once(req.raw.socket, 'close')
      const client = await entered.promise
      client.socket.destroy()
      await left
    })
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      const next = await sse.send('nobody')
      born.resolve([sse.state, sse.signal.aborted, await sse.closed, next, app.sse.connections.size])
    })
    const { port } = await listen(app)
    const client = RawClient.get(port, '/')
    entered.resolve(client)
    t.same(await born.promise, ['closed', true, 'client', false, 0])
    t.equal(app.sse.stats().opened, 0)
  })

  t.test('during authentication, over HTTP/2: likewise', async (t) => {
    const app = await build(t, {}, { http2: true })
    const [entered, left] = [deferred<string>(), deferred()]
    const born = deferred<unknown[]>()
    app.addHook('preHandler', async ({ url, raw }) => {
      entered.resolve(url)
      await once(raw, 'close')
      await left.promise
    })
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      born.resolve([sse.state, sse.signal.aborted, await sse.closed, app.sse.connections.size])
    })
    const { port } = await listen(app)
    const session = connect(`http://127.0.0.1:${port}`)
    t.teardown(() => session.destroy())
    const stream = session.request({ ':path': '/' })
    await entered.promise
    stream.close()
    left.resolve()
    t.same(await born.promise, ['closed', true, 'client', 0])
    t.equal(app.sse.stats().opened, 0)
  })

  t.test('while onSend hooks run: closed, and nothing is written', async (t) => {
    const app = await build(t)
    const entered = deferred<RawClient>()
    const ended = deferred<unknown>()
    const written = deferred<unknown>()
    app.addHook('onSend', async ({ raw }, _reply, payload) => {
      const client = await entered.promise
      client.socket.destroy()
      await ended.promise
      setImmediate(() => written.resolve(raw.socket.bytesWritten))
      return payload
    })
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      sse.send('nobody')
      ended.resolve([await sse.closed, app.sse.connections.size])
    })
    const { port } = await listen(app)
    entered.resolve(RawClient.get(port, '/'))
    t.same(await ended.promise, ['client', 0])
    t.equal(await written.promise, 0)
  })
})

t.test('a client that sends more than its request', async (t) => {
  const cases: [string, string][] = [
    ['garbage', 'garbage\r\n\r\n'],
    ['another request for the stream', request('GET', '/')],
    ['another request', request('GET', '/plain')],
    ['a request that does not exist', request('GET', '/nowhere')],
    ['50 requests at once', request('GET', '/').repeat(50)]
  ]
  for (const [name, extra] of cases) {
    for (const when of ['later', 'with it']) {
      t.test(`${name}, ${when}: the socket is destroyed, nothing lands in the stream`, async (t) => {
        const app = await build(t)
        let plain = 0
        app.get('/', async (_request, reply) => {
          await reply.sseStart().send('hello')
        })
        app.get('/plain', async () => {
          plain++
          return 'plain'
        })
        const { port } = await listen(app)
        const client = RawClient.connect(port, request('GET', '/') + (when === 'later' ? '' : extra))
        if (when === 'later') {
          await client.until('hello')
          client.socket.write(extra)
        }
        await client.closed
        t.equal(plain, 0)
        t.ok(client.body === 'data: hello\n\n' || client.body === '')
        t.notMatch(client.received, 'HTTP/1.1 4')
        t.equal(client.received.split('HTTP/1.1').length - 1, client.received === '' ? 0 : 1)
        await until(() => app.sse.connections.size === 0)
      })
    }
  }

  for (const wrapped of [false, true]) {
    for (const [name, extra] of cases) {
      t.test(`${name}, over ${wrapped ? 'a stream in front of the response' : 'HTTP/1.0'}`, async (t) => {
        const app = await build(t)
        let others = 0
        app.addHook('onSend', async (_request, _reply, payload) =>
          wrapped && payload instanceof Readable ? payload.pipe(new PassThrough()) : payload
        )
        app.get('/', async (_request, reply) => {
          await reply.sseStart().send('hello')
        })
        app.get('/plain', async () => {
          others++
          return 'plain'
        })
        const { port } = await listen(app)
        const first = wrapped ? request('GET', '/') : 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'
        const client = RawClient.connect(port, first)
        await client.until('hello')
        client.socket.write(extra)
        await client.closed
        t.equal(others, 0)
        t.equal(client.received.split('HTTP/1.1').length - 1, 1)
      })
    }
  }

  t.test('another request while onSend hooks of the stream still run', async (t) => {
    const app = await build(t)
    let others = 0
    const both = deferred()
    let requests = 0
    app.server.on('request', () => {
      if (++requests === 2) both.resolve()
    })
    app.addHook('onSend', async (_request, _reply, payload) => {
      await both.promise
      await nextTurn()
      return payload
    })
    app.get('/', async (_request, reply) => {
      await reply.sseStart().send('hello')
    })
    app.get('/plain', async () => {
      others++
      return 'plain'
    })
    const { port } = await listen(app)
    const client = RawClient.connect(port, request('GET', '/') + request('GET', '/plain'))
    await client.closed
    t.equal(others, 0)
  })

  for (const [event, handOver] of Object.entries({
    upgrade: request('GET', '/ws', { Connection: 'Upgrade', Upgrade: 'websocket' }),
    connect: request('CONNECT', 'example.com:443')
  })) {
    for (const when of ['before', 'after'] as const) {
      t.test(
        `${event}: whoever came ${when} listen(), nobody takes it, nothing lands in the stream`,
        async (t) => {
          const app = await build(t)
          const taken: boolean[] = []
          const take = (_request: unknown, socket: Socket): void => {
            taken.push(socket.destroyed)
            if (!socket.destroyed) socket.end('HTTP/1.1 299 Taken\r\n\r\n')
          }
          app.get('/', async (_request, reply) => {
            await reply.sseStart().send('hello')
          })
          if (when === 'before') app.server.on(event, take)
          const { port } = await listen(app)
          if (when === 'after') app.server.prependListener(event, take)
          const client = RawClient.get(port, '/')
          await client.until('hello')
          client.socket.write(handOver)
          await client.closed
          t.same(taken, [true])
          t.equal(client.body, 'data: hello\n\n')
          const other = RawClient.connect(port, handOver)
          await other.closed
          t.match(other.received, '299 Taken', 'but on a socket of its own')
          app.server.removeListener(event, take)
          await nextTurn()
          t.equal(app.server.listenerCount(event), 0, 'so that Node does again what it does by itself')
        }
      )
    }
  }

  t.test('the next request after an answer that ended by itself is served', async (t) => {
    const app = await build(t)
    app.get('/', async (_request, reply) => {
      reply.sseStart()
      reply.raw.end()
    })
    app.get('/plain', async () => 'plain')
    app.head('/own', async (_request, reply) => void reply.sseStart())
    const { port } = await listen(app)
    const client = RawClient.get(port, '/')
    await client.until(/0\r\n\r\n$/)
    client.socket.write(request('HEAD', '/own') + request('GET', '/plain', { Connection: 'close' }))
    await client.closed
    t.match(client.received, /plain$/)
  })

  t.test('garbage on a plain connection still gets its 400', async (t) => {
    const app = await build(t)
    const { port } = await listen(app)
    const client = RawClient.connect(port, 'garbage\r\n\r\n')
    await client.closed
    t.match(client.received, 'HTTP/1.1 400')
  })
})

t.test('a stream that is pipelined behind an unfinished answer', async (t) => {
  t.test('is refused, and its error comes after that answer', async (t) => {
    const app = await build(t)
    const second = deferred()
    app.get('/slow', async () => {
      await second.promise
      return 'slow'
    })
    app.get('/', async (_request, reply) => {
      second.resolve()
      reply.sseStart()
    })
    const { port } = await listen(app)
    const client = RawClient.connect(
      port,
      request('GET', '/slow') + request('GET', '/', { Connection: 'close' })
    )
    await client.closed
    t.match(client.received, /^HTTP\/1\.1 200 OK[\s\S]*\r\n\r\nslowHTTP\/1\.1 400 Bad Request\r\n/)
    t.match(client.received, 'FST_ERR_EVENTSTREAM_PIPELINED')
    t.equal(app.sse.stats().opened, 0)
  })

  t.test('behind one that has become a stream meanwhile: the socket is destroyed', async (t) => {
    const app = await build(t)
    const both = deferred()
    let entered = 0
    app.addHook('preHandler', async () => {
      if (++entered === 2) both.resolve()
      await both.promise
    })
    app.get('/', async (_request, reply) => {
      await reply.sseStart().send('hello')
    })
    const { port } = await listen(app)
    const client = RawClient.connect(port, request('GET', '/').repeat(2))
    await client.closed
    t.notMatch(client.received, 'HTTP/1.1 4')
    await until(() => app.sse.connections.size === 0)
    t.equal(app.sse.stats().opened, 1)
  })
})

t.test('after the end of a stream its connection serves the next request', async (t) => {
  const app = await build(t)
  app.get('/', async (_request, reply) => {
    const sse = reply.sseStart()
    await sse.send('hello')
    sse.close()
  })
  app.get('/plain', async () => 'plain')
  const { port } = await listen(app)
  const client = RawClient.get(port, '/')
  for (let i = 1; i <= 3; i++) {
    await client.until(/0\r\n\r\n$/)
    client.received = ''
    client.socket.write(request('GET', '/plain'))
    await client.until('plain')
    client.received = ''
    client.socket.write(request('GET', '/'))
  }
  await client.until(/0\r\n\r\n$/)
  const [socket] = [client.socket]
  t.equal(client.body, 'data: hello\n\nevent: close\ndata: Closing the connection\n\n')
  socket.destroy()
})

t.test('a producer that does nothing but wait for send() lets others run after the end', async (t) => {
  const app = await build(t)
  const stopped = deferred()
  app.get('/', async (_request, reply) => {
    const sse = reply.sseStart()
    let isStopping = false
    sse.closed.then(() => setTimeout(() => (isStopping = true), 1))
    while (!isStopping) await sse.send('x')
    stopped.resolve()
  })
  const { port } = await listen(app)
  const head = RawClient.connect(port, request('HEAD', '/'))
  await stopped.promise
  head.socket.destroy()
  t.pass('a timer ran')
})

t.test('a reader that is too slow', async (t) => {
  t.test('un-awaited sends are bounded: the client is gone, with reason slow', async (t) => {
    const app = await build(t, { maxBufferedBytes: 100_000 })
    const ended = deferred<unknown>()
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      while (!sse.signal.aborted) {
        sse.send('x'.repeat(10_000))
        t.ok(sse.bufferedBytes <= 110_100, 'the bound, and one message')
        await new Promise((resolve) => setImmediate(resolve))
      }
      ended.resolve(await sse.closed)
    })
    const { port } = await listen(app)
    const client = RawClient.get(port, '/')
    client.socket.pause()
    t.equal(await ended.promise, 'slow')
    client.socket.destroy()
  })

  t.test('awaited sends go at its pace, and it is gone after stallMs without progress', (t) =>
    FakeClock.run(async (clock) => {
      const stallMs = 100
      const app = await build(t, { stallMs })
      const started = deferred<SSEConnection>()
      let most = 0
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart()
        started.resolve(sse)
        while (!sse.signal.aborted) {
          await sse.send('x'.repeat(10_000))
          most = Math.max(most, sse.bufferedBytes)
        }
      })
      const { port } = await listen(app)
      const client = RawClient.get(port, '/')
      client.socket.pause()
      const sse = await started.promise
      await untilResting(() => sse.messages)
      clock.advance(stallMs - 1)
      t.equal(sse.state, 'open')
      clock.advance(stallMs)
      t.equal(await sse.closed, 'slow')
      t.ok(most < 200_000, `at most ${most} bytes were buffered`)
      client.socket.destroy()
    })
  )

  t.test('sendAll takes no more from its source than the client reads', async (t) => {
    const app = await build(t)
    const started = deferred<SSEConnection>()
    let given = 0
    let most = 0
    let returned = false
    async function* source(sse: SSEConnection): AsyncGenerator<string> {
      try {
        for (;;) {
          most = Math.max(most, sse.bufferedBytes)
          given++
          yield 'x'.repeat(10_000)
        }
      } finally {
        returned = true
      }
    }
    const stopped = deferred()
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      started.resolve(sse)
      await sse.sendAll(source(sse))
      stopped.resolve()
    })
    const { port } = await listen(app)
    const client = RawClient.get(port, '/')
    client.socket.pause()
    await started.promise
    const before = await untilResting(() => given)
    t.ok(most < 200_000, `at most ${most} bytes were buffered when more was taken`)
    client.socket.resume()
    await until(() => given > before)
    client.socket.destroy()
    await stopped.promise
    t.ok(returned)
  })
})

t.test('a reader of large messages that takes some of them again and again is not too slow', async (t) => {
  for (const isOfChannel of [true, false]) {
    await FakeClock.run(async (clock) => {
      const stallMs = 1_000
      const app = await build(t, {
        stallMs,
        maxMessageBytes: 2 ** 26,
        maxBufferedBytes: 2 ** 26,
        heartbeatMs: false
      })
      const channel = app.sse.channel('large', { maxBytes: 2 ** 26 })
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart()
        if (isOfChannel) channel.subscribe(sse)
        else sse.send('x'.repeat(2 ** 25))
      })
      const { port } = await listen(app)
      const client = RawClient.get(port, '/')
      await client.until('\r\n\r\n')
      client.socket.pause()
      if (isOfChannel) channel.publish('x'.repeat(2 ** 25))
      const [sse] = app.sse.connections
      await untilResting(() => Number(sse?.bufferedBytes))
      for (let times = 0; times < 5; times++) {
        const enough = client.socket.bytesRead + 2 ** 21
        await new Promise<void>((resolve) => {
          client.socket.resume().on('data', function onData() {
            if (client.socket.bytesRead < enough) return
            client.socket.pause().removeListener('data', onData)
            resolve()
          })
        })
        await untilResting(() => Number(sse?.bufferedBytes))
        t.not(sse?.bufferedBytes, 0)
        clock.advance(stallMs * 0.9)
        await nextTurn()
        t.equal(sse?.state, 'open')
      }
      for (let times = 0; times < 2; times++) {
        clock.advance(stallMs)
        await nextTurn()
      }
      t.equal(sse?.reason, 'slow', 'but one that takes nothing is')
      client.socket.destroy()
    })
  }
})
