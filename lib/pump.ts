import { Batch } from './batch.ts'
import type { Connection, Feed } from './connection.ts'
import { FST_ERR_EVENTSTREAM_TOO_MANY_CHANNELS } from './errors.ts'
import { MAX_CURSOR_LENGTH, MAX_ID_LENGTH } from './last-event-id.ts'
import type { LiveSubscription } from './subscription.ts'
import type { Channel } from './types.ts'

/**
 * All subscriptions of one connection. What they give is merged in the order in which it arrived, and its ids say where
 * the connection stands in each of the channels.
 */
export class Pump implements Feed {
  readonly #subscriptions: LiveSubscription[] = []
  /** The arrival from which on the client's id no longer tells where it stands; `Infinity` if it does. */
  #staleSince = Infinity

  /** The pump of a connection, which must take messages. */
  static of(connection: Connection): Pump {
    const { feed } = connection
    if (feed instanceof Pump) return feed
    const pump = new Pump()
    connection.attach(pump)
    return pump
  }

  get isActive(): boolean {
    return this.#subscriptions.length > 0
  }

  get isBehind(): boolean {
    return this.#subscriptions.some(({ isBehind }) => isBehind)
  }

  has(channel: Channel): boolean {
    return this.#subscriptions.some((subscription) => subscription.channel === channel)
  }

  /** @throws FST_ERR_EVENTSTREAM_TOO_MANY_CHANNELS when one more could make the ids too long. */
  assertRoomFor(channel: Channel, encodedName: string): void {
    const names = [encodedName, ...this.#subscriptions.map((subscription) => subscription.encodedName)]
    const length = names.reduce((sum, name) => sum + name.length + '=&'.length + MAX_CURSOR_LENGTH, 0)
    if (length > MAX_ID_LENGTH) throw new FST_ERR_EVENTSTREAM_TOO_MANY_CHANNELS(channel.name, length)
  }

  /** @param arrival when it started, if the client must be told where. */
  add(subscription: LiveSubscription, arrival: number): void {
    this.#subscriptions.push(subscription)
    this.#staleSince = Math.min(this.#staleSince, arrival)
  }

  remove(subscription: LiveSubscription): void {
    const index = this.#subscriptions.indexOf(subscription)
    if (index >= 0) this.#subscriptions.splice(index, 1)
  }

  take(limit: number): Batch | undefined {
    const batch = this.#takeFirst(limit + 1)
    if (batch === undefined) return this.#staleSince < limit + 1 ? this.#takeId() : undefined
    this.#staleSince = Infinity
    return batch
  }

  takeHeartbeat(): Batch | undefined {
    return this.#subscriptions.some(({ isTold }) => !isTold) ? this.#takeId() : undefined
  }

  connectionOnBlock(): void {
    for (const subscription of this.#subscriptions) subscription.connectionOnBlock()
  }

  connectionOnClose(): void {
    for (const subscription of [...this.#subscriptions]) subscription.end()
  }

  #takeFirst(before: number): Batch | undefined {
    const [only, another] = this.#subscriptions
    return another === undefined ? only?.take('', before) : this.#merge(before)
  }

  /** Takes from the subscription whose next message arrived first, as far as it is ahead of all others. */
  #merge(before: number): Batch | undefined {
    for (;;) {
      let first: LiveSubscription | undefined
      let firstArrival = before
      let secondArrival = before
      for (const subscription of this.#subscriptions) {
        const { nextArrival } = subscription
        if (nextArrival < firstArrival) {
          secondArrival = firstArrival
          first = subscription
          firstArrival = nextArrival
        } else if (nextArrival < secondArrival) {
          secondArrival = nextArrival
        }
      }
      if (first === undefined) return undefined
      const batch = first.take(this.#idPrefixOf(first), secondArrival)
      if (batch !== undefined) return batch
    }
  }

  #idPrefixOf(subscription: LiveSubscription): string {
    const others = this.#subscriptions.filter((other) => other !== subscription)
    return [...others.map(idPartOf), `${subscription.encodedName}=`].join('&')
  }

  /** A message of nothing but the id, which moves a client's last event id (WHATWG HTML, section 9.2.6). */
  #takeId(): Batch | undefined {
    const [only, another] = this.#subscriptions
    if (only === undefined || this.#subscriptions.some(({ isPlaced }) => !isPlaced)) return undefined
    const id = another === undefined ? only.cursor : this.#subscriptions.map(idPartOf).join('&')
    for (const subscription of this.#subscriptions) subscription.isTold = true
    this.#staleSince = Infinity
    return new Batch(`id: ${id}\n\n`, 0)
  }
}

function idPartOf({ encodedName, cursor }: LiveSubscription): string {
  return `${encodedName}=${cursor}`
}
