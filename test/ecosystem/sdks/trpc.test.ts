import { createTRPCClient, httpLink, httpSubscriptionLink, splitLink } from '@trpc/client'
import { initTRPC, TRPCError, tracked } from '@trpc/server'
import { EventSource } from 'eventsource'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { z } from 'zod'
import { trpc } from '../../../examples/sdks/trpc.ts'
import eventStream, { type Channel } from '../../../lib/index.ts'
import { FaultProxy } from '../../helpers/fault-proxy.ts'
import { deferred, type LogLine, listen, logger, until } from '../../helpers/server.ts'

const { procedure, router } = initTRPC.create()

/** What is kept of a channel, then what is published, until it ends; resumed by the channel's own ids. */
function routerOf(app: FastifyInstance) {
  const channel = app.sse.channel('news')
  return router({
    hello: procedure.query(() => 'world'),
    publish: procedure.input(z.string()).mutation(({ input }) => channel.publish(input)),
    end: procedure.mutation(() => channel.end()),
    news: procedure
      .input(z.object({ lastEventId: z.string() }).partial().optional())
      .subscription(async function* ({ input, signal }) {
        for await (const item of channel.read({
          from: input?.lastEventId ?? 'oldest',
          ...(signal && { signal })
        })) {
          if (item.type === 'gap' || item.data === 'fail')
            throw new TRPCError({ code: 'PRECONDITION_FAILED', message: 'no news' })
          yield tracked(item.id, item.data)
        }
      })
  })
}

type Router = ReturnType<typeof routerOf>

/** What a subscription has told so far. */
interface Heard {
  readonly data: string[]
  readonly ended: Promise<'complete' | string>
  readonly states: string[]
  readonly unsubscribe: () => void
}

interface World {
  readonly app: FastifyInstance
  readonly client: ReturnType<typeof createTRPCClient<Router>>
  readonly proxy: FaultProxy
  readonly lines: readonly LogLine[]
  readonly news: Channel
  readonly subscribe: () => Heard
}

async function start(t: Test): Promise<World> {
  const { lines, options } = logger()
  const app = Fastify({ logger: options, forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(eventStream, { retryMs: [1, 1] })
  await app.register(trpc, { router: routerOf(app), retryMs: 1 })
  const proxy = await FaultProxy.start({ port: (await listen(app)).port })
  t.teardown(() => proxy.close())
  const url = `http://127.0.0.1:${proxy.port}/trpc`
  const client = createTRPCClient<Router>({
    links: [
      splitLink({
        condition: ({ type }) => type === 'subscription',
        true: httpSubscriptionLink({ url, EventSource }),
        false: httpLink({ url })
      })
    ]
  })
  const subscribe = (): Heard => {
    const data: string[] = []
    const states: string[] = []
    const { promise: ended, resolve } = deferred<string>()
    const { unsubscribe } = client.news.subscribe(undefined, {
      onData: (item) => data.push(item.data),
      onError: ({ message }) => resolve(message),
      onComplete: () => resolve('complete'),
      onConnectionStateChange: ({ state }) => states.push(state)
    })
    t.teardown(unsubscribe)
    return { data, ended, states, unsubscribe }
  }
  return { app, client, proxy, lines, news: app.sse.channel('news'), subscribe }
}

function errorsOf(lines: readonly LogLine[]): (string | undefined)[] {
  return lines.filter(({ level }) => level > 30).map(({ err }) => err?.message)
}

t.test('tRPC › a query and a mutation are JSON', async (t) => {
  const { client } = await start(t)
  t.equal(await client.hello.query(), 'world')
  t.match(await client.publish.mutate('one'), /^\w+-\w+$/)
  t.same(await client.end.mutate(), undefined)
})

t.test('tRPC › a subscription is whole', async (t) => {
  const { news, subscribe, lines } = await start(t)
  await news.publish('one')
  const { data, ended } = subscribe()
  await until(() => data.length === 1)
  await news.publish('two')
  await news.end()
  t.equal(await ended, 'complete')
  t.same(data, ['one', 'two'])
  t.same(errorsOf(lines), [])
})

t.test('tRPC › a subscription that is cut is resumed, each once', async (t) => {
  const { news, proxy, subscribe, lines } = await start(t)
  await news.publish('one')
  const { data, ended } = subscribe()
  await until(() => data.length === 1)
  proxy.cutAll()
  await news.publish('two')
  await news.end()
  t.equal(await ended, 'complete')
  t.same(data, ['one', 'two'])
  t.same(errorsOf(lines), [])
})

t.test('tRPC › a subscription that fails tells its error', async (t) => {
  const { news, subscribe } = await start(t)
  const { ended } = subscribe()
  await news.publish('fail')
  t.equal(await ended, 'no news')
})

t.test('tRPC › a subscription that is stopped ends its procedure, and no error is logged', async (t) => {
  const { app, news, subscribe, lines } = await start(t)
  await news.publish('one')
  const { data, ended, unsubscribe } = subscribe()
  await until(() => data.length === 1)
  t.equal(app.sse.channels.size, 1)
  unsubscribe()
  t.equal(await ended, 'complete')
  await until(() => app.sse.channels.size === 0 && app.sse.connections.size === 0)
  t.same(errorsOf(lines), [])
})

t.test('tRPC › a subscription that the shutdown ends is not complete', async (t) => {
  const { app, news, subscribe, lines } = await start(t)
  await news.publish('one')
  const { data, ended, states } = subscribe()
  await until(() => data.length === 1)
  await app.close()
  await until(() => states.at(-1) === 'connecting')
  t.equal(await Promise.race([ended, 'goes on']), 'goes on')
  t.same(errorsOf(lines), [])
})
