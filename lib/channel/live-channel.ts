import { checked, invalid } from '../base/check.ts'
import { FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED } from '../base/errors.ts'
import { isThenable, ObservedPromise } from '../base/promises.ts'
import { Connection } from '../connection/connection.ts'
import type { AnyConnection } from '../connection/sse-connection.ts'
import { END_TEXT } from '../history/entry.ts'
import { type Cursor, type Place, placeOfTime, timeOfCursor } from '../history/place.ts'
import type { Follower, Window } from '../history/window.ts'
import { assertUndeclared } from '../wire/declared-events.ts'
import type { Frame } from '../wire/frame.ts'
import type {
  ChannelInfo,
  ChannelOptions,
  From,
  Publishable,
  PublishOptions,
  ReadItem,
  ReadOptions,
  SubscribeOptions,
  Subscription
} from './channel.ts'
import {
  READ_CHECKS,
  type ResolvedChannelOptions,
  resolveChannelOptions,
  SUBSCRIBE_CHECKS
} from './channel-options.ts'
import { ConnectionCursor } from './connection-cursor.ts'
import { hashOf } from './last-event-id.ts'
import {
  FROM_THE_FIRST,
  type LiveSubscription,
  type Loading,
  type Start,
  type SubscribedChannel,
  startAt
} from './live-subscription.ts'
import { read } from './read.ts'
import type { NewsSource, Readership } from './rounds.ts'
import type { Shared } from './shared.ts'

/** What a channel needs of all of them. */
export interface ChannelHost {
  readonly shared: Shared
  /** Whether the connection is of this registration. */
  isOwn(connection: Connection): boolean
  /** @throws what encoding a message throws, also if it has an id, or is none of the declared events. */
  encode(message: Publishable, channel: ResolvedChannelOptions): Frame
  publish(name: string, messages: unknown, options: PublishOptions | undefined): Promise<never>
  end(channel: LiveChannel, last: Publishable | undefined): Promise<void>
  /** It has subscriptions or readers, or none any more. */
  channelOnUse(channel: LiveChannel): void
  channelOnIdle(channel: LiveChannel): void
  /** Somebody follows it, and nothing is there: neither a message nor an end. */
  channelOnEmpty(channel: LiveChannel): void
}

const NO_OPTIONS: Readonly<object> = Object.freeze({})

export class LiveChannel implements SubscribedChannel, NewsSource, Follower {
  readonly name: string
  readonly #host: ChannelHost
  #options: ResolvedChannelOptions
  #hash: string | undefined
  #window: Window | undefined
  readonly #subscriptions = new Map<Connection, LiveSubscription>()
  /** Those that have ended and have something to give. */
  readonly #ended = new Map<Connection, Set<LiveSubscription>>()
  /** Those that wait for what is kept from before. */
  readonly #loading = new Set<Loading>()
  /** Those of no connection. */
  readonly #readers = new Set<Readership>()
  /** How many of all these there are. */
  #uses = 0
  /** After which its first message is, or was. */
  first: Place = 0

  constructor(host: ChannelHost, name: string, options: ResolvedChannelOptions) {
    this.#host = host
    this.name = name
    this.#options = options
  }

  get options(): ResolvedChannelOptions {
    return this.#options
  }

  get hash(): string {
    this.#hash ??= hashOf(this.name)
    return this.#hash
  }

  get size(): number {
    return this.#subscriptions.size
  }

  /** Whether it has a subscription or a reader here. */
  get isUsed(): boolean {
    return this.#uses > 0
  }

