import { RecentBatches } from '../../lib/channel/batches.ts'
import { type ChannelHost, LiveChannel } from '../../lib/channel/channel.ts'
import type { Work } from '../../lib/connection/flush.ts'
import { encodeMessage, type Frame } from '../../lib/wire/frame.ts'
import type { ChannelOptions, EventStreamOptions, Gap, Publishable, Subscription } from '../../lib/index.ts'
import { assertNoId } from '../../lib/wire/message.ts'
import { type ResolvedOptions, resolveOptions, type StartOptions } from '../../lib/fastify/options.ts'
import { RecentMessages } from '../../lib/wire/received-message.ts'
import { Bench } from './fake-transport.ts'
import { type DispatchedEvent, type EventStream, parseStream } from './strict-parser.ts'

/** Channels and their readers on fake transports. The turn of the event loop ends when the test says so. */
export class ChannelBench implements ChannelHost {
  readonly recent = new RecentBatches()
  readonly messages = new RecentMessages()
  readonly logs: { fields: { err?: unknown; channel?: string }; message: string }[] = []
  readonly gaps: { reader: Subscription['connection']; gap: Gap }[] = []
  /** The names of channels that got their first subscription (`+`) or lost their last one (`-`). */
  readonly audiences: string[] = []
  published = 0
  delivered = 0
  readonly #options: ResolvedOptions
  readonly #pending: Work[] = []

  constructor(options: EventStreamOptions = {}) {
    this.#options = resolveOptions(options)
  }

  channel(name = 'news', options: ChannelOptions = {}): LiveChannel {
    const channel = new LiveChannel(this, name, this.#options)
    channel.configure(options)
    return channel
  }

  /** How many have something to do at the end of this turn. */
  get pending(): number {
    return this.#pending.length
  }

  /** A client whose connection is open, and which brought this id if one is given. */
  reader(lastEventId?: string, options?: StartOptions): Reader {
    const reader = this.waiting(lastEventId, options)
    reader.connection.open(reader.transport)
    return reader
  }

  /** A client whose head is not out yet. */
  waiting(lastEventId?: string, options?: StartOptions): Reader {
    return new Reader(this, options, lastEventId)
  }

  /** Ends the turn of the event loop, or only does so many shares of the work that is left at its end. */
  endTurn(shares = Infinity): void {
    for (let done = 0; done < shares; done++) {
      const work = this.#pending.shift()
      if (work === undefined) return
      if (work.work()) this.#pending.push(work)
    }
  }

  encode(message: Publishable): Frame {
    assertNoId(message, 'absent')
    return encodeMessage(message, this.#options)
  }

  schedule(work: Work): void {
    this.#pending.push(work)
  }

  logError(fields: object, message: string): void {
    this.logs.push({ fields, message })
  }

  channelOnPublish(): void {
    this.published++
  }

  channelOnDeliver(messages: number): void {
    this.delivered += messages
  }

  channelOnGap({ connection: reader }: Subscription, gap: Gap): void {
    this.gaps.push({ reader, gap })
  }

  channelOnAudience({ name }: LiveChannel): void {
    this.audiences.push(`+${name}`)
  }

  channelOnIdle({ name }: LiveChannel): void {
    this.audiences.push(`-${name}`)
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
    this.#hub.schedule(this.connection)
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
}
