import type { Socket } from 'node:net'
import type { Transport, TransportListener } from './transport.ts'

/** The transports of the sockets that carry a stream now, for listeners that get nothing but the socket. */
const carried = new WeakMap<Socket, SocketTransport>()

/** Whether the socket carries a stream, so that nobody else may write to it or be answered on it. */
export function carriesStream(socket: Socket): boolean {
  return carried.has(socket)
}

/**
 * HTTP/1.1 over TCP, TLS or a Unix socket: writes chunks (RFC 9112, section 7.1) straight to the socket, under a
 * `ServerResponse` that stays attached and unfinished and ends the message itself.
 */
export class SocketTransport implements Transport {
  readonly #socket: Socket
  readonly #finish: () => void
  readonly #listener: TransportListener

  /** @param finish ends the `ServerResponse`, which writes the last chunk. */
  constructor(socket: Socket, finish: () => void, listener: TransportListener) {
    this.#socket = socket
    this.#finish = finish
    this.#listener = listener
    carried.set(socket, this)
    socket.on('drain', socketOnDrain)
    socket.on('end', socketOnEnd)
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  get flushedBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }

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
    return socket.writableLength < socket.writableHighWaterMark
  }

  end({ reuse }: { reuse: boolean }): void {
    if (carried.get(this.#socket) === this) {
      this.#release()
      this.#finish()
    }
    if (!reuse) this.#socket.destroySoon()
  }

  destroy(): void {
    this.#release()
    this.#socket.destroy()
  }

  #release(): void {
    carried.delete(this.#socket)
    this.#socket.removeListener('drain', socketOnDrain)
    this.#socket.removeListener('end', socketOnEnd)
  }

  socketOnDrain(): void {
    this.#listener.transportOnDrain()
  }
}

function socketOnDrain(this: Socket): void {
  carried.get(this)?.socketOnDrain()
}

/** Node answers a client's half-close by ending the socket (`httpAllowHalfOpen` is false): the stream is over. */
function socketOnEnd(this: Socket): void {
  this.destroy()
}
