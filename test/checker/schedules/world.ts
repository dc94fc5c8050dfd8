import { FILTERS } from '../filters.ts'
import { type MemoryLimits, MemoryRetention, memoryBytes } from '../memory-retention.ts'
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
import { filterOption } from './channel-options.ts'
import { Client } from './client.ts'
import { type EventLoop, microtasks, PACE_MS } from './event-loop.ts'
import type {
  Library,
  LibraryListener,
  TriedConnection,
  TriedServer,
  TriedSubscribeOptions
} from './library.ts'
import { Reading } from './reading.ts'
import { CHANNEL_NAMES, type ClientSetup, PATTERNS, type Setup, type SubscriptionSetup } from './setup.ts'
import type { Step } from './steps.ts'
import { type Admission, Stream } from './stream.ts'

/** How long a handler that awaits something is waited for. */
const HOLD_MS = 250
const MAX_TURNS = 10_000
/** A client that reads whatever there is. */
const FAST = { kernelBytes: 1_000_000, highWaterBytes: 65_536 } as const

type Writable<T> = { -readonly [Key in keyof T]: T[Key] }
type WritableChannelLog = ChannelLog & { readonly forgottenAt: Moment[]; readonly clearedAt: Moment[] }
type Of<Name extends Step['do']> = Extract<Step, { do: Name }>

/** A server, its clients, and everything that is written down of them. */
export class World implements LibraryListener {
  readonly loop: EventLoop
  readonly setup: Setup
  readonly channels: readonly WritableChannelLog[]
  readonly messages: Writable<Published>[] = []
  readonly clients: readonly Client[]
  readonly samples: Sample[] = []
  readonly #probes: Stream[] = []
  /** Of each reader. */
  readonly #readings: readonly Reading[][] = [[], []]
  /** When nothing was held for anybody. */
  readonly #restedAt: Moment[] = []
  #moment = 0
  /** The clock at the end of each moment. */
  readonly #msAt: number[] = []
  readonly #library: Library
  #server: TriedServer
  #published = 0
  #unsettled = 0
  #largestMessage = 0
  /** Clients that never catch up. */
  #stragglers = 0

  constructor(loop: EventLoop, library: Library, setup: Setup) {
    this.loop = loop
    this.setup = setup
    this.#library = library
    this.channels = setup.channels.map(({ slow, afterGap }, number) => ({
      name: CHANNEL_NAMES[number] ?? '',
      slow,
      afterGap,
      forgottenAt: [],
      clearedAt: []
    }))
    this.clients = setup.clients.map((client) => new Client(client))
    this.#server = library.start(setup, this)
  }

