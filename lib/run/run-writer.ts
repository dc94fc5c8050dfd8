import type { KeyedFrame } from '../channel/channels.ts'
import { nextTurn } from '../connection/next-turn.ts'

/** How many bytes wait for those that are being written. */
const MAX_WAITING_BYTES = 65_536

/** Appends a run's messages: what comes in one turn, or while others are on their way, in one step. */
export class RunWriter {
  readonly #append: (frames: readonly KeyedFrame[]) => Promise<unknown>
  #waiting: KeyedFrame[] = []
  #bytes = 0
  #writing: Promise<void> | undefined

  /** @param append does not reject. */
  constructor(append: (frames: readonly KeyedFrame[]) => Promise<unknown>) {
    this.#append = append
  }

  /** Resolves when more may be written. */
  async write(frame: KeyedFrame): Promise<void> {
    this.#waiting.push(frame)
    this.#bytes += frame.byteLength
    this.#writing ??= this.#writeAll()
    if (this.#bytes >= MAX_WAITING_BYTES) await this.#writing
  }

  /** Writes no more. @returns what has not been begun to be written, when the rest is. */
  async close(): Promise<readonly KeyedFrame[]> {
    const waiting = this.#waiting.splice(0)
    await this.#writing
    return waiting
  }

  async #writeAll(): Promise<void> {
    await nextTurn()
    while (this.#waiting.length > 0) {
      const frames = this.#waiting
      this.#waiting = []
      this.#bytes = 0
      await this.#append(frames)
    }
    this.#writing = undefined
  }
}
