import { TextDecoder } from 'node:util'

/** An event as a client dispatches it. */
export interface DispatchedEvent {
  readonly type: string
  readonly data: string
  readonly lastEventId: string
}

/** What a whole event stream tells a client. */
export interface EventStream {
  readonly events: readonly DispatchedEvent[]
  readonly comments: readonly string[]
  readonly lastEventId: string
  readonly retryMs: number | undefined
}

/** Reads a stream that must end where a block ends. */
export function parseStream(stream: string | Uint8Array): EventStream {
  const parser = new StrictParser()
  const events = parser.feed(typeof stream === 'string' ? Buffer.from(stream) : stream)
  parser.end()
  const { comments, lastEventId, retryMs } = parser
  return { events, comments, lastEventId, retryMs }
}

/**
 * An event stream parser, written from WHATWG HTML, section 9.2.6. It takes only what a correct server sends, and
 * throws on what the standard lets clients forgive: other line ends than LF, other fields, fields that are repeated,
 * fields without exactly `: ` between name and value but the empty comment, an event without data, a blank line that ends no block.
 */
export class StrictParser {
  readonly comments: string[] = []
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #lastEventId = ''
  #retryMs: number | undefined
  /** A line whose end has not come yet. */
  #rest = ''
  /** The block whose blank line has not come yet: its id, event and data. */
  #block = new Map<string, string>()

  /** What a client would send as `Last-Event-ID`: an id counts from the blank line that ends its block. */
  get lastEventId(): string {
    return this.#lastEventId
  }

  get retryMs(): number | undefined {
    return this.#retryMs
  }

  /** @returns the events that these bytes, which may be cut anywhere, complete. */
  feed(bytes: Uint8Array): DispatchedEvent[] {
    const lines = `${this.#rest}${this.#decoder.decode(bytes, { stream: true })}`.split('\n')
    this.#rest = lines.pop() ?? ''
    const events: DispatchedEvent[] = []
    for (const line of lines) {
      if (line !== '') this.#takeLine(line)
      else events.push(...this.#endBlock())
    }
    return events
  }

  /** The stream is over. Clients drop a block that was cut; for a stream that ended well it is an error. */
  end(): void {
    this.#decoder.decode()
    if (this.#rest !== '' || this.#block.size > 0) throw refusal('a cut block', this.#rest)
  }

  #takeLine(line: string): void {
    if (line.includes('\r')) throw refusal('a CR', line)
    const colon = line.indexOf(':')
    if (colon === -1) throw refusal('a line without a colon', line)
    if (line[colon + 1] !== ' ' && line !== ':') throw refusal('no space after the colon', line)
    const name = line.slice(0, colon)
    const value = line.slice(colon + 2)
    const previous = this.#block.get(name)
    if (previous !== undefined && name !== 'data') throw refusal('a repeated field', line)
    this.#takeField(name, value, line)
    // Both take effect at the end of their line.
    if (name === '' || name === 'retry') return
    this.#block.set(name, previous === undefined ? value : `${previous}\n${value}`)
  }

  #takeField(name: string, value: string, line: string): void {
    if (name === 'data') return
    if (name === '') this.comments.push(value)
    else if (name === 'id' && !value.includes('\0')) return
    else if (name === 'event' && value !== '') return
    else if (name === 'retry' && /^[0-9]+$/.test(value)) this.#retryMs = Number(value)
    else throw refusal('an unknown field or a wrong value', line)
  }

  #endBlock(): DispatchedEvent[] {
    const block = this.#block
    this.#block = new Map()
    if (block.size === 0) throw refusal('a blank line that ends nothing', '')
    this.#lastEventId = block.get('id') ?? this.#lastEventId
    const data = block.get('data')
    const type = block.get('event')
    if (data !== undefined) return [{ type: type ?? 'message', data, lastEventId: this.#lastEventId }]
    if (type !== undefined) throw refusal('an event without data', type)
    return []
  }
}

function refusal(what: string, line: string): Error {
  return new Error(`${what}: ${JSON.stringify(line)}`)
}
