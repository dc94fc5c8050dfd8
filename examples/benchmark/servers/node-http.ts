import { once } from 'node:events'
import { createServer } from 'node:http'
import { BareStream, type Contestant, LISTEN, SSE_HEADERS, type StreamListener } from './contestant.ts'

export async function start(streamOnOpen: StreamListener): Promise<Contestant> {
  const server = createServer((_request, response) => {
    response.writeHead(200, SSE_HEADERS)
    response.flushHeaders()
    streamOnOpen(new BareStream(response))
  })
  return {
    server,
    listen: () => once(server.listen(LISTEN), 'listening'),
    close: () => new Promise((resolve) => server.close(resolve))
  }
}
