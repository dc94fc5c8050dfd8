import type { FastifyInstance, FastifyReply, FastifyRequest, RouteShorthandOptions } from 'fastify'

/** An open event stream. */
export interface Stream {
  send(data: string): unknown
  close(): unknown
}

/** A way to answer with an event stream, used as its README shows. */
export interface Contestant {
  /** The package. */
  readonly name: string
  /** Whether it is registered in a scope, and belongs to it. */
  readonly isPlugin: boolean
  /** What it needs of routes that answer with a stream. */
  readonly routeOptions: RouteShorthandOptions
  /** What else such a route is given to be documented with its events, if it can do that. */
  readonly documentedOptions?: RouteShorthandOptions
  register(app: FastifyInstance): Promise<unknown>
  /** Nothing need be on the wire before the first `send()`. */
  start(request: FastifyRequest, reply: FastifyReply): Promise<Stream>
}
