import type { FastifyInstance } from 'fastify'
import type { GapEvent } from '../../../lib/base/diagnostics.ts'
import { gapChannel } from '../../../lib/base/diagnostics.ts'
import type { History } from '../../../lib/history/history.ts'
import { memoryHistory } from '../../../lib/history/memory/memory-history.ts'
import { Hub } from '../../../lib/fastify/hub.ts'
import { type ResolvedOptions, resolveOptions } from '../../../lib/fastify/options.ts'
import { Ear } from '../../helpers/history.ts'
import { LateHistory } from '../../helpers/late-history.ts'
import { FILTERS } from '../filters.ts'
import { MemoryRetention, memoryBytes } from '../memory-retention.ts'
import { NOT_YET, tells } from '../not-yet.ts'
import { bytesOnWire, payloadOf } from '../payload.ts'
import {
  type ChannelLog,
  type ConnectionLog,
  EVENTS,
  type Moment,
  type Published,
  type RunLog,
  type Sample,
  type SubscriptionLog
} from '../run-log.ts'
import { channelOptions, filterOption } from './channel-options.ts'
import { Client } from './client.ts'
import { type EventLoop, microtasks, PACE_MS } from './event-loop.ts'
import { CHANNEL_NAMES, type ClientSetup, type Setup, type SubscriptionSetup } from './setup.ts'
import type { Step } from './steps.ts'
import { Stream } from './stream.ts'

const NODES = 2
const MAX_TURNS = 10_000
/** A client that reads whatever there is. */
const FAST = { kernelBytes: 1_000_000, highWaterBytes: 65_536 } as const

type Writable<T> = { -readonly [Key in keyof T]: T[Key] }
type WritableChannelLog = ChannelLog & { readonly forgottenAt: Moment[] }
type Of<Name extends Step['do']> = Extract<Step, { do: Name }>

