import type { FastifyRequest } from 'fastify'
import type { Connection } from '../connection/connection.ts'
import { responseTo } from './accept.ts'
import { internal } from './internals.ts'
import { hasLeft } from './leaving.ts'
import { connectionOn, type RawResponse } from './raw-response.ts'

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
