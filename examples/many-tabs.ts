/**
 * One event stream for all tabs of a page. Start it with `npx tsx examples/many-tabs.ts`, open the page in ten tabs, publish,
 * and close the one that you opened first.
 */
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import { build } from 'esbuild'
import Fastify, { type FastifyInstance } from 'fastify'
import eventStream from '../lib/index.ts' // 'fastify-eventstream' in your project

export default async function manyTabs(app: FastifyInstance): Promise<void> {
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

  const root = join(import.meta.dirname, 'many-tabs')
  app.register(fastifyStatic, { root: [root, join(import.meta.dirname, 'style')] })

  const page = await build({
    entryPoints: [join(root, 'page.js')],
    bundle: true,
    format: 'esm',
    write: false
  })
  app.get('/page.js', (_request, reply) => reply.type('text/javascript').send(page.outputFiles[0]?.text))
}

/** By itself: `npx tsx examples/many-tabs.ts`. */
if (process.argv[1] === import.meta.filename) {
  const app = Fastify({ logger: true })
  await app.register(manyTabs)
  await app.listen({ port: Number(process.env.PORT ?? 3000) })
}
