import { Batch } from './batch.ts'
import type { Stretch } from './batches.ts'
import type { ResolvedChannelOptions } from './channel-options.ts'
import type { Connection, Feed } from './connection.ts'
import type { Cursor, GapReason, Log, LoggedFrame } from './history/history.ts'
import { ReceivedMessage } from './received-message.ts'
import type { Channel, ChannelMessage, Gap, Subscription } from './types.ts'

/** What a subscription needs of its channel. */
export interface SubscriptionHost {
  readonly channel: Channel
  /** The channel's name as it is in ids. */
  readonly encodedName: string
  readonly options: ResolvedChannelOptions
  readonly log: Log
  /** `log.head` */
  readonly head: Cursor

  /** What `Batches.after()` promises. */
  after(cursor: Cursor, idPrefix: string, before: number, isLatestOnly: boolean): Stretch
  /** What `Batches.selectAfter()` promises. */
  selectAfter(
    cursor: Cursor,
    idPrefix: string,
    before: number,
    isLatestOnly: boolean,
    selects: (frame: LoggedFrame) => boolean
  ): Stretch

  /** The texts of the frames that tell a gap. @throws what `onGap` and the encoding of its messages throw. */
  tellGap(gap: Gap, subscription: Subscription): readonly string[] | Promise<readonly string[]>
  /** The text of the gap event. */
  gapText(gap: Gap): string

  subscriptionOnTake(messages: number): void
  subscriptionOnGap(subscription: Subscription, gap: Gap): void
  subscriptionOnEnd(subscription: LiveSubscription): void
  subscriptionOnUndo(subscription: LiveSubscription): void
}

export interface Start {
  readonly cursor: Cursor
  /** `arrivals.ts` */
  readonly arrival: number
  /** Whether the cursor is the log's own word. */
  readonly isProven: boolean
}

/** A cursor on a channel's log. It moves when its connection can write, and only then is anything read. */
export class LiveSubscription implements Subscription, Feed {
  readonly connection: Connection
  readonly #host: SubscriptionHost
  #cursor: Cursor
  /** A gap that is not written yet: where to go on after it, and with which frames when they are there. */
  #gap: { readonly cursor: Cursor; texts: readonly string[] | undefined } | undefined
  /** Whether it came back, or was blocked, and has not reached the head since. */
  #isCatchingUp: boolean
  /** Whether the history has once known the cursor, so that losing it is the reader's slowness. */
  #isProven: boolean
  readonly #startArrival: number
  readonly #filter: ((message: ChannelMessage) => boolean) | undefined
  /** Whether the client has yet to be told its place without being asked. */
  #isNew = true
  /** Whether the last id that was written to the connection has its cursor. */
  #isTold = true
  #isActive = true

  constructor(
    host: SubscriptionHost,
    connection: Connection,
    { cursor, arrival, isProven }: Start,
    filter: ((message: ChannelMessage) => boolean) | undefined
  ) {
    this.#host = host
    this.connection = connection
    this.#cursor = cursor
    this.#startArrival = arrival
    this.#isProven = isProven
    this.#isCatchingUp = !isProven
    this.#filter = filter
  }

  get channel(): Channel {
    return this.#host.channel
  }

  get cursor(): Cursor {
    return this.#cursor
  }

  get active(): boolean {
    return this.#isActive
  }

  get encodedName(): string {
    return this.#host.encodedName
  }

  get isActive(): boolean {
    return this.#isActive
  }

  /** Whether there is something to take. */
  get isBehind(): boolean {
    return this.#gap === undefined ? this.#cursor !== this.#host.head : this.#gap.texts !== undefined
  }

  /** Whether something is still to be taken that arrived before now, be it only the client's place. */
  get isDue(): boolean {
    return this.#isNew || this.#gap !== undefined || this.isBehind
  }

  get isTold(): boolean {
    return this.#isTold
  }

  /** Whether the client must be told its place, with nothing that arrived after `limit` before it. */
  isNewAt(limit: number): boolean {
    return this.#isNew && this.#startArrival <= limit
  }

  /** Whether the client's id says where it really is, so that it may be written by itself. */
  get isPlaced(): boolean {
    return this.#gap === undefined
  }

