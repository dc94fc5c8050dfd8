import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { checked, checkFunction, checkMs, invalid } from '../base/check.ts'
import { Counters } from '../base/counters.ts'
import {
  FST_ERR_EVENTSTREAM_ALREADY_STARTED,
  FST_ERR_EVENTSTREAM_CLOSING,
  FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE,
  FST_ERR_EVENTSTREAM_REPLY_SENT
} from '../base/errors.ts'
import { monotonicMs } from '../base/monotonic-ms.ts'
import { isThenable } from '../base/thenable.ts'
import type {
  Channel,
  ChannelOptions,
  Publishable,
  PublishOptions,
  SubscribeOptions,
  Subscription
} from '../channel/channel.ts'
import {
  CHANNEL_DEFAULTS,
  type ChannelPatterns,
  type ResolvedChannelOptions,
  resolveChannelOptions
} from '../channel/channel-options.ts'
import { Channels, type ChannelsHost } from '../channel/channels.ts'
import type { LiveChannel } from '../channel/live-channel.ts'
import { cursorIn } from '../channel/last-event-id.ts'
import { Shared } from '../channel/shared.ts'
import { broughtIdOf } from '../connection/brought-id.ts'
import { Connection, type ConnectionHost } from '../connection/connection.ts'
import { Flush, type Work } from '../connection/flush.ts'
import { nextTurn } from '../connection/next-turn.ts'
import type { AnyConnection, SSEConnection } from '../connection/sse-connection.ts'
import { Heartbeat } from '../connection/watchdog.ts'
import { History } from '../history/history.ts'
import type { Cursor } from '../history/place.ts'
import type { Limits } from '../history/window.ts'
import { LiveRuns } from '../run/live-runs.ts'
import { DeclaredEvents } from '../wire/declared-events.ts'
import type { EventMap, EventSchemas } from '../wire/event-types.ts'
import { encodePublished, type Frame } from '../wire/frame.ts'
import { takesEventStream, varyByAccept } from './accept.ts'
import { Admission } from './admission.ts'
import { closeChannel, openChannel } from './diagnostics.ts'
import { Drainer } from './drainer.ts'
import type { EventStreamStats, EventStreams } from './event-streams.ts'
import { watchHandler } from './handler.ts'
import { hasLeft } from './leaving.ts'
import type { StartOptions } from './options.ts'
import { connectionOf, type RawResponse } from './raw-response.ts'
import { requestLogging } from './request-logging.ts'
import {
  ENDLESS_DEFAULTS,
  type ResolvedOptions,
  type ResolvedStartOptions,
  resolveStartOptions
} from './resolved-options.ts'
import { optionsOfRoute } from './route-options.ts'
import { type Registration, Servers } from './servers.ts'
import { assertNotPipelined, sendHead, sendNoContent, takeOver, transportBeforeHead } from './takeover.ts'

/** Runs end before those who read them are ended. */
const RUNS_TIME = 9 / 10
/** More than any run has: its bytes are limited. */
const MAX_RUN_MESSAGES = 1_000_000_000

const DRAIN_CHECKS = { timeoutMs: checkMs }

/** All that one registration of the plugin holds. */
export class Hub implements ConnectionHost, ChannelsHost, EventStreams, Registration {
  readonly #options: ResolvedOptions
  readonly #isLogged: (request: FastifyRequest) => boolean
  /** Those of which the log is told nothing: asked once, so that it never has one half of a stream. */
  readonly #unlogged = new WeakSet<SSEConnection>()
  readonly #connections = new Set<Connection>()
  readonly #servers: Servers
  readonly #log: FastifyBaseLogger
  readonly shared: Shared
  readonly #channelDefaults: ResolvedChannelOptions
  readonly #channels: Channels
  readonly runs: LiveRuns
  readonly #app: FastifyInstance
  readonly #declarations = new WeakMap<FastifyInstance, WeakMap<EventSchemas, DeclaredEvents>>()
  readonly #flush = new Flush()
  readonly #heartbeat = new Heartbeat(this.#connections, (work) => this.#flush.schedule(work))
  #isClosing = false
  #hasToldFinite = false
  readonly #drainer = new Drainer(this.#connections, (work) => this.#flush.schedule(work))
  readonly #counters = new Counters()
  readonly #admission: Admission
  #endedMessages = 0
  #endedBytes = 0

