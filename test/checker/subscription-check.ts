import type { ChannelPlaces } from './channel-places.ts'
import { cursorFor } from './received-id.ts'
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

/** Where a subscription stands: the place is known, or lies between two. */
interface Span {
  readonly from: number
  readonly to: number
}

type Block = Pick<Received, 'at' | 'start'>

export interface SubscriptionCheckHost {
  readonly run: RunLog
  readonly connection: ConnectionLog
  violate(kind: ViolationKind, text: string): void
  /** Whether a cursor is one of another channel that the connection is subscribed to, in one of these ways. */
  isAnothers(
    cursor: string,
    channel: string,
    epochAt: Moment,
    subscriptions?: readonly SubscriptionLog[]
  ): boolean
}

/** One channel on one connection: each of its messages has been received, may have been passed over, or is lost. */
export class SubscriptionCheck {
  readonly places: ChannelPlaces
  readonly log: SubscriptionLog
  readonly #host: SubscriptionCheckHost
  readonly #brought: string | undefined
  /** `undefined`: at a cursor that is none of the channel's. */
  #span: Span | undefined
  #isFresh = true
  /** Whether nothing has come yet, not even an id. */
  #isUntold = true
  /** Whether nothing came since a gap was told. */
  #isAfterGap = false
  readonly #received = new Set<number>()

  constructor(host: SubscriptionCheckHost, places: ChannelPlaces, log: SubscriptionLog) {
    this.#host = host
    this.places = places
    this.log = log
    this.#brought = this.#broughtCursor()
    this.#span = this.#startSpan()
  }

