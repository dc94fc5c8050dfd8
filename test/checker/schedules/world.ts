import type { FastifyInstance } from 'fastify'
import type { GapEvent } from '../../../lib/diagnostics.ts'
import { gapChannel } from '../../../lib/diagnostics.ts'
import type { History } from '../../../lib/history/history.ts'
import { memoryHistory } from '../../../lib/history/memory-history.ts'
import { Hub } from '../../../lib/hub.ts'
import { type ResolvedOptions, resolveOptions } from '../../../lib/options.ts'
import type { ChannelMessage, ChannelOptions, Gap, GapAnswer, SubscribeOptions } from '../../../lib/types.ts'
import { Ear } from '../../helpers/history.ts'
import { LateHistory } from '../../helpers/late-history.ts'
import { FILTERS } from '../filters.ts'
import { MemoryRetention, memoryBytes } from '../memory-retention.ts'
import { bytesOnWire, payloadOf } from '../payload.ts'
import type { ChannelLog, EpochLog, Moment, Published, RunLog, Sample } from '../run-log.ts'
import { type EventLoop, microtasks, PACE_MS } from './event-loop.ts'
import { CHANNEL_NAMES, type ChannelSetup, type Setup, type SubscriptionSetup } from './setup.ts'
import type { Resume } from './steps.ts'
import { type LiveSubscription, Stream } from './stream.ts'

const NODES = 2
const MAX_TURNS = 10_000

type Writable<T> = { -readonly [Key in keyof T]: T[Key] }
type WritableChannelLog = ChannelLog & { messages: Writable<Published>[]; epochs: EpochLog[] }

/** Servers that share a history, their clients, and everything that is written down of them. */
export class World {
  readonly loop: EventLoop
  readonly setup: Setup
  readonly channels: readonly WritableChannelLog[]
  readonly clients: { readonly streams: Stream[]; lastEventId: string | undefined }[]
  readonly samples: Sample[] = []
  #moment = 0
  /** The clock at the end of each moment. */
  readonly #msAt: number[] = []
  #history: History
  /** Through which the nodes see the history, if it is late. */
  #views: readonly LateHistory[] = []
  #options: ResolvedOptions
  #hubs: readonly Hub[] = []
  #published = 0
  #unsettled = 0
  #largestMessage = 0
  readonly #onGap = (event: unknown): void => this.#writeGap(event as GapEvent)

