/**
 * One event stream for all tabs of a page. Start it with `npx tsx examples/many-tabs.ts`, open the page in ten tabs, publish,
 * and close the tab that leads.
 */
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import Fastify from 'fastify'
import eventStream from '../lib/index.ts' // 'fastify-eventstream' in your project

const app = Fastify({ logger: true })
await app.register(eventStream)

const news = app.sse.channel<{ news: string }>('news')

app.get('/events', (_request, reply) => {
  const sse = reply.sseStart()
  sse.send({ retry: 1_000 })
  news.subscribe(sse, { from: 'oldest' })
})

const text = { type: 'string', pattern: '\\S', maxLength: 1_000 }
const body = { type: 'object', required: ['text'], properties: { text } }

app.post<{ Body: { text: string } }>('/news', { schema: { body } }, async ({ body: { text } }, reply) => {
  const id = await news.publish({ event: 'news', data: text })
  return reply.code(201).send({ id })
})

app.get('/stats', async () => ({ streams: app.sse.stats().connections }))

app.register(fastifyStatic, { root: join(import.meta.dirname, 'many-tabs') })

await app.listen({ port: Number(process.env.PORT ?? 3000) })
