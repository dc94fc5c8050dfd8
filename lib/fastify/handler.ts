import type { FastifyInstance, FastifyReply, RouteHandlerMethod } from 'fastify'
import { isThenable } from '../base/thenable.ts'
import { sendAfterStart } from './handler-errors.ts'
import { connectionOf } from './raw-response.ts'
import { ignoreReturned } from './takeover.ts'

/** `RUNNING` from the call of a route's handler on, and what it returned, if it did before it started a stream. */
const RETURNED: unique symbol = Symbol('fastify-eventstream.returned')

const RUNNING: unique symbol = Symbol('fastify-eventstream.running')

type WatchedReply = FastifyReply & { [RETURNED]?: unknown }

/** Gives replies a place for what their handlers return, as all of them have the same shape then. */
export function decorateReplies(app: FastifyInstance): void {
  app.decorateReply(RETURNED as unknown as string, null)
}

/**
 * A handler that lets its connection know when it is done: when it has returned, or what it returned has settled. Fastify
 * tells nobody of a handler whose reply was hijacked.
 */
export function watched(handler: RouteHandlerMethod): RouteHandlerMethod {
  return function (request, reply) {
    const watchedReply: WatchedReply = reply
    watchedReply[RETURNED] = RUNNING
    const returned: unknown = handler.call(this, request, reply)
    if (connectionOf(reply) === undefined) watchedReply[RETURNED] = returned ?? true
    else watchReturned(reply, returned)
    return returned
  }
}

/** A stream has started. */
export function watchHandler(reply: FastifyReply): void {
  const { [RETURNED]: returned } = reply as WatchedReply
  // Who returns the reply, or awaits it, waits for the end of the stream.
  Object.defineProperty(reply, 'then', { configurable: true, value: replyThen })
  Object.defineProperty(reply, 'send', { configurable: true, value: sendAfterStart })
  if (returned === undefined || returned === null) connectionOf(reply)?.handlerIsUnseen()
  else if (returned !== RUNNING) watchReturned(reply, returned)
}

function watchReturned(reply: FastifyReply, returned: unknown): void {
  const connection = connectionOf(reply)
  const settle = (): void => {
    ignoreReturned(reply)
    connection?.handlerOnSettle()
  }
  if (isThenable(returned) && (returned as unknown) !== reply) returned.then(settle, settle)
  else connection?.handlerOnSettle()
}

function replyThen(this: FastifyReply, ...listeners: Parameters<FastifyReply['then']>): void {
  connectionOf(this)?.handlerOnSettle()
  const { then } = Object.getPrototypeOf(this) as FastifyReply
  then.apply(this, listeners)
}
