import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import eventStream, { type AnyConnection, type EventStreams, type SSEConnection } from '../../lib/index.ts'
import { type InjectedStream, injectStream } from '../../lib/testing/testing.ts'
import { build, until } from '../helpers/server.ts'

const INVALID_OPTION = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
const INVALID_MESSAGE = 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE'
const NO_LIMIT = { timeoutMs: Infinity }

/** Routes that subscribe to all channels of their path: `/a`, `/a,b`. */
function subscribeRoute(app: FastifyInstance): void {
  app.get<{ Params: { names: string } }>('/:names', (request, reply) => {
    const sse = reply.sseStart({ context: request.headers['x-user'] })
    app.sse.subscribe(sse, request.params.names.split(','))
  })
}

async function open(t: Test, app: FastifyInstance, url: string, user = 'nobody'): Promise<InjectedStream> {
  const stream = await injectStream(app, { url, headers: { 'x-user': user } }, NO_LIMIT)
  t.teardown(() => stream.abort())
  return stream
}

t.test('app.sse.publish()', async (t) => {
  t.test('reaches all who are subscribed to one of the channels, each once', async (t) => {
    const app = await build(t)
    subscribeRoute(app)
    const streams = await Promise.all(['/a', '/b', '/a,b', '/b,a,c'].map((url) => open(t, app, url)))
    const id = await app.sse.publish(['a', 'b'], 'to both')
    const end = await app.sse.publish(['a', 'b', 'c'], 'end')
    for (const stream of streams) {
      t.same(await stream.next('message'), { id, event: 'message', data: 'to both' })
      t.same(await stream.next('message'), { id: end, event: 'message', data: 'end' })
    }
    t.match(app.sse.stats(), { published: 2, delivered: 8 })
  })

  t.test('takes one name, and each only once', async (t) => {
    const app = await build(t)
    await app.sse.publish('a', '1')
    await app.sse.publish(['a', 'a'], '2')
    t.match(await app.sse.channel('a').info(), { messages: 2 })
  })

  t.test('several messages are published in one step, in order', async (t) => {
    const app = await build(t)
    subscribeRoute(app)
    const stream = await open(t, app, '/a,b')
    const cursors = await app.sse.publish(['b', 'a'], [{ event: 'x', data: 1 }, 'two', { data: 3 }])
    const received = [await stream.next('x'), await stream.next('message'), await stream.next('message')]
    t.same(
      received.map(({ id, data }) => [id, data]),
      ['1', 'two', '3'].map((data, i) => [cursors[i], data])
    )
    t.same(await app.sse.publish('a', []), [])
  })

  t.test('throws at the call for what is no channel', async (t) => {
    const app = await build(t)
    const rows: [unknown, string][] = [
      [[], 'Expected the channels to be at least one name, got an array'],
      [undefined, 'Expected the channels to be a name or an array of names, got undefined'],
      [{ 0: 'a' }, 'Expected the channels to be a name or an array of names, got an object'],
      ['', 'Expected the channel name to be a well-formed string of 1 to 256 bytes, got a string'],
      [['a', 1], 'Expected the channel name to be a well-formed string of 1 to 256 bytes, got a number']
    ]
    for (const [channels, message] of rows) {
      const publish = () => Reflect.apply(app.sse.publish, app.sse, [channels, 'x'])
      t.throws(publish, { code: INVALID_OPTION, message })
    }
    t.throws(() => app.sse.publish([], []), { code: INVALID_OPTION })
    t.equal(app.sse.stats().published, 0)
  })

  t.test('takes what fits the declared events of all, and nothing else', async (t) => {
    const app = await build(t)
    const price = { type: 'object', properties: { price: { type: 'number' } }, required: ['price'] }
    app.sse.channel('prices', { events: { tick: price } })
    app.sse.channel('done', { events: { tick: { type: 'object' }, end: { type: 'string' } } })
    const refused = [
      { event: 'tick', data: { price: 'high' } },
      { event: 'end', data: 'of the day' },
      { event: 'other', data: 1 }
    ]
    for (const message of refused) {
      t.throws(() => app.sse.publish(['free', 'done', 'prices'], message), { code: INVALID_MESSAGE })
    }
    t.equal(app.sse.stats().published, 0, 'none of the channels has it')
    await app.sse.publish(['free', 'prices', 'done'], { event: 'tick', data: { price: 1, hidden: true } })
    for await (const item of app.sse.channel('free').read()) {
      t.match(item, { type: 'message', event: 'tick', data: '{"price":1}' }, 'written as the schema says')
      break
    }
  })

  t.test('takes no event by which a client is told gaps and cursors, and plain streams do', async (t) => {
    const app = await build(t, { gapEvent: 'lost', cursorEvent: 'place' })
    app.sse.channel('own', { gapEvent: 'hole' })
    for (const [channel, event] of [
      ['a', 'lost'],
      ['a', 'place'],
      ['own', 'hole'],
      ['own', 'lost'],
      ['own', 'place'],
      ['a', 'hole']
    ] as const) {
      t.throws(() => app.sse.publish(channel, { event, data: '' }), {
        code: INVALID_MESSAGE,
        message: `Expected message.event to be none of the events by which gaps and cursors are told, got a string`
      })
    }
    app.get('/plain', (_request, reply) => {
      const sse = reply.sseStart()
      sse.send({ event: 'lost', data: 'by a plain stream' })
      sse.close()
    })
    const plain = await open(t, app, '/plain')
    t.match(await plain.next('lost'), { data: 'by a plain stream' })
  })

  t.test('nor does a connection that is subscribed', async (t) => {
    const app = await build(t, { gapEvent: 'lost', cursorEvent: false })
    app.sse.channel('own', { gapEvent: 'hole' })
    app.get('/', (_request, reply) => {
      const sse = reply.sseStart()
      for (const event of ['lost', 'hole', 'sse-cursor']) sse.send({ event, data: 'before' })
      const [subscription] = app.sse.subscribe(sse, ['own'])
      for (const event of ['lost', 'hole']) {
        t.throws(() => sse.send({ event, data: '' }), { code: INVALID_MESSAGE })
      }
      sse.send({ event: 'sse-cursor', data: 'is not told here' })
      subscription?.unsubscribe()
      sse.send({ event: 'hole', data: 'after' })
      sse.close()
    })
    const stream = await open(t, app, '/')
    const events = (await stream.rest()).map(({ event, data }) => `${event} ${data}`)
    const expected = [
      'lost before',
      'hole before',
      'sse-cursor before',
      'sse-cursor is not told here',
      'hole after'
    ]
    t.same(events.slice(0, 5), expected)
  })
})

