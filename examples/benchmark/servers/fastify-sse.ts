import { createRequire } from 'node:module'
import Fastify, { type FastifyPluginAsync, type FastifyReply, type RouteShorthandOptions } from 'fastify'
import { type Contestant, LISTEN, ResponseStream, type Stream, type StreamListener } from './contestant.ts'

/** What its README shows. Loaded by `require`, because its types would add `reply.sse` to the whole project. */
interface PeerReply extends FastifyReply {
  sse: { keepAlive(): void; sendHeaders(): void; send(message: { data: string }): Promise<void> }
}
const require = createRequire(import.meta.url)
const plugin: FastifyPluginAsync = require('@fastify/sse')

class PeerStream extends ResponseStream implements Stream {
  readonly #reply: PeerReply

  constructor(reply: PeerReply) {
    super(reply.raw)
    this.#reply = reply
  }

  send(data: string): Promise<void> {
    return this.#reply.sse.send({ data })
  }
}

export async function start(streamOnOpen: StreamListener): Promise<Contestant> {
  const app = Fastify()
  await app.register(plugin)
  const options: RouteShorthandOptions & { sse: 'only' } = { sse: 'only' }
  app.get('/', options, async (_request, reply) => {
    const peerReply = reply as PeerReply
    peerReply.sse.keepAlive()
    peerReply.sse.sendHeaders()
    reply.raw.flushHeaders()
    streamOnOpen(new PeerStream(peerReply))
  })
  return { server: app.server, listen: () => app.listen(LISTEN), close: () => app.close() }
}
