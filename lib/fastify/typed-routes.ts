import type {
  ContextConfigDefault,
  FastifyBaseLogger,
  FastifyInstance,
  FastifySchema,
  FastifyTypeProvider,
  FastifyTypeProviderDefault,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerBase,
  RawServerDefault,
  RouteGenericInterface,
  RouteHandlerMethod,
  RouteOptions,
  RouteShorthandOptions
} from 'fastify'
import type { SSEConnection } from '../connection/sse-connection.ts'
import type { EventSchemas, EventsOf } from '../wire/event-types.ts'
import type { RouteStreamOptions, StartOptions } from './options.ts'

/** The option of a route that declares events. */
interface DeclaringRoute<Schemas extends EventSchemas> {
  eventStream: RouteStreamOptions & { events: Schemas }
}

/** The reply of such a route. It comes before Fastify's own, whose `sseStart()` knows nothing of the route. */
interface DeclaredReply<Schemas extends EventSchemas, Provider extends FastifyTypeProvider> {
  sseStart(options?: StartOptions & { events?: never }): SSEConnection<EventsOf<Schemas, Provider>>
}

type DeclaredHandler<
  // biome-ignore lint/suspicious/noExplicitAny: any handler.
  Handler extends (...args: any) => unknown,
  Schemas extends EventSchemas,
  Provider extends FastifyTypeProvider
> = (
  this: ThisParameterType<Handler>,
  request: Parameters<Handler>[0],
  reply: DeclaredReply<Schemas, Provider> & Parameters<Handler>[1]
) => ReturnType<Handler>

/**
 * Fastify has no type parameter that a route option of a plugin's could give to the handler: `ContextConfig` is that of `config`,
 * and would be inferred of one of both only. But its interfaces can be given further signatures, which are tried first.
 */
declare module 'fastify' {
  interface RouteShorthandMethod<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault,
    Logger extends FastifyBaseLogger = FastifyBaseLogger
  > {
    // biome-ignore lint/style/useShorthandFunctionType: it is added to an interface that there is.
    <
      RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
      ContextConfig = ContextConfigDefault,
      const SchemaCompiler extends FastifySchema = FastifySchema,
      const Schemas extends EventSchemas = EventSchemas
    >(
      path: string,
      options: DeclaringRoute<Schemas> &
        RouteShorthandOptions<
          RawServer,
          RawRequest,
          RawReply,
          RouteGeneric,
          ContextConfig,
          SchemaCompiler,
          TypeProvider,
          Logger
        >,
      handler: DeclaredHandler<
        RouteHandlerMethod<
          RawServer,
          RawRequest,
          RawReply,
          RouteGeneric,
          ContextConfig,
          SchemaCompiler,
          TypeProvider,
          Logger
        >,
        Schemas,
        TypeProvider
      >
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
  }

  interface FastifyInstance<
    RawServer extends RawServerBase = RawServerDefault,
    RawRequest extends RawRequestDefaultExpression<RawServer> = RawRequestDefaultExpression<RawServer>,
    RawReply extends RawReplyDefaultExpression<RawServer> = RawReplyDefaultExpression<RawServer>,
    Logger extends FastifyBaseLogger = FastifyBaseLogger,
    TypeProvider extends FastifyTypeProvider = FastifyTypeProviderDefault
  > {
    route<
      RouteGeneric extends RouteGenericInterface = RouteGenericInterface,
      ContextConfig = ContextConfigDefault,
      const SchemaCompiler extends FastifySchema = FastifySchema,
      const Schemas extends EventSchemas = EventSchemas
    >(
      options: DeclaringRoute<Schemas> &
        Omit<
          RouteOptions<
            RawServer,
            RawRequest,
            RawReply,
            RouteGeneric,
            ContextConfig,
            SchemaCompiler,
            TypeProvider,
            Logger
          >,
          'handler' | 'eventStream'
        > & {
          handler: DeclaredHandler<
            RouteHandlerMethod<
              RawServer,
              RawRequest,
              RawReply,
              RouteGeneric,
              ContextConfig,
              SchemaCompiler,
              TypeProvider,
              Logger
            >,
            Schemas,
            TypeProvider
          >
        }
    ): FastifyInstance<RawServer, RawRequest, RawReply, Logger, TypeProvider>
  }
}
