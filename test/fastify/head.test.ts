import { Readable } from 'node:stream'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import t, { type Test } from 'tap'
import { request } from 'undici'
import { Deferred } from '../../lib/base/promises.ts'
import eventStream, { type StartOptions } from '../../lib/index.ts'

type Handler = (request: FastifyRequest, reply: FastifyReply) => unknown

/** What the upstream of a handler says. */
const TOO_MANY = Object.assign(new Error('too many'), { statusCode: 429 })

interface Answer {
  readonly status: number
  readonly type: string
  readonly cache: string
  readonly body: string
  /** What `onResponse` hooks see. */
  readonly seen: number
}

async function ask(t: Test, handler: Handler, setUp?: (app: FastifyInstance) => void): Promise<Answer> {
  const app: FastifyInstance = Fastify()
  await app.register(eventStream)
  const seen = new Deferred<number>()
  app.addHook('onResponse', async (_, reply) => seen.resolve(reply.statusCode))
  setUp?.(app)
  app.get('/', handler as never)
  t.teardown(() => app.close())
  const base = await app.listen({ port: 0, host: '127.0.0.1' })
  const { statusCode, headers, body } = await request(base)
  const text = await body.text()
  const type = String(headers['content-type'])
  const cache = String(headers['cache-control'])
  return { status: statusCode, type, cache, body: text, seen: await seen.promise }
}

const start = (reply: FastifyReply, options?: StartOptions) => reply.sseStart(options)

t.test('head › what is thrown in the turn of sseStart() is an ordinary error', async (t) => {
  const { status, type, body, seen } = await ask(t, (_, reply) => {
    start(reply).send('never seen')
    throw TOO_MANY
  })
  t.same({ status, seen }, { status: 429, seen: 429 })
  t.match(type, /^application\/json/)
  t.notMatch(body, 'never seen')
})

t.test('head › so is what an async handler rejects with in that turn', async (t) => {
  const { status, seen } = await ask(t, async (_, reply) => {
    start(reply)
    throw TOO_MANY
  })
  t.same({ status, seen }, { status: 429, seen: 429 })
})

