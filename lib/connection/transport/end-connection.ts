import type { ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'

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
