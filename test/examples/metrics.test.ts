import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader
} from '@opentelemetry/sdk-metrics'
import type { FastifyInstance } from 'fastify'
import { Registry } from 'prom-client'
import t from 'tap'
import { eventStreamMetrics as openTelemetryMetrics } from '../../examples/metrics/opentelemetry.ts'
import { eventStreamMetrics as prometheusMetrics } from '../../examples/metrics/prom-client.ts'
import type { EventStreamOptions, EventStreamStats, SSEConnection } from '../../lib/index.ts'
import { Child } from '../helpers/child.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { build, listen, nextTurn, until } from '../helpers/server.ts'

type Values = Record<string, number>

/** The samples of a text in Prometheus' format, those of event streams: name with labels → value. */
function samplesOf(text: string): Values {
  const samples = text.matchAll(/^(eventstream_\S+?(?:\{.*\})?) (\S+)$/gm)
  return Object.fromEntries([...samples].map(([, name, value]) => [name, Number(value)]))
}

/** What both have, under the names of one: buckets differ in how they are told. */
function withoutBuckets(samples: Values): Values {
  return Object.fromEntries(Object.entries(samples).filter(([name]) => !name.includes('_bucket{')))
}

/** OpenTelemetry in memory, exported when the test says so. */
class Collector {
  readonly #exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE)
  readonly #reader = new PeriodicExportingMetricReader({ exporter: this.#exporter })
  readonly #provider = new MeterProvider({ readers: [this.#reader] })
  readonly meter = this.#provider.getMeter('fastify-eventstream')

  /** What is exported now, named as an exporter to Prometheus would. */
  async values(): Promise<Values> {
    this.#exporter.reset()
    await this.#reader.forceFlush()
    const values: Values = {}
    for (const { scopeMetrics } of this.#exporter.getMetrics()) {
      for (const { descriptor, dataPointType, dataPoints } of scopeMetrics.flatMap(
        ({ metrics }) => metrics
      )) {
        const unit = descriptor.unit === 's' ? '_seconds' : ''
        const name = descriptor.name.replaceAll('.', '_') + unit
        for (const { value, attributes } of dataPoints) {
          const labels = 'reason' in attributes ? `{reason="${attributes.reason}"}` : ''
          if (typeof value !== 'number') {
            values[`${name}_count`] = value.count
            values[`${name}_sum`] = value.sum ?? Number.NaN
          } else {
            values[name + (dataPointType === DataPointType.SUM ? '_total' : '') + labels] = value
          }
        }
      }
    }
    return values
  }

  shutdown(): Promise<void> {
    return this.#provider.shutdown()
  }
}

interface Test {
  teardown(fn: () => unknown): void
}

interface Metered {
  app: FastifyInstance
  /** What `prom-client` would answer. */
  prometheus: () => Promise<Values>
  /** What OpenTelemetry would export. */
  openTelemetry: () => Promise<Values>
}

/** A server with both kinds of metrics. */
async function metered(t: Test, options: EventStreamOptions = {}): Promise<Metered> {
  const registry = new Registry()
  const collector = new Collector()
  t.teardown(() => collector.shutdown())
  const app = await build(t, { heartbeatMs: false, ...options })
  await app.register(prometheusMetrics, { registry })
  await app.register(openTelemetryMetrics, { meter: collector.meter })
  return {
    app,
    prometheus: async () => samplesOf(await registry.metrics()),
    openTelemetry: () => collector.values()
  }
}

/** Resolves when the head is out: what fails before is answered as any error. */
async function untilOpen(sse: SSEConnection): Promise<void> {
  while (sse.state === 'opening') await nextTurn()
}

/** Routes of streams that end in each way that a server can end them. */
function addRoutes(app: FastifyInstance): void {
  const news = app.sse.channel('news', { maxMessages: 1 })
  app.get('/news', async (_request, reply) => {
    news.subscribe(reply.sseStart())
  })
  app.get('/brief', async (_request, reply) => {
    reply.sseStart().close()
  })
  app.get('/expiring', async (_request, reply) => {
    reply.sseStart({ expiresAt: Date.now() + 20 })
  })
  app.get('/failing', async (_request, reply) => {
    const sse = reply.sseStart()
    await sse.send('so far')
    await untilOpen(sse)
    throw new Error('on purpose')
  })
  app.get('/flood', async (_request, reply) => {
    const sse = reply.sseStart({ maxBufferedBytes: 1_000 })
    await untilOpen(sse)
    while (sse.state === 'open') sse.send('x'.repeat(1_000_000))
  })
}

