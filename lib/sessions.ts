import type { Http2ServerRequest, Http2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'

/**
 * The HTTP/2 sessions that have carried a stream. Node closes them by itself at `server.close()` only from Node 24 on,
 * and none whose socket is stuck: `session.destroy()` waits for the socket's last byte to leave.
 */
export class Sessions {
  readonly #carrying = new Set<Http2Session>()
  /** A session hides its socket, but its server tells of both in one go. */
  readonly #sockets = new WeakMap<Http2Session, Socket>()

  constructor(server: Server) {
    let latest: Socket
    for (const event of ['connection', 'secureConnection']) {
      server.prependListener(event, (socket: Socket) => {
        latest = socket
      })
    }
    server.on('session', (session: Http2Session) => this.#sockets.set(session, latest))
  }

  /** Remembers the request's session, if it has one, for as long as it is open. */
  add(request: FastifyRequest): void {
    const session = sessionOf(request)
    if (session === undefined || this.#carrying.has(session)) return
    this.#carrying.add(session)
    session.once('close', () => this.#carrying.delete(session))
  }

  /** Lets every session end with the last of its streams. */
  close(): void {
    for (const session of this.#carrying) session.close()
  }

  /** Ends the request's session, if it has one, whatever is left in its socket. */
  destroy(request: FastifyRequest): void {
    const session = sessionOf(request)
    if (session === undefined) return
    session.destroy()
    this.#sockets.get(session)?.destroy()
  }
}

function sessionOf({ raw }: FastifyRequest): Http2Session | undefined {
  return raw.httpVersionMajor === 2 ? (raw as unknown as Http2ServerRequest).stream.session : undefined
}
