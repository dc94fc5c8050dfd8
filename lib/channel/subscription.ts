import { Batch } from '../wire/batch.ts'
import { SELECT_BYTES, type Stretch } from './batches.ts'
import type { ResolvedChannelOptions } from './channel-options.ts'
import type { Connection, Feed } from '../connection/connection.ts'
import { Deferred } from '../base/deferred.ts'
import type { Cursor, GapReason, Log, LoggedFrame, ReadLimits } from '../history/history.ts'
import type { Channel, ChannelMessage, Gap, Subscription } from '../types.ts'

/** What a subscription needs of its channel. */
export interface SubscriptionHost {
  readonly channel: Channel
  /** The channel's name as it is in ids. */
  readonly encodedName: string
  readonly options: ResolvedChannelOptions
  readonly log: Log
  /** `log.head`, when it was last told. */
  readonly head: Cursor

  /** What `Batches.after()` promises. */
  after(cursor: Cursor, idPrefix: string, before: number, isLatestOnly: boolean): Stretch | undefined
  /** What `Batches.selectAfter()` promises. */
  selectAfter(
    cursor: Cursor,
    idPrefix: string,
    before: number,
    isLatestOnly: boolean,
    selects: (frame: LoggedFrame) => boolean
  ): Stretch | undefined

  /** What a filter is given. */
  messageOf(frame: LoggedFrame): ChannelMessage
  /** The texts of the frames that tell a gap. @throws what `onGap` and the encoding of its messages throw. */
  tellGap(gap: Gap, subscription: Subscription): readonly string[] | Promise<readonly string[]>
  /** The text of the gap event. */
  gapText(gap: Gap): string
  /** Whether another subscription of the same connection knows the cursor as its own; `undefined` if that is not known yet. */
  isAnothers(cursor: Cursor, subscription: LiveSubscription): boolean | undefined

  subscriptionOnTake(messages: number): void
  subscriptionOnGap(subscription: Subscription, gap: Gap): void
  subscriptionOnEnd(subscription: LiveSubscription): void
  subscriptionOnUndo(subscription: LiveSubscription): void
}

export interface Start {
  /** `''` if it depends on the log, and that is not open yet. */
  readonly cursor: Cursor
  /** `arrivals.ts` */
  readonly arrival: number
  /** Whether the cursor is the log's own word. */
  readonly isProven: boolean
  /** Whether the oldest message is meant that is kept when something is first taken. */
  readonly isOldest: boolean
  /** Where to start if the cursor is another channel's after all. */
  readonly instead: Start | undefined
}

/** Reads nothing, and tells whether a cursor is known. */
const NOTHING: ReadLimits = { maxBytes: 1, idBytes: 0, before: 0, isLatestOnly: false }

/** A gap that is not written yet. */
interface PendingGap {
  /** What the head was when it was met. */
  readonly head: Cursor
  /** What tells it, when that is there. */
  texts: readonly string[] | undefined
}

/** How much is still written in one go when a subscription ends. */
const LAST_SHARES = 16

/** A cursor on a channel's log. It moves when its connection can write, and only then is anything read. */
export class LiveSubscription implements Subscription, Feed {
  readonly connection: Connection
  readonly #host: SubscriptionHost
  #cursor: Cursor
  #gap: PendingGap | undefined
  /** Whether it came back, or was blocked, and has not reached the head since. */
  #isCatchingUp: boolean
  /** Whether the history has once known the cursor, so that losing it is the reader's slowness. */
  #isProven: boolean
  /** Bytes of messages that the filter has passed over since something was written, or all was taken. */
  #passedBytes = 0
  readonly #startArrival: number
  readonly #filter: ((message: ChannelMessage) => boolean) | undefined
  /** Until the client is told its place, which it is without being asked. */
  #start: Start | undefined
  /** Where to start if the cursor is another channel's, until that is known. */
  #instead: Start | undefined
  /** Whether the last id that was written to the connection has its cursor. */
  #isTold = true
  #isActive = true
  #isAsked = false
  #ready: Deferred<void> | undefined

  constructor(
    host: SubscriptionHost,
    connection: Connection,
    start: Start,
    filter: ((message: ChannelMessage) => boolean) | undefined
  ) {
    this.#host = host
    this.connection = connection
    this.#start = start
    this.#instead = start.instead
    this.#cursor = start.cursor
    this.#startArrival = start.arrival
    this.#isProven = start.isProven
    this.#isCatchingUp = !start.isProven
    this.#filter = filter
    if (start.instead !== undefined) this.#settleOwn()
  }

