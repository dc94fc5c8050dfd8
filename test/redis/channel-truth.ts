import { compare, msOf } from './places.ts'
import type { ChannelLog, Epoch } from './run-log.ts'

/** What was in one channel's stream, and when. Entries are lost from the end, so an epoch is what is left and what came. */
export class ChannelTruth {
  readonly log: ChannelLog
  /** The ids of all messages that are known to have been there, in order. */
  readonly #ids: readonly string[]
  /** How many more there may have been that nobody saw. */
  readonly #unseen: number

  constructor(log: ChannelLog, ids: Iterable<string>, unseen: number) {
    this.log = log
    this.#ids = [...ids].sort(compare)
    this.#unseen = unseen
  }

  epochAt(moment: number): number {
    return this.log.epochs.findLastIndex(({ since }) => since <= moment)
  }

  bornIn(place: string): number {
    return this.epochAt(msOf(place))
  }

  /** The last epoch that had the entry of this place. */
  lastEpochOf(place: string): number {
    let epoch = this.bornIn(place)
    while (this.#survives(place, this.log.epochs[epoch + 1])) epoch++
    return epoch
  }

  isIn(place: string, epoch: number): boolean {
    return this.bornIn(place) <= epoch && epoch <= this.lastEpochOf(place)
  }

  /** The messages after one place, up to another one. */
  *between(from: string, to: string): Generator<string> {
    for (let i = this.#indexAfter(from); i < this.#ids.length; i++) {
      const id = this.#ids[i] ?? ''
      if (compare(id, to) > 0) return
      yield id
    }
  }

  /** The messages up to a place, the newest first. */
  *upTo(place: string): Generator<string> {
    for (let i = this.#indexAfter(place) - 1; i >= 0; i--) yield this.#ids[i] ?? ''
  }

  /** Whether so many came after it that the history may have dropped it. */
  mayBeTrimmed(place: string, by: number): boolean {
    let newer = this.#unseen
    for (let i = this.#indexAfter(place); i < this.#ids.length; i++) {
      if (msOf(this.#ids[i] ?? '') > by) break
      newer++
    }
    return newer >= this.log.maxLength
  }

  #survives(place: string, next: Epoch | undefined): boolean {
    return next !== undefined && next.last !== '' && compare(place, next.last) <= 0
  }

  /** The index of the first message after a place. */
  #indexAfter(place: string): number {
    let low = 0
    let high = this.#ids.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (compare(this.#ids[middle] ?? '', place) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
