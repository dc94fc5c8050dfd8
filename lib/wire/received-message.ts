/** A frame as it is kept. */
interface KeptFrame {
  readonly cursor: string
  readonly text: string
  readonly byteLength: number
  readonly key: string
}

/** How much is kept of what was read, and what each message takes besides its text. About. */
const MAX_BYTES = 1_048_576
const MESSAGE_BYTES = 512

/** What filters have asked for, for others that ask for the same at about the same time. */
export class RecentMessages {
  readonly #messages = new Map<KeptFrame, ReceivedMessage>()
  #bytes = 0

  of(frame: KeptFrame): ReceivedMessage {
    const known = this.#messages.get(frame)
    if (known !== undefined) return known
    const message = new ReceivedMessage(frame)
    this.#keep(frame, message)
    return message
  }

  #keep(frame: KeptFrame, message: ReceivedMessage): void {
    this.#messages.set(frame, message)
    this.#bytes += frame.byteLength + MESSAGE_BYTES
    for (const oldest of this.#messages.keys()) {
      if (this.#bytes <= MAX_BYTES || oldest === frame) break
      this.#messages.delete(oldest)
      this.#bytes -= oldest.byteLength + MESSAGE_BYTES
    }
  }
}

/** A frame read as a client reads it (WHATWG HTML, section 9.2.6). */
export class ReceivedMessage {
  readonly id: string
  readonly event: string
  readonly data: string
  readonly key: string
  /** Whether it was logged that somebody could not read it. */
  #isReported = false

  constructor({ cursor, text, key }: KeptFrame) {
    const lines = text.split('\n')
    this.id = cursor
    this.event = valuesOf('event', lines).join('')
    this.data = valuesOf('data', lines).join('\n')
    this.key = key
    // It is the same for all filters.
    Object.freeze(this)
  }

  /** A value of its own for each who asks, who may change it. */
  json(): unknown {
    return JSON.parse(this.data)
  }

  /** Calls `report` once. */
  reportOnce(report: () => void): void {
    if (this.#isReported) return
    this.#isReported = true
    report()
  }
}

function valuesOf(field: string, lines: readonly string[]): string[] {
  const start = `${field}: `
  return lines.filter((line) => line.startsWith(start)).map((line) => line.slice(start.length))
}
