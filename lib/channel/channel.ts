import type { AnyConnection, AnySubscription } from '../connection/sse-connection.ts'
import type { Cursor } from '../history/place.ts'
import type { Checked, EventMap, EventSchemas, Sendable, TypedMessage } from '../wire/event-types.ts'
import type { Message } from '../wire/message.ts'

/**
 * Why a client cannot be given all that it missed: the history does not know its cursor; the messages after it are no
 * longer kept; the reader was so slow that messages were dropped before it could take them; or it is not known whether
 * it has them, because it was cut before its handler had subscribed to everything.
 */
export type GapReason = 'unknown' | 'expired' | 'slow' | 'uncertain'

/** What a `gap` event tells, as its data. */
export interface Gap {
  /** The channel's name; none if the client's cursor is unknown, so that all channels have the gap. */
  readonly channel?: string
  readonly reason: GapReason
}

/** A message without an id: in a channel the id is the cursor that `publish()` gives it. */
export type Publishable<Events extends object = EventMap> = string extends keyof Events
  ? (Message & { id?: never } & ({ data: unknown } | { event?: never; retry: number })) | string
  : (Extract<TypedMessage<Events>, { data: unknown }> & { id?: never }) | Extract<Sendable<Events>, string>

export interface PublishOptions {
  /**
   * What the message is about, for channels with `slow: 'latest'`: a newer message with the same key replaces it.
   * @defaultValue the message's event name
   */
  key?: string
  /**
   * What makes a retry safe: what was published to the same channels with the same key is not published again, as long
   * as it is kept, and its cursor is the answer. A well-formed string of 1 to 256 characters.
   * @defaultValue none
   */
  idempotencyKey?: string
  /**
   * Whether the message is kept for those who come later, or come back. `false` is for what concerns only those who are
   * here, such as who is typing: nobody is told a gap for it.
   * @defaultValue true
   */
  keep?: boolean
}

/** A message as its readers get it. */
export interface ChannelMessage {
  readonly id: Cursor
  /** `''` when it has none. */
  readonly event: string
  /** The text of its data, with LF as line ends. */
  readonly data: string
  readonly key: string
  /** The data parsed as JSON, for the caller alone. @throws SyntaxError when it is none. */
  json(): unknown
}

/**
 * Where to begin: with the next message; with the oldest that is kept; with the first that was ever published, or a gap;
 * with the newest `last` that are kept; or after the message with this cursor.
 */
export type From = 'now' | 'oldest' | 'first' | { readonly last: number } | Cursor

export interface SubscribeOptions {
  /**
   * Where a client begins that brought no cursor.
   * @defaultValue 'now'
   */
  from?: From
  /**
   * Whether a client that brought a cursor goes on from there, on its connection's first subscription to the channel.
   * `false` starts it at `from`.
   * @defaultValue true
   */
  resume?: boolean
  /**
   * Nothing is given that came at or before this cursor or time, also to a client that comes back with an older one: for
   * those who joined a room at a moment, and shall read nothing older.
   * @defaultValue none
   */
  notBefore?: Cursor | Date
  /**
   * Chooses the messages that this connection gets, by what it returns at once. Must be quick, and always answer the same
   * for the same message. A message for which it throws is not chosen, and the error is logged. If it returns a promise,
   * the connection ends with reason `error`. It has the `AsyncLocalStorage` of the call of `subscribe()`.
   * @defaultValue all
   */
  filter?: (message: ChannelMessage) => boolean
}

/** A connection's membership in a channel, from one place of the history to another. */
export interface Subscription extends AnySubscription {
  readonly channel: Channel
  readonly connection: AnyConnection
}

export interface ChannelInfo {
  /** Subscriptions on this server. */
  readonly subscriptions: number
  /** Messages that are kept. */
  readonly messages: number
  /** Bytes of their text. */
  readonly bytes: number
  /** The cursors of the oldest and the newest message that are kept. */
  readonly oldest: Cursor | undefined
  readonly newest: Cursor | undefined
  /** Whether it has ended. */
  readonly ended: boolean
}

export interface ReadOptions {
  /** @defaultValue 'oldest' */
  from?: From
  /** Ends the reading, without an error. */
  signal?: AbortSignal
}

/** What `channel.read()` gives. */
export type ReadItem =
  | ({ readonly type: 'message' } & Omit<ChannelMessage, 'json'> & { json(): unknown })
  | { readonly type: 'gap'; readonly reason: GapReason }

/** One named topic. The same for everyone who asks for the same name. */
export interface Channel<Events extends object = EventMap> {
  readonly name: string

  /** Subscriptions on this server. */
  readonly size: number

  /** Of this server, in the order in which they began. */
  readonly subscriptions: readonly Subscription[]

