import { AsyncLocalStorage } from 'node:async_hooks'
import { monotonicMs, wallClockMs } from '../base/monotonic-ms.ts'
import type { Connection } from '../connection/connection.ts'
import { END_TEXT, type Entry } from '../history/entry.ts'
import type { Place } from '../history/place.ts'
import type { Window } from '../history/window.ts'
import type {
  Channel,
  ChannelMessage,
  GapReason,
  Publishable,
  SubscribeOptions,
  Subscription
} from './channel.ts'
import type { ResolvedChannelOptions } from './channel-options.ts'
import type { NewestOfKeys } from './newest-of-keys.ts'
import type { Reader, Readership } from './rounds.ts'

/** Who waits for what is kept of a channel after a place. */
export interface Loading {
  readonly place: Place
  loadingOnEnd(): void
}

/** A channel as its subscriptions see it. */
export interface SubscribedChannel extends Channel {
  /** Tells when all that is kept after a place is there: at once, or later. */
  load(loading: Loading): void
  readonly window: Window
  readonly options: ResolvedChannelOptions
  /** Its name as it is in ids. */
  readonly hash: string
  /** Of a message that tells a gap. @throws what encoding it throws, also if it has an id, or is none of the declared events. */
  textOf(message: Publishable): string
  /** It is known where it begins. */
  subscriptionOnBegin(subscription: LiveSubscription): void
  /** It is given nothing that comes from now on. */
  subscriptionOnEnd(subscription: LiveSubscription): void
  /** It is given nothing at all any more. */
  subscriptionOnForget(subscription: LiveSubscription): void
}

/** Whose subscription it is. */
export interface Subscriber extends Reader {
  readonly connection: Connection
  /** What is at or before it was given. */
  readonly place: Place
  /** Whether something was given. */
  readonly hasBegun: boolean
  /** The newest place of the history. */
  readonly head: Place
  /** The subscription may have something to give. */
  list(subscription: LiveSubscription): void
  /** As if it had never been. */
  undo(subscription: LiveSubscription): void
  unsubscribe(subscription: LiveSubscription): void
}

/** Where a subscription begins, and what of that is to be told. */
export interface Start {
  readonly place: Place
  /** Whether there may be something after it already. */
  readonly isPast: boolean
  /** Whether the oldest message is meant that is kept when something is first given. */
  readonly isOldest: boolean
  /** How many of the newest messages that are kept are meant. */
  readonly last: number | undefined
  /** It begins at a cursor of which it is not known yet whether the history knows it. Does not reject. */
  readonly later: Promise<Start> | undefined
  /** A gap that is told whatever the channel has dropped. */
  readonly gap: GapReason | undefined
}

export const FROM_THE_FIRST: Start = Object.freeze({
  place: 0,
  isPast: true,
  isOldest: false,
  last: undefined,
  gap: undefined,
  later: undefined
})

/** @param place `undefined`: at a cursor that nobody knows. */
export function startAt(place: Place | undefined): Start {
  return place === undefined
    ? { ...FROM_THE_FIRST, isOldest: true, gap: 'unknown' }
    : { ...FROM_THE_FIRST, place }
}

/** What a subscription has next. */
export interface Item {
  readonly subscription: LiveSubscription
  readonly place: Place
  /** `undefined`: a gap. */
  readonly entry: Entry | undefined
}

/** The place of a gap that is told before anything else. */
export const FIRST: Place = 1

/** How many of the spans before gaps are remembered. */
const MAX_SPANS = 32

