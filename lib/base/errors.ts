import { inspect, types } from 'node:util'
import createError, { type FastifyErrorConstructor } from '@fastify/error'

type Constructor<Args extends unknown[] = []> = FastifyErrorConstructor<{ code: string }, Args>

/** An option of `register()` or `sseStart()` has a wrong name, type or range. Thrown before anything is started. */
export const FST_ERR_EVENTSTREAM_INVALID_OPTION: Constructor<[string]> = createError(
  'FST_ERR_EVENTSTREAM_INVALID_OPTION',
  '%s'
)

/** A message, or one of its fields, cannot reach the client as it is. Thrown by `send()` before a byte is written. */
export const FST_ERR_EVENTSTREAM_INVALID_MESSAGE: Constructor<[string]> = createError(
  'FST_ERR_EVENTSTREAM_INVALID_MESSAGE',
  '%s'
)

/** The serializer threw (see `cause`) or returned something that is not a string. */
export const FST_ERR_EVENTSTREAM_SERIALIZATION: Constructor<[string]> = createError(
  'FST_ERR_EVENTSTREAM_SERIALIZATION',
  'The data cannot be serialized: %s'
)

/** A message is longer than `maxMessageBytes` on the wire. */
export const FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE: Constructor<[number, number]> = createError(
  'FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE',
  'The message takes %d bytes on the wire, maxMessageBytes is %d'
)

/** `sendAll()` was given something that it cannot read, or a source gave what is no message. */
export const FST_ERR_EVENTSTREAM_INVALID_SOURCE: Constructor<[string]> = createError(
  'FST_ERR_EVENTSTREAM_INVALID_SOURCE',
  '%s'
)

/** The plugin was registered a second time, in a scope or in one within it: there, the routes would be of both. */
export const FST_ERR_EVENTSTREAM_ALREADY_REGISTERED: Constructor = createError(
  'FST_ERR_EVENTSTREAM_ALREADY_REGISTERED',
  'The plugin is already registered, in this scope or around it'
)

/** `sseStart()` was called a second time for the same reply. */
export const FST_ERR_EVENTSTREAM_ALREADY_STARTED: Constructor = createError(
  'FST_ERR_EVENTSTREAM_ALREADY_STARTED',
  'sseStart() was already called for this reply'
)

/** `sseStart()` was called after the reply had been sent or hijacked. */
export const FST_ERR_EVENTSTREAM_REPLY_SENT: Constructor = createError(
  'FST_ERR_EVENTSTREAM_REPLY_SENT',
  'sseStart() was called after the reply had been sent'
)

/** Something else has ended the response of a stream, with `reply.raw.end()`. The stream's `signal` has it as `cause`. */
export const FST_ERR_EVENTSTREAM_RESPONSE_ENDED: Constructor = createError(
  'FST_ERR_EVENTSTREAM_RESPONSE_ENDED',
  'Something else than the plugin has ended the response of an event stream'
)

/** As many streams are open as `limit.max` allows. */
export const FST_ERR_EVENTSTREAM_TOO_MANY: Constructor<[number]> = createError(
  'FST_ERR_EVENTSTREAM_TOO_MANY',
  'No more than %d event streams may be open',
  503
)

/** As many streams of the request's key are open as `limit.maxPerKey` allows. */
export const FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY: Constructor<[number]> = createError(
  'FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY',
  'No more than %d of your event streams may be open',
  429
)

/** The handler refused with `sseRetryAfter()`. */
export const FST_ERR_EVENTSTREAM_RETRY_LATER: Constructor = createError(
  'FST_ERR_EVENTSTREAM_RETRY_LATER',
  'Come back later',
  503
)

/** `sseStart()` was called while the server is closing. */
export const FST_ERR_EVENTSTREAM_CLOSING: Constructor = createError(
  'FST_ERR_EVENTSTREAM_CLOSING',
  'The server is closing and starts no more streams',
  503
)

/** The request's `Accept` header refuses `text/event-stream` (RFC 9110, section 12.5.1). */
export const FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE: Constructor<[string]> = createError(
  'FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE',
  'The Accept header "%s" refuses text/event-stream',
  406
)

/** The request was pipelined behind another one that is not answered yet, so its stream could never be read. */
export const FST_ERR_EVENTSTREAM_PIPELINED: Constructor = createError(
  'FST_ERR_EVENTSTREAM_PIPELINED',
  'A stream cannot start on a connection that still answers an earlier request',
  400
)

/** The reply had another status than an event stream can have when the head was to go out (WHATWG HTML, section 9.2.3). */
export const FST_ERR_EVENTSTREAM_INVALID_STATUS: Constructor<[string, number]> = createError(
  'FST_ERR_EVENTSTREAM_INVALID_STATUS',
  'The status of this event stream is %s, and not %d'
)

