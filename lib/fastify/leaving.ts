import type { ServerHttp2Stream } from 'node:http2'
import type { FastifyRequest } from 'fastify'
import type { Connection } from '../connection/connection.ts'
import { responseTo } from './accept.ts'
import { internal } from './internals.ts'
import { type CarryingSocket, connectionOn, isHttp2, markSocket, type RawResponse } from './raw-response.ts'

// What leaving looks like, in one place. On every protocol the response closes at last; what comes before is here.
//
// HTTP/1: the socket fails, which the server is told before it closes. Or the client ends its side, which Node answers by ending ours: nothing more can be written, but the socket closes
// only when the client has read what is queued. Node sees neither while a request's body is not read.
// HTTP/2: the client resets the stream. Without an error code it does not close while something is queued; if the end is queued, too, as
// of an answer that is given instead, it is not even aborted, but the client's side ends.

/**
 * Whether the client is gone already. Checked on the response and the socket: the request's own `close` comes early
 * when it had a body, and a pipelined response may never get one.
 */
export function hasLeft({ raw }: FastifyRequest, response: RawResponse): boolean {
  if (isHttp2(response)) return response.stream.closed
  return response.destroyed || raw.socket.destroyed || raw.socket.writableEnded
}

/** Lets `connection` know when the client leaves, until the response has closed. */
export function watchLeaving(
  { raw, body }: FastifyRequest,
  response: RawResponse,
  connection: Connection
): void {
  if (isHttp2(response)) {
    response.stream.once('aborted', () => connection.evict('client'))
    response.stream.once('end', streamOnEnd)
    return
  }
  markSocket(response, connection)
  raw.socket.on('end', socketOnEnd)
  const { 'content-length': length, 'transfer-encoding': coding } = raw.headers
  if ((length !== undefined || coding !== undefined) && (body === undefined || body === null)) {
    setImmediate(discardUnread, raw)
  }
}

/** The response has closed. */
export function unwatchLeaving(response: RawResponse): void {
  if (isHttp2(response)) return
  markSocket(response, undefined)
  response.req.socket.removeListener('end', socketOnEnd)
}

/** The client's socket has failed, or it has sent what is no HTTP. */
export function clientOnError(socket: CarryingSocket): void {
  connectionOn(socket)?.evict('client')
}

/** Node would wait for what the client takes no more. */
function streamOnEnd(this: ServerHttp2Stream): void {
  if (this.closed && !this.writableFinished) this.destroy()
}

/** What is sent already still leaves, if nothing else is to come. */
function socketOnEnd(this: CarryingSocket): void {
  const connection = connectionOn(this)
  if (this.writableEnded && connection?.state !== 'closing') connection?.evict('client')
}

/** A body that nobody has begun to read by the end of the turn. */
function discardUnread(raw: FastifyRequest['raw']): void {
  if (raw.readableFlowing === null && raw.listenerCount('readable') === 0) raw.resume()
}

/** Once the signal was read. */
const kController: unique symbol = Symbol('fastify-eventstream.controller')

type SignalledRequest = FastifyRequest & { [kController]?: AbortController }

/**
 * `request.signal`: aborts when the client leaves or the answer has ended, also when it is first read after that, and when a
 * stream ends. Fastify's own aborts as soon as a body was read, and never once a reply is hijacked.
 */
export function requestSignal(this: SignalledRequest): AbortSignal {
  const response = responseTo(this)
  const connection = response === undefined ? undefined : connectionOn(response)
  if (connection !== undefined) return connection.signal
  if (this[kController] === undefined) {
    this[kController] = new AbortController()
    if (response !== undefined) abortWithAnswer(this, response)
  }
  return this[kController].signal
}

/** Aborts a signal that was read with the end of the answer, or of the `handlerTimeout`. */
export function abortWithAnswer(request: SignalledRequest, response: RawResponse): void {
  const { [kController]: controller } = request
  if (controller === undefined) return
  if (hasLeft(request, response)) controller.abort()
  response.once('close', () => {
    if (connectionOn(response) === undefined) controller.abort()
  })
  const ofTimeout = internal<AbortController | null>(request, 'fastify.request.signal')?.signal
  ofTimeout?.addEventListener('abort', () => {
    if (ofTimeout.reason?.name !== 'AbortError') controller.abort(ofTimeout.reason)
  })
}

/** From here on the connection aborts the signal that was read before. */
export function handOnSignal(request: SignalledRequest, connection: Connection): void {
  const { [kController]: controller } = request
  if (controller !== undefined) connection.adopt(controller)
}