  /** The message before `place` came. */
  receive(place: number, message: Published, received: Received): void {
    const index = place - 1
    const { endedAt = Infinity } = this.log
    const { closedAt = Infinity } = this.#host.connection
    if (message.sentAt > closedAt) this.#violate('phantom', `${message.cursor} came after close()`)
    if (message.sentAt > endedAt) this.#violate('phantom', `${message.cursor} came after unsubscribe()`)
    if (this.#isPassedOver(message)) this.#violate('phantom', `${message.cursor} came in spite of the filter`)
    if (this.#isReplaced(index)) this.#violate('phantom', `${message.cursor} came in spite of a newer one`)
    if (this.#span !== undefined && index < this.#span.from) {
      const kind = this.#received.has(index) ? 'duplicate' : 'order'
      this.#violate(kind, `${message.cursor} came after message ${this.#span.from}`)
      return
    }
    this.#moveTo(index, received, 'loss')
    this.#isAfterGap = false
    this.#received.add(index)
    this.#span = { from: place, to: place }
  }

  /** The client's id says that the subscription stands at this cursor. */
  claim(cursor: string, received: Received): void {
    const known = this.places.of(cursor)
    if (known === undefined || known.epoch !== this.#epoch) {
      if (this.#span !== undefined && !this.#mayBeUnknown(received.at) && !this.#mayBeUndecided(cursor))
        this.#violate('phantom', `the id ${cursor} is none of the channel's`)
      return
    }
    const { place } = known
    if (this.#span !== undefined && place < this.#span.from) {
      this.#violate('backwards', `the id went from ${this.#span.from} back to ${cursor}`)
      return
    }
    if (place !== this.#span?.to) this.#isAfterGap = false
    this.#moveTo(place, received, 'overclaim')
    this.#span = { from: place, to: place }
  }

  /** @param told what the server says of the gap; `undefined` if it says nothing. */
  receiveGap(reason: string, cursor: string, received: Block, told: GapLog | undefined): void {
    const known = this.places.of(cursor)
    if (told === undefined || told.reason !== reason) {
      this.#violate('false-gap', `the client was told ${reason}, the server says ${told?.reason}`)
    }
    if (known === undefined || known.epoch !== this.#epoch) {
      this.#violate('phantom', `the gap leads to ${cursor}, which is none of the channel's`)
      return
    }
    const at = told?.at ?? Infinity
    const isUnknown = this.#mayBeUnknown(at) && (reason === 'unknown' || reason === 'foreign')
    if (this.#span === undefined || isUnknown) this.#checkBadCursor(reason)
    else this.#checkLoss(reason, this.#span.from, known.place, { at, start: received.start })
    this.#checkDestination(known.place, { met: at, told: received.at })
    this.#isFresh = false
    this.#isUntold = false
    this.#isAfterGap = true
    this.#received.clear()
    this.#span = { from: known.place, to: known.place }
  }

  /** What was published before `close()` is before the farewell. */
  receiveFarewell(closedAt: Moment, received: Received): void {
    const mayWait = this.#host.run.isLate === true
    if (this.#isExact && !mayWait && this.log.endedAt === undefined && !this.#isUntold) {
      this.#moveTo(this.places.sentUntil(closedAt), received, 'loss')
    }
  }

  /** @param hasUntoldGap whether the server met a gap that it has not told. */
  finish(hasUntoldGap: boolean): void {
    const { hasCaughtUp, stood } = this.#host.connection
    const { endedAt } = this.log
    if (!hasCaughtUp) return
    const end = { at: Infinity, start: stood.at(-1)?.bytes ?? Infinity }
    if (endedAt === undefined) this.#moveTo(this.places.length, end, 'loss')
    // An application that unsubscribes while `onGap` is asked leaves on purpose: its client is not told that gap.
    else if (!hasUntoldGap && this.#keptUp(endedAt, { ...end, at: endedAt })) {
      this.#moveTo(this.places.sentUntil(endedAt), end, 'loss')
    }
  }

  /** Whether it is known when each gap was met: not of a subscription that began anew before it could tell. */
  get #isExact(): boolean {
    return this.#host.run.isExact && this.log.starts.length === 1
  }

  get #start(): Moment {
    return this.log.starts[0] ?? 0
  }

  get #epoch(): number {
    return this.places.epochAt(this.#start)
  }

  /** The channel whose cursor it was may have been left before it could tell. */
  #mayBeUnknown(at: Moment): boolean {
    const { run, connection } = this.#host
    const { resumedFrom, subscriptions } = connection
    if (run.isLate !== true || !this.log.resumes || !this.#isUntold || resumedFrom === undefined) return false
    const left = subscriptions.filter(({ leftAt = Infinity }) => leftAt <= at)
    return this.#host.isAnothers(resumedFrom, this.log.channel, this.#start, left)
  }

  /** It may take time until it is clear whose a cursor is that came without a name: until then it stays in the ids. */
  #mayBeUndecided(cursor: string): boolean {
    const { run, connection } = this.#host
    return run.isLate === true && cursor === connection.resumedFrom
  }

  #startSpan(): Span | undefined {
    if (this.#brought !== undefined) {
      const known = this.places.of(this.#brought)
      return known?.epoch === this.#epoch ? { from: known.place, to: known.place } : undefined
    }
    return this.log.from === 'now' ? this.#liveSpan() : this.#oldestSpan()
  }

  #liveSpan(): Span {
    const { isExact } = this.#host.run
    const stoodAt = this.#host.connection.stood.find(({ at }) => at >= this.#start)
    const to = this.places.sentUntil(isExact ? this.#start : (stoodAt?.at ?? Infinity))
    return { from: isExact ? to : this.places.acknowledgedUntil(this.#start), to }
  }

  #oldestSpan(): Span {
    const from = this.places.startOf(this.#epoch)
    let to = this.places.sentUntil(this.#start)
    while (to > from && !this.#mayHaveDropped(to - 1, this.#start)) to--
    return { from, to }
  }

  /** A cursor that came without a name is another channel's if that one knows it, and then no cursor of this one. */
  #broughtCursor(): string | undefined {
    const { resumedFrom } = this.#host.connection
    const cursor = this.log.resumes ? cursorFor(this.log.channel, resumedFrom) : undefined
    if (cursor === undefined || cursor !== resumedFrom || this.places.of(cursor) !== undefined) return cursor
    return this.#host.isAnothers(cursor, this.log.channel, this.#start) ? undefined : cursor
  }

  /** All that is before `place` and did not come must have been passed over. */
  #moveTo(place: number, by: Block, kind: 'loss' | 'overclaim'): void {
    const isOldest = this.#isUntold && this.#brought === undefined && this.log.from === 'oldest'
    this.#isUntold = false
    if (place !== this.#span?.to) this.#isFresh = false
    if (this.#span === undefined) {
      this.#violate('loss', `no gap was told to a client with the cursor ${this.#brought}`)
      return
    }
    for (let index = this.#span.to; index < place; index++) {
      const message = this.places.log.messages[index]
      if (message === undefined || this.#isExcused(message, index, by)) continue
      if (isOldest && this.#mayHaveDropped(index, by.at)) continue
      this.#violate(kind, `${message.cursor} (message ${index}) did not come, and no gap was told`)
      return
    }
  }

  #isExcused(message: Published, index: number, by: Block): boolean {
    if (this.#isPassedOver(message)) return true
    const { slow } = this.places.log
    if (slow !== 'latest' || this.#keptUp(message.sentAt, by)) return false
    return this.places.isSuperseded(index, by.at, this.log.filter)
  }

  #isPassedOver(message: Published): boolean {
    return this.log.filter !== undefined && !this.log.filter(message)
  }

  /** Who comes back is behind, and `latest` gives it no message that was not the newest of its key when it came. */
  #isReplaced(index: number): boolean {
    const isConflated = this.places.log.slow === 'latest' && this.log.filter === undefined
    if (!this.#isExact || this.#brought === undefined || !isConflated) return false
    return this.places.isSuperseded(index, this.#start, undefined)
  }

  /** Whether it stood at the head before `since`, and neither had to wait nor began anew from there until the block. */
  #keptUp(since: Moment, { at, start }: Block): boolean {
    const { stood, refused } = this.#host.connection
    const head = stood.findLast((standing) => standing.at <= since)
    if (head === undefined || head.at < this.#start) return false
    if (this.log.starts.some((moment) => moment > head.at && moment <= at)) return false
    return !refused.some((bytes) => bytes > head.bytes && bytes <= start)
  }

  #checkBadCursor(reason: string): void {
    if (reason === 'unknown' || reason === 'foreign' || reason === 'future') return
    this.#violate('wrong-gap', `${reason} was told to a client with the cursor ${this.#brought}`)
  }

  #checkLoss(reason: string, place: number, destination: number, by: Block): void {
    const { at } = by
    if (reason !== 'expired' && reason !== 'slow') {
      this.#violate('wrong-gap', `${reason} was told of a place of the channel`)
    }
    if (destination <= place || !this.#mayHaveDropped(place, at)) {
      this.#violate('false-gap', `${reason}, but message ${place} was kept`)
    } else if (this.#host.run.retention.keepsUnoffered && this.#keptUp(at, by)) {
      this.#violate('false-gap', `${reason} was told to a reader that kept up`)
    }
    if (reason === 'slow' && this.places.log.slow === 'disconnect') {
      this.#violate('wrong-gap', 'slow was told to a reader that is to be destroyed')
    }
    if (reason === 'expired') this.#checkExpired(place, at)
  }

  /** What is lost after a subscription stood at the head is lost because its reader was slow. */
  #checkExpired(place: number, at: Moment): void {
    if (!this.#isExact) return
    const stood = this.#host.connection.stood.some(
      (standing) => standing.at >= this.#start && standing.at <= at
    )
    // What was lost while `onGap` was asked is nobody's slowness.
    if (this.#isAfterGap) return
    if (this.#brought === undefined || !this.#isFresh || stood) {
      this.#violate('wrong-gap', `expired instead of slow, for message ${place} was there to be taken`)
    }
  }

  /** With the oldest message, that is the oldest when the gap was told, which may be later than it was met. */
  #checkDestination(destination: number, { met, told }: { met: Moment; told: Moment }): void {
    if (this.places.log.afterGap === 'oldest') {
      const isFirst = destination === this.places.startOf(this.#epoch)
      if (isFirst || this.#mayHaveDropped(destination - 1, told)) return
      this.#violate('loss', `the gap went over message ${destination - 1}, which was kept`)
    } else if (this.#isExact && destination !== this.places.sentUntil(met)) {
      this.#violate('wrong-gap', `the gap leads to ${destination}, which was not the newest`)
    }
  }

  #mayHaveDropped(index: number, by: Moment): boolean {
    return this.#host.run.retention.mayHaveDropped(this.log.channel, index, by)
  }

  #violate(kind: ViolationKind, text: string): void {
    this.#host.violate(kind, `${this.log.channel}: ${text}`)
  }
}
