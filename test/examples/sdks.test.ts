import Anthropic from '@anthropic-ai/sdk'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { createTRPCUntypedClient, httpLink, httpSubscriptionLink, splitLink } from '@trpc/client'
import { DefaultChatTransport, readUIMessageStream } from 'ai'
import { EventSource } from 'eventsource'
import { createClient } from 'graphql-sse'
import OpenAI from 'openai'
import t from 'tap'
import { Child } from '../helpers/child.ts'

const messages = [{ role: 'user' as const, content: 'Hello there' }]
const model = 'parrot'

t.test('examples › sdks', async (t) => {
  const { child, url } = await Child.listening(t, 'examples/sdks/server.ts')

  await t.test('answers OpenAI clients', async (t) => {
    const stream = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' }).chat.completions.stream({
      model,
      messages
    })
    t.equal(await stream.finalContent(), 'You said: Hello there')
  })

  await t.test('answers Anthropic clients', async (t) => {
    const stream = new Anthropic({ baseURL: url, apiKey: 'none' }).messages.stream({
      model,
      messages,
      max_tokens: 9
    })
    t.equal(await stream.finalText(), 'You said: Hello there')
  })

  await t.test('answers useChat()', async (t) => {
    const transport = new DefaultChatTransport({ api: `${url}/api/chat` })
    const parts = [{ type: 'text' as const, text: 'Hello there' }]
    const stream = await transport.sendMessages({
      trigger: 'submit-message',
      chatId: 'mine',
      messageId: undefined,
      messages: [{ id: '1', role: 'user', parts }],
      abortSignal: undefined
    })
    let last: unknown
    for await (const message of readUIMessageStream({ stream, terminateOnError: true })) last = message
    t.match(last, { parts: [{ type: 'text', text: 'You said: Hello there' }] })
  })

  await t.test('answers MCP clients', async (t) => {
    const client = new Client({ name: 'test', version: '1.0.0' })
    const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`))
    await client.connect(transport as Parameters<Client['connect']>[0])
    t.teardown(() => client.close())
    const answer = await client.callTool({ name: 'say', arguments: { prompt: 'Hello there' } })
    t.match(answer, { content: [{ type: 'text', text: 'You said: Hello there' }] })
  })

  await t.test('answers GraphQL clients', async (t) => {
    const query = 'subscription { words(prompt: "Hello there") }'
    const words: unknown[] = []
    for await (const { data } of createClient({ url: `${url}/graphql/stream` }).iterate({ query }))
      words.push(data)
    t.same(words, [{ words: 'You ' }, { words: 'said: ' }, { words: 'Hello ' }, { words: 'there' }])
  })

  await t.test('answers tRPC clients', async (t) => {
    const link = { url: `${url}/trpc`, EventSource }
    const [isTrue, isFalse] = [httpSubscriptionLink(link), httpLink(link)]
    const client = createTRPCUntypedClient({
      links: [splitLink({ condition: ({ type }) => type === 'subscription', true: isTrue, false: isFalse })]
    })
    await client.mutation('publish', 'Hello there')
    const heard = new Promise((onData) => {
      const { unsubscribe } = client.subscription('news', undefined, { onData })
      t.teardown(unsubscribe)
    })
    t.match(await heard, { data: 'Hello there' })
  })

  await t.test('answers Datastar pages', async (t) => {
    const response = await fetch(`${url}/datastar/answer`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"question":"Hello there"}'
    })
    t.match(await response.text(), 'data: signals {"answer":"You said: Hello there"}')
  })

  await t.test('refuses what asks for no stream', async (t) => {
    const answer = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none' }).chat.completions.create({
      model,
      messages
    })
    t.match(await answer.catch((error) => error), { status: 400 })
  })

  t.notMatch(child.output, /"level":(50|60)/, 'nothing is logged as an error')
})
