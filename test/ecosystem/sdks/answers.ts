import { once } from 'node:events'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Model } from '../../../examples/sdks/model.ts'
import eventStream, { type CloseReason } from '../../../lib/index.ts'
import { FaultProxy } from '../../helpers/fault-proxy.ts'
import { deferred, listen, logger } from '../../helpers/server.ts'

/** One way to read an answer: calls `onText` when a piece is there, and rejects when the client tells an error. */
export type Reader = (url: string, signal: AbortSignal, onText: () => void) => PromiseLike<string>

/** Routes that answer with what a model says. */
type Adapter = (app: FastifyInstance, options: { model: Model }) => Promise<void>

/** What happens when the client has half of an answer, and what comes of it. */
interface Case {
  /** The model goes on when it resolves. */
  readonly act: (exchange: Exchange) => unknown
  readonly isWhole?: boolean
  readonly reason: CloseReason
  readonly drainMs?: number
}

/** An answer that is under way. */
interface Exchange {
  readonly app: FastifyInstance
  readonly proxy: FaultProxy
  readonly stop: () => void
  /** Resolves when the server has begun to close. */
  readonly closing: Promise<void>
}

/** Of which the adapters' farewells tell. */
const TOLD: readonly CloseReason[] = ['error', 'shutdown']
const SECRET = 'the password of the database'
const CASES: Readonly<Record<string, Case>> = {
  'whole: it ends by itself': { act: () => 'goes on', isWhole: true, reason: 'server' },
  'failed: the model throws': { act: () => Promise.reject(new Error(SECRET)), reason: 'error' },
  'cut: the server destroys the connection': {
    act: ({ app }) => {
      for (const connection of app.sse.connections) connection.destroy()
    },
    reason: 'server'
  },
  'cut: the server closes its streams': {
    act: ({ app }) => app.sse.closeWhere(() => true),
    reason: 'server'
  },
  'cut: a proxy resets the connection': { act: ({ proxy }) => proxy.cutAll(), reason: 'client' },
  'cut: a proxy ends the connection': { act: ({ proxy }) => proxy.close(), reason: 'client' },
  'shut down: the answer has time': {
    act: ({ app, closing }) => {
      app.close()
      return closing.then(() => 'goes on')
    },
    isWhole: true,
    reason: 'server'
  },
  'shut down: the answer has too little time': {
    act: ({ app }) => void app.close(),
    drainMs: 100,
    reason: 'shutdown'
  },
  'stopped: by the user': { act: ({ stop }) => stop(), reason: 'client' }
}

interface Options {
  /** Whether the SDK knows errors that come on the stream. */
  readonly tellsWhy: boolean
  /** Starts what is in front of the server's port. @returns its own port. */
  readonly front?: (t: Test, port: number) => Promise<number>
}

/** Tries what becomes of an answer, for each of an SDK's ways to read one. */
export function testAnswers(
  t: Test,
  adapter: Adapter,
  readers: Readonly<Record<string, Reader>>,
  { tellsWhy, front = async (_t, port) => port }: Options
): void {
  for (const [name, read] of Object.entries(readers)) {
    for (const [title, { act, isWhole = false, reason, drainMs = 5_000 }] of Object.entries(CASES)) {
      t.test(`${name} › ${title}`, async (t) => {
        const { lines, options } = logger()
        const app = Fastify({ logger: options, forceCloseConnections: true }) // undici opens one more when it aborts
        t.teardown(() => app.close())
        const closing = deferred()
        app.addHook('preClose', async () => closing.resolve())
        await app.register(eventStream, { drainMs })

        const hasHalf = deferred()
        const hasEnded = deferred()
        async function* model(_prompt: string, signal: AbortSignal): AsyncGenerator<string> {
          try {
            yield 'Half '
            await hasHalf.promise
            if ((await act(exchange)) !== 'goes on' && !signal.aborted) await once(signal, 'abort')
            yield 'an answer'
          } finally {
            hasEnded.resolve()
          }
        }
        await app.register(adapter, { model })
        const proxy = await FaultProxy.start({ port: await front(t, (await listen(app)).port) })
        t.teardown(() => proxy.close())
        const user = new AbortController()
        const exchange: Exchange = { app, proxy, stop: () => user.abort(), closing: closing.promise }

        const answer = read(`http://127.0.0.1:${proxy.port}`, user.signal, hasHalf.resolve)
        const result = await answer.then(
          (text) => ({ text, error: undefined }),
          (error) => ({ text: undefined, error })
        )
        if (isWhole) t.match(result, { text: 'Half an answer', error: undefined })
        else if (!user.signal.aborted) t.match(result, { text: undefined, error: Error })
        if (tellsWhy && TOLD.includes(reason))
          t.match(result.error, { message: `The answer broke off: ${reason}` })
        t.notMatch(String(result.error?.stack), SECRET, 'nothing is told of the inside')

        await hasEnded.promise
        await app.close()
        const closed = lines.filter(({ msg }) => msg === 'event stream closed')
        t.match(closed, [{ eventStream: { reason } }])
        const errors = lines.filter(({ level }) => level > 30).map(({ err }) => err?.message)
        t.same(errors, reason === 'error' ? [SECRET] : [], 'the log has no other error')
      })
    }
  }
}
