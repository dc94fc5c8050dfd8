import type { Http2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'

/**
 * The HTTP/2 sessions of servers. Node ends them by itself at `server.close()` only from Node 24 on, and none whose
 * socket is stuck: even `session.destroy()` waits for the socket's last byte to leave.
 */
export class Sessions {
  readonly #open = new Map<Http2Session, Socket>()
  readonly #onEmpty: () => void
  readonly #suspected = new WeakSet<Http2Session>()
  #isClosing = false

  /** @param onEmpty is called when the last session has closed. */
  constructor(onEmpty: () => void) {
    this.#onEmpty = onEmpty
  }

  /** Tells of the sessions of one server more. */
  watch(server: Server): void {
    let latest: Socket
    for (const event of ['connection', 'secureConnection']) {
      server.prependListener(event, (socket: Socket) => {
        latest = socket
      })
    }
    // A session hides its socket, but a server tells of both in one go.
    server.on('session', (session: Http2Session) => this.#add(session, latest))
  }

  get size(): number {
    return this.#open.size
  }

  /** Lets every session, also those that come later, end with the last of its streams. */
  close(): void {
    this.#isClosing = true
    for (const session of this.#open.keys()) session.close()
  }

  /** Cuts off those that have no stream left and still cannot end. */
  destroyStuck(): void {
    for (const [session, socket] of this.#open) if (session.destroyed) socket.destroy()
  }

  /** A stream that had something queued is gone: cuts its session off, too, unless that makes progress within `stallMs`. */
  suspect(session: Http2Session, stallMs: number): void {
    const socket = this.#open.get(session)
    if (socket === undefined || this.#suspected.has(session)) return
    this.#suspected.add(session)
    let before = socket.bytesWritten
    let hasAnswered = false
    if (!session.destroyed) {
      session.ping((error) => {
        hasAnswered = error === null
      })
    }
    const timer = setInterval(() => {
      if (!hasAnswered && socket.bytesWritten === before) socket.destroy()
      before = socket.bytesWritten
      if (!hasAnswered && !socket.destroyed) return
      clearInterval(timer)
      this.#suspected.delete(session)
    }, stallMs).unref()
  }

  #add(session: Http2Session, socket: Socket): void {
    this.#open.set(session, socket)
    session.once('close', () => {
      this.#open.delete(session)
      if (this.#open.size === 0) this.#onEmpty()
    })
    if (this.#isClosing) session.close()
  }
}
