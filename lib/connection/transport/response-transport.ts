import type { ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import { Socket } from 'node:net'
import { FST_ERR_EVENTSTREAM_RESPONSE_ENDED } from '../../base/errors.ts'
import type { Batch } from '../../wire/batch.ts'
import { type Ending, endConnection, type Transport, type TransportListener } from './transport.ts'

/** What is written to: a response, or the stream that an `onSend` hook put in front of it. */
export type Destination = NodeJS.WritableStream & {
  readonly writableLength: number
  readonly readableLength?: number
}

/**
 * Everything that has no socket of its own to write to: HTTP/2, HTTP/1.0, `inject()`, responses that something else
 * wraps. The framing is the destination's.
 */
export class ResponseTransport implements Transport {
  readonly #destination: Destination
  readonly #response: ServerResponse | Http2ServerResponse
  readonly #ending: Ending
  readonly #onWrite: (() => void) | undefined
  #writtenBytes = 0
  #ended = false
  #isBroken = false
  #isDestroyed = false

  /** @param ending ends the response, or what stands in front of it. */
  constructor(
    destination: Destination,
    response: ServerResponse | Http2ServerResponse,
    ending: Ending,
    listener: TransportListener
  ) {
    this.#destination = destination
    this.#response = response
    this.#ending = ending
    // What has replaced `write()`, such as Express' `compression`, tells nobody what is taken.
    const isTold = !this.#isWrapped && !Object.hasOwn(response, 'write')
    if (isTold && 'stream' in response) this.#onWrite = () => this.#endWhenTaken()
    destination.on('drain', () => {
      if (!this.#ended) listener.transportOnDrain()
    })
    if (!this.#isWrapped) return
    destination.on('error', (error) => listener.transportOnError(error))
    destination.on('close', () => {
      if (!this.#ended) listener.transportOnError(new FST_ERR_EVENTSTREAM_RESPONSE_ENDED())
    })
  }

  get #isWrapped(): boolean {
    return (this.#destination as unknown) !== this.#response
  }

  get bufferedBytes(): number {
    const { writableLength, readableLength = 0 } = this.#destination
    return writableLength + readableLength + (this.#isWrapped ? this.#response.writableLength : 0)
  }

  get flushedBytes(): number {
    return this.#writtenBytes - this.bufferedBytes
  }

  /** The head goes out before. */
  start(): void {}

  write(data: string | Uint8Array): boolean {
    this.#writtenBytes += data.length
    return typeof data === 'string'
      ? this.#destination.write(data, 'latin1', this.#onWrite)
      : this.#destination.write(data, this.#onWrite)
  }

  writeBatch(batch: Batch): boolean {
    return this.write(batch.payload)
  }

  end({ reuse }: { reuse: boolean }): void {
    if (!reuse) endConnection(this.#response)
    if (this.#ended) return
    this.#ended = true
    if (this.#onWrite === undefined) this.#ending.end()
    else this.#endWhenTaken()
  }

  breakOff(): void {
    if (this.#ended) return
    this.#ended = true
    this.#isBroken = true
    if (this.#onWrite !== undefined) this.#endWhenTaken()
    else if (!this.#isWrapped) this.#breakWhenTaken()
    else {
      // What wraps it gives its rest first, and then ends it.
      Object.assign(this.#response, { end: () => this.#breakWhenTaken() })
      this.#ending.end()
    }
  }

  destroy(): void {
    // Node tells of the reset before it has sent it.
    if (this.#isDestroyed) return
    this.#isDestroyed = true
    this.#ended = true
    const response = this.#response
    // Without an error code clients take what was cut off for complete.
    if ('stream' in response) response.stream?.close(constants.NGHTTP2_INTERNAL_ERROR)
    else if (!response.chunkedEncoding) reset(response.socket)
    response.destroy()
  }

  /** Of an HTTP/2 stream that was ended with something queued, Node does not tell when the client resets it. */
  #endWhenTaken(): void {
    if (!this.#ended || this.#destination.writableLength > 0) return
    if (this.#isBroken) this.#breakLater()
    else this.#ending.end()
  }

  #breakWhenTaken(): void {
    const { write } = Object.getPrototypeOf(this.#response) as NodeJS.WritableStream
    Reflect.apply(write, this.#response, ['', () => this.#breakLater()])
  }

  /** Not while Node tells of a write: what nghttp2 is about to send would be freed, and others' memory go out. */
  #breakLater(): void {
    setImmediate(() => this.destroy())
  }
}

/**
 * Where the end of the connection is the end of the body. Sockets of TLS and of Unix have no reset; and of one that was
 * ended, because the client has, Node never lets go if it is reset: the process would not end.
 */
function reset(socket: Socket | null): void {
  const isTcp = socket instanceof Socket && !('encrypted' in socket) && socket.remoteFamily !== undefined
  // What Node's `resetAndDestroy()` does, which ends the socket before, and so the body.
  if (isTcp && !socket.writableEnded) Object.assign(socket, { resetAndClosing: true }).destroy()
}
