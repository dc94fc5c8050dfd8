import { createRequire } from 'node:module'
import { createSession } from 'better-sse'
import type { FastifyPluginAsync, FastifyReply, RouteShorthandOptions } from 'fastify'
import type { Contestant } from '../../../test/ecosystem/contestant.ts'
import { PEER_NAMES } from '../../../test/ecosystem/peer-names.ts'

type Peer = Omit<Contestant, 'name'>

/** Two are loaded by `require`, because the types of both would add their `reply.sse` to the whole project. */
const require = createRequire(import.meta.url)

interface FastifySseReply extends FastifyReply {
  sse: { keepAlive(): void; send(message: { data: string }): Promise<void>; close(): void }
}
const fastifySsePlugin: FastifyPluginAsync = require('@fastify/sse')
const onlyStreams: RouteShorthandOptions & { sse: 'only' } = { sse: 'only' }

const fastifySse: Peer = {
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

const fastifySseV2: Peer = {
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

const betterSse: Peer = {
  isPlugin: false,
  routeOptions: {},
  register: async () => {},
  start: async (request, reply) => {
    const session = await createSession(request.raw, reply.raw)
    return { send: (data) => session.push(data), close: () => reply.raw.end() }
  }
}

const peers: Record<(typeof PEER_NAMES)[number], Peer> = {
  '@fastify/sse': fastifySse,
  'fastify-sse-v2': fastifySseV2,
  'better-sse': betterSse
}

export const PEERS: readonly Contestant[] = PEER_NAMES.map((name) => ({ name, ...peers[name] }))
