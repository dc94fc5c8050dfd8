import { FST_ERR_EVENTSTREAM_INVALID_OPTION } from '../base/errors.ts'
import { Heap } from '../base/heap.ts'
import { isThenable } from '../base/promises.ts'
import type { Connection } from '../connection/connection.ts'
import { END_TEXT, type Entry } from '../history/entry.ts'
import type { Place } from '../history/place.ts'
import { Batch, ID_LINE_BYTES, PIECE_BYTES, withId } from '../wire/batch.ts'
import { FIRST, type Item, type LiveSubscription } from './live-subscription.ts'
import { NewestOfKeys } from './newest-of-keys.ts'
import type { Position } from './position.ts'
import type { Shared } from './shared.ts'
import { lowest, type SubscriptionList } from './subscription-list.ts'

/** How long filters are asked at a stretch, but for the last message. */
const FILTER_MS = 1

/** Gaps that come next, and are told together. */
export class MetGaps {
  readonly subscriptions: readonly LiveSubscription[]
  /** Where the client stands who was told; `undefined`: something else is still to come there. */
  readonly told: Place | undefined

  constructor(items: readonly Item[], told: Place | undefined) {
    this.subscriptions = items.map(({ subscription }) => subscription)
    this.told = told
  }
}

/** Which of the messages that a connection's subscriptions cover it is given, merged in the order of places. */
export class Selection {
  readonly #connection: Connection
  readonly #shared: Shared
  readonly #list: SubscriptionList
  readonly #position: Position
  /** Whether the connection cannot keep up. */
  #isBehind = false
  /** Tells when filters have been asked for long enough, so that others have their turn. */
  #isOver: () => boolean = isNever
  /** Whether a filter has answered what none may, so that the stream ends. */
  #hasFailed = false

  constructor(connection: Connection, shared: Shared, list: SubscriptionList, position: Position) {
    this.#connection = connection
    this.#shared = shared
    this.#list = list
    this.#position = position
  }

  get hasFailed(): boolean {
    return this.#hasFailed
  }

  /**
   * Takes what comes next, at or before a place.
   *
   * @param isLast whether something else comes then.
   * @param isBehind whether the connection cannot keep up.
   */
  take(upTo: Place, isLast: boolean, isBehind: boolean): Batch | 'later' | MetGaps | undefined {
    this.#begin(isBehind)
    for (;;) {
      const { place } = this.#position
      const items = this.#list.nextItems(place)
      const first = lowest(items)
      if (first > upTo) return isLast ? this.#meetPartly(items, upTo) : undefined
      const gaps = items.filter((item) => item.place === first && item.entry === undefined)
      if (gaps.length > 0) {
        const isAlone = items.every((item) => item.place !== first || item.entry === undefined)
        const isMain = first !== FIRST && first > place
        return this.#meetGaps(gaps.reverse(), isMain ? (isAlone ? first : undefined) : place)
      }
      const taken = this.#takeMessages(items, upTo)
      if (this.#hasFailed || taken !== undefined) return taken
    }
  }

  /** @returns `undefined`: the connection is too slow. */
  #meetGaps(items: readonly Item[], told: Place | undefined): MetGaps | undefined {
    const given = this.#position.place
    for (const { subscription, place } of items) {
      const { isIntact, dueGap, channel } = subscription
      const { slow, afterGap } = channel.options
      if (dueGap === undefined && isIntact && slow === 'disconnect') {
        this.#connection.evict('slow')
        return undefined
      }
      if (dueGap !== undefined && dueGap !== 'uncertain') continue
      subscription.skipGap(place, given)
      this.#list.mayBeOver = true
      if (place > given) subscription.at = undefined
      if (afterGap === 'now') subscription.start = this.#shared.history.head
    }
    return new MetGaps(items, told)
  }

  /** Of a gap that goes beyond a place, something may have been before it, and is told before what was sent there. */
  #meetPartly(items: readonly Item[], upTo: Place): MetGaps | undefined {
    const gaps = items.filter(({ entry, subscription }) => entry === undefined && subscription.start < upTo)
    return gaps.length === 0 ? undefined : this.#meetGaps(gaps, Math.max(upTo, this.#position.place))
  }

  #begin(isBehind: boolean): void {
    this.#isBehind = isBehind
    if (!this.#list.hasFilter()) {
      this.#isOver = isNever
      return
    }
    const end = performance.now() + FILTER_MS
    this.#isOver = () => performance.now() >= end
  }

  /**
   * Takes messages until there is a gap, or enough.
   *
   * @returns `undefined` if none of those that could be given was chosen.
   */
  #takeMessages(items: readonly Item[], upTo: Place): Batch | 'later' | undefined {
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
      const isGiven = this.#gives(here, entry)
      if (this.#hasFailed) return undefined
      isLater = isGiven === 'later'
      if (isLater) break
      const id = this.#passTo(here, entry)
      const byteLength = entry.byteLength + id.length + ID_LINE_BYTES
      if (isGiven === true) {
        this.#list.endOldest()
        text += withId(id, entry.text)
        bytes += byteLength
        count++
      } else {
        this.#position.pass(byteLength)
      }
      if (bytes >= PIECE_BYTES || this.#position.hasPassedMuch) break
      this.#list.refresh(queue, here, this.#position.place)
      isLater = this.#isOver()
    }
    if (count > 0) {
      this.#position.note(this.#position.place)
      this.#shared.counters.delivered += count
      return new Batch(text, count)
    }
    if (this.#position.hasPassedMuch) return this.#position.tell(this.#connection.cursorEvent)
    return isLater ? 'later' : undefined
  }

  /** Moves past a message. @returns the id of who has come there. */
  #passTo(here: readonly Item[], { place, cursor, isEnd }: Entry): string {
    this.#list.mayBeOver ||= isEnd
    if (here[0]?.subscription.at === undefined) {
      this.#position.moveTo(place)
      return this.#position.idOf(cursor)
    }
    for (const { subscription } of here) subscription.at = place
    return this.#position.id
  }

  /** Whether one of the subscriptions gives a message that all of them have next. `'later'`: there was no time to find out. */
  #gives(here: readonly Item[], entry: Entry): boolean | 'later' {
    if (here[0]?.subscription.at !== undefined && this.#wasGiven(entry)) return false
    if (entry.text === END_TEXT) return true
    for (const { subscription } of here) {
      if (!this.#chooses(subscription, entry)) continue
      const isReplaced = this.#isReplaced(subscription, entry)
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
  #isReplaced(subscription: LiveSubscription, entry: Entry): boolean | 'later' {
    const { channel, filter, active, end } = subscription
    if (channel.options.slow !== 'latest' || !(this.#isBehind || subscription.isBehind)) return false
    // What is only passing may be gone before its reader comes to it.
    if (!entry.isKept || entry.isEnd) return false
    if (filter === undefined && active) return channel.window.newestOf(entry.key) !== entry
    subscription.newest ??= new NewestOfKeys(channel.window, Math.min(end, this.#shared.history.head))
    const chooses = (other: Entry): boolean => this.#chooses(subscription, other)
    return subscription.newest.look(entry.place, chooses, this.#isOver)
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
