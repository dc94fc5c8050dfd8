import { ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import {
  FST_ERR_EVENTSTREAM_INVALID_STATUS,
  FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED,
  FST_ERR_EVENTSTREAM_PIPELINED,
  FST_ERR_EVENTSTREAM_RESPONSE_ENDED
} from '../base/errors.ts'
import type { Connection } from '../connection/connection.ts'
import { type Destination, ResponseTransport } from '../connection/transport/response-transport.ts'
import { type SocketResponse, SocketTransport } from '../connection/transport/socket-transport.ts'
import type { Ending, Transport } from '../connection/transport/transport.ts'
import { CONTENT_TYPE, unlinkReply } from './accept.ts'
import { HandOver, type PipeListener } from './hand-over.ts'
import { internal, internalKey, setInternal } from './internals.ts'
import { handOnSignal, unwatchLeaving, watchLeaving } from './leaving.ts'
import {
  carriesStream,
  connectionOf,
  connectionOn,
  isHttp2,
  markResponse,
  type RawResponse
} from './raw-response.ts'

/** `EventSource` takes no other (WHATWG HTML, section 9.2.3); clients of finite streams read what was created or accepted, too. */
const ENDLESS_STATUSES: readonly number[] = [200]
const FINITE_STATUSES: readonly number[] = [200, 201, 202]

/** Of the head, where the application sets none of its own. */
export const STREAM_HEADERS: Readonly<Record<string, string>> = {
  'content-type': CONTENT_TYPE,
  'cache-control': 'private, no-cache, no-store, no-transform',
  'x-accel-buffering': 'no'
}

/** Those of HTTP/1, which make a response of HTTP/2 malformed (RFC 9113, section 8.2.2). */
const CONNECTION_SPECIFIC = [
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade'
]

/** What the response's own `end()` was, if something had replaced it. */
const kEnd: unique symbol = Symbol('fastify-eventstream.end')

type EndedResponse = RawResponse & { [kEnd]?: unknown }

/** What `reply.hijack()` sets. */
const HIJACKED = 'fastify.reply.hijacked'

/** What Fastify's tracing channel is told of a reply with. */
const TRACED = 'fastify.diagnosticsStore'

/** The headers of a reply. */
const REPLY_HEADERS = 'fastify.reply.headers'

/** Where Node keeps what was set on a response. */
const NODE_HEADERS = 'kOutHeaders'

/**
 * @throws FST_ERR_EVENTSTREAM_PIPELINED when the response has no socket yet, because an earlier one on the same
 * connection is unfinished. If that one is a stream, the connection is broken off: nothing behind it can be answered.
 */
export function assertNotPipelined({ raw }: FastifyRequest, response: RawResponse): void {
  if (isHttp2(response) || response.socket !== null) return
  if (carriesStream(raw.socket)) raw.socket.destroy()
  throw new FST_ERR_EVENTSTREAM_PIPELINED()
}

/**
 * Stands for the transport until the head is out: nothing is written, and to destroy it is to destroy the response.
 *
 * @param sendHead lets the head go out. Called once.
 */
export function transportBeforeHead(response: RawResponse, sendHead: () => void): Transport {
  const notYet = (): boolean => false
  return {
    bufferedBytes: 0,
    flushedBytes: 0,
    start: sendHead,
    write: notYet,
    writeBatch: notYet,
    end: notYet,
    breakOff: notYet,
    destroy: () => void response.destroy()
  }
}

/**
 * Takes the reply over. Hijacking it keeps Fastify from sending when the handler returns, and clears its
 * `handlerTimeout`; until `sendHead()` it can be given back, so that an error is an ordinary answer.
 */
export function takeOver(reply: FastifyReply, connection: Connection): void {
  const response: RawResponse = reply.raw
  markResponse(response, connection)
  if (connection.state !== 'closed') watchLeaving(reply.request, response, connection)
  handOnSignal(reply.request, connection)
  response.on('close', responseOnClose)
  response.on('error', responseOnError)
  reply.hijack()
}

/**
 * Lets the head go out, and then opens the connection.
 *
 * Fastify sends a `HandOver` as it sends every stream: it runs the `onSend` hooks, sets the headers, and calls `pipe()`
 * with the raw response, which is where the connection gets its transport.
 *
 * @param onHead is called when the head is about to go out.
 */
export function sendHead(reply: FastifyReply, connection: Connection, onHead: () => void): void {
  const response: RawResponse = reply.raw
  if (isGivenBack(reply) || response.destroyed) return
  const { statusCode } = reply
  const statuses = connection.finite ? FINITE_STATUSES : ENDLESS_STATUSES
  if (!statuses.includes(statusCode)) {
    reply.code(500)
    answerError(reply, new FST_ERR_EVENTSTREAM_INVALID_STATUS(statuses.join(' or '), statusCode))
    return
  }
  if (connection.state === 'closing' && connection.reason === 'error') {
    const { error } = connection
    answerError(
      reply,
      error instanceof Error ? error : new Error('the event stream failed', { cause: error })
    )
    return
  }
  reply.header('content-type', CONTENT_TYPE)
  if (isHttp2(response)) for (const name of CONNECTION_SPECIFIC) reply.removeHeader(name)
  for (const [name, value] of Object.entries(STREAM_HEADERS))
    if (!reply.hasHeader(name)) reply.header(name, value)
  const onPipe: PipeListener = (destination, ending) => {
    if (connection.state === 'closed') {
      ending.end()
      return
    }
    const transport = openTransport(destination, response, ending, connection)
    dropHeaders(reply)
    guardEnd(response)
    unlinkReply(reply.request, response)
    onHead()
    connection.open(transport)
  }
  const handOver = new HandOver(response, onPipe, connection.state === 'closed')
  connection.headStatus = statusCode
  // What is hijacked counts as sent.
  Object.defineProperty(reply, 'sent', { configurable: true, writable: true, value: false })
  try {
    reply.send(handOver)
  } catch (error) {
    failHead(reply, connection, error)
    return
  }
  if (!isGivenBack(reply)) Object.defineProperty(reply, 'sent', { value: true })
}

/** The head cannot be sent: because of a header, which the answer must not have, or because something else was sent before. */
function failHead(reply: FastifyReply, connection: Connection, error: unknown): void {
  const response: RawResponse = reply.raw
  if (response.headersSent) {
    connection.request.log.error({ err: error }, 'the head of an event stream could not be sent')
    connection.transportOnError(error)
    return
  }
  for (const name of Object.keys(reply.getHeaders())) {
    reply.removeHeader(name)
    response.removeHeader(name)
  }
  answerError(reply, error)
}

/** The words of the status are those of a stream's, and may be none that can be sent. */
function answerError(reply: FastifyReply, error: unknown): void {
  const response: RawResponse = reply.raw
  if (!isHttp2(response)) response.statusMessage = ''
  giveBack(reply, error)
  reply.send(error)
}

/**
 * Lets Fastify answer with `error`, because the handler or an `onSend` hook failed before the head was out.
 */
export function giveBack(reply: FastifyReply, error: unknown): void {
  const connection = connectionOf(reply)
  if (connection === undefined || reply.raw.headersSent) return
  connection.abandon('error', error)
  Object.defineProperty(reply, 'sent', { configurable: true, get: () => reply.raw.writableEnded })
  setHijacked(reply, false)
  // Or an error handler that rejects, and is asked for the answer, would be told as one more failure of the handler.
  setInternal(reply, TRACED, null)
}

/** Tells a client that has everything not to come back (WHATWG HTML, section 9.2.3). */
export function sendNoContent(reply: FastifyReply): void {
  connectionOf(reply)?.abandon('server')
  giveBack(reply, undefined)
  reply.code(204).send()
}

/** What an error handler returns is an answer, too, which Fastify does not send for a reply that is hijacked. */
function setHijacked(reply: FastifyReply, isHijacked: boolean): void {
  setInternal(reply, HIJACKED, isHijacked)
}

/** What the handler returns is none, while Fastify answers with the error. */
export function ignoreReturned(reply: FastifyReply): void {
  if (!isGivenBack(reply)) return
  setHijacked(reply, true)
  queueMicrotask(() => setHijacked(reply, false))
}

export function isGivenBack(reply: FastifyReply): boolean {
  return Object.getOwnPropertyDescriptor(reply, 'sent')?.get !== undefined
}

/** The handler fails too while Fastify answers: that answer must not be another one. */
export function keepGivenBack(reply: FastifyReply): void {
  const sent = Object.getOwnPropertyDescriptor(reply, 'sent') as PropertyDescriptor
  Object.defineProperty(reply, 'sent', { configurable: true, value: true })
  queueMicrotask(() => Object.defineProperty(reply, 'sent', sent))
}

function responseOnClose(this: RawResponse): void {
  const connection = connectionOn(this)
  if (connection === undefined) return
  unwatchLeaving(this)
  if (connection.isUnanswered && this.writableEnded) {
    const err = new FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED()
    connection.request.log.error({ err }, err.message)
    connection.abandon('error', err)
  }
  connection.transportOnClose()
}

/** An error of the response is followed by its `close`. */
function responseOnError(): void {}

function openTransport(
  destination: NodeJS.WritableStream,
  response: RawResponse,
  ending: Ending,
  connection: Connection
): Transport {
  const isWrapped = destination !== response
  if (isWrapped) {
    response.once('pipe', () => flushHead(response, connection))
  } else {
    const { socket } = response
    const isSocket = !isHttp2(response) && socket instanceof Socket
    if (isSocket) socket.cork()
    flushHead(response, connection)
    if (hasChunkedSocket(response)) return new SocketTransport(response, ending, connection)
    if (isSocket) socket.uncork()
  }
  return new ResponseTransport(destination as Destination, response, ending, connection)
}

/** Lets the connection end the response, whoever calls `end()`: what was sent before still leaves. */
function guardEnd(response: EndedResponse): void {
  if (Object.hasOwn(response, 'end')) response[kEnd] = response.end
  response.end = endOpen as RawResponse['end']
}

function endOpen(this: EndedResponse, ...args: Parameters<RawResponse['end']>): unknown {
  const connection = connectionOn(this)
  if (connection?.state === 'open') {
    const err = new FST_ERR_EVENTSTREAM_RESPONSE_ENDED()
    connection.request.log.error({ err }, err.message)
    connection.fail(err)
    return this
  }
  const end: unknown = this[kEnd] ?? Reflect.get(Object.getPrototypeOf(this), 'end')
  return Reflect.apply(end as () => unknown, this, args)
}

/**
 * Whatever hooks have made of it: with another status or type it is no event stream, and a length or another coding would
 * cut it anywhere, and end in what follows.
 */
function flushHead(response: RawResponse, { headStatus = 200 }: Connection): void {
  // `@fastify/express` sets it to false for ever: what asks it would write the head again.
  Reflect.deleteProperty(response, 'headersSent')
  response.statusCode = headStatus
  response.setHeader('content-type', CONTENT_TYPE)
  response.removeHeader('content-length')
  if (isHttp2(response)) for (const name of CONNECTION_SPECIFIC) response.removeHeader(name)
  else {
    const isChunked = response.req.httpVersion === '1.1'
    if (response.hasHeader('transfer-encoding')) {
      response.removeHeader('transfer-encoding')
      if (isChunked) response.setHeader('transfer-encoding', 'chunked')
    }
    // Without chunks there is nowhere to put trailers, and Node throws.
    if (!isChunked) response.removeHeader('trailer')
  }
  response.flushHeaders()
}

/**
 * Node keeps what was set for as long as the response lasts: half a kilobyte of an idle stream. Once the head is out, nobody needs
 * what the reply knows, too. Whoever wants to see the head has replaced `writeHead()`, and may look at it later.
 */
function dropHeaders(reply: FastifyReply): void {
  const response: RawResponse = reply.raw
  const known = internal<object>(reply, REPLY_HEADERS) ?? {}
  const kept = internalKey(response, NODE_HEADERS)
  if (kept === undefined || !response.headersSent || Object.hasOwn(response, 'writeHead')) return
  if (response.getHeaderNames().every((name) => Object.hasOwn(known, name))) Reflect.set(response, kept, null)
}

function hasChunkedSocket(response: RawResponse): response is SocketResponse {
  return (
    !isHttp2(response) &&
    response.chunkedEncoding &&
    response.socket instanceof Socket &&
    response.write === ServerResponse.prototype.write
  )
}
