/**
 * Metrics for OpenTelemetry, exported every ten seconds and when the server closes, here to the console. Start it with
 * `npx tsx examples/opentelemetry.ts`, listen, publish, leave, and press Ctrl-C:
 *
 *     curl -N http://localhost:3000/news
 *     curl http://localhost:3000/news --json '{ "headline": "It works" }'
 *
 * The instruments are in `metrics/opentelemetry.ts`: a file for your project. Where OpenTelemetry is set up elsewhere, as
 * with `node --import`, they need only a meter: `metrics.getMeter('fastify-eventstream')` of `@opentelemetry/api`.
 */
import {
  ConsoleMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader
} from '@opentelemetry/sdk-metrics'
import Fastify from 'fastify'
import eventStream from '../lib/index.ts' // 'fastify-eventstream' in your project
import { eventStreamMetrics } from './metrics/opentelemetry.ts'

const provider = new MeterProvider({
  readers: [
    new PeriodicExportingMetricReader({
      exporter: new ConsoleMetricExporter(), // OTLPMetricExporter, to a collector
      exportIntervalMillis: 10_000,
      exportTimeoutMillis: 5_000
    })
  ]
})

const app = Fastify({ logger: true })
app.addHook('onClose', () => provider.shutdown()) // runs last, when all streams have ended
await app.register(eventStream)
await app.register(eventStreamMetrics, { meter: provider.getMeter('fastify-eventstream') })

const news = app.sse.channel('news')
app.get('/news', async (_request, reply) => {
  news.subscribe(reply.sseStart())
})
app.post('/news', async (request) => ({ id: await news.publish({ event: 'news', data: request.body }) }))

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => app.close())
await app.listen({ port: Number(process.env.PORT ?? 3000) })
