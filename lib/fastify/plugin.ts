import type {
  ContextConfigDefault,
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifySchema,
  FastifyTypeProvider,
  FastifyTypeProviderDefault,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerBase,
  RawServerDefault,
  RouteGenericInterface
} from 'fastify'
import fp from 'fastify-plugin'
import { invalid } from '../base/check.ts'
import { FST_ERR_EVENTSTREAM_ALREADY_REGISTERED } from '../base/errors.ts'
import type { SSEConnection } from '../connection/sse-connection.ts'
import type { EventMap, EventSchemas, EventsOf } from '../wire/event-types.ts'
import { decorateRequests, linkReply } from './accept.ts'
import type { EventStreams } from './event-streams.ts'
import { decorateReplies, unwatchHandlers, watched, watchHandlers } from './handler.ts'
import { Hub } from './hub.ts'
import { abortWithAnswer, requestSignal } from './leaving.ts'
import type { EventStreamOptions, RouteStreamOptions, StartOptions } from './options.ts'
import { carriesStream } from './raw-response.ts'
import { type ResolvedOptions, resolveOptions, resolveRouteOptions } from './resolved-options.ts'
import { knowRoute, setRouteOptions } from './route-options.ts'
import { giveBack } from './takeover.ts'
import './typed-routes.ts'

declare module 'fastify' {
  interface FastifyInstance<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    Logger extends FastifyBaseLogger = FastifyBaseLogger,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault
  > {
    /** The event streams of this server. */
    sse: EventStreams<TypeProvider>
  }

  interface RouteShorthandOptions<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
    ContextConfig = ContextConfigDefault,
    SchemaCompiler extends FastifySchema = FastifySchema,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
    Logger extends FastifyBaseLogger = FastifyBaseLogger
  > {
    /** What the route's streams have in place of the plugin's options, and the events that they send. */
    eventStream?: RouteStreamOptions
  }

  interface FastifyRequest {
    /**
     * Whether the client asks for an event stream: its `Accept` header names `text/event-stream`, and wants it not less than
     * JSON (RFC 9110, section 12.5.1). For routes that answer with either; the reply gets `Vary: Accept`.
     */
    acceptsEventStream(): boolean
  }

  interface FastifyReply<
    RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    ContextConfig = ContextConfigDefault,
    SchemaCompiler extends FastifySchema = FastifySchema,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault
  > {
    /**
     * Answers with an event stream. The head goes out as soon as the `onSend` hooks are done.
     *
     * @typeParam Events event name → type of its data; what `send()` takes is checked against it. Known from `events`.
     * @throws FST_ERR_EVENTSTREAM_ALREADY_STARTED, FST_ERR_EVENTSTREAM_REPLY_SENT, FST_ERR_EVENTSTREAM_CLOSING,
     * FST_ERR_EVENTSTREAM_TOO_MANY, FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY,
     * FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE, FST_ERR_EVENTSTREAM_PIPELINED or FST_ERR_EVENTSTREAM_INVALID_OPTION.
     */
    sseStart<const Schemas extends EventSchemas>(
      options: StartOptions & { events: Schemas }
    ): SSEConnection<EventsOf<Schemas, TypeProvider>>
    sseStart<Events extends object = EventMap>(options?: StartOptions): SSEConnection<Events>

    /**
     * Answers that the client shall come back later, for handlers that refuse by themselves. A `GET` that names
     * `text/event-stream` gets `200` and a reconnection time, without which an `EventSource` would never come back; others get
     * the reply's status, or `503`, with `Retry-After`. Return it: `return reply.sseRetryAfter()`.
     *
     * @param ms milliseconds, to which up to a quarter is added at random; by default drawn from `retryMs`.
     * @throws FST_ERR_EVENTSTREAM_REPLY_SENT or FST_ERR_EVENTSTREAM_INVALID_OPTION.
     */
    sseRetryAfter(ms?: number): this
  }
}

async function eventStream(app: FastifyInstance, given: EventStreamOptions): Promise<void> {
  if (app.hasReplyDecorator('sseStart')) throw new FST_ERR_EVENTSTREAM_ALREADY_REGISTERED()
  const options = resolveOptions(given)
  checkAgainstServer(app, options)
  const hub = new Hub(app, options)

  app.decorate('sse', hub)
  decorateRequests(app)
  decorateReplies(app)
  app.decorateRequest('signal' as 'acceptsEventStream', { getter: requestSignal as () => never })
  app.decorateReply('sseStart', function (this: FastifyReply, startOptions?: StartOptions) {
    return hub.start(this.request, this, startOptions)
  })

  app.decorateReply('sseRetryAfter', function (this: FastifyReply, ms?: number) {
    return hub.retryAfter(this, ms)
  })

  const declarations: [EventSchemas, FastifyInstance][] = []
  app.addHook('onRoute', function (this: FastifyInstance, route) {
    route.handler = watched(route.handler)
    knowRoute(route)
    if (route.eventStream === undefined) return
    const routeOptions = resolveRouteOptions(options, route.eventStream)
    hub.reserve(routeOptions)
    setRouteOptions(route, routeOptions, this)
    if (routeOptions.events !== undefined) declarations.push([routeOptions.events, this])
  })
  app.addHook('onRequest', requestOnArrival)
  if (options.history.store !== undefined) {
    app.addHook('preHandler', async (request) => {
      await hub.prove(request)
    })
  }
  app.addHook('onError', giveBackOnError)
  app.addHook('preClose', () => hub.shutDownAll())
  app.addHook('onReady', async () => {
    for (const [events, scope] of declarations) hub.declarations.of(events, scope)
    await hub.ready()
  })
  app.addHook('onClose', async () => {
    unwatchHandlers()
    await hub.close()
  })
  watchHandlers()
}

function checkAgainstServer(app: FastifyInstance, { drainMs, heartbeatMs }: ResolvedOptions): void {
  const { pluginTimeout, connectionTimeout } = app.initialConfig
  if (pluginTimeout !== undefined && pluginTimeout > 0 && drainMs >= pluginTimeout) {
    const rule = `below Fastify's pluginTimeout (${pluginTimeout})`
    throw invalid(`drainMs (${drainMs})`, rule, drainMs)
  }
  if (connectionTimeout && (heartbeatMs === false || heartbeatMs >= connectionTimeout)) {
    app.log.warn(
      { connectionTimeout, heartbeatMs },
      'connectionTimeout ends event streams before their heartbeat'
    )
  }
}

/** Also: a request behind a stream on the same socket can never be answered, and must not be started. */
function requestOnArrival(request: FastifyRequest, reply: FastifyReply, done: () => void): void {
  linkReply(request, reply)
  abortWithAnswer(request, reply.raw)
  const { raw } = request
  if (raw.httpVersionMajor !== 1 || !carriesStream(raw.socket)) {
    done()
    return
  }
  reply.hijack()
  raw.socket.destroy()
}

function giveBackOnError(
  _request: FastifyRequest,
  reply: FastifyReply,
  error: Error,
  done: () => void
): void {
  giveBack(reply, error)
  done()
}

const plugin: typeof eventStream = fp(eventStream, { fastify: '5.x', name: 'fastify-eventstream' })

export default plugin
