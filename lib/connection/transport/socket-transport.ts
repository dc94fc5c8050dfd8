import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Batch } from '../../wire/batch.ts'
import { type Ending, endConnection, type Transport, type TransportListener } from './transport.ts'

/** A response that has its socket. */
export type SocketResponse = ServerResponse & { readonly socket: Socket }

/**
 * HTTP/1.1 over TCP, TLS or a Unix socket: writes chunks (RFC 9112, section 7.1) straight to the socket, under a
 * `ServerResponse` that stays attached and unfinished and ends the message itself.
 */
export class SocketTransport implements Transport {
  readonly #response: ServerResponse
  readonly #socket: Socket
  readonly #ending: Ending
  readonly #listener: TransportListener
  /** Whether the head is in the socket, but waits to leave in one write with what comes first. */
  #isCorked = true
  #hasEnded = false

  /**
   * @param response its head has been written to the socket, which is corked.
   * @param ending what makes the response write its last chunk.
   */
  constructor(response: SocketResponse, ending: Ending, listener: TransportListener) {
    this.#response = response
    this.#socket = response.socket
    this.#ending = ending
    this.#listener = listener
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength
  }

  get flushedBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }

  start(): void {
    if (!this.#isCorked) return
    this.#isCorked = false
    this.#socket.uncork()
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
    this.start()
    return mayContinue(socket, this.#listener)
  }

  writeBatch({ chunk }: Batch): boolean {
    const socket = this.#socket
    if (!socket.writable) return false
    const isTaken = socket.write(chunk)
    this.start()
    return isTaken || mayContinue(socket, this.#listener)
  }

  end({ reuse }: { reuse: boolean }): void {
    if (!reuse) endConnection(this.#response)
    if (this.#hasEnded) return
    this.start()
    this.#hasEnded = true
    this.#ending.end()
  }

  breakOff(): void {
    this.start()
    this.#hasEnded = true
    this.#socket.destroySoon()
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

function mayContinue(socket: Socket, listener: TransportListener): boolean {
  const isFree = socket.writableLength < socket.writableHighWaterMark
  if (!isFree) socket.once('drain', () => listener.transportOnDrain())
  return isFree
}
