import type { FrameBudget, FrameOwner, KeptFrame } from './frame-budget.ts'
import type { Cursor, LoggedFrame, ReadLimits } from './history.ts'

/** How many of the newest frames are looked through one by one. */
const NEAR = 8

/** The frames of one log that are in memory, numbered without holes. */
export class Frames {
  readonly #budget: FrameBudget
  readonly #owner: FrameOwner
  /** From `#start` on; those before have been dropped. */
  #frames: (KeptFrame | undefined)[] = []
  #start = 0
  #bytes = 0
  #headNumber: number
  /** Where the last page ended, from which most are read on. */
  #readCursor: Cursor | undefined
  #readNumber = 0
  /** The newest frame of each key, once somebody has asked. */
  #latest: Map<string, KeptFrame> | undefined

  /** @param headNumber the number before that of the first frame. */
  constructor(budget: FrameBudget, owner: FrameOwner, headNumber: number) {
    this.#budget = budget
    this.#owner = owner
    this.#headNumber = headNumber
  }

  get length(): number {
    return this.#frames.length - this.#start
  }

  /** Bytes of text. */
  get bytes(): number {
    return this.#bytes
  }

  /** The number of the newest frame. */
  get headNumber(): number {
    return this.#headNumber
  }

  /** The number before that of the oldest frame. */
  get baseNumber(): number {
    return this.#headNumber - this.length
  }

  append(cursor: Cursor, text: string, byteLength: number, key: string, arrival: number, time: number): void {
    const owner = this.#owner
    const frame = { cursor, text, byteLength, key, arrival, owner, time, older: undefined, newer: undefined }
    this.#headNumber++
    this.#frames.push(frame)
    this.#bytes += byteLength
    this.#latest?.set(key, frame)
    this.#budget.add(frame)
  }

  /** @returns what was dropped. */
  dropOldest(): KeptFrame | undefined {
    const frame = this.#frames[this.#start]
    if (frame === undefined) return undefined
    this.#frames[this.#start] = undefined
    this.#start++
    if (this.#start * 2 > this.#frames.length) this.#compact()
    this.#forget(frame)
    return frame
  }

  /** Takes back the frames after a number, as if they had never come. */
  cut(number: number): void {
    if (this.#readNumber > number) this.#readCursor = undefined
    while (this.#headNumber > number) {
      const frame = this.#frames.pop()
      this.#headNumber--
      if (frame !== undefined) this.#forget(frame)
    }
  }

  /** The number of one of the newest frames, which are asked for most often. */
  nearNumber(cursor: Cursor): number | undefined {
    if (cursor === this.#readCursor && this.#readNumber > this.baseNumber) return this.#readNumber
    const end = this.#frames.length
    const start = Math.max(this.#start, end - NEAR)
    for (let i = end - 1; i >= start; i--) {
      if (this.#frames[i]?.cursor === cursor) return this.#headNumber - (end - 1 - i)
    }
    return undefined
  }

  /** The frame whose number is one more. */
  after(number: number): LoggedFrame | undefined {
    return this.#frames[this.#start + number - this.baseNumber]
  }

  /** @returns what follows a number, and where that ends. */
  read(
    number: number,
    { maxBytes, idBytes, before, isLatestOnly }: ReadLimits
  ): { frames: readonly LoggedFrame[]; number: number } {
    const frames: LoggedFrame[] = []
    const base = this.baseNumber
    let end = number
    let bytes = 0
    for (let i = this.#start + number - base; i < this.#frames.length && bytes < maxBytes; i++) {
      const frame = this.#frames[i]
      if (frame === undefined || frame.arrival >= before) break
      end++
      if (isLatestOnly && this.newestOf(frame.key) !== frame) continue
      bytes += frame.byteLength + idBytes
      frames.push(frame)
    }
    this.#readCursor = this.#frames[this.#start + end - 1 - base]?.cursor
    this.#readNumber = end
    return { frames, number: end }
  }

  /** The newest frame that has a key. */
  newestOf(key: string): LoggedFrame | undefined {
    this.#latest ??= this.#latestFrames()
    return this.#latest.get(key)
  }

  #forget(frame: KeptFrame): void {
    this.#bytes -= frame.byteLength
    if (this.#latest?.get(frame.key) === frame) this.#latest.delete(frame.key)
    this.#budget.remove(frame)
  }

  #latestFrames(): Map<string, KeptFrame> {
    const latest = new Map<string, KeptFrame>()
    for (const frame of this.#frames) if (frame !== undefined) latest.set(frame.key, frame)
    return latest
  }

  #compact(): void {
    this.#frames = this.#frames.slice(this.#start)
    this.#start = 0
  }
}
