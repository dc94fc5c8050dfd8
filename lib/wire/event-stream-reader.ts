import { createParser, type EventSourceMessage, type EventSourceParser } from 'eventsource-parser'

/** What is read of an event stream. */
export interface EventStreamListener {
  onEvent(event: EventSourceMessage): void
  onRetry?(retryMs: number): void
  onComment?(text: string): void
  /** An event is longer than `maxLength`. Nothing follows. */
  onTooLong?(): void
}

/** Reads an event stream as clients do (WHATWG HTML, section 9.2.6), from pieces that may be cut anywhere. */
export class EventStreamReader {
  readonly #decoder = new TextDecoder()
  readonly #parser: EventSourceParser
  #isAfterCr = false
  #isWithinLine = false
  #isEnding = false
  #isCut = false

  /** @param maxLength characters that an event may have. */
  constructor(listener: EventStreamListener, maxLength?: number) {
    this.#parser = createParser({
      onEvent: (event) => {
        if (this.#isEnding) this.#isCut ||= [event.id, event.event, event.data].some(Boolean)
        else listener.onEvent(event)
      },
      onRetry: (retryMs) => listener.onRetry?.(retryMs),
      onComment: (text) => listener.onComment?.(text),
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') listener.onTooLong?.()
        else if (this.#isEnding) this.#isCut = true
      },
      maxBufferSize: maxLength
    })
  }

  feed(piece: Uint8Array | string): void {
    const bytes = typeof piece === 'string' ? Buffer.from(piece) : piece
    const decoded = this.#decoder.decode(bytes, { stream: true })
    if (decoded === '') return
    // The parser waits for the LF that may follow a CR at the end of a piece, but the line has ended.
    const text = this.#isAfterCr && decoded.startsWith('\n') ? decoded.slice(1) : decoded
    this.#isAfterCr = decoded.endsWith('\r')
    if (text === '') return
    this.#isWithinLine = !/[\r\n]$/.test(text)
    this.#parser.feed(this.#isAfterCr ? `${text}\n` : text)
  }

  /** Nothing follows. @returns whether the last event is not complete, so that clients drop it. */
  end(): boolean {
    this.#isEnding = true
    // An empty event shows what was left before it.
    this.#parser.feed(`${this.#isWithinLine ? '\n' : ''}data:\n\n`)
    return this.#isCut
  }
}
