import type { ServerResponse } from 'node:http'
import { constants, type Http2ServerResponse } from 'node:http2'
import type { Batch } from '../../wire/batch.ts'
import { endConnection } from './end-connection.ts'
import type { Ending, Transport, TransportListener } from './transport.ts'

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
    if (!this.#isWrapped && 'stream' in response) this.#onWrite = () => this.#endWhenTaken()
    destination.on('drain', () => {
      if (!this.#ended) listener.transportOnDrain()
    })
    destination.on('error', (error) => {
      if (this.#isWrapped) listener.transportOnError(error)
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

  destroy(): void {
    this.#ended = true
    const response = this.#response
    // Without an error code clients take what was cut off for complete.
    if ('stream' in response) response.stream?.close(constants.NGHTTP2_INTERNAL_ERROR)
    response.destroy()
  }

  /** Of an HTTP/2 stream that was ended with something queued, Node does not tell when the client resets it. */
  #endWhenTaken(): void {
    if (this.#ended && this.#destination.writableLength === 0) this.#ending.end()
  }
}