t.test('app.sse.subscribe()', async (t) => {
  /** A server, and a stream of it that ends with the test. */
  const started = async (t: Test, path = '/a'): Promise<{ app: FastifyInstance; sse: SSEConnection }> => {
    const app = await build(t)
    app.get('/a', (_request, reply) => {
      reply.sseStart()
    })
    await open(t, app, path)
    const [sse] = app.sse.connections
    if (sse === undefined) throw new Error('there is none')
    return { app, sse }
  }

  t.test('gives the subscriptions in the order of the names', async (t) => {
    const { app, sse } = await started(t)
    const subscriptions = app.sse.subscribe(sse, ['b', 'a', 'b'])
    t.same(
      subscriptions.map(({ channel, active }) => [channel.name, active]),
      [
        ['b', true],
        ['a', true]
      ]
    )
    t.same(sse.subscriptions, subscriptions)
    t.equal(app.sse.stats().subscriptions, 2)
  })

  t.test('leaves none if one is refused', async (t) => {
    const { app, sse } = await started(t)
    app.sse.channel('full', {
      onSubscribe: () => {
        throw new Error('nobody else')
      }
    })
    t.throws(() => app.sse.subscribe(sse, ['a', 'full', 'b']), { message: 'nobody else' })
    t.same(sse.subscriptions, [])
    t.equal(app.sse.stats().subscriptions, 0)
  })

  t.test('takes connections of its own registration only', async (t) => {
    const [{ app }, other] = [await started(t), await started(t)]
    const foreign: unknown[] = [other.sse, {}, null, undefined, { ...other.sse }]
    for (const connection of foreign) {
      t.throws(() => app.sse.subscribe(connection as AnyConnection, ['a']), {
        code: INVALID_OPTION,
        message:
          /^Expected the connection to be what reply.sseStart\(\) of the same registration returned, got /
      })
    }
    t.same(other.sse.subscriptions, [])
  })
})

