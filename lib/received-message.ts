import type { LoggedFrame } from './history/history.ts'
import type { ChannelMessage } from './types.ts'

const received = new WeakMap<LoggedFrame, ReceivedMessage>()

/** A frame read as a client reads it (WHATWG HTML, section 9.2.6). */
export class ReceivedMessage implements ChannelMessage {
  readonly id: string
  readonly event: string
  readonly data: string
  readonly key: string
  #parsed: { readonly value: unknown } | undefined

  /** The same for everyone who asks for the same frame. */
  static of(frame: LoggedFrame): ReceivedMessage {
    const known = received.get(frame)
    if (known !== undefined) return known
    const message = new ReceivedMessage(frame)
    received.set(frame, message)
    return message
  }

  private constructor({ cursor, text, key }: LoggedFrame) {
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