  get subscriptions(): readonly LiveSubscription[] {
    return [...this.#subscriptions.values()]
  }

  get window(): Window {
    return this.#window ?? this.#host.shared.history.window(this.name, this.#options)
  }

  /** Ends a subscription, which is given nothing: what its client brought is not used up by it. */
  withdraw(subscription: LiveSubscription): void {
    if (!subscription.active) return
    this.#remove(subscription)
    subscription.subscriber.undo(subscription)
    this.#tellEnded(subscription)
  }

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
  configure(given: ChannelOptions): void {
    this.#options = resolveChannelOptions(this.#options, given)
    if (this.#window !== undefined) this.#window.limits = this.#options
  }

  publish(message: Publishable, options?: PublishOptions): Promise<Cursor>
  publish(messages: readonly Publishable[], options?: PublishOptions): Promise<readonly Cursor[]>
  publish(messages: unknown, options?: PublishOptions): Promise<never> {
    return this.#host.publish(this.name, messages, options)
  }

  end(last?: Publishable): Promise<void> {
    return this.#host.end(this, last)
  }

  clear(): Promise<void> {
    const cleared = this.#host.shared.history.clear(this.window)
    return ObservedPromise.of(cleared, (err) => this.#logFailed('clear()', err))
  }

  subscribe(connection: AnyConnection, options: SubscribeOptions = NO_OPTIONS): Subscription {
    const given = options === NO_OPTIONS ? options : checked(options, SUBSCRIBE_CHECKS)
    if (!(connection instanceof Connection) || !this.#host.isOwn(connection)) {
      throw invalid('the connection', 'what reply.sseStart() of the same registration returned', connection)
    }
    if (connection.state === 'closing' || connection.state === 'closed')
      return endedSubscription(this, connection)
    const known = this.#subscriptions.get(connection)
    if (known !== undefined) {
      if (known.isLike(given)) return known
      throw new FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED(this.name)
    }
    assertUndeclared(this.#options.events, 'cursorEvent', connection.cursorEvent)
    return this.#subscribe(connection, given)
  }

  read(options: ReadOptions = NO_OPTIONS): AsyncIterableIterator<ReadItem> {
    const { from = 'oldest', signal } = checked(options, READ_CHECKS)
    const { history, messages } = this.#host.shared
    return read({
      start: this.#startOf(from),
      history,
      messages,
      signal,
      open: (readership) => {
        this.#readers.add(readership)
        this.#tellUse()
        return this.#use()
      },
      load: (loading) => this.load(loading),
      close: (readership) => {
        this.#readers.delete(readership)
        this.#tellUse()
        this.#release()
      }
    })
  }

  async info(): Promise<ChannelInfo> {
    const { history } = this.#host.shared
    const { messages, isEnded } = (await history.read(this.name)) ?? this.window.all()
    const kept = messages.filter(({ text }) => text !== END_TEXT)
    const cursorOf = (at: number): Cursor | undefined => {
      const place = kept.at(at)?.place
      return place === undefined ? undefined : history.cursorAt(place)
    }
    return {
      subscriptions: this.size,
      messages: kept.length,
      bytes: kept.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0),
      oldest: cursorOf(0),
      newest: cursorOf(-1),
      ended: isEnded
    }
  }

  textOf(message: Publishable): string {
    return this.#host.encode(message, this.#options).text
  }

  readerships(): IterableIterator<Readership> {
    if (this.#ended.size === 0 && this.#readers.size === 0) return this.#subscriptions.values()
    const ended = [...this.#ended.values()].flatMap((subscriptions) => [...subscriptions])
    return [...this.#subscriptions.values(), ...ended, ...this.#readers].values()
  }

  windowOnAppend(): void {
    this.#host.shared.rounds.add(this)
    this.#tellIfEmpty()
  }

  windowOnLoad(): void {
    for (const loading of [...this.#loading]) this.#resume(loading)
    const { rounds } = this.#host.shared
    const { dropped, newest } = this.window
    // Those who look before others were told of what is before it do not see it yet.
    if (Math.max(dropped, newest?.place ?? 0) > rounds.mark) rounds.add(this)
  }

  windowOnFork(place: Place): void {
    for (const readership of this.readerships()) readership.noteFork(place)
  }

  /** Tells when all that is kept after a place is there: at once, or later. */
  load(loading: Loading): void {
    this.#loading.add(loading)
    this.#resume(loading)
  }

  subscriptionOnEnd(subscription: LiveSubscription): void {
    this.#remove(subscription)
    const { connection } = subscription
    this.#ended.set(connection, (this.#ended.get(connection) ?? new Set()).add(subscription))
    this.#tellEnded(subscription)
  }

  subscriptionOnForget(subscription: LiveSubscription): void {
    const { connection } = subscription
    const ended = this.#ended.get(connection)
    if (ended?.delete(subscription) && ended.size === 0) this.#ended.delete(connection)
    this.#release()
  }

  /** What is left of earlier ones is given by the new one, from where it begins. Of those that have nothing but a gap, one tells it. */
  subscriptionOnBegin(subscription: LiveSubscription): void {
    let hasGap = false
    for (const earlier of this.#ended.get(subscription.connection) ?? []) {
      if (earlier === subscription) break
      if (earlier.rest === 'messages') subscription.goOnAfter(earlier)
      earlier.end = Math.min(earlier.end, subscription.start)
      const { rest } = earlier
      if (rest === undefined || (rest === 'gap' && hasGap)) earlier.subscriber.undo(earlier)
      hasGap ||= rest === 'gap'
    }
  }

  #subscribe(connection: Connection, given: SubscribeOptions): LiveSubscription {
    const { from = 'now', notBefore } = given
    const cursor = this.#cursorOf(connection)
    const earliest = notBefore === undefined ? 0 : this.#earliest(notBefore)
    this.#use()
    const subscription = cursor.subscribe(this, this.#startOf(from), earliest, given)
    this.#subscriptions.set(connection, subscription)
    this.#tellUse()
    this.#host.shared.counters.subscriptions++
    try {
      this.#observe('onSubscribe', this.#options.onSubscribe?.(subscription))
    } catch (error) {
      this.#remove(subscription)
      cursor.undo(subscription)
      throw error
    }
    if (!subscription.isLoading) {
      this.subscriptionOnBegin(subscription)
      this.#tellIfEmpty()
    }
    connection.startHead()
    connection.output.feedOnChange()
    return subscription
  }

  #cursorOf(connection: Connection): ConnectionCursor {
    const { feed } = connection.output
    if (feed instanceof ConnectionCursor) return feed
    const cursor = new ConnectionCursor(connection, this.#host.shared)
    connection.output.attach(cursor)
    return cursor
  }

  #startOf(from: From): Start {
    const { history } = this.#host.shared
    if (from === 'now') return { ...FROM_THE_FIRST, place: history.stampFor(this.name), isPast: false }
    if (from === 'oldest') return { ...FROM_THE_FIRST, isOldest: true }
    if (from === 'first') return startAt(this.first)
    if (typeof from === 'object') return { ...FROM_THE_FIRST, last: from.last }
    const place = history.placeOf(from)
    if (place !== undefined) return startAt(place)
    const known = history.prove(from)?.then(() => startAt(history.placeOf(from)))
    return known === undefined ? startAt(undefined) : { ...FROM_THE_FIRST, later: known }
  }

  #resume(loading: Loading): void {
    if (!this.window.has(loading.place)) {
      this.window.want(loading.place)
      return
    }
    this.#loading.delete(loading)
    loading.loadingOnEnd()
    this.#tellIfEmpty()
  }

  #earliest(notBefore: Cursor | Date): Place {
    return typeof notBefore === 'string' ? Number(timeOfCursor(notBefore)) : placeOfTime(notBefore)
  }

  #use(): Window {
    this.#uses++
    if (this.#window === undefined) {
      this.#window = this.window
      this.#window.limits = this.#options
      this.#window.follow(this)
      // What nobody followed yet is held until it has been offered, too.
      if (this.#window.length > 0) this.#host.shared.rounds.add(this)
    }
    return this.#window
  }

  #release(): void {
    this.#uses--
    if (this.#uses > 0 || this.#window === undefined) return
    const window = this.#window
    this.#window = undefined
    this.#loading.clear()
    window.unfollow()
    this.#host.shared.batches.drop(window)
  }

  #remove(subscription: LiveSubscription): void {
    if (this.#subscriptions.get(subscription.connection) !== subscription) return
    this.#subscriptions.delete(subscription.connection)
    this.#host.shared.counters.subscriptions--
    this.#tellUse()
  }

  #tellIfEmpty(): void {
    const { newest, isEnded } = this.window
    if (newest === undefined && !isEnded) this.#host.channelOnEmpty(this)
  }

  #tellUse(): void {
    if (this.#subscriptions.size > 0 || this.#readers.size > 0) this.#host.channelOnUse(this)
    else this.#host.channelOnIdle(this)
  }

  #tellEnded(subscription: LiveSubscription): void {
    try {
      this.#observe('onUnsubscribe', this.#options.onUnsubscribe?.(subscription))
    } catch (err) {
      this.#logFailed('onUnsubscribe', err)
    }
  }

  #observe(hook: string, result: unknown): void {
    if (isThenable(result)) result.then(undefined, (err: unknown) => this.#logFailed(hook, err))
  }

  #logFailed(hook: string, err: unknown): void {
    this.#host.shared.log.error({ err, channel: this.name }, `${hook} failed`)
  }
}

/** What `subscribe()` returns for a connection that has ended. */
function endedSubscription(channel: LiveChannel, connection: Connection): Subscription {
  return Object.freeze({ channel, connection, openedAt: Date.now(), active: false, unsubscribe() {} })
}