const NOTHING: Values = {
  eventstream_connections: 0,
  eventstream_subscriptions: 0,
  eventstream_opened_total: 0,
  eventstream_refused_total: 0,
  eventstream_messages_total: 0,
  eventstream_bytes_total: 0,
  eventstream_evictions_total: 0,
  eventstream_published_total: 0,
  'eventstream_closed_total{reason="client"}': 0,
  'eventstream_closed_total{reason="server"}': 0,
  'eventstream_closed_total{reason="replaced"}': 0,
  'eventstream_closed_total{reason="shutdown"}': 0,
  'eventstream_closed_total{reason="slow"}': 0,
  'eventstream_closed_total{reason="expired"}': 0,
  'eventstream_closed_total{reason="error"}': 0,
  'eventstream_gaps_total{reason="expired"}': 0,
  'eventstream_gaps_total{reason="slow"}': 0,
  'eventstream_gaps_total{reason="unknown"}': 0,
  'eventstream_gaps_total{reason="uncertain"}': 0
}

/** Once no flush is under way: a slice that was longer than it should be leaves its rest to the next turn. */
async function settledStats(app: FastifyInstance): Promise<EventStreamStats> {
  const stats = app.sse.stats()
  for (let turn = 0; turn < 3; turn++) await nextTurn()
  return app.sse.stats().flushSlices === stats.flushSlices ? stats : settledStats(app)
}

t.test('examples › metrics › the instruments', async (t) => {
  await t.test('are all there from the start, at 0', async (t) => {
    const { prometheus, openTelemetry } = await metered(t)
    const { eventstream_flush_slice_seconds_count, eventstream_flush_slice_seconds_sum, ...others } =
      withoutBuckets(await prometheus())
    t.same(others, NOTHING)
    t.same([eventstream_flush_slice_seconds_count, eventstream_flush_slice_seconds_sum], [0, 0])
    t.same(
      await openTelemetry(),
      NOTHING,
      'but for the histogram, which OpenTelemetry begins with its first value'
    )
  })

  await t.test('count what is open, sent, published and missed', async (t) => {
    const { app, prometheus, openTelemetry } = await metered(t)
    addRoutes(app)
    const { port } = await listen(app)
    const before = await app.sse.cursor()
    for (const data of ['dropped', 'kept']) await app.sse.channel('news').publish(data)
    const newcomer = RawClient.get(port, '/news')
    const stranger = RawClient.get(port, '/news?lastEventId=nonsense')
    const late = RawClient.get(port, `/news?lastEventId=${before}`)
    const clients = [newcomer, stranger, late]
    await Promise.all([
      newcomer.until('id: '),
      stranger.until('"reason":"unknown"'),
      late.until('"reason":"expired"')
    ])
    await app.sse.channel('news').publish('heard')
    await Promise.all(clients.map((client) => client.until('data: heard')))
    const { messages, bytes } = app.sse.stats()
    const expected = {
      ...NOTHING,
      eventstream_connections: 3,
      eventstream_subscriptions: 3,
      eventstream_opened_total: 3,
      eventstream_messages_total: messages,
      eventstream_bytes_total: clients.reduce((sum, { body }) => sum + body.length, 0),
      eventstream_published_total: 3,
      'eventstream_gaps_total{reason="unknown"}': 1,
      'eventstream_gaps_total{reason="expired"}': 1
    }
    t.equal(bytes, expected.eventstream_bytes_total)
    t.match(await prometheus(), expected)
    t.match(await openTelemetry(), expected)
  })

  await t.test('tell why streams have ended', async (t) => {
    const { app, prometheus, openTelemetry } = await metered(t)
    addRoutes(app)
    const { port } = await listen(app)
    const leaving = RawClient.get(port, '/news')
    await leaving.until('id: ')
    leaving.socket.destroy()
    const ended = ['/brief', '/brief', '/expiring', '/failing'].map((path) => RawClient.get(port, path))
    const drowned = RawClient.get(port, '/flood')
    drowned.socket.pause()
    await until(() => app.sse.stats().opened === 6 && app.sse.connections.size === 0)
    drowned.socket.destroy()
    await Promise.all(ended.map((client) => client.until('\r\n0\r\n\r\n')))
    const staying = [RawClient.get(port, '/news'), RawClient.get(port, '/news'), RawClient.get(port, '/news')]
    await Promise.all(staying.map((client) => client.until('id: ')))
    await app.close()
    const expected = {
      ...NOTHING,
      eventstream_opened_total: 9,
      eventstream_messages_total: app.sse.stats().messages,
      eventstream_bytes_total: app.sse.stats().bytes,
      eventstream_evictions_total: 1,
      'eventstream_closed_total{reason="client"}': 1,
      'eventstream_closed_total{reason="server"}': 2,
      'eventstream_closed_total{reason="shutdown"}': 3,
      'eventstream_closed_total{reason="slow"}': 1,
      'eventstream_closed_total{reason="expired"}': 1,
      'eventstream_closed_total{reason="error"}': 1
    }
    t.match(await prometheus(), expected)
    t.match(await openTelemetry(), expected)
  })

  await t.test('measure how long a flush holds the event loop', async (t) => {
    const { app, prometheus, openTelemetry } = await metered(t)
    addRoutes(app)
    const { port } = await listen(app)
    const client = RawClient.get(port, '/news')
    await client.until('id: ')
    for (const data of ['1', '2', '3']) {
      await app.sse.channel('news').publish(data)
      await client.until(`data: ${data}`)
    }
    const { flushSlices, longestFlushSliceMs } = await settledStats(app)
    t.ok(flushSlices >= 3)
    for (const values of [await prometheus(), await openTelemetry()]) {
      t.equal(values.eventstream_flush_slice_seconds_count, flushSlices)
      const seconds = values.eventstream_flush_slice_seconds_sum ?? Number.NaN
      t.ok(seconds * 1_000 >= longestFlushSliceMs - 1e-6, 'all of them are at least as long as the longest')
      t.ok(seconds * 1_000 <= flushSlices * longestFlushSliceMs + 1e-6)
    }
    const samples = await prometheus()
    t.equal(samples['eventstream_flush_slice_seconds_bucket{le="+Inf"}'], flushSlices)
    t.ok('eventstream_flush_slice_seconds_bucket{le="0.004"}' in samples)
  })

  await t.test('stop to count when their server has closed', async (t) => {
    const { app, prometheus, openTelemetry } = await metered(t)
    await app.close()
    const { app: other } = await metered(t)
    await other.sse.channel('news').publish('of another server')
    t.match(await prometheus(), NOTHING)
    t.match(await openTelemetry(), NOTHING)
  })
})

