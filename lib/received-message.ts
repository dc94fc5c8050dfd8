import type { LoggedFrame } from './history/history.ts'
import type { ChannelMessage } from './types.ts'

/** How much is kept of what was read, for others who ask for the same. */
const MAX_BYTES = 1_048_576

const recent = new Map<LoggedFrame, ReceivedMessage>()
let recentBytes = 0

/** A frame read as a client reads it (WHATWG HTML, section 9.2.6). */
export class ReceivedMessage implements ChannelMessage {
  readonly id: string
  readonly event: string
  readonly data: string
  readonly key: string
  #parsed: { readonly value: unknown } | undefined

  /** The same for all who ask for the same frame at about the same time. */
  static of(frame: LoggedFrame): ReceivedMessage {
    const known = recent.get(frame)
    if (known !== undefined) return known
    const message = new ReceivedMessage(frame)
    keep(frame, message)
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

function keep(frame: LoggedFrame, message: ReceivedMessage): void {
  recent.set(frame, message)
  recentBytes += frame.byteLength
  for (const oldest of recent.keys()) {
    if (recentBytes <= MAX_BYTES || oldest === frame) break
    recent.delete(oldest)
    recentBytes -= oldest.byteLength
  }
}

function valuesOf(field: string, lines: readonly string[]): string[] {
  const start = `${field}: `
  return lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length))
}
