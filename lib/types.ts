import type { Socket } from 'node:net'
import type { FastifyRequest, FastifyTypeProvider, FastifyTypeProviderDefault } from 'fastify'
import type { EventSchemas, EventsOf } from './wire/event-types.ts'
import type { Cursor, GapReason, History } from './history/history.ts'

/** Turns a message's `data` into text. Called once per message whose data is neither a string nor bytes. */
export type Serializer = (data: unknown) => string

/** What an `id` may be: 1 to 1,024 printable ASCII characters without spaces, a safe integer or bigint >= 0, or `''`, which resets. */
export type MessageId = string | number | bigint

/**
 * What the application hands over.
 *
 * The client gets exactly these values, or `send()` throws: nothing is stripped, repaired or dropped.
 * CR, LF and CRLF in data are line ends, which clients see as LF (WHATWG HTML, section 9.2.6).
 */
export interface Message {
  /** Becomes the client's last event id, which it sends back as `Last-Event-ID` when it reconnects. */
  id?: MessageId
  /** Event type without line ends. `''` and none are the same: clients dispatch `message`. */
  event?: string
  /** A string or `Uint8Array` (UTF-8) is sent as it is; everything else goes through the serializer. */
  data?: unknown
  /** The client's reconnection time in milliseconds, an integer from 0 to 2,147,483,647. */
  retry?: number
}

/** Event name → type of its data. An application's own map is given to `reply.sseStart<Events>()`. */
export type EventMap = Record<string, unknown>

type MessageMeta = { id?: MessageId; retry?: number }
type EventName<Events> = keyof Events & string
type NamedMessage<Events> = {
  [Name in EventName<Events>]: MessageMeta & { event: Name; data: Events[Name] }
}[EventName<Events>]
type UnnamedMessage<Events> = Events extends { message: infer Data }
  ? MessageMeta & { event?: never; data: Data }
  : never
type DatalessMessage = { event?: never; data?: never } & (
  | { id: MessageId; retry?: number }
  | { id?: MessageId; retry: number }
)

/** A message of one of the declared events: names that are not declared, and data of another type, are type errors. */
export type TypedMessage<Events extends object> = string extends keyof Events
  ? Message
  : NamedMessage<Events> | UnnamedMessage<Events> | DatalessMessage

/** What `send()` takes: a message, or a string that stands for `{ data: string }`. */
export type Sendable<Events extends object = EventMap> =
  | TypedMessage<Events>
  | (string extends keyof Events
      ? string
      : Events extends { message: infer Data }
        ? unknown extends Data
          ? string
          : Extract<Data, string>
        : never)

/** What `sendAll()` takes. Chunks of bytes are decoded as one UTF-8 text, wherever they were cut. */
export type Source<Events extends object = EventMap> =
  | AsyncIterable<Sendable<Events> | Uint8Array>
  | Iterable<Sendable<Events> | Uint8Array>
  | ReadableStream<Sendable<Events> | Uint8Array>

/**
 * Where a connection is: `opening` until the response's head is out, `closing` from the moment it takes no more
 * messages, `closed` when its last byte has left or its client is gone.
 */
export type ConnectionState = 'opening' | 'open' | 'closing' | 'closed'

/**
 * Why a connection ended: the client left, `close()` or `destroy()` was called, the server shut down, the reader was
 * too slow, the connection reached its age or expiry, or the handler or an `onSend` hook failed.
 */
export type CloseReason = 'client' | 'server' | 'shutdown' | 'slow' | 'expired' | 'error'

/**
 * One client's open event stream: what `reply.sseStart()` returns.
 *
 * Every promise it gives settles, also when the client is gone, and none becomes an unhandled rejection when nobody
 * waits for it. Nothing is written after the end.
 */
export interface SSEConnection<Events extends object = EventMap> {
  /** The request that the stream answers. */
  readonly request: FastifyRequest

  /** The raw socket. On HTTP/2 a stand-in for the session's, in `inject()` for none. */
  readonly socket: Socket

  readonly state: ConnectionState

  /** Why the connection ended, or is ending; `undefined` before. */
  readonly reason: CloseReason | undefined

  /**
   * The id of the last message that a returning client has: its `Last-Event-ID` header, or its `lastEventId` query
   * parameter. The client wrote it, so it can be anything. `undefined` when it brought none.
   */
  readonly lastEventId: string | undefined

  /** Bytes that were sent and that the operating system does not have yet. */
  readonly bufferedBytes: number

  /** Messages that were accepted so far. */
  readonly messages: number

  /** Bytes of messages and comments that were accepted so far, without what HTTP adds. */
  readonly bytes: number

  /**
   * Aborts when the connection takes no more messages. Its `reason` is an `AbortError` whose own `reason` is the
   * `CloseReason`, and whose `cause` is the error that ended the stream, if one did.
   */
  readonly signal: AbortSignal

  /** Resolves with the reason when the last byte has left or the client is gone. Never rejects. */
  readonly closed: Promise<CloseReason>

