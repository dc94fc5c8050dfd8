import type { IncomingMessage } from 'node:http'
import type { Http2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { RetryRange } from '../connection/farewell.ts'
import { internal } from './internals.ts'
import { clientOnError } from './leaving.ts'
import { carriesStream } from './raw-response.ts'
import { answerEventSources } from './refusal.ts'

/** One registration of the plugin. */
export interface Registration {
  shutDown(): Promise<void>
  /** The last HTTP/2 session has closed. */
  sessionsOnEmpty(): void
}

/** What hands a socket over to somebody else than Fastify. */
const HAND_OVERS = ['upgrade', 'connect'] as const

const known = new WeakMap<Server, Servers>()

/**
 * What listens for one application, however many registrations there are: Fastify's server, and the second one that it
 * makes for the other address of `localhost`.
 */
export class Servers {
  /** HTTP/2 only. */
  readonly sessions: Sessions | undefined
  readonly #servers = new Set<Server>()
  /** They end together, because Fastify closes scopes one after the other. */
  readonly #registrations = new Set<Registration>()
  #isRefusing = false

  static of(app: FastifyInstance): Servers {
    const servers = known.get(app.server) ?? new Servers(app)
    known.set(app.server, servers)
    return servers
  }

  private constructor(app: FastifyInstance) {
    if (app.initialConfig.http2) {
      this.sessions = new Sessions(() => {
        for (const registration of this.#registrations) registration.sessionsOnEmpty()
      })
    }
    this.#add(app.server)
    app.addHook('onListen', async () => {
      for (const server of internal<Server[]>(app, 'fastify.serverBindings') ?? []) this.#add(server)
    })
  }

  join(registration: Registration): void {
    this.#registrations.add(registration)
  }

  leave(registration: Registration): void {
    this.#registrations.delete(registration)
  }

  async shutDown(): Promise<void> {
    await Promise.all([...this.#registrations].map((registration) => registration.shutDown()))
  }

  /**
   * Takes no connection any more, answers each `EventSource` on those that there are with a time to come back, and lets HTTP/2
   * sessions end with the last of their streams.
   *
   * @param onRefuse is told of each answer.
   */
  refuse(range: RetryRange, onRefuse: () => void): void {
    if (this.#isRefusing) return
    this.#isRefusing = true
    for (const server of this.#servers) {
      server.on('connection', refuseConnection)
      answerEventSources(server, range, onRefuse)
    }
    this.sessions?.close()
  }

  #add(server: Server): void {
    if (this.#servers.has(server)) return
    this.#servers.add(server)
    this.sessions?.watch(server)
    // Comes before Fastify's own listener, which answers garbage with a `400` in the middle of the stream.
    server.prependListener('clientError', serverOnClientError)
    server.on('newListener', serverOnListeners)
    server.on('removeListener', serverOnListeners)
    for (const event of HAND_OVERS) guard(server, event)
  }
}

/**
 * A server listens until its streams have drained. Clients that come back early are better refused: a `503` would end an
 * `EventSource` for ever, and a socket without a request would hold `close()`.
 */
function refuseConnection(socket: Socket): void {
  socket.destroy()
}

function serverOnClientError(_error: Error, socket: Socket): void {
  clientOnError(socket)
}

/** Who comes later may want to be first. */
function serverOnListeners(this: Server, event: string, listener: unknown): void {
  const handOver = HAND_OVERS.find((name) => name === event)
  if (handOver !== undefined && listener !== refuseHandOver) queueMicrotask(() => guard(this, handOver))
}

/** Is first if there are others: without listeners, Node takes the request for an ordinary one. */
function guard(server: Server, event: (typeof HAND_OVERS)[number]): void {
  const listeners = server.listeners(event)
  const others = listeners.filter((listener) => listener !== refuseHandOver)
  if (others.length > 0 && listeners[0] === refuseHandOver) return
  server.removeListener(event, refuseHandOver)
  if (others.length > 0) server.prependListener(event, refuseHandOver)
}

/** A request behind a stream that passes by the hooks: whoever takes its socket would write into the stream. */
function refuseHandOver(_request: IncomingMessage, socket: Socket): void {
  if (carriesStream(socket)) socket.destroy()
}

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
