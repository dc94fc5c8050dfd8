import { Heap } from '../base/heap.ts'
import type { Connection } from '../connection/connection.ts'
import type { Feed } from '../connection/feed.ts'
import type { Place } from '../history/place.ts'
import { END_TEXT, type Entry } from '../history/window.ts'
import { Batch, ID_LINE_BYTES, idBatch, PIECE_BYTES, withId } from '../wire/batch.ts'
import type { SubscribeOptions } from './channel.ts'
import { ALL, formatId, hashOf, MAX_EXCEPTIONS } from './last-event-id.ts'
import {
  FIRST,
  type Item,
  LiveSubscription,
  type Start,
  type SubscribedChannel,
  type Subscriber,
  startAt
} from './live-subscription.ts'
import { LoadingSubscriptions } from './loading-subscriptions.ts'
import { PendingGaps } from './pending-gaps.ts'
import { HOLD_MS, Resumption, UNSETTLED_MS } from './resumption.ts'
import type { Reader, Round } from './rounds.ts'
import { Selection } from './selection.ts'
import type { Shared } from './shared.ts'
import { lowest, SubscriptionList } from './subscription-list.ts'

/** A connection's place in the history, and its subscriptions: what it is given, and in which order. */
export class ConnectionCursor implements Feed, Subscriber, Reader {
  readonly connection: Connection
  readonly shared: Shared
  readonly #list = new SubscriptionList()
  /** Once it has been asked for. */
  #selection: Selection | undefined
  /** What is at or before this place was given. */
  #place: Place = 0
  /** What others wait for it to take. */
  #round: Round | undefined
  /** Whether the application lets it wait. */
  #isWaiting = false
  /** The place of the newest subscription, until the client was told one that is not older. */
  #untold: Place | undefined
  /** The newest that the client was told. */
  #told: Place = 0
  #hasBegun = false
  /** Whether it was blocked, and has not caught up since. */
  #isBehind = false
  /** Whether some begin with the oldest message that is kept when something is first given. */
  #hasOldest = false
  /** Bytes of messages that filters have passed over since the client was told a place. */
  #passedBytes = 0
  #gaps: PendingGaps | undefined
  /** Whether some of its channels may have ended, and been given whole. */
  #mayBeOver = false
  /** Whether a subscription has ended with its channel. */
  #hasEnded = false
  #loading: LoadingSubscriptions | undefined
  /** As long as it counts what the client brought. */
  #resumption: Resumption | undefined
  /** Whether nothing is given yet, because the handler may still subscribe to something. */
  #isHeld = false
  #holdIsOver = false
  #timer: NodeJS.Timeout | undefined

  constructor(connection: Connection, shared: Shared) {
    this.connection = connection
    this.shared = shared
    const { lastEventId } = connection
    if (lastEventId !== undefined) this.#resumption = new Resumption(lastEventId, shared.history)
  }

  get head(): Place {
    return this.shared.history.head
  }

