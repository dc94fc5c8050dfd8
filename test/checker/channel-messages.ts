import type { ChannelLog, Moment, Published, SubscriptionLog } from './run-log.ts'
import { sentUntilOf } from './sent-until.ts'

/** One channel's messages in their order, with what the judge looks up in them. A place is a number of messages. */
export class ChannelMessages {
  readonly log: ChannelLog
  readonly all: readonly Published[]
  /** The place after all that had been sent by then. */
  readonly sentUntil: (moment: Moment) => number
  readonly #indexes: ReadonlyMap<Published, number>
  readonly #newer: readonly (number | undefined)[]

  constructor(log: ChannelLog, messages: readonly Published[]) {
    this.log = log
    this.all = messages.filter(({ channels }) => channels.includes(log.name))
    this.sentUntil = sentUntilOf(this.all)
    this.#indexes = new Map(this.all.map((message, index) => [message, index]))
    this.#newer = newerOfSameKey(this.all)
  }

  get length(): number {
    return this.all.length
  }

  indexOf(message: Published): number {
    return this.#indexes.get(message) ?? -1
  }

  /** Whether there was a newer message of the same key by then that is wanted too. */
  isSuperseded(index: number, by: Moment, isWanted: (message: Published) => boolean): boolean {
    for (let newer = this.#newer[index]; newer !== undefined; newer = this.#newer[newer]) {
      const message = this.all[newer]
      if (message !== undefined && isWanted(message)) return message.sentAt <= by
    }
    return false
  }
}

/** A filter that throws has not selected the message. */
export function selects({ filter, isTooEarly }: SubscriptionLog, message: Published): boolean {
  if (isTooEarly?.(message)) return false
  try {
    return filter === undefined || filter(message)
  } catch {
    return false
  }
}

/** For each message that is kept, the index of the next one of the same key. */
function newerOfSameKey(messages: readonly Published[]): (number | undefined)[] {
  const newest = new Map<string, number>()
  const newer: (number | undefined)[] = []
  for (let index = messages.length - 1; index >= 0; index--) {
    const { key = '', isKept = true } = messages[index] ?? {}
    if (!isKept) continue
    newer[index] = newest.get(key)
    newest.set(key, index)
  }
  return newer
}
