import { Readable } from 'node:stream'
import { expectTypeOf } from 'expect-type'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t from 'tap'
import eventStream, {
  type Channel,
  type ChannelMessage,
  type ChannelOptions,
  type CloseEvent,
  type CloseReason,
  type Cursor,
  type DiagnosticsEvents,
  type EventStreamOptions,
  type EventStreamStats,
  type FlushEvent,
  type Gap,
  type GapEvent,
  type GapReason,
  type History,
  type HistoryEvent,
  type Message,
  memoryHistory,
  type OpenEvent,
  type PublishEvent,
  type SSEConnection,
  type Subscription
} from '../lib/index.ts'

interface Events {
  tick: { price: number }
  done: string
}

/** Never called: the compiler is the test. Every `@ts-expect-error` fails the type check if its line is accepted. */
export function typed(reply: FastifyReply): void {
  const sse = reply.sseStart<Events>()
  expectTypeOf(sse).toEqualTypeOf<SSEConnection<Events>>()

  sse.send({ event: 'tick', data: { price: 1 } })
  sse.send({ id: 1, event: 'done', data: 'now', retry: 10 })
  sse.send({ id: 1n })
  sse.send({ retry: 10 })
  sse.sendAll([{ event: 'tick', data: { price: 1 } }])
  // @ts-expect-error the data is of another event
  sse.send({ event: 'tick', data: 'now' })
  // @ts-expect-error a field of the data is missing
  sse.send({ event: 'tick', data: {} })
  // @ts-expect-error a field of the data is unknown
  sse.send({ event: 'tick', data: { price: 1, volume: 1 } })
  // @ts-expect-error the event is not declared
  sse.send({ event: 'tock', data: { price: 1 } })
  // @ts-expect-error data without an event is a `message`, which is not declared
  sse.send({ data: { price: 1 } })
  // @ts-expect-error so is a string
  sse.send('now')
  // @ts-expect-error an event needs its data
  sse.send({ event: 'done' })
  // @ts-expect-error an empty message
  sse.send({})
  // @ts-expect-error the source's data is of another event
  sse.sendAll([{ event: 'tick', data: 'now' }])
  // @ts-expect-error the map of events is an object type
  reply.sseStart<string>()

  const lines = reply.sseStart<{ message: string }>()
  lines.send('a line')
  lines.send({ data: 'a line' })
  lines.send({ event: 'message', data: 'a line' })
  // @ts-expect-error a `message` is a string here
  lines.send({ data: 1 })
  const quotes = reply.sseStart<{ message: { price: number } }>()
  quotes.send({ data: { price: 1 } })
  // @ts-expect-error a `message` is an object here
  quotes.send('1')
}

export async function untyped(reply: FastifyReply): Promise<void> {
  const sse = reply.sseStart({ heartbeatMs: false, expiresAt: new Date() })
  expectTypeOf(sse).toEqualTypeOf<SSEConnection>()
  expectTypeOf(sse.send('a')).toEqualTypeOf<Promise<void>>()
  expectTypeOf(sse.closed).toEqualTypeOf<Promise<CloseReason>>()
  expectTypeOf(sse.signal).toEqualTypeOf<AbortSignal>()
  expectTypeOf(sse.lastEventId).toEqualTypeOf<string | undefined>()
  expectTypeOf(sse[Symbol.asyncDispose]).returns.toEqualTypeOf<Promise<void>>()
  sse.send({ id: 1, event: 'any', data: { any: true }, retry: 0 } satisfies Message)
  sse.sendAll(Readable.from(['a']))
  sse.sendAll(new ReadableStream<Uint8Array>())
  sse.sendAll(new Set(['a']))
  sse.sendAll(
    (async function* () {
      yield { data: 1 }
    })()
  )
  // @ts-expect-error an id is a string or a number
  sse.send({ id: true, data: '' })
  // @ts-expect-error data cannot be sent bare
  sse.send(1)
  // @ts-expect-error a field that no message has
  sse.send({ data: '', type: 'x' })
  // @ts-expect-error a source is iterable
  sse.sendAll(1)
  // @ts-expect-error unknown option
  reply.sseStart({ heartbeat: 1 })
  // @ts-expect-error what belongs to the internals is not for users
  sse.flush
}

export async function decorated(): Promise<void> {
  const app = Fastify()
  await app.register(eventStream, { heartbeatMs: 1000, serializer: (data) => String(data) })
  // @ts-expect-error expiresAt belongs to one stream
  app.register(eventStream, { expiresAt: 1 })
  // @ts-expect-error a serializer returns a string
  app.register(eventStream, { serializer: () => 1 })
  app.get('/', async (request, reply) => {
    expectTypeOf(request.acceptsEventStream()).toEqualTypeOf<boolean>()
    expectTypeOf(reply.sseStart()).toEqualTypeOf<SSEConnection>()
  })
  expectTypeOf(app.sse.connections).toEqualTypeOf<ReadonlySet<SSEConnection>>()
  expectTypeOf(app.sse.closeWhere((sse) => sse.lastEventId === '1')).toEqualTypeOf<number>()
  expectTypeOf<EventStreamOptions>().toHaveProperty('drainMs')
}

