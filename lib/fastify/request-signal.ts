import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Connection } from '../connection/connection.ts'
import { replyOf } from './accept.ts'
import { internal } from './internals.ts'
import { hasLeft } from './leaving.ts'
import { connectionOf } from './raw-response.ts'

/** Once the signal was read. */
const kController: unique symbol = Symbol('fastify-eventstream.controller')

type SignalledRequest = FastifyRequest & { [kController]?: AbortController }

/**
 * `request.signal`: aborts when the client leaves or the answer has ended, also when it is first read after that, and when a
 * stream ends. Fastify's own aborts as soon as a body was read, and never once a reply is hijacked.
 */
export function requestSignal(this: SignalledRequest): AbortSignal {
  const reply = replyOf(this)
  const connection = reply === undefined ? undefined : connectionOf(reply)
  if (connection !== undefined) return connection.signal
  if (this[kController] === undefined) {
    this[kController] = new AbortController()
    if (reply !== undefined) abortWithAnswer(this, reply)
  }
  return this[kController].signal
}

/** Aborts a signal that was read with the end of the answer, or of the `handlerTimeout`. */
export function abortWithAnswer(request: SignalledRequest, reply: FastifyReply): void {
  const { [kController]: controller } = request
  if (controller === undefined) return
  if (hasLeft(request, reply.raw)) controller.abort()
  reply.raw.once('close', () => {
    if (connectionOf(reply) === undefined) controller.abort()
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
