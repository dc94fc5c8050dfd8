import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Meter } from '@opentelemetry/api'
import type { FastifyInstance } from 'fastify'
// 'fastify-eventstream' in your project
import type { CloseEvent, CloseReason, FlushEvent, GapEvent, GapReason } from '../../lib/index.ts'

const CLOSE_REASONS: CloseReason[] = ['client', 'server', 'replaced', 'shutdown', 'slow', 'expired', 'error']
const GAP_REASONS: GapReason[] = ['unknown', 'expired', 'slow', 'uncertain']

/** Slices are meant to end after 4 ms. */
const SLICE_SECONDS = [0.0001, 0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064]

/**
 * The metrics of this server's event streams, for OpenTelemetry. What `stats()` counts is read at each export. What it does
 * not tell apart comes from diagnostics channels, which are the process's: they tell of all its servers.
 */
export async function eventStreamMetrics(app: FastifyInstance, { meter }: { meter: Meter }): Promise<void> {
  const connections = meter.createObservableGauge('eventstream.connections', {
    description: 'Streams that are open',
    unit: '{connection}'
  })
  const subscriptions = meter.createObservableGauge('eventstream.subscriptions', {
    description: 'Subscriptions to channels',
    unit: '{subscription}'
  })
  const opened = meter.createObservableCounter('eventstream.opened', {
    description: 'Streams that were started',
    unit: '{connection}'
  })
  const refused = meter.createObservableCounter('eventstream.refused', {
    description: 'Streams that were refused',
    unit: '{connection}'
  })
  const messages = meter.createObservableCounter('eventstream.messages', {
    description: 'Messages sent, once for each stream',
    unit: '{message}'
  })
  const bytes = meter.createObservableCounter('eventstream.bytes', {
    description: 'Bytes of messages and comments sent',
    unit: 'By'
  })
  const evictions = meter.createObservableCounter('eventstream.evictions', {
    description: 'Streams cut off as too slow',
    unit: '{connection}'
  })
  const observed = [connections, subscriptions, opened, refused, messages, bytes, evictions]
  meter.addBatchObservableCallback((result) => {
    const stats = app.sse.stats()
    result.observe(connections, stats.connections)
    result.observe(subscriptions, stats.subscriptions)
    result.observe(opened, stats.opened)
    result.observe(refused, stats.refused)
    result.observe(messages, stats.messages)
    result.observe(bytes, stats.bytes)
    result.observe(evictions, stats.evictions)
  }, observed)

  const closed = meter.createCounter('eventstream.closed', {
    description: 'Streams that have ended, by reason',
    unit: '{connection}'
  })
  const gaps = meter.createCounter('eventstream.gaps', {
    description: 'Losses of messages that clients were told, by reason',
    unit: '{gap}'
  })
  const published = meter.createCounter('eventstream.published', {
    description: 'Messages published by this process',
    unit: '{message}'
  })
  const slices = meter.createHistogram('eventstream.flush.slice', {
    description: 'Time for which a flush held the event loop',
    unit: 's',
    advice: { explicitBucketBoundaries: SLICE_SECONDS }
  })

  // From the start at 0, so that rates count the first one too.
  for (const reason of CLOSE_REASONS) closed.add(0, { reason })
  for (const reason of GAP_REASONS) gaps.add(0, { reason })
  published.add(0)

  const listeners: [string, (event: unknown) => void][] = [
    ['fastify-eventstream:close', (event) => closed.add(1, { reason: (event as CloseEvent).reason })],
    ['fastify-eventstream:gap', (event) => gaps.add(1, { reason: (event as GapEvent).reason })],
    ['fastify-eventstream:publish', () => published.add(1)],
    ['fastify-eventstream:flush', (event) => slices.record((event as FlushEvent).durationMs / 1_000)]
  ]
  for (const [channel, listener] of listeners) subscribe(channel, listener)
  app.addHook('onClose', async () => {
    for (const [channel, listener] of listeners) unsubscribe(channel, listener)
  })
}
