import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Socket } from 'node:net'
import type { FastifyReply } from 'fastify'
import type { Connection } from '../connection/connection.ts'

/** The connection that took a response and its socket over, for listeners and hooks that get nothing else. */
const kConnection: unique symbol = Symbol('fastify-eventstream.connection')

/** A response as Fastify has it when the server may speak HTTP/1 or HTTP/2. */
export type RawResponse = (ServerResponse | RawHttp2Response) & Carrier
type RawHttp2Response = Http2ServerResponse & Pick<ServerResponse, 'flushHeaders'>

/** A socket of HTTP/1, from `sseStart()` until the response has closed. */
export type CarryingSocket = Socket & Carrier

interface Carrier {
  [kConnection]?: Connection | undefined
}

export function isHttp2(response: RawResponse): response is RawHttp2Response & Carrier {
  return 'stream' in response
}

/** The connection that `sseStart()` gave this reply, if it did. */
export function connectionOf(reply: FastifyReply): Connection | undefined {
  const response: RawResponse = reply.raw
  return response[kConnection]
}

/** The connection that a response or a socket carries. */
export function connectionOn(carrier: Carrier): Connection | undefined {
  return carrier[kConnection]
}

export function markResponse(response: RawResponse, connection: Connection): void {
  response[kConnection] = connection
}

/** A response that was closed has no socket any more, but its request has. */
export function markSocket(
  response: Extract<RawResponse, ServerResponse>,
  connection: Connection | undefined
): void {
  const socket: CarryingSocket = response.req.socket
  socket[kConnection] = connection
}

/** Whether the socket carries a stream, so that nobody else may be answered on it. */
export function carriesStream(socket: CarryingSocket): boolean {
  return socket[kConnection] !== undefined
}
