import type { Connection } from '../connection/connection.ts'
import type { Feed } from '../connection/feed.ts'
import type { Place } from '../history/place.ts'
import type { Batch } from '../wire/batch.ts'
import { Beginning } from './beginning.ts'
import type { SubscribeOptions } from './channel.ts'
import {
  LiveSubscription,
  type Start,
  type SubscribedChannel,
  type Subscriber,
  startAt
} from './live-subscription.ts'
import { LoadingSubscriptions } from './loading-subscriptions.ts'
import { PendingGaps } from './pending-gaps.ts'
import { Position } from './position.ts'
import { Resumption } from './resumption.ts'
import { RoundPart } from './round-part.ts'
import type { Reader, Round } from './rounds.ts'
import { MetGaps, Selection } from './selection.ts'
import type { Shared } from './shared.ts'
import { SubscriptionList } from './subscription-list.ts'

/** A connection's place in the history, and its subscriptions: what it is given, and in which order. */
export class ConnectionCursor implements Feed, Subscriber, Reader {
  readonly connection: Connection
  readonly shared: Shared
  readonly #list = new SubscriptionList()
  readonly #position: Position
  readonly #part: RoundPart
  /** Once it has been asked for. */
  #selection: Selection | undefined
  /** Once something had to wait for the handler. */
  #beginning: Beginning | undefined
  /** Whether it was blocked, and has not caught up since. */
  #isBehind = false
  #gaps: PendingGaps | undefined
  /** Whether a subscription has ended with its channel. */
  #hasEnded = false
  #loading: LoadingSubscriptions | undefined

  constructor(connection: Connection, shared: Shared) {
    this.connection = connection
    this.shared = shared
    this.#position = new Position(this.#list, shared.history)
    this.#part = new RoundPart(shared.rounds)
    const { lastEventId } = connection
    if (lastEventId !== undefined) this.#position.resumption = new Resumption(lastEventId, shared.history)
  }

  get head(): Place {
    return this.shared.history.head
  }

  get place(): Place {
    return this.#position.place
  }

  get hasBegun(): boolean {
    return this.#position.hasBegun
  }

  get isActive(): boolean {
    return this.#list.size > 0
  }

  get subscriptions(): readonly LiveSubscription[] {
    return this.#list.active
  }

  isReserved(event: string | undefined): boolean {
    return this.shared.reserved.has(event)
  }

  isDue(limit: Place): boolean {
    return !this.#list.isEmpty && this.shared.rounds.mark < limit
  }

  /**
   * @param from where it begins if what the client brought does not count.
   * @param notBefore where it begins at the earliest.
   * @param given what `subscribe()` was given.
   */
  subscribe(
    channel: SubscribedChannel,
    from: Start,
    notBefore: Place,
    given: SubscribeOptions
  ): LiveSubscription {
    const { resume = true } = given
    const resumption = resume && this.#counting?.isFor(channel.name) ? this.#counting : undefined
    const brought = resumption?.placeOf(channel.name)
    const start = brought === undefined ? from : startAt(brought)
    const place = Math.max(start.place, notBefore)
    const isLate = this.#position.hasBegun || resumption?.isDoubtful
    const gap = isLate ? (resumption?.lateGap(channel) ?? start.gap) : start.gap
    const isReturning = resumption !== undefined
    const subscription = new LiveSubscription(channel, this, { ...start, place, gap }, isReturning, given)
    const needed = Math.min(subscription.start, resumption?.uncertainSince ?? Infinity)
    const isThere = start.later === undefined && channel.window.has(needed)
    if (isThere) subscription.begin()
    this.#place(subscription)
    this.#list.add(subscription)
    this.#position.resumption?.setOnChange()
    this.#position.wish(start.isPast ? this.shared.history.stamp() : Math.min(start.place, this.head))
    if (start.isPast || this.#position.resumption !== undefined) this.#hold()
    if (start.isPast || gap !== undefined) this.list(subscription)
    if (!isThere) this.#load(subscription, needed, start.later, resumption)
    else this.#list.noteEnd(channel)
    return subscription
  }

  unsubscribe(subscription: LiveSubscription): void {
    if (!subscription.active) return
    const { channel } = subscription
    const { dropped, newest } = channel.window
    this.#list.end(
      subscription,
      subscription.isLoading ? this.shared.history.stampOwn() : Math.max(dropped, newest?.place ?? 0)
    )
    this.#position.resumption?.leave(channel.name)
    channel.subscriptionOnEnd(subscription)
    this.list(subscription)
    this.connection.output.feedOnChange()
  }

