import { createRequire } from 'node:module'
import Fastify, { type FastifyPluginAsync, type FastifyReply } from 'fastify'
import { type Contestant, LISTEN, ResponseStream, type Stream, type StreamListener } from './contestant.ts'

/** What its README shows. Loaded by `require`, because its types would add `reply.sse` to the whole project. */
interface PeerReply extends FastifyReply {
  sse(message: { data: string }): void
}
const require = createRequire(import.meta.url)
const plugin: FastifyPluginAsync = require('fastify-sse-v2').FastifySSEPlugin

/** Its `sse()` takes everything at once: there is nothing to wait for. */
class PeerStream extends ResponseStream implements Stream {
  readonly #reply: PeerReply

  constructor(reply: PeerReply) {
    super(reply.raw)
    this.#reply = reply
  }

  send(data: string): undefined {
    this.#reply.sse({ data })
  }
}

export async function start(streamOnOpen: StreamListener): Promise<Contestant> {
  const app = Fastify()
  await app.register(plugin)
  app.get('/', async (_request, reply) => {
    const peerReply = reply as PeerReply
    peerReply.sse({ data: 'hello' })
    streamOnOpen(new PeerStream(peerReply))
  })
  return { server: app.server, listen: () => app.listen(LISTEN), close: () => app.close() }
}
