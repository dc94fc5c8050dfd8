import { type ChannelMessages, selects } from './channel-messages.ts'
import type {
  ConnectionLog,
  GapLog,
  Moment,
  Published,
  Received,
  RunLog,
  SubscriptionLog
} from './run-log.ts'
import type { ViolationKind } from './violation.ts'

/** Where somebody stands: all before `from` is settled, all from `to` on is owed, and what lies between may come. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** A place in a channel that a client can come back to. */
export interface Place {
  readonly span: Span
  /** The message that came last. */
  readonly last: Published | undefined
  readonly since: Moment
  /** When something of the channel itself last told the client where it is. */
  readonly placedAt: Moment
  /** What was sent until then is still caught up with, and may come after newer messages of other channels. */
  readonly outOfOrderUntil: Moment
}

/** How long after that a server may still take a store for the one that it knew, and give its places to who comes. */
const FOUND_OUT_MS = 10_000

type Block = Pick<Received, 'at' | 'start'>

export interface ChannelCheckHost {
  readonly run: RunLog
  readonly connection: ConnectionLog
  violate(kind: ViolationKind, text: string): void
  /** Whether the message has come on this connection, through whatever channel. */
  hasReceived(message: Published): boolean
}

/** Of a place that was told to two: what either had not been given then is owed to who comes back to it. */
export function commonPlace(one: Place | 'unknown', other: Place | 'unknown'): Place | 'unknown' {
  if (one === 'unknown') return other
  if (other === 'unknown') return one
  const to = Math.min(one.span.to, other.span.to)
  const newest = one.span.from > other.span.from ? one : other
  return { ...newest, span: { from: Math.min(newest.span.from, to), to } }
}

/** One channel on one connection: each of its messages has been received, may have been passed over, or is lost. */
export class ChannelCheck {
  readonly messages: ChannelMessages
  readonly #host: ChannelCheckHost
  readonly #subscriptions: readonly SubscriptionLog[]
  /** How many of them had begun when the last block was written. */
  #begun = 1
  /** `undefined`: the client brought a place that nobody knows, and was not told yet. */
  #span: Span | undefined
  #last: Published | undefined
  /** When the client was last told an id, and so perhaps another place. */
  #toldAt: Moment
  /** When something of this channel itself last said where the client is. */
  #placedAt: Moment
  #isResumed: boolean
  /** Whether the client said where it is, and somebody knows that place. */
  #hasPlace: boolean
  /** Where the client's id says that it is, if it is not known what was given before. */
  readonly #unsure: Span | undefined
  #isFresh = true
  /** Whether nothing has come yet, not even an id. */
  #isUntold = true
  /** Whether nothing came since a gap was told. */
  #isAfterGap = false
  /** Whether the block that is looked at is a message of this channel. */
  #isAtMessage = false
  /** Whether the block that is looked at is of other channels alone. */
  #isPassed = false
  /** What was sent until then may come after newer messages of other channels. */
  #outOfOrderUntil: Moment = -Infinity
  readonly #received = new Set<number>()
  /** What came through other channels, and when those were left: of them nobody remembers what came. */
  readonly #passed = new Map<number, Moment>()

  /**
   * @param place where the client said it is; `'unknown'` if nobody was ever told so, `undefined` if it said nothing.
   * @param isBehind whether the stream had begun before, or goes on where the client said it is, but this channel does not.
   */
  constructor(
    host: ChannelCheckHost,
    messages: ChannelMessages,
    subscriptions: readonly SubscriptionLog[],
    place: Place | 'unknown' | undefined,
    isBehind: boolean,
    unsure?: Span
  ) {
    this.#host = host
    this.messages = messages
    this.#subscriptions = subscriptions
    this.#isResumed = place !== undefined
    this.#hasPlace = typeof place === 'object'
    this.#unsure = unsure
    this.#toldAt = typeof place === 'object' ? place.since : this.#start
    this.#placedAt = typeof place === 'object' ? place.placedAt : this.#start
    this.#span = this.#startSpan(place)
    this.#last = typeof place === 'object' ? place.last : undefined
    if (typeof place === 'object') this.#outOfOrderUntil = place.outOfOrderUntil
    if (isBehind) this.#outOfOrderUntil = this.#start
  }

