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

  /** @param maxLength characters that an event may have. */
  constructor(listener: EventStreamListener, maxLength?: number) {
    this.#parser = createParser({
      onEvent: (event) => listener.onEvent(event),
      onRetry: (retryMs) => listener.onRetry?.(retryMs),
      onComment: (text) => listener.onComment?.(text),
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') listener.onTooLong?.()
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
    if (text !== '') this.#parser.feed(this.#isAfterCr ? `${text}\n` : text)
  }
}
