import { ChannelCheck, type ChannelCheckHost, excerptOf, type Place } from './channel-check.ts'
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
}

/** What the checks of all connections share. */
export interface Knowledge {
  readonly run: RunLog
  readonly channels: ReadonlyMap<string, ChannelMessages>
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
  readonly #gaps: Map<string, GapLog[]>
  readonly #received = new Set<Published>()
  /** Of the block that is looked at. */
  #at: Moment = Infinity
  #sent = 0
  /** Whether nobody knows the id that the client brought, and it was not told so for all channels. */
  #isUnknown: boolean
  #id: string
  /** Of the newest message that came in order, and whether it was the last block. */
  #rank = -1
  #isAtRank = false

  constructor(knowledge: Knowledge, connection: ConnectionLog, number: number) {
    this.run = knowledge.run
    this.connection = connection
    this.#knowledge = knowledge
    this.#number = number
    this.#id = connection.resumedFrom ?? ''
    this.#rank = (this.#brought?.fewest ?? 0) - 1
    this.#isUnknown = (connection.resumedFrom ?? '') !== '' && this.#brought === undefined
    this.#checks = this.#checksOf(connection)
    this.#gaps = groupBy(connection.gaps ?? [], ({ channel }) => channel)
  }

  check(): readonly Violation[] {
    if (this.connection.refusal !== undefined) this.violate('syntax', this.connection.refusal)
    for (const received of this.connection.received) this.#receive(received)
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

  #checksOf({ subscriptions, received }: ConnectionLog): ReadonlyMap<string, ChannelCheck> {
    const [first] = received
    const checks = new Map<string, ChannelCheck>()
    for (const [name, own] of groupBy(subscriptions, ({ channel }) => channel)) {
      const messages = this.#knowledge.channels.get(name)
      const [subscription] = own
      if (messages === undefined || subscription === undefined)
        throw new Error(`no log of the channel ${name}`)
      const hasJoined = first !== undefined && first.at < subscription.startedAt
      checks.set(
        name,
        new ChannelCheck(this, messages, own, this.#broughtPlace(messages, subscription), hasJoined)
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

  #broughtPlace(messages: ChannelMessages, { resumes }: SubscriptionLog): Place | 'unknown' | undefined {
    if (!resumes || (this.connection.resumedFrom ?? '') === '') return undefined
    const standpoint = this.#brought
    if (standpoint === undefined) return 'unknown'
    const { places, fewest, most, at } = standpoint
    const placeOf = (rank: number): number =>
      messages.all.filter((message) => this.#knowledge.rankOf(message) < rank).length
    const span = { from: placeOf(fewest), to: placeOf(most) }
    const place = places.get(messages.log.name)
    if (place === undefined)
      return { span, last: undefined, since: at, placedAt: at, outOfOrderUntil: -Infinity }
    if (place === 'unknown' || this.run.notYet.has('A2')) return place
    // A channel that began ahead of the others is not named in ids: who is cut before they have come there gets more of it.
    return { ...place, span: { from: Math.min(place.span.from, span.from), to: place.span.to } }
  }

  #receive(received: Received): void {
    const { event, at, id } = received
    this.#at = at
    this.#isAtRank = false
    for (const check of this.#checks.values()) check.advanceTo(at)
    if (event === EVENTS.gap) this.#receiveGap(received)
    else if (event === EVENTS.sent) this.#receiveSent(received)
    else if (event === EVENTS.farewell) this.#receiveFarewell(received)
    else if (event !== undefined && event !== EVENTS.cursor) this.#receiveMessage(received)
    const { client, resumedFrom } = this.connection
    const hasMoved = id !== this.#id
    this.#id = id
    if (hasMoved) for (const check of this.#checks.values()) check.receiveId(at)
    if (!this.#knowledge.isAskedFor(id)) return
    const standpoint = this.#standpoint(received)
    if (hasMoved) this.#knowledge.note(client, id, standpoint)
    if (id !== resumedFrom) this.#knowledge.ends.set(`${client} ${this.#number}`, { id, standpoint })
  }

  #standpoint({ at }: Received): Standpoint {
    const checks = [...this.#checks].filter(([, check]) => check.isTold(at))
    const kept = at < (this.connection.settledAt ?? 0) ? [...(this.#brought?.places ?? [])] : []
    const places = new Map([...kept, ...checks.map(([name, { place }]) => [name, place] as const)])
    const sharedPlaces = new Map(checks.map(([name, { placeOfId }]) => [name, placeOfId]))
    const fewest = this.#rank + 1
    return { at, places, sharedPlaces, fewest, most: this.#isAtRank ? fewest : this.#knowledge.sentUntil(at) }
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
    this.#checkOrder(message, first)
    first.receive(message, received)
    this.#received.add(message)
    for (const other of others) {
      if (other.fits(message, received)) other.receive(message, received)
      else other.pass(message)
    }
  }

  #find(received: Received): Published | undefined {
    const { event, data, id } = received
    const candidates = this.#knowledge.messagesOf(data)
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
  #checkOrder(message: Published, check: ChannelCheck): void {
    const next = this.connection.sent[this.#sent]
    if (this.run.isExact && !this.run.isLate && next !== undefined && next.at < message.sentAt) {
      this.violate('order', `${excerptOf(message)} came before ${excerptOf(next)}, which was sent before`)
    }
    if (check.mayBeOutOfOrder(message) || !this.#isOrdered) return
    const rank = this.#knowledge.rankOf(message)
    this.#isAtRank = rank >= this.#rank
    if (this.#isAtRank) this.#rank = rank
    else this.violate('order', `${excerptOf(message)} came after what was published later`)
  }

  /** With a store that is late, or another process's, each channel was in its own order only. */
  get #isOrdered(): boolean {
    return !this.run.notYet.has('A2') || (this.run.isExact && !this.run.isLate)
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
    for (const check of this.#checks.values()) {
      if (check.place === 'unknown') check.receiveGap(reason, received, undefined)
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

  /** Nobody waits for a gap whose messages the application has not given yet. */
  #checkBarrier(at: Moment, received: Received, kind: ViolationKind): void {
    for (const [name, check] of this.#checks) {
      const gaps = this.#gaps.get(name) ?? []
      const isAwaited = this.#hasBegunAnew(name) ? gaps.some((gap) => gap.at <= received.at) : gaps.length > 0
      if (!isAwaited) check.receiveBarrier(at, received, kind)
    }
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

function describe({ id, event, data }: Received): string {
  return `${event} ${id} ${excerptOf({ data })} (${data.length} characters)`
}
