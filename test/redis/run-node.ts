/** A server whose runs others may read, stop and survive, in a process of its own. */
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import eventStream, { redisStore } from '../../lib/index.ts'

const { REDIS_URL = '', LEASE_MS = '' } = process.env

const app = Fastify({ logger: true, disableRequestLogging: true })
await app.register(eventStream, {
  history: { store: redisStore({ url: REDIS_URL }) },
  runs: { leaseMs: Number(LEASE_MS) }
})

/** Starts a run that counts for ever. */
app.post<{ Params: { name: string } }>('/runs/:name', async ({ params }) => {
  const { created } = await app.sse.runs.start(params.name, async function* () {
    for (let i = 0; ; i++) {
      yield `${i}`
      await setTimeout(1)
    }
  })
  return { created }
})

process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`)