  get place(): Place {
    return this.#place
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
    const isLate = this.#hasBegun || resumption?.isDoubtful
    const gap = isLate ? (resumption?.lateGap(channel) ?? start.gap) : start.gap
    const isReturning = resumption !== undefined
    const subscription = new LiveSubscription(channel, this, { ...start, place, gap }, isReturning, given)
    const needed = Math.min(subscription.start, resumption?.uncertainSince ?? Infinity)
    const isThere = start.later === undefined && channel.window.has(needed)
    if (isThere) subscription.begin()
    this.#position(subscription)
    this.#list.add(subscription)
    this.#resumption?.setOnChange()
    this.#untold = start.isPast ? this.shared.history.stamp() : Math.min(start.place, this.head)
    this.#hasOldest ||= start.isOldest
    const mayWait = !this.#hasBegun && !this.#holdIsOver
    if (mayWait && (start.isPast || this.#resumption !== undefined)) this.#isHeld = true
    if (start.isPast || gap !== undefined) this.list(subscription)
    if (!isThere) this.#load(subscription, needed, start.later, resumption)
    else this.#mayBeOver ||= channel.window.isEnded
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
    this.#resumption?.leave(channel.name)
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
    this.#mayBeOver ||= subscription.channel.window.isEnded
  }

  readerOnNews(round: Round): void {
    if (!this.connection.output.feedOnChange() || this.#round !== undefined) return
    this.#round = round
    round.pending++
    if (this.#gaps !== undefined || this.#isHeld || this.#loading?.isHolding) this.#waitInRound()
  }

  take(limit: Place): Batch | 'later' | 'held' | undefined {
    const taken = this.#take(limit)
    if (this.#mayBeOver && taken !== 'held') this.#meetEnds()
    return taken
  }

  /** Whether the client has all that its channels will ever have, and none is to come. */
  get isOver(): boolean {
    const { standpoint } = this.#resumption ?? {}
    if (!this.connection.isSettled || standpoint === undefined || standpoint.uncertainty !== undefined)
      return false
    const { active } = this.#list
    return active.length > 0 && active.every((subscription) => this.#hasAll(subscription))
  }

  #take(limit: Place): Batch | 'later' | 'held' | undefined {
    if (this.#list.isEmpty || this.#hasFailed) return this.#leaveRound()
    if (this.#mustWait() || this.#loading?.isHolding) return this.#waitInRound()
    this.#begin()
    if (this.#gaps !== undefined) return this.#takeGaps(this.#gaps)
    this.#goOnInRound()
    const { mark } = this.shared.rounds
    const upTo = Math.min(limit, mark)
    const taken = this.#takeUpTo(upTo, limit <= mark)
    if (taken !== undefined) return taken
    if (this.#hasFailed || this.connection.state === 'closed') return this.#leaveRound()
    this.#place = Math.max(this.#place, upTo)
    if (upTo === mark) this.#leaveRound()
    if (!this.#list.hasListed) this.#isBehind = false
    if (this.#untold === undefined || this.#untold > limit || !this.shared.history.isOpen) return undefined
    return this.#untold > mark ? 'later' : this.#tell()
  }

  takeHeartbeat(event: string | false): Batch | undefined {
    if (this.#list.hasListed || this.#gaps !== undefined || this.#list.isEmpty) return undefined
    if (this.#passedBytes === 0) return undefined
    this.#place = Math.max(this.#place, this.shared.rounds.mark)
    return this.#tell(event || this.connection.cursorEvent)
  }

  /** A client keeps an id that will be known when it comes back, however quiet its channels are. */
  beat(): void {
    if (this.#list.isEmpty || !this.shared.history.isStale(this.#told)) return
    this.#untold ??= this.#told
    this.connection.output.feedOnChange()
  }

  connectionOnBlock(): void {
    this.#isBehind = true
    this.#leaveRound()
  }

  connectionOnSettle(): void {
    clearTimeout(this.#timer)
    this.#closeIfOver()
    if (this.#isHeld) this.connection.output.feedOnChange()
  }

  connectionOnClose(): void {
    clearTimeout(this.#timer)
    this.#loading?.close()
    this.#leaveRound()
    this.#gaps = undefined
    for (let next = this.#list.first; next !== undefined; next = this.#list.first) {
      if (next.active) {
        this.#list.end(next, this.#place)
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
    this.#mayBeOver = false
    for (const subscription of this.#list.active) {
      if (subscription.isLoading) this.#mayBeOver = true
      if (!subscription.isOver(this.#place)) continue
      this.#hasEnded = true
      this.unsubscribe(subscription)
    }
    this.#closeIfOver()
  }

  #closeIfOver(): void {
    if (this.#hasEnded && this.#list.size === 0 && this.connection.isSettled) this.connection.feedOnEnd()
  }

  #hasAll(subscription: LiveSubscription): boolean {
    const { channel, isLoading, dueGap } = subscription
    if (!channel.window.isEnded || isLoading || dueGap !== undefined) return false
    const { entry, place } = subscription.next(this.#place) ?? {}
    return place === undefined || entry?.text === END_TEXT
  }

  /** Whether a filter has answered what none may. */
  get #hasFailed(): boolean {
    return this.#selection?.hasFailed === true
  }

  /** What the client brought counts no more when the handler has settled and something was given. */
  get #counting(): Resumption | undefined {
    return this.#hasBegun && this.connection.isSettled ? undefined : this.#resumption
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
        this.#hasOldest ||= start.isOldest
        load()
      })
  }

  #meetLoaded(subscription: LiveSubscription, resumption: Resumption | undefined): void {
    if (!this.#list.has(subscription)) return
    subscription.begin()
    if (this.#hasBegun && resumption?.isUncertain(subscription.channel)) subscription.dueGap ??= 'uncertain'
    this.#mayBeOver ||= subscription.channel.window.isEnded
    this.#loading?.remove(subscription)
  }

  /** Where it stands to the connection's place, which the first ones determine. */
  #position(subscription: LiveSubscription): void {
    const { start } = subscription
    const standpoint = this.#counting?.standpoint
    // `notBefore` may be in the future, where no cursor is.
    if (!this.#hasBegun && this.#list.isEmpty) this.#place = standpoint?.place ?? Math.min(start, this.head)
    else if (!this.#hasBegun && standpoint === undefined) this.#place = Math.min(this.#place, start)
    if (start < this.#place) subscription.at = start
    if (this.#gaps !== undefined) this.#gaps.place = undefined
  }

  #leaveRound(): undefined {
    const round = this.#round
    if (round === undefined) return
    this.#round = undefined
    this.shared.rounds.leave(round, this.#isWaiting)
    this.#isWaiting = false
  }

  /** What is to come is held until the application has answered, but no publisher waits for that. */
  #waitInRound(): 'held' {
    if (this.#round === undefined || this.#isWaiting) return 'held'
    this.#isWaiting = true
    this.shared.rounds.wait(this.#round)
    return 'held'
  }

  #goOnInRound(): void {
    if (!this.#isWaiting || this.#round === undefined) return
    this.#isWaiting = false
    this.shared.rounds.goOn(this.#round)
  }

  /** Whether the handler may still subscribe to something that belongs before what is there to be given. */
  #mustWait(): boolean {
    if (!this.#isHeld) return false
    if (this.connection.isSettled || this.connection.state === 'closing') {
      this.#isHeld = false
      return false
    }
    this.#timer ??= setTimeout(() => this.#endHold(), HOLD_MS).unref()
    return true
  }

  #endHold(): void {
    this.#isHeld = false
    this.#holdIsOver = true
    this.connection.output.feedOnChange()
  }

  /** What the client brought is looked at for all subscriptions that there are. */
  #begin(): void {
    const resumption = this.#resumption
    if (resumption === undefined) return
    const isFirst = !this.#hasBegun
    if (isFirst) this.#meetStart(resumption)
    if (this.connection.isSettled) this.#useUp()
    else if (isFirst) {
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => this.#useUp(), UNSETTLED_MS).unref()
    }
  }

  #useUp(): void {
    this.#resumption = undefined
    clearTimeout(this.#timer)
  }

  #meetStart(resumption: Resumption): void {
    this.#hasBegun = true
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
    this.#ask(asked, this.#place, !resumption.isUntold)
  }

  /** The next batch of what is at or before a place. @param isLast whether something else comes then. */
  #takeUpTo(upTo: Place, isLast: boolean): Batch | 'later' | 'held' | undefined {
    if (!this.#list.hasListed) return undefined
    const only = this.#list.onlyListed
    return only !== undefined && this.#isPlain(only)
      ? this.#takeShared(only, upTo)
      : this.#takeMerged(upTo, isLast)
  }

  /** Whether it is given all that comes, with ids that are the same for everybody. */
  #isPlain({ at, filter, dueGap, isOldest, isBehind, isLoading, channel, start }: LiveSubscription): boolean {
    return (
      !isLoading &&
      at === undefined &&
      filter === undefined &&
      dueGap === undefined &&
      !isOldest &&
      this.#resumption === undefined &&
      !(channel.options.slow === 'latest' && (this.#isBehind || isBehind)) &&
      channel.window.dropped <= Math.max(start, this.#place)
    )
  }

  #takeShared(subscription: LiveSubscription, upTo: Place): Batch | undefined {
    const { channel, start, end, active } = subscription
    const { window } = channel
    const place = Math.max(this.#place, start)
    const run = this.shared.batches.after(window, place, Math.min(upTo, end), channel.size > 1)
    if (run === undefined) {
      const next = window.entryAfter(place)?.place ?? Infinity
      if (next > end || next === Infinity) {
        this.#list.unlist(subscription)
        this.#list.forgetEnded()
      }
      return undefined
    }
    this.#place = run.last
    this.#noteTold(run.last)
    this.#mayBeOver ||= window.isEnded
    if (window.newest?.place === run.last && active) this.#list.unlist(subscription)
    this.shared.counters.delivered += run.batch.messages
    return run.batch
  }

  /** Takes what several subscriptions have, in the order of places, or one that does not share what it takes. */
  #takeMerged(upTo: Place, isLast: boolean): Batch | 'later' | 'held' | undefined {
    this.#selection ??= new Selection(this.connection, this.shared, this.#list)
    const isOver = this.#selection.clock()
    for (;;) {
      const items = this.#list.nextItems(this.#place)
      const first = lowest(items)
      if (first > upTo) return isLast ? this.#meetPartly(items, upTo) : undefined
      const gaps = items.filter(({ place, entry }) => place === first && entry === undefined)
      if (gaps.length > 0) {
        const isAlone = items.every(({ place, entry }) => place !== first || entry === undefined)
        const isMain = first !== FIRST && first > this.#place
        return this.#meetGaps(gaps.reverse(), isMain ? (isAlone ? first : undefined) : this.#place)
      }
      const taken = this.#takeMessages(items, upTo, this.#selection, isOver)
      if (this.#hasFailed || taken !== undefined) return taken
    }
  }

  /** Messages until there is a gap, or enough. @returns `undefined` if none of those that could be given was chosen. */
  #takeMessages(
    items: readonly Item[],
    upTo: Place,
    selection: Selection,
    isOver: () => boolean
  ): Batch | 'later' | undefined {
    let text = ''
    let bytes = 0
    let count = 0
    let isLater = false
    const queue = new Heap<Item>()
    for (const item of items) queue.add(item, item.place)
    for (let place = queue.firstRank; place <= upTo && !isLater; place = queue.firstRank) {
      const here: Item[] = []
      for (; queue.firstRank === place; queue.removeFirst()) here.push(queue.first as Item)
      const entry = here[0]?.entry
      if (entry === undefined || here.some((item) => item.entry === undefined)) break
      const isGiven = selection.gives(here, entry, this.#isBehind, isOver)
      if (this.#hasFailed) return undefined
      isLater = isGiven === 'later'
      if (isLater) break
      const id = this.#passTo(here, entry)
      if (isGiven === true) {
        this.#endOldest()
        text += withId(id, entry.text)
        bytes += entry.byteLength + id.length + ID_LINE_BYTES
        count++
      } else {
        this.#passedBytes += entry.byteLength + id.length + ID_LINE_BYTES
      }
      if (bytes >= PIECE_BYTES || this.#passedBytes >= PIECE_BYTES) break
      this.#list.refresh(queue, here, this.#place)
      isLater = isOver()
    }
    if (count > 0) {
      this.#noteTold(this.#place)
      this.shared.counters.delivered += count
      return new Batch(text, count)
    }
    if (this.#passedBytes >= PIECE_BYTES) return this.#tell()
    return isLater ? 'later' : undefined
  }

  /** Moves past a message. @returns the id of who has come there. */
  #passTo(here: readonly Item[], { place, cursor, isEnd }: Entry): string {
    this.#mayBeOver ||= isEnd
    if (here[0]?.subscription.at === undefined) {
      this.#place = place
      return this.#idOf(cursor)
    }
    for (const { subscription } of here) subscription.at = place
    return this.#idOfPlace()
  }

  /** @param told where the client stands who was told; `undefined`: something else is still to come there. */
  #meetGaps(items: readonly Item[], told: Place | undefined): Batch | 'held' | undefined {
    for (const { subscription, place } of items) {
      const { isIntact, dueGap, channel } = subscription
      const { slow, afterGap } = channel.options
      if (dueGap === undefined && isIntact && slow === 'disconnect') {
        this.connection.evict('slow')
        return undefined
      }
      if (dueGap !== undefined && dueGap !== 'uncertain') continue
      subscription.skipGap(place, this.#place)
      this.#mayBeOver = true
      if (place > this.#place) subscription.at = undefined
      if (afterGap === 'now') subscription.start = this.head
    }
    const subscriptions = items.map(({ subscription }) => subscription)
    return this.#takeGaps(this.#ask(subscriptions, told, false))
  }

  /** Of a gap that goes beyond a place, something may have been before it, and is told before what was sent there. */
  #meetPartly(items: readonly Item[], upTo: Place): Batch | 'held' | undefined {
    const gaps = items.filter(({ entry, subscription }) => entry === undefined && subscription.start < upTo)
    return gaps.length === 0 ? undefined : this.#meetGaps(gaps, Math.max(upTo, this.#place))
  }

  #ask(subscriptions: readonly LiveSubscription[], told: Place | undefined, isOfAll: boolean): PendingGaps {
    const gaps = new PendingGaps(this.shared, this.connection, told)
    this.#gaps = gaps
    gaps.ask(subscriptions, isOfAll, () => this.connection.output.flush())
    return gaps
  }

  /** The id comes with the last of the frames: a client that is cut off before has not got over the gap. */
  #takeGaps(gaps: PendingGaps): Batch | 'held' {
    if (this.connection.state === 'closing') gaps.giveUp()
    const { texts, place } = gaps
    if (texts === undefined) return this.#waitInRound()
    this.#gaps = undefined
    this.#goOnInRound()
    gaps.skip(this.#place)
    if (place === undefined) return new Batch(texts.join(''), texts.length)
    this.#place = Math.max(this.#place, place)
    const id = this.#idOfPlace()
    this.#noteTold(this.#place)
    const end = texts.length - 1
    return new Batch(texts.map((text, i) => (i === end ? withId(id, text) : text)).join(''), texts.length)
  }

  /** Tells the client where it stands. */
  #tell(event: string | false = this.connection.cursorEvent): Batch {
    const id = this.#idOfPlace()
    this.#noteTold(this.#place)
    return idBatch(id, event)
  }

  #noteTold(place: Place): void {
    this.#hasBegun = true
    this.#told = place
    this.#passedBytes = 0
    if (this.#untold !== undefined && place >= this.#untold) this.#untold = undefined
    this.#endOldest()
  }

  /** Something was given: what is dropped from now on is missed. */
  #endOldest(): void {
    if (!this.#hasOldest) return
    this.#hasOldest = false
    for (const subscription of this.#list) subscription.isOldest = false
  }

  #idOfPlace(): string {
    return this.#idOf(this.shared.history.cursorAt(this.#place))
  }

  /** What says where the client stands in all its channels. @param cursor the connection's place. */
  #idOf(cursor: string): string {
    const resumption = this.#resumption
    const exceptions = this.#exceptions()
    if (resumption === undefined && exceptions === undefined) return cursor
    const names = (): string[] => this.subscriptions.map(({ channel }) => channel.name)
    const unused = resumption?.unusedExceptions(names) ?? []
    return formatId(cursor, new Map([...unused, ...(exceptions ?? [])]), resumption?.uncertaintyWith(names))
  }

  /** Where those stand that have not caught up with the connection's place. */
  #exceptions(): Map<string, Place> | undefined {
    const behind = this.#list.behind(this.#place)
    if (behind.length === 0) return undefined
    if (behind.length > MAX_EXCEPTIONS)
      return new Map([[ALL, behind.reduce((lowest, { standsAt }) => Math.min(lowest, standsAt), Infinity)]])
    const exceptions = new Map<string, Place>()
    for (const { standsAt, channel } of behind) {
      const hash = hashOf(channel.name)
      exceptions.set(hash, Math.min(standsAt, exceptions.get(hash) ?? standsAt))
    }
    return exceptions
  }
}
