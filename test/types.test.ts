import { Readable } from 'node:stream'
import { expectTypeOf } from 'expect-type'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t from 'tap'
import eventStream, {
  type AnyConnection,
  type AnySubscription,
  type Channel,
  type ChannelInfo,
  type ChannelMessage,
  type ChannelOptions,
  type ChannelPatterns,
  type CloseEvent,
  type CloseReason,
  type Cursor,
  type DiagnosticsEvents,
  type EventStreamOptions,
  type EventStreamStats,
  type FlushEvent,
  type From,
  type Gap,
  type GapEvent,
  type GapReason,
  type HistoryOptions,
  type Message,
  type OpenEvent,
  type PublishEvent,
  type ReadItem,
  type ReadOptions,
  type RunEvent,
  type SSEConnection,
  type SubscribeOptions,
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
  const sse = reply.sseStart({ heartbeatMs: false, expiresAt: new Date(), context: { user: 'Ann' } })
  expectTypeOf(sse).toEqualTypeOf<SSEConnection>()
  expectTypeOf(sse.send('a')).toEqualTypeOf<Promise<boolean>>()
  expectTypeOf(sse.finite).toEqualTypeOf<boolean>()
  expectTypeOf(sse.expiresAt).toEqualTypeOf<number | undefined>()
  sse.expiresAt = new Date()
  expectTypeOf(sse.closed).toEqualTypeOf<Promise<CloseReason>>()
  expectTypeOf(sse.signal).toEqualTypeOf<AbortSignal>()
  expectTypeOf(sse.lastEventId).toEqualTypeOf<string | undefined>()
  expectTypeOf(sse.context).toBeUnknown()
  expectTypeOf(sse.openedAt).toEqualTypeOf<number>()
  expectTypeOf(sse.subscriptions).toEqualTypeOf<readonly AnySubscription[]>()
  expectTypeOf(sse.waitFor(Promise.resolve(1))).toEqualTypeOf<void>()
  expectTypeOf(sse[Symbol.asyncDispose]).returns.toEqualTypeOf<Promise<void>>()
  sse.send({ id: 1, event: 'any', data: { any: true }, retry: 0 } satisfies Message)
  sse.sendAll(Readable.from(['a']))
  // @ts-expect-error bytes are no messages
  sse.sendAll(new ReadableStream<Uint8Array>())
  sse.sendAll(new ReadableStream<Uint8Array>(), (bytes) => ({ data: bytes }))
  sse.sendAll([1, 2], (n) => n > 1 && { data: n })
  // @ts-expect-error a chunk is a number
  sse.sendAll([1, 2], (text: string) => text)
  sse.sendAll(new Response())
  sse.sendAll(new Response(), ({ id, data }) => id === undefined && data)
  sse.sendAll(new Response(), (bytes: Uint8Array) => ({ data: bytes }))
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
  // @ts-expect-error what is waited for settles
  sse.waitFor(() => {})
  // @ts-expect-error what belongs to the internals is not for users
  sse.flush
}

