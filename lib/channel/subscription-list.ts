import type { Heap } from '../base/heap.ts'
import type { Place } from '../history/place.ts'
import { FIRST, type Item, type LiveSubscription } from './live-subscription.ts'

/** A connection's subscriptions in the order in which they began, also those that have ended and have something to give. */
export class SubscriptionList implements Iterable<LiveSubscription> {
  #oldest: LiveSubscription | undefined
  #newest: LiveSubscription | undefined
  /** Those that may have something to give, as a list of their own. */
  #listed: LiveSubscription | undefined
  #active = 0
  #ended = 0
  /** Whether some may have ended with their channels. */
  mayBeOver = false
  /** Whether some begin with the oldest message that is kept when something is first given. */
  #hasOldest = false

  get isEmpty(): boolean {
    return this.#oldest === undefined
  }

  /** How many have not ended. */
  get size(): number {
    return this.#active
  }

  get active(): LiveSubscription[] {
    return [...this].filter(({ active }) => active)
  }

  get first(): LiveSubscription | undefined {
    return this.#oldest
  }

  /** Whether any may have something to give. */
  get hasListed(): boolean {
    return this.#listed !== undefined
  }

  /** The one that may have something to give, if there is no other. */
  get onlyListed(): LiveSubscription | undefined {
    return this.#listed?.nextListed === undefined ? this.#listed : undefined
  }

  *[Symbol.iterator](): Generator<LiveSubscription> {
    for (let next = this.#oldest; next !== undefined; next = next.newer) yield next
  }

  has(subscription: LiveSubscription): boolean {
    return subscription.older !== undefined || this.#oldest === subscription
  }

  add(subscription: LiveSubscription): void {
    subscription.older = this.#newest
    if (this.#newest === undefined) this.#oldest = subscription
    else this.#newest.newer = subscription
    this.#newest = subscription
    this.#active++
    this.noteOldest(subscription)
  }

  end(subscription: LiveSubscription, place: Place): void {
    subscription.end = place
    this.#active--
    this.#ended++
  }

  /** The channel may have ended. */
  noteEnd({ window }: LiveSubscription['channel']): void {
    this.mayBeOver ||= window.isEnded
  }

  /** It is known where it begins. */
  noteOldest({ isOldest }: LiveSubscription): void {
    this.#hasOldest ||= isOldest
  }

  /** Something was given: what is dropped from now on is missed. */
  endOldest(): void {
    if (!this.#hasOldest) return
    this.#hasOldest = false
    for (const subscription of this) subscription.isOldest = false
  }

  /** It has ended, and has nothing to give. */
  forget(subscription: LiveSubscription): void {
    this.unlist(subscription)
    const { older, newer, channel } = subscription
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    subscription.older = undefined
    subscription.newer = undefined
    this.#ended--
    channel.subscriptionOnForget(subscription)
  }

  isListed(subscription: LiveSubscription): boolean {
    return subscription.previousListed !== undefined || this.#listed === subscription
  }

  list(subscription: LiveSubscription): void {
    if (this.isListed(subscription)) return
    subscription.nextListed = this.#listed
    if (this.#listed !== undefined) this.#listed.previousListed = subscription
    this.#listed = subscription
  }

  unlist(subscription: LiveSubscription): void {
    if (!this.isListed(subscription)) return
    const { previousListed, nextListed } = subscription
    subscription.isBehind = false
    subscription.newest = undefined
    if (previousListed === undefined) this.#listed = nextListed
    else previousListed.nextListed = nextListed
    if (nextListed !== undefined) nextListed.previousListed = previousListed
    subscription.previousListed = undefined
    subscription.nextListed = undefined
  }

  /** What has ended is remembered as long as others catch up with what it may have given. */
  forgetEnded(): void {
    if (this.#ended === 0) return
    for (const subscription of [...this]) {
      if (!subscription.active && !this.isListed(subscription)) this.forget(subscription)
    }
  }

  /** Whether any that may have something to give is chosen by a filter. */
  hasFilter(): boolean {
    for (let next = this.#listed; next !== undefined; next = next.nextListed) {
      if (next.filter !== undefined) return true
    }
    return false
  }

  /** Those that have not caught up with the connection's place, all of which may have something to give. */
  behind(place: Place): LiveSubscription[] {
    const behind: LiveSubscription[] = []
    for (let next = this.#listed; next !== undefined; next = next.nextListed) {
      if (next.standsAt < place) behind.push(next)
    }
    return behind
  }

  /**
   * What all have next that may have something; only those that are behind the connection's place, if any are.
   *
   * @param place the connection's.
   */
  nextItems(place: Place): Item[] {
    const items: Item[] = []
    let isCatchingUp = false
    let isLoading = false
    let next: LiveSubscription | undefined
    for (let subscription = this.#listed; subscription !== undefined; subscription = next) {
      next = subscription.nextListed
      isLoading ||= subscription.isLoading
      if (subscription.isLoading) continue
      const item = nextOf(this, subscription, place)
      if (item === undefined) continue
      items.push(item)
      isCatchingUp ||= subscription.at !== undefined && item.place <= place
    }
    if (!isCatchingUp) {
      if (!isLoading) this.forgetEnded()
      return items
    }
    return items.filter((item) => item.place <= place || item.place === FIRST)
  }

  /** Adds what comes after what was passed; not what does not belong to those that are behind any more. */
  refresh(items: Heap<Item>, passed: readonly Item[], place: Place): void {
    for (const { subscription } of passed) {
      const wasBehind = subscription.at !== undefined
      const next = nextOf(this, subscription, place)
      const isOut = next === undefined || (wasBehind && next.place > place)
      if (!isOut) items.add(next, next.place)
    }
  }
}

/** A gap begins where the subscription is, wherever it ends and however far others come before it is told. */
function nextOf(list: SubscriptionList, subscription: LiveSubscription, place: Place): Item | undefined {
  const item = subscription.next(place)
  if (item === undefined || (item.place > place && item.entry !== undefined)) subscription.at = undefined
  else if (item.place > place) subscription.at ??= place
  if (item === undefined) list.unlist(subscription)
  return item
}

/** The place of what comes first; `Infinity` if there is nothing. */
export function lowest(items: readonly Item[]): Place {
  let place = Infinity
  for (const item of items) if (item.place < place) place = item.place
  return place
}