  get channel(): Channel {
    return this.#host.channel
  }

  get cursor(): Cursor | undefined {
    return this.#isReady ? this.#cursor : undefined
  }

  get active(): boolean {
    return this.#isActive
  }

  get encodedName(): string {
    return this.#host.encodedName
  }

  get ready(): Promise<void> {
    if (this.#isReady || !this.#isActive) return Promise.resolve()
    this.#ready ??= new Deferred()
    return this.#ready.promise
  }

  /** The place as it is in ids of several channels, if it is known. */
  get idPart(): string | undefined {
    this.#settleCursor()
    return this.#cursor === '' ? undefined : `${this.encodedName}=${this.#cursor}`
  }

  get isActive(): boolean {
    return this.#isActive
  }

  /** Whether there is something to take. */
  get isBehind(): boolean {
    const { head } = this.#host
    return this.#gap === undefined ? this.#cursor !== head && head !== '' : this.#gap.texts !== undefined
  }

  /** Whether something is still to be taken that arrived before now, be it only the client's place. */
  get isDue(): boolean {
    return this.#start !== undefined || this.#gap !== undefined || this.isBehind
  }

  get isTold(): boolean {
    return this.#isTold
  }

  /** Whether the client must be told its place, with nothing that arrived after `limit` before it. */
  isNewAt(limit: number): boolean {
    return this.#isActive && this.#start !== undefined && this.#isKnown && this.#startArrival <= limit
  }

  /** Whether it is clear where it is: it has a cursor, and the history had it. */
  get #isKnown(): boolean {
    return this.#cursor !== '' && this.#isProven
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
    for (let share = 0; share < LAST_SHARES && this.isBehind && this.connection.writeShare(); share++);
    this.end()
  }

  /** As if it had never been: nobody is told. */
  undo(): void {
    if (!this.#isActive) return
    this.#isActive = false
    this.#ready?.resolve()
    this.#host.subscriptionOnUndo(this)
  }

  /** `unsubscribe()` of a connection that takes nothing any more. */
  end(): void {
    if (!this.#isActive) return
    this.#isActive = false
    this.#ready?.resolve()
    this.#host.subscriptionOnEnd(this)
  }

  /** Nothing was left to take. */
  caughtUp(): void {
    if (this.#gap !== undefined || this.#cursor !== this.#host.head) return
    this.#isCatchingUp = false
    this.#isProven = true
    this.#passedBytes = 0
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
    if (this.#cursor === '') return
    this.#isTold = true
    this.#start = undefined
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
    if (!this.#settleCursor()) return undefined
    while (this.isBehind && this.#startArrival < before) {
      if (this.#gap !== undefined) return this.#takeGap(idPrefix, this.#gap)
      const stretch = this.#next(idPrefix, before)
      if (stretch === undefined) return undefined
      if (!stretch.complete) {
        this.#meetLoss(stretch.reason)
        continue
      }
      this.#isProven = true
      if (stretch.cursor === this.#cursor) return undefined
      this.#cursor = stretch.cursor
      const batch = stretch.batch ?? this.#passOver(stretch.readBytes, idPrefix)
      if (batch === undefined) continue
      this.#passedBytes = 0
      this.#host.subscriptionOnTake(batch.messages)
      return batch
    }
    if (!this.isBehind) this.caughtUp()
    return undefined
  }

  /**
   * Whether the cursor is one of this channel's history, be it of a message that is no longer kept; `undefined` if that
   * is not known yet.
   */
  isOwn(cursor: Cursor): boolean | undefined {
    const page = this.#host.log.read(cursor, NOTHING)
    this.#isAsked = page === undefined
    return page && (page.complete || page.reason === 'expired')
  }

  /** Whether another subscription of the connection waits for what `isOwn()` says. */
  get isAsked(): boolean {
    return this.#isAsked
  }

  /** The log has opened: a start that depends on it is here. */
  logOnOpen(): void {
    this.#instead &&= this.#placed(this.#instead)
    if (this.#start !== undefined && this.#cursor === '') this.#begin(this.#placed(this.#start))
    this.#tellReady()
    this.connection.feedOnChange()
  }

  get #isReady(): boolean {
    return this.#cursor !== '' && this.#instead === undefined
  }

  #tellReady(): void {
    if (this.#isReady) this.#ready?.resolve()
  }

  #placed(start: Start): Start {
    const { oldest, head } = this.#host.log
    return start.cursor === '' ? { ...start, cursor: start.isOldest ? oldest : head } : start
  }

  #begin(start: Start): void {
    this.#start = start
    this.#cursor = start.cursor
    this.#isProven = start.isProven
    this.#isCatchingUp = !start.isProven
  }

  /**
   * A cursor that came without a name may be that of another channel, in which case the client brought none.
   *
   * @returns whether that is known.
   */
  #settleCursor(): boolean {
    const start = this.#instead
    if (start === undefined) return true
    const isOthers = this.#isOthers()
    if (isOthers === undefined) return false
    this.#instead = undefined
    if (isOthers) this.#begin(start)
    this.#tellReady()
    return true
  }

  #isOthers(): boolean | undefined {
    const isOwn = this.#settleOwn()
    if (isOwn === true) return false
    const isAnothers = this.#host.isAnothers(this.#cursor, this)
    return isAnothers === true || isOwn === false ? isAnothers : undefined
  }

  /** A cursor that came without a name is no other channel's if this one's history knows it. @returns whether it does. */
  #settleOwn(): boolean | undefined {
    const isOwn = this.isOwn(this.#cursor)
    if (isOwn === true) {
      this.#instead = undefined
      this.connection.isCursorOwned = true
    }
    return isOwn
  }

  /** After much that was passed over in one go comes an id, so that others have their turn, and it is not for nothing. */
  #passOver(readBytes: number, idPrefix: string): Batch | undefined {
    this.#isTold = false
    this.#passedBytes += readBytes
    return this.#passedBytes < SELECT_BYTES
      ? undefined
      : idBatch(`${idPrefix}${this.#cursor}`, this.connection)
  }

  #takeId(): Batch | undefined {
    if (!this.isPlaced) return undefined
    this.idOnWrite()
    return idBatch(this.#cursor, this.connection)
  }

  #next(idPrefix: string, before: number): Stretch | undefined {
    const isLatestOnly = this.#isCatchingUp && this.#host.options.slow === 'latest'
    const filter = this.#filter
    try {
      if (filter === undefined) return this.#host.after(this.#cursor, idPrefix, before, isLatestOnly)
      const stretch = this.#host.selectAfter(this.#cursor, idPrefix, before, isLatestOnly, (frame) =>
        filter(this.#host.messageOf(frame))
      )
      return this.connection.state === 'closed' ? undefined : stretch
    } catch (err) {
      this.#fail(err)
      return undefined
    }
  }

  #fail(err: unknown): void {
    this.connection.request.log.error({ err }, 'a subscription failed')
    this.connection.fail(err)
    this.end()
  }

