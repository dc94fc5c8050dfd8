import type { FastifyInstance, FastifyRequest, FastifySchema, RouteOptions } from 'fastify'
import { jsonSchemaOf } from '../wire/declared-events.ts'
import type { EventSchemas } from '../wire/event-types.ts'
import type { ResolvedOptions } from './resolved-options.ts'

const kOptions: unique symbol = Symbol('fastify-eventstream.options')
const kKnown: unique symbol = Symbol('fastify-eventstream.known')
const OK_KEYS = ['200', '2xx', '2XX', 'default']

/** What `@fastify/swagger` gives a `transform`, as far as it is used. */
interface RouteDocument {
  readonly schema?: FastifySchema
  readonly url: string
  readonly route: { readonly config?: object }
}

/** A response as Fastify's schemas describe it, by media type or for all of them. */
interface ResponseSchema {
  readonly description?: string
  readonly headers?: object
  readonly content?: Readonly<Record<string, object>>
}

/** What the streams of a request's route have for options, if it sets some. */
export function optionsOfRoute({ routeOptions }: FastifyRequest): ResolvedOptions | undefined {
  return optionsIn(routeOptions.config)
}

/** Whether the plugin had loaded when the route was added; the options of others are not known. */
export function isKnownRoute({ is404, routeOptions }: FastifyRequest): boolean {
  return is404 || Reflect.get(routeOptions.config, kKnown) === true
}

/** The plugin has loaded, and a route is added. */
export function knowRoute(route: RouteOptions): void {
  route.config = Object.assign({}, route.config, { [kKnown]: true })
}

/**
 * Makes the options of a route known to its requests, and its events a part of its response schema. Where schemas are none
 * of JSON, because the server has another compiler for them, only `eventStreamTransform()` does that.
 */
export function setRouteOptions(route: RouteOptions, options: ResolvedOptions, app: FastifyInstance): void {
  route.config = Object.assign({}, route.config, { [kOptions]: options })
  const compiler = route.serializerCompiler ?? app.serializerCompiler
  if (options.events === undefined || compiler !== undefined) return
  route.schema = withEventStream(route.schema, options.events)
}

/**
 * A `transform` for `@fastify/swagger` that describes the event streams of routes, around the one that the application
 * needs for its schemas. Without such a one it is not needed.
 *
 * @example `transform: eventStreamTransform(jsonSchemaTransform)`
 */
export function eventStreamTransform<Document extends RouteDocument>(
  transform: (document: Document) => { schema: FastifySchema; url: string }
): (document: Document) => { schema: FastifySchema; url: string } {
  return (document) => {
    const transformed = transform(document)
    const events = optionsIn(document.route.config)?.events
    return events === undefined
      ? transformed
      : { ...transformed, schema: withEventStream(transformed.schema, events) }
  }
}

function optionsIn(config: object | undefined): ResolvedOptions | undefined {
  return config === undefined ? undefined : Reflect.get(config, kOptions)
}

function withEventStream(schema: FastifySchema = {}, events: EventSchemas): FastifySchema {
  const response = { ...(schema.response as Record<string, ResponseSchema> | undefined) }
  const given = OK_KEYS.map((key) => response[key]).find((found) => found !== undefined)
  const content: Readonly<Record<string, object>> = given?.content ?? contentOf(given)
  response['200'] = {
    ...(given?.headers !== undefined && { headers: given.headers }),
    description: given?.description ?? 'Event stream',
    content: {
      ...content,
      'text/event-stream': {
        ...content['text/event-stream'],
        schema: { type: 'string' },
        itemSchema: itemSchema(events)
      }
    }
  }
  return { ...schema, response }
}

/** A schema without media types is that of all, also of those whose name only ends with `+json`. */
function contentOf(given: ResponseSchema | undefined): Record<string, object> {
  if (given === undefined) return {}
  const { headers, ...schema } = given
  return { 'application/json': { schema }, '*/*': { schema } }
}

/** OpenAPI 3.2, section 4.14.4.4: each event is an item, with its fields as properties. */
function itemSchema(events: EventSchemas): object {
  return {
    type: 'object',
    properties: {
      id: { type: 'string' },
      event: { type: 'string' },
      data: { type: 'string' },
      retry: { type: 'integer', minimum: 0 }
    },
    oneOf: [
      ...Object.entries(events).map(([name, schema]) => ({
        properties: { event: { const: name }, data: dataSchema(jsonSchemaOf(schema)) },
        required: name === 'message' ? ['data'] : ['event', 'data']
      })),
      {
        description: 'Of channels, or a farewell',
        properties: { event: { not: { enum: Object.keys(events) } } },
        required: ['event', 'data']
      },
      { description: 'An id or a reconnection time alone', not: { required: ['data'] } }
    ]
  }
}

/** Strings are sent as they are, all else as JSON. */
function dataSchema(schema: object): object {
  if ('type' in schema && schema.type === 'string') return schema
  const json = { type: 'string', contentMediaType: 'application/json' }
  return JSON.stringify(schema).includes('"$ref":"#') ? json : { ...json, contentSchema: schema }
}
