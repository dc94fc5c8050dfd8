import { randomUUID } from 'node:crypto'
import type { MessageCreateParamsStreaming } from '@anthropic-ai/sdk/resources/messages'
import type { FastifyInstance } from 'fastify'
import type { CloseReason } from '../../lib/index.ts' // 'fastify-eventstream' in your project
import type { Model } from './model.ts'

const body = {
  type: 'object',
  required: ['model', 'messages', 'stream'],
  properties: { model: { type: 'string' }, messages: { type: 'array', minItems: 1 }, stream: { const: true } }
}

/** What Anthropic's clients take for an error. */
const farewell = (reason: CloseReason) =>
  reason !== 'server' &&
  event({ type: 'error', error: { type: 'api_error', message: `The answer broke off: ${reason}` } })

/** Messages in Anthropic's format, as a stream. */
export async function anthropic(app: FastifyInstance, { model }: { model: Model }): Promise<void> {
  app.post<{ Body: MessageCreateParamsStreaming }>(
    '/v1/messages',
    { schema: { body }, eventStream: { farewell } },
    async (request, reply) => {
      const { messages, model: name } = request.body
      const sse = reply.sseStart()
      const words = model(String(messages.at(-1)?.content), sse.signal)
      if (await sse.sendAll(eventsOf(name, words), event)) sse.close()
    }
  )
}

async function* eventsOf(model: string, words: AsyncIterable<string>) {
  const message = {
    id: randomUUID(),
    type: 'message',
    role: 'assistant',
    model,
    content: [],
    stop_reason: null
  }
  yield { type: 'message_start', message: { ...message, usage: { input_tokens: 0, output_tokens: 0 } } }
  yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
  let output_tokens = 0
  for await (const text of words) {
    output_tokens++
    yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
  }
  yield { type: 'content_block_stop', index: 0 }
  yield { type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens } }
  yield { type: 'message_stop' }
}

function event<T extends { type: string }>(data: T) {
  return { event: data.type, data }
}
