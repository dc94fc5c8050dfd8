import { PIECE_BYTES } from '../wire/batch.ts'
import { Batches, type RecentBatches, type Stretch } from './batches.ts'
import type { ResolvedChannelOptions } from './channel-options.ts'
import type { Work } from '../connection/flush.ts'
import type { Cursor, History, Log, LoggedFrame, LogListener } from '../history/history.ts'
import { addSubscription, noteLeft, removeSubscription, subscriptionsOf } from './pump.ts'
import type { RecentMessages } from '../wire/received-message.ts'
import type { LiveSubscription, SubscriptionHost } from './subscription.ts'
import type { Channel, ChannelMessage, Gap, Subscription } from '../types.ts'

/** What an audience needs of its channel. */
export interface AudienceHost extends Channel {
  readonly encodedName: string
  readonly options: ResolvedChannelOptions
  readonly recent: RecentBatches
  readonly messages: RecentMessages
  tellGap: SubscriptionHost['tellGap']
  gapText: SubscriptionHost['gapText']
  schedule(work: Work): void
  audienceOnDeliver(messages: number): void
  audienceOnGap(subscription: Subscription, gap: Gap): void
  /** All who keep up have been offered what was published before. */
  audienceOnOffered(): void
  audienceOnEnd(subscription: Subscription): void
  /** The last subscription has gone, and with it the audience. */
  audienceOnEmpty(): void
}

/** How many subscriptions are served before others have their turn, unless 64 KiB were read for them alone. */
const SHARE = 4

type Pass = Iterator<LiveSubscription> & Iterable<LiveSubscription>

/** All subscriptions of one channel, while there are any: they follow one log, and share what they read of it. */
export class Audience implements SubscriptionHost, LogListener, Work {
  readonly channel: AudienceHost
  readonly log: Log
  #head: Cursor
  readonly #recent: RecentBatches
  readonly #batches: Batches
  readonly #subscriptions = new Set<LiveSubscription>()
  #isScheduled = false
  /** Whether the log has grown since the pass began. */
  #isDirty = false
  #pass: Pass | undefined
  #passHead: Cursor = ''
  /** Who has had a share in this pass and takes more. */
  #served: LiveSubscription | undefined

  constructor(channel: AudienceHost, history: History) {
    this.channel = channel
    this.log = history.follow(channel.name, this)
    this.#head = this.log.head
    this.#recent = channel.recent
    this.#batches = new Batches(this.log, this.#recent)
  }

  get size(): number {
    return this.#subscriptions.size
  }

  /** Whether all have been offered all that was told. */
  get isIdle(): boolean {
    return !this.#isScheduled
  }

  get encodedName(): string {
    return this.channel.encodedName
  }

  get options(): ResolvedChannelOptions {
    return this.channel.options
  }

  get head(): Cursor {
    return this.#head
  }

  add(subscription: LiveSubscription): void {
    this.#subscriptions.add(subscription)
    addSubscription(subscription)
  }

  logOnOpen(): void {
    this.#head = this.log.head
    for (const subscription of this.#subscriptions) subscription.logOnOpen()
    this.logOnLoad()
  }

  logOnAppend(): void {
    this.#head = this.log.head
    this.#batches.clear()
    this.logOnLoad()
  }

  logOnLoad(): void {
    this.#isDirty = true
    this.#schedule()
  }

  /** Serves some of those who are behind, and lets the others share what was read for them. */
  work(): boolean {
    const pass = this.#pass ?? this.#beginPass()
    if (pass === undefined) return false
    if (this.#serveSome(pass)) return true
    this.#pass = undefined
    if (this.#subscriptions.size > 0) this.log.release(this.#passHead)
    this.channel.audienceOnOffered()
    return true
  }

  after(cursor: Cursor, idPrefix: string, before: number, isLatestOnly: boolean): Stretch | undefined {
    return this.#subscriptions.size === 1
      ? this.#batches.selectAfter(cursor, idPrefix, before, isLatestOnly)
      : this.#batches.after(cursor, idPrefix, before, isLatestOnly)
  }

  selectAfter(
    cursor: Cursor,
    idPrefix: string,
    before: number,
    isLatestOnly: boolean,
    selects: (frame: LoggedFrame) => boolean
  ): Stretch | undefined {
    return this.#batches.selectAfter(cursor, idPrefix, before, isLatestOnly, selects)
  }

  messageOf(frame: LoggedFrame): ChannelMessage {
    return this.channel.messages.of(frame)
  }

  tellGap(gap: Gap, subscription: Subscription): readonly string[] | Promise<readonly string[]> {
    return this.channel.tellGap(gap, subscription)
  }

  gapText(gap: Gap): string {
    return this.channel.gapText(gap)
  }

  isAnothers(cursor: Cursor, subscription: LiveSubscription): boolean | undefined {
    const { connection } = subscription
    if (connection.isCursorOwned) return true
    const others = subscriptionsOf(connection).filter((other) => other !== subscription)
    const answers = others.map((other) => other.isOwn(cursor))
    return answers.includes(true) || (answers.includes(undefined) ? undefined : false)
  }

  subscriptionOnTake(messages: number): void {
    this.channel.audienceOnDeliver(messages)
  }

  subscriptionOnGap(subscription: Subscription, gap: Gap): void {
    this.channel.audienceOnGap(subscription, gap)
  }

  subscriptionOnEnd(subscription: LiveSubscription): void {
    this.#remove(subscription)
    noteLeft(subscription)
    this.channel.audienceOnEnd(subscription)
  }

  subscriptionOnUndo(subscription: LiveSubscription): void {
    this.#remove(subscription)
  }

  #remove(subscription: LiveSubscription): void {
    this.#subscriptions.delete(subscription)
    removeSubscription(subscription)
    if (this.#subscriptions.size > 0) return
    this.log.close()
    this.#recent.drop(this.#batches)
    this.channel.audienceOnEmpty()
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.channel.schedule(this)
  }

  #beginPass(): Pass | undefined {
    if (!this.#isDirty || this.#subscriptions.size === 0) {
      this.#isScheduled = false
      return undefined
    }
    this.#isDirty = false
    this.#passHead = this.#head
    this.#pass = this.#subscriptions.values()
    return this.#pass
  }

  /** @returns whether there are more to serve. */
  #serveSome(pass: Pass): boolean {
    const mostBytes = this.#batches.readBytes + PIECE_BYTES
    for (let served = 0; served < SHARE && this.#batches.readBytes < mostBytes; served++) {
      this.#served ??= nextBehind(pass)
      if (this.#served === undefined) return false
      if (this.#served.connection.writeShare()) return true
      this.#served = undefined
    }
    return true
  }
}

function nextBehind(pass: Pass): LiveSubscription | undefined {
  for (const subscription of pass) if (subscription.isBehind || subscription.isAsked) return subscription
  return undefined
}