  /** The number of the arrival that is taken next; `Infinity` if there is none. */
  get nextArrival(): number {
    if (!this.isBehind) return Infinity
    return Math.max(this.#startArrival, this.#host.log.arrivalAfter(this.#cursor) ?? 0)
  }

  unsubscribe(): void {
    if (!this.#isActive) return
    while (this.isBehind && this.connection.writeShare());
    this.end()
  }

  /** As if it had never been: nobody is told. */
  undo(): void {
    if (!this.#isActive) return
    this.#isActive = false
    this.#host.subscriptionOnUndo(this)
  }

  /** `unsubscribe()` of a connection that takes nothing any more. */
  end(): void {
    if (!this.#isActive) return
    this.#isActive = false
    this.#host.subscriptionOnEnd(this)
  }

  /** Nothing was left to take. */
  caughtUp(): void {
    if (this.#gap !== undefined) return
    this.#isCatchingUp = false
    this.#isProven = true
  }

  /** The transport has refused, so that newer messages may replace those that wait. */
  connectionOnBlock(): void {
    this.#isCatchingUp = true
  }

  connectionOnClose(): void {
    this.end()
  }

  /** An id that was written to the connection has its cursor. */
  idOnWrite(): void {
    this.#isTold = true
    this.#isNew = false
  }

  take(limit: number): Batch | undefined {
    const batch = this.advance('', limit + 1)
    if (batch === undefined) return this.isNewAt(limit) ? this.#takeId() : undefined
    this.idOnWrite()
    return batch
  }

  takeHeartbeat(): Batch | undefined {
    return this.#isTold ? undefined : this.#takeId()
  }

  /** Takes the next batch of what arrived before `before`, and moves on. */
  advance(idPrefix: string, before: number): Batch | undefined {
    while (this.isBehind && this.#startArrival < before) {
      if (this.#gap !== undefined) return this.#takeGap(idPrefix)
      const stretch = this.#next(idPrefix, before)
      if (stretch === undefined) return undefined
      if (!stretch.complete) {
        this.#meetGap(stretch.reason)
        continue
      }
      if (stretch.cursor === this.#cursor) return undefined
      this.#cursor = stretch.cursor
      this.#isProven = true
      if (stretch.batch === undefined) {
        this.#isTold = false
        continue
      }
      this.#host.subscriptionOnTake(stretch.batch.messages)
      return stretch.batch
    }
    if (!this.isBehind) this.caughtUp()
    return undefined
  }

  #takeId(): Batch | undefined {
    if (!this.isPlaced) return undefined
    this.idOnWrite()
    return idBatch(this.#cursor)
  }

  #next(idPrefix: string, before: number): Stretch | undefined {
    const isLatestOnly = this.#isCatchingUp && this.#host.options.slow === 'latest'
    const filter = this.#filter
    if (filter === undefined) return this.#host.after(this.#cursor, idPrefix, before, isLatestOnly)
    try {
      return this.#host.selectAfter(this.#cursor, idPrefix, before, isLatestOnly, (frame) =>
        filter(ReceivedMessage.of(frame))
      )
    } catch (err) {
      this.#fail(err)
      return undefined
    }
  }

  #fail(err: unknown): void {
    this.#gap = { cursor: this.#cursor, texts: undefined }
    this.connection.request.log.error({ err }, 'the filter of a subscription failed')
    this.connection.fail(err)
  }

  #meetGap(found: Exclude<GapReason, 'slow'>): void {
    const { options, log, channel } = this.#host
    const isSlow = this.#isProven && found === 'expired'
    const gap: Gap = { channel: channel.name, reason: isSlow ? 'slow' : found }
    this.#gap = { cursor: options.afterGap === 'now' ? log.head : log.oldest, texts: undefined }
    this.#host.subscriptionOnGap(this, gap)
    if (isSlow && options.slow === 'disconnect') this.connection.evict('slow')
    else this.#askForTexts(gap)
  }

  #askForTexts(gap: Gap): void {
    try {
      const answer = this.#host.tellGap(gap, this)
      if (answer instanceof Promise) void this.#waitForTexts(gap, answer)
      else this.#setTexts(answer)
    } catch (err) {
      this.#setFallback(gap, err)
    }
  }

  async #waitForTexts(gap: Gap, answer: Promise<readonly string[]>): Promise<void> {
    try {
      this.#setTexts(await answer)
    } catch (err) {
      this.#setFallback(gap, err)
    }
    this.connection.flush()
  }

  #setFallback(gap: Gap, err: unknown): void {
    this.connection.request.log.error({ err, gap }, 'onGap failed')
    this.#setTexts([this.#host.gapText(gap)])
  }

  #setTexts(texts: readonly string[]): void {
    if (this.#gap !== undefined) this.#gap.texts = texts
  }

  /** The id comes with the last of the frames: a client that is cut off before has not got over the gap. */
  #takeGap(idPrefix: string): Batch | undefined {
    const { cursor = this.#cursor, texts = [] } = this.#gap ?? {}
    this.#cursor = cursor
    this.#gap = undefined
    this.#isProven = true
    const last = texts.length - 1
    const text = texts.map((part, i) => (i === last ? `id: ${idPrefix}${cursor}\n${part}` : part)).join('')
    return new Batch(text, texts.length)
  }
}

/** A message of nothing but the id, which moves a client's last event id (WHATWG HTML, section 9.2.6). */
export function idBatch(id: string): Batch {
  return new Batch(`id: ${id}\n\n`, 0)
}