t.test('examples › metrics', async (t) => {
  const { child, url } = await Child.listening(t, 'examples/metrics.ts')
  const port = Number(new URL(url).port)

  async function scrape(): Promise<{ response: Response; text: string; samples: Values }> {
    const response = await fetch(`${url}/metrics`)
    const text = await response.text()
    return { response, text, samples: samplesOf(text) }
  }

  /** Scrapes until these values are there: a client's leaving takes a moment to be seen. */
  async function scrapeUntil(expected: Values): Promise<Values> {
    for (;;) {
      const { samples } = await scrape()
      if (Object.entries(expected).every(([name, value]) => samples[name] === value)) return samples
    }
  }

  await t.test('answers /metrics in the format of Prometheus', async (t) => {
    const { response, text, samples } = await scrape()
    t.equal(response.status, 200)
    t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/)
    t.match(text, '# TYPE eventstream_connections gauge')
    t.match(text, '# TYPE eventstream_closed_total counter')
    t.match(text, '# TYPE eventstream_flush_slice_seconds histogram')
    t.match(text, '# TYPE nodejs_eventloop_lag_p99_seconds gauge', 'beside the metrics of the process')
    t.match(samples, NOTHING)
  })

  await t.test('counts streams and what goes over them', async (t) => {
    const clients = [RawClient.get(port, '/news'), RawClient.get(port, '/news?lastEventId=nonsense')]
    await Promise.all(clients.map((client) => client.until('id: ')))
    const headers = { 'content-type': 'application/json' }
    const body = JSON.stringify({ headline: 'It works' })
    await fetch(`${url}/news`, { method: 'POST', headers, body })
    await Promise.all(clients.map((client) => client.until('It works')))
    const { samples } = await scrape()
    t.match(samples, {
      ...NOTHING,
      eventstream_connections: 2,
      eventstream_subscriptions: 2,
      eventstream_opened_total: 2,
      eventstream_published_total: 1,
      eventstream_bytes_total: clients.reduce((sum, client) => sum + client.body.length, 0),
      eventstream_messages_total: Number(samples.eventstream_messages_total),
      'eventstream_gaps_total{reason="unknown"}': 1
    })
    t.ok(Number(samples.eventstream_messages_total) >= 2)
    t.ok(Number(samples.eventstream_flush_slice_seconds_count) > 0)

    clients[0]?.socket.destroy()
    await scrapeUntil({ eventstream_connections: 1, 'eventstream_closed_total{reason="client"}': 1 })
    await fetch(`${url}/news`, { method: 'DELETE' })
    const after = await scrapeUntil({
      eventstream_connections: 0,
      'eventstream_closed_total{reason="server"}': 1
    })
    t.equal(after['eventstream_closed_total{reason="client"}'], 1)
    t.ok(Number(after.eventstream_bytes_total) > Number(samples.eventstream_bytes_total), 'with the farewell')
  })

  t.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})

t.test('examples › opentelemetry', async (t) => {
  const { child, url } = await Child.listening(t, 'examples/opentelemetry.ts')
  const client = RawClient.get(Number(new URL(url).port), '/news')
  await client.until('id: ')
  t.same(await child.kill('SIGTERM'), { code: 0, signal: null })
  await client.closed
  for (const name of ['connections', 'opened', 'messages', 'bytes', 'closed', 'gaps', 'flush.slice']) {
    t.match(child.output, `name: 'eventstream.${name}'`, `${name} was exported`)
  }
  t.match(child.output, /reason: 'shutdown' \},[^}]*value: 1\b/, 'with the end of the stream that was open')
  t.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})
