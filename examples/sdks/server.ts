/**
 * What clients of other people's protocols ask for, answered by the plugin. Each file beside this one is one protocol.
 *
 *     npx tsx examples/sdks/server.ts
 */
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { initTRPC, TRPCError, tracked } from '@trpc/server'
import Fastify from 'fastify'
import { buildSchema } from 'graphql'
import { z } from 'zod'
import eventStream from '../../lib/index.ts' // 'fastify-eventstream' in your project
import { aiSdkChat } from './ai-sdk-chat.ts'
import { anthropic } from './anthropic.ts'
import { datastar } from './datastar.ts'
import { type Context, graphqlSse } from './graphql-sse.ts'
import { mcp } from './mcp.ts'
import { parrot } from './model.ts'
import { openai } from './openai.ts'
import { trpc } from './trpc.ts'

const app = Fastify({ logger: true, forceCloseConnections: true })
await app.register(eventStream)
await app.register(openai, { model: parrot })
await app.register(anthropic, { model: parrot })
await app.register(aiSdkChat, { model: parrot })
await app.register(mcp, { start: parrotServer })
await app.register(graphqlSse, {
  schema: buildSchema('type Query { hello: String } type Subscription { words(prompt: String): String }'),
  rootValue: { words, hello: () => 'world' }
})
await app.register(datastar, { model: parrot })
await app.register(trpc, { router: newsRouter() })

await app.listen({ port: Number(process.env.PORT ?? 3000) })

function parrotServer(): McpServer {
  const server = new McpServer({ name: 'parrot', version: '1.0.0' })
  server.registerTool('say', { inputSchema: { prompt: z.string() } }, async ({ prompt }, { signal }) => {
    let text = ''
    for await (const word of parrot(prompt, signal)) text += word
    return { content: [{ type: 'text', text }] }
  })
  return server
}

async function* words({ prompt }: { prompt: string }, { signal }: Context) {
  for await (const words of parrot(prompt, signal)) yield { words }
}

/** What is kept of a channel and what is published on it, resumed by the channel's own ids. */
function newsRouter() {
  const { procedure, router } = initTRPC.create()
  const channel = app.sse.channel('news')
  const input = z.object({ lastEventId: z.string() }).partial().optional()
  return router({
    publish: procedure.input(z.string()).mutation(({ input }) => channel.publish(input)),
    news: procedure.input(input).subscription(async function* ({
      input: { lastEventId: from = 'oldest' } = {},
      signal
    }) {
      for await (const item of channel.read({ from, ...(signal && { signal }) })) {
        if (item.type === 'gap')
          throw new TRPCError({ code: 'PRECONDITION_FAILED', message: 'Some news were missed' })
        yield tracked(item.id, item.data)
      }
    })
  })
}
