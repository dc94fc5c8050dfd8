import { once } from 'node:events'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { type CallToolResult, LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { mcp } from '../../../examples/sdks/mcp.ts'
import eventStream from '../../../lib/index.ts'
import { FaultProxy } from '../../helpers/fault-proxy.ts'
import { deferred, type LogLine, listen, logger, until } from '../../helpers/server.ts'

const ANSWER = { content: [{ type: 'text', text: 'an answer' }] }

interface World {
  readonly app: FastifyInstance
  readonly client: Client
  readonly transport: StreamableHTTPClientTransport
  readonly proxy: FaultProxy
  readonly lines: readonly LogLine[]
  readonly server: McpServer
  /** Lets the tool give its answer, or fail. */
  readonly goOn: (error?: Error) => void
  /** Resolves when the tool was told to stop. */
  readonly stopped: Promise<void>
  /** Calls the tool, and resolves when the first half of its answer is there. */
  readonly call: (signal?: AbortSignal) => Promise<{ answer: Promise<unknown>; halves: number[] }>
}

async function start(t: Test, drainMs = 5_000): Promise<World> {
  const { lines, options } = logger()
  const app = Fastify({ logger: options, forceCloseConnections: true })
  t.teardown(() => app.close())
  await app.register(eventStream, { drainMs, retryMs: [1, 1] })
  const { promise: rest, resolve: goOn } = deferred<Error | undefined>()
  const stopped = deferred()
  const server = new McpServer({ name: 'parrot', version: '1.0.0' }, { capabilities: { logging: {} } })
  server.registerTool('answer', {}, async ({ sendNotification, _meta, signal }): Promise<CallToolResult> => {
    const progressToken = _meta?.progressToken ?? ''
    await sendNotification({ method: 'notifications/progress', params: { progressToken, progress: 1 } })
    once(signal, 'abort').then(() => stopped.resolve())
    const error = await rest
    if (error !== undefined) throw error
    await sendNotification({ method: 'notifications/progress', params: { progressToken, progress: 2 } })
    return ANSWER as CallToolResult
  })
  await app.register(mcp, { start: () => server })
  const proxy = await FaultProxy.start({ port: (await listen(app)).port })
  t.teardown(() => proxy.close())

  const transport = new StreamableHTTPClientTransport(new URL(`http://127.0.0.1:${proxy.port}/mcp`), {
    reconnectionOptions: {
      initialReconnectionDelay: 1,
      maxReconnectionDelay: 1,
      reconnectionDelayGrowFactor: 1,
      maxRetries: 2
    }
  })
  const client = new Client({ name: 'test', version: '1.0.0' })
  await client.connect(transport as Parameters<Client['connect']>[0])
  t.teardown(() => client.close())
  await until(() => app.sse.connections.size === 1) // what it listens to
  const call: World['call'] = async (signal) => {
    const hasHalf = deferred()
    const halves: number[] = []
    const answer = client.callTool({ name: 'answer' }, undefined, {
      onprogress: ({ progress }) => {
        halves.push(progress)
        hasHalf.resolve()
      },
      ...(signal && { signal })
    })
    answer.catch(() => {})
    await hasHalf.promise
    return { answer, halves }
  }
  return { app, client, transport, proxy, lines, server, goOn, stopped: stopped.promise, call }
}

function errorsOf(lines: readonly LogLine[]): (string | undefined)[] {
  return lines.filter(({ level }) => level > 30).map(({ err }) => err?.message)
}

t.test('MCP › a call has its progress and its answer', async (t) => {
  const { goOn, call, lines, app } = await start(t)
  const { answer, halves } = await call()
  goOn()
  t.match(await answer, ANSWER)
  t.same(halves, [1, 2])
  await until(() => app.sse.connections.size === 1)
  t.same(errorsOf(lines), [])
})

t.test('MCP › a notification comes to who listens, each once', async (t) => {
  const { client, server, proxy } = await start(t)
  const heard: unknown[] = []
  const all = deferred()
  client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
    if (heard.push(params.data) === 2) all.resolve()
  })
  await server.sendLoggingMessage({ level: 'info', data: 'one' })
  await until(() => heard.length === 1)
  proxy.cutAll()
  await server.sendLoggingMessage({ level: 'info', data: 'two' })
  await all.promise
  t.same(heard, ['one', 'two'])
})

t.test('MCP › a call that is cut is resumed', async (t) => {
  const { goOn, call, proxy, lines } = await start(t)
  const { answer, halves } = await call()
  proxy.cutAll()
  goOn()
  t.match(await answer, ANSWER)
  t.same(halves, [1, 2], 'each half comes once')
  t.same(errorsOf(lines), [])
})

t.test('MCP › a tool that fails is an error', async (t) => {
  const { goOn, call } = await start(t)
  const { answer } = await call()
  goOn(new Error('no parrot'))
  t.match(await answer, { isError: true, content: [{ text: 'no parrot' }] })
})

t.test('MCP › a call that is stopped tells the tool, and ends its stream', async (t) => {
  const { app, call, goOn, stopped, lines } = await start(t)
  const stop = new AbortController()
  const { answer } = await call(stop.signal)
  stop.abort()
  await t.rejects(answer)
  await stopped
  goOn()
  await until(() => app.sse.connections.size === 1)
  t.same(errorsOf(lines), [])
})

t.test('MCP › a call for which the shutdown has time has its answer', async (t) => {
  const { app, call, goOn, lines } = await start(t)
  const { answer, halves } = await call()
  const closed = app.close()
  goOn()
  t.match(await answer, ANSWER)
  t.same(halves, [1, 2])
  await closed
  t.same(errorsOf(lines), [])
})

t.test('MCP › a call for which the shutdown has no time is an error', async (t) => {
  const { app, call, client, transport } = await start(t, 100)
  const { answer } = await call()
  const gaveUp = deferred()
  transport.onerror = (error) => /Maximum reconnection attempts/.test(error.message) && gaveUp.resolve()
  await Promise.all([app.close(), gaveUp.promise])
  await client.close()
  await t.rejects(answer)
})

t.test('MCP › a session that was ended is known no more', async (t) => {
  const { app, transport, client } = await start(t)
  await transport.terminateSession()
  await until(() => app.sse.connections.size === 0)
  await t.rejects(client.ping())
})
