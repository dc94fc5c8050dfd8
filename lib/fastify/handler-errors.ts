import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyReply } from 'fastify'
import type { SSEConnection } from '../connection/sse-connection.ts'
import { connectionOf } from './raw-response.ts'
import { giveBack, hasHead, keepGivenBack, letAnswer } from './takeover.ts'

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
  if (isAbortOf(connection, error)) {
    silenceOnce(reply)
    return
  }
  if (!hasHead(reply)) {
    giveBack(reply, error)
    letAnswer(reply)
    return
  }
  reply.raw.statusCode = 200
  keepGivenBack(reply)
  connection.fail(error)
}

/** A handler that gives up because its stream has ended, as its signal tells it to, has not failed. */
function isAbortOf({ signal }: SSEConnection, error: unknown): boolean {
  if (!signal.aborted) return false
  return error === signal.reason || (error instanceof Error && error.cause === signal.reason)
}

/** Fastify logs what it traces right after. */
function silenceOnce(reply: FastifyReply): void {
  const { log } = reply
  reply.log = Object.create(log, { error: { value: () => {} } })
  queueMicrotask(() => {
    reply.log = log
  })
}
