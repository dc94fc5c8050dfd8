import type { Moment, Published, Retention } from './run-log.ts'

export interface MemoryLimits {
  readonly maxMessages: number
  readonly maxBytes: number
  readonly maxAgeMs: number | false
  readonly maxTotalBytes: number
}

/** What the memory history says it keeps: everything newer than its limits. */
export class MemoryRetention implements Retention {
  readonly keepsUnoffered: boolean
  readonly #messages: readonly Published[]
  readonly #limits: (channel: string) => MemoryLimits
  readonly #msAt: (moment: Moment) => number

  /**
   * @param messages all of all channels, in order.
   * @param msAt the clock in milliseconds: at the latest for a moment.
   * @param keepsUnoffered whether the limit over all channels is never reached.
   */
  constructor(
    messages: readonly Published[],
    limits: (channel: string) => MemoryLimits,
    msAt: (moment: Moment) => number,
    keepsUnoffered: boolean
  ) {
    this.#messages = messages
    this.keepsUnoffered = keepsUnoffered
    this.#limits = limits
    this.#msAt = msAt
  }

  mayHaveDropped(channel: string, message: Published, by: Moment): boolean {
    const { maxMessages, maxBytes, maxAgeMs, maxTotalBytes } = this.#limits(channel)
    if (maxAgeMs !== false && this.#msAt(by) - this.#msAt(message.sentAt - 1) >= maxAgeMs) return true
    const since = this.#since(message, by)
    const own = since.filter(({ channels }) => channels.includes(channel))
    if (own.length > 1 && (own.length > maxMessages || bytesOf(own) > maxBytes)) return true
    return !this.keepsUnoffered && totalOf(since) > maxTotalBytes
  }

  /** The message and all that were sent after it by then. */
  #since({ sentAt }: Published, by: Moment): readonly Published[] {
    const first = this.#messages.findIndex((message) => message.sentAt >= sentAt)
    const end = this.#messages.findLastIndex((message) => message.sentAt <= by) + 1
    return this.#messages.slice(first, end)
  }
}

function bytesOf(messages: readonly Published[]): number {
  return messages.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

function totalOf(messages: readonly Published[]): number {
  const names = new Set(messages.flatMap(({ channels }) => channels))
  return [...names].reduce(
    (sum, name) => sum + memoryBytes(messages.filter(({ channels }) => channels.includes(name))),
    0
  )
}

/** What messages of one channel take in memory, as the README says. */
export function memoryBytes(messages: readonly Published[]): number {
  const channelBytes = messages.length === 0 ? 0 : 768
  return messages.reduce((sum, { byteLength, key }) => sum + byteLength + key.length + 256, channelBytes)
}
