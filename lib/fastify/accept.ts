import { MIMEType } from 'node:util'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { rawHeader } from '../base/raw-header.ts'
import type { RawResponse } from './raw-response.ts'

/** What a stream's head says it is. */
export const CONTENT_TYPE = 'text/event-stream; charset=utf-8'

const STREAM = new MIMEType(CONTENT_TYPE)
const JSON_TYPE = new MIMEType('application/json; charset=utf-8')
/** What stands between commas, those in quoted strings aside (RFC 9110, section 5.6.1). */
const ELEMENT = /(?:"(?:\\.|[^"\\])*"?|[^",])+/g

/** The `Accept` header, also if a schema has removed it. */
export function acceptOf({ headers, raw }: Pick<FastifyRequest, 'headers' | 'raw'>): string | undefined {
  return headers.accept ?? rawHeader(raw, 'accept')
}

/** Whether the `Accept` header lets a stream be the answer. A request without the header accepts everything. */
export function takesEventStream(accept: string | undefined): boolean {
  if (accept === undefined || accept === 'text/event-stream' || accept === '*/*') return true
  return weightOf(STREAM, rangesIn(accept)) > 0
}

/** Whether the `Accept` header names event streams, as an `EventSource` does. */
export function namesEventStream(accept: string | undefined): boolean {
  if (accept === undefined || accept === '*/*') return false
  if (accept === 'text/event-stream') return true
  const ranges = rangesIn(accept)
  return ranges.some(({ essence }) => essence === STREAM.essence) && weightOf(STREAM, ranges) > 0
}

/** Whether the `Accept` header names event streams, and wants them not less than JSON. */
function prefersEventStream(accept: string | undefined): boolean {
  if (accept === undefined || !namesEventStream(accept)) return false
  const ranges = rangesIn(accept)
  return weightOf(STREAM, ranges) >= weightOf(JSON_TYPE, ranges)
}

/** A request's reply, once our hook has seen both, and only its response, once a stream has begun; until then, whether it is to vary. */
const kReply: unique symbol = Symbol('fastify-eventstream.reply')

type KnownRequest = FastifyRequest & { [kReply]?: FastifyReply | RawResponse | 'varies' | null }

/** Adds `acceptsEventStream()` to the requests of `app`. */
export function decorateRequests(app: FastifyInstance): void {
  app.decorateRequest(kReply as unknown as string, null)
  app.decorateRequest('acceptsEventStream', function (this: KnownRequest): boolean {
    const reply = this[kReply]
    if (typeof reply !== 'object' || reply === null) this[kReply] = 'varies'
    else if ('raw' in reply) varyByAccept(reply)
    return prefersEventStream(acceptOf(this))
  })
}

/** What is asked by earlier hooks counts too. */
export function linkReply(request: KnownRequest, reply: FastifyReply): void {
  if (request[kReply] === 'varies') varyByAccept(reply)
  request[kReply] = reply
}

/** The head is out: nothing is kept of the reply, which is of no use for as long as the stream lasts. */
export function unlinkReply(request: KnownRequest, response: RawResponse): void {
  request[kReply] = response
}

/** The response to a request, once our hook has seen both. */
export function responseTo({ [kReply]: reply }: KnownRequest): RawResponse | undefined {
  if (typeof reply !== 'object' || reply === null) return undefined
  return 'raw' in reply ? reply.raw : reply
}

/** Tells caches that the answer depends on the `Accept` header (RFC 9110, section 12.5.5). */
export function varyByAccept(reply: FastifyReply): void {
  const given = String(reply.getHeader('vary') ?? '')
  if (/(?:^|,)\s*(?:accept|\*)\s*(?:,|$)/i.test(given)) return
  reply.header('vary', given === '' ? 'Accept' : `${given}, Accept`)
}

/** The media ranges of the header; what is none is left out. */
function rangesIn(accept: string): MIMEType[] {
  return (accept.match(ELEMENT) ?? []).flatMap((element) => {
    try {
      return [new MIMEType(element)]
    } catch {
      return []
    }
  })
}

/** The weight that the most specific range gives a type, 0 if none fits (RFC 9110, section 12.5.1). */
function weightOf(type: MIMEType, ranges: readonly MIMEType[]): number {
  let [highest, weight] = [-1, 0]
  for (const range of ranges) {
    const specificity = specificityOf(range, type)
    const q = Number(range.params.get('q') ?? 1)
    if (specificity < 0 || specificity < highest || (specificity === highest && q <= weight)) continue
    highest = specificity
    weight = q > 0 ? q : 0
  }
  return weight
}

/** How much of a type a range names; -1 if the type is not in it. */
function specificityOf(range: MIMEType, { type, subtype, params }: MIMEType): number {
  if (range.type === '*' && range.subtype === '*') return 0
  if (range.type !== type) return -1
  if (range.subtype === '*') return 1
  if (range.subtype !== subtype) return -1
  const own = [...range.params].filter(([name]) => name !== 'q')
  const isSame = own.every(([name, value]) => params.get(name)?.toLowerCase() === value.toLowerCase())
  return isSame ? 2 + own.length : -1
}
