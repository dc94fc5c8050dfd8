import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance, FastifyReply, RouteHandlerMethod } from 'fastify'
import { isAbortOf } from '../base/aborts.ts'
import { isThenable } from '../base/promises.ts'
import type { Connection } from '../connection/connection.ts'
import { connectionOf } from './raw-response.ts'
import { giveBack, ignoreReturned, isGivenBack, keepGivenBack } from './takeover.ts'

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

/** Fastify's tracing channel for what handlers throw, which is otherwise only logged once a reply is taken over. */
const HANDLER_ERROR = 'tracing:fastify.request.handler:error'

/** Registrations that have not been closed. */
let watching = 0

/** One listener for the process, which holds no application. */
export function watchHandlers(): void {
  if (watching++ === 0) subscribe(HANDLER_ERROR, handlerOnError)
}

export function unwatchHandlers(): void {
  if (--watching === 0) unsubscribe(HANDLER_ERROR, handlerOnError)
}

function handlerOnError(event: unknown): void {
  const { reply, error } = event as { reply: FastifyReply; error: unknown }
  const connection = connectionOf(reply)
  if (connection === undefined) return
  const { headStatus } = connection
  if (saysNothingNew(connection, error)) {
    silenceOnce(reply)
    // Fastify has made it that of the error.
    if (!isGivenBack(reply) && reply.statusCode >= 400) reply.raw.statusCode = headStatus ?? 200
    return
  }
  if (isGivenBack(reply)) {
    keepGivenBack(reply)
    return
  }
  if (headStatus === undefined) {
    giveBack(reply, error)
    return
  }
  reply.raw.statusCode = headStatus
  connection.fail(error)
}

/** `reply.send()` of a reply that has started a stream: an error counts as if the handler had thrown it. */
function sendAfterStart(this: FastifyReply, payload?: unknown): FastifyReply {
  const { send } = Object.getPrototypeOf(this) as FastifyReply
  const connection = connectionOf(this)
  const isLate = payload instanceof Error && this.sent && !isGivenBack(this)
  if (connection === undefined || !isLate) return send.call(this, payload)
  if (saysNothingNew(connection, payload)) return this
  if (connection.headStatus === undefined) {
    giveBack(this, payload)
    return send.call(this, payload)
  }
  this.log.error({ err: payload }, payload.message)
  connection.fail(payload)
  return this
}

/** Whether it is an abort, or what reading the request's body gives to a handler whose client has left. */
function saysNothingNew(connection: Connection, error: unknown): boolean {
  const { errored } = connection.request.raw
  return (
    isAbortOf(connection, error) || (connection.reason === 'client' && error !== null && error === errored)
  )
}

/** Fastify logs what it traces right after. */
function silenceOnce(reply: FastifyReply): void {
  const { log } = reply
  reply.log = Object.create(log, { error: { value: () => {} } })
  queueMicrotask(() => {
    reply.log = log
  })
}