  constructor(loop: EventLoop, setup: Setup) {
    this.loop = loop
    this.setup = setup
    this.#history = memoryHistory(setup.limits)
    this.#options = this.#resolve(this.#history)
    this.channels = setup.channels.map(({ slow, afterGap }, number) => ({
      name: CHANNEL_NAMES[number] ?? '',
      slow,
      afterGap,
      messages: [],
      epochs: []
    }))
    this.clients = setup.clients.map(() => ({ streams: [], lastEventId: undefined }))
    gapChannel.subscribe(this.#onGap)
    this.#start()
  }

  get streams(): Stream[] {
    return this.clients.flatMap(({ streams }) => streams)
  }

  /** The client's connection, if it has one. */
  streamOf(client: number): Stream | undefined {
    const stream = this.clients[client]?.streams.at(-1)
    return stream?.isHeld ? stream : undefined
  }

  publish(node: number, channel: number, key: number, sizes: readonly number[]): void {
    const log = this.channels[channel]
    if (log === undefined) return
    for (const size of sizes) {
      const data = payloadOf(log.name, this.#published++, size)
      const event = key === 0 ? 'message' : 'tick'
      const message: Writable<Published> = {
        cursor: 'not acknowledged',
        event,
        data,
        key: `key ${key}`,
        byteLength: bytesOnWire(event, data),
        sentAt: this.tick(),
        acknowledgedAt: undefined
      }
      this.#largestMessage = Math.max(this.#largestMessage, message.byteLength)
      log.messages.push(message)
      this.#unsettled++
      const published = this.#hub(node)
        .channel(log.name)
        .publish(key === 0 ? { data } : { event, data }, { key: message.key })
      void published.then((cursor) => {
        message.cursor = cursor
        message.acknowledgedAt = this.tick()
        this.#unsettled--
      })
    }
  }

  connect(client: number, resume: Resume, isLate: boolean): void {
    const setup = this.setup.clients[client]
    const state = this.clients[client]
    if (setup === undefined || state === undefined || this.streamOf(client) !== undefined) return
    const hub = this.#hub(setup.node)
    const lastEventId = this.#idFor(client, resume)
    const stream = new Stream(`client ${client}`, setup, lastEventId, hub, this.#options, () => this.#moment)
    state.streams.push(stream)
    for (const subscription of setup.subscriptions) this.#subscribe(hub, stream, subscription)
    if (!isLate) stream.open()
  }

  unsubscribe(client: number, index: number): void {
    const subscription = this.streamOf(client)?.subscriptions[index]
    if (!subscription?.live.active) return
    subscription.log.endedAt = this.tick()
    subscription.log.leftAt ??= subscription.log.endedAt
    subscription.live.unsubscribe()
  }

  /** Subscribes a channel again, where it was when it was unsubscribed. */
  subscribeAgain(client: number, index: number): void {
    const stream = this.streamOf(client)
    const setup = this.setup.clients[client]
    const subscription = stream?.subscriptions[index]
    if (stream === undefined || setup === undefined || subscription === undefined) return
    if (subscription.live.active || !isAccepting(stream)) return
    const { live, log } = subscription
    const { from, filter = 'all' } = setup.subscriptions[index] ?? { from: 'now' }
    log.endedAt = undefined
    log.resumes &&= live.cursor !== undefined
    log.starts.splice(live.cursor === undefined ? 0 : log.starts.length, log.starts.length, this.tick())
    const channel = this.#hub(setup.node).channel(log.channel)
    subscription.live = channel.subscribe(stream.connection, {
      resume: false,
      from: live.cursor ?? from,
      ...filterOption(filter)
    })
  }

  send(client: number, size: number): void {
    const stream = this.streamOf(client)
    if (stream === undefined) return
    stream.send(payloadOf('sent', this.#published++, size), this.tick())
  }

  /** All that Node does until the next turn: immediates, then what clients do. */
  async endTurn(): Promise<void> {
    await microtasks()
    await this.loop.runImmediates()
    for (const stream of this.streams) stream.runIo()
    this.#rememberIds()
    if (this.loop.immediates > 0) return
    this.#noteStanding()
    this.#takeSamples()
  }

  /** Some of what a node waits for. */
  come(node: number, logs: number): void {
    this.#views[node]?.come(logs)
  }

  /** Clients of a node do not keep up, through no fault of theirs. */
  jump(node: number): void {
    this.#views[node]?.jump()
    for (const stream of this.#streamsOf(node)) stream.stood.length = 0
  }

  /** Turn after turn, until there is nothing to do, and nothing to wait for. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < MAX_TURNS; turn++) {
      await this.endTurn()
      if (this.loop.immediates > 0 || this.streams.some(({ isQuiet }) => !isQuiet)) continue
      if (this.#views.every(({ pending }) => pending === 0)) return
      for (const view of this.#views) view.come()
    }
    throw new Error('the event loop never comes to rest')
  }

  async wait(ms: number): Promise<void> {
    await this.loop.advance(ms)
    this.tick()
    for (const { connection } of this.streams) connection.beat(Math.floor(this.loop.now))
  }

  /** The process ends, and with it what it kept; another takes its place. */
  async restart(): Promise<void> {
    for (const { connection } of this.streams) connection.destroy()
    await Promise.all(this.#hubs.map((hub) => hub.close()))
    await this.settle()
    this.#history = memoryHistory(this.setup.limits)
    this.#options = this.#resolve(this.#history)
    this.#start()
  }

  /** Everything is read, everybody comes back, and then all leave. @returns what was written down. */
  async finish(): Promise<RunLog> {
    this.loop.paceMs = PACE_MS
    await this.#catchUp()
    for (const [client, { streams }] of this.clients.entries()) {
      const stream = streams.at(-1)
      if (stream === undefined) continue
      stream.hasCaughtUp = stream.connection.state === 'open'
      if (client % 2 === 0) stream.close(this.tick())
      else stream.cutAfter = 1_000
    }
    await this.settle()
    const leftovers = { ...this.#leftovers(), ...(await this.#framesLeft()) }
    return this.#runLog(leftovers)
  }

  dispose(): void {
    gapChannel.unsubscribe(this.#onGap)
  }

  tick(): Moment {
    this.#msAt[this.#moment] = this.loop.now
    return ++this.#moment
  }

  #resolve(history: History): ResolvedOptions {
    const { maxBufferedBytes } = this.setup
    return resolveOptions({ history, maxBufferedBytes, heartbeatMs: 1_000, stallMs: false })
  }

  #viewOf(node: number): LateHistory {
    const pageBytes = this.setup.late?.pageBytes ?? Infinity
    const onOpen = (channel: string): void => this.#startAgain(node, channel)
    return new LateHistory({ history: this.#history, isForgetful: true, pageBytes, onOpen })
  }

  /** Those who are subscribed to a channel start where its log stands when it opens. */
  #startAgain(node: number, channel: string): void {
    for (const { log, live } of this.#streamsOf(node).flatMap(({ subscriptions }) => subscriptions)) {
      if (live.active && log.channel === channel) log.starts[log.starts.length - 1] = this.tick()
    }
  }

  #streamsOf(node: number): Stream[] {
    return this.clients
      .filter((_, client) => this.setup.clients[client]?.node === node)
      .flatMap(({ streams }) => streams)
  }

  #hub(node: number): Hub {
    const hub = this.#hubs[node % NODES]
    if (hub === undefined) throw new Error(`no hub ${node}`)
    return hub
  }

  #start(): void {
    const instance = { server: {}, initialConfig: {}, log: { error() {} } } as unknown as FastifyInstance
    const nodes = Array.from({ length: NODES }, (_, node) => node)
    this.#views = this.setup.late === undefined ? [] : nodes.map((node) => this.#viewOf(node))
    this.#hubs = nodes.map((node) => new Hub(instance, this.#resolve(this.#views[node] ?? this.#history)))
    for (const [number, log] of this.channels.entries()) {
      const following = this.#history.follow(log.name, new Ear())
      log.epochs.push({ since: this.tick(), start: log.messages.length, origin: following.head })
      following.close()
      const options = channelOptions(this.setup.channels[number])
      for (const hub of this.#hubs) hub.channel(log.name, options)
    }
  }

  #subscribe(hub: Hub, stream: Stream, { channel, from, resume, filter }: SubscriptionSetup): void {
    const name = CHANNEL_NAMES[channel] ?? ''
    const log: LiveSubscription['log'] = {
      channel: name,
      from,
      resumes: resume,
      leftAt: undefined,
      starts: [this.tick()],
      endedAt: undefined,
      filter: FILTERS[filter]
    }
    const live = hub.channel(name).subscribe(stream.connection, { from, resume, ...filterOption(filter) })
    stream.subscriptions.push({ log, live })
  }

  #idFor(client: number, resume: Resume): string | undefined {
    const own = this.clients[client]?.lastEventId
    if (resume === 'own') return own
    if (resume === 'none') return undefined
    if (resume === 'garbage') return ['<b>', '-', 'a=b=c', 'x-1', '%'][this.#moment % 5]
    if (resume === 'future') return own?.replace(/\d*$/, '123456789') ?? 'x-1'
    if (resume === 'foreign') return own?.replace(/\w{8}-/g, 'zzzzzzzz-') ?? 'zzzzzzzz-1'
    return this.clients[(client + 1) % this.clients.length]?.lastEventId
  }

  #rememberIds(): void {
    for (const client of this.clients) {
      const stream = client.streams.at(-1)
      if (stream !== undefined) client.lastEventId = stream.receiver.lastEventId
    }
  }

  #noteStanding(): void {
    const at = this.tick()
    const waiting = new Set(
      this.#views.flatMap(({ pending }, node) => (pending ? this.#streamsOf(node) : []))
    )
    for (const stream of this.streams) {
      const isOpen = stream.isOpen && stream.connection.state === 'open'
      stream.isHeadDue ||= isOpen
      if (!isOpen || !stream.pipe.isWritable || waiting.has(stream)) continue
      stream.stood.push({ at, bytes: stream.pipe.writtenBytes })
    }
  }

  /** Nothing is to be done in this turn, so that nothing is kept for those who keep up. */
  #takeSamples(): void {
    const { maxMessages, maxBytes, maxTotalBytes } = this.setup.limits
    let total = 0
    let totalCount = 0
    for (const log of this.channels) {
      const count = this.#keptOf(log.name)
      const kept = log.messages.slice(log.messages.length - count)
      const bytes = kept.reduce((sum, { byteLength }) => sum + byteLength, 0)
      total += memoryBytes(kept)
      totalCount += count
      this.#sample(`messages kept of ${log.name}`, count, maxMessages)
      if (count > 1) this.#sample(`bytes kept of ${log.name}`, bytes, maxBytes)
    }
    if (totalCount > 1) this.#sample('bytes kept of all channels', total, maxTotalBytes)
    for (const [client, { streams }] of this.clients.entries()) {
      const setup = this.setup.clients[client]
      const stream = streams.at(-1)
      if (setup === undefined || stream === undefined) continue
      this.#note(stream.sampleOf(this.#largestMessage, this.setup.maxBufferedBytes, setup))
    }
  }

  #sample(name: string, value: number, bound: number): void {
    this.#note({ name, value, bound })
  }

  /** Only what is over its bound is of interest. */
  #note(sample: Sample): void {
    if (sample.value > sample.bound) this.samples.push(sample)
  }

