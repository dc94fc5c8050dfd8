/** One node: a server whose channels are kept in Redis, in a process of its own. `node.ts` is the other end. */
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import eventStream, { redisHistory } from '../../lib/index.ts'
import type { NodeSettings, PublishAnswer, PublishQuestion } from './node.ts'

const settings = JSON.parse(process.env.NODE_SETTINGS ?? '') as NodeSettings
const { library, url, history, ownHistories } = settings
const client =
  library === 'ioredis'
    ? new Redis(url, { lazyConnect: true })
    : createClient({ url, RESP: library === 'node-redis RESP3' ? 3 : 2 })

const app = Fastify({ logger: true, disableRequestLogging: true, forceCloseConnections: true })
await app.register(eventStream, {
  heartbeatMs: 200,
  retryMs: false,
  drainMs: 1_000,
  history: redisHistory({ client, ...history })
})
for (const [name, options] of Object.entries(ownHistories)) {
  app.sse.channel(name, { history: redisHistory({ client, ...history, ...options }) })
}

app.get<{ Querystring: { channels: string } }>('/', async ({ query }, reply) => {
  const stream = reply.sseStart()
  for (const channel of JSON.parse(query.channels)) app.sse.channel(channel).subscribe(stream)
})

app.post<{ Body: PublishQuestion }>('/publish', async ({ body }): Promise<PublishAnswer> => {
  const { channel, data, idempotencyKey } = body
  try {
    const options = idempotencyKey === undefined ? {} : { idempotencyKey }
    const id = await app.sse.channel(channel).publish({ data }, options)
    return { id }
  } catch (error) {
    const { code, message } = error as Error & { code?: string }
    return { code: code ?? '', message }
  }
})

app.get('/stats', async () => app.sse.stats())

process.on('SIGTERM', () => void app.close())

process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`)