/** Servers that share a history, their clients, and everything that is written down of them. */
export class World {
  readonly loop: EventLoop
  readonly setup: Setup
  readonly channels: readonly WritableChannelLog[]
  readonly messages: Writable<Published>[] = []
  readonly clients: readonly Client[]
  readonly samples: Sample[] = []
  readonly #probes: Stream[] = []
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
  /** Clients that never catch up. */
  #late = 0
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
      forgottenAt: []
    }))
    this.clients = setup.clients.map((client) => new Client(client))
    gapChannel.subscribe(this.#onGap)
    this.#start()
  }

  get streams(): Stream[] {
    return [...this.clients.flatMap(({ streams }) => streams), ...this.#probes]
  }

  /** The client's connection, if it has one. */
  streamOf(client: number): Stream | undefined {
    return this.clients[client]?.stream
  }

  publish({ node, channel, also, key, sizes }: Of<'publish'>): void {
    const names = [channel, also].map((number) => this.channels[number ?? -1]?.name)
    const channels = names.filter((name) => name !== undefined)
    for (const size of sizes) {
      const data = payloadOf(channels.join('+'), this.#published++, size)
      const event = key === 0 ? 'message' : 'tick'
      const message: Writable<Published> = {
        channels,
        id: '',
        event,
        data,
        key: `key ${key}`,
        byteLength: bytesOnWire(event, data),
        sentAt: this.tick(),
        acknowledgedAt: undefined
      }
      this.#largestMessage = Math.max(this.#largestMessage, message.byteLength)
      this.messages.push(message)
      for (const name of channels) this.#publish(node, name, message)
    }
  }

  connect({ client, resume, isLate, awaits = false, only }: Of<'connect'>): void {
    const back = this.clients[client]
    if (back === undefined || back.stream !== undefined) return
    const { setup } = back
    const other = this.clients[(client + 1) % this.clients.length]
    const lastEventId = back.idFor(resume, other, this.#moment)
    const chosen = only ?? back.chosenFor(lastEventId)
    const stream = this.#connect(`client ${client}`, setup, lastEventId)
    back.streams.push(stream)
    stream.awaiting.push(...setup.subscriptions.filter((_, number) => chosen.includes(number)))
    this.#subscribeNext(stream, setup.node)
    while (!awaits && stream.awaiting.length > 0) this.#subscribeNext(stream, setup.node)
    if (!isLate) stream.open()
  }

  /** What the client's handler awaits is there. */
  goOn(client: number): void {
    const stream = this.streamOf(client)
    if (stream !== undefined && isAccepting(stream)) this.#subscribeNext(stream, this.#nodeOf(client))
  }

  join({ client, channel, from, filter }: Of<'join'>): void {
    const stream = this.streamOf(client)
    const name = CHANNEL_NAMES[channel] ?? ''
    if (stream === undefined || !isAccepting(stream)) return
    if (stream.memberships.some((membership) => membership.channel === name)) return
    this.#subscribe(stream, this.#nodeOf(client), { channel, from, resume: false, filter })
  }

  unsubscribe(client: number, index: number): void {
    const membership = this.streamOf(client)?.memberships[index]
    const log = membership?.logs.at(-1)
    if (membership === undefined || log === undefined || !membership.live.active) return
    log.endedAt = this.tick()
    membership.live.unsubscribe()
  }

  /** Subscribes to a channel again that the client was subscribed to. */
  subscribeAgain({ client, index, from }: Of<'subscribe again'>): void {
    const stream = this.streamOf(client)
    const membership = stream?.memberships[index]
    const last = membership?.logs.at(-1)
    if (stream === undefined || membership === undefined || last === undefined) return
    if (membership.live.active || !isAccepting(stream)) return
    const { cursor } = membership.live
    const isAtEnd = from === 'end' && cursor !== undefined
    const start = from === 'end' ? this.#fromOf(client, membership.channel) : from
    // It was not told where it is, so that it has no end to go on at.
    if (from === 'end' && !isAtEnd) membership.logs.length = 0
    const resumes = last.resumes && isAtEnd
    membership.logs.push({
      ...last,
      from: isAtEnd ? 'end' : start,
      resumes,
      startedAt: this.tick(),
      endedAt: undefined
    })
    const channel = this.#hub(this.#nodeOf(client)).channel(membership.channel)
    // What the client brought is used up, though it is asked for.
    membership.live = channel.subscribe(stream.connection, {
      resume: true,
      from: isAtEnd ? cursor : start,
      ...filterOption(membership.filter)
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
    for (const client of this.clients) client.remember()
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
    for (const stream of this.streams) stream.destroy()
    await Promise.all(this.#hubs.map((hub) => hub.close()))
    await this.settle()
    const at = this.tick()
    for (const message of this.messages) message.lostAt ??= at
    for (const { forgottenAt } of this.channels) forgottenAt.push(at)
    this.#history = memoryHistory(this.setup.limits)
    this.#options = this.#resolve(this.#history)
    this.#start()
  }

  /** Everything is read, everybody comes back, and then all leave. @returns what was written down. */
  async finish(): Promise<RunLog> {
    this.loop.paceMs = PACE_MS
    await this.#catchUp()
    await this.#probe()
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
    for (const { logs, live, channel: name } of this.#streamsOf(node).flatMap(
      ({ memberships }) => memberships
    )) {
      const log = logs.at(-1)
      if (live.active && name === channel && log !== undefined) log.startedAt = this.tick()
    }
  }

  #streamsOf(node: number): Stream[] {
    return this.clients.filter(({ setup }) => setup.node === node).flatMap(({ streams }) => streams)
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
    for (const [number, { name }] of this.channels.entries()) {
      const options = channelOptions(this.setup.channels[number])
      for (const hub of this.#hubs) hub.channel(name, options)
    }
  }

  #publish(node: number, channel: string, message: Writable<Published>): void {
    const { event, data, key } = message
    this.#unsettled++
    const published = this.#hub(node)
      .channel(channel)
      .publish(event === 'message' ? { data } : { event, data }, { key })
    void published.then((id) => {
      message.id = id
      message.acknowledgedAt = this.tick()
      this.#unsettled--
    })
  }

  #connect(name: string, setup: ClientSetup, lastEventId: string | undefined): Stream {
    return new Stream(name, setup, lastEventId, this.#hub(setup.node), this.#options, () => this.#moment)
  }

  #subscribeNext(stream: Stream, node: number): void {
    const next = stream.awaiting.shift()
    if (next !== undefined) this.#subscribe(stream, node, next)
    if (stream.awaiting.length === 0) stream.settledAt ??= this.tick()
  }

  #subscribe(stream: Stream, node: number, { channel, from, resume, filter }: SubscriptionSetup): void {
    const name = CHANNEL_NAMES[channel] ?? ''
    const log: Writable<SubscriptionLog> = {
      channel: name,
      from,
      resumes: resume,
      startedAt: this.tick(),
      endedAt: undefined,
      filter: FILTERS[filter]
    }
    const live = this.#hub(node)
      .channel(name)
      .subscribe(stream.connection, { from, resume, ...filterOption(filter) })
    stream.memberships.push({ channel: name, filter, logs: [log], live })
  }

  #nodeOf(client: number): number {
    return this.clients[client]?.setup.node ?? 0
  }

  /** Where the client's subscription to a channel starts if it was never told a place. */
  #fromOf(client: number, channel: string): 'oldest' | 'now' {
    const { subscriptions = [] } = this.setup.clients[client] ?? {}
    return (
      subscriptions.find((subscription) => CHANNEL_NAMES[subscription.channel] === channel)?.from ?? 'now'
    )
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
      const own = this.messages.filter(({ channels }) => channels.includes(log.name))
      const kept = own.slice(own.length - count)
      const bytes = kept.reduce((sum, { byteLength }) => sum + byteLength, 0)
      total += memoryBytes(kept)
      totalCount += count
      this.#sample(`messages kept of ${log.name}`, count, maxMessages)
      if (count > 1) this.#sample(`bytes kept of ${log.name}`, bytes, maxBytes)
    }
    if (totalCount > 1) this.#sample('bytes kept of all channels', total, maxTotalBytes)
    for (const { streams, setup } of this.clients) {
      const sample = streams.at(-1)?.sampleOf(this.#largestMessage, this.setup.maxBufferedBytes, setup)
      if (sample !== undefined) this.#note(sample)
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
        this.connect({ do: 'connect', client, resume: 'own', isLate: false })
        const stream = this.streamOf(client)
        stream?.open()
        if (stream !== undefined) stream.isReading = true
      }
      await this.settle()
      if (this.clients.every(({ streams }) => streams.at(-1)?.isHeld !== false)) return
    }
    this.#late = this.clients.filter(({ streams }) => streams.at(-1)?.isHeld === false).length
  }

  /** Some come back with ids that a client was told at any time, to the channels that it had then. */
  async #probe(): Promise<void> {
    const { probes = 0 } = this.setup
    for (const { streams, setup: own } of this.clients) {
      const setup = { ...own, ...FAST }
      for (let i = 0; i < probes; i++) {
        const stream = streams[(i * 7 + this.#moment) % streams.length]
        if (stream !== undefined) this.#probeIdOf(stream, setup, i)
      }
    }
    await this.settle()
    for (const probe of this.#probes) {
      probe.hasCaughtUp = probe.connection.state === 'open'
      probe.cutAfter = 1_000
    }
    await this.settle()
  }

  #probeIdOf(
    { receiver: { received }, memberships, client }: Stream,
    setup: ClientSetup,
    number: number
  ): void {
    // Those that come with messages are tried by clients that are cut, too.
    const rare = received.filter(
      ({ event }) => event === undefined || event === EVENTS.cursor || event === EVENTS.gap
    )
    const blocks = number % 2 === 0 && rare.length > 0 ? rare : received
    const block = blocks[(number * 7_919 + this.#moment) % blocks.length]
    if (block === undefined || block.id === '') return
    const had = memberships.flatMap(({ logs, filter, channel }) =>
      logs
        .filter(({ startedAt, endedAt = Infinity }) => startedAt <= block.at && block.at < endedAt)
        .filter(() => !NOT_YET.has('other channels') || tells(block.id, channel, memberships.length))
        .map(({ channel, from }) => ({ channel, from: from === 'end' ? ('now' as const) : from, filter }))
    )
    if (had.length === 0) return
    const probe = this.#connect(client, setup, block.id)
    this.#probes.push(probe)
    for (const { channel, from, filter } of had) {
      const index = CHANNEL_NAMES.indexOf(channel)
      this.#subscribe(probe, setup.node, { channel: index, from, resume: true, filter })
    }
    probe.open()
  }

  /** Streams none of whose channels may disconnect a reader that is slow. */
  get #patient(): Stream[] {
    const patient = this.channels.filter(({ slow }) => slow !== 'disconnect').map(({ name }) => name)
    return this.streams.filter(({ memberships }) =>
      memberships.every(({ channel }) => patient.includes(channel))
    )
  }

  #leftovers(): Record<string, number> {
    const stats = this.#hubs.map((hub) => hub.stats())
    return {
      connections: this.streams.filter(({ connection }) => connection.state !== 'closed').length,
      subscriptions: stats.reduce((sum, { subscriptions }) => sum + subscriptions, 0),
      'active subscriptions': this.streams
        .flatMap(({ memberships }) => memberships)
        .filter(({ live }) => live.active).length,
      channels: stats.reduce((sum, { channels }) => sum + channels, 0),
      'wrong writes': this.streams.reduce((sum, { pipe }) => sum + pipe.wrongWrites, 0),
      'heads that never left': this.streams.filter(({ isHeadDue, pipe }) => isHeadDue && !pipe.hasStarted)
        .length,
      'clients that never catch up': this.#late,
      'farewells that did not come': this.#patient.filter(({ hasLostFarewell }) => hasLostFarewell).length,
      'readers that were too slow for nothing': this.#patient.filter(
        ({ connection, hasSentAny }) => connection.reason === 'slow' && !hasSentAny
      ).length,
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
    const logsOf = ({ streams }: Client): ConnectionLog[] => {
      const probes = this.#probes.filter(({ client }) => client === streams[0]?.client)
      return [...streams, ...probes].map((stream) => stream.log())
    }
    return {
      channels: this.channels,
      messages: this.messages,
      clients: this.clients.map(logsOf),
      retention: new MemoryRetention(this.messages, () => limits, msAt, limits.maxTotalBytes > 10_000),
      isExact: true,
      isLate: this.setup.late !== undefined,
      notYet: NOT_YET,
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
