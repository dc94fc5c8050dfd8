/** One server over Redis, in a process of its own. `node.ts` is the other end. */
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import eventStream, { redisStore } from '../../lib/index.ts'
import type { NodeSettings, PublishAnswer, PublishQuestion } from './node.ts'

const { library, url, prefix, channels } = JSON.parse(process.env.NODE_SETTINGS ?? '') as NodeSettings
const client =
  library === 'ioredis'
    ? new Redis(url, { lazyConnect: true })
    : createClient({ url, RESP: library === 'node-redis RESP3' ? 3 : 2 })

const app = Fastify({
  logger: true,
  disableRequestLogging: true,
  forceCloseConnections: true,
  pluginTimeout: 0
})
await app.register(eventStream, {
  heartbeatMs: 200,
  retryMs: false,
  drainMs: 1_000,
  history: { store: redisStore({ client, prefix }) },
  channels
})

app.get<{ Querystring: { channels: string } }>('/', async ({ query }, reply) => {
  app.sse.subscribe(reply.sseStart(), JSON.parse(query.channels))
})

app.post<{ Body: PublishQuestion }>('/publish', async ({ body }): Promise<PublishAnswer> => {
  const { names, data, idempotencyKey } = body
  try {
    return {
      id: await app.sse.publish(names, { data }, idempotencyKey === undefined ? {} : { idempotencyKey })
    }
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    return { code: code ?? '', message }
  }
})

app.get('/stats', async () => app.sse.stats())

process.on('SIGTERM', () => void app.close())

process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`)
