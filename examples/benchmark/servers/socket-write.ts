import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import {
  type Contestant,
  LISTEN,
  ResponseStream,
  SSE_HEADERS,
  type Stream,
  type StreamListener
} from './contestant.ts'

let builtFor = ''
let chunk = Buffer.alloc(0)

/** The limit: one chunk, built once for everyone, written to the raw socket. */
class SocketStream extends ResponseStream implements Stream {
  send(data: string): Promise<void> | undefined {
    const { socket } = this.response
    if (socket === null || socket.write(chunkOf(data))) return undefined
    return new Promise((resolve) => socket.once('drain', resolve))
  }
}

function chunkOf(data: string): Buffer {
  if (data !== builtFor) {
    const event = `data: ${data}\n\n`
    builtFor = data
    chunk = Buffer.from(`${event.length.toString(16)}\r\n${event}\r\n`)
  }
  return chunk
}

export async function start(streamOnOpen: StreamListener): Promise<Contestant> {
  const server = createServer((_request, response: ServerResponse) => {
    response.writeHead(200, SSE_HEADERS)
    response.flushHeaders()
    streamOnOpen(new SocketStream(response))
  })
  return {
    server,
    listen: () => once(server.listen(LISTEN), 'listening'),
    close: () => new Promise((resolve) => server.close(resolve))
  }
}
