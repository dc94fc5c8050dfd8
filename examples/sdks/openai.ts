import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type {
  ChatCompletionChunk,
  ChatCompletionCreateParamsStreaming
} from 'openai/resources/chat/completions'
import type { CloseReason } from '../../lib/index.ts' // 'fastify-eventstream' in your project
import type { Model } from './model.ts'

const body = {
  type: 'object',
  required: ['model', 'messages', 'stream'],
  properties: { model: { type: 'string' }, messages: { type: 'array', minItems: 1 }, stream: { const: true } }
}

/** What OpenAI's clients take for an error. The stream breaks off after it: see what that is good for in the guide. */
const farewell = (reason: CloseReason) =>
  reason !== 'server' && {
    data: { error: { type: 'server_error', message: `The answer broke off: ${reason}` } }
  }

/** Chat completions in OpenAI's format, as a stream. One JSON body instead is shown in `llm-tokens.ts`. */
export async function openai(app: FastifyInstance, { model }: { model: Model }): Promise<void> {
  app.post<{ Body: ChatCompletionCreateParamsStreaming }>(
    '/v1/chat/completions',
    { schema: { body }, eventStream: { farewell } },
    async (request, reply) => {
      const { messages, model: name } = request.body
      const head = {
        id: randomUUID(),
        object: 'chat.completion.chunk',
        created: Math.floor(Date.now() / 1000),
        model: name
      } as const
      const chunk = (delta: object, finish_reason: 'stop' | null = null) => ({
        data: { ...head, choices: [{ index: 0, delta, finish_reason }] } satisfies ChatCompletionChunk
      })
      const sse = reply.sseStart()
      const words = model(String(messages.at(-1)?.content), sse.signal)
      await sse.sendAll(words, (content) => chunk({ role: 'assistant', content }))
      await sse.send(chunk({}, 'stop'))
      await sse.send('[DONE]')
      sse.close()
    }
  )
}
