import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import type { Checked, EventMap, Sendable } from '../wire/event-types.ts'
import type { RelayedEvent } from './source.ts'

/** What gives chunks one after another. A Node `Readable` is an async iterable. */
export type SourceOf<Chunk> = AsyncIterable<Chunk> | Iterable<Chunk> | ReadableStream<Chunk>

/** What `sendAll()` takes as it is. */
export type Source<Events extends object = EventMap> = SourceOf<Sendable<Events>>

/**
 * Where a connection is: `opening` until the response's head is out, `closing` from the moment it takes no more
 * messages, `closed` when its last byte has left or its client is gone.
 */
export type ConnectionState = 'opening' | 'open' | 'closing' | 'closed'

/**
 * Why a connection ended: the client left, `close()` or `destroy()` was called, a newer one replaced it (`limit`), the server shut down, the reader was
 * too slow, the connection reached its age or expiry, or the handler or an `onSend` hook failed.
 */
export type CloseReason = 'client' | 'server' | 'replaced' | 'shutdown' | 'slow' | 'expired' | 'error'

/** A subscription, whatever its channel's events are. */
export interface AnySubscription {
  readonly channel: { readonly name: string }
  /** When it began, in milliseconds since the Unix epoch. */
  readonly openedAt: number
  /** Until `unsubscribe()` or the connection's end. */
  readonly active: boolean

  /**
   * Ends the subscription. What was published before is still given. Further calls do nothing.
   */
  unsubscribe(): void
}

/** What only `reply.sseStart()` makes. For the compiler: a copy such as `{ ...sse }` has no methods, and is no connection. */
export abstract class Started {
  declare protected readonly started: true
}

/**
 * One client's open event stream: what `reply.sseStart()` returns.
 *
 * Every promise it gives settles, also when the client is gone, and none becomes an unhandled rejection when nobody
 * waits for it. Nothing is written after the end.
 */
export interface SSEConnection<Events extends object = EventMap> extends Started {
  /** The request that the stream answers. */
  readonly request: FastifyRequest

  /** The raw socket. On HTTP/2 a stand-in for the session's, in `inject()` for none. */
  readonly socket: Socket

  /** What `sseStart({ context })` was given: whose it is, for pages of the application's own. */
  readonly context: unknown

  /** When `sseStart()` was called, in milliseconds since the Unix epoch. */
  readonly openedAt: number

  readonly state: ConnectionState

  /** Why the connection ended, or is ending; `undefined` before. */
  readonly reason: CloseReason | undefined

  /**
   * The id of the last message that a returning client has: its `Last-Event-ID` header, or else its `lastEventId` query
   * parameter, the last of several. The client wrote it, so it can be anything. `undefined` when it brought none.
   */
  readonly lastEventId: string | undefined

  /**
   * Whether the stream has an end of its own. Only `close()` ends it then, and all else breaks the response off, so that
   * its client does not take half of it for the whole.
   */
  readonly finite: boolean

  /**
   * When the stream ends with reason `expired`, in milliseconds since the Unix epoch; `undefined` if it does not. No message
   * is written afterwards. Can be moved with a `Date`, milliseconds or `undefined`, such as when a token was renewed.
   *
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for anything else.
   */
  get expiresAt(): number | undefined
  set expiresAt(time: Date | number | undefined)

  /** Of the connection, in the order in which they began. */
  readonly subscriptions: readonly AnySubscription[]

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
   * of this turn; with `true`, or with `false` if the stream takes no more: `while (await sse.send(next())) …`.
   * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE, FST_ERR_EVENTSTREAM_SERIALIZATION or
   * FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE at the call, before a byte is written. The connection stays usable.
   */
  send<Given extends Sendable<Events>>(message: Checked<Given, Events, Sendable<Events>>): Promise<boolean>

  /**
   * Sends what a source gives, no faster than the client reads. When the stream ends, the source's `return()`,
   * `destroy()` or `cancel()` is called at once, also while the source is idle.
   *
   * Of a `Response` that is an event stream, its events are sent, with their ids and names.
   *
   * `map` makes a message of each chunk, or `false` to leave it out. Without it, chunks are messages; what is none, such as
   * bytes, is an error.
   *
   * @returns a promise that resolves when the source or the stream ends, with whether the stream goes on, and rejects with
   * the source's error or that of a bad message. If nobody waits for it then, the error is logged and ends the stream with
   * reason `error`.
   * @throws FST_ERR_EVENTSTREAM_INVALID_SOURCE at the call, also for a response whose status is not from 200 to 299, and for
   * one that is no event stream if there is no `map`.
   */
  sendAll(source: Source<Events> | Response): Promise<boolean>
  sendAll(source: Response, map: (event: RelayedEvent) => Sendable<Events> | false): Promise<boolean>
  sendAll(source: Response, map: (chunk: Uint8Array) => Sendable<Events> | false): Promise<boolean>
  sendAll<Chunk>(source: SourceOf<Chunk>, map: (chunk: Chunk) => Sendable<Events> | false): Promise<boolean>

  /**
   * Sends a comment, which clients ignore.
   *
   * @defaultValue an empty one
   * @returns a promise like that of `send()`.
   * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE or FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE at the call.
   */
  comment(text?: string): Promise<boolean>

  /**
   * Gives a client that comes back nothing of what it missed before the promise has settled, so that what is subscribed
   * to by then is replayed in one order. The promise that a handler returns is waited for by itself.
   *
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for what is no promise.
   */
  waitFor(promise: PromiseLike<unknown>): void

  /** Sends the farewell, then ends the stream when everything that was sent has left. Further calls do nothing. */
  close(): void

  /** Ends the stream now, and drops what the client has not taken. */
  destroy(): void

  /**
   * `close()`, and resolves like `closed`. A finite stream that was not closed before is broken off: its block may have been
   * left by an error.
   */
  [Symbol.asyncDispose](): Promise<void>
}

/** A connection, whatever events it was declared to send. */
export type AnyConnection = Started & Omit<SSEConnection, 'send' | 'sendAll'>
