import type { FastifyRequest } from 'fastify'

const UNKNOWN = '[object]'

/** `SSEConnection.lastEventId` */
export function broughtIdOf({ headers, query }: FastifyRequest): string | undefined {
  // Node joins the values of several headers (RFC 9110, section 5.3).
  const header = String(headers['last-event-id'] ?? '')
    .split(', ')
    .at(-1)
  if (header !== undefined && header !== '') return header
  if (typeof query !== 'object' || query === null || !('lastEventId' in query)) return undefined
  const { lastEventId } = query
  const last: unknown = Array.isArray(lastEventId) ? lastEventId.at(-1) : lastEventId
  // What a query parser makes of `lastEventId[a]=1` may have no `toString()`: a cursor that nobody knows.
  const text = typeof last === 'object' && last !== null ? UNKNOWN : String(last ?? '')
  return text === '' ? undefined : text
}
