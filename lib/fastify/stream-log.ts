import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { monotonicMs } from '../base/monotonic-ms.ts'
import type { Connection } from '../connection/connection.ts'
import { closeChannel, openChannel } from './diagnostics.ts'
import { requestLogging } from './request-logging.ts'
import { isKnownRoute } from './route-options.ts'

/** What logs and diagnostics are told of streams. */
export class StreamLog {
  readonly #log: FastifyBaseLogger
  readonly #isLogged: (request: FastifyRequest) => boolean
  /** Those of which the log is told nothing: asked once, so that it never has one half of a stream. */
  readonly #unlogged = new WeakSet<Connection>()
  #hasToldFinite = false
  #hasToldUnknown = false

  constructor(app: FastifyInstance) {
    this.#log = app.log
    this.#isLogged = requestLogging(app)
  }

  /** A stream is about to start. */
  begin(connection: Connection): void {
    this.#tellUnknown(connection.request)
    if (!this.#isLogged(connection.request)) this.#unlogged.add(connection)
  }

  /** Its head is out. */
  tellOpened(connection: Connection): void {
    const { request, lastEventId } = connection
    if (openChannel.hasSubscribers) openChannel.publish({ connection })
    if (!this.#unlogged.has(connection))
      request.log.info({ eventStream: { lastEventId } }, 'event stream opened')
  }

  tellClosed(connection: Connection): void {
    const { request, reason, messages, bytes, startedAt } = connection
    if (closeChannel.hasSubscribers && reason !== undefined) closeChannel.publish({ connection, reason })
    if (this.#unlogged.has(connection)) return
    const durationMs = monotonicMs() - startedAt
    request.log.info({ eventStream: { reason, durationMs, messages, bytes } }, 'event stream closed')
  }

  tellRefused(request: FastifyRequest, code: string): void {
    if (this.#isLogged(request)) request.log.info({ eventStream: { code } }, 'event stream refused')
  }

  /** The option `eventStream` of a route would be ignored, if it has one. Told once. */
  #tellUnknown(request: FastifyRequest): void {
    if (this.#hasToldUnknown || isKnownRoute(request)) return
    this.#hasToldUnknown = true
    const { method, url } = request.routeOptions
    this.#log.warn(
      { route: { method, url } },
      'the route was added before the plugin had loaded, and has no eventStream options: await app.register()'
    )
  }

  /** A stream is finite because of its method alone. Told once. */
  tellFinite(): void {
    if (this.#hasToldFinite) return
    this.#hasToldFinite = true
    this.#log.debug('event streams of other methods than GET are finite, unless an option says otherwise')
  }
}
