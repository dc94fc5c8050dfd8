import type { Place } from '../history/place.ts'
import { PIECE_BYTES } from '../wire/batch.ts'
import { type Frame, pieceEnd } from '../wire/frame.ts'

/** Frames that have something published between them and those before, which goes out first. */
interface Segment {
  readonly place: Place
  text: string
  byteLength: number
}

/**
 * The frames that were sent to one connection alone and have not been written yet, in order. They leave in pieces of up
 * to 64 KiB, cut anywhere but inside a character.
 */
export class Outbox {
  #place: Place = 0
  #text = ''
  #textBytes = 0
  #later: Segment[] | undefined
  #laterBytes = 0
  /** Bytes before `#text`, of which those up to `#encodedStart` have left. */
  #encoded: Buffer | undefined
  #encodedStart = 0

  get byteLength(): number {
    const encodedBytes = this.#encoded === undefined ? 0 : this.#encoded.length - this.#encodedStart
    return encodedBytes + this.#textBytes + this.#laterBytes
  }

  get isEmpty(): boolean {
    return this.#textBytes === 0 && this.#encoded === undefined
  }

  /** The newest place when the next piece was appended: what is at or before it is to be written first. */
  get place(): Place {
    return this.#place
  }

  /** Whether a part of it has left that may end within a message, so that nothing else may follow. */
  get isCut(): boolean {
    return this.#encoded !== undefined
  }

  append(frame: Frame): void {
    const last = this.#later?.at(-1)
    if (last === undefined) {
      this.#text += frame.text
      this.#textBytes += frame.byteLength
    } else {
      last.text += frame.text
      last.byteLength += frame.byteLength
      this.#laterBytes += frame.byteLength
    }
  }

  /** `append()` behind everything at or before a place. */
  appendAfter(place: Place, frame: Frame): void {
    if (this.isEmpty) {
      this.#place = place
      this.append(frame)
    } else if ((this.#later?.at(-1)?.place ?? this.#place) === place) {
      this.append(frame)
    } else {
      this.#later ??= []
      this.#later.push({ place, text: frame.text, byteLength: frame.byteLength })
      this.#laterBytes += frame.byteLength
    }
  }

  /** Puts bytes before everything else, when nothing is cut. */
  cut(bytes: Buffer): void {
    this.#encoded = bytes
  }

  /** The next piece, which must exist: a string if it is ASCII. */
  take(): string | Uint8Array {
    const piece = this.#encoded === undefined ? this.#takeText() : this.#takeEncoded(this.#encoded)
    if (this.#textBytes === 0 && this.#encoded === undefined) this.#advance()
    return piece
  }

  #takeText(): string | Uint8Array {
    const text = this.#text
    const isAscii = text.length === this.#textBytes
    const isPiece = this.#textBytes <= PIECE_BYTES
    this.#text = ''
    this.#textBytes = 0
    return isAscii && isPiece ? text : this.#takeEncoded(Buffer.from(text))
  }

  #advance(): void {
    const next = this.#later?.shift()
    if (next === undefined) return
    this.#place = next.place
    this.#text = next.text
    this.#textBytes = next.byteLength
    this.#laterBytes -= next.byteLength
    if (this.#later?.length === 0) this.#later = undefined
  }

  #takeEncoded(encoded: Buffer): Uint8Array {
    const start = this.#encodedStart
    const end = pieceEnd(encoded, start, PIECE_BYTES)
    const isLast = end === encoded.length
    this.#encoded = isLast ? undefined : encoded
    this.#encodedStart = isLast ? 0 : end
    return encoded.subarray(start, end)
  }
}
