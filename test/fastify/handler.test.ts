import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type RouteHandlerMethod
} from 'fastify'
import t, { type Test } from 'tap'
import { fetch } from 'undici'
import eventStream, { type Channel, type Cursor, type SSEConnection } from '../../lib/index.ts'
import { type EventReader, type ReceivedEvent, readEvents } from '../../lib/testing/testing.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { build, deferred, listen, untilResting } from '../helpers/server.ts'

const PLAIN_ID = /^[0-9a-z]{10}-[0-9a-f]{10}$/

/** A server that has published 1 and 3 on the channel `a`, 2 and 4 on `b`, while time stands still. */
class Stage {
  readonly clock: FakeClock
  readonly app: FastifyInstance
  readonly a: Channel
  readonly b: Channel
  /** Of the first message. */
  readonly cursor: Cursor
  /** The stream that was started. */
  readonly started = deferred<SSEConnection>()
  /** What handlers wait for before they subscribe to `b`. */
  readonly go = deferred()
  #url = ''

  private constructor(clock: FakeClock, app: FastifyInstance, cursor: Cursor) {
    this.clock = clock
    this.app = app
    this.a = app.sse.channel('a')
    this.b = app.sse.channel('b')
    this.cursor = cursor
  }

  static async open(t: Test): Promise<Stage> {
    const clock = FakeClock.install(t)
    const app = await build(t, { farewell: false })
    const cursor = await app.sse.channel('a').publish('1')
    for (const [name, data] of ['b2', 'a3', 'b4']) await app.sse.channel(String(name)).publish(String(data))
    return new Stage(clock, app, cursor)
  }

  /** Starts a stream that is subscribed to `a`. */
  start(reply: FastifyReply): SSEConnection {
    const sse = reply.sseStart()
    this.a.subscribe(sse)
    this.started.resolve(sse)
    return sse
  }

  /** Comes back after the first message, or with another id. */
  async comeBack(id: string = this.cursor): Promise<EventReader> {
    return await this.#get({ 'last-event-id': id })
  }

  /** Comes for the first time. */
  async come(): Promise<EventReader> {
    return await this.#get({})
  }

  /** How many messages the stream was given, once there are no more. */
  async given(): Promise<number> {
    const sse = await this.started.promise
    return await untilResting(() => sse.messages)
  }

