/** What one write hands to a transport at most, unless a single message is larger. */
export const PIECE_BYTES = 65_536

/** Messages as bytes that many connections share: framed once as a chunk of HTTP/1.1 (RFC 9112, section 7.1). */
export class Batch {
  readonly chunk: Buffer
  readonly messages: number
  readonly byteLength: number

  constructor(text: string, messages: number) {
    this.byteLength = Buffer.byteLength(text)
    this.messages = messages
    this.chunk = Buffer.from(`${this.byteLength.toString(16)}\r\n${text}\r\n`)
  }

  /** The messages without the chunk around them. */
  get payload(): Buffer {
    const end = this.chunk.length - 2
    return this.chunk.subarray(end - this.byteLength, end)
  }
}

/** What an id takes on the wire besides itself. */
export const ID_LINE_BYTES: number = 'id: \n'.length

/** A frame with its id. */
export function withId(id: string, text: string): string {
  return `id: ${id}\n${text}`
}

/**
 * What moves a client's last event id and is no message. An id alone would do (WHATWG HTML, section 9.2.6), but Firefox
 * notes only those of events that it dispatches.
 */
export function idBatch(id: string, cursorEvent: string | false): Batch {
  const event = cursorEvent === false ? '' : `event: ${cursorEvent}\ndata: {}\n`
  return new Batch(withId(id, `${event}\n`), 0)
}

const HEARTBEAT = new Batch(':\n', 0)

/** What is sent on a stream that is quiet: a comment, or an event, which pages can see. */
export function heartbeatBatch(event: string | false): Batch {
  return event === false ? HEARTBEAT : new Batch(`event: ${event}\ndata: {}\n\n`, 0)
}
