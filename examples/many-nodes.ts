/**
 * Two nodes, each a process with its own clients, and a Redis in which both keep their channels: what is published through
 * either reaches the clients of both. Start it with `npx tsx examples/many-nodes.ts`, open the page, and kill one node
 * while you publish through the other.
 *
 * What a node needs is all in `many-nodes/node.ts`. This file only starts the processes and serves the page.
 */
import { once } from 'node:events'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import Fastify from 'fastify'
import { NodeProcess } from './many-nodes/node-process.ts'
import { startRedis } from './many-nodes/redis.ts'

const { PORT = '3000', REDIS_URL, RESTART_MS = '3000' } = process.env

const app = Fastify({ logger: true, forceCloseConnections: true })
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => app.close().finally(() => process.exit()))
}

const redis = REDIS_URL === undefined ? await startRedis() : undefined
if (redis) app.log.info({ redis: { pid: redis.pid, url: redis.url } }, 'Redis has started')

const env = { ...process.env, REDIS_URL: REDIS_URL ?? redis?.url }
const nodes = ['A', 'B'].map(
  (name, i) => new NodeProcess(name, Number(PORT) + 1 + i, env, Number(RESTART_MS))
)
for (const node of nodes) {
  node.on('listening', () => app.log.info({ node: node.vitals }, 'a node listens'))
  node.on('end', () => app.log.warn({ node: node.vitals }, 'a node has ended'))
}

app.get('/nodes', async () => nodes.map(({ name, port }) => ({ name, port })))

/** A node that is killed says goodbye to nobody. It is started again after a moment. */
app.post<{ Params: { name: string } }>('/nodes/:name/kill', async ({ params }, reply) => {
  nodes.find(({ name }) => name === params.name)?.kill()
  return reply.code(204).send()
})

app.register(fastifyStatic, { root: join(import.meta.dirname, 'many-nodes', 'page') })

app.addHook('onClose', async () => {
  await Promise.all(nodes.map((node) => node.stop()))
  await redis?.stop()
})

await Promise.all(nodes.map((node) => once(node, 'listening')))
await app.listen({ port: Number(PORT) })