/** What a connection is given of one channel: what is after one place of the history, and at or before another. */
export class LiveSubscription implements Subscription, Readership {
  readonly channel: SubscribedChannel
  readonly subscriber: Subscriber
  start: Place
  end: Place = Infinity
  /** What is at or before this place was given, as long as that is behind the connection's cursor. */
  at: Place | undefined
  isOldest: boolean
  /** Whether it began in the past and has not caught up since. */
  isBehind: boolean
  dueGap: GapReason | undefined
  /** Whether it is to begin where the client said it stands, be that known or not. */
  readonly isReturning: boolean
  /** Whether nothing of it was lost, so that what is lost later is its reader's slowness. */
  isIntact: boolean
  readonly filter: ((message: ChannelMessage) => boolean) | undefined
  /** The `AsyncLocalStorage` of who subscribed, if the application gave something to call. */
  readonly #context: (<R>(call: () => R) => R) | undefined
  readonly #openedMs = monotonicMs()
  readonly #given: SubscribeOptions
  /** What came after it is missed when it is dropped, whatever was given before. */
  #begunAt: Place = 0
  /** Which are beside it among those that may have something to give. */
  previousListed: LiveSubscription | undefined
  nextListed: LiveSubscription | undefined
  /** Of its connection, in the order in which they began. */
  older: LiveSubscription | undefined
  newer: LiveSubscription | undefined
  /** Whether what is kept after its start is still to come. */
  isLoading: boolean
  /** While its connection is behind: which messages are the newest of their keys. */
  newest: NewestOfKeys | undefined
  /** Whether its channel's end was dropped before it was given. */
  #hasMissedEnd = false
  /** What was given before gaps: what came after one place, until another. */
  #spans: (readonly [after: Place, until: Place])[] | undefined

  constructor(
    channel: SubscribedChannel,
    subscriber: Subscriber,
    { place, isPast, isOldest, gap }: Start,
    isReturning: boolean,
    given: SubscribeOptions
  ) {
    this.channel = channel
    this.subscriber = subscriber
    this.start = place
    this.at = undefined
    this.isOldest = isOldest
    this.isBehind = isPast
    this.dueGap = gap
    this.isReturning = isReturning
    this.isIntact = true
    const { filter } = given
    const { onGap } = channel.options
    this.#context = filter || onGap ? AsyncLocalStorage.snapshot() : undefined
    this.filter = filter && ((message) => this.asSubscriber(() => filter(message)))
    this.#given = given
    this.previousListed = undefined
    this.nextListed = undefined
    this.older = undefined
    this.newer = undefined
    this.newest = undefined
    this.isLoading = false
  }

  get connection(): Connection {
    return this.subscriber.connection
  }