export function published({ sse }: FastifyInstance, reply: FastifyReply): void {
  const prices = sse.channel<Events>('prices')
  expectTypeOf(prices).toEqualTypeOf<Channel<Events>>()
  const tick = { event: 'tick', data: { price: 1 } } as const
  expectTypeOf(prices.publish(tick)).toEqualTypeOf<Promise<Cursor>>()
  prices.publish({ event: 'done', data: 'now', retry: 10 }, { key: 'EUR' })
  // @ts-expect-error the id is the channel's
  prices.publish({ ...tick, id: 1 })
  // @ts-expect-error the data is of another event
  prices.publish({ event: 'tick', data: 'now' })
  // @ts-expect-error a field of the data is missing
  prices.publish({ event: 'tick', data: {} })
  // @ts-expect-error a field of the data is unknown
  prices.publish({ event: 'tick', data: { price: 1, volume: 1 } })
  // @ts-expect-error the event is not declared
  prices.publish({ event: 'tock', data: { price: 1 } })
  // @ts-expect-error data without an event is a `message`, which is not declared
  prices.publish({ data: { price: 1 } })
  // @ts-expect-error so is a string
  prices.publish('now')
  // @ts-expect-error a message without data
  prices.publish({ retry: 10 })
  // @ts-expect-error a key is a string
  prices.publish(tick, { key: 1 })
  // @ts-expect-error unknown option
  prices.publish(tick, { id: 'a' })
  // @ts-expect-error the map of events is an object type
  sse.channel<string>('prices')

  const lines = sse.channel<{ message: string }>('lines')
  lines.publish('a line')
  lines.publish({ data: 'a line' })
  // @ts-expect-error a message's data is a string
  lines.publish({ data: 1 })
  // @ts-expect-error an event that is not declared
  lines.publish({ event: 'tick', data: 'a line' })

  const any = sse.channel('any')
  expectTypeOf(any).toEqualTypeOf<Channel>()
  any.publish({ event: 'any', data: { any: true }, retry: 0 })
  any.publish('a')
  // @ts-expect-error the id is the channel's
  any.publish({ id: 1, data: '' })
  // @ts-expect-error a field that no message has
  any.publish({ data: '', type: 'x' })
  // @ts-expect-error data cannot be published bare
  any.publish(1)

  for (const channel of [prices, lines, any]) {
    expectTypeOf(channel.name).toEqualTypeOf<string>()
    expectTypeOf(channel.size).toEqualTypeOf<number>()
    expectTypeOf(channel.subscribe(reply.sseStart())).toEqualTypeOf<Subscription>()
    channel.subscribe(reply.sseStart<Events>(), { from: 'oldest', resume: false })
    channel.subscribe(reply.sseStart<{ message: string }>(), { filter: ({ data }) => data === 'a' })
    // @ts-expect-error a reply is no connection
    channel.subscribe(reply)
    // @ts-expect-error unknown option
    channel.subscribe(reply.sseStart(), { form: 'now' })
  }
}

export function hooked({ sse }: FastifyInstance): void {
  sse.channel('news', {
    slow: 'latest',
    afterGap: 'now',
    gapEvent: 'lost',
    history: memoryHistory({ maxMessages: 1, maxBytes: 1, maxAgeMs: false, maxTotalBytes: 1 }),
    onSubscribe: (subscription) => {
      expectTypeOf(subscription).toEqualTypeOf<Subscription>()
      expectTypeOf(subscription.connection).toEqualTypeOf<SSEConnection>()
      expectTypeOf(subscription.cursor).toEqualTypeOf<Cursor | undefined>()
      expectTypeOf(subscription.active).toEqualTypeOf<boolean>()
    },
    onUnsubscribe: async ({ channel }) => channel.publish('left'),
    onGap: (gap) => {
      expectTypeOf(gap).toEqualTypeOf<Gap>()
      expectTypeOf(gap.reason).toEqualTypeOf<GapReason>()
      return [{ event: 'state', data: 1 }, 'a string']
    }
  })
  sse.channel('news', { onGap: async () => undefined })
  // @ts-expect-error an answer has no id
  sse.channel('news', { onGap: () => ({ id: 1, data: '' }) })
  // @ts-expect-error unknown option
  sse.channel('news', { fast: true })
  expectTypeOf<ChannelOptions>().toHaveProperty('history').toEqualTypeOf<History | undefined>()
  expectTypeOf<ChannelMessage['json']>().returns.toBeUnknown()
}

export function watched({ sse }: FastifyInstance): void {
  expectTypeOf(sse.stats()).toEqualTypeOf<EventStreamStats>()
  expectTypeOf<DiagnosticsEvents>().toEqualTypeOf<{
    'fastify-eventstream:open': OpenEvent
    'fastify-eventstream:close': CloseEvent
    'fastify-eventstream:publish': PublishEvent
    'fastify-eventstream:gap': GapEvent
    'fastify-eventstream:flush': FlushEvent
    'fastify-eventstream:history': HistoryEvent
  }>()
  expectTypeOf<GapEvent>().toHaveProperty('reason').toEqualTypeOf<GapReason>()
  expectTypeOf<CloseEvent>().toHaveProperty('reason').toEqualTypeOf<CloseReason>()
}

t.test('types › are checked by the compiler', async (t) => {
  t.type(typed, 'function')
})
