/**
 * A language model's answer, as its tokens come or as one JSON body. The model is told to stop when the client leaves.
 *
 *     curl -N http://localhost:3000/completions --json '{ "prompt": "Hello", "stream": true }'
 */
import { setTimeout } from 'node:timers/promises'
import Fastify from 'fastify'
import eventStream from '../lib/index.ts' // 'fastify-eventstream' in your project

const app = Fastify({ logger: true })
await app.register(eventStream)

const body = {
  type: 'object',
  required: ['prompt'],
  properties: { prompt: { type: 'string' }, stream: { type: 'boolean', default: false } }
}

app.post<{ Body: { prompt: string; stream: boolean } }>(
  '/completions',
  { schema: { body } },
  async (request, reply) => {
    const { prompt, stream } = request.body
    if (!stream) {
      const left = new AbortController()
      reply.raw.once('close', () => left.abort())
      let text = ''
      for await (const { token } of complete(prompt, left.signal)) text += token
      return { text }
    }
    const sse = reply.sseStart()
    await sse.sendAll(complete(prompt, sse.signal), (data) => ({ data })) // at the pace of whoever is slower
    await sse.send('[DONE]')
    sse.close() // whatever else ends it breaks it off, so that nobody takes half an answer for a whole one
  }
)

/** Stands for the model: about twenty tokens a second, until it is done or nobody wants them any more. */
async function* complete(prompt: string, signal: AbortSignal) {
  app.log.info('the model was asked')
  try {
    for (const token of `You said: ${prompt}`.split(/(?<=\s)/)) {
      await setTimeout(50, undefined, { signal })
      yield { token }
    }
  } catch (error) {
    if (!signal.aborted) throw error
    app.log.info('the model was told to stop')
  }
}

await app.listen({ port: Number(process.env.PORT ?? 3000) })
