/**
 * One of many nodes. Nothing in it knows of the others: that channels reach them all is up to the history.
 *
 *     PORT=3001 REDIS_URL=redis://localhost:6379 npx tsx examples/many-nodes/node.ts
 */
import cors from '@fastify/cors'
import Fastify from 'fastify'
import eventStream, { redisHistory } from '../../lib/index.ts' // 'fastify-eventstream' in your project

const { NODE = 'A', PORT = '3001', REDIS_URL = 'redis://localhost:6379' } = process.env
/** Whose pages may read from this node: those of this machine. */
const ORIGIN = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\]):\d+$/

interface Published {
  /** Through which it was published. */
  node: string
  text: string
}

const app = Fastify({ logger: { name: `node ${NODE}`, level: 'warn' }, forceCloseConnections: true })
await app.register(cors, { origin: ORIGIN })
await app.register(eventStream, { history: redisHistory({ url: REDIS_URL, prefix: 'many-nodes:' }) })

const messages = app.sse.channel<{ message: Published }>('messages')

app.get('/messages', (_request, reply) => {
  const sse = reply.sseStart()
  sse.send({ event: 'node', data: { pid: process.pid }, retry: 500 })
  messages.subscribe(sse, { from: 'oldest' })
})

const text = { type: 'string', pattern: '\\S', maxLength: 1_000 }
const key = { type: 'string', minLength: 1, maxLength: 100 }
const body = { type: 'object', required: ['text', 'key'], properties: { text, key } }

/** Whoever gets no answer may ask again, also another node: with the same key, a message is published once. */
app.post<{ Body: { text: string; key: string } }>(
  '/messages',
  { schema: { body } },
  async ({ body: { text, key } }, reply) => {
    const id = await messages.publish({ data: { node: NODE, text } }, { idempotencyKey: key })
    return reply.code(201).send({ id })
  }
)

// When it is told to, or when the process that started it is gone.
for (const event of ['SIGINT', 'SIGTERM', 'disconnect'] as NodeJS.Signals[]) {
  process.once(event, () => app.close())
}

await app.listen({ port: Number(PORT) })
process.send?.('listening')
