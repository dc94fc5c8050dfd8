import type { TriedSubscribeOptions, TriedSubscription } from '../schedules/library.ts'
import type { Entry, Kept } from './order.ts'
import { formatId, hashOf, type Place } from './place-id.ts'

interface SubscriptionHost {
  readonly state: string
  readonly epoch: string
  /** Gives it its end. */
  subscriptionOnEnd(subscription: ModelSubscription): void
  filterOnError(): void
}

/** What a connection is given of a channel: what lies between two places, and passes its filter. */
export class ModelSubscription implements TriedSubscription {
  readonly channel: Kept
  readonly name: string
  readonly options: TriedSubscribeOptions
  /** Whether the place that the client brought counts. */
  readonly resumes: boolean
  /** Whether it was made after the handler was waited for. */
  readonly isLate: boolean
  /** What the channel had dropped when it began. */
  readonly droppedBefore: Place
  /** `undefined` until something may be given. */
  start: Place | undefined
  end: Place = Infinity
  /** Where it is, if that is behind the connection's cursor. */
  at: Place | undefined
  /** The gap that is told before anything else. */
  due: 'uncertain' | 'unknown' | undefined
  /** Whether it came back, began in the past or was blocked, and has not stood at the head since. */
  isCatchingUp: boolean
  readonly #host: SubscriptionHost

  constructor(
    host: SubscriptionHost,
    channel: Kept,
    options: TriedSubscribeOptions,
    { resumes, isLate, start }: { resumes: boolean; isLate: boolean; start: Place | undefined }
  ) {
    this.#host = host
    this.channel = channel
    this.name = hashOf(channel.name)
    this.options = options
    this.resumes = resumes
    this.isLate = isLate
    this.droppedBefore = channel.dropped
    this.start = start
    this.isCatchingUp = resumes || options.from !== 'now'
  }

  get active(): boolean {
    return this.end === Infinity && this.#host.state !== 'closed'
  }

  unsubscribe(): string {
    if (this.active) this.#host.subscriptionOnEnd(this)
    return formatId(this.#host.epoch, { cursor: this.end, behind: new Map() })
  }

  covers({ place, channels }: Entry): boolean {
    const { start = Infinity } = this
    return channels.includes(this.channel.name) && place > start && place <= this.end
  }

  /** A filter that throws has not selected the message. */
  selects(entry: Entry): boolean {
    try {
      return this.options.filter?.(entry) ?? true
    } catch {
      this.#host.filterOnError()
      return false
    }
  }
}