  /**
   * Appends a message to the history, or several in one step, and gives them to all subscriptions at the end of this turn
   * of the event loop. A string stands for `{ data: string }`.
   *
   * @returns a promise of its cursor, or theirs, which resolves when more may be published: at once, unless 64 KiB were
   * published that the subscriptions have not been offered yet.
   * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE (also for a message with an `id`, or with the name of an event of the
   * plugin's own), FST_ERR_EVENTSTREAM_SERIALIZATION, FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE or
   * FST_ERR_EVENTSTREAM_INVALID_OPTION at the call, before anything is kept. The promise rejects with
   * FST_ERR_EVENTSTREAM_HISTORY_CLOSED, FST_ERR_EVENTSTREAM_CHANNEL_ENDED or FST_ERR_EVENTSTREAM_PUBLISH_FAILED; if nobody waits for it, the error is logged instead.
   */
  publish<Given extends Publishable<Events>>(
    message: Checked<Given, Events, Publishable<Events>>,
    options?: PublishOptions
  ): Promise<Cursor>
  publish(messages: readonly Publishable<Events>[], options?: PublishOptions): Promise<readonly Cursor[]>

  /**
   * Publishes a last message, if one is given, and ends the channel in the same step, on all servers. Those who are
   * subscribed get everything and then no more; a stream whose handler is done closes when the last of its channels has
   * ended. Who comes later gets what is kept; who comes back and has everything gets `204`, at which an `EventSource` stops
   * (WHATWG HTML, section 9.2.3). When it has ended already, nothing happens.
   *
   * @throws what `publish()` throws.
   */
  end(last?: Publishable<Events>): Promise<void>

  /**
   * Forgets all messages that are kept, on all servers, and that the channel has ended, if it has. Who is behind is told a
   * gap. Who has everything is told nothing; with a store, it may be told a gap when it comes back.
   *
   * @returns a promise, which rejects with FST_ERR_EVENTSTREAM_NOT_SUPPORTED if the history's store cannot do it, or
   * FST_ERR_EVENTSTREAM_HISTORY_AWAY; if nobody waits for it, the error is logged instead.
   */
  clear(): Promise<void>

  /**
   * Gives the connection what is published, each message once and in order. A client that returns with a cursor gets
   * first what it missed. A connection that has ended is not subscribed. A connection that is subscribed with the same
   * options keeps its subscription.
   *
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION, FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED if the connection is subscribed
   * with other options, and what the channel's `onSubscribe` throws.
   */
  subscribe(connection: AnyConnection, options?: SubscribeOptions): Subscription

  /**
   * What is kept and then what is published, for whatever is no event stream. Ends when the server closes. Whoever does
   * not ask for more for so long that messages are dropped is told a gap.
   *
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION
   */
  read(options?: ReadOptions): AsyncIterableIterator<ReadItem>

  info(): Promise<ChannelInfo>
}

/** Messages without ids, or nothing for the gap event. */
export type GapAnswer<Events extends object = EventMap> =
  | Publishable<Events>
  | readonly Publishable<Events>[]
  | undefined
  | null

/** Options of a channel. Those of all channels are set in the plugin's options. */
export interface ChannelOptions<Events extends object = EventMap> {
  /**
   * Messages that are kept.
   * @defaultValue 1000
   */
  maxMessages?: number
  /**
   * Bytes of the text of messages that are kept. The newest message is kept whatever its size.
   * @defaultValue 1048576
   */
  maxBytes?: number
  /**
   * Milliseconds for which a message is kept. `false` sets no limit.
   * @defaultValue 300000
   */
  maxAgeMs?: number | false
  /**
   * Milliseconds for which all that is kept of a channel is kept after its end.
   * @defaultValue 300000
   */
  keepEndedMs?: number
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
   * The event that tells a gap. No other message may have its name.
   * @defaultValue 'gap'
   */
  gapEvent?: string
  /**
   * Called when a connection has lost messages. The message or messages that it returns, such as a snapshot, are sent
   * instead of the gap event. What is published from the call on still comes after them, so that nothing is lost in
   * between; the connection waits for a promise for up to 5 seconds. If it throws, rejects or takes longer, the error is
   * logged and the gap event is sent.
   * @defaultValue none
   */
  onGap?: (
    gap: Gap & { readonly channel: string },
    subscription: Subscription
  ) => GapAnswer<Events> | Promise<GapAnswer<Events>>
  /**
   * Called when a connection was subscribed. What it throws is thrown by `subscribe()`, which is undone. Nobody waits for a
   * promise that it returns; if that rejects, the error is logged.
   */
  onSubscribe?: (subscription: Subscription) => unknown
  /** Called when a subscription has ended, whatever ended it. What it throws or rejects with is logged. */
  onUnsubscribe?: (subscription: Subscription) => unknown
  /**
   * The events that are published, each with the schema of its data. `publish()` throws for any other, and for data that
   * does not fit.
   * @defaultValue all
   */
  events?: EventSchemas
}
