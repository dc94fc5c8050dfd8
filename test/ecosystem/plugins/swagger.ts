import assert from 'node:assert/strict'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { RouteShorthandOptions } from 'fastify'
import { type Row, versioned } from '../row.ts'
import type { Stage } from '../stage.ts'

interface OpenApi {
  paths: Record<string, { get?: Operation }>
}
interface Operation {
  summary?: string
  responses?: Record<string, { content?: Record<string, { schema?: object; itemSchema?: ItemSchema }> }>
}
interface ItemSchema {
  oneOf?: object[]
}

/** Otherwise `const` becomes `enum`, for older versions of OpenAPI. */
const DIALECT = { openapi: { openapi: '3.2.0' }, convertConstToEnum: false }

export const swaggerRows: readonly Row[] = [
  {
    name: versioned('@fastify/swagger', '@fastify/swagger-ui'),
    shows: 'has a documented route, and is served beside the documentation',
    async run(stage) {
      const { url, operation } = await startDocumented(stage, { schema: { summary: 'Greets' } })
      assert.equal(operation?.summary, 'Greets')
      await stage.open(`${url}/events`)
      const page = await fetch(`${url}/docs/static/index.html`)
      assert.match(await page.text(), /swagger-ui/)
    }
  },
  {
    name: versioned('@fastify/swagger'),
    shows: 'has a route whose declared events are documented, each with its schema (`itemSchema`)',
    isFor: ({ documentedOptions }) => documentedOptions !== undefined,
    async run(stage) {
      const { documentedOptions = {} } = stage.contestant
      const { url, operation } = await startDocumented(stage, documentedOptions)
      const documented = operation?.responses?.['200']?.content?.['text/event-stream']
      assert.deepEqual(documented?.schema, { type: 'string' })
      assert.deepEqual(documented.itemSchema?.oneOf?.[0], {
        properties: { event: { const: 'message' }, data: documentedOptions.eventStream?.events?.message },
        required: ['data']
      })
      await stage.open(`${url}/events`)
    }
  }
]

async function startDocumented(
  stage: Stage,
  options: RouteShorthandOptions
): Promise<{ url: string; operation: Operation | undefined }> {
  const app = await stage.build(async (app) => {
    await app.register(swagger, DIALECT)
    await app.register(swaggerUi, { routePrefix: '/docs' })
  })
  stage.addStream(app, { options })
  const url = await stage.listen(app)
  const { paths } = (await (await fetch(`${url}/docs/json`)).json()) as OpenApi
  return { url, operation: paths['/events']?.get }
}
