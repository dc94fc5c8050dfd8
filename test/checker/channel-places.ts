import type { ChannelLog, EpochLog, Moment, Published } from './run-log.ts'

/** A place in a channel is the number of messages before it. */
export interface Place {
  readonly place: number
  readonly epoch: number
}

/** One channel's log, with what the checker looks up in it. */
export class ChannelPlaces {
  readonly log: ChannelLog
  readonly #places = new Map<string, Place>()
  readonly #newer: (Published | undefined)[]

  constructor(log: ChannelLog) {
    this.log = log
    for (const [epoch, { origin, start }] of log.epochs.entries()) {
      if (origin !== undefined) this.#places.set(origin, { place: start, epoch })
    }
    for (const [index, { cursor }] of log.messages.entries()) {
      this.#places.set(cursor, { place: index + 1, epoch: this.#epochOf(index) })
    }
    this.#newer = newerOfSameKey(log.messages)
  }

  get length(): number {
    return this.log.messages.length
  }

  /** The place after the message with this cursor. */
  of(cursor: string): Place | undefined {
    return this.#places.get(cursor)
  }

  epochAt(moment: Moment): number {
    return this.log.epochs.findLastIndex(({ since }) => since <= moment)
  }

  startOf(epoch: number): number {
    return this.log.epochs[epoch]?.start ?? 0
  }

  /** How many messages had been sent by then. */
  sentUntil(moment: Moment): number {
    return this.#count(({ sentAt }) => sentAt <= moment)
  }

  acknowledgedUntil(moment: Moment): number {
    return this.#count(({ acknowledgedAt = Infinity }) => acknowledgedAt <= moment)
  }

  /** Whether there was a newer message of the same key by then. */
  isSuperseded(index: number, by: Moment): boolean {
    const newer = this.#newer[index]
    return newer !== undefined && newer.sentAt <= by
  }

  #count(isBefore: (message: Published) => boolean): number {
    return this.log.messages.findLastIndex((message) => isBefore(message)) + 1
  }

  #epochOf(index: number): number {
    return this.log.epochs.findLastIndex(({ start }: EpochLog) => start <= index)
  }
}

function newerOfSameKey(messages: readonly Published[]): (Published | undefined)[] {
  const newest = new Map<string, Published>()
  const newer: (Published | undefined)[] = []
  for (let index = messages.length - 1; index >= 0; index--) {
    const message = messages[index]
    if (message === undefined) continue
    newer[index] = newest.get(message.key)
    newest.set(message.key, message)
  }
  return newer
}
