import type { FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'

/** What a stream's head says it is. */
export const CONTENT_TYPE = 'text/event-stream; charset=utf-8'

/**
 * Whether the request's `Accept` header lets it be answered by an event stream: by the most specific media range that
 * matches, unless its `q` is 0 (RFC 9110, section 12.5.1). A request without the header accepts everything.
 */
export function acceptsEventStream(request: FastifyRequest): boolean {
  const { accept } = request.headers
  if (accept === undefined || accept === 'text/event-stream' || accept === '*/*') return true
  return new Negotiator(request.raw).mediaType([CONTENT_TYPE]) !== undefined
}
