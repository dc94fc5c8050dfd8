import type { Server, Socket } from 'node:net'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { acceptsEventStream } from './accept.ts'
import { RecentBatches } from '../channel/batches.ts'
import type { ChannelHost, LiveChannel } from '../channel/channel.ts'
import { Channels } from '../channel/channels.ts'
import { Connection, type ConnectionHost } from '../connection/connection.ts'
import { closeChannel, gapChannel, historyChannel, openChannel } from '../base/diagnostics.ts'
import {
  FST_ERR_EVENTSTREAM_ALREADY_STARTED,
  FST_ERR_EVENTSTREAM_CLOSING,
  FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE,
  FST_ERR_EVENTSTREAM_REPLY_SENT
} from '../base/errors.ts'
import { assertUndeclared, DeclaredEvents } from '../wire/declared-events.ts'
import type { EventSchemas } from '../wire/event-types.ts'
import { Flush, type Work } from '../connection/flush.ts'
import { encodeMessage, type Frame } from '../wire/frame.ts'
import { Heartbeat, monotonicMs } from '../connection/watchdog.ts'
import type { HistoryListener } from '../history/history.ts'
import { assertNoId } from '../wire/message.ts'
import { nextTurn } from '../connection/next-turn.ts'
import {
  type ResolvedOptions,
  type ResolvedStartOptions,
  resolveStartOptions,
  type StartOptions
} from './options.ts'
import { RecentMessages } from '../wire/received-message.ts'
import { requestLogging } from './request-logging.ts'
import { eventsOfRoute } from './route-events.ts'
import { Sessions } from './sessions.ts'
import {
  assertNotPipelined,
  connectionOf,
  hasLeft,
  type RawResponse,
  takeOver,
  transportBeforeHead
} from './takeover.ts'
import type {
  Channel,
  ChannelOptions,
  EventMap,
  EventStreamStats,
  EventStreams,
  Gap,
  Publishable,
  SSEConnection,
  Subscription
} from '../types.ts'

/** All that one registration of the plugin holds. */
export class Hub implements ConnectionHost, ChannelHost, HistoryListener, EventStreams {
  readonly #options: ResolvedOptions
  readonly #isLogged: (request: FastifyRequest) => boolean
  /** Those of which the log is told nothing: asked once, so that it never has one half of a stream. */
  readonly #unlogged = new WeakSet<SSEConnection>()
  readonly #connections = new Set<Connection>()
  readonly #server: Server
  readonly #sessions: Sessions | undefined
  readonly #log: FastifyBaseLogger
  readonly #channels: Channels
  readonly recent: RecentBatches = new RecentBatches()
  readonly messages: RecentMessages = new RecentMessages()
  readonly #app: FastifyInstance
  readonly #declarations = new WeakMap<FastifyInstance, WeakMap<EventSchemas, DeclaredEvents>>()
  readonly #flush = new Flush()
  readonly #heartbeat = new Heartbeat(this.#connections)
  #isClosing = false
  #drained: Promise<void> | undefined
  #onEmpty: (() => void) | undefined
  #opened = 0
  #endedMessages = 0
  #endedBytes = 0
  #evictions = 0
  #published = 0
  #delivered = 0
  #gaps = 0

  constructor(app: FastifyInstance, options: ResolvedOptions) {
    const { server, initialConfig, log } = app
    this.#app = app
    this.#log = log
    this.#channels = new Channels(this, options)
    this.#server = server
    this.#options = options
    this.#isLogged = requestLogging(app)
    this.#sessions = initialConfig.http2 ? new Sessions(server, () => this.#tellEmpty()) : undefined
  }

  get closing(): boolean {
    return this.#isClosing
  }

  get connections(): ReadonlySet<SSEConnection> {
    return this.#connections
  }

