import type { LoggedFrame } from '../history/history.ts'
import type { ChannelMessage } from '../types.ts'

/** How much text is kept of what was read. */
const MAX_BYTES = 1_048_576

/** What filters have asked for, for others that ask for the same at about the same time. */
export class RecentMessages {
  readonly #messages = new Map<LoggedFrame, ReceivedMessage>()
  #bytes = 0

  of(frame: LoggedFrame): ReceivedMessage {
    const known = this.#messages.get(frame)
    if (known !== undefined) return known
    const message = new ReceivedMessage(frame)
    this.#keep(frame, message)
    return message
  }

  #keep(frame: LoggedFrame, message: ReceivedMessage): void {
    this.#messages.set(frame, message)
    this.#bytes += frame.byteLength
    for (const oldest of this.#messages.keys()) {
      if (this.#bytes <= MAX_BYTES || oldest === frame) break
      this.#messages.delete(oldest)
      this.#bytes -= oldest.byteLength
    }
  }
}

/** A frame read as a client reads it (WHATWG HTML, section 9.2.6). */
export class ReceivedMessage implements ChannelMessage {
  readonly id: string
  readonly event: string
  readonly data: string
  readonly key: string
  #parsed: { readonly value: unknown } | undefined

  constructor({ cursor, text, key }: LoggedFrame) {
    const lines = text.split('\n')
    this.id = cursor
    this.event = valuesOf('event', lines).join('')
    this.data = valuesOf('data', lines).join('\n')
    this.key = key
  }

  json(): unknown {
    this.#parsed ??= { value: JSON.parse(this.data) }
    return this.#parsed.value
  }
}

function valuesOf(field: string, lines: readonly string[]): string[] {
  const start = `${field}: `
  return lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length))
}
