import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'

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
        ? Extract<Data, string>
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

/** Counts since the plugin was registered. */
export interface EventStreamStats {
  /** Streams that are open now. */
  readonly connections: number
  /** Streams that were ever started. */
  readonly opened: number
  /** Messages that were sent. */
  readonly messages: number
  /** Bytes of messages and comments that were sent, without what HTTP adds. */
  readonly bytes: number
}

/** What `app.sse` is. */
export interface EventStreams {
  /** The streams that are open now. */
  readonly connections: ReadonlySet<SSEConnection>

  stats(): EventStreamStats

  /** Closes the streams that `predicate` chooses, each with its farewell. @returns how many. */
  closeWhere(predicate: (connection: SSEConnection) => boolean): number
}
