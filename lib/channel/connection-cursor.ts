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
import type { Reader, Round } from './rounds.ts'
import { MetGaps, Selection } from './selection.ts'
import type { Shared } from './shared.ts'

/** A connection's place in the history, and its subscriptions: what it is given, and in which order. */
export class ConnectionCursor extends Position implements Feed, Subscriber, Reader {
  readonly connection: Connection
  /** Once it has been asked for. */
  #selection: Selection | undefined
  /** Once something had to wait for the handler. */
  #beginning: Beginning | undefined
  /** Whether it was blocked, and has not caught up since. */
  #isBehind = false
  #gaps: PendingGaps | undefined
  hasGivenAll = false
  /** Whether a subscription has ended with its channel. */
  #hasEnded = false
  #loading: LoadingSubscriptions | undefined

  constructor(connection: Connection, shared: Shared) {
    super(shared)
    this.connection = connection
    const { lastEventId } = connection
    if (lastEventId !== undefined) this.resumption = new Resumption(lastEventId, shared.history)
  }

  get head(): Place {
    return this.shared.history.head
  }

  get isActive(): boolean {
    return this.all.size > 0
  }

  get subscriptions(): readonly LiveSubscription[] {
    return this.all.active
  }

  isReserved(event: string | undefined): boolean {
    return this.shared.reserved.has(event)
  }

  isDue(limit: Place): boolean {
    return !this.all.isEmpty && this.shared.rounds.mark < limit
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
    const isLate = this.hasBegun || resumption?.isDoubtful
    const gap = isLate ? (resumption?.lateGap(channel) ?? start.gap) : start.gap
    const isReturning = resumption !== undefined
    const subscription = new LiveSubscription(channel, this, { ...start, place, gap }, isReturning, given)
    const needed = Math.min(subscription.start, resumption?.uncertainSince ?? Infinity)
    const isThere = start.later === undefined && channel.window.has(needed)
    if (isThere) subscription.begin(start.last)
    this.#place(subscription)
    this.all.add(subscription)
    this.resumption?.setOnChange()
    this.wish(start.isPast ? this.shared.history.stamp() : Math.min(start.place, this.head))
    if (start.isPast || this.resumption !== undefined) this.#hold()
    if (start.isPast || gap !== undefined) this.list(subscription)
    if (!isThere) this.#load(subscription, needed, start, resumption)
    else this.all.noteEnd(channel)
    return subscription
  }

  unsubscribe(subscription: LiveSubscription): void {
    if (!subscription.active) return
    const { channel } = subscription
    const { dropped, newest } = channel.window
    this.all.end(
      subscription,
      subscription.isLoading
        ? this.shared.history.stampFor(channel.name)
        : Math.max(dropped, newest?.place ?? 0)
    )
    this.resumption?.leave(channel.name)
    channel.subscriptionOnEnd(subscription)
    this.list(subscription)
    this.connection.output.feedOnChange()
  }

  /** As if it had never been. */
  undo(subscription: LiveSubscription): void {
    this.#loading?.remove(subscription)
    if (subscription.active) this.all.end(subscription, subscription.start)
    if (this.all.has(subscription)) this.all.forget(subscription)
  }

  list(subscription: LiveSubscription): void {
    this.all.list(subscription)
    this.all.noteEnd(subscription.channel)
  }