  constructor(app: FastifyInstance, options: ResolvedOptions) {
    const { log } = app
    this.#app = app
    this.#log = log
    this.#servers = Servers.of(app)
    this.#servers.join(this)
    this.#options = options
    this.#channelDefaults = channelDefaultsIn(options)
    const history = new History(options.history.maxTotalBytes, options.history.store, log)
    this.shared = new Shared(history, this.#flush, this.#counters, log, options.gapEvent)
    this.reserve(options)
    this.#channels = new Channels(this)
    this.runs = new LiveRuns(this.#channels, options.runs, options.maxMessageBytes)
    this.#isLogged = requestLogging(app)
    this.#admission = new Admission(options, this.#counters, this.#isLogged)
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
    const { opened, refused, subscriptions, published, delivered, gaps, evictions } = this.#counters
    return {
      connections: this.#connections.size,
      opened,
      refused,
      channels: this.#channels.live.size,
      subscriptions,
      runs: this.runs.size,
      published,
      delivered,
      messages,
      bytes,
      gaps,
      evictions,
      flushSlices: this.#flush.slices,
      longestFlushSliceMs: this.#flush.longestSliceMs
    }
  }

  get defaults(): ResolvedChannelOptions {
    return this.#channelDefaults
  }

  get patterns(): ChannelPatterns {
    return this.#options.channels
  }

  get runLimits(): Limits {
    const { maxBytes, keepEndedMs } = this.#options.runs
    return { maxMessages: MAX_RUN_MESSAGES, maxBytes, maxAgeMs: false, keepEndedMs }
  }

  get channels(): ReadonlySet<Channel> {
    return this.#channels.live
  }

  channel<Events extends object = EventMap>(name: string, options?: ChannelOptions): Channel<Events> {
    if (options?.events !== undefined) this.#declarationOf(options.events)
    return this.#channels.get(name, options) as unknown as Channel<Events>
  }

  publish(
    channels: string | readonly string[],
    message: Publishable,
    options?: PublishOptions
  ): Promise<Cursor>
  publish(
    channels: string | readonly string[],
    messages: readonly Publishable[],
    options?: PublishOptions
  ): Promise<readonly Cursor[]>
  publish(channels: string | readonly string[], messages: unknown, options?: PublishOptions): Promise<never> {
    return this.#channels.publish(channels, messages, options)
  }

  subscribe(
    connection: AnyConnection,
    channels: readonly string[],
    options?: SubscribeOptions
  ): readonly Subscription[] {
    return this.#channels.subscribe(connection, channels, options)
  }

  async cursor(): Promise<Cursor> {
    return this.shared.history.now()
  }

  closeWhere(predicate: (connection: SSEConnection) => boolean): number {
    checkFunction('the predicate', predicate)
    const chosen = [...this.#connections].filter((connection) => {
      const answer: unknown = predicate(connection)
      if (!isThenable(answer)) return answer
      answer.then(undefined, () => {})
      throw invalid('what the predicate returns', 'true or false', answer)
    })
    for (const connection of chosen) connection.endInTurn('server')
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

  /**
   * Keeps the names by which a stream with these options is told something free of messages.
   *
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION if one of them is told by another, too.
   */
  reserve({ cursorEvent, heartbeatEvent, finite, farewell }: ResolvedOptions): void {
    const { reserved } = this.shared
    reserved.addCursor(cursorEvent)
    if (heartbeatEvent !== false) reserved.addOther('heartbeatEvent', heartbeatEvent)
    const last = farewell ?? (finite === true ? false : ENDLESS_DEFAULTS.farewell)
    const event = typeof last === 'object' ? last.event : undefined
    if (event === undefined) return
    if (event === heartbeatEvent) throw invalid('farewell.event', 'another event than heartbeatEvent', event)
    reserved.addOther('farewell.event', event)
  }

  /** What `reply.sseStart()` does. */
  start(request: FastifyRequest, reply: FastifyReply, given?: StartOptions): Connection {
    const base = optionsOfRoute(request) ?? this.#options
    const options = resolveStartOptions(base, given, request.method)
    if (options.finite && base.finite === undefined && given?.finite === undefined) this.#tellFinite()
    if (given !== undefined) this.reserve(options)
    this.#assertStartable(request, reply, options)
    const isLogged = this.#isLogged(request)
    const response: RawResponse = reply.raw
    const declared = this.#declarationOf(options.events, reply.server)
    const transport = transportBeforeHead(response, () => this.#scheduleHead(reply, connection))
    const connection: Connection = new Connection(
      request,
      options,
      transport,
      this,
      monotonicMs(),
      given,
      declared
    )
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
      this.#admission.admit(connection, reply)
      this.#hold(connection, options)
    }
    takeOver(reply, connection)
    watchHandler(reply)
    if (options.head === 'turn' || connection.state === 'closed') connection.startHead()
    return connection
  }

  /** `shutDown()` of all registrations of the application. */
  shutDownAll(): Promise<void> {
    return this.#servers.shutDown()
  }

  /** What `reply.sseRetryAfter()` does. */
  retryAfter(reply: FastifyReply, ms: number | undefined): FastifyReply {
    return this.#admission.retryAfter(reply, ms)
  }

  drain(options: { timeoutMs?: number } = {}): Promise<void> {
    const { timeoutMs = this.#options.drainMs } = checked(options, DRAIN_CHECKS)
    this.#isClosing = true
    const drained = Promise.all([this.runs.drain(timeoutMs * RUNS_TIME), this.#drainer.drain(timeoutMs)])
    return drained.then(() => {})
  }

  /** The server is about to close: `drain()`, and of HTTP/2 the sessions, too. */
  async shutDown(): Promise<void> {
    const { drainMs } = this.#options
    const deadline = monotonicMs() + drainMs
    this.#servers.refuse(this.#options.retryMs, () => this.#counters.refused++)
    await this.drain()
    await this.#drainer.until(() => !this.#servers.sessions?.size, deadline)
    await nextTurn()
    this.#servers.sessions?.destroyStuck()
  }

  /** The server is about to listen. @throws what the store throws. */
  async ready(): Promise<void> {
    this.#channels.ready()
    await this.shared.history.open()
    this.runs.ready()
  }

  /** Finds out whether the history knows what the client brings. @returns `undefined` if no store is asked. */
  prove(request: FastifyRequest): Promise<void> | undefined {
    const id = broughtIdOf(request)
    return id === undefined ? undefined : this.shared.history.prove(cursorIn(id))
  }

  /** The server has closed. */
  close(): Promise<void> {
    this.#servers.leave(this)
    this.runs.close()
    return this.#channels.close()
  }

  runOnEmpty(channel: LiveChannel): void {
    void this.runs.endIfForgotten(channel)
  }

  sessionsOnEmpty(): void {
    this.#drainer.look()
  }

  scheduleFlush(work: Work): void {
    this.#flush.schedule(work)
  }

  isOwn(connection: Connection): boolean {
    return connection.output.isOf(this)
  }

  encode(message: Publishable, schemas: EventSchemas | undefined): Frame {
    return encodePublished(message, this.#options, this.#declarationOf(schemas))
  }

  connectionOnState(connection: Connection): void {
    if (!this.#connections.has(connection)) return
    if (connection.state === 'open') this.#tellOpened(connection)
    if (connection.state === 'closed') this.#release(connection)
  }

  #scheduleHead(reply: FastifyReply, connection: Connection): void {
    const send = (): void => {
      if (connection.lastEventId !== undefined && connection.output.feed?.isOver) sendNoContent(reply)
      else {
        sendHead(reply, connection, () => {
          // One that has ended already never was `open`.
          if (connection.state === 'closing') this.#tellOpened(connection)
        })
      }
    }
    this.#flush.schedule({
      work: () => {
        const ready = connection.output.feed?.ready
        if (ready === undefined) send()
        else void ready.then(send)
        return false
      }
    })
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
      throw this.#admission.refusal(reply, new FST_ERR_EVENTSTREAM_CLOSING())
    }
    if (!checkAccept) return
    varyByAccept(reply)
    if (!takesEventStream(request.headers.accept)) {
      throw new FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE(String(request.headers.accept))
    }
  }

  #hold(connection: Connection, { heartbeatMs, stallMs, maxAgeMs }: ResolvedStartOptions): void {
    this.#connections.add(connection)
    this.#counters.opened++
    this.#heartbeat.start(Math.min(heartbeatMs || Infinity, stallMs || Infinity, maxAgeMs || Infinity))
  }

  #release(connection: Connection): void {
    this.#connections.delete(connection)
    this.#admission.release(connection)
    this.#endedMessages += connection.messages
    this.#endedBytes += connection.bytes
    if (connection.reason === 'slow') this.#counters.evictions++
    if (connection.bufferedBytes > 0) this.#suspectSession(connection)
    this.#tellClosed(connection)
    if (this.#connections.size === 0) this.#heartbeat.stop()
    this.#drainer.look()
  }

  #suspectSession({ request }: Connection): void {
    const { stallMs } = this.#options
    const session = sessionOf(request)
    if (stallMs !== false && session !== undefined) this.#servers.sessions?.suspect(session, stallMs)
  }

  #tellFinite(): void {
    if (this.#hasToldFinite) return
    this.#hasToldFinite = true
    this.#log.debug('event streams of other methods than GET are finite, unless an option says otherwise')
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

function sessionOf({ raw }: FastifyRequest): Http2Session | undefined {
  return 'stream' in raw ? (raw.stream as ServerHttp2Stream).session : undefined
}

function channelDefaultsIn(options: ResolvedOptions): ResolvedChannelOptions {
  const { slow, afterGap, gapEvent, onGap, onSubscribe, onUnsubscribe } = options
  const given = { slow, afterGap, gapEvent, onGap, onSubscribe, onUnsubscribe }
  return resolveChannelOptions(CHANNEL_DEFAULTS, given as ChannelOptions)
}