  async #get(headers: Record<string, string>): Promise<EventReader> {
    if (this.#url === '') this.#url = (await listen(this.app)).url
    const { body } = await fetch(this.#url, { headers })
    if (body === null) throw new Error('there is no body')
    return readEvents(body)
  }
}

async function take(events: EventReader, count: number): Promise<string[]> {
  const taken: ReceivedEvent[] = []
  while (taken.length < count) taken.push(await events.next('message'))
  return taken.map(({ data }) => data)
}

/** Handlers that are not done when they have subscribed to the first channel. */
const LATER: readonly (readonly [name: string, handler: (stage: Stage) => RouteHandlerMethod])[] = [
  [
    'returns a promise',
    (stage) => async (_request, reply) => {
      const sse = stage.start(reply)
      await stage.go.promise
      stage.b.subscribe(sse)
    }
  ],
  [
    'returns the reply from a promise',
    (stage) => async (_request, reply) => {
      const sse = stage.start(reply)
      await stage.go.promise
      stage.b.subscribe(sse)
      return reply
    }
  ],
  [
    'awaits the reply',
    (stage) => async (_request, reply) => {
      const sse = stage.start(reply)
      await stage.go.promise
      stage.b.subscribe(sse)
      await reply
    }
  ],
  [
    'awaits something before it starts the stream',
    (stage) => async (_request, reply) => {
      await undefined
      const sse = stage.start(reply)
      await stage.go.promise
      stage.b.subscribe(sse)
    }
  ],
  [
    'returns nothing, and has said what to wait for',
    (stage) => (_request, reply) => {
      const sse = stage.start(reply)
      sse.waitFor(stage.go.promise.then(() => stage.b.subscribe(sse)))
    }
  ],
  [
    'has returned before it starts the stream, and says what to wait for',
    (stage) => (_request, reply) => {
      setImmediate(() => {
        const sse = stage.start(reply)
        sse.waitFor(stage.go.promise.then(() => stage.b.subscribe(sse)))
      })
    }
  ],
  [
    'says that there is more to wait for than itself',
    (stage) => async (_request, reply) => {
      const sse = stage.start(reply)
      sse.waitFor(stage.go.promise.then(() => stage.b.subscribe(sse)))
    }
  ],
  [
    'waits for something that fails',
    (stage) => (_request, reply) => {
      const sse = stage.start(reply)
      const failing = stage.go.promise.then(() => {
        stage.b.subscribe(sse)
        throw new Error('and nobody minds')
      })
      sse.waitFor(failing)
    }
  ]
]

/** Handlers that are done at once. */
const AT_ONCE: readonly (readonly [name: string, handler: (stage: Stage) => RouteHandlerMethod])[] = [
  [
    'returns nothing',
    (stage) => (_request, reply) => {
      stage.b.subscribe(stage.start(reply))
    }
  ],
  [
    'returns the reply',
    (stage) => (_request, reply) => {
      stage.b.subscribe(stage.start(reply))
      return reply
    }
  ],
  [
    'returns a promise that has settled',
    (stage) => async (_request, reply) => {
      stage.b.subscribe(stage.start(reply))
    }
  ],
  [
    'has returned before it starts the stream',
    (stage) => (_request, reply) => {
      setImmediate(() => stage.b.subscribe(stage.start(reply)))
    }
  ],
  [
    'returns something that nobody sends any more',
    (stage) => (_request, reply) => {
      stage.b.subscribe(stage.start(reply))
      return 'text'
    }
  ]
]

t.test('handler › what a client missed is given when the handler has subscribed to everything', async (t) => {
  for (const [name, handler] of LATER) {
    t.test(`one that ${name}`, async (t) => {
      const stage = await Stage.open(t)
      stage.app.get('/', handler(stage))
      const events = await stage.comeBack()
      t.equal(await stage.given(), 0)
      stage.go.resolve()
      t.same(await take(events, 3), ['2', '3', '4'], 'in the order of publishing')
      t.match(events.lastEventId, PLAIN_ID)
    })
  }

  for (const [name, handler] of AT_ONCE) {
    t.test(`at once by one that ${name}`, async (t) => {
      const stage = await Stage.open(t)
      stage.app.get('/', handler(stage))
      t.same(await take(await stage.comeBack(), 3), ['2', '3', '4'])
    })
  }
})

t.test('handler › one that never settles', async (t) => {
  const untilClosed =
    (stage: Stage): RouteHandlerMethod =>
    async (_request, reply) => {
      const sse = stage.start(reply)
      stage.b.subscribe(sse)
      await sse.closed
    }

  t.test('is waited for up to 250 ms', async (t) => {
    const stage = await Stage.open(t)
    stage.app.get('/', untilClosed(stage))
    const events = await stage.comeBack()
    t.equal(await stage.given(), 0)
    stage.clock.advance(249)
    t.equal(await stage.given(), 0)
    stage.clock.advance(1)
    t.same(await take(events, 3), ['2', '3', '4'])
  })

  t.test('loses nothing for a client that is cut, and tells it no gap', async (t) => {
    const stage = await Stage.open(t)
    stage.app.get('/', untilClosed(stage))
    const cut = await stage.comeBack()
    await stage.given()
    stage.clock.advance(250)
    t.same(await take(cut, 2), ['2', '3'])
    const [first] = stage.app.sse.connections
    first?.destroy()
    await first?.closed
    const events = await stage.comeBack(cut.lastEventId)
    const [second] = stage.app.sse.connections
    await untilResting(() => Number(second?.messages))
    stage.clock.advance(250)
    const next = await events.next()
    t.equal(next.event, 'message')
    t.equal(next.data, '4')
  })

  t.test('does not hold the end of its stream up', async (t) => {
    const stage = await Stage.open(t)
    stage.app.get('/', untilClosed(stage))
    const events = await stage.comeBack()
    t.equal(await stage.given(), 0)
    stage.app.sse.closeWhere(() => true)
    const rest = await events.rest()
    t.same(
      rest.filter(({ event }) => event === 'message').map(({ data }) => data),
      ['2', '3', '4']
    )
  })
})

t.test('handler › while it has not settled', async (t) => {
  const untilGo =
    (stage: Stage, from?: 'oldest'): RouteHandlerMethod =>
    async (_request, reply) => {
      const sse = reply.sseStart()
      stage.a.subscribe(sse, from && { from })
      stage.started.resolve(sse)
      sse.send('sent')
      await stage.go.promise
    }

  t.test('what is sent to who returns waits behind what it missed', async (t) => {
    const stage = await Stage.open(t)
    stage.app.get('/', untilGo(stage))
    const events = await stage.comeBack()
    stage.go.resolve()
    t.same(await take(events, 2), ['3', 'sent'])
  })

  t.test('who is new is not given the past either', async (t) => {
    const stage = await Stage.open(t)
    stage.app.get('/', untilGo(stage, 'oldest'))
    const events = await stage.come()
    t.equal(await stage.given(), 1, 'what was sent waits, and counts')
    stage.go.resolve()
    t.same(await take(events, 3), ['1', '3', 'sent'])
  })

  t.test('who is new and begins now is kept waiting for nothing', async (t) => {
    const stage = await Stage.open(t)
    stage.app.get('/', untilGo(stage))
    const events = await stage.come()
    t.same(await take(events, 1), ['sent'])
    await stage.a.publish('5')
    t.same(await take(events, 1), ['5'])
  })
})

t.test('handler › keeps its this, its arguments and its answer', async (t) => {
  const app = await build(t)
  app.get('/', async function (request, reply) {
    return reply.send([this === request.server, request.url])
  })
  t.same((await app.inject('/')).json(), [true, '/'])
})

t.test(
  'handler › a stream that is started in a hook, or in a route that was there before the plugin',
  async (t) => {
    t.test('is complete when what it was told to wait for has settled', async (t) => {
      const stage = await Stage.open(t)
      stage.app.get(
        '/',
        {
          preHandler: async (_request: FastifyRequest, reply: FastifyReply) => {
            const sse = stage.start(reply)
            const later = stage.go.promise.then(() => stage.b.subscribe(sse))
            sse.waitFor(later)
            await later
          }
        } as object,
        async () => {}
      )
      const events = await stage.comeBack()
      t.equal(await stage.given(), 0)
      stage.go.resolve()
      t.same(await take(events, 3), ['2', '3', '4'])
      t.match(events.lastEventId, PLAIN_ID)
    })

    t.test('is not known to be complete, for ten seconds, if it was told nothing', async (t) => {
      const clock = FakeClock.install(t)
      const app = Fastify()
      t.teardown(() => app.close())
      app.register(eventStream, { farewell: false })
      app.get('/', async (_request, reply) => {
        app.sse.channel('a').subscribe(reply.sseStart())
      })
      const { url } = await listen(app)
      const cursor = await app.sse.channel('a').publish('1')
      await app.sse.channel('a').publish('2')
      const { body } = await fetch(url, { headers: { 'last-event-id': cursor } })
      if (body === null) throw new Error('there is no body')
      const events = readEvents(body)
      await untilResting(() => app.sse.stats().messages)
      clock.advance(250)
      t.same(await take(events, 1), ['2'])
      t.notMatch(events.lastEventId, PLAIN_ID, 'who is cut now may be told a gap')
      clock.advance(10_000)
      await app.sse.channel('a').publish('3')
      t.same(await take(events, 1), ['3'])
      t.match(events.lastEventId, PLAIN_ID)
    })
  }
)
