import { ChannelCheck, type ChannelCheckHost, excerptOf, type Place, type Span } from './channel-check.ts'
import type { ChannelMessages } from './channel-messages.ts'
import { groupBy } from './group-by.ts'
import {
  type ConnectionLog,
  EVENTS,
  type GapLog,
  type Moment,
  type Published,
  type Received,
  type RunLog,
  type SubscriptionLog
} from './run-log.ts'
import type { Violation, ViolationKind } from './violation.ts'

/** Where a client stands that comes back with an id: to the judge an id is nothing but the block that it came with. */
export interface Standpoint {
  readonly at: Moment
  /** Of the channels that the connection had, for its own client. */
  readonly places: ReadonlyMap<string, Place | 'unknown'>
  /** The same for everybody else, who may have other filters. */
  readonly sharedPlaces: ReadonlyMap<string, Place | 'unknown'>
  /** How many messages of all channels are before it, at least and at most. */
  readonly fewest: number
  readonly most: number
  /**
   * From which message on it is not known what was given of channels that the handler had not subscribed to yet, if that
   * had not settled; all is known to who comes back with the channels that it had.
   */
  readonly unsureFrom?: number | undefined
  readonly channels?: ReadonlySet<string>
}

/** What the checks of all connections share. */
export interface Knowledge {
  readonly run: RunLog
  readonly channels: ReadonlyMap<string, ChannelMessages>
  /** The same for readers in the server's own process. */
  readonly asRead: ReadonlyMap<string, ChannelMessages>
  messagesOf(data: string): readonly Published[]
  rankOf(message: Published): number
  /** How many messages had been sent by then, of all channels. */
  sentUntil(moment: Moment): number
  /** Where a client stands that was told this id, or anybody else who was. */
  standpointOf(client: string, id: string): Standpoint | undefined
  /** Whether anybody will ask for an id. */
  isAskedFor(id: string): boolean
  note(client: string, id: string, standpoint: Standpoint): void
  /** Where a client's connection stood when it ended, and with which id. */
  readonly ends: Map<string, { readonly id: string; readonly standpoint: Standpoint }>
}

/** One connection's stream, block by block. */
export class ConnectionCheck implements ChannelCheckHost {
  readonly run: RunLog
  readonly connection: ConnectionLog
  readonly violations: Violation[] = []
  readonly #knowledge: Knowledge
  readonly #number: number
  readonly #checks: ReadonlyMap<string, ChannelCheck>
  readonly #gaps: Map<string | undefined, GapLog[]>
  readonly #received = new Set<Published>()
  /** Of the block that is looked at. */
  #at: Moment = Infinity
  #sent = 0
  /** Whether nobody knows the id that the client brought, and it was not told so for all channels. */
  #isUnknown: boolean
  /** Whether it was told so. */
  #hasForgotten = false
  #id: string
  /** When the client was told it. */
  #idAt: Moment = -Infinity
  /** Of the newest message that came in order, and whether it was the last block. */
  #rank = -1
  #isAtRank = false

  constructor(knowledge: Knowledge, connection: ConnectionLog, number: number) {
    this.run = knowledge.run
    this.connection = connection
    this.#knowledge = knowledge
    this.#number = number
    this.#id = connection.resumedFrom ?? ''
    // A channel that a store gives late is behind others, also when its client comes back.
    this.#rank = (this.run.isExact ? (this.#brought?.fewest ?? 0) : 0) - 1
    this.#isUnknown = (connection.resumedFrom ?? '') !== '' && !this.#isKnown(this.#brought)
    this.#checks = this.#checksOf(connection)
    this.#gaps = groupBy(connection.gaps ?? [], ({ channel }) => channel)
  }

