import { once } from 'node:events'
import { AbstractChat, type ChatStatus, DefaultChatTransport, type UIMessage } from 'ai'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { aiSdkChat } from '../../../examples/sdks/ai-sdk-chat.ts'
import eventStream from '../../../lib/index.ts'
import { FaultProxy } from '../../helpers/fault-proxy.ts'
import { deferred, type LogLine, listen, logger } from '../../helpers/server.ts'

/** What `useChat()` is, without React. */
class Chat extends AbstractChat<UIMessage> {
  readonly hasHalf: Promise<void>

  constructor(api: string, messages: UIMessage[] = []) {
    const { promise, resolve } = deferred()
    const state = {
      status: 'ready' as ChatStatus,
      error: undefined,
      messages,
      pushMessage: (message: UIMessage) => {
        messages.push(message)
        look()
      },
      popMessage: () => void messages.pop(),
      replaceMessage: (index: number, message: UIMessage) => {
        messages[index] = message
        look()
      },
      snapshot: <T>(thing: T): T => structuredClone(thing)
    }
    super({ id: 'mine', state, transport: new DefaultChatTransport({ api }) })
    this.hasHalf = promise
    const look = (): void => {
      if (this.texts.at(-1) === 'Half ') resolve()
    }
  }

  /** What is said, from the first message on. */
  get texts(): string[] {
    return this.messages.map(({ parts }) =>
      parts.map((part) => (part.type === 'text' ? part.text : '')).join('')
    )
  }
}

const WHOLE = ['Hello', 'Half an answer']

interface World {
  readonly api: string
  readonly app: FastifyInstance
  readonly proxy: FaultProxy
  readonly lines: readonly LogLine[]
  /** Lets the model say the rest of its answer, or fail. */
  readonly goOn: (error?: Error) => void
}

async function start(t: Test, drainMs = 5_000): Promise<World> {
  const { lines, options } = logger()
  const app = Fastify({ logger: options, forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(eventStream, { drainMs })
  const { promise, resolve } = deferred<Error | undefined>()
  async function* model(_prompt: string, signal: AbortSignal): AsyncGenerator<string> {
    yield 'Half '
    const error = await Promise.race([promise, once(signal, 'abort').then(() => signal.reason)])
    if (error !== undefined) throw error
    yield 'an answer'
  }
  await app.register(aiSdkChat, { model })
  const proxy = await FaultProxy.start({ port: (await listen(app)).port })
  t.teardown(() => proxy.close())
  return { api: `http://127.0.0.1:${proxy.port}/api/chat`, app, proxy, lines, goOn: resolve }
}

/** A page that has half of an answer. */
async function startHalf(t: Test, drainMs?: number): Promise<World & { chat: Chat; sent: Promise<void> }> {
  const world = await start(t, drainMs)
  const chat = new Chat(world.api)
  const sent = chat.sendMessage({ text: 'Hello' })
  await chat.hasHalf
  return { ...world, chat, sent }
}

function errorsOf(lines: readonly LogLine[]): (string | undefined)[] {
  return lines.filter(({ level }) => level > 30).map(({ err }) => err?.message)
}

t.test('useChat › has the whole answer', async (t) => {
  const { goOn, lines, chat, sent } = await startHalf(t)
  t.equal(chat.status, 'streaming')
  goOn()
  await sent
  t.match(chat, { status: 'ready', error: undefined, texts: WHOLE })
  t.same(errorsOf(lines), [])
})

t.test('useChat › a page that is loaded again has all of the answer that is under way', async (t) => {
  const { api, goOn, lines, chat, sent } = await startHalf(t)
  const reloaded = new Chat(api, chat.messages.slice(0, 1))
  await chat.stop()
  await sent
  const resumed = reloaded.resumeStream()
  await reloaded.hasHalf
  goOn()
  await resumed
  t.match(reloaded, { status: 'ready', error: undefined, texts: WHOLE })
  t.same(errorsOf(lines), [], 'the model went on without a reader')

  await reloaded.resumeStream()
  t.match(reloaded, { status: 'ready', texts: WHOLE }, 'nor is it there twice when it is asked for again')
})

t.test('useChat › a cut is an error, after which it resumes', async (t) => {
  const { goOn, proxy, lines, chat, sent } = await startHalf(t)
  proxy.cutAll()
  await sent
  t.match(chat, { status: 'error', error: Error, texts: ['Hello', 'Half '] })
  const resumed = chat.resumeStream()
  goOn()
  await resumed
  t.match(chat, { status: 'ready', error: undefined, texts: WHOLE }, 'its half is not there twice')
  t.same(errorsOf(lines), [])
})

t.test('useChat › a cut is no loss when the answer has ended before it resumes', async (t) => {
  const { api, goOn, proxy, lines, chat, sent } = await startHalf(t)
  proxy.cutAll()
  await sent
  const other = new Chat(api, chat.messages.slice(0, 1))
  const resumed = other.resumeStream()
  goOn()
  await resumed
  t.same(other.texts, WHOLE, 'it has ended')
  await chat.resumeStream()
  t.match(chat, { status: 'ready', error: undefined, texts: WHOLE }, 'its half is not there twice')
  t.same(errorsOf(lines), [])
})

t.test('useChat › a model that fails is an error, also to who comes later', async (t) => {
  const { api, goOn, lines, chat, sent } = await startHalf(t)
  goOn(new Error('the password of the database'))
  await sent
  t.match(chat, { status: 'error', error: { message: 'The answer broke off' } })
  const reloaded = new Chat(api, chat.messages.slice(0, 1))
  await reloaded.resumeStream()
  t.match(reloaded, { status: 'error', error: { message: 'The answer broke off' } })
  t.same(errorsOf(lines), ['the password of the database'])
})

t.test('useChat › a model is stopped by a request of its own', async (t) => {
  const { api, lines, chat, sent } = await startHalf(t)
  await fetch(`${api}/${chat.id}/stream`, { method: 'DELETE' })
  await sent
  t.match(chat, { status: 'ready', error: undefined, texts: ['Hello', 'Half '] })
  t.same(errorsOf(lines), [])
})

t.test('useChat › an answer for which the shutdown has no time is an error', async (t) => {
  const { app, chat, sent } = await startHalf(t, 100)
  await Promise.all([app.close(), sent])
  t.match(chat, { status: 'error', error: Error })
})

t.test('useChat › an answer for which the shutdown has time is whole', async (t) => {
  const { app, goOn, chat, sent } = await startHalf(t)
  const closed = app.close()
  goOn()
  await Promise.all([closed, sent])
  t.match(chat, { status: 'ready', error: undefined, texts: WHOLE })
})
