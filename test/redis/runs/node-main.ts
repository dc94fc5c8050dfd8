/** A server whose runs others may read, stop and survive, in a process of its own. `node.ts` is the other end. */
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import eventStream, { type Message, redisStore } from '../../../lib/index.ts'
import type { RunNodeSettings, StartQuestion } from './node.ts'

const { url, prefix, leaseMs, keepEndedMs } = JSON.parse(process.env.NODE_SETTINGS ?? '') as RunNodeSettings

const app = Fastify({
  logger: true,
  disableRequestLogging: true,
  forceCloseConnections: true,
  pluginTimeout: 0
})
await app.register(eventStream, {
  drainMs: 1_000,
  retryMs: false,
  farewell: false,
  history: { store: redisStore({ url, prefix }) },
  runs: { leaseMs, keepEndedMs }
})

interface Named {
  Params: { name: string }
}

app.put<Named & { Body: StartQuestion }>('/runs/:name', async ({ params, body }) => {
  const { source, length, paceMs, fails, restart } = body
  let number = 0
  async function* messages(signal: AbortSignal): AsyncGenerator<Message> {
    while (number < (length ?? Infinity)) {
      yield { event: 'token', data: { source, number: number++ } }
      if (paceMs > 0) await setTimeout(paceMs, undefined, { signal })
    }
    if (fails) throw new Error('as it was asked to')
  }
  const { created } = await app.sse.runs.start(
    params.name,
    ({ signal }) => {
      app.log.info({ source, run: params.name }, 'source called')
      return messages(signal)
    },
    { restart, end: (state) => ({ event: 'end', data: { source, number, state } }) }
  )
  return { created }
})

app.get<Named>('/runs/:name', async ({ params }, reply) => {
  const run = await app.sse.runs.get(params.name)
  if (run === undefined) return reply.code(404).send()
  run.subscribe(reply.sseStart())
})

app.delete<Named & { Querystring: { reason: string } }>('/runs/:name', async ({ params, query }) => {
  const run = await app.sse.runs.get(params.name)
  await run?.stop(query.reason)
  return { isThere: run !== undefined }
})

/** Waits for the end. */
app.get<Named>('/runs/:name/end', async ({ params }, reply) => {
  const run = await app.sse.runs.get(params.name)
  if (run === undefined) return reply.code(404).send()
  const ended = await run.ended
  return { ended, info: await run.info() }
})

app.get('/stats', async () => app.sse.stats())

process.on('SIGTERM', () => void app.close())

process.stdout.write(`${await app.listen({ port: 0, host: '127.0.0.1' })}\n`)
