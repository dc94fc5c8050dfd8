import type { FastifyInstance } from 'fastify'
import { buildSchema } from 'graphql'
import { type Client, createClient } from 'graphql-sse'
import t from 'tap'
import { type Context, graphqlSse } from '../../../examples/sdks/graphql-sse.ts'
import type { Model } from '../../../examples/sdks/model.ts'
import { build, listen } from '../../helpers/server.ts'
import { testAnswers } from './answers.ts'

const schema = buildSchema(
  'type Query { hello: String, broken: String } type Subscription { words(prompt: String): String }'
)

/** Subscriptions to what a model says. */
async function parrots(app: FastifyInstance, { model }: { model: Model }): Promise<void> {
  async function* words(
    { prompt }: { prompt: string },
    { signal }: Context
  ): AsyncGenerator<{ words: string }> {
    for await (const words of model(prompt, signal)) yield { words }
  }
  const broken = (): never => {
    throw new Error('no parrot')
  }
  await app.register(graphqlSse, { schema, rootValue: { words, hello: () => 'world', broken } })
}

function clientOf(url: string): Client {
  return createClient({ url: `${url}/graphql/stream`, retryAttempts: 0 })
}

testAnswers(
  t,
  parrots,
  {
    'graphql-sse': async (url, signal, onText) => {
      const results = clientOf(url).iterate<{ words: string }>({
        query: 'subscription { words(prompt: "Hello") }'
      })
      signal.addEventListener('abort', () => void results.return?.())
      let text = ''
      for await (const { data } of results) {
        text += data?.words
        onText()
      }
      return text
    }
  },
  { tellsWhy: false }
)

t.test('graphql-sse › a query is one result', async (t) => {
  const app = await build(t, {}, { forceCloseConnections: true })
  await app.register(parrots, { model: async function* () {} })
  const client = clientOf((await listen(app)).url)
  const resultsOf = async (query: string): Promise<unknown[]> => {
    const results: unknown[] = []
    for await (const result of client.iterate({ query })) results.push(result)
    return results
  }
  t.same(await resultsOf('{ hello }'), [{ data: { hello: 'world' } }])
  t.match(await resultsOf('{ broken }'), [{ data: { broken: null }, errors: [{ message: 'no parrot' }] }])
  t.match(await resultsOf('{ unknown }'), [{ errors: [{ message: /Cannot query field "unknown"/ }] }])
  t.match(await resultsOf('{'), [{ errors: [{ message: /Syntax Error/ }] }])
})
