import type { FastifyBaseLogger } from 'fastify'
import { Counters } from '../../lib/base/counters.ts'
import {
  CHANNEL_DEFAULTS,
  type ChannelPatterns,
  type ResolvedChannelOptions,
  resolveChannelOptions
} from '../../lib/channel/channel-options.ts'
import { Channels, type ChannelsHost } from '../../lib/channel/channels.ts'
import type { LiveChannel } from '../../lib/channel/live-channel.ts'
import { Shared } from '../../lib/channel/shared.ts'
import type { Connection } from '../../lib/connection/connection.ts'
import { Flush, type Work } from '../../lib/connection/flush.ts'
import { type ResolvedOptions, resolveOptions } from '../../lib/fastify/resolved-options.ts'
import { History } from '../../lib/history/history.ts'
import type { Limits } from '../../lib/history/store.ts'
import type {
  ChannelOptions,
  Cursor,
  EventSchemas,
  EventStreamOptions,
  Publishable,
  StartOptions,
  SubscribeOptions
} from '../../lib/index.ts'
import { DeclaredEvents } from '../../lib/wire/declared-events.ts'
import { encodePublished, type Frame } from '../../lib/wire/frame.ts'
import { Bench } from './fake-transport.ts'
import { type DispatchedEvent, type EventStream, parseStream } from './strict-parser.ts'

/** Whose turn ends when the test says so. */
class ManualFlush extends Flush {
  readonly pending: Work[] = []

  override schedule(work: Work): void {
    this.pending.push(work)
  }
}

/** The channels of a registration and their readers, on fake transports. The turn of the event loop ends when the test says so. */
export class ChannelBench implements ChannelsHost {
  readonly counters = new Counters()
  readonly logs: { fields: { err?: unknown }; message: string }[] = []
  readonly history: History
  readonly shared: Shared
  readonly channels: Channels
  readonly defaults: ResolvedChannelOptions
  readonly #options: ResolvedOptions
  readonly #flush = new ManualFlush()
  readonly #connections = new WeakSet<Connection>()