  #meetLoss(reason: Exclude<GapReason, 'slow'>): void {
    if (reason === 'expired' && this.#start?.isOldest) this.#cursor = this.#host.log.oldest
    else this.#meetGap(reason)
  }

  #meetGap(found: Exclude<GapReason, 'slow'>): void {
    const { options, head, channel } = this.#host
    const isSlow = this.#isProven && found === 'expired'
    const gap: Gap = { channel: channel.name, reason: isSlow ? 'slow' : found }
    this.#gap = { head, texts: undefined }
    if (isSlow && options.slow === 'disconnect') {
      this.connection.evict('slow')
      return
    }
    this.#host.subscriptionOnGap(this, gap)
    this.#askForTexts(gap)
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

  /**
   * The id comes with the last of the frames: a client that is cut off before has not got over the gap. What was dropped
   * while `onGap` was asked is a part of this gap, as long as it is older than what the head was then.
   */
  #takeGap(idPrefix: string, { head, texts = [] }: PendingGap): Batch | undefined {
    const { log, options } = this.#host
    const page = log.read(head, NOTHING)
    if (page === undefined) return undefined
    this.#isProven = page.complete
    this.#cursor = options.afterGap === 'oldest' && this.#isProven ? log.oldest : head
    this.#gap = undefined
    const cursor = this.#cursor
    const last = texts.length - 1
    const text = texts.map((part, i) => (i === last ? `id: ${idPrefix}${cursor}\n${part}` : part)).join('')
    return new Batch(text, texts.length)
  }
}

/**
 * What moves a client's last event id and is no message. An id alone would do (WHATWG HTML, section 9.2.6), but Firefox
 * notes only those of events that it dispatches.
 */
export function idBatch(id: string, { cursorEvent }: Connection): Batch {
  const event = cursorEvent === false ? '' : `event: ${cursorEvent}\ndata: {}\n`
  return new Batch(`id: ${id}\n${event}\n`, 0)
}
