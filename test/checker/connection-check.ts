import type { ChannelPlaces } from './channel-places.ts'
import { cursorFor, readId } from './received-id.ts'
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
import { SubscriptionCheck, type SubscriptionCheckHost } from './subscription-check.ts'
import type { Violation, ViolationKind } from './violation.ts'

interface Found {
  readonly subscription: SubscriptionCheck
  readonly place: number
  readonly message: Published
}

/** Events that are told by the library itself. */
const NO_MESSAGES: readonly string[] = [EVENTS.cursor, EVENTS.farewell]

/** One connection's stream, block by block. */
export class ConnectionCheck implements SubscriptionCheckHost {
  readonly run: RunLog
  readonly connection: ConnectionLog
  readonly violations: Violation[] = []
  readonly #number: number
  readonly #places: ReadonlyMap<string, ChannelPlaces>
  readonly #subscriptions = new Map<string, SubscriptionCheck>()
  readonly #gaps = new Map<string, GapLog[]>()
  #id: string
  #sent = 0
  /** The moment of the latest call whose outcome has come. */
  #moment: Moment = 0
  /** The same when a gap was told, by channel: what waited for it may come later than its call. */
  readonly #floors = new Map<string, Moment>()

  constructor(
    run: RunLog,
    connection: ConnectionLog,
    number: number,
    places: ReadonlyMap<string, ChannelPlaces>
  ) {
    this.run = run
    this.connection = connection
    this.#number = number
    this.#id = connection.resumedFrom ?? ''
    this.#places = places
    for (const log of connection.subscriptions) {
      const channel = places.get(log.channel)
      if (channel === undefined) throw new Error(`no log of the channel ${log.channel}`)
      this.#subscriptions.set(log.channel, new SubscriptionCheck(this, channel, log))
    }
    for (const gap of connection.gaps) {
      this.#gaps.set(gap.channel, [...(this.#gaps.get(gap.channel) ?? []), gap])
    }
  }

  isAnothers(
    cursor: string,
    name: string,
    at: Moment,
    subscriptions = this.connection.subscriptions
  ): boolean {
    return subscriptions.some(({ channel }) => {
      const places = channel === name ? undefined : this.#places.get(channel)
      const known = places?.of(cursor)
      return known !== undefined && known.epoch === places?.epochAt(at)
    })
  }

  check(): readonly Violation[] {
    if (this.connection.refusal !== undefined) this.violate('syntax', this.connection.refusal)
    for (const received of this.connection.received) this.#receive(received)
    for (const subscription of this.#subscriptions.values()) {
      subscription.finish(this.#untoldGap(subscription.log) !== undefined)
    }
    if (this.connection.hasCaughtUp) this.#finish()
    return this.violations
  }

  violate(kind: ViolationKind, text: string): void {
    this.violations.push({ kind, text: `${this.connection.client}, connection ${this.#number}: ${text}` })
  }

  #receive(received: Received): void {
    const { event } = received
    if (event === EVENTS.gap) this.#receiveGap(received)
    else if (event === EVENTS.sent) this.#receiveSent(received)
    else if (event !== undefined && !NO_MESSAGES.includes(event)) this.#receiveMessage(received)
    else this.#receiveRest(received)
    this.#id = received.id
  }

  /** A place by itself, or the farewell. */
  #receiveRest(received: Received): void {
    this.#checkClaims(received, undefined)
    const { closedAt } = this.connection
    if (received.event !== EVENTS.farewell || closedAt === undefined) return
    this.#checkSent()
    for (const subscription of this.#subscriptions.values()) {
      if (this.#untoldGap(subscription.log) === undefined) subscription.receiveFarewell(closedAt, received)
    }
  }