  /** Where the client stands: after what it was given, and what it is not to be given. */
  get place(): Place | 'unknown' {
    return this.#placeBefore((message) => this.isWanted(message) && !this.#hasCome(message))
  }

  #placeBefore(isOwed: (message: Published, index: number) => boolean): Place | 'unknown' {
    if (this.#span === undefined) return 'unknown'
    const { from } = this.#span
    let { to } = this.#span
    for (; to < this.messages.sentUntil(this.#toldAt); to++) {
      const message = this.messages.all[to]
      if (message === undefined || !isKept(message)) continue
      if (isOwed(message, to) && !this.#received.has(to)) break
    }
    return {
      span: { from, to },
      last: this.#last,
      since: this.#toldAt,
      placedAt: this.#placedAt,
      outOfOrderUntil: this.#outOfOrderUntil
    }
  }

  /** Whether an id that was written then tells of this channel: not before it was joined, nor when it is done with. */
  isTold(at: Moment): boolean {
    return (this.#hasPlace || this.#start <= at) && !this.isDone(at)
  }

  /** Whether it was left by then, and all that came before has been given. */
  isDone(at: Moment): boolean {
    const { endedAt = Infinity } = this.#current
    return (
      endedAt <= at && this.#firstMissing(this.messages.sentUntil(endedAt), { at, start: 0 }) === undefined
    )
  }

  /** Where the id may be that the client was told now, for those who have another filter. */
  get placeOfId(): Place | 'unknown' {
    const by = { at: this.#toldAt, start: Infinity }
    const place = this.#placeBefore(
      (message, index) => this.#coverOf(message) !== undefined && !this.#isOutdated(message, index, by)
    )
    if (place === 'unknown' || this.#current.filter === undefined || this.#isAtMessage) return place
    const { from, to } = place.span
    return { ...place, span: { from, to: Math.max(to, this.messages.sentUntil(this.#toldAt)) } }
  }

  /** Subscriptions that had begun when something was written count from then on. */
  advanceTo(at: Moment): void {
    this.#isAtMessage = false
    for (;;) {
      const next = this.#subscriptions[this.#begun]
      if (next === undefined || next.startedAt > at) return
      this.#begun++
      if (next.from === 'end') this.#outOfOrderUntil = next.startedAt
      if (next.from === 'oldest') this.#restart(next.startedAt)
      this.#forgetPassed(next.startedAt)
    }
  }

  /** @param isPassed whether the block that comes is of others alone, since this channel has not caught up with them. */
  fallBehind(isPassed: boolean | undefined, at: Moment): void {
    this.#isPassed = isPassed === true
    if (isPassed !== undefined) this.#outOfOrderUntil = Math.max(this.#outOfOrderUntil, at)
  }

  /** When the subscription ends that a message is of. */
  endOf(message: Published): Moment {
    return this.#coverOf(message)?.endedAt ?? Infinity
  }

  /** Whether the message may come now, with nothing missing before it. */
  fits(message: Published, by: Block): boolean {
    const index = this.messages.indexOf(message)
    if (this.#isPassed || this.#span === undefined || index < this.#span.from || !this.isWanted(message))
      return false
    if (by.at < this.#start || this.#received.has(index) || this.#isReplaced(index)) return false
    if (this.#isBeyondLoss(message, by.at)) return false
    return this.#firstMissing(index, by) === undefined
  }

  isWanted(message: Published): boolean {
    const subscription = this.#coverOf(message)
    return subscription !== undefined && selects(subscription, message)
  }

  /** Whether a message may come after newer ones of other channels. */
  mayBeOutOfOrder({ sentAt }: Published): boolean {
    return sentAt <= this.#outOfOrderUntil
  }

  receive(message: Published, received: Received): void {
    const index = this.messages.indexOf(message)
    const name = excerptOf(message)
    const { closedAt = Infinity } = this.#host.connection
    if (message.sentAt > closedAt) this.#violate('phantom', `${name} came after close()`)
    if (received.at < this.#start || this.#coverOf(message) === undefined)
      this.#violate('phantom', `${name} came, but was not subscribed to`)
    else if (!this.isWanted(message)) this.#violate('phantom', `${name} came in spite of the filter`)
    if (this.#isReplaced(index)) this.#violate('phantom', `${name} came in spite of a newer one`)
    if (this.#wasGone(message, received.at)) this.#violate('phantom', `${name} came, but was not kept`)
    if (this.#isBeyondLoss(message, received.at)) {
      this.#violate('loss', `the place was lost, but it went on with ${name} without a gap`)
    }
    if (this.#received.has(index) || (this.#span !== undefined && index < this.#span.from)) {
      const kind = this.#received.has(index) ? 'duplicate' : 'order'
      this.#violate(kind, `${name} came after message ${this.#span?.from}`)
      return
    }
    // What came may have been kept by another channel alone.
    const isShared = message.channels.length > 1
    const oldest = isShared && this.#isAtOldest ? this.#firstKept(index + 1, received.at) : 0
    const owedFrom = Math.max(this.#span?.to ?? 0, oldest)
    this.#moveTo(index, received, 'loss')
    this.#isFresh &&= isShared
    this.#isUntold = false
    this.#isAfterGap = false
    this.#isAtMessage = true
    this.#received.add(index)
    this.#last = message
    this.#toldAt = received.at
    this.#placedAt = received.at
    const to = isShared ? Math.max(index + 1, owedFrom) : index + 1
    this.#span = { from: index + 1, to }
  }

  /** The message came through another channel, although something is still to come here before it. */
  pass(message: Published, leftAt: Moment): void {
    if (leftAt <= this.#start) return
    this.#passed.set(this.messages.indexOf(message), leftAt)
    this.#received.add(this.messages.indexOf(message))
  }

  /** The client was told an id: who is new starts with what was the oldest message then. */
  receiveId(at: Moment): void {
    if (at < this.#start) return
    if (this.#isAtOldest && this.#span !== undefined) {
      const { from, to } = this.#span
      this.#span = { from, to: Math.max(to, this.#firstKept(from, at)) }
    }
    this.#isUntold = false
    this.#toldAt = at
  }

  /** The client was told before that nobody knows its id: it is a new one. @returns whether that was before it began. */
  forgets(at: Moment): boolean {
    if (at >= this.#start) return false
    this.#isResumed = false
    this.#hasPlace = false
    this.#last = undefined
    this.#toldAt = this.#start
    this.#placedAt = this.#start
    this.#span = this.#startSpan(undefined)
    return true
  }

  /** @param told what the server says of the gap; `undefined` if it says nothing. */
  receiveGap(reason: string, received: Received, told: GapLog | undefined): void {
    const { gaps } = this.#host.connection
    if (gaps !== undefined && told?.reason !== reason) {
      this.#violate('false-gap', `the client was told ${reason}, the server says ${told?.reason}`)
    }
    const metAt = told?.at ?? (gaps === undefined ? received.at : Infinity)
    const { isShared = false } = this.#host.run
    const mayBeLost = this.#mayBeLost(metAt) || this.#mayBeForked(metAt)
    const isLost = this.#span === undefined || ((reason === 'unknown' || isShared) && mayBeLost)
    if (reason === 'uncertain') this.#checkUnsure(metAt)
    else if (!isLost) this.#checkLoss(reason, { at: metAt, start: received.start })
    else if (reason !== 'unknown' && (!isShared || this.#span === undefined))
      this.#violate('wrong-gap', `${reason}, but the place is unknown`)
    const isUnknown = this.#span === undefined
    this.#span = this.#spanAfterGap(
      reason === 'uncertain' ? this.#unsure : undefined,
      isLost,
      metAt,
      received.at
    )
    if (isLost && !isUnknown) this.#outOfOrderUntil = received.at
    // A new one, to whom a gap gives nothing yet.
    if (isUnknown) this.#isResumed = false
    this.#isFresh = false
    this.#isUntold = isUnknown
    this.#isAfterGap = true
    this.#last = undefined
    this.#toldAt = received.at
    this.#placedAt = received.at
    this.#received.clear()
    for (const index of this.#passed.keys()) this.#received.add(index)
  }

  /** All that was sent by then is before this block, if it can be known. */
  receiveBarrier(at: Moment, received: Received, kind: ViolationKind): void {
    const { startedAt, endedAt = Infinity } = this.#current
    if (!this.#host.run.isExact || startedAt > at) return
    this.#moveTo(this.messages.sentUntil(Math.min(at, endedAt)), received, kind)
  }

  /** @param hasUntoldGap whether the server met a gap that it has not told. */
  finish(hasUntoldGap: boolean): void {
    const { hasCaughtUp, stood } = this.#host.connection
    if (!hasCaughtUp) return
    this.advanceTo(Infinity)
    const end = { at: Infinity, start: stood.at(-1)?.bytes ?? Infinity }
    const { endedAt } = this.#current
    if (endedAt === undefined) {
      if (this.#isPlaceLost(Infinity)) this.#violate('loss', 'the place was lost, and no gap was told')
      this.#moveTo(this.messages.length, end, 'loss')
    }
    // An application that unsubscribes while `onGap` is asked leaves on purpose: its client is not told that gap.
    else if (!hasUntoldGap) this.#moveTo(this.messages.sentUntil(endedAt), end, 'loss')
  }

  get #first(): SubscriptionLog {
    const [first] = this.#subscriptions
    if (first === undefined) throw new Error('a channel without a subscription')
    return first
  }

  get #current(): SubscriptionLog {
    return this.#subscriptions[this.#begun - 1] ?? this.#first
  }

  get #start(): Moment {
    return this.#first.startedAt
  }

  /** Whether it starts with what is the oldest message when something is first written. */
  get #isAtOldest(): boolean {
    const begun = this.#subscriptions.slice(this.#isResumed ? 1 : 0, this.#begun)
    return this.#isUntold && begun.some(({ from }) => from === 'oldest')
  }

  /** Whether it is known when each gap was met: not of a channel that was subscribed to again before it could tell. */
  get #isExact(): boolean {
    return this.#host.run.isExact && this.#subscriptions.length === 1
  }

  /** The subscription that a message is of: the newest one that covers it. */
  #coverOf({ sentAt }: Published): SubscriptionLog | undefined {
    for (let i = this.#begun - 1; i >= 0; i--) {
      const subscription = this.#subscriptions[i] ?? this.#first
      const { startedAt, from, endedAt = Infinity } = subscription
      if (sentAt > endedAt) continue
      if (i === 0 || sentAt > startedAt || from === 'oldest') return subscription
      if (from === 'end' && sentAt > (this.#subscriptions[i - 1]?.endedAt ?? 0)) return subscription
    }
    return undefined
  }

  #startSpan(place: Place | 'unknown' | undefined): Span | undefined {
    if (place === 'unknown') return undefined
    if (place !== undefined) return this.#isForgotten(place) ? undefined : this.#withoutEarly(place.span)
    return this.#withoutEarly(this.#ownSpan(this.#first))
  }

  /** Where a client begins that brought nothing. */
  #ownSpan({ from, startedAt }: SubscriptionLog): Span {
    if (from === 'oldest') return this.#oldestSpan(startedAt)
    if (from === 'now' || from === 'end') return this.#liveSpan(startedAt)
    const { from: oldest, to: kept } = this.#oldestSpan(startedAt)
    if (from === 'first') return { from: oldest, to: oldest }
    if (!this.#host.run.isExact) return this.#liveSpan(startedAt)
    let place = this.messages.sentUntil(startedAt)
    for (let left = from.last; left > 0 && place > oldest; place--) {
      const message = this.messages.all[place - 1]
      if (message !== undefined && isKept(message)) left--
    }
    return { from: place, to: Math.max(place, kept) }
  }

  /** What came too early for the client is nothing that it can lack. */
  #withoutEarly(span: Span): Span {
    const { isTooEarly } = this.#first
    if (isTooEarly === undefined) return span
    const first = this.messages.all.findIndex((message) => !isTooEarly(message))
    const place = first < 0 ? this.messages.length : first
    return { from: Math.max(span.from, place), to: Math.max(span.to, place) }
  }

  #isForgotten({ since }: Place): boolean {
    const { forgottenAt } = this.messages.log
    return this.#host.run.isExact && forgottenAt.some((at) => since < at && at <= this.#start)
  }

  #liveSpan(startedAt: Moment): Span {
    const { run, connection } = this.#host
    if (run.isExact) {
      const to = this.messages.sentUntil(startedAt)
      return { from: to, to }
    }
    // What was acknowledged before may still be on its way to the node that the client has come to.
    return { from: 0, to: this.messages.sentUntil(connection.openedAt ?? Infinity) }
  }

  #oldestSpan(at: Moment): Span {
    const from = this.messages.all.findIndex(({ lostAt = Infinity }) => lostAt > at)
    const to = this.#firstKept(Math.max(from, 0), at)
    return { from: from < 0 ? this.messages.length : from, to }
  }

  #forgetPassed(at: Moment): void {
    for (const [index, leftAt] of this.#passed) {
      if (leftAt > at) continue
      this.#passed.delete(index)
      this.#received.delete(index)
    }
  }

  #restart(at: Moment): void {
    // What nobody knows is still to be told.
    if (this.#span !== undefined) this.#span = this.#withoutEarly(this.#oldestSpan(at))
    this.#outOfOrderUntil = at
    this.#isUntold = true
    this.#received.clear()
    this.#last = undefined
  }

  /** The first place from which on nothing may be gone. */
  #firstKept(from: number, at: Moment): number {
    let place = this.messages.sentUntil(at)
    while (place > from && !this.#mayBeGone(place - 1, at)) place--
    return place
  }

  /** All that is before `place` and did not come must have been passed over. */
  #moveTo(place: number, by: Block, kind: ViolationKind): void {
    const missing = this.#span === undefined ? undefined : this.#firstMissing(place, by)
    if (this.#span === undefined) {
      this.#violate('loss', `no gap was told to a client with the id ${this.#host.connection.resumedFrom}`)
    } else if (missing !== undefined) {
      this.#violate(kind, `${excerptOf(missing)} did not come, and no gap was told`)
    }
    this.#span = { from: this.#span?.from ?? 0, to: Math.max(place, this.#span?.to ?? 0) }
  }

  #firstMissing(place: number, by: Block): Published | undefined {
    for (let index = this.#span?.to ?? 0; index < place; index++) {
      const message = this.messages.all[index]
      if (message === undefined || this.#received.has(index) || this.#isExcused(message, index, by)) continue
      if (!this.#isAtOldest || !this.#mayBeGone(index, by.at)) return message
    }
    return undefined
  }

  #isExcused(message: Published, index: number, by: Block): boolean {
    if (!this.isWanted(message) || mayBeLost(message, by.at)) return true
    if (!isKept(message) && !(this.#host.run.retention.keepsUnoffered && this.#keptUp(message.sentAt, by)))
      return true
    return this.#hasCome(message) || this.#isOutdated(message, index, by)
  }

  /** Whether it need not come again, since another of its channels may have given it. */
  #hasCome(message: Published): boolean {
    return message.channels.length > 1 && this.#host.hasReceived(message)
  }

  /** Whether a newer message may have been given instead. */
  #isOutdated(message: Published, index: number, by: Block): boolean {
    if (this.messages.log.slow !== 'latest' || this.#keptUp(message.sentAt, by)) return false
    return this.messages.isSuperseded(index, by.at, (newer) => this.isWanted(newer))
  }

  /** Who is behind from the start is given by `latest` no message that was not the newest of its key when it came. */
  #isReplaced(index: number): boolean {
    const isBehind = this.#isResumed || this.#first.from !== 'now'
    if (!this.#isExact || !isBehind || this.messages.log.slow !== 'latest') return false
    return this.messages.isSuperseded(index, this.#start, (newer) => this.isWanted(newer))
  }

  /** Whether it stood at the head before `since`, and neither had to wait nor began anew from there until the block. */
  #keptUp(since: Moment, { at, start }: Block): boolean {
    const { stood, refused } = this.#host.connection
    const head = stood.findLast((standing) => standing.at <= since)
    if (head === undefined || head.at < this.#start) return false
    if (this.#subscriptions.some(({ startedAt }) => startedAt > head.at && startedAt <= at)) return false
    return !refused.some((bytes) => bytes > head.bytes && bytes <= start)
  }

  #isPlaceLost(at: Moment): boolean {
    return this.#last !== undefined && isLost(this.#last, at)
  }

  /** Whether a gap is due before it: where the client is was lost, and the message was not lost with that. */
  #isBeyondLoss(message: Published, at: Moment): boolean {
    const { lostAt = 0 } = this.#last ?? {}
    return this.#isPlaceLost(at) && message.sentAt > lostAt && message.lostAt !== lostAt
  }

  /** Whether the place of which the client was told last may be one that the store has lost. */
  #mayBeLost(at: Moment): boolean {
    const since = this.#last?.sentAt ?? -Infinity
    const until = this.#host.run.isShared ? Infinity : this.#toldAt
    const mayHaveBeenTold = ({ sentAt }: Published): boolean => sentAt >= since && sentAt <= until
    const { forgottenAt } = this.messages.log
    const isForgotten = forgottenAt.some((moment) => moment <= at && moment >= this.#placedAt)
    return (
      isForgotten || this.messages.all.some((message) => mayBeLost(message, at) && mayHaveBeenTold(message))
    )
  }

  #mayBeForked(at: Moment): boolean {
    const { forks = [] } = this.#host.run
    return forks.some(({ since, until }) =>
      this.messages.all.some(
        ({ sentAt, acknowledgedAt = sentAt }, index) =>
          acknowledgedAt >= since && sentAt <= Math.min(until, at) && !this.#received.has(index)
      )
    )
  }

  /** It is told first, or when what the client stood at may have been lost. */
  #checkUnsure(metAt: Moment): void {
    const { forks = [] } = this.#host.run
    if (forks.some(({ since, until }) => since <= metAt && this.#start <= until + FOUND_OUT_MS)) return
    if (this.#unsure === undefined || !this.#isFresh || !this.#isResumed) {
      this.#violate('false-gap', 'uncertain, but it is known what was given')
    }
  }

  #checkLoss(reason: string, by: Block): void {
    const place = this.#span?.from ?? 0
    const gone = this.#nextGone(place, by.at)
    const isGone = gone !== undefined
    // Of a place that another process's store has dropped it is not known whether it was lost before.
    if (reason === 'unknown' && (this.#host.run.isExact || !isGone)) {
      this.#violate('wrong-gap', `${reason} was told of a place of the channel`)
    }
    if (!isGone) {
      this.#violate('false-gap', `${reason}, but message ${place} was kept`)
    } else if (this.#keepsUnoffered(gone, by.at) && this.#keptUp(by.at, by)) {
      this.#violate('false-gap', `${reason} was told to a reader that kept up`)
    }
    if (reason === 'slow' && this.messages.log.slow === 'disconnect') {
      this.#violate('wrong-gap', 'slow was told to a reader that is to be destroyed')
    }
    if (reason === 'expired') this.#checkExpired(place, by.at)
  }

  /** What is lost with its place, or was not to be kept, is no gap to who had not seen it. */
  #nextGone(place: number, at: Moment): number | undefined {
    const mayBePassed = (message: Published | undefined): boolean =>
      message !== undefined && (!isKept(message) || mayBeLost(message, at))
    let next = place
    while (!this.#mayBeDropped(next, at) && mayBePassed(this.messages.all[next])) next++
    return this.#mayBeDropped(next, at) ? next : undefined
  }

  /** Whether no limit takes the message from who keeps up: the application may, by `clear()`. */
  #keepsUnoffered(index: number, by: Moment): boolean {
    const message = this.messages.all[index]
    return this.#host.run.retention.keepsUnoffered && !(message && this.#isCleared(message, by))
  }

  /** What is lost after a subscription stood at the head is lost because its reader was slow. */
  #checkExpired(place: number, at: Moment): void {
    // What was lost while `onGap` was asked is nobody's slowness.
    if (!this.#isExact || this.#isAfterGap) return
    // It was gone when the subscription began: what came before it may have come by another channel.
    if (this.#mayBeDropped(place, this.#start)) return
    const stood = this.#host.connection.stood.some(
      (standing) => standing.at >= this.#start && standing.at <= at
    )
    const beganBefore = this.#isResumed || this.#first.from === 'first'
    if (!beganBefore || !this.#isFresh || stood) {
      this.#violate('wrong-gap', `expired instead of slow, for message ${place} was there to be taken`)
    }
  }

  /** With the oldest message, that is the oldest when the gap was told, which may be later than it was met. */
  #spanAfterGap(unsure: Span | undefined, isLost: boolean, metAt: Moment, toldAt: Moment): Span {
    if (this.#span === undefined) {
      const begun = this.#subscriptions.slice(0, this.#begun)
      if (begun.every(({ from }) => from !== 'oldest')) return this.#withoutEarly(this.#ownSpan(this.#first))
      return this.#withoutEarly({ from: 0, to: this.#firstKept(0, Math.max(toldAt, this.#start)) })
    }
    const from = isLost ? 0 : this.#span.from
    if (this.messages.log.afterGap === 'now') {
      const to = this.messages.sentUntil(metAt)
      return { from: this.#isExact ? to : from, to }
    }
    if (unsure !== undefined)
      return { from: unsure.from, to: Math.max(unsure.to, this.#firstKept(unsure.from, toldAt)) }
    if (isLost && this.#host.run.isShared) return { from, to: this.messages.sentUntil(toldAt) }
    const hadUntil = isLost ? this.#receivedUntil(toldAt) : from
    return { from, to: Math.max(hadUntil, this.#firstKept(from, toldAt)) }
  }

  /** The place after the last message that came and is still there. */
  #receivedUntil(at: Moment): number {
    const kept = [...this.#received].filter((index) => !this.#isLostAt(index, at))
    return Math.max(0, ...kept.map((index) => index + 1))
  }

  #isLostAt(index: number, at: Moment): boolean {
    const message = this.messages.all[index]
    return message !== undefined && mayBeLost(message, at)
  }

  #mayBeGone(index: number, by: Moment): boolean {
    return this.#isLostAt(index, by) || this.#mayBeDropped(index, by)
  }

  #mayBeDropped(index: number, by: Moment): boolean {
    const message = this.messages.all[index]
    if (message === undefined || message.sentAt > by) return false
    if (this.#isCleared(message, by)) return true
    return isKept(message) && this.#host.run.retention.mayHaveDropped(this.messages.log.name, message, by)
  }

  /** Whether it was cleared away, while it was kept or still to be offered. */
  #isCleared(message: Published, by: Moment): boolean {
    const { clearedAt = [] } = this.messages.log
    return clearedAt.some(
      (at) => message.sentAt <= at && at <= by && (isKept(message) || !this.#hasRested(message.sentAt, at))
    )
  }

  #hasRested(since: Moment, until: Moment): boolean {
    const { restedAt = [] } = this.#host.run
    return restedAt.some((at) => since <= at && at <= until)
  }

  /** Whether it was there no more for who came then, or, if all of it was of this channel, for anybody. */
  #wasGone(message: Published, at: Moment): boolean {
    if (message.channels.length > 1) return false
    const { startedAt = at } = this.#coverOf(message) ?? {}
    if (!isKept(message) && this.#hasRested(message.sentAt, startedAt)) return true
    const { clearedAt = [] } = this.messages.log
    const until = this.#host.connection.isReader ? startedAt : at
    return clearedAt.some((moment) => message.sentAt < moment && moment <= until)
  }

  #violate(kind: ViolationKind, text: string): void {
    this.#host.violate(kind, `${this.messages.log.name}: ${text}`)
  }
}

function isKept({ isKept = true }: Published): boolean {
  return isKept
}

function isLost({ lostAt }: Published, at: Moment): boolean {
  return lostAt !== undefined && lostAt <= at
}

function mayBeLost({ lostAt, mayBeLostAt = lostAt }: Published, at: Moment): boolean {
  return mayBeLostAt !== undefined && mayBeLostAt <= at
}

const MAX_LENGTH = 40

/** What a message is called, in characters that every terminal and test report can show. */
export function excerptOf({ data }: Pick<Published, 'data'>): string {
  const text = JSON.stringify(data.slice(0, MAX_LENGTH))
  return text.replace(/[^ -~]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`)
}
