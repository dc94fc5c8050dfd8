import type { Transport } from '../../../lib/connection/transport/transport.ts'
import type { Batch } from '../../../lib/wire/batch.ts'
import type { Moment } from '../run-log.ts'

/**
 * A transport whose bytes wait until they are read: the first `kernelBytes` of them count as gone, as those do that an
 * operating system has taken. From `highWaterBytes` on it asks to wait, as Node's sockets do.
 */
export class Pipe implements Transport {
  readonly #kernelBytes: number
  readonly #highWaterBytes: number
  readonly #now: () => Moment
  /** After how many bytes, and when, each write ended. */
  readonly #writes: { readonly end: number; readonly at: Moment }[] = []
  #unread: Uint8Array[] = []
  #unreadBytes = 0
  #isWaitedFor = false
  writtenBytes = 0
  /** After how many bytes it asked to wait. */
  readonly refused: number[] = []
  /** Whether the head has left. */
  hasStarted = false
  /** Writes after the end, and while the reader is waited for. */
  wrongWrites = 0
  isEnded = false
  isDestroyed = false

  constructor(kernelBytes: number, highWaterBytes: number, now: () => Moment) {
    this.#now = now
    this.#kernelBytes = kernelBytes
    this.#highWaterBytes = highWaterBytes
  }

  start(): void {
    this.hasStarted = true
  }

  get bufferedBytes(): number {
    return Math.max(0, this.#unreadBytes - this.#kernelBytes)
  }

  get flushedBytes(): number {
    return this.writtenBytes - this.bufferedBytes
  }

  get isWritable(): boolean {
    return !this.#isWaitedFor && !this.isEnded && !this.isDestroyed
  }

  get unreadBytes(): number {
    return this.#unreadBytes
  }

  write(data: string | Uint8Array): boolean {
    if (this.isEnded || this.isDestroyed || this.#isWaitedFor) this.wrongWrites++
    const bytes = typeof data === 'string' ? Buffer.from(data, 'latin1') : data
    this.hasStarted = true
    this.#unread.push(bytes)
    this.#unreadBytes += bytes.length
    this.writtenBytes += bytes.length
    this.#writes.push({ end: this.writtenBytes, at: this.#now() })
    this.#isWaitedFor = this.bufferedBytes >= this.#highWaterBytes
    if (this.#isWaitedFor) this.refused.push(this.writtenBytes)
    return !this.#isWaitedFor
  }

  writeBatch({ payload }: Batch): boolean {
    return this.write(payload)
  }

  /** When the byte after so many was written. */
  writtenAt(start: number): Moment {
    const { at } = this.#writes.find(({ end }) => end > start) ?? { at: this.#now() }
    return at
  }

  end(): void {
    this.isEnded = true
  }

  breakOff(): void {
    this.isEnded = true
  }

  destroy(): void {
    this.isDestroyed = true
  }

  /** The reader takes up to so many bytes. */
  read(limit: number): Uint8Array {
    const taken: Uint8Array[] = []
    let left = limit
    while (left > 0) {
      const next = this.#unread.shift()
      if (next === undefined) break
      if (next.length > left) this.#unread.unshift(next.subarray(left))
      taken.push(next.subarray(0, left))
      left -= Math.min(left, next.length)
    }
    const bytes = Buffer.concat(taken)
    this.#unreadBytes -= bytes.length
    return bytes
  }

  /** Whether the writer must be told that it may go on. It is asked once. */
  takeDrain(): boolean {
    const hasDrained = this.#isWaitedFor && this.bufferedBytes === 0
    if (hasDrained) this.#isWaitedFor = false
    return hasDrained
  }
}
