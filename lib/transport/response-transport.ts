import type { ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import type { Ending, Transport, TransportListener } from './transport.ts'

/** What is written to: a response, or the stream that an `onSend` hook put in front of it. */
export type Destination = NodeJS.WritableStream & { readonly writableLength: number }

/**
 * Everything that has no socket of its own to write to: HTTP/2, HTTP/1.0, `inject()`, responses that something else
 * wraps. The framing is the destination's.
 */
export class ResponseTransport implements Transport {
  readonly #destination: Destination
  readonly #response: ServerResponse | Http2ServerResponse
  readonly #ending: Ending
  #writtenBytes = 0
  #ended = false

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
    destination.on('drain', () => {
      if (!this.#ended) listener.transportOnDrain()
    })
    destination.on('error', () => this.destroy())
  }

  get bufferedBytes(): number {
    return this.#destination.writableLength
  }

  get flushedBytes(): number {
    return this.#writtenBytes - this.bufferedBytes
  }

  write(data: string | Uint8Array): boolean {
    this.#writtenBytes += data.length
    return typeof data === 'string' ? this.#destination.write(data, 'latin1') : this.#destination.write(data)
  }

  end({ reuse }: { reuse: boolean }): void {
    if (!this.#ended) {
      this.#ended = true
      this.#ending.end()
    }
    if (!reuse) this.#closeConnection()
  }

  destroy(): void {
    this.#ended = true
    const response = this.#response
    // Without an error code clients take what was cut off for complete.
    if ('stream' in response) response.stream?.close(constants.NGHTTP2_INTERNAL_ERROR)
    response.destroy()
  }

  /** An HTTP/2 session carries other streams too: it is not this transport's to close. */
  #closeConnection(): void {
    if ('stream' in this.#response) return
    const { socket } = this.#response
    if (socket === null || typeof socket.destroySoon !== 'function') return
    this.#response.once('finish', () => socket.destroySoon())
  }
}
