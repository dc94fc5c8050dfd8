import Fastify from 'fastify'
import { BareStream, type Contestant, LISTEN, SSE_HEADERS, type StreamListener } from './contestant.ts'

export async function start(streamOnOpen: StreamListener): Promise<Contestant> {
  const app = Fastify()
  app.get('/', (_request, reply) => {
    reply.hijack()
    reply.raw.writeHead(200, SSE_HEADERS)
    reply.raw.flushHeaders()
    streamOnOpen(new BareStream(reply.raw))
  })
  return { server: app.server, listen: () => app.listen(LISTEN), close: () => app.close() }
}