/** The block of an `await using` was left before the finite stream was closed, which is broken off. */
export const FST_ERR_EVENTSTREAM_UNFINISHED: Constructor = createError(
  'FST_ERR_EVENTSTREAM_UNFINISHED',
  'A finite stream was left before close() was called'
)

/** An `onSend` hook replaced the stream by another payload, so the stream never began. */
export const FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED: Constructor = createError(
  'FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED',
  'An onSend hook replaced the stream by another payload'
)

/** `subscribe()` was called with other options for a connection that is subscribed to this channel already. */
export const FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED: Constructor<[string]> = createError(
  'FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED',
  'The connection is already subscribed to the channel "%s"'
)

/** `publish()` was called after the server had closed. */
export const FST_ERR_EVENTSTREAM_HISTORY_CLOSED: Constructor = createError(
  'FST_ERR_EVENTSTREAM_HISTORY_CLOSED',
  'The history is closed and keeps no more messages',
  503
)

/** Something was published to a channel that has ended. */
export const FST_ERR_EVENTSTREAM_CHANNEL_ENDED: Constructor = createError(
  'FST_ERR_EVENTSTREAM_CHANNEL_ENDED',
  'The channel has ended',
  409
)

/**
 * The store of the history failed, or gave no answer within 5 seconds (see `cause`). The message may be published all the
 * same: repeat it with an `idempotencyKey`.
 */
export const FST_ERR_EVENTSTREAM_PUBLISH_FAILED: Constructor<[{ cause: unknown }]> = createError(
  'FST_ERR_EVENTSTREAM_PUBLISH_FAILED',
  'The message could not be published, or it is not known whether it was',
  503
)

/** The store of the history failed, or gave no answer within 5 seconds, to who wanted to know something (see `cause`). */
export const FST_ERR_EVENTSTREAM_HISTORY_AWAY: Constructor<[{ cause: unknown }]> = createError(
  'FST_ERR_EVENTSTREAM_HISTORY_AWAY',
  'The history does not answer at the moment',
  503
)

/** The store of the history lacks what was asked for, which is optional. */
export const FST_ERR_EVENTSTREAM_NOT_SUPPORTED: Constructor<[string]> = createError(
  'FST_ERR_EVENTSTREAM_NOT_SUPPORTED',
  'The store of the history has no %s()'
)

/** As many runs go on as `runs.max` allows. */
export const FST_ERR_EVENTSTREAM_TOO_MANY_RUNS: Constructor<[number]> = createError(
  'FST_ERR_EVENTSTREAM_TOO_MANY_RUNS',
  'No more than %d runs may go on',
  503
)

/** As many runs of the key go on as `runs.maxPerKey` allows. */
export const FST_ERR_EVENTSTREAM_TOO_MANY_RUNS_PER_KEY: Constructor<[number]> = createError(
  'FST_ERR_EVENTSTREAM_TOO_MANY_RUNS_PER_KEY',
  'No more than %d of your runs may go on',
  429
)

/**
 * The wording of everything that is checked: *Expected `name` to be …, got a string*. It has names and rules, but no value:
 * who reads an error's text may be somebody who must not read the data.
 */
export function expected(name: string, rule: string, value: unknown): string {
  return `Expected ${name} to be ${rule}, got ${kindOf(value)}`
}

/** An error whose `cause` is its value's description: for debuggers, and for no serializer, logger or response. */
export function errorOf(
  Type: new (message: string) => Error,
  [name, rule, value]: readonly [name: string, rule: string, value: unknown],
  detail = ''
): Error {
  return withCause(new Type(expected(name, rule, value)), describe(value) + cut(detail))
}

/** Gives an error a cause that is not enumerable. */
export function withCause<T extends Error>(error: T, cause: unknown): T {
  return Object.defineProperty(error, 'cause', { configurable: true, writable: true, value: cause })
}

/** What a refused value is, without what it holds. Nobody waits for a promise then, and what it rejects with must not end the process. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  if (Array.isArray(value)) return 'an array'
  if (types.isPromise(value)) {
    value.catch(() => {})
    return 'a promise'
  }
  return `${typeof value === 'object' ? 'an' : 'a'} ${typeof value}`
}

const MAX_SHOWN = 120
const MAX_KEYS = 100

/** A value and its type, in few characters, in little time, and without running the value's own code. */
export function describe(value: unknown): string {
  try {
    const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
    return `${cut(show(value))} (${type})`
  } catch {
    return `a value that cannot be shown (${typeof value})`
  }
}

/** `inspect()` looks at every key of an object, and at every digit of a bigint. */
function show(value: unknown): string {
  if (typeof value === 'bigint' && BigInt.asIntN(65_536, value) !== value) return 'a large bigint'
  if (hasKeys(value) && Object.keys(value).length > MAX_KEYS) return '{…}'
  return inspect(value, {
    depth: 0,
    breakLength: Infinity,
    maxArrayLength: 5,
    maxStringLength: 80,
    customInspect: false
  })
}

function hasKeys(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
}

function cut(text: string): string {
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text
}
