import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { EventStreamStats, FlushEvent } from '../../lib/index.ts' // 'fastify-eventstream' in your project

/** What the event streams did between two looks at them. */
export interface Metrics {
  /** When they were read: milliseconds since the epoch, which never go back while the process lives. */
  readonly time: number
  /** Streams that are open now, and those that were ever started. */
  readonly connections: number
  readonly opened: number
  /** Messages and bytes that were sent per second, to all streams together. */
  readonly messagesPerSecond: number
  readonly bytesPerSecond: number
  /** The longest time for which a flush held the event loop, in milliseconds. */
  readonly longestSliceMs: number
  /** Flushes per second. */
  readonly slicesPerSecond: number
  /** Gaps that clients were told, and readers cut off as too slow, since the process started. */
  readonly gaps: number
  readonly evictions: number
}

/** Reads metrics. Each reading covers the time since the one before, or since `start()`. */
export class MetricsReader {
  readonly #stats: () => EventStreamStats
  readonly #now: () => number
  #time = 0
  #before: EventStreamStats
  #longestSliceMs = 0

  constructor(stats: () => EventStreamStats, now: () => number) {
    this.#stats = stats
    this.#now = now
    this.#before = stats()
  }

  start(): void {
    subscribe('fastify-eventstream:flush', this.#channelOnFlush)
    this.read()
  }

  stop(): void {
    unsubscribe('fastify-eventstream:flush', this.#channelOnFlush)
  }

  read(): Metrics {
    const time = this.#now()
    const stats = this.#stats()
    const { connections, opened, gaps, evictions } = stats
    const seconds = Math.max(1, time - this.#time) / 1_000
    const perSecond = (count: 'messages' | 'bytes' | 'flushSlices') =>
      Number(((stats[count] - this.#before[count]) / seconds).toFixed(1))
    const metrics = {
      time,
      connections,
      opened,
      messagesPerSecond: perSecond('messages'),
      bytesPerSecond: perSecond('bytes'),
      longestSliceMs: Number(this.#longestSliceMs.toFixed(3)),
      slicesPerSecond: perSecond('flushSlices'),
      gaps,
      evictions
    }
    this.#time = time
    this.#before = stats
    this.#longestSliceMs = 0
    return metrics
  }

  /** `stats()` tells the longest of all time; this is that of one reading. */
  readonly #channelOnFlush = (event: unknown): void => {
    this.#longestSliceMs = Math.max(this.#longestSliceMs, (event as FlushEvent).durationMs)
  }
}