  /** How many messages a channel keeps, by the numbers in the memory history's cursors. */
  #keptOf(channel: string): number {
    const following = this.#history.follow(channel, new Ear())
    const kept = numberIn(following.head) - numberIn(following.oldest)
    following.close()
    return kept
  }

  async #catchUp(): Promise<void> {
    for (let round = 0; round < 20; round++) {
      for (const [client, { streams }] of this.clients.entries()) {
        if (streams.length === 0) continue
        this.connect(client, 'own', false)
        const stream = this.streamOf(client)
        stream?.open()
        if (stream !== undefined) stream.isReading = true
      }
      await this.settle()
      if (this.clients.every(({ streams }) => streams.at(-1)?.isHeld !== false)) return
    }
    throw new Error('a client never catches up')
  }

  #leftovers(): Record<string, number> {
    const stats = this.#hubs.map((hub) => hub.stats())
    return {
      connections: this.streams.filter(({ connection }) => connection.state !== 'closed').length,
      subscriptions: stats.reduce((sum, { subscriptions }) => sum + subscriptions, 0),
      'active subscriptions': this.streams
        .flatMap(({ subscriptions }) => subscriptions)
        .filter(({ live }) => live.active).length,
      channels: stats.reduce((sum, { channels }) => sum + channels, 0),
      'wrong writes': this.streams.reduce((sum, { pipe }) => sum + pipe.wrongWrites, 0),
      'heads that never left': this.streams.filter(({ isHeadDue, pipe }) => isHeadDue && !pipe.hasStarted)
        .length,
      'unsettled publishes': this.#unsettled,
      immediates: this.loop.immediates
    }
  }

  async #framesLeft(): Promise<Record<string, number>> {
    const { maxAgeMs } = this.setup.limits
    const kept = (): number => this.channels.reduce((sum, { name }) => sum + this.#keptOf(name), 0)
    if (maxAgeMs !== false) await this.loop.advance(2 * maxAgeMs + 1_000)
    const expired = maxAgeMs === false ? 0 : kept()
    await Promise.all(this.#hubs.map((hub) => hub.close()))
    return {
      'frames after their age': expired,
      'frames of a closed history': kept(),
      timers: this.loop.timers
    }
  }

  #runLog(leftovers: Record<string, number>): RunLog {
    const { limits } = this.setup
    const msAt = (moment: Moment): number => this.#msAt[moment] ?? this.loop.now
    return {
      channels: this.channels,
      clients: this.clients.map(({ streams }) => streams.map((stream) => stream.log())),
      retention: new MemoryRetention(this.channels, () => limits, msAt, limits.maxTotalBytes > 10_000),
      isExact: true,
      isLate: this.setup.late !== undefined,
      samples: this.samples,
      leftovers
    }
  }

  #writeGap({ connection, channel, reason }: GapEvent): void {
    const stream = this.streams.find((candidate) => candidate.connection === (connection as unknown))
    stream?.gaps.push({ channel, reason, at: this.#moment })
  }
}