  check(): readonly Violation[] {
    if (this.connection.refusal !== undefined) this.violate('syntax', this.connection.refusal)
    const { received, waits = false, settledAt = 0 } = this.connection
    if (waits && received.some(({ at }) => at < settledAt))
      this.violate('order', 'something came before the handler had subscribed to all that it was to')
    for (const block of received) this.#receive(block)
    for (const [name, check] of this.#checks) check.finish(this.#untoldGap(name) !== undefined)
    if (this.connection.hasCaughtUp) this.#finish()
    return this.violations
  }

  violate(kind: ViolationKind, text: string): void {
    this.violations.push({
      kind,
      text: `${this.connection.client}, connection ${this.#number}: ${text}`,
      at: this.#at
    })
  }

  hasReceived(message: Published): boolean {
    return this.#received.has(message)
  }

  #checksOf({ subscriptions, received, isReader = false }: ConnectionLog): ReadonlyMap<string, ChannelCheck> {
    const [first] = received
    const checks = new Map<string, ChannelCheck>()
    for (const [name, own] of groupBy(subscriptions, ({ channel }) => channel)) {
      const messages = this.#knowledge[isReader ? 'asRead' : 'channels'].get(name)
      const [subscription] = own
      if (messages === undefined || subscription === undefined)
        throw new Error(`no log of the channel ${name}`)
      const hasJoined = first !== undefined && first.at < subscription.startedAt
      const isBehind = hasJoined || (this.#brought !== undefined && !subscription.resumes)
      checks.set(
        name,
        new ChannelCheck(
          this,
          messages,
          own,
          this.#broughtPlace(messages, subscription),
          isBehind,
          this.#unsureSpan(messages)
        )
      )
    }
    return checks
  }

  get #brought(): Standpoint | undefined {
    const { client, resumedFrom = '' } = this.connection
    if (resumedFrom === '') return undefined
    const end = this.#knowledge.ends.get(`${client} ${this.#number - 1}`)
    return end?.id === resumedFrom ? end.standpoint : this.#knowledge.standpointOf(client, resumedFrom)
  }

  /** Whether the store knows where the client was told it is. */
  #isKnown(brought: Standpoint | undefined): boolean {
    if (brought === undefined) return false
    if (!this.run.isExact) return !(this.run.isShared && this.#wasForgotten)
    const begin = Math.min(...this.connection.subscriptions.map(({ startedAt }) => startedAt))
    return this.run.channels.some(({ forgottenAt }) =>
      forgottenAt.every((at) => at < brought.at || at > begin)
    )
  }

