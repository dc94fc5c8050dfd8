import { describe, FST_ERR_EVENTSTREAM_INVALID_SOURCE, withCause } from '../base/errors.ts'
import { EventStreamReader } from '../wire/event-stream-reader.ts'
import { openSource, type SourceReader } from './source-reader.ts'

/** An event of a response that is an event stream. */
export interface RelayedEvent {
  id?: string | undefined
  event?: string | undefined
  data: string
}

/** A `Response`, of whatever implementation of `fetch()`. */
export interface ResponseLike {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  readonly body: unknown
}

export function isResponse(source: unknown): source is ResponseLike {
  if (typeof source !== 'object' || source === null || !('status' in source)) return false
  if (!('headers' in source) || !('body' in source)) return false
  const { headers } = source
  return typeof headers === 'object' && headers !== null && 'get' in headers
}

/**
 * Reads of a response events, if its content type says so, or else its bytes, of which only the application knows what they
 * are.
 *
 * @param isMapped whether it says so.
 * @throws FST_ERR_EVENTSTREAM_INVALID_SOURCE
 */
export function openResponse(
  response: ResponseLike,
  isMapped: boolean,
  maxMessageBytes: number
): SourceReader {
  const { status, headers, body } = response
  const type = headers.get('content-type') ?? ''
  const isEventStream = /^text\/event-stream\s*(;|$)/i.test(type.trim())
  if (status < 200 || status > 299) throw refusal(response, `a status from 200 to 299, got ${status}`)
  if (!isEventStream && !isMapped) {
    const error = refusal(response, 'the type text/event-stream, or a map for its bytes, got another one')
    throw withCause(error, describe(type))
  }
  const bytes = openSource(body ?? [])
  return isEventStream ? new EventsReader(bytes, maxMessageBytes) : bytes
}

/** Gives up what is not read. */
function refusal({ body }: ResponseLike, rule: string): Error {
  if (body instanceof ReadableStream && !body.locked) body.cancel().catch(() => {})
  return new FST_ERR_EVENTSTREAM_INVALID_SOURCE(`Expected the response to have ${rule}`)
}

const CUT = 'Expected the response to end after an event, got its end in the middle of one'

/** Events of bytes. */
class EventsReader implements SourceReader {
  readonly #bytes: SourceReader
  readonly #parser: EventStreamReader
  readonly #maxMessageBytes: number
  /** The next one last. */
  readonly #events: RelayedEvent[] = []
  #isTooLong = false

  constructor(bytes: SourceReader, maxMessageBytes: number) {
    this.#bytes = bytes
    this.#maxMessageBytes = maxMessageBytes
    const onTooLong = (): void => {
      this.#isTooLong = true
    }
    this.#parser = new EventStreamReader({ onEvent: (event) => this.#add(event), onTooLong }, maxMessageBytes)
  }

  async next(): Promise<IteratorResult<RelayedEvent>> {
    for (;;) {
      const event = this.#events.pop()
      if (event !== undefined) return { done: false, value: event }
      if (this.#isTooLong) {
        this.cancel()
        const rule = `Expected the events of the response to fit into maxMessageBytes, ${this.#maxMessageBytes}`
        throw new FST_ERR_EVENTSTREAM_INVALID_SOURCE(rule)
      }
      const { done, value } = await this.#bytes.next()
      if (done) {
        if (this.#parser.end()) throw new FST_ERR_EVENTSTREAM_INVALID_SOURCE(CUT)
        return { done: true, value: undefined }
      }
      this.#parser.feed(value as Uint8Array | string)
      this.#events.reverse()
    }
  }

  cancel(): unknown {
    return this.#bytes.cancel()
  }

  #add({ id, event, data }: RelayedEvent): void {
    this.#events.push({ ...(id !== undefined && { id }), ...(event !== undefined && { event }), data })
  }
}
