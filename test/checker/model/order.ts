import { type MemoryLimits, memoryBytes } from '../memory-retention.ts'
import type { Published } from '../run-log.ts'
import type { TriedChannelOptions } from '../schedules/library.ts'
import type { Place } from './place-id.ts'

type Publication = Pick<Published, 'event' | 'data' | 'key'>

/** One message in the order of all that is published: its channels keep it each on its own. */
export interface Entry extends Publication {
  readonly place: Place
  readonly channels: readonly string[]
  readonly text: string
  /** Of the text. */
  readonly byteLength: number
  readonly time: number
}

export interface Kept {
  readonly name: string
  readonly options: TriedChannelOptions
  entries: Entry[]
  /** Of the newest message that it dropped. */
  dropped: Place
  /** Of the newest message that it had. */
  newest: Place
}

let epochs = 0

/** The one history: an order, and what each channel keeps of it. */
export class Order {
  readonly epoch: string = String(epochs++).padStart(8, 'e')
  /** The newest place. */
  head: Place = 0
  /** What the head was at the last flush. */
  offered: Place = 0
  readonly channels: ReadonlyMap<string, Kept>
  readonly #limits: MemoryLimits
  /** Whether a subscribed reader who keeps up has not been offered what the channel has at a place. */
  readonly #isWaitedFor: (channel: Kept, place: Place) => boolean
  #timer: NodeJS.Timeout | undefined

  constructor(
    limits: MemoryLimits,
    channels: readonly (readonly [string, TriedChannelOptions])[],
    isWaitedFor: (channel: Kept, place: Place) => boolean
  ) {
    this.#limits = limits
    this.#isWaitedFor = isWaitedFor
    this.channels = new Map(
      channels.map(([name, options]) => [name, { name, options, entries: [], dropped: 0, newest: 0 }])
    )
  }

  channel(name: string): Kept {
    const channel = this.channels.get(name)
    if (channel === undefined) throw new Error(`no channel ${name}`)
    return channel
  }

  append(names: readonly string[], message: Publication): Entry {
    const text = textOf(message.event, message.data)
    const size = { text, byteLength: Buffer.byteLength(text), time: performance.now() }
    const entry = { ...message, ...size, channels: names, place: ++this.head }
    for (const name of names) {
      const channel = this.channel(name)
      channel.entries.push(entry)
      channel.newest = entry.place
    }
    this.trim()
    return entry
  }

  /** Drops what is over the limits. */
  trim(): void {
    const { maxMessages, maxBytes, maxAgeMs, maxTotalBytes } = this.#limits
    const kept = [...this.channels.values()]
    const oldestTime = performance.now() - (maxAgeMs || Infinity)
    for (const channel of kept) {
      const isOver = (): boolean =>
        channel.entries.length > 1 && (channel.entries.length > maxMessages || bytesOf(channel) > maxBytes)
      const isOld = (): boolean => (channel.entries[0]?.time ?? Infinity) <= oldestTime
      while ((isOver() || isOld()) && !this.#isHeld(channel)) this.#drop(channel)
    }
    const count = (): number => kept.reduce((sum, { entries }) => sum + entries.length, 0)
    const total = (): number => kept.reduce((sum, { entries }) => sum + memoryBytes(entries), 0)
    const first = ({ entries }: Kept): number => entries[0]?.place ?? Infinity
    while (count() > 1 && total() > maxTotalBytes)
      this.#drop(kept.reduce((a, b) => (first(b) < first(a) ? b : a)))
    if (maxAgeMs !== false && count() > 0) this.#timer ??= setTimeout(() => this.#beat(), maxAgeMs)
  }

  close(): void {
    for (const channel of this.channels.values()) channel.entries = []
    clearTimeout(this.#timer)
  }

  #beat(): void {
    this.#timer = undefined
    this.trim()
  }

  #isHeld(channel: Kept): boolean {
    return this.#isWaitedFor(channel, channel.entries[0]?.place ?? 0)
  }

  #drop(channel: Kept): void {
    channel.dropped = channel.entries.shift()?.place ?? channel.dropped
  }
}

/** An event as it is on the wire. */
export function textOf(event: string, data: string | object): string {
  const lines = (typeof data === 'string' ? data : JSON.stringify(data)).replaceAll('\n', '\ndata: ')
  return `${event === 'message' ? '' : `event: ${event}\n`}data: ${lines}\n\n`
}

function bytesOf({ entries }: Kept): number {
  return entries.reduce((sum, { byteLength }) => sum + byteLength, 0)
}
