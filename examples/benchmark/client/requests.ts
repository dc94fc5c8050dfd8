import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RequestsOptions {
  port: number
  path: string
  connections: number
  /** Requests over all connections together. */
  requests: number
}

/** Keep-alive connections, each of which asks again as soon as it has its answer. All answers have one length. */
export class Requests {
  readonly #sockets = new Map<number, Socket[]>()

  async run({ port, path, connections, requests }: RequestsOptions): Promise<void> {
    const sockets = await this.#socketsTo(port, connections)
    const request = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    const share = Math.ceil(requests / connections)
    await Promise.all(sockets.map((socket) => ask(socket, request, share)))
  }

  async #socketsTo(port: number, count: number): Promise<Socket[]> {
    const sockets = this.#sockets.get(port) ?? []
    this.#sockets.set(port, sockets)
    while (sockets.length < count) {
      const socket = connect(port, '127.0.0.1').setNoDelay(true)
      await once(socket, 'connect')
      sockets.push(socket)
    }
    return sockets
  }
}

function ask(socket: Socket, request: Buffer, times: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let responseBytes = 0
    let received = 0
    let left = times
    socket.on('data', socketOnData)
    socket.once('close', socketOnClose)
    socket.write(request)

    function socketOnData(data: Buffer): void {
      if (responseBytes === 0) responseBytes = lengthOf(data)
      received += data.length
      if (received < responseBytes) return
      received = 0
      if (--left > 0) socket.write(request)
      else finish()
    }
    function finish(): void {
      socket.off('data', socketOnData)
      socket.off('close', socketOnClose)
      resolve()
    }
    function socketOnClose(): void {
      reject(new Error('The server closed a keep-alive connection'))
    }
  })
}

/** The length of an answer that has come in one piece, so that the others can be counted. */
export function lengthOf(data: Buffer): number {
  const text = data.toString('latin1')
  const end = text.indexOf('\r\n\r\n')
  const length = /^content-length: (\d+)/im.exec(text)?.[1]
  if (end === -1 || length === undefined || !text.startsWith('HTTP/1.1 200')) {
    throw new Error(`Expected a short answer with a length, got ${text}`)
  }
  return end + 4 + Number(length)
}
