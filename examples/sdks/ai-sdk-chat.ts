import { randomUUID } from 'node:crypto'
import type { UIMessage, UIMessageChunk } from 'ai'
import type { FastifyInstance, FastifyReply } from 'fastify'
import type { Run, RunEndState } from '../../lib/index.ts' // 'fastify-eventstream' in your project
import type { Model } from './model.ts'

const BY_USER = 'by its user'

/**
 * What the AI SDK's `useChat()` asks with its `DefaultChatTransport`, and `resume: true`. An answer is a run: it belongs to its
 * chat and not to who asked, so that a page can be cut or loaded again.
 */
export async function aiSdkChat(app: FastifyInstance, { model }: { model: Model }): Promise<void> {
  /** The newest answer of each chat. Yours is where the chats are: beside their users, who alone may ask for them. */
  const answers = new Map<string, string>()
  const answerOf = async (chat: string) => app.sse.runs.get(answers.get(chat) ?? 'none')

  app.post<{ Body: { id: string; messages: UIMessage[] } }>('/api/chat', async (request, reply) => {
    const { id, messages } = request.body
    const name = `chat:${randomUUID()}`
    let isStopped = false
    const { run } = await app.sse.runs.start(
      name,
      ({ signal }) => {
        signal.addEventListener('abort', () => {
          isStopped = signal.reason.reason === BY_USER
        })
        return partsOf(model(textOf(messages.at(-1)), signal))
      },
      { map: (data: UIMessageChunk) => ({ data }), end: (state) => ({ data: endOf(state, isStopped) }) }
    )
    answers.set(id, name)
    follow(reply, run)
  })

  app.get<{ Params: { id: string } }>('/api/chat/:id/stream', async (request, reply) => {
    const run = await answerOf(request.params.id)
    if (run === undefined) return reply.code(204).send() // the page has all from its database
    follow(reply, run)
  })

  app.delete<{ Params: { id: string } }>('/api/chat/:id/stream', async (request, reply) => {
    const run = await answerOf(request.params.id)
    await run?.stop(BY_USER)
    return reply.code(204).send()
  })
}

/** All of the answer, and then its end. The SDK takes each event for a part, so there is none that tells a cursor. */
function follow(reply: FastifyReply, run: Run): void {
  reply.header('x-vercel-ai-ui-message-stream', 'v1')
  run.subscribe(reply.sseStart({ finite: true, cursorEvent: false }))
}

async function* partsOf(words: AsyncIterable<string>): AsyncGenerator<UIMessageChunk> {
  const id = 'text'
  yield { type: 'start', messageId: randomUUID() } // by which a page knows an answer that it has
  yield { type: 'text-start', id }
  for await (const delta of words) yield { type: 'text-delta', id, delta }
  yield { type: 'text-end', id }
  yield { type: 'finish' }
}

function endOf(state: RunEndState, isStopped: boolean): UIMessageChunk | '[DONE]' {
  if (state === 'done') return '[DONE]'
  return isStopped ? { type: 'abort' } : { type: 'error', errorText: 'The answer broke off' }
}

function textOf(message: UIMessage | undefined): string {
  return message?.parts.map((part) => (part.type === 'text' ? part.text : '')).join('') ?? ''
}
