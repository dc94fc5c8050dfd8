import type { Socket } from 'node:net'
import type { Ending, Transport, TransportListener } from './transport.ts'

/** The transport of the stream that a socket carries now, for listeners that get nothing but the socket. */
const kTransport: unique symbol = Symbol('fastify-eventstream.transport')

interface CarryingSocket extends Socket {
  [kTransport]?: SocketTransport | undefined
}

/** Whether the socket carries a stream, so that nobody else may write to it or be answered on it. */
export function carriesStream(socket: CarryingSocket): boolean {
  return socket[kTransport] !== undefined
}

/**
 * HTTP/1.1 over TCP, TLS or a Unix socket: writes chunks (RFC 9112, section 7.1) straight to the socket, under a
 * `ServerResponse` that stays attached and unfinished and ends the message itself.
 */
export class SocketTransport implements Transport {
  readonly #socket: CarryingSocket
  readonly #ending: Ending
  readonly #listener: TransportListener

  /** @param ending the `ServerResponse`, which writes the last chunk. */
  constructor(socket: CarryingSocket, ending: Ending, listener: TransportListener) {
    this.#socket = socket
    this.#ending = ending
    this.#listener = listener
    socket[kTransport] = this
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  get flushedBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }

  /** Node ends the socket of a client that half-closes (`httpAllowHalfOpen` is false): no drain follows, but `close`. */
  write(data: string | Uint8Array): boolean {
    const socket = this.#socket
    if (!socket.writable) return false
    const size = `${data.length.toString(16)}\r\n`
    if (typeof data === 'string') {
      socket.write(`${size}${data}\r\n`, 'latin1')
    } else {
      socket.cork()
      socket.write(size, 'latin1')
      socket.write(data)
      socket.write('\r\n', 'latin1')
      socket.uncork()
    }
    const mayContinue = socket.writableLength < socket.writableHighWaterMark
    if (!mayContinue) socket.once('drain', socketOnDrain)
    return mayContinue
  }

  end({ reuse }: { reuse: boolean }): void {
    if (this.#release()) this.#ending.end()
    if (!reuse) this.#socket.destroySoon()
  }

  destroy(): void {
    this.#release()
    this.#socket.destroy()
  }

  socketOnDrain(): void {
    this.#listener.transportOnDrain()
  }

  /** @returns whether the socket still carried this stream. */
  #release(): boolean {
    this.#socket.removeListener('drain', socketOnDrain)
    const isCarried = this.#socket[kTransport] === this
    if (isCarried) this.#socket[kTransport] = undefined
    return isCarried
  }
}

function socketOnDrain(this: CarryingSocket): void {
  this[kTransport]?.socketOnDrain()
}
