import type { ChannelLog, EpochLog, Moment, Published, SubscriptionLog } from './run-log.ts'

/** A place in a channel is the number of messages before it. */
export interface Place {
  readonly place: number
  readonly epoch: number
}

/** One channel's log, with what the checker looks up in it. */
export class ChannelPlaces {
  readonly log: ChannelLog
  readonly #places = new Map<string, Place>()
  readonly #newer: (Newer | undefined)[]

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

  /** Whether there was a newer message of the same key by then that passes the filter. */
  isSuperseded(index: number, by: Moment, filter: SubscriptionLog['filter']): boolean {
    let newer = this.#newer[index]
    while (newer !== undefined && filter?.(newer.message) === false) newer = this.#newer[newer.index]
    return newer !== undefined && newer.message.sentAt <= by
  }

  #count(isBefore: (message: Published) => boolean): number {
    return this.log.messages.findLastIndex((message) => isBefore(message)) + 1
  }

  #epochOf(index: number): number {
    return this.log.epochs.findLastIndex(({ start }: EpochLog) => start <= index)
  }
}

interface Newer {
  readonly index: number
  readonly message: Published
}

/** For each message, the next one of the same key. */
function newerOfSameKey(messages: readonly Published[]): (Newer | undefined)[] {
  const newest = new Map<string, Newer>()
  const newer: (Newer | undefined)[] = []
  for (const [back, message] of [...messages].reverse().entries()) {
    const index = messages.length - 1 - back
    newer[index] = newest.get(message.key)
    newest.set(message.key, { index, message })
  }
  return newer
}
