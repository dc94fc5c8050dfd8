import { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { CONTENT_TYPE } from './accept.ts'
import type { Connection } from '../connection/connection.ts'
import { FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED, FST_ERR_EVENTSTREAM_PIPELINED } from '../base/errors.ts'
import { HandOver } from './hand-over.ts'
import { type Destination, ResponseTransport } from '../connection/transport/response-transport.ts'
import { type SocketResponse, SocketTransport } from '../connection/transport/socket-transport.ts'
import type { Ending, Transport } from '../connection/transport/transport.ts'

/** A response as Fastify has it when the server may speak HTTP/1 or HTTP/2. */
export type RawResponse = (ServerResponse | RawHttp2Response) & { [kConnection]?: Connection | undefined }
type RawHttp2Response = Http2ServerResponse & Pick<ServerResponse, 'flushHeaders'>

const HEADERS: Readonly<Record<string, string>> = {
  'content-type': CONTENT_TYPE,
  'cache-control': 'private, no-cache, no-store, no-transform',
  'x-accel-buffering': 'no'
}

/** The connection that took a response and its socket over, for listeners and hooks that get nothing else. */
const kConnection: unique symbol = Symbol('fastify-eventstream.connection')

/** A socket of HTTP/1, from `sseStart()` until the response has closed. */
type CarryingSocket = Socket & { [kConnection]?: Connection | undefined }

/** Whether the socket carries a stream, so that nobody else may be answered on it. */
export function carriesStream(socket: CarryingSocket): boolean {
  return socket[kConnection] !== undefined
}

/** The connection that `sseStart()` gave this reply, if it did. */
export function connectionOf(reply: FastifyReply): Connection | undefined {
  const response: RawResponse = reply.raw
  return response[kConnection]
}

/**
 * Whether the client is gone already. Checked on the response and the socket: the request's own `close` comes early
 * when it had a body, and a pipelined response may never get one.
 */
export function hasLeft({ raw }: FastifyRequest, response: RawResponse): boolean {
  if (isHttp2(response)) return response.stream === undefined || response.stream.destroyed
  return response.destroyed || raw.socket.destroyed || raw.socket.writableEnded
}

/**
 * @throws FST_ERR_EVENTSTREAM_PIPELINED when the response has no socket yet, because an earlier one on the same
 * connection is unfinished. If that one is a stream, the connection is broken off: nothing behind it can be answered.
 */
export function assertNotPipelined({ raw }: FastifyRequest, response: RawResponse): void {
  if (isHttp2(response) || response.socket !== null) return
  if (carriesStream(raw.socket)) raw.socket.destroy()
  throw new FST_ERR_EVENTSTREAM_PIPELINED()
}

/** Stands for the transport until the head is out: nothing is written, and to destroy it is to destroy the response. */
export function transportBeforeHead(response: RawResponse): Transport {
  const notYet = (): boolean => false
  return {
    bufferedBytes: 0,
    flushedBytes: 0,
    start: notYet,
    write: notYet,
    writeBatch: notYet,
    end: notYet,
    destroy: () => void response.destroy()
  }
}

/**
 * Takes the reply over, and opens the connection when the head is out.
 *
 * Fastify sends a `HandOver` as it sends every stream: it runs the `onSend` hooks, sets the headers, and calls `pipe()`
 * with the raw response, which is where the connection gets its transport. Hijacking the reply in the same turn keeps
 * Fastify from sending again when the handler returns, and clears its `handlerTimeout`.
 */
export function takeOver(reply: FastifyReply, connection: Connection): void {
  const response: RawResponse = reply.raw
  response[kConnection] = connection
  if (connection.state !== 'closed') markSocket(response, connection)
  response.on('close', responseOnClose)
  response.on('error', responseOnError)
  reply.code(200)
  for (const [name, value] of Object.entries(HEADERS)) if (!reply.hasHeader(name)) reply.header(name, value)
  try {
    reply.send(
      new HandOver(response, (destination, ending) => {
        if (connection.state === 'closed') ending.end()
        else connection.open(openTransport(destination, response, ending, connection))
      })
    )
  } catch (error) {
    response[kConnection] = undefined
    connection.abandon('error', error)
    connection.transportOnClose()
    throw error
  }
  reply.hijack()
}

/**
 * Lets Fastify answer with `error` when an `onSend` hook failed before the head was out. The reply stays hijacked, so
 * that whatever the handler does does not answer too, but `send()` looks at `sent`.
 */
export function giveBack(reply: FastifyReply, error: unknown): void {
  const connection = connectionOf(reply)
  if (connection === undefined || reply.raw.headersSent) return
  connection.abandon('error', error)
  Object.defineProperty(reply, 'sent', { configurable: true, get: () => reply.raw.writableEnded })
}

/** The handler fails too while Fastify answers: that answer must not be another one. */
export function keepGivenBack(reply: FastifyReply): void {
  const sent = Object.getOwnPropertyDescriptor(reply, 'sent')
  if (sent === undefined) return
  Object.defineProperty(reply, 'sent', { configurable: true, value: true })
  queueMicrotask(() => Object.defineProperty(reply, 'sent', sent))
}

function responseOnClose(this: RawResponse): void {
  const connection = this[kConnection]
  if (connection === undefined) return
  markSocket(this, undefined)
  if (connection.state === 'opening' && connection.reason === undefined && this.writableEnded) {
    const err = new FST_ERR_EVENTSTREAM_PAYLOAD_REPLACED()
    connection.request.log.error({ err }, err.message)
    connection.abandon('error', err)
  }
  connection.transportOnClose()
}

/** A response that was closed has no socket any more, but its request has. */
function markSocket(response: RawResponse, connection: Connection | undefined): void {
  if (isHttp2(response)) return
  const socket: CarryingSocket = response.req.socket
  socket[kConnection] = connection
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
    response.once('pipe', () => flushHead(response))
  } else {
    const { socket } = response
    const isSocket = !isHttp2(response) && socket instanceof Socket
    if (isSocket) socket.cork()
    flushHead(response)
    if (hasChunkedSocket(response)) return new SocketTransport(response, ending, connection)
    if (isSocket) socket.uncork()
  }
  return new ResponseTransport(destination as Destination, response, ending, connection)
}

/** Whatever hooks have made of it: a length or another coding would cut the stream anywhere, and end in what follows. */
function flushHead(response: RawResponse): void {
  response.statusCode = 200
  response.removeHeader('content-length')
  if (response.hasHeader('transfer-encoding')) {
    response.removeHeader('transfer-encoding')
    if (response.req.httpVersion === '1.1') response.setHeader('transfer-encoding', 'chunked')
  }
  response.flushHeaders()
}

function hasChunkedSocket(response: RawResponse): response is SocketResponse {
  return (
    !isHttp2(response) &&
    response.chunkedEncoding &&
    response.socket instanceof Socket &&
    response.write === ServerResponse.prototype.write
  )
}

function isHttp2(response: RawResponse): response is RawHttp2Response {
  return 'stream' in response
}