  constructor(options: EventStreamOptions = {}) {
    this.#options = resolveOptions(options)
    const { slow, afterGap, gapEvent, onGap, onSubscribe, onUnsubscribe, history } = this.#options
    const given = { slow, afterGap, gapEvent, onGap, onSubscribe, onUnsubscribe }
    this.defaults = resolveChannelOptions(CHANNEL_DEFAULTS, given as ChannelOptions)
    const log = {
      error: (fields: { err?: unknown }, message: string) => this.logs.push({ fields, message })
    } as unknown as FastifyBaseLogger
    this.history = new History(history.maxTotalBytes, history.store, log)
    this.shared = new Shared(this.history, this.#flush, this.counters, log, gapEvent)
    this.shared.reserved.addCursor(this.#options.cursorEvent)
    this.channels = new Channels(this)
  }

  get runLimits(): Limits {
    return CHANNEL_DEFAULTS
  }

  get patterns(): ChannelPatterns {
    return this.#options.channels
  }

  runOnEmpty(): void {}

  channel(name = 'news', options?: ChannelOptions): LiveChannel {
    return this.channels.get(name, options)
  }

  /** Publishes a message to each of these channels, of which the data begins with the name, one after another. */
  async publishEach(...names: string[]): Promise<Cursor[]> {
    return Promise.all(names.map((name) => this.channel(name.replace(/\d+$/, '')).publish(name)))
  }

  /** What `app.sse.cursor()` gives. */
  cursor(): Cursor {
    return this.history.cursorAt(this.history.stamp())
  }

  /** How many have something to do at the end of this turn. */
  get pending(): number {
    return this.#flush.pending.length
  }

  /** A client whose connection is open and whose handler is done, and which brought this id if one is given. */
  reader(lastEventId?: string, options?: StartOptions): Reader {
    const reader = this.unsettled(lastEventId, options)
    reader.connection.handlerOnSettle()
    return reader
  }

  /** A client whose handler still awaits something. */
  unsettled(lastEventId?: string, options?: StartOptions): Reader {
    const reader = this.waiting(lastEventId, options)
    reader.connection.open(reader.transport)
    return reader
  }

  /** A client whose head is not out yet. */
  waiting(lastEventId?: string, options?: StartOptions): Reader {
    const reader = new Reader(this, options, lastEventId)
    this.#connections.add(reader.connection)
    return reader
  }

  /** A client of a channel that has stopped reading, and is behind the second of two messages there. */
  async blocked(name: string): Promise<Reader> {
    const reader = this.subscribed([name])
    this.endTurn()
    reader.block()
    for (const _ of [1, 2]) {
      await this.publishEach(name)
      this.endTurn()
    }
    return reader
  }

  /** A client with these channels. */
  subscribed(names: readonly string[], lastEventId?: string, options?: SubscribeOptions): Reader {
    const reader = this.reader(lastEventId)
    this.channels.subscribe(reader.connection, names, options)
    return reader
  }

  /** What a new client of these channels is given at the end of this turn, gaps as `!channel reason`. */
  given(names: readonly string[], lastEventId?: string, options?: SubscribeOptions): readonly string[] {
    const reader = this.subscribed(names, lastEventId, options)
    this.endTurn()
    return reader.told
  }

  /** Ends the turn of the event loop, or only does so many shares of the work that is left at its end. */
  endTurn(shares = Infinity): void {
    for (let done = 0; done < shares; done++) {
      const work = this.#flush.pending.shift()
      if (work === undefined) return
      if (work.work()) this.#flush.pending.push(work)
    }
  }

  schedule(work: Work): void {
    this.#flush.schedule(work)
  }

  isOwn(connection: Connection): boolean {
    return this.#connections.has(connection)
  }

  encode(message: Publishable, schemas: EventSchemas | undefined): Frame {
    const declared = schemas === undefined ? undefined : new DeclaredEvents(schemas, {})
    return encodePublished(message, this.#options, declared)
  }
}

/** One client, what it was written, and how fast it reads. */
export class Reader extends Bench {
  readonly #hub: ChannelBench

  /** Places are told by ids alone, so that what comes is what was published. */
  constructor(hub: ChannelBench, options: StartOptions = {}, lastEventId?: string) {
    super(
      { cursorEvent: false, ...options },
      lastEventId === undefined ? {} : { headers: { 'last-event-id': lastEventId } }
    )
    this.#hub = hub
  }

  override scheduleFlush(): void {
    this.#hub.schedule(this.connection.output)
  }

  override endTurn(): void {
    this.#hub.endTurn()
  }

  get stream(): EventStream {
    return parseStream(this.transport.text)
  }

  get events(): readonly DispatchedEvent[] {
    return this.stream.events
  }

  /** The data of its events, one after another. */
  get data(): readonly string[] {
    return this.events.map(({ data }) => data)
  }

  /** The same, with gaps as `!channel reason`. */
  get told(): readonly string[] {
    return this.data.map((data) => {
      if (!data.startsWith('{') || !data.includes('"reason"')) return data
      const { channel = '', reason } = JSON.parse(data)
      return `!${channel} ${reason}`
    })
  }

  /** The ids of its events, one after another. */
  get ids(): readonly string[] {
    return this.events.map(({ lastEventId }) => lastEventId)
  }

  /** What it would bring if it came back now. */
  get lastEventId(): string {
    return this.stream.lastEventId
  }

  /** Stops reading: the transport takes one more write, and says that it takes no more. */
  block(): void {
    this.transport.capacity = 0
  }

  /** Reads some bytes of what was written. */
  read(bytes: number): void {
    if (this.transport.bufferedBytes > 0 && this.transport.read(bytes)) this.connection.transportOnDrain()
  }

  /** Reads everything, and whatever comes. */
  unblock(): void {
    this.transport.capacity = Infinity
    this.read(Infinity)
  }

  /** The client leaves, and the turn of the event loop ends. */
  leave(): void {
    this.connection.transportOnClose()
    this.endTurn()
  }
}