  get streams(): Stream[] {
    return [...this.clients.flatMap(({ streams }) => streams), ...this.#probes]
  }

  /** The client's connection, if it has one. */
  streamOf(client: number): Stream | undefined {
    return this.clients[client]?.stream
  }

  publish({ channel, also, key, sizes, keep = true }: Of<'publish'>): void {
    const channels = this.#namesOf(channel, also)
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
        isKept: keep,
        sentAt: this.tick(),
        acknowledgedAt: undefined
      }
      this.#largestMessage = Math.max(this.#largestMessage, message.byteLength)
      this.messages.push(message)
      this.#publish(channels, message)
    }
  }

  async connect({ client, resume, isLate, awaits = false, only }: Of<'connect'>): Promise<void> {
    const back = this.clients[client]
    if (back === undefined || back.stream !== undefined) return
    const { setup } = back
    const other = this.clients[(client + 1) % this.clients.length]
    const lastEventId = back.idFor(resume, other, this.#moment)
    if (lastEventId !== undefined) await this.#server.prepare?.(lastEventId)
    const stream = this.#connect(`client ${client}`, setup, lastEventId, back.admission)
    back.streams.push(stream)
    stream.awaiting.push(...setup.subscriptions.filter((_, number) => only?.includes(number) ?? true))
    this.#subscribeNext(stream)
    if (!awaits) this.#goOnToEnd(stream)
    if (!isLate) stream.open()
  }

  /** What the client's handler awaits is there. */
  goOn(client: number): void {
    const stream = this.streamOf(client)
    if (stream !== undefined && isAccepting(stream)) this.#subscribeNext(stream)
  }

  join({ client, channel, from, filter, resume = false }: Of<'join'>): void {
    const stream = this.streamOf(client)
    const name = CHANNEL_NAMES[channel] ?? ''
    if (stream === undefined || !isAccepting(stream)) return
    if (stream.memberships.some((membership) => membership.channel === name)) return
    if (stream.awaiting.some((awaited) => awaited.channel === channel)) return
    // A client wants the same of a channel whenever it comes.
    const own = this.clients[client]?.setup.subscriptions.find((wanted) => wanted.channel === channel)
    const { notBefore } = own ?? {}
    this.#subscribe(stream, { channel, from, resume, filter: own?.filter ?? filter, notBefore })
  }

  async unsubscribe(client: number, index: number): Promise<void> {
    // It is not known whether it covers what has not come yet.
    if (!this.#isExact && this.#unsettled > 0) await this.settle()
    const membership = this.streamOf(client)?.memberships[index]
    const log = membership?.logs.at(-1)
    if (membership === undefined || log === undefined || !membership.live.active) return
    log.endedAt = this.tick()
    membership.end = membership.live.unsubscribe()
  }

  /** Subscribes to a channel again that the client was subscribed to. */
  async subscribeAgain({ client, index, from }: Of<'subscribe again'>): Promise<void> {
    // What is on its way may come before or after it.
    if (!this.#isExact && this.#unsettled > 0) await this.settle()
    const stream = this.streamOf(client)
    const membership = stream?.memberships[index]
    const last = membership?.logs.at(-1)
    if (stream === undefined || membership === undefined || last === undefined) return
    if (membership.live.active || !isAccepting(stream)) return
    const isAtEnd = from === 'end'
    const resumes = last.resumes && isAtEnd
    membership.logs.push({ ...last, from, resumes, startedAt: this.tick(), endedAt: undefined })
    // What the client brought is used up, though it is asked for.
    membership.live = stream.connection.subscribe(membership.channel, {
      resume: true,
      from: isAtEnd ? membership.end : from,
      ...filterOption(membership.setup.filter),
      ...notBeforeOption(membership.setup, stream)
    })
  }

  /** What the store has not told yet may be cleared or not. */
  clear(channel: number): void {
    const log = this.channels[channel]
    if (log === undefined || !this.#isExact) return
    log.clearedAt.push(this.tick())
    this.#server.more?.clear(log.name)
    this.tick()
  }

  admit(client: number): void {
    const admitted = this.clients[client]
    const { more } = this.#server
    // A time to come is none of the cursors that there are.
    const date = new Date(Date.now() + (this.#moment % 2))
    if (admitted !== undefined && more !== undefined) admitted.admission = { cursor: more.cursor(), date }
  }

  readChannel({ reader, channel, from }: Of<'read channel'>): void {
    const readings = this.#readings[reader]
    const last = readings?.at(-1)
    const { more } = this.#server
    if (readings === undefined || more === undefined || last?.isOver === false) return
    const resumedFrom = from === 'own' ? last?.lastId : undefined
    const name = (resumedFrom === undefined ? CHANNEL_NAMES[channel] : last?.channel) ?? ''
    const begin = from === 'own' ? 'oldest' : from
    const start = { channel: name, from: begin, resumedFrom }
    this.tick()
    const items = more.read(name, resumedFrom ?? begin)
    const reading = new Reading(`reader ${reader}`, start, items, () => this.#moment)
    readings.push(reading)
    void reading.ask(1)
  }

  ask({ reader, items }: Of<'ask'>): void {
    void this.#readings[reader]?.at(-1)?.ask(items ?? Infinity)
  }

  giveUp(reader: number): void {
    void this.#readings[reader]?.at(-1)?.giveUp()
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
    await this.#readOn()
    if (this.loop.immediates > 0) return
    this.#noteStanding()
    this.#takeSamples()
  }

  /** Turn after turn, until there is nothing to do. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < MAX_TURNS; turn++) {
      await this.endTurn()
      if (this.loop.immediates === 0 && this.streams.every(({ isQuiet }) => isQuiet)) return
    }
    throw new Error('the event loop never comes to rest')
  }

  async wait(ms: number): Promise<void> {
    // A store that does not answer for so long fails `publish()`, and is not waited for.
    if (!this.#isExact) await this.settle()
    await this.loop.advance(ms)
    this.tick()
    for (const { connection } of this.streams) connection.beat(Math.floor(this.loop.now))
  }

  /** The process ends, and with it what it alone kept; another takes its place. */
  async restart(): Promise<void> {
    for (const stream of this.streams) stream.destroy()
    for (const readings of this.#readings) void readings.at(-1)?.giveUp()
    this.#server.close()
    await this.settle()
    const at = this.tick()
    if (this.#isExact) {
      for (const message of this.messages) message.lostAt ??= at
      for (const { forgottenAt } of this.channels) forgottenAt.push(at)
    }
    this.#server = this.#library.start(this.setup, this)
  }

  /** Everything is read, everybody comes back, and then all leave. @returns what was written down. */
  async finish(): Promise<RunLog> {
    this.loop.paceMs = PACE_MS
    for (const readings of this.#readings) void readings.at(-1)?.ask(Infinity)
    await this.#catchUp()
    await this.#probe()
    for (const readings of this.#readings) {
      const reading = readings.at(-1)
      if (reading === undefined) continue
      reading.hasCaughtUp = reading.isAtEnd
      void reading.giveUp()
    }
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

  /** Whether what was published is with the process, and ends with it. */
  get #isExact(): boolean {
    return this.#library.isExact ?? true
  }

  dispose(): void {
    this.#server.close()
  }

  tick(): Moment {
    this.#msAt[this.#moment] = this.loop.now
    return ++this.#moment
  }

  libraryOnGap(connection: TriedConnection, channel: string | undefined, reason: string): void {
    const stream = this.streams.find((candidate) => candidate.connection === connection)
    stream?.gaps.push({ channel, reason, at: this.#moment })
  }

  /** The channels that a message is published to: two only if neither drops or replaces any. */
  #namesOf(channel: number, also: number | undefined): string[] {
    const chosen = [channel, ...(also === undefined || also === channel ? [] : [also])]
    const isWide = chosen.every((number) => isWideEnough(this.#limitsOf(number)))
    const logs = chosen
      .slice(0, isWide ? 2 : 1)
      .map((number) => this.channels[number])
      .filter((log) => log !== undefined)
    const isLatest = logs.some(({ slow }) => slow === 'latest')
    return (isLatest ? logs.slice(0, 1) : logs).map(({ name }) => name)
  }

  #limitsOf(channel: number): MemoryLimits {
    const { limits, patterns = {} } = this.setup
    const fitting = PATTERNS.filter(([, channels]) => (channels as readonly number[]).includes(channel))
    return Object.assign({}, limits, ...fitting.map(([pattern]) => patterns[pattern]))
  }

  #publish(channels: readonly string[], message: Writable<Published>): void {
    this.#unsettled++
    void this.#server.publish(channels, message).then((id) => {
      message.id = id
      message.acknowledgedAt = this.tick()
      this.#unsettled--
    })
  }

  #connect(
    name: string,
    setup: ClientSetup,
    lastEventId: string | undefined,
    admission: Admission | undefined
  ): Stream {
    const stream = new Stream(name, setup, lastEventId, admission, this.#server, () => this.#moment)
    stream.waitsUntilMs = this.loop.now + HOLD_MS
    return stream
  }

  #goOnToEnd(stream: Stream): void {
    while (stream.awaiting.length > 0 && isAccepting(stream)) this.#subscribeNext(stream)
  }

  #subscribeNext(stream: Stream): void {
    const next = stream.awaiting.shift()
    if (next !== undefined) this.#subscribe(stream, next)
    if (stream.awaiting.length === 0) stream.settle(this.tick(), this.loop.now)
  }

  #subscribe(stream: Stream, setup: SubscriptionSetup): void {
    const { channel, from, resume, filter } = setup
    const notBefore = notBeforeOption(setup, stream)
    const isSettled = stream.settledAt !== undefined
    const [first] = stream.memberships
    const { at = 0 } = stream.stood.at(-1) ?? {}
    // What the client brought is used up when its handler has settled, and something was given: it may be asked for then.
    const isUsedUp = first !== undefined && at > (first.logs[0]?.startedAt ?? Infinity)
    const name = CHANNEL_NAMES[channel] ?? ''
    const log: Writable<SubscriptionLog> = {
      channel: name,
      from,
      resumes: resume && !isSettled,
      startedAt: this.tick(),
      endedAt: undefined,
      filter: FILTERS[filter],
      isTooEarly: isTooEarly(notBefore)
    }
    const live = stream.connection.subscribe(name, {
      from,
      resume: resume && (!isSettled || isUsedUp),
      ...filterOption(filter),
      ...notBefore
    })
    stream.memberships.push({ channel: name, setup, logs: [log], live, end: '' })
  }

  /** Readers are given all that they ask for before the turn ends. */
  async #readOn(): Promise<void> {
    const last = this.#readings.map((readings) => readings.at(-1)).filter((reading) => reading !== undefined)
    const count = (): number => last.reduce((sum, reading) => sum + reading.count, 0)
    for (let before = -1; before < count(); await microtasks()) before = count()
  }

  #noteStanding(): void {
    const at = this.tick()
    for (const readings of this.#readings) readings.at(-1)?.rest(at)
    for (const stream of this.streams) {
      const isOpen = stream.isOpen && stream.connection.state === 'open'
      stream.isHeadDue ||= isOpen
      // Who returns is given nothing until its handler has settled.
      if (!isOpen || !stream.pipe.isWritable || stream.settledAt === undefined) continue
      stream.stood.push({ at, bytes: stream.pipe.writtenBytes })
    }
  }

  /** Nothing is to be done in this turn, so that nothing is kept for those who keep up. */
  #takeSamples(): void {
    for (const { streams, setup } of this.clients) {
      const sample = streams.at(-1)?.sampleOf(this.#largestMessage, this.setup.maxBufferedBytes, setup)
      if (sample !== undefined) this.#note(sample)
    }
    // What is published meanwhile is held for those whose handlers have not settled.
    const isHolding = ({ connection, settledAt }: Stream): boolean =>
      connection.state !== 'closed' && settledAt === undefined
    if (!this.#isExact || this.streams.some(isHolding)) return
    this.#restedAt.push(this.#moment)
    const { maxTotalBytes } = this.setup.limits
    let total = 0
    let totalCount = 0
    for (const [number, log] of this.channels.entries()) {
      const { maxMessages, maxBytes } = this.#limitsOf(number)
      const count = this.#server.keptOf(log.name)
      const own = this.messages.filter(({ channels, isKept }) => isKept && channels.includes(log.name))
      const kept = own.slice(own.length - count)
      const bytes = kept.reduce((sum, { byteLength }) => sum + byteLength, 0)
      total += memoryBytes(kept)
      totalCount += count
      this.#sample(`messages kept of ${log.name}`, count, maxMessages)
      if (count > 1) this.#sample(`bytes kept of ${log.name}`, bytes, maxBytes)
    }
    if (totalCount > 1) this.#sample('bytes kept of all channels', total, maxTotalBytes)
  }

  #sample(name: string, value: number, bound: number): void {
    this.#note({ name, value, bound })
  }

  /** Only what is over its bound is of interest. */
  #note(sample: Sample): void {
    if (sample.value > sample.bound) this.samples.push(sample)
  }

  async #catchUp(): Promise<void> {
    for (let round = 0; round < 20; round++) {
      for (const [client, { streams }] of this.clients.entries()) {
        if (streams.length === 0) continue
        await this.connect({ do: 'connect', client, resume: 'own', isLate: false })
        const stream = this.streamOf(client)
        if (stream === undefined) continue
        this.#goOnToEnd(stream)
        stream.open()
        stream.isReading = true
      }
      await this.settle()
      if (this.clients.every(({ streams }) => streams.at(-1)?.isHeld !== false)) return
    }
    this.#stragglers = this.clients.filter(({ streams }) => streams.at(-1)?.isHeld === false).length
  }

  /** Some come back with ids that a client was told at any time, to the channels that it had then. */
  async #probe(): Promise<void> {
    const { probes = 0 } = this.setup
    for (const { streams, setup: own } of this.clients) {
      const setup = { ...own, ...FAST }
      for (let i = 0; i < probes; i++) {
        const stream = streams[(i * 7 + this.#moment) % streams.length]
        if (stream !== undefined) await this.#probeIdOf(stream, setup, i)
      }
    }
    await this.settle()
    for (const probe of this.#probes) {
      probe.hasCaughtUp = probe.connection.state === 'open'
      probe.cutAfter = 1_000
    }
    await this.settle()
  }

  async #probeIdOf(
    { receiver: { received }, memberships, client, admission }: Stream,
    fast: ClientSetup,
    number: number
  ): Promise<void> {
    // Those that come with messages are tried by clients that are cut, too.
    const rare = received.filter(
      ({ event }) => event === undefined || event === EVENTS.cursor || event === EVENTS.gap
    )
    const blocks = number % 2 === 0 && rare.length > 0 ? rare : received
    const block = blocks[(number * 7_919 + this.#moment) % blocks.length]
    if (block === undefined || block.id === '') return
    const had = memberships.flatMap(({ logs, setup }) =>
      logs
        .filter(({ startedAt, endedAt = Infinity }) => startedAt <= block.at && block.at < endedAt)
        .map(({ from }) => ({ ...setup, from: from === 'end' ? ('now' as const) : from, resume: true }))
    )
    if (had.length === 0) return
    await this.#server.prepare?.(block.id)
    const probe = this.#connect(client, fast, block.id, admission)
    this.#probes.push(probe)
    for (const setup of had) this.#subscribe(probe, setup)
    probe.settle(this.tick(), this.loop.now)
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
    const { subscriptions, channels } = this.#server.stats()
    return {
      connections: this.streams.filter(({ connection }) => connection.state !== 'closed').length,
      subscriptions,
      'active subscriptions': this.streams
        .flatMap(({ memberships }) => memberships)
        .filter(({ live }) => live.active).length,
      channels,
      'wrong writes': this.streams.reduce((sum, { pipe }) => sum + pipe.wrongWrites, 0),
      'heads that never left': this.streams.filter(({ isHeadDue, pipe }) => isHeadDue && !pipe.hasStarted)
        .length,
      'clients that never catch up': this.#stragglers,
      'farewells that did not come': this.#patient.filter(({ hasLostFarewell }) => hasLostFarewell).length,
      'readers that were too slow for nothing': this.#patient.filter(
        ({ connection, hasSentAny }) => connection.reason === 'slow' && !hasSentAny
      ).length,
      'unsettled publishes': this.#unsettled,
      'readers that never catch up': this.#readings.flat().filter(({ isOver }) => !isOver).length,
      immediates: this.loop.immediates
    }
  }

  async #framesLeft(): Promise<Record<string, number>> {
    const { maxAgeMs } = this.setup.limits
    const kept = (): number => this.channels.reduce((sum, { name }) => sum + this.#server.keptOf(name), 0)
    if (maxAgeMs !== false) await this.loop.advance(2 * maxAgeMs + 1_000)
    const expired = maxAgeMs === false ? 0 : kept()
    this.#server.close()
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
    // Those of two servers may have come to a store in another order than they were sent.
    const messages = this.#isExact ? this.messages : [...this.messages].sort(byId)
    return {
      channels: this.channels,
      messages,
      clients: [
        ...this.clients.map(logsOf),
        ...this.#readings.map((readings) => readings.map((reading) => reading.log()))
      ],
      restedAt: this.#restedAt,
      retention: new MemoryRetention(
        messages,
        (name) => this.#limitsOf(CHANNEL_NAMES.indexOf(name)),
        msAt,
        this.#isExact && limits.maxTotalBytes > 10_000
      ),
      isExact: this.#isExact,
      isVague: this.#library.isVague ?? false,
      samples: this.samples,
      leftovers
    }
  }
}

function isAccepting({ connection: { state } }: Stream): boolean {
  return state === 'opening' || state === 'open'
}

function isWideEnough({ maxMessages, maxBytes, maxAgeMs, maxTotalBytes }: MemoryLimits): boolean {
  return maxMessages >= 100 && maxBytes > 1_000_000 && maxTotalBytes > 10_000 && maxAgeMs === false
}

function notBeforeOption(
  { notBefore }: SubscriptionSetup,
  { admission }: Stream
): Pick<TriedSubscribeOptions, 'notBefore'> {
  return notBefore === undefined || admission === undefined ? {} : { notBefore: admission[notBefore] }
}

/** Ids are in order as strings. What is stamped with the same microsecond is too early, whoever has stamped it. */
function isTooEarly({ notBefore }: Pick<TriedSubscribeOptions, 'notBefore'>): SubscriptionLog['isTooEarly'] {
  if (notBefore === undefined) return undefined
  const [time] = typeof notBefore === 'string' ? notBefore.split('-') : [digitsOf(notBefore)]
  return ({ id }) => id !== '' && id <= `${time}~`
}

/** As ids begin. */
function digitsOf(date: Date): string {
  return (date.getTime() * 1_000).toString(36).padStart(10, '0')
}

function byId(one: Published, other: Published): number {
  return one.id < other.id ? -1 : 1
}
