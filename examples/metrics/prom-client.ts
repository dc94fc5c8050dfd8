import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
// 'fastify-eventstream' in your project
import type {
  CloseEvent,
  CloseReason,
  EventStreamStats,
  FlushEvent,
  GapEvent,
  GapReason
} from '../../lib/index.ts'

const CLOSE_REASONS: CloseReason[] = ['client', 'server', 'replaced', 'shutdown', 'slow', 'expired', 'error']
const GAP_REASONS: GapReason[] = ['unknown', 'expired', 'slow', 'uncertain']

/** Slices are meant to end after 4 ms. */
const SLICE_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064]

/**
 * The metrics of this server's event streams, for `prom-client`. What `stats()` counts is read at each scrape. What it does
 * not tell apart comes from diagnostics channels, which are the process's: they tell of all its servers.
 */
export async function eventStreamMetrics(
  app: FastifyInstance,
  { registry }: { registry: Registry }
): Promise<void> {
  const registers = [registry]

  function gauge(name: string, help: string, read: (stats: EventStreamStats) => number): void {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read(app.sse.stats()))
      }
    })
  }

  function counter(name: string, help: string, read: (stats: EventStreamStats) => number): void {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset()
        this.inc(read(app.sse.stats()))
      }
    })
  }

  gauge('eventstream_connections', 'Streams that are open', ({ connections }) => connections)
  gauge('eventstream_subscriptions', 'Subscriptions to channels', ({ subscriptions }) => subscriptions)
  counter('eventstream_opened_total', 'Streams that were started', ({ opened }) => opened)
  counter('eventstream_refused_total', 'Streams that were refused', ({ refused }) => refused)
  counter('eventstream_messages_total', 'Messages sent, once for each stream', ({ messages }) => messages)
  counter('eventstream_bytes_total', 'Bytes of messages and comments sent', ({ bytes }) => bytes)
  counter('eventstream_evictions_total', 'Streams cut off as too slow', ({ evictions }) => evictions)

  const closed = new Counter({
    name: 'eventstream_closed_total',
    help: 'Streams that have ended, by reason',
    labelNames: ['reason'],
    registers
  })
  const gaps = new Counter({
    name: 'eventstream_gaps_total',
    help: 'Losses of messages that clients were told, by reason',
    labelNames: ['reason'],
    registers
  })
  const published = new Counter({
    name: 'eventstream_published_total',
    help: 'Messages published by this process',
    registers
  })
  const slices = new Histogram({
    name: 'eventstream_flush_slice_seconds',
    help: 'Time for which a flush held the event loop',
    buckets: SLICE_SECONDS,
    registers
  })

  // From the start at 0, so that rates count the first one too.
  for (const reason of CLOSE_REASONS) closed.inc({ reason }, 0)
  for (const reason of GAP_REASONS) gaps.inc({ reason }, 0)

  const listeners: [string, (event: unknown) => void][] = [
    ['fastify-eventstream:close', (event) => closed.inc({ reason: (event as CloseEvent).reason })],
    ['fastify-eventstream:gap', (event) => gaps.inc({ reason: (event as GapEvent).reason })],
    ['fastify-eventstream:publish', () => published.inc()],
    ['fastify-eventstream:flush', (event) => slices.observe((event as FlushEvent).durationMs / 1_000)]
  ]
  for (const [channel, listener] of listeners) subscribe(channel, listener)
  app.addHook('onClose', async () => {
    for (const [channel, listener] of listeners) unsubscribe(channel, listener)
  })
}