t.test('head › a first message that is bad is an ordinary error', async (t) => {
  const { status, body } = await ask(t, async (_, reply) => {
    await start(reply).send({ id: 'a b', data: '' })
  })
  t.equal(status, 500)
  t.match(body, 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE')
})

t.test('head › what onSubscribe throws is an ordinary error', async (t) => {
  const onSubscribe = (): never => {
    throw TOO_MANY
  }
  const { status } = await ask(
    t,
    async (request, reply) => request.server.sse.channel('news').subscribe(start(reply)),
    (app) => app.sse.channel('news', { onSubscribe })
  )
  t.equal(status, 429)
})

t.test('head › what an error handler returns, or its promise, is the answer', async (t) => {
  type Fail = (error: unknown, request: FastifyRequest, reply: FastifyReply) => Promise<unknown>
  const handlers: Fail[] = [
    async (_error, _request, reply) => reply.code(418).send('teapot'),
    async (_error, _request, reply) => {
      reply.code(418)
      return 'teapot'
    }
  ]
  for (const fail of handlers) {
    for (const isAsync of [true, false]) {
      const { status, body } = await ask(
        t,
        (_, reply) => {
          start(reply)
          if (isAsync) return Promise.reject(TOO_MANY)
          throw TOO_MANY
        },
        (app) => app.setErrorHandler(fail)
      )
      t.same({ status, body }, { status: 418, body: 'teapot' })
    }
  }
})

t.test("head › 'message': a subscription that is refused does not let it go out", async (t) => {
  const onSubscribe = (): never => {
    throw new Error('no')
  }
  const { status } = await ask(
    t,
    async (_, reply) => {
      const sse = start(reply, { head: 'message' })
      try {
        reply.server.sse.channel('news').subscribe(sse)
      } catch {
        await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
        throw TOO_MANY
      }
    },
    (app) => app.sse.channel('news', { onSubscribe })
  )
  t.equal(status, 429)
})

t.test("head › 'message': an error is an ordinary one until something is sent", async (t) => {
  const { status } = await ask(t, async (_, reply) => {
    start(reply, { head: 'message' })
    await new Promise((resolve) => setImmediate(resolve))
    throw TOO_MANY
  })
  t.equal(status, 429)
})

for (const [title, error, status] of [
  ['an error', TOO_MANY, 429],
  ['what is none', 'too many', 500]
] as const) {
  t.test(`head › 'message': so is ${title} of a source that nobody waits for`, async (t) => {
    const answer = await ask(t, (_, reply) => {
      const source = async function* () {
        await new Promise((resolve) => setImmediate(resolve))
        yield* []
        throw error
      }
      void start(reply, { head: 'message' }).sendAll(source())
    })
    t.same([answer.status, answer.seen], [status, status])
  })
}

t.test("head › 'turn': it is out after the turn, and the stream ends", async (t) => {
  const { status, type, seen } = await ask(t, async (_, reply) => {
    start(reply)
    await new Promise((resolve) => setImmediate(resolve))
    await new Promise((resolve) => setImmediate(resolve))
    throw TOO_MANY
  })
  t.same({ status, type, seen }, { status: 200, type: 'text/event-stream; charset=utf-8', seen: 200 })
})

for (const [name, use] of Object.entries<(reply: FastifyReply) => unknown>({
  'a message': (reply) => start(reply, { head: 'message' }).send('a'),
  'a comment': (reply) => start(reply, { head: 'message' }).comment('a'),
  'a subscription': (reply) => reply.server.sse.channel('news').subscribe(start(reply, { head: 'message' })),
  'the end': (reply) => start(reply, { head: 'message' }).close()
})) {
  t.test(`head › 'message': ${name} lets it go out`, async (t) => {
    const opened = new Deferred<number>()
    const { status } = await ask(t, async (_, reply) => {
      use(reply)
      reply.raw.once('close', () => opened.resolve(0))
      setImmediate(() => setImmediate(() => reply.server.sse.closeWhere(() => true)))
    })
    t.equal(status, 200)
  })
}

t.test("head › 'message': a heartbeat lets it go out", async (t) => {
  const { status, body } = await ask(t, (_, reply) => {
    const sse = start(reply, { head: 'message', heartbeatMs: 10 })
    const watching = setInterval(() => {
      if (sse.state !== 'open') return
      clearInterval(watching)
      sse.close()
    }, 5)
  })
  t.equal(status, 200)
  t.match(body, 'event: close')
})

t.test('head › headers that are set in the turn are in it, but the type is the stream’s', async (t) => {
  for (const hook of ['onRequest', 'onSend', undefined] as const) {
    const { type, cache } = await ask(
      t,
      (_, reply) => {
        const sse = start(reply)
        reply.type('application/json').header('cache-control', 'no-store')
        sse.close()
      },
      (app) => {
        if (hook === undefined) return
        app.addHook(hook, async (...args: unknown[]) => {
          const reply = args[1] as FastifyReply
          reply.type('application/json').header('cache-control', 'no-store')
          return args[2] as never
        })
      }
    )
    t.same(
      { type, cache },
      { type: 'text/event-stream; charset=utf-8', cache: 'no-store' },
      hook ?? 'handler'
    )
  }
})

t.test(
  'head › its headers are kept by the reply alone, which tells them as long as the stream lasts',
  async (t) => {
    for (const isChanged of [false, true]) {
      const told = new Deferred<unknown[]>()
      const app = Fastify()
      await app.register(eventStream)
      app.addHook('onSend', async (_, reply, payload) => {
        if (isChanged) reply.raw.setHeader('x-raw', reply.header('x-own', '1').raw.getHeaderNames().length)
        return payload
      })
      app.addHook('onResponse', async (_, reply) => {
        told.resolve([
          reply.getHeader('cache-control'),
          reply.getHeader('x-own'),
          reply.raw.getHeaderNames().length
        ])
      })
      app.get('/', (_, reply) => {
        const sse = start(reply.header('set-cookie', ['a=1', 'b=2']))
        void sse.send('first').then(() => sse.close())
      })
      t.teardown(() => app.close())
      const { headers, body } = await request(await app.listen({ port: 0, host: '127.0.0.1' }))
      await body.dump()
      const cache = headers['cache-control']
      t.same(headers['set-cookie'], ['a=1', 'b=2'])
      t.same([headers['x-own'], headers['x-raw']], isChanged ? ['1', '0'] : [undefined, undefined])
      t.same(await told.promise, isChanged ? [cache, '1', 7] : [cache, undefined, 0])
    }
  }
)

for (const [what, replace] of Object.entries<(reply: FastifyReply) => unknown>({
  'another stream': () => Readable.from(['{}']),
  'another stream, and its head at once': (reply) => {
    setImmediate(() => reply.raw.end('{}'))
    return Object.assign(new Readable({ read() {} }), { pipe: () => reply.raw.flushHeaders() })
  },
  'a text': () => '{}',
  'an error': () => TOO_MANY
})) {
  t.test(`head › a hook that listens to the stream, and sends ${what}, sends all headers`, async (t) => {
    const app = Fastify()
    await app.register(eventStream)
    app.addHook('onSend', (_request, reply, payload, done) => {
      if (!(payload instanceof Readable)) return done(null, payload)
      payload.once('close', () => {})
      const replaced = replace(reply)
      reply.raw.setHeader('x-raw', '1')
      if (replaced instanceof Error) done(replaced)
      else done(null, replaced)
    })
    app.get('/', (_, reply) => void start(reply.header('x-own', '1')))
    t.teardown(() => app.close())
    const { headers, body } = await request(await app.listen({ port: 0, host: '127.0.0.1' }))
    await body.text()
    t.same([headers['x-raw'], headers['x-own'], typeof headers['content-type']], ['1', '1', 'string'])
  })
}

t.test('head › who has replaced writeHead() can look at the headers later', async (t) => {
  const told = new Deferred<unknown>()
  const app = Fastify()
  await app.register(eventStream)
  app.addHook('onRequest', async (_, { raw }) => {
    raw.writeHead = raw.writeHead.bind(raw)
    raw.once('finish', () => told.resolve(raw.getHeader('x-own')))
  })
  app.get('/', (_, reply) => {
    start(reply.header('x-own', '1')).close()
  })
  t.teardown(() => app.close())
  await (await request(await app.listen({ port: 0, host: '127.0.0.1' }))).body.dump()
  t.equal(await told.promise, '1')
})

t.test(
  'head › what a hook that listens to the stream does to the response is in the head, once',
  async (t) => {
    const app = Fastify()
    await app.register(eventStream)
    app.addHook('onSend', (_request, { raw }, payload, done) => {
      Object(payload).once('close', () => {})
      raw.setHeader('Cache-Control', 'no-store').setHeader('Content-Length', '3')
      raw.setHeader('X-Count', '1').appendHeader('X-Count', '2')
      raw.setHeader('X-Secret', '1').removeHeader('X-Secret')
      const { writeHead } = raw
      raw.writeHead = (status: number) => writeHead.call(raw.setHeader('X-Late', '1'), status)
      done(null, payload)
    })
    app.get('/', (_, reply) => {
      const sse = start(reply.trailer('x-sum', async () => '1'))
      void sse.send('first').then(() => sse.close())
    })
    t.teardown(() => app.close())
    const { headers, trailers, body } = await request(await app.listen({ port: 0, host: '127.0.0.1' }))
    t.match(await body.text(), 'data: first')
    t.match(headers, {
      'cache-control': 'private, no-cache, no-store, no-transform',
      'x-count': ['1', '2'],
      'x-late': '1',
      'transfer-encoding': 'chunked'
    })
    t.same(
      [headers['x-secret'], headers['content-length'], trailers],
      [undefined, undefined, { 'x-sum': '1' }]
    )
  }
)

t.test('head › the status is 200, of finite streams also 201 and 202, and another is an error', async (t) => {
  for (const [finite, code] of [
    [false, 201],
    [false, 404],
    [true, 203],
    [true, 204],
    [true, 500],
    [false, 200],
    [true, 200],
    [true, 201],
    [true, 202]
  ] as const) {
    const isRight = code === 200 || (finite && code < 203)
    const { status, body, seen } = await ask(t, (_, reply) => {
      reply.code(code)
      start(reply, { finite, farewell: { data: 'x' } }).close()
    })
    t.same([status, seen], isRight ? [code, code] : [500, 500], `${code}, finite: ${finite}`)
    t.match(
      body,
      isRight ? 'data: x' : `The status of this event stream is ${finite ? '200 or 201 or 202' : '200'}, and`
    )
  }
})

t.test(
  'head › of a finite stream waits for the first message, so that the handler may still fail',
  async (t) => {
    const { status } = await ask(t, async (_, reply) => {
      start(reply, { finite: true })
      await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
      throw TOO_MANY
    })
    t.equal(status, 429)
  }
)

t.test('head › once it is out, a failing handler does not change what hooks and logs see', async (t) => {
  const { status, seen } = await ask(t, async (_, reply) => {
    const sse = start(reply)
    await sse.send('a')
    while (sse.state === 'opening') await new Promise((resolve) => setImmediate(resolve))
    throw TOO_MANY
  })
  t.same({ status, seen }, { status: 200, seen: 200 })
})

t.test(
  'head › an async error handler answers whatever failed before, and the handler does not',
  async (t) => {
    const handlers: Record<string, (asked: Promise<void>) => unknown> = {
      'has returned': () => undefined,
      'never settles': () => new Promise(() => {}),
      'returns something while the error is answered': (asked) => asked.then(() => 'mine'),
      'fails while the error is answered': (asked) => asked.then(() => Promise.reject(new Error('too')))
    }
    const failing = {
      status: { status: 418, onSend: undefined, code: 201 },
      hook: { status: 418, onSend: TOO_MANY, code: 200 }
    }
    for (const [what, { status, onSend, code }] of Object.entries(failing)) {
      for (const [name, rest] of Object.entries(handlers)) {
        const asked = new Deferred<void>()
        const answer = await ask(
          t,
          (_, reply) => {
            start(reply.code(code))
            return rest(asked.promise)
          },
          (app) => {
            app.setErrorHandler(async (_error, _request, reply) => {
              asked.resolve()
              await new Promise((resolve) => setImmediate(resolve))
              reply.code(418)
              return 'answered'
            })
            app.addHook('onSend', async (_request, _reply, payload) => {
              if (onSend !== undefined && typeof payload === 'object') throw onSend
              return payload
            })
          }
        )
        t.match(answer, { status, body: 'answered', seen: status }, `${what}, and the handler ${name}`)
      }
    }
  }
)
