import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type Contestant, LISTEN, SSE_HEADERS } from '../contestant.ts'
import { PLAIN_ANSWER, PLAIN_PATH } from './contestant.ts'

/** Fastify's. */
const KEEP_ALIVE_MS = 72_000

/** A server that does the least there is to do, and hands out every stream that is opened. */
export function serveBare(
  responseOnOpen: (response: ServerResponse, request: IncomingMessage) => void
): Contestant {
  const plain = JSON.stringify(PLAIN_ANSWER)
  const plainHeaders = { 'content-type': 'application/json', 'content-length': plain.length }
  const server = createServer((request, response) => {
    if (request.url === PLAIN_PATH) {
      response.writeHead(200, plainHeaders).end(plain)
    } else {
      response.writeHead(200, SSE_HEADERS)
      response.flushHeaders()
      responseOnOpen(response, request)
    }
  })
  server.keepAliveTimeout = KEEP_ALIVE_MS
  return {
    server,
    listen: () => once(server.listen(LISTEN), 'listening'),
    close: () => new Promise((resolve) => server.close(resolve))
  }
}
