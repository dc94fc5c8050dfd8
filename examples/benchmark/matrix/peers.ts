import { createRequire } from 'node:module'
import { createSession } from 'better-sse'
import type { FastifyPluginAsync, FastifyReply, RouteShorthandOptions } from 'fastify'
import type { Contestant } from '../../../test/ecosystem/contestant.ts'

/** Two are loaded by `require`, because the types of both would add their `reply.sse` to the whole project. */
const require = createRequire(import.meta.url)

interface FastifySseReply extends FastifyReply {
  sse: { keepAlive(): void; send(message: { data: string }): Promise<void>; close(): void }
}
const fastifySsePlugin: FastifyPluginAsync = require('@fastify/sse')
const onlyStreams: RouteShorthandOptions & { sse: 'only' } = { sse: 'only' }

const fastifySse: Contestant = {
  name: '@fastify/sse',
  isPlugin: true,
  routeOptions: onlyStreams,
  register: async (app) => {
    await app.register(fastifySsePlugin)
  },
  start: async (_request, reply) => {
    const { sse } = reply as FastifySseReply
    sse.keepAlive()
    return { send: (data) => sse.send({ data }), close: () => sse.close() }
  }
}

interface FastifySseV2Reply extends FastifyReply {
  sse(message: { data: string }): void
  sseContext: { source: { end(): void } }
}
const fastifySseV2Plugin: FastifyPluginAsync = require('fastify-sse-v2').FastifySSEPlugin

const fastifySseV2: Contestant = {
  name: 'fastify-sse-v2',
  isPlugin: true,
  routeOptions: {},
  register: async (app) => {
    await app.register(fastifySseV2Plugin)
  },
  start: async (_request, reply) => {
    const peerReply = reply as FastifySseV2Reply
    return { send: (data) => peerReply.sse({ data }), close: () => peerReply.sseContext.source.end() }
  }
}

const betterSse: Contestant = {
  name: 'better-sse',
  isPlugin: false,
  routeOptions: {},
  register: async () => {},
  start: async (request, reply) => {
    const session = await createSession(request.raw, reply.raw)
    return { send: (data) => session.push(data), close: () => reply.raw.end() }
  }
}

export const PEERS: readonly Contestant[] = [fastifySse, fastifySseV2, betterSse]
