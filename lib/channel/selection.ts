import { FST_ERR_EVENTSTREAM_INVALID_OPTION } from '../base/errors.ts'
import { isThenable } from '../base/thenable.ts'
import type { Connection } from '../connection/connection.ts'
import { END_TEXT, type Entry } from '../history/window.ts'
import type { Item, LiveSubscription } from './live-subscription.ts'
import { NewestOfKeys } from './newest-of-keys.ts'
import type { Shared } from './shared.ts'
import type { SubscriptionList } from './subscription-list.ts'

/** How long filters are asked at a stretch, but for the last message. */
const FILTER_MS = 1

/** Which of the messages that a connection's subscriptions cover it is given. */
export class Selection {
  readonly #connection: Connection
  readonly #shared: Shared
  readonly #list: SubscriptionList
  /** Whether a filter has answered what none may, so that the stream ends. */
  #hasFailed = false

  constructor(connection: Connection, shared: Shared, list: SubscriptionList) {
    this.#connection = connection
    this.#shared = shared
    this.#list = list
  }

  get hasFailed(): boolean {
    return this.#hasFailed
  }

  /** Tells when filters have been asked for long enough, so that others have their turn. */
  clock(): () => boolean {
    if (!this.#list.hasFilter()) return isNever
    const end = performance.now() + FILTER_MS
    return () => performance.now() >= end
  }

  /**
   * Whether one of the subscriptions gives a message that all of them have next.
   *
   * @param isBehind whether the connection cannot keep up.
   * @param isOver `clock()`. `'later'`: it was over before this could be told.
   */
  gives(here: readonly Item[], entry: Entry, isBehind: boolean, isOver: () => boolean): boolean | 'later' {
    if (here[0]?.subscription.at !== undefined && this.#wasGiven(entry)) return false
    if (entry.text === END_TEXT) return true
    for (const { subscription } of here) {
      if (!this.#chooses(subscription, entry)) continue
      const isReplaced = this.#isReplaced(subscription, entry, isBehind, isOver)
      if (isReplaced !== true) return isReplaced === 'later' ? 'later' : true
    }
    return false
  }

  /** Whether one that has come further has given a message that others are catching up with. */
  #wasGiven(entry: Entry): boolean {
    const { place, channels } = entry
    if (channels.length === 1) return false
    for (const subscription of this.#list) {
      if (!subscription.hasPassed(place) || !channels.includes(subscription.channel.name)) continue
      if (this.#chooses(subscription, entry)) return true
    }
    return false
  }

  /** Whether a newer message of its key will be given instead, to a subscription that is behind. */
  #isReplaced(
    subscription: LiveSubscription,
    entry: Entry,
    isBehind: boolean,
    isOver: () => boolean
  ): boolean | 'later' {
    const { channel, filter, active, end } = subscription
    if (channel.options.slow !== 'latest' || !(isBehind || subscription.isBehind)) return false
    // What is only passing may be gone before its reader comes to it.
    if (!entry.isKept || entry.isEnd) return false
    if (filter === undefined && active) return channel.window.newestOf(entry.key) !== entry
    subscription.newest ??= new NewestOfKeys(channel.window, Math.min(end, this.#shared.history.head))
    const chooses = (other: Entry): boolean => this.#chooses(subscription, other)
    return subscription.newest.look(entry.place, chooses, isOver)
      ? subscription.newest.replaces(entry)
      : 'later'
  }

  #chooses({ filter, channel }: LiveSubscription, entry: Entry): boolean {
    if (filter === undefined || this.#hasFailed) return !this.#hasFailed
    const message = this.#shared.messages.of(entry)
    try {
      const answer: unknown = filter(message)
      if (!isThenable(answer)) return Boolean(answer)
      answer.then(undefined, () => {})
      this.#fail(channel.name)
    } catch (err) {
      const { log } = this.#connection.request
      message.reportOnce(() => log.error({ err, channel: channel.name, id: message.id }, 'a filter failed'))
    }
    return false
  }

  /** A filter that answers later chooses everything or nothing, and neither is what was meant. */
  #fail(channel: string): void {
    this.#hasFailed = true
    const err = new FST_ERR_EVENTSTREAM_INVALID_OPTION(
      'Expected filter to return true or false, got a promise'
    )
    this.#connection.request.log.error({ err, channel }, 'a filter failed')
    this.#connection.fail(err)
  }
}

function isNever(): boolean {
  return false
}