export async function decorated(): Promise<void> {
  const app = Fastify()
  await app.register(eventStream, { heartbeatMs: 1000, serializer: (data) => String(data) })
  // @ts-expect-error expiresAt belongs to one stream
  app.register(eventStream, { expiresAt: 1 })
  // @ts-expect-error so does context
  app.register(eventStream, { context: 1 })
  // @ts-expect-error a serializer returns a string
  app.register(eventStream, { serializer: () => 1 })
  const channels = { '*': { maxMessages: 10 }, 'room:*': { slow: 'latest' } } satisfies ChannelPatterns
  app.register(eventStream, { channels, history: { maxTotalBytes: 1 }, slow: 'gap' })
  // @ts-expect-error limits are set by name or pattern
  app.register(eventStream, { maxMessages: 10 })
  // @ts-expect-error unknown option of a channel
  app.register(eventStream, { channels: { '*': { history: 1 } } })
  // @ts-expect-error a history is made by the plugin
  app.register(eventStream, { history: { append() {} } })
  app.get('/', async (request, reply) => {
    expectTypeOf(request.acceptsEventStream()).toEqualTypeOf<boolean>()
    expectTypeOf(reply.sseStart()).toEqualTypeOf<SSEConnection>()
  })
  expectTypeOf(app.sse.connections).toEqualTypeOf<ReadonlySet<SSEConnection>>()
  expectTypeOf(app.sse.closeWhere((sse) => sse.lastEventId === '1')).toEqualTypeOf<number>()
  expectTypeOf<EventStreamOptions>().toHaveProperty('drainMs')
  expectTypeOf<EventStreamOptions['history']>().toEqualTypeOf<HistoryOptions | undefined>()
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
  // @ts-expect-error
  app.sse.publish('free', { event: 'tick' })
  // @ts-expect-error a key is a string
  prices.publish(tick, { key: 1 })
  // @ts-expect-error unknown option
  prices.publish(tick, { id: 'a' })
  // @ts-expect-error the map of events is an object type
  sse.channel<string>('prices')

  expectTypeOf(prices.publish([tick, tick])).toEqualTypeOf<Promise<readonly Cursor[]>>()
  expectTypeOf(prices.publish([])).toEqualTypeOf<Promise<readonly Cursor[]>>()
  prices.publish([tick, { event: 'done', data: 'now' }], { key: 'EUR', idempotencyKey: 'a', keep: false })
  // @ts-expect-error one of them is of another event
  prices.publish([tick, { event: 'tick', data: 'now' }])
  // @ts-expect-error the ids are the channel's
  prices.publish([{ ...tick, id: 1 }])
  // @ts-expect-error it is kept or not
  prices.publish(tick, { keep: 'no' })

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
    expectTypeOf(channel.subscriptions).toEqualTypeOf<readonly Subscription[]>()
    expectTypeOf(channel.info()).toEqualTypeOf<Promise<ChannelInfo>>()
  }

  expectTypeOf(sse.publish('news', 'a')).toEqualTypeOf<Promise<Cursor>>()
  expectTypeOf(sse.publish(['news', 'a'], { event: 'x', data: 1 })).toEqualTypeOf<Promise<Cursor>>()
  expectTypeOf(sse.publish(['news'], ['a', { data: 1 }])).toEqualTypeOf<Promise<readonly Cursor[]>>()
  // @ts-expect-error the id is the history's
  sse.publish('news', { id: 1, data: '' })
  // @ts-expect-error names are strings
  sse.publish([1], 'a')
  expectTypeOf(sse.cursor()).toEqualTypeOf<Promise<Cursor>>()
  expectTypeOf(sse.channels).toEqualTypeOf<ReadonlySet<Channel>>()
  const all = sse.subscribe(reply.sseStart<Events>(), ['news', 'a'], { from: 'oldest' })
  expectTypeOf(all).toEqualTypeOf<readonly Subscription[]>()
  // @ts-expect-error a set of names is an array
  sse.subscribe(reply.sseStart(), 'news')
}

/** What would throw, or be lost, at run time. */
export function unsound({ sse }: FastifyInstance, reply: FastifyReply, body: unknown, text?: string): void {
  const connection = reply.sseStart()
  const channel = sse.channel('news')
  for (const data of [body, text]) connection.send({ data })
  channel.publish({ data: body })
  // @ts-expect-error undefined is no data
  connection.send({ data: undefined })
  // @ts-expect-error nor is it of an event
  connection.send({ event: 'tick', data: undefined })
  // @ts-expect-error nor in a channel
  channel.publish({ event: 'tick', data: undefined })
  // @ts-expect-error nor in several
  sse.publish(['news'], { data: undefined })
  // @ts-expect-error whatever its type says
  reply.sseStart<{ ping: undefined }>().send({ event: 'ping', data: undefined })

  // @ts-expect-error a copy has no methods
  channel.subscribe({ ...connection })
  // @ts-expect-error nor has one in a set of channels
  sse.subscribe({ ...connection }, ['news'])

  const events = { tick: { type: 'number' } } as const
  sse.channel('prices', { events, onGap: () => ({ event: 'tick', data: 1 }) })
  // @ts-expect-error an answer is one of the channel's events
  sse.channel('prices', { events, onGap: () => ({ event: 'tock', data: 1 }) })
  // @ts-expect-error a channel has the events of its schemas, or else of a type
  sse.channel<Events>('prices', { events })
  // @ts-expect-error with its data
  sse.channel<Events>('prices', { onGap: () => ({ event: 'tick', data: 'now' }) })
  const prices = sse.channel<Events>('prices')
  // @ts-expect-error one channel has one map of events
  const _other: Channel<{ other: number }> = prices
}

/** Where a subscription or a reader begins. */
export function begun({ sse }: FastifyInstance, reply: FastifyReply, cursor: Cursor): void {
  const channel = sse.channel('news')
  const connection = reply.sseStart()
  expectTypeOf<From>().toEqualTypeOf<'now' | 'oldest' | 'first' | { readonly last: number } | Cursor>()
  for (const from of ['now', 'oldest', 'first', { last: 20 }, cursor] as const satisfies From[]) {
    channel.subscribe(connection, { from })
    channel.read({ from })
  }
  // @ts-expect-error a number of messages has a name
  channel.subscribe(connection, { from: 20 })
  // @ts-expect-error it is of the newest
  channel.subscribe(connection, { from: { first: 20 } })
  expectTypeOf<SubscribeOptions['notBefore']>().toEqualTypeOf<Cursor | Date | undefined>()
  channel.subscribe(connection, { notBefore: new Date(), filter: ({ event }) => event === 'x' })
  // @ts-expect-error a time is a Date
  channel.subscribe(connection, { notBefore: 1 })
  // @ts-expect-error a filter answers at once
  channel.subscribe(connection, { filter: async () => true })
  // @ts-expect-error it answers true or false
  channel.subscribe(connection, { filter: ({ data }) => data })
  expectTypeOf<ReadOptions>().toEqualTypeOf<{ from?: From; signal?: AbortSignal }>()
}

