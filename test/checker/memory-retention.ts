import type { Moment, Published, Retention } from './run-log.ts'
import { sentUntilOf } from './sent-until.ts'

export interface MemoryLimits {
  readonly maxMessages: number
  readonly maxBytes: number
  readonly maxAgeMs: number | false
  readonly maxTotalBytes: number
}

/** What the memory history says it keeps: everything newer than its limits. */
export class MemoryRetention implements Retention {
  readonly keepsUnoffered: boolean
  readonly #all: Succession
  readonly #byChannel = new Map<string, Succession>()
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
    this.#all = new Succession(messages)
    this.keepsUnoffered = keepsUnoffered
    this.#limits = limits
    this.#msAt = msAt
  }

  mayHaveDropped(channel: string, message: Published, by: Moment): boolean {
    const { maxMessages, maxBytes, maxAgeMs, maxTotalBytes } = this.#limits(channel)
    if (maxAgeMs !== false && this.#msAt(by) - this.#msAt(message.sentAt - 1) >= maxAgeMs) return true
    const { count, bytes } = this.#of(channel).since(message, by)
    if (count > 1 && (count > maxMessages || bytes > maxBytes)) return true
    return !this.keepsUnoffered && totalOf(this.#all.listSince(message, by)) > maxTotalBytes
  }

  #of(channel: string): Succession {
    const known = this.#byChannel.get(channel)
    if (known !== undefined) return known
    const own = new Succession(
      this.#all.messages.filter(({ channels, isKept = true }) => isKept && channels.includes(channel))
    )
    this.#byChannel.set(channel, own)
    return own
  }
}

/** Messages in the order in which they were sent. */
class Succession {
  readonly messages: readonly Published[]
  readonly #indexes: ReadonlyMap<Published, number>
  readonly #sentUntil: (moment: Moment) => number
  /** Bytes of all before each of them. */
  readonly #bytesBefore: readonly number[]

  constructor(messages: readonly Published[]) {
    this.messages = messages
    this.#indexes = new Map(messages.map((message, index) => [message, index]))
    this.#sentUntil = sentUntilOf(messages)
    let bytes = 0
    this.#bytesBefore = [0, ...messages.map(({ byteLength }) => (bytes += byteLength))]
  }

  /** The message and all that were sent after it by then. */
  since(message: Published, by: Moment): { readonly count: number; readonly bytes: number } {
    const [first, end] = this.#range(message, by)
    return { count: end - first, bytes: (this.#bytesBefore[end] ?? 0) - (this.#bytesBefore[first] ?? 0) }
  }

  listSince(message: Published, by: Moment): readonly Published[] {
    return this.messages.slice(...this.#range(message, by))
  }

  #range(message: Published, by: Moment): [first: number, end: number] {
    return [this.#indexes.get(message) ?? 0, this.#sentUntil(by)]
  }
}

function totalOf(messages: readonly Published[]): number {
  const names = new Set(messages.flatMap(({ channels }) => channels))
  return [...names].reduce(
    (sum, name) => sum + memoryBytes(messages.filter(({ channels }) => channels.includes(name))),
    0
  )
}

/** What messages of one channel take in memory, as the reference says. */
export function memoryBytes(messages: readonly Pick<Published, 'byteLength' | 'data' | 'key'>[]): number {
  const channelBytes = messages.length === 0 ? 0 : 768
  return messages.reduce((sum, message) => sum + textBytes(message) + message.key.length + 256, channelBytes)
}

function textBytes({ byteLength, data }: Pick<Published, 'byteLength' | 'data'>): number {
  const more = Buffer.byteLength(data) - data.length
  return more === 0 ? byteLength : 2 * (byteLength - more)
}
