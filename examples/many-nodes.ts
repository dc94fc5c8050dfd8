/**
 * Three nodes that share one history in Redis, and a page that reads at one of them. Start it with
 * `npx tsx examples/many-nodes.ts`, open the page, and cut the node at which it reads: it goes on at the next one. Without
 * `REDIS_URL`, a `redis-server` is started.
 */
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import fastifyStatic from '@fastify/static'
import Fastify, { type FastifyInstance } from 'fastify'
import eventStream, { type Channel, redisStore } from '../lib/index.ts' // 'fastify-eventstream' in your project
import { redisUrl } from './redis.ts'

const NODES = [1, 2, 3]
const { PORT = '3000', COUNT_MS = '200' } = process.env

interface Count {
  /** When it began, with this process: in Redis there may also be what one before has counted. */
  series: number
  count: number
  /** By which it was published. */
  node: number
}

type Counter = Channel<{ count: Count }>

export default async function manyNodes(app: FastifyInstance): Promise<void> {
  const url = await redisUrl()
  const counters: Counter[] = []
  for (const node of NODES) {
    const addNode = async (scope: FastifyInstance) => void counters.push(await nodeIn(scope, url))
    await app.register(addNode, { prefix: `/node-${node}` })
  }

  const closing = new AbortController()
  app.addHook('onListen', async () => void publishInTurn(counters, closing.signal))
  app.addHook('onClose', async () => closing.abort())

  app.register(fastifyStatic, {
    root: ['many-nodes', 'style'].map((folder) => join(import.meta.dirname, folder))
  })
}

/**
 * Stands for a server of its own: each registration of the plugin has connections, a history and a flush of its own, and hears
 * of the others only from Redis.
 */
async function nodeIn(scope: FastifyInstance, url: string): Promise<Counter> {
  await scope.register(eventStream, { history: { store: redisStore({ url, prefix: 'many-nodes:' }) } })

  const counter: Counter = scope.sse.channel('counter')

  scope.get('/events', (_request, reply) => {
    counter.subscribe(reply.sseStart(), { from: { last: 10 } })
  })

  /** Breaks this node's streams off as a crash would, so that one can watch them go on elsewhere. */
  scope.post('/cut', async (_request, reply) => {
    for (const sse of scope.sse.connections) sse.destroy()
    return reply.code(204).send()
  })

  return counter
}

/** One after the other, so that the order is that of the count. What may have failed is published by the next node, and once. */
async function publishInTurn(counters: readonly Counter[], closing: AbortSignal): Promise<void> {
  const series = Date.now()
  let count = 1
  while (true) {
    for (const [index, counter] of counters.entries()) {
      await setTimeout(Number(COUNT_MS), undefined, { ref: false })
      if (closing.aborted) return
      const data = { series, count, node: index + 1 }
      try {
        await counter.publish({ event: 'count', data }, { idempotencyKey: `${series}:${count}` })
        count++
      } catch {
        // Redis is away, and the log says so.
      }
    }
  }
}

/** By itself: `npx tsx examples/many-nodes.ts`. */
if (process.argv[1] === import.meta.filename) {
  const app = Fastify({ logger: true, forceCloseConnections: true })
  await app.register(manyNodes)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close())
  await app.listen({ port: Number(PORT) })
}
