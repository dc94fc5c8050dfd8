import type { ChannelOptions } from '../channel/channel.ts'
import type { ChannelPatterns, LIMITS } from '../channel/channel-options.ts'
import type { Farewell } from '../connection/farewell.ts'
import type { Store } from '../history/store.ts'
import type { RunsOptions } from '../run/run-options.ts'
import type { EventSchemas } from '../wire/event-types.ts'
import type { Serializer } from '../wire/message.ts'
import type { LimitOptions } from './limit.ts'

/** What a stream may have set for itself, for its route or for all streams of the plugin. */
export interface StreamOptions {
  /**
   * Turns data that is neither a string nor bytes into text.
   * @defaultValue `JSON.stringify`
   */
  serializer?: Serializer
  /**
   * Milliseconds of silence after which a comment keeps proxies from cutting the stream. `false` sends none.
   * @defaultValue 15000
   */
  heartbeatMs?: number | false
  /**
   * Bytes that one message may take on the wire; a larger one throws.
   * @defaultValue 1048576
   */
  maxMessageBytes?: number
  /**
   * Bytes that may wait for a reader that is behind. A message that comes when there are more destroys the connection
   * with reason `slow`.
   * @defaultValue 1048576
   */
  maxBufferedBytes?: number
  /**
   * Milliseconds for which a reader that is behind may make no progress. Beyond, the connection is destroyed with
   * reason `slow`. `false` waits for ever.
   * @defaultValue 30000
   */
  stallMs?: number | false
  /**
   * Milliseconds after which a connection ends with reason `expired`, shortened by up to a tenth at random so that
   * those that came together do not go together. `false` sets no limit.
   * @defaultValue false
   */
  maxAgeMs?: number | false
  /**
   * Range of the reconnection time in milliseconds that is drawn for each client when its stream expires or the
   * server shuts down, so that they do not all come back at once. `false` sends none.
   * @defaultValue [1000, 5000]
   */
  retryMs?: readonly [min: number, max: number] | false
  /**
   * The event that tells a client its place in its channels when no message does, as an id with `{}` for data: when it has
   * subscribed, and after messages that a filter has passed over. `false` sends the id alone, which some clients do not note.
   * @defaultValue 'sse-cursor'
   */
  cursorEvent?: string | false
  /**
   * Makes the heartbeat an event of this name with `{}` for data, so that a page can see it, and notice that its
   * connection is dead. `false` is a comment, which pages do not see.
   * @defaultValue false
   */
  heartbeatEvent?: string | false
  /**
   * Whether the stream has an end of its own, such as the answer of a language model, an export or a build. Only `close()`
   * ends it: every other end breaks the response off, so that nobody takes half an answer for a whole one. At shutdown it may
   * go on until `drainMs`.
   * @defaultValue true for every method but `GET`
   */
  finite?: boolean
  /**
   * Whether a request whose `Accept` header refuses event streams is answered by `406`. `false` for APIs whose clients
   * ask for the stream in another way, such as the `stream: true` in the body of LLM requests.
   * @defaultValue true, and false for finite streams
   */
  checkAccept?: boolean
  /**
   * When the head goes out, and with it the status 200: `'turn'`, at the end of the turn of the event loop that called
   * `sseStart()`, or `'message'`, with the first message, comment, heartbeat or subscription. What the handler throws before
   * is answered as an ordinary error.
   * @defaultValue 'turn', and 'message' for finite streams
   */
  head?: 'turn' | 'message'
  /**
   * Whether `close()` is called when the last of the stream's channels has ended, and its handler is done. `false` for
   * handlers that send something by themselves then.
   * @defaultValue true
   */
  endWithChannels?: boolean
  /**
   * The last message before the stream ends, without an id other than `''`: of `close()` and of who is replaced, or, as a function
   * `(reason, error) =>` message, for each reason, if there is still somebody to read it: `server`, `replaced`, `shutdown`,
   * `expired` and `error`. `false` is none. What the function throws is logged.
   * @defaultValue `{ event: 'close', data: 'Closing the connection' }`, and false for finite streams
   */
  farewell?: Farewell
}

/** The route option `eventStream`: what the streams of one route have in place of the plugin's options. */
export interface RouteStreamOptions extends StreamOptions {
  /**
   * How many streams of the route may be open at once, beside the plugin's own `limit`.
   * @defaultValue none
   */
  limit?: LimitOptions
  /**
   * The events that the stream sends, each with the schema of its data. `send()` throws for any other, and for data that
   * does not fit. Those of a route are part of its response schema, as `text/event-stream` (OpenAPI 3.2, section 4.14.4).
   * They are compiled once: declare them outside of the handler.
   * @defaultValue none
   */
  events?: EventSchemas
}

/** Options of `reply.sseStart()`, in place of the route's. */
export interface StartOptions extends Omit<RouteStreamOptions, 'limit'> {
  /**
   * When the stream ends with reason `expired`: a `Date`, or milliseconds since the epoch. For a token's expiry.
   * @defaultValue none
   */
  expiresAt?: Date | number
  /**
   * Whose stream it is, for pages of the application's own: anything, which `connection.context` gives back.
   * @defaultValue none
   */
  context?: unknown
}

/** What the history may take. */
export interface HistoryOptions {
  /**
   * Bytes of memory that the messages of all channels take: those of their text (two a character, if any is outside of
   * ASCII) and their keys, 256 for each message, 32 for each further channel of one, 48 for each that was published with an
   * idempotency key, and 768 for each channel that has any. Beyond, the oldest messages go, also when readers that keep up
   * have not been offered them yet.
   * @defaultValue 67108864
   */
  maxTotalBytes?: number
  /**
   * Where messages are kept instead of in memory, so that several servers share them, or a restart loses nothing.
   * @defaultValue none
   */
  store?: Store
}

/** What is set for all channels at once; limits are set by `channels`. */
export type SharedChannelOptions = Omit<ChannelOptions, 'events' | (typeof LIMITS)[number]>

/** Options of the plugin, among them those of its channels. */
export interface EventStreamOptions extends StreamOptions, SharedChannelOptions {
  /**
   * Milliseconds that readers have at shutdown to take what was sent to them, and finite streams to end. Below Fastify's
   * `pluginTimeout`.
   * @defaultValue 5000
   */
  drainMs?: number
  /**
   * Options of channels by name, or by a pattern in which `*` stands for any characters, such as `room:*`. If several fit a
   * name, those with more characters come over those with fewer.
   * @defaultValue none
   */
  channels?: ChannelPatterns
  /** What all channels together may take. */
  history?: HistoryOptions
  /** What is set for all runs. */
  runs?: RunsOptions
  /**
   * How many streams may be open at once, over all routes.
   * @defaultValue none
   */
  limit?: LimitOptions
}