  /** Whether the client was told so: a store that does not answer in time does not know ids. */
  get #wasForgotten(): boolean {
    const { received } = this.connection
    return received.some(({ event, data }) => event === EVENTS.gap && JSON.parse(data).channel === undefined)
  }

  #broughtPlace(messages: ChannelMessages, { resumes }: SubscriptionLog): Place | 'unknown' | undefined {
    if (!resumes || (this.connection.resumedFrom ?? '') === '') return undefined
    const standpoint = this.#brought
    if (standpoint === undefined || (!this.run.isExact && this.#isUnknown)) return 'unknown'
    const { places, fewest, most, at } = standpoint
    const span = { from: this.#placeOf(messages, fewest), to: this.#placeOf(messages, most) }
    const place = places.get(messages.log.name)
    if (place === undefined)
      return { span, last: undefined, since: at, placedAt: at, outOfOrderUntil: -Infinity }
    if (place === 'unknown') return place
    // A channel that began ahead of the others is not named in ids: who is cut before they have come there gets more of it.
    return { ...place, span: { from: Math.min(place.span.from, span.from), to: place.span.to } }
  }

  /** How many of a channel's messages are before so many of all channels. */
  #placeOf({ all }: ChannelMessages, rank: number): number {
    return all.filter((message) => this.#knowledge.rankOf(message) < rank).length
  }

  /** Where the client's id says that a channel is, if it is not known which messages before it were given. */
  #unsureSpan(messages: ChannelMessages): Span | undefined {
    const { unsureFrom, fewest, most, channels } = this.#brought ?? {}
    if (unsureFrom === undefined || fewest === undefined || most === undefined) return undefined
    if (this.#placeOf(messages, unsureFrom) === this.#placeOf(messages, most)) return undefined
    if (channels !== undefined && this.#isSubscribedTo(channels)) return undefined
    return { from: this.#placeOf(messages, fewest), to: this.#placeOf(messages, most) }
  }

  /** Whether these and no others were there when the handler had settled, and nothing was given before. */
  #isSubscribedTo(channels: ReadonlySet<string>): boolean {
    const { subscriptions, settledAt = 0, waits = false } = this.connection
    const areThose = subscriptions.every(
      ({ channel, startedAt, endedAt }) =>
        channels.has(channel) && startedAt <= settledAt && endedAt === undefined
    )
    return waits && areThose && subscriptions.length === channels.size
  }

  #receive(received: Received): void {
    const { event, at, id } = received
    this.#at = at
    this.#isAtRank = false
    for (const [name, check] of this.#checks) {
      check.advanceTo(at)
      check.fallBehind(received.behind?.get(name), at)
    }
    if (event === EVENTS.gap) this.#receiveGap(received)
    else if (event === EVENTS.sent) this.#receiveSent(received)
    else if (event === EVENTS.farewell) this.#receiveFarewell(received)
    else if (event !== undefined && event !== EVENTS.cursor) this.#receiveMessage(received)
    const { client, resumedFrom } = this.connection
    const hasMoved = id !== this.#id
    this.#id = id
    if (hasMoved) this.#idAt = at
    const isTold = hasMoved || event === undefined || event === EVENTS.cursor
    if (isTold) for (const check of this.#checks.values()) check.receiveId(at)
    if (!this.#knowledge.isAskedFor(id)) return
    const standpoint = this.#standpoint(received)
    if (hasMoved) this.#knowledge.note(client, id, standpoint)
    if (id !== resumedFrom) this.#knowledge.ends.set(`${client} ${this.#number}`, { id, standpoint })
  }

  #standpoint({ at }: Received): Standpoint {
    const checks = [...this.#checks].filter(([, check]) => check.isTold(this.#idAt))
    const isKept = this.#idAt < (this.connection.settledAt ?? 0) && !this.#hasForgotten
    const brought = isKept ? [...(this.#brought?.places ?? [])] : []
    const kept = brought
      .filter(([name]) => !this.#checks.get(name)?.isDone(this.#idAt))
      .map(([name, place]) => keptUntil(at, name, place))
    const places = new Map([...kept, ...checks.map(([name, { place }]) => [name, place] as const)])
    const sharedPlaces = new Map(checks.map(([name, { placeOfId }]) => [name, placeOfId]))
    const fewest = this.#rank + 1
    const most = this.#isAtRank ? fewest : this.#knowledge.sentUntil(at)
    const had = this.connection.subscriptions.filter(
      ({ startedAt, endedAt = Infinity }) => startedAt <= this.#idAt && this.#idAt < endedAt
    )
    const channels = new Set(had.map(({ channel }) => channel))
    const { fewest: known, unsureFrom: unsure = Infinity } = this.#brought ?? {}
    if (this.run.isVague) return { at, places, sharedPlaces, fewest, most, unsureFrom: 0 }
    const unsureFrom = isKept && known !== undefined ? Math.min(known, unsure) : undefined
    return { at, places, sharedPlaces, fewest, most, unsureFrom, channels }
  }

  #receiveMessage(received: Received): void {
    const message = this.#find(received)
    if (message === undefined) return
    const [first, ...others] = this.#checksFor(message, received)
    if (first === undefined) {
      this.violate('phantom', `${excerptOf(message)} is of a channel that the client does not have`)
      return
    }
    if (message.isRefused) this.violate('phantom', `${excerptOf(message)} came, although it was refused`)
    const through = [first, ...others.filter((other) => other.fits(message, received))]
    this.#checkOrder(message, through)
    first.receive(message, received)
    this.#received.add(message)
    for (const other of others) {
      if (other.fits(message, received)) other.receive(message, received)
      else other.pass(message, first.endOf(message))
    }
  }

  #find(received: Received): Published | undefined {
    const { event, data, id, published } = received
    const every = this.#knowledge.messagesOf(data)
    const that = every.filter((message) => message.id === published)
    const all = that.length > 0 ? that : every
    // What was lost and published again has come again.
    const isThere = ({ sentAt, lostAt = Infinity }: Published): boolean =>
      sentAt <= received.at && received.at < lostAt
    const candidates = [...all.filter(isThere), ...all.filter((message) => !isThere(message))]
    const found = candidates.find(
      (message) =>
        message.event === event &&
        this.#checksFor(message, received).some((check) => check.fits(message, received))
    )
    const message = found ?? candidates.find((candidate) => candidate.event === event)
    if (message !== undefined) return message
    const isKnown = candidates.length > 0 || this.run.messages.some((published) => published.id === id)
    this.violate(isKnown ? 'payload' : 'phantom', `nobody published ${describe(received)}`)
    return undefined
  }

  /** Those that the message is of, first the one through which it can have come. */
  #checksFor(message: Published, received: Received): ChannelCheck[] {
    const checks = message.channels
      .map((name) => this.#checks.get(name))
      .filter((check) => check !== undefined)
    if (checks.length < 2) return checks
    const rated = checks.map((check) => ({
      check,
      rate: check.fits(message, received) ? 0 : check.isWanted(message) ? 1 : 2
    }))
    return rated.sort((a, b) => a.rate - b.rate).map(({ check }) => check)
  }

  /** What was published first comes first, over all channels; and what was sent before, before. */
  #checkOrder(message: Published, through: readonly ChannelCheck[]): void {
    const next = this.connection.sent[this.#sent]
    if (this.run.isExact && next !== undefined && next.at < message.sentAt) {
      this.violate('order', `${excerptOf(message)} came before ${excerptOf(next)}, which was sent before`)
    }
    if (through.some((check) => check.mayBeOutOfOrder(message))) return
    const rank = this.#knowledge.rankOf(message)
    if (rank < this.#rank) this.violate('order', `${excerptOf(message)} came after what was published later`)
    else {
      this.#rank = rank
      this.#isAtRank = !this.#hasBegunAfter(message)
    }
  }

  /** Whether others of its channels began later, so that its id says that this one is behind them. */
  #hasBegunAfter({ sentAt }: Published): boolean {
    return this.connection.subscriptions.some(
      ({ from, startedAt }) =>
        from !== 'oldest' && from !== 'first' && startedAt > sentAt && startedAt <= this.#at
    )
  }

  #receiveGap(received: Received): void {
    const { channel, reason, hasMore = false } = JSON.parse(received.data)
    if (hasMore) return
    const check = this.#checks.get(channel)
    if (check !== undefined) check.receiveGap(reason, received, this.#takeGap(channel, reason, received.at))
    else if (channel === undefined) this.#receiveGapOfAll(reason, received)
    else this.violate('phantom', `a gap of a channel that the client does not have: ${describe(received)}`)
  }

  /** Nobody knows the id that the client brought: that is told once, also for channels that are subscribed to later. */
  #receiveGapOfAll(reason: string, received: Received): void {
    if (!this.#isUnknown) this.violate('false-gap', `${reason}, but the client's id is known`)
    this.#isUnknown = false
    this.#hasForgotten = true
    this.#rank = -1
    const told = this.#gaps.get(undefined)?.shift()
    for (const check of this.#checks.values()) {
      if (check.place !== 'unknown' || check.forgets(received.at)) continue
      check.receiveGap(reason, received, told)
    }
  }

  /**
   * The server's word on the gap that came now. One that a subscription did not live to tell is told again by the next one,
   * so that they cannot be told apart.
   */
  #takeGap(channel: string, reason: string, at: Moment): GapLog | undefined {
    const gaps = this.#gaps.get(channel) ?? []
    if (!this.#hasBegunAnew(channel)) return gaps.shift()
    return gaps.findLast((gap) => gap.reason === reason && gap.at <= at)
  }

  #receiveSent(received: Received): void {
    const { sent } = this.connection
    const expected = sent[this.#sent]
    if (expected?.data === received.data) {
      this.#sent++
      this.#checkBarrier(expected.at, received, 'order')
      return
    }
    const index = sent.findIndex(({ data }) => data === received.data)
    const kind = index < 0 ? 'payload' : index < this.#sent ? 'duplicate' : 'loss'
    this.violate(kind, `sent message ${this.#sent} did not come, but ${describe(received)}`)
  }

  #receiveFarewell(received: Received): void {
    const { closedAt } = this.connection
    if (closedAt === undefined) return
    this.#checkSent()
    this.#checkBarrier(closedAt, received, 'loss')
  }

  /** Nobody waits for a gap whose messages the application has not given yet, nor for what comes after it. */
  #checkBarrier(at: Moment, received: Received, kind: ViolationKind): void {
    if ([...this.#gaps.keys()].some((name) => this.#isAwaited(name, received.at))) return
    for (const check of this.#checks.values()) check.receiveBarrier(at, received, kind)
  }

  #isAwaited(channel: string | undefined, at: Moment): boolean {
    const gaps = this.#gaps.get(channel) ?? []
    const hasBegunAnew = channel !== undefined && this.#hasBegunAnew(channel)
    return hasBegunAnew ? gaps.some((gap) => gap.at <= at) : gaps.length > 0
  }

  /** Of a channel that was subscribed to again it is not known which of them were told. */
  #untoldGap(channel: string): GapLog | undefined {
    return this.#hasBegunAnew(channel) ? undefined : this.#gaps.get(channel)?.[0]
  }

  #hasBegunAnew(channel: string): boolean {
    return this.connection.subscriptions.filter((subscription) => subscription.channel === channel).length > 1
  }

  #checkSent(): void {
    const missing = this.connection.sent.length - this.#sent
    if (missing > 0) this.violate('loss', `${missing} sent messages did not come`)
  }

  #finish(): void {
    this.#checkSent()
    for (const { channel, endedAt } of this.connection.subscriptions) {
      const gap = this.#untoldGap(channel)
      if (gap !== undefined && endedAt === undefined) this.violate('loss', `a gap of ${channel} was not told`)
    }
  }
}

/** A channel that the handler has not subscribed to yet stays where it was, while others go on. */
function keptUntil(at: Moment, name: string, place: Place | 'unknown'): [string, Place | 'unknown'] {
  return [
    name,
    place === 'unknown' ? place : { ...place, outOfOrderUntil: Math.max(place.outOfOrderUntil, at) }
  ]
}

function describe({ id, event, data }: Received): string {
  return `${event} ${id} ${excerptOf({ data })} (${data.length} characters)`
}