  readerOnNews(round: Round): void {
    if (!this.connection.output.feedOnChange() || !this.joinRound(round)) return
    if (this.#gaps !== undefined || this.#beginning?.isHeld || this.#loading?.isHolding) this.waitInRound()
  }

  take(limit: Place): Batch | 'later' | 'held' | undefined {
    const taken = this.#take(limit)
    if (this.all.mayBeOver && taken !== 'held') this.#meetEnds()
    return taken
  }

  /** Whether the client has all that its channels will ever have, and none is to come. */
  get isOver(): boolean {
    const { standpoint } = this.resumption ?? {}
    if (!this.connection.isSettled || standpoint === undefined || standpoint.uncertainty !== undefined)
      return false
    const { active } = this.all
    return active.length > 0 && active.every((subscription) => subscription.hasAll(this.place))
  }

  #take(limit: Place): Batch | 'later' | 'held' | undefined {
    if (this.all.isEmpty || this.#hasFailed) return this.leaveRound()
    if (this.#beginning?.mustWait() || this.#loading?.isHolding) return this.waitInRound()
    this.#begin()
    this.hasGivenAll = false
    if (this.#gaps !== undefined) return this.#takeGaps(this.#gaps)
    this.goOnInRound()
    const { mark } = this.shared.rounds
    const upTo = Math.min(limit, mark)
    const taken = this.#takeUpTo(upTo, limit <= mark)
    if (typeof taken === 'string' || (taken !== undefined && this.all.hasListed)) return taken
    if (this.#hasFailed || (taken === undefined && this.connection.state === 'closed'))
      return this.leaveRound()
    this.moveTo(upTo)
    if (upTo === mark) this.leaveRound()
    if (!this.all.hasListed) this.#isBehind = false
    const { wished } = this
    this.hasGivenAll = upTo === mark && wished === undefined
    if (taken !== undefined || wished === undefined || wished > limit) return taken
    return wished > mark ? 'later' : this.tell(this.connection.cursorEvent)
  }

  takeHeartbeat(event: string | false): Batch | undefined {
    if (this.all.hasListed || this.#gaps !== undefined || this.all.isEmpty) return undefined
    if (!this.hasPassed) return undefined
    this.moveTo(this.shared.rounds.mark)
    return this.tell(event || this.connection.cursorEvent)
  }

  /** A client keeps an id that will be known when it comes back, however quiet its channels are. */
  beat(): void {
    if (!this.all.isEmpty && this.wishIfStale()) this.connection.output.feedOnChange()
  }

  connectionOnBlock(): void {
    this.#isBehind = true
    this.leaveRound()
  }

  connectionOnSettle(): void {
    this.#beginning?.end()
    this.#closeIfOver()
    if (this.#beginning?.isHeld) this.connection.output.feedOnChange()
  }

  connectionOnClose(): void {
    this.#beginning?.end()
    this.#loading?.close()
    this.leaveRound()
    this.#gaps = undefined
    for (let next = this.all.first; next !== undefined; next = this.all.first) {
      if (next.active) {
        this.all.end(next, this.place)
        next.channel.subscriptionOnEnd(next)
      }
      if (next === this.all.first) this.all.forget(next)
    }
  }

  /** Resolves when what is kept of its channels is there, or has been waited for. */
  get ready(): Promise<void> | undefined {
    return this.#loading?.ready
  }

  /** Subscriptions end with their channels. */
  #meetEnds(): void {
    this.all.mayBeOver = false
    for (const subscription of this.all.active) {
      if (subscription.isLoading) this.all.mayBeOver = true
      if (!subscription.isOver(this.place)) continue
      this.#hasEnded = true
      this.unsubscribe(subscription)
    }
    this.#closeIfOver()
  }

  #closeIfOver(): void {
    if (this.#hasEnded && this.all.size === 0 && this.connection.isSettled) this.connection.feedOnEnd()
  }

  /** Whether a filter has answered what none may. */
  get #hasFailed(): boolean {
    return this.#selection?.hasFailed === true
  }

  /** What the client brought counts no more when the handler has settled and something was given. */
  get #counting(): Resumption | undefined {
    const { hasBegun, resumption } = this
    return hasBegun && this.connection.isSettled ? undefined : resumption
  }

  /** It is given what it has when all that it needs of its channel is there. */
  #load(
    subscription: LiveSubscription,
    needed: Place,
    { later, last }: Start,
    resumption: Resumption | undefined
  ): void {
    this.#loading ??= new LoadingSubscriptions(() => this.connection.output.feedOnChange())
    this.#loading.add(subscription)
    this.list(subscription)
    const load = (): void =>
      subscription.channel.load({
        place: Math.min(subscription.start, needed),
        loadingOnEnd: () => this.#meetLoaded(subscription, last, resumption)
      })
    if (later === undefined) load()
    else
      void later.then((start) => {
        subscription.restart(start)
        this.all.noteOldest(subscription)
        load()
      })
  }

  #meetLoaded(
    subscription: LiveSubscription,
    last: number | undefined,
    resumption: Resumption | undefined
  ): void {
    if (!this.all.has(subscription)) return
    subscription.begin(last)
    if (this.hasBegun && resumption?.isUncertain(subscription.channel)) subscription.dueGap ??= 'uncertain'
    subscription.channel.subscriptionOnBegin(subscription)
    this.all.noteEnd(subscription.channel)
    this.#loading?.remove(subscription)
  }

  /** Where it stands to the connection's place. */
  #place(subscription: LiveSubscription): void {
    const { start } = subscription
    this.meetStart(start, this.#counting?.standpoint?.place)
    if (start < this.place) subscription.at = start
    if (this.#gaps !== undefined) this.#gaps.place = undefined
  }

  /** What is there to be given waits for the handler. */
  #hold(): void {
    this.#beginning ??= new Beginning(this.connection, this)
    this.#beginning.hold()
  }

  /** What the client brought is looked at for all subscriptions that there are. */
  #begin(): void {
    const { resumption, hasBegun } = this
    if (resumption === undefined) return
    if (!hasBegun) this.#meetBrought(resumption)
    this.#beginning?.limit(!hasBegun)
  }

