import { channel, subscribe } from 'node:diagnostics_channel'
import type { AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import eventStream from '../../../lib/index.ts'
import { serve } from '../process/rpc.ts'
import { LISTEN } from './contestant.ts'
import { collectGarbage, cpu } from './vitals.ts'

/** What is registered before two routes that do not stream. */
const VARIANTS = {
  'Fastify alone': async () => {},
  'with the plugin': async (app: FastifyInstance) => void (await app.register(eventStream)),
  'onRoute wrap': async (app: FastifyInstance) => void (await app.register(fp(watchByWrapping))),
  'tracing channel': async () => watchByTracing()
}

export type PlainVariant = keyof typeof VARIANTS

type Handler = (this: FastifyInstance, request: FastifyRequest, reply: FastifyReply) => unknown

const started = new WeakMap<FastifyReply, unknown>()

/** Sees a handler's rejection by watching the promise of every handler. */
async function watchByWrapping(app: FastifyInstance): Promise<void> {
  app.addHook('onRoute', (route) => {
    const handler: Handler = route.handler
    route.handler = function watchedHandler(request, reply) {
      const result = handler.call(this, request, reply)
      if (result instanceof Promise) result.then(undefined, () => started.get(reply))
      return result
    }
  })
}

/** Sees a handler's rejection by Fastify's tracing channel. */
function watchByTracing(): void {
  const { name } = channel('tracing:fastify.request.handler:error')
  subscribe(name, (event) => started.get((event as { reply: FastifyReply }).reply))
}

const methods = {
  async listen(variant: PlainVariant): Promise<number> {
    const app = Fastify()
    await VARIANTS[variant](app)
    app.get('/sync', (_request, reply) => {
      reply.send({ hello: 'world' })
    })
    app.get('/async', async () => ({ hello: 'world' }))
    await app.listen(LISTEN)
    return (app.server.address() as AddressInfo).port
  },
  cpu: (): number => cpu(),
  collectGarbage: (): Promise<void> => collectGarbage()
}

export type PlainMethods = typeof methods

serve(methods)
