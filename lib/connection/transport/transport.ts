import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import type { Batch } from '../../wire/batch.ts'

/**
 * The pipe under a connection. It belongs to one connection, which calls it from one place only.
 */
export interface Transport {
  /** Lets the response's head go out, if no write has taken it along. */
  start(): void

  /** Bytes taken by `write()` that the operating system does not have yet. */
  readonly bufferedBytes: number

  /** Bytes that the operating system has taken so far: grows while the reader makes progress. */
  readonly flushedBytes: number

  /**
   * Takes bytes, in order. A string is ASCII only, so that its length is its size.
   *
   * Must not be called after `end()`, `breakOff()` or `destroy()`.
   *
   * @returns whether more may be written now; if not, the connection waits for `transportOnDrain()`.
   */
  write(data: string | Uint8Array): boolean

  /** `write()` of a batch, whose bytes it shares with other transports. */
  writeBatch(batch: Batch): boolean

  /**
   * Ends the response after everything written, once. `reuse: false` also ends the connection it came on, after the
   * last byte; a later call can only turn `reuse` from true to false.
   */
  end(options: { reuse: boolean }): void

  /**
   * Breaks the response off after everything written, so that the client knows that it is not whole: a chunked body without
   * its last chunk (RFC 9112, section 7.1), RST_STREAM (RFC 9113, section 6.4), a reset of the connection on HTTP/1.0.
   */
  breakOff(): void

  /** Drops everything that is buffered and the client with it. */
  destroy(): void
}

/** What a transport tells its connection. None may be called from inside `write()`. */
export interface TransportListener {
  /** The transport takes bytes again. */
  transportOnDrain(): void

  /** What is written to has failed. */
  transportOnError(error: unknown): void

  /** The peer is gone, or the response has ended and all of it has left. Told once; nothing follows. */
  transportOnClose(): void
}

/** What ends the response behind a transport, and with it the framing of HTTP. */
export interface Ending {
  end(): unknown
}

/**
 * Ends the connection that a response came on, after the response's last byte. An HTTP/2 session carries other streams
 * too, and is not one response's to end.
 */
export function endConnection(response: ServerResponse | Http2ServerResponse): void {
  if ('stream' in response) return
  const { socket } = response
  if (socket === null || typeof socket.destroySoon !== 'function') return
  response.once('finish', () => socket.destroySoon())
}