  #meetBrought(resumption: Resumption): void {
    this.hasBegun = true
    resumption.complete(this.subscriptions.map(({ channel }) => channel.name))
    if (resumption.standpoint === undefined) {
      this.#meetUnknown(resumption)
      return
    }
    if (resumption.isCovered) return
    for (const subscription of this.all) {
      if (!subscription.isReturning || !resumption.isUncertain(subscription.channel)) continue
      subscription.dueGap = 'uncertain'
      this.list(subscription)
    }
  }

  /** A client with an id that nobody knows has a gap in all channels, and begins where a new one does. */
  #meetUnknown(resumption: Resumption): void {
    const { isSettled } = this.connection
    const returning = [...this.all].filter(({ isReturning }) => isReturning)
    if (returning.length === 0 && isSettled) return
    const asked = returning.filter(({ channel }) => channel.options.onGap !== undefined)
    for (const subscription of asked) subscription.dueGap = 'unknown'
    resumption.isUntold = isSettled && asked.length === returning.length
    this.#ask(asked, this.place, !resumption.isUntold)
  }

  /** The next batch of what is at or before a place. @param isLast whether something else comes then. */
  #takeUpTo(upTo: Place, isLast: boolean): Batch | 'later' | 'held' | undefined {
    if (!this.all.hasListed) return undefined
    const only = this.resumption === undefined ? this.all.onlyListed : undefined
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
        this.all.unlist(subscription)
        this.all.forgetEnded()
      }
      return undefined
    }
    this.moveTo(run.last)
    this.note(run.last)
    this.all.noteEnd(channel)
    if (window.newest?.place === run.last && active) this.all.unlist(subscription)
    this.shared.counters.delivered += run.batch.messages
    return run.batch
  }

  /** Takes what several subscriptions have, in the order of places, or one that does not share what it takes. */
  #takeMerged(upTo: Place, isLast: boolean): Batch | 'later' | 'held' | undefined {
    this.#selection ??= new Selection(this.connection, this.shared, this.all, this)
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
    const batch = gaps.take(this)
    if (batch === undefined) return this.waitInRound()
    this.#gaps = undefined
    this.goOnInRound()
    return batch
  }
}
