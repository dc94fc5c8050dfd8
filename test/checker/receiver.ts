import { StrictParser } from '../helpers/strict-parser.ts'
import { BodyReader } from './body-reader.ts'
import type { Moment, Received } from './run-log.ts'

const LF = 0x0a
const COLON = 0x3a
/** Of `retry`. */
const R = 0x72

interface Settings {
  readonly resumedFrom: string | undefined
  /** When what begins after so many bytes was written, or came. */
  readonly momentOf: (start: number) => Moment
  /** Told of each block at once. What follows one after which it wants no more has never come. */
  readonly wantsMore?: (received: Received) => boolean
}

/** Reads one stream as a client does, and writes down what was complete. */
export class Receiver {
  readonly received: Received[] = []
  refusal: string | undefined
  /** What the client would come back with. */
  lastEventId: string | undefined
  readonly #settings: Settings
  readonly #parser = new StrictParser()
  /** The first byte of a line that has not ended. */
  #first: number | undefined
  /** Whether no block has begun since the last one. */
  #isBetween = true
  #bytes = 0
  /** Bytes before the block that is being read. */
  #start = 0
  #isDone = false

  constructor(settings: Settings) {
    this.lastEventId = settings.resumedFrom
    this.#settings = settings
  }

  get comments(): number {
    return this.#parser.comments.length
  }

  /** Takes bytes that may be cut anywhere. What follows a refusal is not read. */
  feed(bytes: Uint8Array): void {
    if (this.#isDone) return
    try {
      for (const block of this.#blocks(bytes)) {
        if (this.#isDone) return
        this.#feedBlock(block)
      }
    } catch (error) {
      this.refuse(error)
    }
  }

  /** The stream ended as it should, not in the middle of a block. */
  end(): void {
    if (this.#isDone) return
    try {
      this.#parser.end()
    } catch (error) {
      this.refuse(error)
    }
  }

  /** What a server sent is not what it should be. */
  refuse(error: unknown): void {
    this.refusal ??= String(error).slice(0, 200)
    this.#isDone = true
  }

  /** Pieces with at most one blank line, at their end. Comments and reconnection times between blocks belong to none. */
  *#blocks(bytes: Uint8Array): Generator<Uint8Array> {
    let start = 0
    let line = 0
    for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, end + 1)) {
      const first = this.#first ?? bytes[line]
      this.#first = undefined
      line = end + 1
      const isBetween = this.#isBetween && (first === COLON || first === R)
      this.#isBetween = isBetween || first === LF
      if (!this.#isBetween) continue
      yield bytes.subarray(start, line)
      start = line
      this.#start = this.#bytes + start
    }
    if (start < bytes.length) yield bytes.subarray(start)
    if (line < bytes.length) this.#first ??= bytes[line]
    this.#bytes += bytes.length
  }

  #feedBlock(block: Uint8Array): void {
    const idBefore = this.#parser.lastEventId
    const events = this.#parser.feed(block)
    const hasMoved = this.#parser.lastEventId !== idBefore
    if (hasMoved) this.lastEventId = this.#parser.lastEventId
    const place = {
      at: this.#settings.momentOf(this.#start),
      start: this.#start,
      id: this.lastEventId ?? ''
    }
    for (const { type, data } of events) this.#note({ ...place, event: type, data })
    if (hasMoved && events.length === 0) this.#note({ ...place, event: undefined, data: '' })
  }

  #note(received: Received): void {
    this.received.push(received)
    const { wantsMore } = this.#settings
    if (wantsMore !== undefined && !wantsMore(received)) this.#isDone = true
  }
}

/** The same of a whole response. */
export class ResponseReceiver extends Receiver {
  readonly #body = new BodyReader()

  /** Whether the response ended as it should. */
  get isEnded(): boolean {
    return this.#body.isEnded
  }

  override feed(bytes: Buffer): void {
    try {
      for (const piece of this.#body.feed(bytes)) super.feed(piece)
    } catch (error) {
      this.refuse(error)
    }
    if (this.#body.isEnded) this.end()
  }
}