  get openedAt(): number {
    return wallClockMs(this.#openedMs)
  }

  get active(): boolean {
    return this.end === Infinity
  }

  /** Where it stands while that is behind the connection's place; `Infinity`: it is not. */
  get standsAt(): Place {
    return Math.max(this.at ?? Infinity, this.start)
  }

  /** What is at or before it was given, or is not to be. */
  get givenUntil(): Place {
    return Math.max(this.at ?? this.subscriber.place, this.start)
  }

  /** Calls what the application gave: as who subscribed would, though it is due when another publishes. */
  asSubscriber<R>(call: () => R): R {
    return this.#context === undefined ? call() : this.#context(call)
  }

  /** It is known now where it begins. */
  restart({ place, isOldest, gap }: Start): void {
    this.skipTo(place)
    this.isOldest = isOldest
    this.dueGap = gap
  }

  /** What is kept after its start is there. @param last how many of the newest are meant. */
  begin(last: number | undefined): void {
    const { window } = this.channel
    if (this.isOldest) this.skipTo(window.dropped)
    this.#begunAt = this.subscriber.head
    if (last !== undefined) this.skipTo(window.placeBefore(last))
    this.isIntact = window.dropped <= this.start
  }

  /** What an earlier one was still to give is missed when it is dropped. */
  goOnAfter(earlier: LiveSubscription): void {
    if (earlier.givenUntil < earlier.end) this.#begunAt = Math.min(this.#begunAt, earlier.givenUntil)
  }

  /** Its connection does not wait for it. */
  fallBehind(): void {
    this.at ??= this.start
  }

  /** What comes next. @param place what is at or before it was given, unless this one is behind that. */
  next(place: Place): Item | undefined {
    if (this.dueGap !== undefined) return { subscription: this, place: FIRST, entry: undefined }
    const { window } = this.channel
    if (this.isOldest) this.start = Math.max(this.start, Math.min(window.dropped, this.#begunAt))
    const after = Math.max(this.at ?? place, this.start)
    if (after >= this.end) return undefined
    if (window.dropped > after)
      return { subscription: this, place: Math.min(window.dropped, this.end), entry: undefined }
    const entry = window.entryAfter(after)
    return entry === undefined || entry.place > this.end
      ? undefined
      : { subscription: this, place: entry.place, entry }
  }

  /** What one that has ended is still to be given, or may have been; `undefined`: nothing. */
  get rest(): 'messages' | 'gap' | undefined {
    // What the client brought may turn out to be a gap.
    if (this.isReturning && !this.subscriber.hasBegun) return 'messages'
    if (this.isLoading || (this.at ?? this.subscriber.place) > this.start) return 'messages'
    const item = this.next(this.subscriber.place)
    if (item === undefined) return undefined
    const { window } = this.channel
    const entry = item.entry ?? window.entryAfter(Math.max(window.dropped, this.start))
    return entry !== undefined && entry.place <= this.end ? 'messages' : 'gap'
  }

  /** Whether its channel has ended, and all of it was given. @param place as for `next()`. */
  isOver(place: Place): boolean {
    const { window } = this.channel
    const isEnded = window.isEnded || (this.#hasMissedEnd && window.hasDroppedEndAfter(0))
    if (!isEnded || this.isLoading || this.dueGap !== undefined) return false
    return this.next(place) === undefined
  }

  /** Whether its channel has ended, and nothing but that is to be given. @param given as for `next()`. */
  hasAll(given: Place): boolean {
    if (!this.channel.window.isEnded || this.isLoading || this.dueGap !== undefined) return false
    const { entry, place } = this.next(given) ?? {}
    return place === undefined || entry?.text === END_TEXT
  }

  /** Whether it is given all that comes, as others are. @param isBehind whether its connection cannot keep up. */
  isPlain(place: Place, isBehind: boolean): boolean {
    const { options, window } = this.channel
    return (
      !this.isLoading &&
      this.at === undefined &&
      this.filter === undefined &&
      this.dueGap === undefined &&
      !this.isOldest &&
      !(options.slow === 'latest' && (isBehind || this.isBehind)) &&
      window.dropped <= Math.max(this.start, place)
    )
  }

  /** There is a gap until a place. @param given as for `next()`. */
  skipGap(place: Place, given: Place): void {
    const until = this.at ?? given
    if (until > this.start) {
      this.#spans = [...(this.#spans ?? []), [this.start, until] as const].slice(-MAX_SPANS)
    }
    this.#hasMissedEnd = this.channel.window.hasDroppedEndAfter(Math.max(until, this.start))
    this.skipTo(place)
  }

  /** Whether what it covers was given up to a place and beyond. */
  hasPassed(place: Place): boolean {
    if (this.start < place && place <= Math.min(this.at ?? Infinity, this.end)) return true
    return this.#spans?.some(([after, until]) => after < place && place <= until) ?? false
  }

  /** What is at or before a place is not given. */
  skipTo(place: Place): void {
    this.start = Math.max(this.start, place)
    if (this.at !== undefined) this.at = Math.max(this.at, place)
  }

  /** Whether it was made with the same options. */
  isLike(given: SubscribeOptions): boolean {
    const { from, resume, notBefore, filter } = this.#given
    return (
      given.filter === filter &&
      (given.resume ?? true) === (resume ?? true) &&
      isSame(given.from ?? 'now', from ?? 'now') &&
      isSame(given.notBefore, notBefore)
    )
  }

  unsubscribe(): void {
    this.subscriber.unsubscribe(this)
  }

  noteNews(): Reader {
    this.subscriber.list(this)
    return this.subscriber
  }

  noteFork(place: Place): void {
    if (this.givenUntil <= place) return
    this.dueGap ??= 'uncertain'
    this.subscriber.list(this)
    this.connection.output.feedOnChange()
  }
}

function isSame(one: unknown, other: unknown): boolean {
  return one === other || JSON.stringify(one) === JSON.stringify(other)
}
