import { type Frame, pieceEnd } from './frame.ts'

/** What one write hands to a transport at most. */
export const PIECE_BYTES = 65_536

/**
 * The frames of one connection that have not been written yet, in order. They leave in pieces of up to 64 KiB, cut
 * anywhere but inside a character.
 */
export class Outbox {
  #text = ''
  #textBytes = 0
  /** Bytes before `#text`, of which those up to `#encodedStart` have left. */
  #encoded: Buffer | undefined
  #encodedStart = 0

  get byteLength(): number {
    return this.#textBytes + (this.#encoded === undefined ? 0 : this.#encoded.length - this.#encodedStart)
  }

  get isEmpty(): boolean {
    return this.#textBytes === 0 && this.#encoded === undefined
  }

  append(frame: Frame): void {
    this.#text += frame.text
    this.#textBytes += frame.byteLength
  }

  /** The next piece, which must exist: a string if it is ASCII. */
  take(): string | Uint8Array {
    if (this.#encoded !== undefined) return this.#takeEncoded(this.#encoded)
    const text = this.#text
    const isAscii = text.length === this.#textBytes
    const isPiece = this.#textBytes <= PIECE_BYTES
    this.#text = ''
    this.#textBytes = 0
    return isAscii && isPiece ? text : this.#takeEncoded(Buffer.from(text))
  }

  clear(): void {
    this.#text = ''
    this.#textBytes = 0
    this.#encoded = undefined
    this.#encodedStart = 0
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