  /**
   * Sends a message; a string stands for `{ data: string }`. What is sent before the response's head is out waits in
   * order, what is sent in one turn of the event loop leaves in one write, what is sent after the end is dropped.
   *
   * @returns a promise that resolves when more may be sent: at once, unless 64 KiB wait for the reader or for the end
   * of this turn. It also resolves when the stream ends.
   * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE, FST_ERR_EVENTSTREAM_SERIALIZATION or
   * FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE at the call, before a byte is written. The connection stays usable.
   */
  send(message: Sendable<Events>): Promise<void>

  /**
   * Sends what a source gives, no faster than the client reads. When the stream ends, the source's `return()`,
   * `destroy()` or `cancel()` is called at once, also while the source is idle.
   *
   * @returns a promise that resolves when the source or the stream ends, and rejects with the source's error or that
   * of a bad message. If nobody waits for it then, the error is logged and ends the stream with reason `error`.
   * @throws FST_ERR_EVENTSTREAM_INVALID_SOURCE at the call.
   */
  sendAll(source: Source<Events>): Promise<void>

  /**
   * Sends a comment, which clients ignore.
   *
   * @defaultValue an empty one
   * @returns a promise like that of `send()`.
   * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE or FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE at the call.
   */
  comment(text?: string): Promise<void>

  /** Sends the farewell, then ends the stream when everything that was sent has left. Further calls do nothing. */
  close(): void

  /** Ends the stream now, and drops what the client has not taken. */
  destroy(): void

  /** `close()`, and resolves like `closed`. */
  [Symbol.asyncDispose](): Promise<void>
}

/** What a `gap` event tells, as its data. */
export interface Gap {
  /** The channel's name. */
  readonly channel: string
  readonly reason: GapReason
}

/** A message without an id: in a channel the id is the cursor that `publish()` gives it. */
export type Publishable<Events extends object = EventMap> = string extends keyof Events
  ? (Message & { id?: never }) | string
  : (Extract<TypedMessage<Events>, { data: unknown }> & { id?: never }) | Extract<Sendable<Events>, string>

export interface PublishOptions {
  /**
   * What the message is about, for channels with `slow: 'latest'`: a newer message with the same key replaces it.
   * @defaultValue the message's event name
   */
  key?: string
  /**
   * What makes a retry safe: what was published to the channel with the same key is not published again, and its cursor
   * is the answer. A well-formed string of 1 to 256 characters. The history says how long it remembers.
   * @defaultValue none
   */
  idempotencyKey?: string
}

/** A message as its readers get it, for filters. */
export interface ChannelMessage {
  readonly id: Cursor
  /** `''` when it has none. */
  readonly event: string
  /** The text of its data, with LF as line ends. */
  readonly data: string
  readonly key: string
  /** The data parsed as JSON, once for all filters. @throws SyntaxError when it is none. */
  json(): unknown
}

export interface SubscribeOptions {
  /**
   * Where a client starts that brought no cursor of this channel: at the oldest message that is kept when it is first
   * written to, with the next one that is published, or after the message with this cursor.
   * @defaultValue 'now'
   */
  from?: 'oldest' | 'now' | Cursor
  /**
   * Whether a client that brought a cursor goes on from there, on its connection's first subscription to the channel.
   * `false` starts it at `from`.
   * @defaultValue true
   */
  resume?: boolean
  /**
   * Chooses the messages that this connection gets, by what it returns at once. Must be quick, and always answer the same
   * for the same message. If it throws, the connection ends with reason `error`.
   * @defaultValue all
   */
  filter?: (message: ChannelMessage) => boolean
}

/** One connection's place in one channel. */
export interface Subscription {
  readonly channel: Channel
  readonly connection: SSEConnection
  /**
   * The last message that was written to the connection, or passed over by the filter; at first where the client said it
   * was. Not there until that is settled.
   */
  readonly cursor: Cursor | undefined
  /**
   * Resolves when it is settled where the subscription starts, so that all that is published from then on follows: at
   * once with `memoryHistory`, with `redisHistory` when Redis has answered. Take snapshots after it. Resolves too when
   * the subscription has ended.
   */
  readonly ready: Promise<void>
  /** Until `unsubscribe()` or the connection's end. */
  readonly active: boolean

  /**
   * Ends the subscription. What was published before is still written, as far as the reader takes it at once. Further
   * calls do nothing.
   */
  unsubscribe(): void
}

/** A connection, whatever events it was declared to send. */
export type AnyConnection = Omit<SSEConnection, 'send' | 'sendAll'>

/** One named topic. The same for everyone who asks for the same name. */
export interface Channel<Events extends object = EventMap> {
  readonly name: string

  /** Subscriptions on this server. */
  readonly size: number

