import type { History } from '../history/history.ts'
import type { Place } from '../history/place.ts'
import type { Window } from '../history/window.ts'
import type { GapReason } from './channel.ts'
import { hashOf, parseId, type Standpoint, sumOf, type Uncertainty } from './last-event-id.ts'
import type { LiveSubscription } from './live-subscription.ts'

/** What a client brought, for as long as that counts. */
export class Resumption {
  /** `undefined`: an id that nobody knows. */
  readonly standpoint: Standpoint | undefined
  /** Whether nobody knows the id, and the client was not told so for all channels. */
  isUntold: boolean
  readonly #history: History
  /** How far places had been lost when the id was known. */
  readonly #lostAt: Place
  /** Names of channels that it was used for, and that were left. */
  readonly #left = new Set<string>()
  #uncertainty: Uncertainty | undefined
  /** Whether those that were subscribed to when the subscriptions were taken for complete are certain. */
  isCovered = false

  constructor(id: string, history: History) {
    this.#history = history
    this.#lostAt = history.lostAt
    this.standpoint = parseId(id, history)
    this.isUntold = this.standpoint === undefined
  }

  /** Whether it counts for a channel: on the first subscription to it. */
  isFor(name: string): boolean {
    return !this.#left.has(name)
  }

  /** Where a first subscription to a channel goes on; `undefined`: where it would begin without. */
  placeOf(name: string): Place | undefined {
    if (this.standpoint === undefined) return undefined
    const { place, exceptions } = this.standpoint
    return exceptions.size === 0 ? place : (exceptions.get(hashOf(name)) ?? place)
  }

  /** The channel's next subscription is not the first. */
  leave(name: string): void {
    this.#left.add(name)
    this.setOnChange()
  }

  /** From where on it may be uncertain what the client was given. */
  get uncertainSince(): Place {
    return this.standpoint?.uncertainty?.since ?? Infinity
  }

  /** Whether the history may not know the id any more, so that channels have something before it that the client lacks. */
  get isDoubtful(): boolean {
    return this.#history.lostAt > this.#lostAt
  }

  /** What is told of a channel that is subscribed to when something was given already, or when the id is doubtful. */
  lateGap(channel: LiveSubscription['channel']): GapReason | undefined {
    if (this.isUntold) return 'unknown'
    if (this.isDoubtful) return 'uncertain'
    return this.isUncertain(channel) ? 'uncertain' : undefined
  }

  /** The subscriptions are complete: from now on it is known of which channels the id tells for certain. */
  complete(names: Iterable<string>): void {
    const { uncertainty } = this.standpoint ?? {}
    this.isCovered = uncertainty === undefined || (uncertainty.sum !== '' && uncertainty.sum === sumOf(names))
  }

  /** Whether the client may have missed some of a channel, or have been given it. */
  isUncertain({ name, window }: LiveSubscription['channel']): boolean {
    const { uncertainty, place, exceptions } = this.standpoint ?? {}
    if (uncertainty === undefined || place === undefined || exceptions?.has(hashOf(name))) return false
    return hadAny(window, uncertainty.since, place)
  }

  /** What ids must say as long as the handler may still subscribe to something. */
  uncertaintyWith(names: () => Iterable<string>): Uncertainty | undefined {
    if (this.standpoint === undefined) return undefined
    const { place, uncertainty } = this.standpoint
    this.#uncertainty ??= { since: Math.min(place, uncertainty?.since ?? place), sum: sumOf(names()) }
    return this.#uncertainty
  }

  /** Where channels stand that the handler has not subscribed to, by the hashes of their names. */
  unusedExceptions(names: () => Iterable<string>): ReadonlyMap<string, Place> {
    const unused = new Map(this.standpoint?.exceptions)
    if (unused.size > 0) for (const name of names()) unused.delete(hashOf(name))
    return unused
  }

  /** The set of subscriptions has changed. */
  setOnChange(): void {
    this.#uncertainty = undefined
  }
}

/** Whether a channel is known to have had a message after one place, and until another. */
function hadAny(window: Window, after: Place, until: Place): boolean {
  const hasDropped = window.dropped > after && window.dropped <= until
  return hasDropped || (window.entryAfter(after)?.place ?? Infinity) <= until
}
