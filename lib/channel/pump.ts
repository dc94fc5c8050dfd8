import type { Batch } from '../wire/batch.ts'
import type { Connection, Feed } from '../connection/connection.ts'
import { FST_ERR_EVENTSTREAM_TOO_MANY_CHANNELS } from '../base/errors.ts'
import { MAX_CURSOR_LENGTH, MAX_ID_LENGTH } from './last-event-id.ts'
import { idBatch, LiveSubscription } from './subscription.ts'

/**
 * Several subscriptions of one connection; a single one feeds it by itself, until there is a second. What they give is
 * merged in the order in which it arrived, and the ids say where the connection stands in each of the channels, also
 * when only one is left: a cursor without a name could be any channel's.
 */
class Pump implements Feed {
  readonly subscriptions: LiveSubscription[]

  constructor(...subscriptions: LiveSubscription[]) {
    this.subscriptions = subscriptions
  }

  get isActive(): boolean {
    return this.subscriptions.length > 0
  }

  get isDue(): boolean {
    return this.subscriptions.some(({ isDue }) => isDue)
  }

  take(limit: number): Batch | undefined {
    const batch = this.#takeFirst(limit + 1)
    if (batch !== undefined) {
      this.#isTold()
      return batch
    }
    return this.subscriptions.some((subscription) => subscription.isNewAt(limit)) ? this.#takeId() : undefined
  }

  takeHeartbeat(): Batch | undefined {
    return this.subscriptions.some(({ isTold }) => !isTold) ? this.#takeId() : undefined
  }

  connectionOnBlock(): void {
    for (const subscription of this.subscriptions) subscription.connectionOnBlock()
  }

  connectionOnClose(): void {
    for (const subscription of [...this.subscriptions]) subscription.end()
  }

  #takeFirst(before: number): Batch | undefined {
    const [only, another] = this.subscriptions
    if (only === undefined) return undefined
    return another === undefined ? only.advance(this.#idPrefixOf(only), before) : this.#merge(before)
  }

  /**
   * Takes from the subscription whose next message arrived first, as far as it is ahead of all others. Nobody waits for
   * what is not there yet.
   */
  #merge(before: number): Batch | undefined {
    let waiting: Set<LiveSubscription> | undefined
    for (;;) {
      let first: LiveSubscription | undefined
      let firstArrival = before
      let secondArrival = before
      for (const subscription of this.subscriptions) {
        const nextArrival = waiting?.has(subscription) ? Infinity : subscription.nextArrival
        if (nextArrival < firstArrival) {
          secondArrival = firstArrival
          first = subscription
          firstArrival = nextArrival
        } else if (nextArrival < secondArrival) {
          secondArrival = nextArrival
        }
      }
      if (first === undefined) return this.#caughtUp()
      const { cursor } = first
      const batch = first.advance(this.#idPrefixOf(first), secondArrival)
      if (batch !== undefined) return batch
      if (first.cursor === cursor) waiting = (waiting ?? new Set()).add(first)
    }
  }

  #caughtUp(): undefined {
    for (const subscription of this.subscriptions) if (!subscription.isBehind) subscription.caughtUp()
  }

  #idPrefixOf(subscription: LiveSubscription): string {
    const others = this.subscriptions.filter((other) => other !== subscription)
    return [...partsOf(others), `${subscription.encodedName}=`].join('&')
  }

  #takeId(): Batch | undefined {
    const [first] = this.subscriptions
    if (first === undefined || this.subscriptions.some(({ isPlaced }) => !isPlaced)) return undefined
    this.#isTold()
    return idBatch(partsOf(this.subscriptions).join('&'), first.connection)
  }

  #isTold(): void {
    for (const subscription of this.subscriptions) subscription.idOnWrite()
  }
}

function partsOf(subscriptions: readonly LiveSubscription[]): string[] {
  return subscriptions.map(({ idPart }) => idPart).filter((part) => part !== undefined)
}

export function subscriptionsOf({ feed }: Connection): readonly LiveSubscription[] {
  if (feed instanceof Pump) return feed.subscriptions
  return feed instanceof LiveSubscription ? [feed] : []
}

export function addSubscription(subscription: LiveSubscription): void {
  const { connection } = subscription
  const { feed } = connection
  if (feed instanceof Pump) feed.subscriptions.push(subscription)
  else if (feed instanceof LiveSubscription) connection.attach(new Pump(feed, subscription))
  else connection.attach(subscription)
}

export function removeSubscription(subscription: LiveSubscription): void {
  const { connection } = subscription
  const { feed } = connection
  if (feed instanceof Pump) feed.subscriptions.splice(feed.subscriptions.indexOf(subscription), 1)
  else connection.attach(undefined)
}

/** Of each connection, the names of channels whose subscriptions have ended. */
const left = new WeakMap<Connection, Set<string>>()

export function noteLeft({ connection, encodedName }: LiveSubscription): void {
  if (connection.state === 'closed') return
  const names = left.get(connection) ?? new Set()
  left.set(connection, names.add(encodedName))
}

/** Whether the connection was subscribed before, so that what its client brought is history. */
export function hasLeft(encodedName: string, connection: Connection): boolean {
  return left.get(connection)?.has(encodedName) === true
}

/** @throws FST_ERR_EVENTSTREAM_TOO_MANY_CHANNELS when one more could make a connection's ids too long. */
export function assertRoomFor(channel: { name: string; encodedName: string }, connection: Connection): void {
  const names = [channel, ...subscriptionsOf(connection)].map(({ encodedName }) => encodedName)
  const length = names.reduce((sum, name) => sum + name.length + '=&'.length + MAX_CURSOR_LENGTH, 0)
  if (length > MAX_ID_LENGTH) throw new FST_ERR_EVENTSTREAM_TOO_MANY_CHANNELS(channel.name, length)
}
