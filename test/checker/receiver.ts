import { StrictParser } from '../helpers/strict-parser.ts'
import type { Moment, Received } from './run-log.ts'

const LF = 0x0a

/** Reads one stream as a client does, and writes down what was complete. */
export class Receiver {
  readonly received: Received[] = []
  refusal: string | undefined
  /** What the client would come back with. */
  lastEventId: string | undefined
  readonly #now: () => Moment
  readonly #parser = new StrictParser()
  #lastByte = 0
  #bytes = 0
  /** Bytes before the block that is being read. */
  #start = 0

  constructor(resumedFrom: string | undefined, now: () => Moment) {
    this.lastEventId = resumedFrom
    this.#now = now
  }

  /** Takes bytes that may be cut anywhere. What follows a refusal is not read. */
  feed(bytes: Uint8Array): void {
    if (this.refusal !== undefined) return
    try {
      for (const block of this.#blocks(bytes)) this.#feedBlock(block)
    } catch (error) {
      this.refusal = String(error).slice(0, 200)
    }
  }

  /** The stream ended as it should, not in the middle of a block. */
  end(): void {
    if (this.refusal !== undefined) return
    try {
      this.#parser.end()
    } catch (error) {
      this.refusal = String(error).slice(0, 200)
    }
  }

  /** Pieces with at most one blank line, at their end. */
  *#blocks(bytes: Uint8Array): Generator<Uint8Array> {
    let start = 0
    for (let end = bytes.indexOf(LF); end >= 0; end = bytes.indexOf(LF, end + 1)) {
      const before = end === 0 ? this.#lastByte : bytes[end - 1]
      if (before !== LF) continue
      yield bytes.subarray(start, end + 1)
      start = end + 1
      this.#start = this.#bytes + start
    }
    if (start < bytes.length) yield bytes.subarray(start)
    this.#bytes += bytes.length
    this.#lastByte = bytes.at(-1) ?? this.#lastByte
  }

  #feedBlock(block: Uint8Array): void {
    const idBefore = this.#parser.lastEventId
    const events = this.#parser.feed(block)
    const hasMoved = this.#parser.lastEventId !== idBefore
    if (hasMoved) this.lastEventId = this.#parser.lastEventId
    const id = this.lastEventId ?? ''
    const place = { at: this.#now(), start: this.#start, id }
    for (const { type, data } of events) this.received.push({ ...place, event: type, data })
    if (hasMoved && events.length === 0) this.received.push({ ...place, event: undefined, data: '' })
  }
}
