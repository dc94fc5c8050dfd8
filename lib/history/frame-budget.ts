import type { LoggedFrame } from './history.ts'

/** What a frame takes in memory besides its text and its key, and what a log takes besides its frames. About. */
const FRAME_BYTES = 256
const LOG_BYTES = 768

/** A log as its frames see it. */
export interface FrameOwner {
  /** How many frames it keeps. */
  readonly length: number
  /** Whether its oldest frame is held by a reader that has not been offered it. */
  readonly isHeld: boolean
  dropOldest(): void
}

/** A frame in the list of all frames of a history. */
export interface KeptFrame extends LoggedFrame {
  readonly owner: FrameOwner
  /** When it came, as `dropUntil()` is to know it. */
  readonly time: number
  older: KeptFrame | undefined
  newer: KeptFrame | undefined
}

/** All frames of all logs that one history keeps in memory, a list from the oldest to the newest. */
export class FrameBudget {
  readonly #maxBytes: number
  #oldest: KeptFrame | undefined
  #newest: KeptFrame | undefined
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** When the oldest frame came. */
  get oldestTime(): number | undefined {
    return this.#oldest?.time
  }

  /** The frame is in its log. */
  add(frame: KeptFrame): void {
    frame.older = this.#newest
    if (this.#newest === undefined) this.#oldest = frame
    else this.#newest.newer = frame
    this.#newest = frame
    this.#bytes += memoryBytesOf(frame) + (frame.owner.length === 1 ? LOG_BYTES : 0)
  }

  /** The frame has left its log. */
  remove(frame: KeptFrame): void {
    const { older, newer } = frame
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    frame.older = undefined
    frame.newer = undefined
    this.#bytes -= memoryBytesOf(frame) + (frame.owner.length === 0 ? LOG_BYTES : 0)
  }

  /** Drops the oldest frames as long as there are too many bytes, held or not, but not the newest one. */
  trim(): void {
    while (this.#bytes > this.#maxBytes && this.#oldest !== this.#newest) this.#dropOldest()
  }

  /** Stops at a frame that is held: it is about to be released, and all that follow are newer. */
  dropUntil(time: number): void {
    while (this.#oldest !== undefined && this.#oldest.time <= time && !this.#oldest.owner.isHeld) {
      this.#dropOldest()
    }
  }

  clear(): void {
    while (this.#oldest !== undefined) this.#dropOldest()
  }

  #dropOldest(): void {
    this.#oldest?.owner.dropOldest()
  }
}

function memoryBytesOf({ byteLength, key }: KeptFrame): number {
  return byteLength + key.length + FRAME_BYTES
}
