/**
 * Metrics for Prometheus. Start it with `npx tsx examples/metrics.ts`, listen, publish, leave, and see what is counted:
 *
 *     curl -N http://localhost:3000/news
 *     curl http://localhost:3000/news --json '{ "headline": "It works" }'
 *     curl http://localhost:3000/metrics
 *
 * The metrics are in `metrics/prom-client.ts`: a file for your project. See `opentelemetry.ts` for the same elsewhere.
 */
import Fastify from 'fastify'
import { collectDefaultMetrics, Registry } from 'prom-client'
import eventStream from '../lib/index.ts' // 'fastify-eventstream' in your project
import { eventStreamMetrics } from './metrics/prom-client.ts'

const registry = new Registry()
collectDefaultMetrics({ register: registry }) // the process's own: CPU, memory, event loop

const app = Fastify({ logger: true })
await app.register(eventStream)
await app.register(eventStreamMetrics, { registry })

app.get('/metrics', async (_request, reply) => {
  reply.type(registry.contentType)
  return await registry.metrics()
})

const news = app.sse.channel('news')
app.get('/news', async (_request, reply) => {
  news.subscribe(reply.sseStart())
})
app.post('/news', async (request) => ({ id: await news.publish({ event: 'news', data: request.body }) }))
app.delete('/news', async () => ({ closed: app.sse.closeWhere(() => true) }))

await app.listen({ port: Number(process.env.PORT ?? 3000) })
