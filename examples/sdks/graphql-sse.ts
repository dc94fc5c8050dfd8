import type { FastifyInstance } from 'fastify'
import {
  type ExecutionResult,
  execute,
  type GraphQLError,
  type GraphQLSchema,
  getOperationAST,
  parse,
  subscribe,
  validate
} from 'graphql'
import type { RequestParams } from 'graphql-sse'

/** What resolvers get for context. */
export interface Context {
  /** Aborts when nobody wants the results any more. */
  readonly signal: AbortSignal
}

interface Options {
  readonly schema: GraphQLSchema
  readonly rootValue: unknown
}

/** GraphQL over Server-Sent Events, in distinct connections mode: each operation is a request of its own. */
export async function graphqlSse(app: FastifyInstance, options: Options): Promise<void> {
  app.post<{ Body: RequestParams }>('/graphql/stream', async (request, reply) => {
    const sse = reply.sseStart()
    const results = await resultsOf(options, request.body, { signal: sse.signal })
    await sse.sendAll(results, (data) => ({ event: 'next', data }))
    await sse.send({ event: 'complete', data: '' })
    sse.close()
  })
}

type Results = AsyncIterable<ExecutionResult> | ExecutionResult[]

async function resultsOf(options: Options, params: RequestParams, contextValue: Context): Promise<Results> {
  const { query, operationName, variables: variableValues } = params
  try {
    const document = parse(query)
    const errors = validate(options.schema, document)
    if (errors.length > 0) return [{ errors }]
    const isSubscription = getOperationAST(document, operationName)?.operation === 'subscription'
    const run = isSubscription ? subscribe : execute
    const result = await run({ ...options, document, operationName, variableValues, contextValue })
    return Symbol.asyncIterator in result ? result : [result]
  } catch (error) {
    return [{ errors: [error as GraphQLError] }]
  }
}
