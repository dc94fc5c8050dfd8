import type { FastifyTypeProvider, FastifyTypeProviderDefault } from 'fastify'
import type {
  Channel,
  ChannelOptions,
  Publishable,
  PublishOptions,
  SubscribeOptions,
  Subscription
} from '../channel/channel.ts'
import type { AnyConnection, SSEConnection } from '../connection/sse-connection.ts'
import type { Cursor } from '../history/place.ts'
import type { Runs } from '../run/run.ts'
import type { Checked, EventMap, EventSchemas, EventsOf } from '../wire/event-types.ts'

/** Counts since the plugin was registered. */
export interface EventStreamStats {
  /** Streams that are open now. */
  readonly connections: number
  /** Streams that were ever started. */
  readonly opened: number
  /** Streams that were refused: by a `limit`, by `sseRetryAfter()`, or because the server closes. */
  readonly refused: number
  /** Channels that have subscriptions now. */
  readonly channels: number
  /** Subscriptions that there are now. */
  readonly subscriptions: number
  /** Runs that go on, on this server. */
  readonly runs: number
  /** Messages that were published; retries that were known count too. */
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
    options: ChannelOptions<EventsOf<Schemas, Provider>> & { events: Schemas }
  ): Channel<EventsOf<Schemas, Provider>>
  channel<Events extends object = EventMap>(
    name: string,
    options?: ChannelOptions<NoInfer<Events>> & { events?: never }
  ): Channel<Events>

  /** The channels that have subscriptions or readers on this server. */
  readonly channels: ReadonlySet<Channel>

  /**
   * Publishes to several channels at once: who is subscribed to more than one of them receives the message once. It must
   * fit the declared events of all.
   *
   * @returns and throws what `channel.publish()` does.
   */
  publish<Given extends Publishable>(
    channels: string | readonly string[],
    message: Checked<Given, EventMap, Publishable>,
    options?: PublishOptions
  ): Promise<Cursor>
  publish(
    channels: string | readonly string[],
    messages: readonly Publishable[],
    options?: PublishOptions
  ): Promise<readonly Cursor[]>

  /**
   * Subscribes to a whole set of channels at once, as `channel.subscribe()` does to one. If it throws, the connection is
   * subscribed to none of them.
   */
  subscribe(
    connection: AnyConnection,
    channels: readonly string[],
    options?: SubscribeOptions
  ): readonly Subscription[]

  /** Messages that a source makes and no client owns, as the answer of a language model, a build or an export. */
  readonly runs: Runs

  /**
   * Where the history stands now: a snapshot that is read after it can be followed from there, whatever channels it
   * concerns.
   */
  cursor(): Promise<Cursor>

  stats(): EventStreamStats

  /**
   * Ends the streams that `predicate` chooses, endless ones with their farewell; finite ones are broken off, because only
   * their own `close()` makes them whole. @returns how many.
   */
  closeWhere(predicate: (connection: SSEConnection) => boolean): number

  /**
   * Ends the streams as the shutdown does, while the server still answers other requests: starts no more, ends endless ones
   * at once, and gives finite ones and runs time. For answers that take longer than Fastify's `pluginTimeout` lets `app.close()` wait.
   *
   * @param options `timeoutMs`, by default `drainMs`: afterwards those that are still there are broken off.
   * @returns a promise that resolves when all have ended.
   */
  drain(options?: { timeoutMs?: number }): Promise<void>
}
