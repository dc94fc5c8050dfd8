import type { Http2Session, ServerHttp2Stream } from 'node:http2'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { checked, checkFunction, checkMs, invalid } from '../base/check.ts'
import { Counters } from '../base/counters.ts'
import { monotonicMs } from '../base/monotonic-ms.ts'
import { isThenable, nextTurn } from '../base/promises.ts'
import { methodOf } from '../base/raw-header.ts'
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
import { cursorIn } from '../channel/last-event-id.ts'
import type { LiveChannel } from '../channel/live-channel.ts'
import { Shared } from '../channel/shared.ts'
import { broughtIdOf } from '../connection/brought-id.ts'
import { Connection, type ConnectionHost } from '../connection/connection.ts'
import { Flush, type Work } from '../connection/flush.ts'
import type { AnyConnection, SSEConnection } from '../connection/sse-connection.ts'
import { Heartbeat } from '../connection/watchdog.ts'
import { History } from '../history/history.ts'
import type { Cursor } from '../history/place.ts'
import type { Limits } from '../history/store.ts'
import { LiveRuns } from '../run/live-runs.ts'
import type { EventMap, EventSchemas } from '../wire/event-types.ts'
import { encodePublished, type Frame } from '../wire/frame.ts'
import { Admission } from './admission.ts'
import { Declarations } from './declarations.ts'
import { Drainer } from './drainer.ts'
import type { EventStreamStats, EventStreams } from './event-streams.ts'
import { watchHandler } from './handler.ts'
import { hasLeft } from './leaving.ts'
import type { StartOptions } from './options.ts'
import type { RawResponse } from './raw-response.ts'
import {
  ENDLESS_DEFAULTS,
  type ResolvedOptions,
  type ResolvedStartOptions,
  resolveStartOptions
} from './resolved-options.ts'
import { optionsOfRoute } from './route-options.ts'
import { type Registration, Servers } from './servers.ts'
import { StreamLog } from './stream-log.ts'
import { assertNotPipelined, sendHead, sendNoContent, takeOver, transportBeforeHead } from './takeover.ts'

/** Runs end before those who read them are ended. */
const RUNS_TIME = 9 / 10
/** More than any run has: its bytes are limited. */
const MAX_RUN_MESSAGES = 1_000_000_000

const DRAIN_CHECKS = { timeoutMs: checkMs }

/** All that one registration of the plugin holds. */
export class Hub implements ConnectionHost, ChannelsHost, EventStreams, Registration {
  readonly #options: ResolvedOptions
  readonly #log: StreamLog
  readonly #connections = new Set<Connection>()
  readonly #servers: Servers
  readonly shared: Shared
  readonly defaults: ResolvedChannelOptions
  readonly #channels: Channels
  readonly runs: LiveRuns
  readonly declarations: Declarations
  readonly #flush = new Flush()
  readonly #heartbeat = new Heartbeat(this.#connections, (work) => this.#flush.schedule(work))
  readonly #drainer = new Drainer(this.#connections, (work) => this.#flush.schedule(work))
  readonly #counters = new Counters()
  readonly #admission: Admission
  #endedMessages = 0
  #endedBytes = 0

  constructor(app: FastifyInstance, options: ResolvedOptions) {
    this.#log = new StreamLog(app)
    this.declarations = new Declarations(app)
    this.#servers = Servers.of(app)
    this.#servers.join(this)
    this.#options = options
    this.defaults = channelDefaultsIn(options)
    const history = new History(options.history.maxTotalBytes, options.history.store, app.log)
    this.shared = new Shared(history, this.#flush, this.#counters, app.log, options.gapEvent)
    this.reserve(options)
    this.#channels = new Channels(this)
    this.runs = new LiveRuns(this.#channels, options.runs, options.maxMessageBytes)
    this.#admission = new Admission(options, this.#counters, this.#log)
  }

  get closing(): boolean {
    return this.#admission.isOver
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
    this.declarations.of(options?.events)
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
    const method = methodOf(request.raw)
    const options = resolveStartOptions(base, given, method)
    if (options.finite && base.finite === undefined && given?.finite === undefined) this.#log.tellFinite()
    if (given !== undefined) this.reserve(options)
    this.#admission.assertStartable(request, reply, options)
    const response: RawResponse = reply.raw
    const declared = this.declarations.of(options.events, reply.server)
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
    this.#log.begin(connection)
    if (hasLeft(request, response)) {
      connection.transportOnClose()
      reply.hijack()
      return connection
    }
    assertNotPipelined(request, response)
    if (method === 'HEAD') {
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
    this.#admission.end()
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
    return encodePublished(message, this.#options, this.declarations.of(schemas))
  }

  connectionOnState(connection: Connection): void {
    if (!this.#connections.has(connection)) return
    if (connection.state === 'open') this.#log.tellOpened(connection)
    if (connection.state === 'closed') this.#release(connection)
  }

  #scheduleHead(reply: FastifyReply, connection: Connection): void {
    const send = (): void => {
      if (connection.lastEventId !== undefined && connection.output.feed?.isOver) sendNoContent(reply)
      else {
        sendHead(reply, connection, () => {
          // One that has ended already never was `open`.
          if (connection.state === 'closing') this.#log.tellOpened(connection)
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
    this.#log.tellClosed(connection)
    if (this.#connections.size === 0) this.#heartbeat.stop()
    this.#drainer.look()
  }

  #suspectSession({ request }: Connection): void {
    const { stallMs } = this.#options
    const session = sessionOf(request)
    if (stallMs !== false && session !== undefined) this.#servers.sessions?.suspect(session, stallMs)
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
