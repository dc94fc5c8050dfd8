import { Type as TypeBox, type TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { expectTypeOf } from 'expect-type'
import Fastify from 'fastify'
import t from 'tap'
import { z } from 'zod'
import '../../lib/index.ts'
import type { SSEConnection } from '../../lib/index.ts'

const events = { quote: z.object({ price: z.number() }), message: z.string() }
interface Events {
  quote: { price: number }
  message: string
}

/** Never called: the compiler is the test. */
export function typed(): void {
  const app = Fastify()
  app.get('/quotes', { eventStream: { events } }, async (request, reply) => {
    expectTypeOf(request.url).toEqualTypeOf<string>()
    const sse = reply.sseStart({ context: 'Ann' })
    expectTypeOf(sse).toEqualTypeOf<SSEConnection<Events>>()
    sse.send({ event: 'quote', data: { price: 1 } })
    // @ts-expect-error the data is of another type
    sse.send({ event: 'quote', data: { price: '1' } })
    // @ts-expect-error an event that is not declared
    sse.send({ event: 'price', data: 1 })
    return reply.code(200)
  })
  app.post<{ Params: { user: string }; Body: { text: string } }>(
    '/users/:user',
    { onRequest: async () => {} },
    async (request, reply) => {
      expectTypeOf(request.params.user).toEqualTypeOf<string>()
      expectTypeOf(reply.sseStart()).toEqualTypeOf<SSEConnection>()
    }
  )
  app.get(
    '/with-more',
    { config: { url: '' }, schema: { querystring: {} }, eventStream: { events, heartbeatMs: 1 } },
    (_request, reply) => {
      expectTypeOf(reply.sseStart()).toEqualTypeOf<SSEConnection<Events>>()
      expectTypeOf(reply.sseStart<{ own: 1 }>()).toEqualTypeOf<SSEConnection<{ own: 1 }>>()
      expectTypeOf(reply.sseStart({ events: { own: z.number() } })).toEqualTypeOf<
        SSEConnection<{ own: number }>
      >()
    }
  )
  app.get('/undeclared', { eventStream: { heartbeatMs: 1 } }, async (_request, reply) => {
    expectTypeOf(reply.sseStart()).toEqualTypeOf<SSEConnection>()
  })
  app.get<{ Params: { user: string } }>(
    '/given/:user',
    { eventStream: { events } },
    async (request, reply) => {
      expectTypeOf(request.params.user).toEqualTypeOf<string>()
      // Who gives one type parameter gives all.
      reply.sseStart().send({ event: 'any', data: 1 })
    }
  )
  app.get('/plain', async (_request, reply) => {
    expectTypeOf(reply.sseStart()).toEqualTypeOf<SSEConnection>()
    return { any: 'thing' }
  })
  // @ts-expect-error no events
  app.get('/wrong', { eventStream: { events: 1 } }, async () => {})
  app.route({
    method: ['GET', 'POST'],
    url: '/route',
    eventStream: { events },
    handler: async (request, reply) => {
      expectTypeOf(request.method).toEqualTypeOf<string>()
      expectTypeOf(reply.sseStart()).toEqualTypeOf<SSEConnection<Events>>()
    }
  })
  const typeBox = app.withTypeProvider<TypeBoxTypeProvider>()
  const schema = { querystring: TypeBox.Object({ from: TypeBox.Integer() }) }
  const ticks = { tick: TypeBox.Object({ now: TypeBox.Integer() }) }
  typeBox.get('/typebox', { schema, eventStream: { events: ticks } }, (request, reply) => {
    expectTypeOf(request.query).toEqualTypeOf<{ from: number }>()
    expectTypeOf(reply.sseStart()).toEqualTypeOf<SSEConnection<{ tick: { now: number } }>>()
  })
}

t.test('routes › handlers know the types of the events that their route declares', async () => {})