  #receiveMessage(received: Received): void {
    const { id, event, data } = received
    const candidates = this.#messagesOf(id)
    const found = candidates.find(({ message }) => message.event === event && message.data === data)
    if (found === undefined) {
      const kind = candidates.length > 0 ? 'payload' : 'phantom'
      this.violate(kind, `nobody published ${excerpt(received)}`)
      return
    }
    const { subscription, place, message } = found
    subscription.receive(place, message, received)
    this.#checkOrder(
      subscription.log.starts.map((start) => Math.max(start, message.sentAt)),
      Math.max(this.#floors.get(subscription.log.channel) ?? Infinity, message.sentAt),
      received
    )
    this.#checkClaims(received, subscription)
  }

  /** The messages that an id could be that of. */
  #messagesOf(id: string): Found[] {
    const found: Found[] = []
    for (const subscription of this.#subscriptions.values()) {
      const cursor = cursorFor(subscription.log.channel, id)
      const place = cursor === undefined ? undefined : subscription.places.of(cursor)?.place
      const message = place === undefined ? undefined : subscription.places.log.messages[place - 1]
      if (place !== undefined && message?.cursor === cursor && message !== undefined) {
        found.push({ subscription, place, message })
      }
    }
    return found
  }

  #receiveGap(received: Received): void {
    const { channel, reason, hasMore } = readGap(received.data)
    if (hasMore) return
    const subscription = this.#subscriptions.get(channel)
    const cursor = cursorFor(channel, received.id)
    if (subscription === undefined || cursor === undefined) {
      this.violate('phantom', `a gap of a channel that the client does not have: ${excerpt(received)}`)
      return
    }
    subscription.receiveGap(reason, cursor, received, this.#takeGap(subscription.log, reason, received.at))
    this.#floors.set(channel, this.#moment)
    this.#checkClaims(received, subscription)
  }

  /**
   * The server's word on the gap that came now. One that the subscription did not live to tell is told again by the next
   * one, so that they cannot be told apart.
   */
  #takeGap({ channel, starts }: SubscriptionLog, reason: string, at: Moment): GapLog | undefined {
    const gaps = this.#gaps.get(channel) ?? []
    if (starts.length === 1) return gaps.shift()
    return gaps.findLast((gap) => gap.reason === reason && gap.at <= at)
  }

  #receiveSent(received: Received): void {
    const sent = this.connection.sent[this.#sent]
    if (sent?.data === received.data) {
      this.#sent++
      this.#checkOrder([sent.at], Infinity, received)
      return
    }
    const index = this.connection.sent.findIndex(({ data }) => data === received.data)
    const kind = index < 0 ? 'payload' : index < this.#sent ? 'duplicate' : 'loss'
    this.violate(kind, `sent message ${this.#sent} did not come, but ${excerpt(received)}`)
  }

  /** Of a subscription that began anew it is not known which of them were told. */
  #untoldGap({ channel, starts }: SubscriptionLog): GapLog | undefined {
    return starts.length === 1 ? this.#gaps.get(channel)?.[0] : undefined
  }

  /** What was called first comes first. */
  #checkOrder(moments: readonly Moment[], afterGap: Moment, received: Received): void {
    if (!this.run.isExact || this.run.isLate) return
    const next = Math.min(...[...moments, afterGap].filter((moment) => moment >= this.#moment))
    if (next !== Infinity) this.#moment = next
    else this.violate('order', `${excerpt(received)} came after what was called later`)
  }

  /** @param except whose place in the id is known. */
  #checkClaims(received: Received, except: SubscriptionCheck | undefined): void {
    const { id } = received
    if (id === this.#id) return
    const read = readId(id)
    if ('bare' in read) {
      if (except === undefined) this.#checkBareClaim(read.bare, received)
      return
    }
    for (const [channel, cursor] of read.byChannel) {
      const subscription = this.#subscriptions.get(channel)
      if (subscription === undefined) this.violate('phantom', `the id has a channel ${channel}`)
      else if (subscription !== except) subscription.claim(cursor, received)
    }
  }

  #checkBareClaim(cursor: string, received: Received): void {
    const owners = [...this.#subscriptions.values()].filter(({ places }) => places.of(cursor) !== undefined)
    if (owners.length === 0) this.violate('phantom', `the id ${cursor} is none of any channel`)
    if (owners.length === 1) owners[0]?.claim(cursor, received)
  }

  #checkSent(): void {
    const missing = this.connection.sent.length - this.#sent
    if (missing > 0) this.violate('loss', `${missing} sent messages did not come`)
  }

  #finish(): void {
    this.#checkSent()
    for (const { log } of this.#subscriptions.values()) {
      const gap = this.#untoldGap(log)
      if (gap !== undefined && log.endedAt === undefined)
        this.violate('loss', `the gap ${JSON.stringify(gap)} was not told`)
    }
  }
}

function readGap(data: string): { channel: string; reason: string; hasMore: boolean } {
  const { channel, reason, hasMore = false } = JSON.parse(data)
  return { channel, reason, hasMore }
}

function excerpt({ id, event, data }: Received): string {
  return `${JSON.stringify({ id, event, data: data.slice(0, 40) })} (${data.length} characters)`
}