  stats(): EventStreamStats {
    let messages = this.#endedMessages
    let bytes = this.#endedBytes
    for (const connection of this.#connections) {
      messages += connection.messages
      bytes += connection.bytes
    }
    return {
      connections: this.#connections.size,
      opened: this.#opened,
      channels: this.#channels.size,
      subscriptions: this.#channels.subscriptions,
      published: this.#published,
      delivered: this.#delivered,
      messages,
      bytes,
      gaps: this.#gaps,
      evictions: this.#evictions,
      flushSlices: this.#flush.slices,
      longestFlushSliceMs: this.#flush.longestSliceMs,
      degraded: this.#channels.degraded
    }
  }

  channel<Events extends object = EventMap>(name: string, options?: ChannelOptions): Channel<Events> {
    if (options?.events !== undefined) this.#declarationOf(options.events)
    return this.#channels.get(name, options)
  }

  closeWhere(predicate: (connection: SSEConnection) => boolean): number {
    const chosen = [...this.#connections].filter(predicate)
    for (const connection of chosen) connection.close()
    return chosen.length
  }

  /** Schemas are compiled once for each scope, with those that it shares. */
  #declarationOf(
    schemas: EventSchemas | undefined,
    app: FastifyInstance = this.#app
  ): DeclaredEvents | undefined {
    if (schemas === undefined) return undefined
    const declarations = this.#declarations.get(app) ?? new WeakMap<EventSchemas, DeclaredEvents>()
    this.#declarations.set(app, declarations)
    const known = declarations.get(schemas)
    if (known !== undefined) return known
    const declared = new DeclaredEvents(schemas, app.getSchemas())
    declarations.set(schemas, declared)
    return declared
  }

