import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import eventStream, { type SSEConnection } from '../../../lib/index.ts'
import { type Contestant, LISTEN, type Stream, type StreamListener } from './contestant.ts'

/** How long a request with `?auth` waits before its stream starts. */
const AUTH_MS = 2

export class OurStream implements Stream {
  readonly url: string
  readonly #connection: SSEConnection

  constructor(url: string, connection: SSEConnection) {
    this.url = url
    this.#connection = connection
  }

  send(data: string): Promise<boolean> {
    return this.#connection.send(data)
  }

  get bufferedBytes(): number {
    return this.#connection.bufferedBytes
  }

  get isGone(): boolean {
    return this.#connection.state === 'closed'
  }

  get reason(): string | undefined {
    return this.#connection.reason
  }
}

/** Its farewell and its one reconnection time make the bytes that a shutdown sends the same for all clients. */
export async function start(streamOnOpen: StreamListener): Promise<Contestant> {
  const app = Fastify()
  await app.register(eventStream, {
    farewell: () => ({ event: 'bye', data: 'bye' }),
    retryMs: [1000, 1000]
  })
  app.get('/', async (request, reply) => {
    if (request.url === '/?auth') {
      await sleep(AUTH_MS)
      const connection = reply.sseStart()
      await connection.send('welcome')
    } else {
      streamOnOpen(new OurStream(request.url, reply.sseStart()))
    }
  })
  return {
    server: app.server,
    listen: () => app.listen(LISTEN),
    close: () => app.close(),
    closeStreams: () => app.sse.closeWhere(() => true),
    connections: () => app.sse.connections.size
  }
}
