/**
 * A chat with a toy model, whose answers belong to no page. Start it with `npx tsx examples/answers.ts`, ask something, and
 * reload the page, open it again in another tab, cut its connection, or stop the answer there.
 *
 * Two nodes over Redis, of which one may be killed: `NODES=2 REDIS_URL=redis://localhost:6379 npx tsx examples/answers.ts`.
 * Without `REDIS_URL`, a `redis-server` is started.
 */
import cluster from 'node:cluster'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import cookie from '@fastify/cookie'
import fastifyStatic from '@fastify/static'
import Fastify, { type FastifyInstance, type FastifyRequest } from 'fastify'
import eventStream, { redisStore } from '../lib/index.ts' // 'fastify-eventstream' in your project
import { redisUrl } from './redis.ts'

const { PORT = '3000', NODES = '1', WORD_MS = '60', LEASE_MS = '3000' } = process.env

export default async function answers(app: FastifyInstance): Promise<void> {
  const { REDIS_URL = '' } = process.env
  await app.register(cookie)
  await app.register(eventStream, {
    ...(REDIS_URL !== '' && { history: { store: redisStore({ url: REDIS_URL }) } }),
    channels: { 'questions:*': { maxAgeMs: false, maxMessages: 100 } },
    runs: { keepEndedMs: 3_600_000, leaseMs: Number(LEASE_MS), maxPerKey: 1 },
    farewell: false
  })

  /** Whose answers: everybody's own. Yours knows who has logged in. */
  app.addHook('onRequest', async (request, reply) => {
    if (request.cookies.user !== undefined) return
    reply.setCookie('user', randomUUID(), { path: '/', httpOnly: true, sameSite: 'strict', maxAge: 86_400 })
  })

  /** What the user has asked: the same in all tabs. */
  app.get('/questions', async (request, reply) => {
    const user = userOf(request)
    if (user === undefined) return reply.code(401).send({ message: 'Load the page first' })
    app.sse.channel(`questions:${user}`).subscribe(reply.sseStart(), { from: 'oldest' })
  })

  const body = {
    type: 'object',
    required: ['question'],
    properties: { question: { type: 'string', pattern: '\\S', maxLength: 500 } }
  }

  app.put<{ Params: { id: string }; Body: { question: string } }>(
    '/answers/:id',
    { schema: { body } },
    async (request, reply) => {
      const user = userOf(request)
      if (user === undefined) return reply.code(401).send({ message: 'Load the page first' })
      const { id } = request.params
      const { question } = request.body
      const { created } = await app.sse.runs.start(
        nameOf(user, id),
        ({ signal }) => answer(question, signal),
        { key: user, restart: true, abandonMs: 300_000 }
      )
      const asked = { event: 'question', data: { id, question } }
      await app.sse.channel(`questions:${user}`).publish(asked, { idempotencyKey: id })
      return reply.code(created ? 201 : 200).send({ id })
    }
  )

  app.get<{ Params: { id: string } }>('/answers/:id', async (request, reply) => {
    const run = await runOf(request)
    if (run === undefined) return reply.code(404).send({ message: 'There is no such answer' })
    run.subscribe(reply.sseStart())
  })

  app.delete<{ Params: { id: string } }>('/answers/:id', async (request, reply) => {
    const run = await runOf(request)
    if (run === undefined) return reply.code(404).send({ message: 'There is no such answer' })
    await run.stop('by its reader')
    return { state: await run.ended }
  })

  /** Breaks all streams off as a bad network would. */
  app.post('/cut', async (_request, reply) => {
    for (const sse of app.sse.connections) sse.destroy()
    return reply.code(204).send()
  })

  app.register(fastifyStatic, {
    root: ['answers', 'style'].map((folder) => join(import.meta.dirname, folder))
  })

  /** Only the user's own: the name of an answer has the user, and a user is in the cookie. */
  async function runOf(request: FastifyRequest<{ Params: { id: string } }>) {
    const user = userOf(request)
    return user === undefined ? undefined : await app.sse.runs.get(nameOf(user, request.params.id))
  }
}

function userOf({ cookies }: FastifyRequest): string | undefined {
  return /^[0-9a-f-]{36}$/.test(cookies.user ?? '') ? cookies.user : undefined
}

function nameOf(user: string, id: string): string {
  return `answer:${user}:${id.slice(0, 100)}`
}

/** Stands for the model, which is asked once, and told to stop by the signal. */
async function* answer(question: string, signal: AbortSignal) {
  yield { event: 'node', data: { pid: process.pid } }
  const words = `You asked: ${question} `.repeat(8).split(/(?<=\s)/)
  for (const word of words) {
    await setTimeout(Number(WORD_MS), undefined, { signal })
    yield { event: 'word', data: { word } }
  }
}

/** Servers that share a port. One that is killed is replaced. */
function startNodes(count: number, url: string): void {
  const fork = () => cluster.fork({ REDIS_URL: url })
  for (let i = 0; i < count; i++) fork()
  cluster.on('exit', ({ exitedAfterDisconnect }) => exitedAfterDisconnect || fork())
  process.once('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGTERM')
    cluster.removeAllListeners('exit')
  })
}

/** By itself: `npx tsx examples/answers.ts`. */
if (process.argv[1] === import.meta.filename) {
  if (cluster.isPrimary && NODES !== '1') startNodes(Number(NODES), await redisUrl())
  else await startNode()
}

async function startNode(): Promise<void> {
  const app = Fastify({ logger: true, forceCloseConnections: true })
  await app.register(answers)
  process.once('SIGTERM', async () => {
    await app.close()
    cluster.worker?.disconnect()
  })
  await app.listen({ port: Number(PORT) })
}
