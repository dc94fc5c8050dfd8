import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyReply } from 'fastify'
import type { Connection } from '../connection/connection.ts'
import { isAbortOf } from './abort.ts'
import { connectionOf } from './raw-response.ts'
import { giveBack, isGivenBack, keepGivenBack, statusOfHead } from './takeover.ts'

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
  if (saysNothingNew(connection, error)) {
    silenceOnce(reply)
    return
  }
  if (isGivenBack(reply)) {
    keepGivenBack(reply)
    return
  }
  const status = statusOfHead(reply)
  if (status === undefined) {
    giveBack(reply, error)
    return
  }
  reply.raw.statusCode = status
  connection.fail(error)
}

/** `reply.send()` of a reply that has started a stream: an error counts as if the handler had thrown it. */
export function sendAfterStart(this: FastifyReply, payload?: unknown): FastifyReply {
  const { send } = Object.getPrototypeOf(this) as FastifyReply
  const connection = connectionOf(this)
  const isLate = payload instanceof Error && this.sent && !isGivenBack(this)
  if (connection === undefined || !isLate) return send.call(this, payload)
  if (saysNothingNew(connection, payload)) return this
  if (statusOfHead(this) === undefined) {
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
