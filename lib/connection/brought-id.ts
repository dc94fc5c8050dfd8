import type { FastifyRequest } from 'fastify'
import { rawHeader } from '../base/raw-header.ts'

const UNKNOWN = '[object]'

/** `SSEConnection.lastEventId` */
export function broughtIdOf(request: FastifyRequest): string | undefined {
  // Node joins the values of several headers (RFC 9110, section 5.3).
  const header = String(request.headers['last-event-id'] ?? rawHeader(request.raw, 'last-event-id') ?? '')
    .split(', ')
    .at(-1)
  if (header !== undefined && header !== '') return header
  const lastEventId = parameterOf(request)
  const last: unknown = Array.isArray(lastEventId) ? lastEventId.at(-1) : lastEventId
  // What a query parser makes of `lastEventId[a]=1` may have no `toString()`: a cursor that nobody knows.
  const text = typeof last === 'object' && last !== null ? UNKNOWN : String(last ?? '')
  return text === '' ? undefined : text
}

/** A schema that does not name the parameter may have removed it. */
function parameterOf({ query, raw }: FastifyRequest): unknown {
  if (typeof query === 'object' && query !== null && 'lastEventId' in query) return query.lastEventId
  const url = raw.url ?? rawHeader(raw, ':path') ?? ''
  const at = url.indexOf('?')
  return at < 0 || !url.includes('lastEventId', at)
    ? undefined
    : new URLSearchParams(url.slice(at)).getAll('lastEventId').at(-1)
}
