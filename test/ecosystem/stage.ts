import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  type RouteShorthandOptions
} from 'fastify'
import type { Contestant, Stream } from './contestant.ts'
import { StreamClient } from './stream-client.ts'

type ServerOptions = FastifyServerOptions & { http2?: boolean; https?: object }

interface StreamRoute {
  readonly options?: RouteShorthandOptions
  /** Runs in the handler before the stream starts. */
  before?(request: FastifyRequest, reply: FastifyReply): void | Promise<void>
  /** Runs in the handler after the stream has said hello. */
  after?(request: FastifyRequest, stream: Stream): void | Promise<void>
}

/** Which of the two is registered first: what a row shows must not hang on that. */
export type Order = 'plugins first' | 'stream first'
export const ORDERS: readonly Order[] = ['plugins first', 'stream first']

/** Where a row takes place: one contestant, the servers and the clients. All of them end with it. */
export class Stage {
  readonly contestant: Contestant
  readonly #order: Order
  readonly #apps: FastifyInstance[] = []
  readonly #clients: StreamClient[] = []

  constructor(contestant: Contestant, order: Order) {
    this.contestant = contestant
    this.#order = order
  }

  /** A server without the contestant. */
  server(options: ServerOptions = {}): FastifyInstance {
    const app = Fastify(options as FastifyServerOptions) as FastifyInstance
    this.#apps.push(app)
    return app
  }

  /** A server with the contestant and with what `register` registers. */
  async build(
    register: (app: FastifyInstance) => unknown = () => {},
    options?: ServerOptions
  ): Promise<FastifyInstance> {
    const app = this.server(options)
    if (this.#order === 'stream first') await this.contestant.register(app)
    await register(app)
    if (this.#order === 'plugins first') await this.contestant.register(app)
    return app
  }

  /**
   * Adds `GET /events`, a stream that says hello and stays open.
   *
   * @returns the streams that were opened, in order.
   */
  addStream(app: FastifyInstance, { options, before, after }: StreamRoute = {}): Stream[] {
    const opened: Stream[] = []
    app.get('/events', { ...this.contestant.routeOptions, ...options }, async (request, reply) => {
      await before?.(request, reply)
      const stream = await this.contestant.start(request, reply)
      opened.push(stream)
      await stream.send('hello')
      await after?.(request, stream)
    })
    return opened
  }

  /** @returns the server's origin. */
  async listen(app: FastifyInstance): Promise<string> {
    const address = await app.listen({ port: 0, host: '127.0.0.1' })
    return `${new URL(address).protocol}//127.0.0.1:${(app.server.address() as AddressInfo).port}`
  }

  /** Asks for something. */
  async get(url: string, headers: Record<string, string> = {}): Promise<StreamClient> {
    return this.#keep(await StreamClient.get(url, headers))
  }

  /** Opens a stream, and waits until it has said hello. */
  async open(url: string, headers: Record<string, string> = {}): Promise<StreamClient> {
    return await this.#greeted(await this.get(url, headers))
  }

  /** Opens a stream over HTTP/2, and waits until it has said hello. */
  async open2(url: string): Promise<StreamClient> {
    return await this.#greeted(this.#keep(await StreamClient.get2(url)))
  }

  /** Ends the clients and the servers. */
  async end(): Promise<void> {
    for (const client of this.#clients) client.leave()
    for (const { server } of this.#apps) if ('closeAllConnections' in server) server.closeAllConnections()
    await Promise.all(this.#apps.map((app) => app.close()))
  }

  async #greeted(client: StreamClient): Promise<StreamClient> {
    assert.equal(client.status, 200)
    assert.match(String(client.headers['content-type']), /^text\/event-stream(;|$)/)
    await client.until('hello')
    return client
  }

  #keep(client: StreamClient): StreamClient {
    this.#clients.push(client)
    return client
  }
}
