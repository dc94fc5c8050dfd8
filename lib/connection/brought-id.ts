import type { FastifyRequest } from 'fastify'

/** `SSEConnection.lastEventId` */
export function broughtIdOf({ headers, query }: FastifyRequest): string | undefined {
  // Node joins the values of several headers (RFC 9110, section 5.3).
  const header = String(headers['last-event-id'] ?? '')
    .split(', ')
    .at(-1)
  if (header !== undefined && header !== '') return header
  if (typeof query !== 'object' || query === null || !('lastEventId' in query)) return undefined
  const { lastEventId } = query
  const last = String((Array.isArray(lastEventId) ? lastEventId.at(-1) : lastEventId) ?? '')
  return last === '' ? undefined : last
}
