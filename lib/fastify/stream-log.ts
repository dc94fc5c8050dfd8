import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify'
import { type Diagnostics, diagnostics } from '../base/diagnostics.ts'
import { monotonicMs } from '../base/monotonic-ms.ts'
import type { GapEvent, PublishEvent } from '../channel/diagnostics.ts'
import type { Connection } from '../connection/connection.ts'
import type { FlushEvent } from '../connection/flush.ts'
import type { CloseReason, SSEConnection } from '../connection/sse-connection.ts'
import type { RunEvent } from '../run/run.ts'
import { internal } from './internals.ts'
import { isKnownRoute } from './route-options.ts'

/** A stream's head is out. */
export interface OpenEvent {
  readonly connection: SSEConnection
}

/** A stream has ended. */
export interface CloseEvent {
  readonly connection: SSEConnection
  readonly reason: CloseReason
}

/** The events by the name of their `node:diagnostics_channel`. */
export interface DiagnosticsEvents {
  'fastify-eventstream:open': OpenEvent
  'fastify-eventstream:close': CloseEvent
  'fastify-eventstream:publish': PublishEvent
  'fastify-eventstream:gap': GapEvent
  'fastify-eventstream:run': RunEvent
  'fastify-eventstream:flush': FlushEvent
}

const openChannel: Diagnostics<OpenEvent> = diagnostics('fastify-eventstream:open')
const closeChannel: Diagnostics<CloseEvent> = diagnostics('fastify-eventstream:close')

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

/** What is used of Fastify's `LogController`, which it hands to nobody; older versions have none. */
interface LogController {
  isLogDisabled(request: FastifyRequest): boolean
}

/** Whether the server's own log tells of a request: not if its `disableRequestLogging` or `logController` says so. */
export function requestLogging(app: FastifyInstance): (request: FastifyRequest) => boolean {
  const controller = internal<LogController>(app, 'fastify.logController')
  if (controller !== undefined) return (request) => !controller.isLogDisabled(request)
  const { disableRequestLogging } = app.initialConfig
  return typeof disableRequestLogging === 'function'
    ? (request) => !disableRequestLogging(request)
    : () => disableRequestLogging !== true
}