  /** As if it had never been. */
  undo(subscription: LiveSubscription): void {
    this.#loading?.remove(subscription)
    if (subscription.active) this.#list.end(subscription, subscription.start)
    if (this.#list.has(subscription)) this.#list.forget(subscription)
  }

  list(subscription: LiveSubscription): void {
    this.#list.list(subscription)
    this.#list.noteEnd(subscription.channel)
  }

  readerOnNews(round: Round): void {
    if (!this.connection.output.feedOnChange() || !this.#part.join(round)) return
    if (this.#gaps !== undefined || this.#beginning?.isHeld || this.#loading?.isHolding) this.#part.wait()
  }

  take(limit: Place): Batch | 'later' | 'held' | undefined {
    const taken = this.#take(limit)
    if (this.#list.mayBeOver && taken !== 'held') this.#meetEnds()
    return taken
  }

  /** Whether the client has all that its channels will ever have, and none is to come. */
  get isOver(): boolean {
    const { standpoint } = this.#position.resumption ?? {}
    if (!this.connection.isSettled || standpoint === undefined || standpoint.uncertainty !== undefined)
      return false
    const { active } = this.#list
    return active.length > 0 && active.every((subscription) => subscription.hasAll(this.place))
  }

  #take(limit: Place): Batch | 'later' | 'held' | undefined {
    if (this.#list.isEmpty || this.#hasFailed) return this.#part.leave()
    if (this.#beginning?.mustWait() || this.#loading?.isHolding) return this.#part.wait()
    this.#begin()
    if (this.#gaps !== undefined) return this.#takeGaps(this.#gaps)
    this.#part.goOn()
    const { mark } = this.shared.rounds
    const upTo = Math.min(limit, mark)
    const taken = this.#takeUpTo(upTo, limit <= mark)
    if (taken !== undefined) return taken
    if (this.#hasFailed || this.connection.state === 'closed') return this.#part.leave()
    this.#position.moveTo(upTo)
    if (upTo === mark) this.#part.leave()
    if (!this.#list.hasListed) this.#isBehind = false
    const { wished } = this.#position
    if (wished === undefined || wished > limit) return undefined
    return wished > mark ? 'later' : this.#position.tell(this.connection.cursorEvent)
  }

  takeHeartbeat(event: string | false): Batch | undefined {
    if (this.#list.hasListed || this.#gaps !== undefined || this.#list.isEmpty) return undefined
    if (!this.#position.hasPassed) return undefined
    this.#position.moveTo(this.shared.rounds.mark)
    return this.#position.tell(event || this.connection.cursorEvent)
  }

  /** A client keeps an id that will be known when it comes back, however quiet its channels are. */
  beat(): void {
    if (!this.#list.isEmpty && this.#position.wishIfStale()) this.connection.output.feedOnChange()
  }

  connectionOnBlock(): void {
    this.#isBehind = true
    this.#part.leave()
  }

  connectionOnSettle(): void {
    this.#beginning?.end()
    this.#closeIfOver()
    if (this.#beginning?.isHeld) this.connection.output.feedOnChange()
  }

  connectionOnClose(): void {
    this.#beginning?.end()
    this.#loading?.close()
    this.#part.leave()
    this.#gaps = undefined
    for (let next = this.#list.first; next !== undefined; next = this.#list.first) {
      if (next.active) {
        this.#list.end(next, this.place)
        next.channel.subscriptionOnEnd(next)
      }
      if (next === this.#list.first) this.#list.forget(next)
    }
  }

  /** Resolves when what is kept of its channels is there, or has been waited for. */
  get ready(): Promise<void> | undefined {
    return this.#loading?.ready
  }

  /** Subscriptions end with their channels. */
  #meetEnds(): void {
    this.#list.mayBeOver = false
    for (const subscription of this.#list.active) {
      if (subscription.isLoading) this.#list.mayBeOver = true
      if (!subscription.isOver(this.place)) continue
      this.#hasEnded = true
      this.unsubscribe(subscription)
    }
    this.#closeIfOver()
  }

  #closeIfOver(): void {
    if (this.#hasEnded && this.#list.size === 0 && this.connection.isSettled) this.connection.feedOnEnd()
  }

  /** Whether a filter has answered what none may. */
  get #hasFailed(): boolean {
    return this.#selection?.hasFailed === true
  }

  /** What the client brought counts no more when the handler has settled and something was given. */
  get #counting(): Resumption | undefined {
    const { hasBegun, resumption } = this.#position
    return hasBegun && this.connection.isSettled ? undefined : resumption
  }

  /** It is given what it has when all that it needs of its channel is there. */
  #load(
    subscription: LiveSubscription,
    needed: Place,
    later: Promise<Start> | undefined,
    resumption: Resumption | undefined
  ): void {
    this.#loading ??= new LoadingSubscriptions(() => this.connection.output.feedOnChange())
    this.#loading.add(subscription)
    this.list(subscription)
    const load = (): void =>
      subscription.channel.load({
        place: Math.min(subscription.start, needed),
        loadingOnEnd: () => this.#meetLoaded(subscription, resumption)
      })
    if (later === undefined) load()
    else
      void later.then((start) => {
        subscription.restart(start)
        this.#list.noteOldest(subscription)
        load()
      })
  }

  #meetLoaded(subscription: LiveSubscription, resumption: Resumption | undefined): void {
    if (!this.#list.has(subscription)) return
    subscription.begin()
    if (this.#position.hasBegun && resumption?.isUncertain(subscription.channel))
      subscription.dueGap ??= 'uncertain'
    subscription.channel.subscriptionOnBegin(subscription)
    this.#list.noteEnd(subscription.channel)
    this.#loading?.remove(subscription)
  }

  /** Where it stands to the connection's place. */
  #place(subscription: LiveSubscription): void {
    const { start } = subscription
    this.#position.meetStart(start, this.#counting?.standpoint?.place)
    if (start < this.place) subscription.at = start
    if (this.#gaps !== undefined) this.#gaps.place = undefined
  }

  /** What is there to be given waits for the handler. */
  #hold(): void {
    this.#beginning ??= new Beginning(this.connection, this.#position)
    this.#beginning.hold()
  }

  /** What the client brought is looked at for all subscriptions that there are. */
  #begin(): void {
    const { resumption, hasBegun } = this.#position
    if (resumption === undefined) return
    if (!hasBegun) this.#meetStart(resumption)
    this.#beginning?.limit(!hasBegun)
  }

  #meetStart(resumption: Resumption): void {
    this.#position.hasBegun = true
    resumption.complete(this.subscriptions.map(({ channel }) => channel.name))
    if (resumption.standpoint === undefined) {
      this.#meetUnknown(resumption)
      return
    }
    if (resumption.isCovered) return
    for (const subscription of this.#list) {
      if (!subscription.isReturning || !resumption.isUncertain(subscription.channel)) continue
      subscription.dueGap = 'uncertain'
      this.list(subscription)
    }
  }

  /** A client with an id that nobody knows has a gap in all channels, and begins where a new one does. */
  #meetUnknown(resumption: Resumption): void {
    const { isSettled } = this.connection
    const returning = [...this.#list].filter(({ isReturning }) => isReturning)
    if (returning.length === 0 && isSettled) return
    const asked = returning.filter(({ channel }) => channel.options.onGap !== undefined)
    for (const subscription of asked) subscription.dueGap = 'unknown'
    resumption.isUntold = isSettled && asked.length === returning.length
    this.#ask(asked, this.place, !resumption.isUntold)
  }

  /** The next batch of what is at or before a place. @param isLast whether something else comes then. */
  #takeUpTo(upTo: Place, isLast: boolean): Batch | 'later' | 'held' | undefined {
    if (!this.#list.hasListed) return undefined
    const only = this.#position.resumption === undefined ? this.#list.onlyListed : undefined
    return only?.isPlain(this.place, this.#isBehind)
      ? this.#takeShared(only, upTo)
      : this.#takeMerged(upTo, isLast)
  }

  #takeShared(subscription: LiveSubscription, upTo: Place): Batch | undefined {
    const { channel, start, end, active } = subscription
    const { window } = channel
    const place = Math.max(this.place, start)
    const run = this.shared.batches.after(window, place, Math.min(upTo, end), channel.size > 1)
    if (run === undefined) {
      const next = window.entryAfter(place)?.place ?? Infinity
      if (next > end || next === Infinity) {
        this.#list.unlist(subscription)
        this.#list.forgetEnded()
      }
      return undefined
    }
    this.#position.moveTo(run.last)
    this.#position.note(run.last)
    this.#list.noteEnd(channel)
    if (window.newest?.place === run.last && active) this.#list.unlist(subscription)
    this.shared.counters.delivered += run.batch.messages
    return run.batch
  }

  /** Takes what several subscriptions have, in the order of places, or one that does not share what it takes. */
  #takeMerged(upTo: Place, isLast: boolean): Batch | 'later' | 'held' | undefined {
    this.#selection ??= new Selection(this.connection, this.shared, this.#list, this.#position)
    const taken = this.#selection.take(upTo, isLast, this.#isBehind)
    return taken instanceof MetGaps
      ? this.#takeGaps(this.#ask(taken.subscriptions, taken.told, false))
      : taken
  }

  #ask(subscriptions: readonly LiveSubscription[], told: Place | undefined, isOfAll: boolean): PendingGaps {
    const gaps = new PendingGaps(this.shared, this.connection, told)
    this.#gaps = gaps
    gaps.ask(subscriptions, isOfAll, () => this.connection.output.flush())
    return gaps
  }

  #takeGaps(gaps: PendingGaps): Batch | 'held' {
    const batch = gaps.take(this.#position)
    if (batch === undefined) return this.#part.wait()
    this.#gaps = undefined
    this.#part.goOn()
    return batch
  }
}
