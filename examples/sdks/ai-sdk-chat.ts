import { randomUUID } from 'node:crypto'
import type { UIMessage, UIMessageChunk } from 'ai'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Channel } from '../../lib/index.ts' // 'fastify-eventstream' in your project
import type { Model } from './model.ts'

/** An answer that is under way. It belongs to the chat and not to who asked, so that a page can be loaded again. */
interface Answer {
  readonly channel: Channel
  readonly stop: AbortController
}

/** After its end, so that who was cut just before has all of it. The SDK knows an answer that it has by its `messageId`. */
const KEPT_MS = 60_000

/**
 * What the AI SDK's `useChat()` asks with its `DefaultChatTransport`, and `resume: true`. An answer is a channel: have one keep all
 * that an answer may be, by `channels: { 'answer:*': { maxMessages, maxBytes } }` when the plugin is registered.
 */
export async function aiSdkChat(app: FastifyInstance, { model }: { model: Model }): Promise<void> {
  const answers = new Map<string, Answer>()
  const forget = (id: string, answer: Answer) => answers.get(id) === answer && answers.delete(id)

  app.post<{ Body: { id: string; messages: UIMessage[] } }>('/api/chat', async (request, reply) => {
    const { id, messages } = request.body
    const answer = { channel: app.sse.channel(`answer:${randomUUID()}`), stop: new AbortController() }
    answers.set(id, answer)
    follow(reply, answer)
    const words = model(textOf(messages.at(-1)), answer.stop.signal)
    tell(answer, words)
      .catch((error) => request.log.error(error, 'an answer failed'))
      .finally(() => setTimeout(forget, KEPT_MS, id, answer).unref())
  })

  app.get<{ Params: { id: string } }>('/api/chat/:id/stream', async (request, reply) => {
    const answer = answers.get(request.params.id)
    if (answer === undefined) return reply.code(204).send() // the page has all from its database
    follow(reply, answer)
  })

  app.delete<{ Params: { id: string } }>('/api/chat/:id/stream', async (request, reply) => {
    answers.get(request.params.id)?.stop.abort()
    return reply.code(204).send()
  })
}

/** All of the answer, and then its end. The SDK takes each event for a part, so there is none that tells a cursor. */
function follow(reply: FastifyReply, { channel }: Answer): void {
  reply.header('x-vercel-ai-ui-message-stream', 'v1')
  const sse = reply.sseStart({ finite: true, cursorEvent: false })
  channel.subscribe(sse, { from: 'first', resume: false })
}

async function tell({ channel, stop }: Answer, words: AsyncIterable<string>): Promise<void> {
  const publish = (...parts: UIMessageChunk[]) => channel.publish(parts.map((data) => ({ data })))
  const id = 'text'
  try {
    await publish({ type: 'start', messageId: randomUUID() }, { type: 'text-start', id })
    for await (const delta of words) await publish({ type: 'text-delta', id, delta })
    await publish({ type: 'text-end', id }, { type: 'finish' })
  } catch (error) {
    if (!stop.signal.aborted) {
      await publish({ type: 'error', errorText: 'The answer broke off' })
      throw error
    }
    await publish({ type: 'abort' })
  } finally {
    await channel.end('[DONE]')
  }
}

function textOf(message: UIMessage | undefined): string {
  return message?.parts.map((part) => (part.type === 'text' ? part.text : '')).join('') ?? ''
}
