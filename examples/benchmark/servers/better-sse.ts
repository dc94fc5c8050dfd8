import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { createSession, type Session } from 'better-sse'
import { type Contestant, LISTEN, ResponseStream, type Stream, type StreamListener } from './contestant.ts'

/** Its `push()` takes everything at once: there is nothing to wait for. */
class PeerStream extends ResponseStream implements Stream {
  readonly #session: Session

  constructor(response: ServerResponse, session: Session) {
    super(response)
    this.#session = session
  }

  send(data: string): undefined {
    this.#session.push(data)
  }
}

export async function start(streamOnOpen: StreamListener): Promise<Contestant> {
  const server = createServer(async (request, response) => {
    const session = await createSession(request, response)
    streamOnOpen(new PeerStream(response, session))
  })
  return {
    server,
    listen: () => once(server.listen(LISTEN), 'listening'),
    close: () => new Promise((resolve) => server.close(resolve))
  }
}
