/** An event as a client dispatches it. */
export interface ReceivedEvent {
  /** The client's last event id, which stays until another one comes; `''` when none has come. */
  readonly id: string
  /** `message` when it has no name. */
  readonly event: string
  readonly data: string
}

const LINE_END = /\r\n|\n|\r/g

/** The event stream format as clients read it (WHATWG HTML, section 9.2.6). */
export class EventParser {
  readonly comments: string[] = []
  readonly #decoder = new TextDecoder()
  #rest = ''
  #isAfterCr = false
  #lastEventId = ''
  #retryMs: number | undefined
  #id = ''
  #event = ''
  #data: string[] = []

  get lastEventId(): string {
    return this.#lastEventId
  }

  get retryMs(): number | undefined {
    return this.#retryMs
  }

  /** @returns the events that these bytes, which may be cut anywhere, complete. */
  feed(chunk: Uint8Array | string): ReceivedEvent[] {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    const lines = this.#takeLines(this.#decoder.decode(bytes, { stream: true }))
    return lines.flatMap((line) => (line === '' ? this.#dispatch() : this.#takeField(line)))
  }

  /** A CR ends its line at once; the LF that may still come belongs to it. */
  #takeLines(text: string): string[] {
    if (text === '') return []
    const isHalf = this.#isAfterCr && text.startsWith('\n')
    this.#isAfterCr = text.endsWith('\r')
    const lines = (this.#rest + (isHalf ? text.slice(1) : text)).split(LINE_END)
    this.#rest = lines.pop() as string
    return lines
  }

  #takeField(line: string): [] {
    const colon = line.indexOf(':')
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(colon + 1).replace(/^ /, '')
    if (name === '' && colon === 0) this.comments.push(value)
    else if (name === 'data') this.#data.push(value)
    else if (name === 'event') this.#event = value
    else if (name === 'id' && !value.includes('\0')) this.#id = value
    else if (name === 'retry' && /^[0-9]+$/.test(value)) this.#retryMs = Number(value)
    return []
  }

  #dispatch(): ReceivedEvent[] {
    const event = this.#event === '' ? 'message' : this.#event
    const data = this.#data
    this.#event = ''
    this.#data = []
    this.#lastEventId = this.#id
    return data.length === 0 ? [] : [{ id: this.#id, event, data: data.join('\n') }]
  }
}