t.test('app.sse.cursor() › what is read after it can be followed from there', async (t) => {
  const app = await build(t)
  const state = { a: 1, b: 1 }
  const set = async (name: 'a' | 'b', value: number): Promise<void> => {
    state[name] = value
    await app.sse.publish(name, String(value))
  }
  app.get('/snapshot', async () => ({ cursor: await app.sse.cursor(), ...state }))
  subscribeRoute(app)
  await set('a', 2)
  const { cursor, ...snapshot } = (await app.inject('/snapshot')).json()
  t.same(snapshot, { a: 2, b: 1 })
  await set('b', 3)
  await set('a', 4)
  const stream = await open(t, app, `/a,b?lastEventId=${cursor}`)
  t.same([(await stream.next('message')).data, (await stream.next('message')).data], ['3', '4'])
  const later = await app.sse.cursor()
  t.ok(later > cursor && (await app.sse.cursor()) > later, 'later ones are greater')
})

t.test('app.sse.channels › are those that have subscriptions or readers', async (t) => {
  const app = await build(t)
  subscribeRoute(app)
  const names = (): string[] => [...app.sse.channels].map(({ name }) => name).sort()
  const held = app.sse.channel('held')
  await held.publish('x')
  t.same(names(), [])
  const stream = await open(t, app, '/a,b')
  const reading = app.sse.channel('read').read()
  const item = reading.next()
  t.same(names(), ['a', 'b', 'read'])
  t.equal(app.sse.stats().channels, 3)
  await app.sse.publish('read', 'x')
  t.match(await item, { value: { data: 'x' } })
  await reading.return?.()
  await stream.abort()
  await until(() => app.sse.connections.size === 0)
  t.same(names(), [])
})

t.test('sseStart({ context }) › is what an application finds its streams by', async (t) => {
  const app = await build(t)
  subscribeRoute(app)
  const { timeOrigin } = performance
  const startedAt = timeOrigin + performance.now()
  const [ann, bob] = [await open(t, app, '/a', 'ann'), await open(t, app, '/a,b', 'bob')]
  const shown = [...app.sse.connections].map(({ context, openedAt, subscriptions }) => {
    t.ok(openedAt > startedAt - 2 && openedAt <= timeOrigin + performance.now(), 'in whole milliseconds')
    return [context, subscriptions.map(({ channel }) => channel.name)]
  })
  t.same(shown, [
    ['ann', ['a']],
    ['bob', ['a', 'b']]
  ])
  const { subscriptions } = app.sse.channel('a')
  t.same(
    subscriptions.map(({ connection }) => connection.context),
    ['ann', 'bob']
  )
  t.equal(
    app.sse.closeWhere(({ context }) => context === 'ann'),
    1
  )
  await ann.rest()
  await app.sse.publish('a', 'still here')
  t.match(await bob.next('message'), { data: 'still here' })
})

t.test('options of channels', async (t) => {
  t.test('are set by name or pattern at the registration', async (t) => {
    const channels = { '*': { maxMessages: 3 }, 'room:*': { maxMessages: 2 }, 'room:1': { maxMessages: 1 } }
    const app = await build(t, { channels })
    const kept: Record<string, number> = {}
    for (const name of ['news', 'room:1', 'room:2']) {
      for (let i = 0; i < 5; i++) await app.sse.publish(name, String(i))
      kept[name] = (await app.sse.channel(name).info()).messages
    }
    t.same(kept, { news: 3, 'room:1': 1, 'room:2': 2 })
  })

  t.test('that limit what is kept are refused when the server is ready, if they change it', async (t) => {
    const app = await build(t)
    app.sse.channel('news', { maxMessages: 2 })
    await app.ready()
    app.sse.channel('news', { maxMessages: 2, slow: 'latest' })
    t.throws(() => app.sse.channel('news', { maxMessages: 3 }), {
      code: INVALID_OPTION,
      message:
        'Expected maxMessages to be set before the server is ready, for it would be forgotten, got a number'
    })
  })

  t.test('all messages together take no more than history.maxTotalBytes', async (t) => {
    const app = await build(t, { history: { maxTotalBytes: 100_000 } })
    for (let i = 0; i < 20; i++) await app.sse.publish(`room:${i}`, 'x'.repeat(10_000))
    let bytes = 0
    for (let i = 0; i < 20; i++) bytes += (await app.sse.channel(`room:${i}`).info()).bytes
    t.ok(bytes > 50_000 && bytes <= 100_000, `${bytes} bytes`)
    t.match(await app.sse.channel('room:19').info(), { messages: 1 }, 'the oldest go')
  })
})