function isAccepting({ connection: { state } }: Stream): boolean {
  return state === 'opening' || state === 'open'
}

function numberIn(cursor: string): number {
  return Number(cursor.slice(cursor.indexOf('-') + 1))
}

function filterOption(filter: SubscriptionSetup['filter']): Pick<SubscribeOptions, 'filter'> {
  const passes = FILTERS[filter]
  return passes === undefined ? {} : { filter: (message: ChannelMessage) => passes(message) }
}

function channelOptions(setup: ChannelSetup | undefined): ChannelOptions {
  if (setup === undefined) return {}
  const { slow, afterGap, onGap } = setup
  const answer = (gap: Gap): GapAnswer => [
    { event: 'gap', data: { ...gap, hasMore: true } },
    { event: 'gap', data: gap }
  ]
  if (onGap === 'answers') return { slow, afterGap, onGap: answer }
  if (onGap === 'answers later') {
    return {
      slow,
      afterGap,
      onGap: (gap) => new Promise((resolve) => setImmediate(() => resolve(answer(gap))))
    }
  }
  if (onGap === 'throws') {
    return {
      slow,
      afterGap,
      onGap: () => {
        throw new Error('onGap threw')
      }
    }
  }
  if (onGap === 'rejects later') {
    return {
      slow,
      afterGap,
      onGap: () => new Promise((_, reject) => setImmediate(() => reject(new Error('onGap rejected'))))
    }
  }
  return { slow, afterGap }
}
