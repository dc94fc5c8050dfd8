import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server } from 'node:net'
import type { FastifyReply } from 'fastify'
import { MAX_MS } from '../base/check.ts'
import { methodOf } from '../base/raw-header.ts'
import { drawRetry, type RetryRange } from '../connection/farewell.ts'
import { encodeRetry } from '../wire/frame.ts'
import { acceptOf, namesEventStream } from './accept.ts'
import { setInternal } from './internals.ts'
import { STREAM_HEADERS } from './takeover.ts'

const IS_ERROR = 'fastify.reply.isError'

/** The time that a handler says, or up to a quarter more. */
export function around(ms: number): RetryRange {
  return [ms, Math.min(Math.ceil(ms * 1.25), MAX_MS)]
}

/**
 * Says that the client shall come back later. An `EventSource` that is answered by any other status than 200 never does: it
 * gets an empty stream with its reconnection time (WHATWG HTML, section 9.2.3). Others get `error`, with `Retry-After` (RFC
 * 9110, section 10.2.3), in the manner in which the application answers errors.
 */
export function sendRetry(reply: FastifyReply, error: Error, range: RetryRange): FastifyReply {
  const retryMs = drawRetry(range)
  if (isOfEventSource(reply.request.raw)) {
    clearError(reply)
    reply.removeHeader('content-length')
    return reply.code(200).headers(STREAM_HEADERS).send(retryText(retryMs))
  }
  if (retryMs !== undefined) reply.header('retry-after', String(Math.ceil(retryMs / 1000)))
  return reply.send(error)
}

/** Lets `error` be answered as `sendRetry()` does when the handler throws it. What else it answers is its own choice. */
export function retryOnThrow(reply: FastifyReply, error: Error, range: RetryRange): void {
  const send = function (this: FastifyReply, payload: unknown): FastifyReply {
    Reflect.deleteProperty(this, 'send')
    return payload === error ? sendRetry(this, error, range) : this.send(payload)
  }
  Object.defineProperty(reply, 'send', { configurable: true, value: send })
}

/**
 * Answers each `EventSource` from now on. For servers that close: Fastify answers by `503` then, before any hook.
 *
 * @param onAnswer is told of each.
 */
export function answerEventSources(server: Server, range: RetryRange, onAnswer: () => void): void {
  const listeners = server.listeners('request')
  server.removeAllListeners('request')
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (isOfEventSource(request)) {
      answer(request, response, range)
      onAnswer()
    } else for (const listener of listeners) listener.call(server, request, response)
  })
}

function answer(request: IncomingMessage, response: ServerResponse, range: RetryRange): void {
  const { origin } = request.headers
  // There is nothing in it, and a page of another origin shall come back too.
  const cors = {
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
    vary: 'Origin'
  }
  const isFirst = request.httpVersionMajor === 1
  response.writeHead(200, {
    ...STREAM_HEADERS,
    ...(origin !== undefined && cors),
    ...(isFirst && { connection: 'close' })
  })
  response.end(retryText(drawRetry(range)))
}

function isOfEventSource(raw: IncomingMessage): boolean {
  return methodOf(raw) === 'GET' && namesEventStream(acceptOf({ headers: raw.headers, raw }))
}

function retryText(retryMs: number | undefined): string {
  return retryMs === undefined ? '' : encodeRetry(retryMs).text
}

/** Fastify takes whatever is sent after a handler has thrown for an error. */
function clearError(reply: FastifyReply): void {
  setInternal(reply, IS_ERROR, false)
}
