import { types } from 'node:util'
import {
  errorOf,
  expected,
  FST_ERR_EVENTSTREAM_INVALID_MESSAGE,
  FST_ERR_EVENTSTREAM_SERIALIZATION,
  kindOf,
  withCause
} from '../base/errors.ts'

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

const MAX_RETRY_MS = 2_147_483_647
const ID = /^[\x21-\x7e]{0,1024}$/
const LINE_END = /\r\n|\r|\n/g

/** Events that were declared. */
export interface Declaration {
  /**
   * The fields of an event and of its data.
   *
   * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE for an event that is not declared, and data that does not fit.
   */
  format(event: unknown, data: unknown): string
}

/**
 * A message in the event stream format (WHATWG HTML, section 9.2.6), its blank line included. A reconnection time alone
 * takes effect without one, which some clients take for an event without data.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE when a client could not receive exactly this message.
 * @throws FST_ERR_EVENTSTREAM_SERIALIZATION when the serializer throws or returns no string.
 */
export function formatMessage(
  message: Message | string,
  serialize: Serializer,
  declared?: Declaration
): string {
  if (typeof message === 'string') {
    return `${declared === undefined ? formatText(message) : declared.format('', message)}\n`
  }
  checkShape(message)
  const { id, event, data, retry } = message
  const head = formatId(id)
  const body =
    declared !== undefined && 'data' in message
      ? declared.format(event, data)
      : formatEvent(event) + ('data' in message ? formatText(dataText(data, serialize)) : '')
  if (!('data' in message) && body !== '') {
    throw invalid('message.data', 'present beside an event, which clients otherwise never dispatch', data)
  }
  const fields = head + body
  const text = fields + formatRetry(retry)
  if (text === '') throw invalid('the message', 'an object with an id, data or retry', message)
  return fields === '' ? text : `${text}\n`
}

/**
 * A comment, which clients ignore: one line per line of text, which needs no blank line either.
 */
export function formatComment(text: string): string {
  if (typeof text !== 'string') throw invalid('the comment', 'a string', text)
  return text === '' ? ':\n' : `: ${lines(text, 'the comment', '\n: ')}\n`
}

/** @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE for a message with an id, where ids belong to channels. */
export function assertNoId(message: unknown, rule: string): void {
  if (typeof message !== 'object' || message === null || !('id' in message) || message.id === undefined)
    return
  throw invalid('message.id', rule, message.id)
}

function checkShape(message: unknown): asserts message is object {
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    throw invalid('the message', 'an object or a string', message)
  }
  for (const field in message) {
    if (field !== 'id' && field !== 'event' && field !== 'data' && field !== 'retry') {
      throw invalid('each field of the message', 'id, event, data or retry', field)
    }
  }
}

function formatId(id: unknown): string {
  if (id === undefined) return ''
  if (typeof id === 'string' && ID.test(id)) return `id: ${id}\n`
  if (typeof id === 'number' && Number.isSafeInteger(id) && id >= 0) return `id: ${id}\n`
  if (typeof id === 'bigint' && id >= 0n && ID.test(String(id))) return `id: ${id}\n`
  throw invalid(
    'message.id',
    '0 to 1,024 printable ASCII characters without spaces, or a safe integer or bigint >= 0',
    id
  )
}

/** The field of an event's name. @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE */
export function formatEvent(event: unknown): string {
  if (event === undefined || event === '') return ''
  if (typeof event !== 'string' || event.includes('\n') || event.includes('\r') || !event.isWellFormed()) {
    throw invalid('message.event', 'a well-formed string without line ends', event)
  }
  return `event: ${event}\n`
}

function formatRetry(retry: unknown): string {
  if (retry === undefined) return ''
  if (typeof retry !== 'number' || !Number.isInteger(retry) || retry < 0 || retry > MAX_RETRY_MS) {
    throw invalid('message.retry', `an integer from 0 to ${MAX_RETRY_MS}`, retry)
  }
  return `retry: ${retry}\n`
}

/** The fields of a message's data. @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE */
export function formatText(text: string): string {
  return `data: ${lines(text, 'message.data', '\ndata: ')}\n`
}

function dataText(data: unknown, serialize: Serializer): string {
  if (typeof data === 'string') return data
  if (data instanceof Uint8Array) return decode(data)
  let text: unknown
  try {
    text = serialize(data)
    const emptied =
      serialize === JSON.stringify && typeof text === 'string' ? emptiedByJson(data, text) : undefined
    if (emptied !== undefined) throw new TypeError(`JSON keeps nothing of ${emptied}`)
  } catch (cause) {
    throw withCause(new FST_ERR_EVENTSTREAM_SERIALIZATION(kindOf(data)), cause)
  }
  if (typeof text === 'string') return text
  const cause = new TypeError(expected("the serializer's result", 'a string', text))
  throw withCause(new FST_ERR_EVENTSTREAM_SERIALIZATION(kindOf(data)), cause)
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw invalid('message.data', 'valid UTF-8', bytes)
  }
}

/** A lone surrogate has no UTF-8 form: encoders replace it, so the client would get another text. */
function lines(text: string, name: string, separator: string): string {
  if (!text.isWellFormed()) throw invalid(name, 'a string without lone surrogates', text)
  if (!text.includes('\n') && !text.includes('\r')) return text
  return text.replace(LINE_END, separator)
}

function invalid(name: string, rule: string, value: unknown): Error {
  return errorOf(FST_ERR_EVENTSTREAM_INVALID_MESSAGE, [name, rule, value])
}

/**
 * What JSON makes `{}` of because its value is elsewhere than in its own properties, such as a promise, a `Map` or an
 * `Error`: what it is, if there is such a value in `data`.
 *
 * @param json what became of `data`.
 */
export function emptiedByJson(data: unknown, json: string): string | undefined {
  if (!json.includes('{}')) return undefined
  let found: object | undefined
  JSON.stringify(data, (_key, value: unknown) => {
    if (isEmptied(value)) found ??= value
    return value
  })
  return found === undefined ? undefined : nameOf(found)
}

function isEmptied(value: unknown): value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  if (Object.keys(value).length > 0 || types.isBoxedPrimitive(value)) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype !== null && Object.getPrototypeOf(prototype) !== null
}

function nameOf(value: object): string {
  const { name } = value.constructor ?? {}
  return typeof name === 'string' && name !== '' ? `a ${name}` : 'an object'
}