export async function read({ sse }: FastifyInstance, signal: AbortSignal): Promise<void> {
  for await (const item of sse.channel<Events>('news').read({ from: 'oldest', signal })) {
    expectTypeOf(item).toEqualTypeOf<ReadItem>()
    if (item.type === 'gap') {
      expectTypeOf(item.reason).toEqualTypeOf<GapReason>()
      // @ts-expect-error a gap has no data
      item.data
    } else {
      expectTypeOf(item.id).toEqualTypeOf<Cursor>()
      expectTypeOf(item.data).toEqualTypeOf<string>()
      expectTypeOf(item.json()).toBeUnknown()
    }
  }
}

/** A connection and its subscriptions, of whatever events. */
export function either(reply: FastifyReply, sse: FastifyInstance['sse']): void {
  const connections: AnyConnection[] = [reply.sseStart(), reply.sseStart<Events>()]
  for (const connection of connections) sse.channel('news').subscribe(connection)
  // @ts-expect-error it is not known what it sends
  connections[0]?.send('a')
  const subscriptions: AnySubscription[] = sse.channel<Events>('prices').subscriptions.slice()
  for (const subscription of subscriptions) {
    expectTypeOf(subscription.channel.name).toEqualTypeOf<string>()
    expectTypeOf(subscription.openedAt).toEqualTypeOf<number>()
    expectTypeOf(subscription.active).toEqualTypeOf<boolean>()
    expectTypeOf(subscription.unsubscribe()).toEqualTypeOf<void>()
    // @ts-expect-error where a client stands is its connection's
    subscription.cursor
  }
}

export function hooked({ sse }: FastifyInstance): void {
  sse.channel('news', {
    slow: 'latest',
    afterGap: 'now',
    gapEvent: 'lost',
    maxMessages: 1,
    maxBytes: 1,
    maxAgeMs: false,
    onSubscribe: (subscription) => {
      expectTypeOf(subscription).toEqualTypeOf<Subscription>()
      expectTypeOf(subscription.connection).toEqualTypeOf<AnyConnection>()
      expectTypeOf(subscription.channel).toEqualTypeOf<Channel>()
      expectTypeOf(subscription.active).toEqualTypeOf<boolean>()
    },
    onUnsubscribe: async ({ channel }) => channel.publish('left'),
    onGap: (gap) => {
      expectTypeOf(gap).toExtend<Gap>()
      expectTypeOf(gap.channel).toEqualTypeOf<string>()
      expectTypeOf(gap.reason).toEqualTypeOf<'unknown' | 'expired' | 'slow' | 'uncertain'>()
      return [{ event: 'state', data: 1 }, 'a string']
    }
  })
  sse.channel('news', { onGap: async () => undefined })
  // @ts-expect-error an answer has no id
  sse.channel('news', { onGap: () => ({ id: 1, data: '' }) })
  // @ts-expect-error unknown option
  sse.channel('news', { fast: true })
  // @ts-expect-error one history has all channels
  sse.channel('news', { history: {} })
  expectTypeOf<ChannelOptions>().toHaveProperty('maxAgeMs').toEqualTypeOf<number | false | undefined>()
  expectTypeOf<ChannelMessage['json']>().returns.toBeUnknown()
}

export function watched({ sse }: FastifyInstance): void {
  expectTypeOf(sse.stats()).toEqualTypeOf<EventStreamStats>()
  expectTypeOf<DiagnosticsEvents>().toEqualTypeOf<{
    'fastify-eventstream:open': OpenEvent
    'fastify-eventstream:close': CloseEvent
    'fastify-eventstream:publish': PublishEvent
    'fastify-eventstream:gap': GapEvent
    'fastify-eventstream:run': RunEvent
    'fastify-eventstream:flush': FlushEvent
  }>()
  expectTypeOf<PublishEvent>().toHaveProperty('channels').toEqualTypeOf<readonly string[]>()
  expectTypeOf<GapEvent>().toHaveProperty('channel').toEqualTypeOf<string | undefined>()
  expectTypeOf<GapEvent>().toHaveProperty('reason').toEqualTypeOf<GapReason>()
  expectTypeOf<CloseEvent>().toHaveProperty('reason').toEqualTypeOf<CloseReason>()
}

t.test('types › are checked by the compiler', async (t) => {
  t.type(typed, 'function')
})
