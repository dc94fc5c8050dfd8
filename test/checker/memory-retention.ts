import type { ChannelLog, Moment, Published, Retention } from './run-log.ts'

export interface MemoryLimits {
  readonly maxMessages: number
  readonly maxBytes: number
  readonly maxAgeMs: number | false
  readonly maxTotalBytes: number
}

/** What the memory history says it keeps: everything newer than its limits. */
export class MemoryRetention implements Retention {
  readonly keepsUnoffered: boolean
  readonly #channels: ReadonlyMap<string, ChannelLog>
  readonly #limits: (channel: string) => MemoryLimits
  readonly #msAt: (moment: Moment) => number

  /**
   * @param msAt the clock in milliseconds: at the latest for a moment.
   * @param keepsUnoffered whether the limit over all channels is never reached.
   */
  constructor(
    channels: readonly ChannelLog[],
    limits: (channel: string) => MemoryLimits,
    msAt: (moment: Moment) => number,
    keepsUnoffered: boolean
  ) {
    this.keepsUnoffered = keepsUnoffered
    this.#channels = new Map(channels.map((log) => [log.name, log]))
    this.#limits = limits
    this.#msAt = msAt
  }

  mayHaveDropped(channel: string, index: number, by: Moment): boolean {
    const log = this.#channels.get(channel)
    const message = log?.messages[index]
    if (log === undefined || message === undefined || message.sentAt > by) return false
    const restart = log.epochs.find(({ start, since }) => start > index && since <= by)
    return restart !== undefined || this.#isOverLimits(log, index, message, by)
  }

  #isOverLimits({ name, messages }: ChannelLog, index: number, message: Published, by: Moment): boolean {
    const { maxMessages, maxBytes, maxAgeMs, maxTotalBytes } = this.#limits(name)
    if (maxAgeMs !== false && this.#msAt(by) - this.#msAt(message.sentAt - 1) >= maxAgeMs) return true
    let count = 0
    let bytes = 0
    for (let i = index; i < messages.length; i++) {
      const { byteLength, sentAt } = messages[i] ?? message
      if (sentAt > by) break
      count++
      bytes += byteLength
    }
    if (count > 1 && (count > maxMessages || bytes > maxBytes)) return true
    return !this.keepsUnoffered && this.#totalSince(message.sentAt, by) > maxTotalBytes
  }

  #totalSince(since: Moment, by: Moment): number {
    let bytes = 0
    for (const { messages } of this.#channels.values()) {
      bytes += memoryBytes(messages.filter(({ sentAt }) => sentAt >= since && sentAt <= by))
    }
    return bytes
  }
}

/** What messages of one channel take in memory, as the README says. */
export function memoryBytes(messages: readonly Published[]): number {
  const channelBytes = messages.length === 0 ? 0 : 768
  return messages.reduce((sum, { byteLength, key }) => sum + byteLength + key.length + 256, channelBytes)
}