  /** Declares what a route says it sends. @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
  declare(schemas: EventSchemas, app: FastifyInstance): void {
    this.#declarationOf(schemas, app)
  }

  /** What `reply.sseStart()` does. */
  start(request: FastifyRequest, reply: FastifyReply, given?: StartOptions): Connection {
    const options = resolveStartOptions(this.#options, given)
    this.#assertStartable(request, reply, options)
    const isLogged = this.#isLogged(request)
    const response: RawResponse = reply.raw
    const events = options.events ?? eventsOfRoute(request)
    assertUndeclared(events, 'cursorEvent', options.cursorEvent)
    const declared = this.#declarationOf(events, reply.server)
    const transport = transportBeforeHead(response)
    const connection = new Connection(request, options, transport, this, monotonicMs(), declared)
    if (!isLogged) this.#unlogged.add(connection)
    if (hasLeft(request, response)) {
      connection.transportOnClose()
      reply.hijack()
      return connection
    }
    assertNotPipelined(request, response)
    if (request.method === 'HEAD') {
      connection.abandon('server')
      connection.transportOnClose()
    } else {
      this.#hold(connection, options)
    }
    takeOver(reply, connection)
    return connection
  }

  /**
   * Ends every stream, and resolves when all they were sent has left, or at the deadline, after which those that are
   * still there are gone. From the first call on none is started.
   */
  drain(): Promise<void> {
    this.#drained ??= this.#drain()
    return this.#drained
  }

  async #drain(): Promise<void> {
    this.#isClosing = true
    this.#server.on('connection', refuseConnection)
    this.#sessions?.close()
    for (const connection of this.#connections) connection.shutdown()
    await this.#emptied()
    for (const connection of this.#connections) connection.evict('shutdown')
    await nextTurn()
    this.#sessions?.destroyStuck()
  }

  /** The server listens. */
  ready(): void {
    this.#channels.ready()
  }

  /** The server has closed. */
  close(): Promise<void> {
    return this.#channels.close()
  }

  scheduleFlush(connection: Connection): void {
    this.#flush.schedule(connection)
  }

  schedule(work: Work): void {
    this.#flush.schedule(work)
  }

  encode(message: Publishable, schemas: EventSchemas | undefined): Frame {
    assertNoId(message, "absent, for it is the channel's")
    return encodeMessage(message, this.#options, this.#declarationOf(schemas))
  }

  logError(fields: object, message: string): void {
    this.#log.error(fields, message)
  }

  channelOnPublish(): void {
    this.#published++
  }

  channelOnDeliver(messages: number): void {
    this.#delivered += messages
  }

  channelOnGap({ connection }: Subscription, gap: Gap): void {
    this.#gaps++
    if (gapChannel.hasSubscribers) gapChannel.publish({ connection, ...gap })
  }

  channelOnAudience(channel: LiveChannel): void {
    this.#channels.keep(channel)
  }

  channelOnIdle(channel: LiveChannel): void {
    this.#channels.release(channel)
  }

  historyOnDegrade(error: Error): void {
    this.#log.error({ err: error }, 'a history cannot be reached')
    if (historyChannel.hasSubscribers) historyChannel.publish({ degraded: true, error })
  }

  historyOnRecover(): void {
    this.#log.info('the history can be reached again')
    if (historyChannel.hasSubscribers) historyChannel.publish({ degraded: false, error: undefined })
  }

  connectionOnState(connection: Connection): void {
    if (!this.#connections.has(connection)) return
    if (connection.state === 'open') this.#tellOpened(connection)
    if (connection.state === 'closed') this.#release(connection)
  }

  #assertStartable(
    request: FastifyRequest,
    reply: FastifyReply,
    { checkAccept }: ResolvedStartOptions
  ): void {
    if (connectionOf(reply) !== undefined) throw new FST_ERR_EVENTSTREAM_ALREADY_STARTED()
    if (reply.sent || reply.raw.headersSent) throw new FST_ERR_EVENTSTREAM_REPLY_SENT()
    if (this.#isClosing) {
      if (request.raw.httpVersionMajor === 1) reply.header('connection', 'close')
      throw new FST_ERR_EVENTSTREAM_CLOSING()
    }
    if (checkAccept && !acceptsEventStream(request)) {
      throw new FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE(String(request.headers.accept))
    }
  }

  #hold(connection: Connection, { heartbeatMs, stallMs, maxAgeMs }: ResolvedStartOptions): void {
    this.#connections.add(connection)
    this.#opened++
    this.#heartbeat.start(Math.min(heartbeatMs || Infinity, stallMs || Infinity, maxAgeMs || Infinity))
  }

  #release(connection: Connection): void {
    this.#connections.delete(connection)
    this.#endedMessages += connection.messages
    this.#endedBytes += connection.bytes
    if (connection.reason === 'slow') this.#evictions++
    this.#tellClosed(connection)
    if (this.#connections.size === 0) this.#heartbeat.stop()
    this.#tellEmpty()
  }

  get #isEmpty(): boolean {
    return this.#connections.size === 0 && (this.#sessions === undefined || this.#sessions.size === 0)
  }

  #tellEmpty(): void {
    if (this.#isEmpty) this.#onEmpty?.()
  }

  #emptied(): Promise<void> {
    if (this.#isEmpty) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.#options.drainMs)
      this.#onEmpty = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }

  #tellOpened(connection: Connection): void {
    const { request, lastEventId } = connection
    if (openChannel.hasSubscribers) openChannel.publish({ connection })
    if (!this.#unlogged.has(connection))
      request.log.info({ eventStream: { lastEventId } }, 'event stream opened')
  }

  #tellClosed(connection: Connection): void {
    const { request, reason, messages, bytes, startedAt } = connection
    if (closeChannel.hasSubscribers && reason !== undefined) closeChannel.publish({ connection, reason })
    if (this.#unlogged.has(connection)) return
    const durationMs = monotonicMs() - startedAt
    request.log.info({ eventStream: { reason, durationMs, messages, bytes } }, 'event stream closed')
  }
}

/**
 * A server listens until its streams have drained. Clients that come back early are better refused: a `503` would end an
 * `EventSource` for ever, and a socket without a request would hold `close()`.
 */
function refuseConnection(socket: Socket): void {
  socket.destroy()
}