  /**
   * Appends a message to the channel's history, and gives it to all subscriptions at the end of this turn of the event
   * loop. A string stands for `{ data: string }`.
   *
   * @returns a promise of its cursor, which resolves when more may be published: at once, unless 64 KiB were published
   * that the subscriptions have not been offered yet.
   * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE (also for a message with an `id`), FST_ERR_EVENTSTREAM_SERIALIZATION,
   * FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE or FST_ERR_EVENTSTREAM_INVALID_OPTION at the call, before anything is kept.
   * The promise rejects with the history's error, such as FST_ERR_EVENTSTREAM_HISTORY_CLOSED; if nobody waits for it,
   * the error is logged instead.
   */
  publish(message: Publishable<Events>, options?: PublishOptions): Promise<Cursor>

  /**
   * Gives the connection what is published, each message once and in order. A client that returns with a cursor of
   * this channel gets first what it missed. A connection that has ended is not subscribed.
   *
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION, FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED,
   * FST_ERR_EVENTSTREAM_TOO_MANY_CHANNELS, and what the channel's `onSubscribe` throws.
   */
  subscribe(connection: AnyConnection, options?: SubscribeOptions): Subscription
}

/** Options of a channel. Those of all channels are set in the plugin's options. */
export interface ChannelOptions {
  /**
   * What happens to a connection that is behind. `'gap'`: it is given what is kept, and told if something was lost.
   * `'disconnect'`: it is destroyed with reason `slow` if something was lost. `'latest'`: until it has caught up, it is
   * given only the newest message of each key.
   * @defaultValue 'gap'
   */
  slow?: 'gap' | 'disconnect' | 'latest'
  /**
   * Where a connection goes on after a gap: with the oldest message that is kept, or with the next one.
   * @defaultValue 'oldest'
   */
  afterGap?: 'oldest' | 'now'
  /**
   * The event that tells a gap.
   * @defaultValue 'gap'
   */
  gapEvent?: string
  /**
   * Called when a connection has lost messages. The message or messages that it returns, such as a snapshot, are sent
   * instead of the gap event. What is published from the call on still comes after them, so that nothing is lost in
   * between; the channel waits for a promise. If it throws or rejects, the error is logged and the gap event is sent.
   * @defaultValue none
   */
  onGap?: (gap: Gap, subscription: Subscription) => GapAnswer | Promise<GapAnswer>
  /**
   * Called when a connection was subscribed. What it throws is thrown by `subscribe()`, which is undone. Nobody waits for a
   * promise that it returns; if that rejects, the error is logged.
   */
  onSubscribe?: (subscription: Subscription) => unknown
  /** Called when a subscription has ended, whatever ended it. What it throws or rejects with is logged. */
  onUnsubscribe?: (subscription: Subscription) => unknown
  /**
   * Where the channel's messages are kept. Can only be changed while nobody is subscribed.
   * @defaultValue the plugin's
   */
  history?: History
  /**
   * The events that are published, each with the schema of its data. `publish()` throws for any other, and for data that
   * does not fit.
   * @defaultValue all
   */
  events?: EventSchemas
}

/** Messages without ids, or nothing for the gap event. */
export type GapAnswer = Publishable | readonly Publishable[] | undefined | null

/** Counts since the plugin was registered. */
export interface EventStreamStats {
  /** Streams that are open now. */
  readonly connections: number
  /** Streams that were ever started. */
  readonly opened: number
  /** Channels that have subscriptions now. */
  readonly channels: number
  /** Subscriptions that there are now. */
  readonly subscriptions: number
  /** Messages that were published and that the history took; retries that it knew count too. */
  readonly published: number
  /** Published messages that were written to connections, once for each. */
  readonly delivered: number
  /** All messages that were written to connections: those delivered, and those sent to one connection. */
  readonly messages: number
  /** Bytes of messages and comments that were sent, without what HTTP adds. */
  readonly bytes: number
  /** Gaps that connections had in their channels, and were to be told. */
  readonly gaps: number
  /** Connections that were destroyed because their readers were too slow. */
  readonly evictions: number
  /** Turns of the event loop in which something was written. */
  readonly flushSlices: number
  /** The longest of them, in milliseconds. */
  readonly longestFlushSliceMs: number
  /** Whether a history cannot be reached, does not answer or refuses a channel. */
  readonly degraded: boolean
}

/** What `app.sse` is. */
export interface EventStreams<Provider extends FastifyTypeProvider = FastifyTypeProviderDefault> {
  /** The streams that are open now. */
  readonly connections: ReadonlySet<SSEConnection>

  /**
   * The channel of this name. Options that are given replace those it has. Those given before the server is ready stay
   * for good; those given later last as long as the channel has subscriptions or the application holds it, so that
   * channels without cost nothing.
   *
   * @typeParam Events event name → type of its data; what `publish()` takes is checked against it. Known from `events`.
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for a wrong name or option.
   */
  channel<const Schemas extends EventSchemas>(
    name: string,
    options: ChannelOptions & { events: Schemas }
  ): Channel<EventsOf<Schemas, Provider>>
  channel<Events extends object = EventMap>(name: string, options?: ChannelOptions): Channel<Events>

  stats(): EventStreamStats

  /** Closes the streams that `predicate` chooses, each with its farewell. @returns how many. */
  closeWhere(predicate: (connection: SSEConnection) => boolean): number
}
