import Fastify from 'fastify'
import eventStream from '../../../lib/index.ts'
import { type Contestant, LISTEN } from './contestant.ts'

/** Each stream is subscribed to the one channel. */
export async function start(): Promise<Contestant> {
  const app = Fastify()
  await app.register(eventStream)
  const channel = app.sse.channel('news')
  app.get('/', (_request, reply) => void channel.subscribe(reply.sseStart()))
  return {
    server: app.server,
    listen: () => app.listen(LISTEN),
    close: () => app.close(),
    connections: () => app.sse.connections.size
  }
}