t.test('app.sse › of two scopes share nothing', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const hubs: EventStreams[] = []
  for (const prefix of ['/one', '/two']) {
    await app.register(
      async (scope) => {
        await scope.register(eventStream)
        hubs.push(scope.sse)
        subscribeRoute(scope)
      },
      { prefix }
    )
  }
  const [one, two] = hubs as [EventStreams, EventStreams]
  const id = await one.publish('a', '1')
  await two.publish('a', '2')
  const stream = await open(t, app, `/two/a?lastEventId=${id}`)
  t.match(await stream.next(), { event: 'gap', data: '{"reason":"unknown"}' }, 'also no cursors')
  t.same([one.connections.size, two.connections.size], [0, 1])
})

t.test('a second registration for the same routes is refused', async (t) => {
  for (const isNested of [false, true]) {
    const app = await build(t)
    const again = isNested
      ? app.register(async (scope) => void (await scope.register(eventStream)))
      : app.register(eventStream)
    await t.rejects(async () => await again, { code: 'FST_ERR_EVENTSTREAM_ALREADY_REGISTERED' })
  }
})

t.test('a scope has the plugin, also when something else is named app.sse around it', async (t) => {
  const app = Fastify().decorate('sse' as never, 'another' as never)
  t.teardown(() => app.close())
  await app.register(async (scope) => {
    await scope.register(eventStream)
    t.equal(scope.sse.connections.size, 0)
  })
  t.equal(app.sse, 'another')
})

t.test('events that tell gaps and cursors › none is told by two, wherever they are named', async (t) => {
  const another = {
    code: INVALID_OPTION,
    message: /another event than (gapEvent|cursorEvent|heartbeatEvent)/
  }
  for (const options of [
    { gapEvent: 'a', cursorEvent: 'a' },
    { cursorEvent: 'a', channels: { 'room:*': { gapEvent: 'a' } } },
    { gapEvent: 'bye', farewell: { event: 'bye', data: '' } },
    { farewell: { event: 'sse-cursor', data: '' } },
    { gapEvent: 'close' },
    { channels: { 'room:*': { gapEvent: 'close' } } },
    { cursorEvent: 'close' },
    { heartbeatEvent: 'close' },
    { heartbeatEvent: 'bye', farewell: { event: 'bye', data: '' } },
    { heartbeatEvent: 'gap' },
    { heartbeatEvent: 'sse-cursor' }
  ]) {
    await t.rejects(
      async () => Fastify().register(eventStream, options).ready(),
      another,
      JSON.stringify(options)
    )
  }
  const app = await build(t)
  for (const gapEvent of ['sse-cursor', 'close']) t.throws(() => app.sse.channel('a', { gapEvent }), another)
  for (const eventStream of [{ cursorEvent: 'gap' }, { heartbeatEvent: 'close' }])
    t.throws(() => app.get('/route', { eventStream }, () => ''), another)
  app.get('/finite', { eventStream: { heartbeatEvent: 'close', finite: true } }, () => '')
  app.get('/start', async (_request, reply) => {
    reply.sseStart({ cursorEvent: 'gap' })
  })
  t.match((await app.inject('/start')).json(), { code: INVALID_OPTION })
})

t.test('closeWhere() and drain() › what they cannot take changes nothing, and throws', async (t) => {
  const app = await build(t)
  const invalid = { code: INVALID_OPTION }
  for (const options of [null, { timeoutMs: 0 }, { timeout: 60_000 }])
    t.throws(() => app.sse.drain(options as { timeoutMs: number }), invalid, JSON.stringify(options))
  t.throws(() => app.sse.closeWhere(undefined as unknown as () => boolean), invalid)
  app.get('/', (_request, reply) => void reply.sseStart())
  await open(t, app, '/')
})

t.test('closeWhere() › a promise chooses nothing, and throws', async (t) => {
  const app = await build(t)
  app.get('/', (_request, reply) => void reply.sseStart())
  await open(t, app, '/')
  const later = (async () => Promise.reject(new Error('mine'))) as unknown as () => boolean
  t.throws(() => app.sse.closeWhere(later), { code: INVALID_OPTION })
  t.match([...app.sse.connections], [{ state: 'open' }])
})
