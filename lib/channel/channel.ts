import { arrive } from '../history/arrivals.ts'
import { Audience, type AudienceHost } from './audience.ts'
import { PIECE_BYTES } from '../wire/batch.ts'
import type { RecentBatches } from './batches.ts'
import { type ResolvedChannelOptions, resolveChannelOptions } from './channel-options.ts'
import { type Check, checkBoolean, checked, checkFunction, invalid } from '../base/check.ts'
import { Connection } from '../connection/connection.ts'
import { Deferred } from '../base/deferred.ts'
import { publishChannel } from '../base/diagnostics.ts'
import { FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED } from '../base/errors.ts'
import { assertUndeclared } from '../wire/declared-events.ts'
import type { EventSchemas } from '../wire/event-types.ts'
import type { Work } from '../connection/flush.ts'
import type { Frame } from '../wire/frame.ts'
import type { Cursor } from '../history/history.ts'
import { type BroughtCursor, cursorIn, cursorOrNone, encodeName } from './last-event-id.ts'
import { formatMessage } from '../wire/message.ts'
import { nextTurn } from '../connection/next-turn.ts'
import { ObservedPromise } from '../base/observed-promise.ts'
import { assertRoomFor, hasLeft, subscriptionsOf } from './pump.ts'
import type { RecentMessages } from '../wire/received-message.ts'
import { LiveSubscription, type Start } from './subscription.ts'
import type {
  AnyConnection,
  Channel,
  ChannelOptions,
  Gap,
  GapAnswer,
  Publishable,
  PublishOptions,
  SSEConnection,
  SubscribeOptions,
  Subscription
} from '../types.ts'

/** What a channel needs of the hub. */
export interface ChannelHost {
  readonly recent: RecentBatches
  readonly messages: RecentMessages
  /** @throws what encoding a message throws, also if it has an id, or is none of the declared events. */
  encode(message: Publishable, schemas: EventSchemas | undefined): Frame
  schedule(work: Work): void
  logError(fields: object, message: string): void

  /** The history has taken what was published. */
  channelOnPublish(): void
  channelOnDeliver(messages: number): void
  channelOnGap(subscription: Subscription, gap: Gap): void
  /** The first subscription has come. */
  channelOnAudience(channel: LiveChannel): void
  /** The last subscription has gone. */
  channelOnIdle(channel: LiveChannel): void
}

const SUBSCRIBE_CHECKS: Readonly<Record<keyof SubscribeOptions, Check>> = {
  from: checkFrom,
  resume: checkBoolean,
  filter: checkFilter
}
const PUBLISH_CHECKS: Readonly<Record<keyof PublishOptions, Check>> = {
  key: checkKey,
  idempotencyKey: checkIdempotencyKey
}
const MAX_IDEMPOTENCY_KEY_LENGTH = 256
const NO_OPTIONS: Readonly<object> = Object.freeze({})

export class LiveChannel implements Channel, AudienceHost {
  readonly name: string
  readonly encodedName: string
  readonly #host: ChannelHost
  #options: ResolvedChannelOptions
  #audience: Audience | undefined
  /** Bytes published since the audience was last offered everything. */
  #unofferedBytes = 0
  #offered: Deferred<void> | undefined

  constructor(host: ChannelHost, name: string, options: ResolvedChannelOptions) {
    this.#host = host
    this.name = name
    this.encodedName = encodeName(name)
    this.#options = options
  }

  get options(): ResolvedChannelOptions {
    return this.#options
  }

  get recent(): RecentBatches {
    return this.#host.recent
  }

  get messages(): RecentMessages {
    return this.#host.messages
  }

  get size(): number {
    return this.#audience?.size ?? 0
  }

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
  configure(given: ChannelOptions): void {
    const options = resolveChannelOptions(this.#options, given)
    if (this.#audience !== undefined && options.history !== this.#options.history) {
      throw invalid('history', 'the one that the channel has while it has subscriptions', given.history)
    }
    this.#options = options
  }

  publish(message: Publishable, options: PublishOptions = NO_OPTIONS): Promise<Cursor> {
    const { key = eventOf(message), idempotencyKey } = checkedIfAny(options, PUBLISH_CHECKS)
    const frame = this.#host.encode(message, this.#options.events)
    const appended = this.#options.history.append(this.name, frame, key, idempotencyKey)
    appended.then(
      () => this.#host.channelOnPublish(),
      () => {}
    )
    this.#unofferedBytes += frame.byteLength
    const published = this.#mayContinue() ? appended : this.#afterOffer(appended)
    if (publishChannel.hasSubscribers) this.#tellPublished(appended, frame)
    return ObservedPromise.of(published, (err) => {
      this.#host.logError({ err, channel: this.name }, 'a message could not be published')
    })
  }

  subscribe(connection: AnyConnection, options: SubscribeOptions = NO_OPTIONS): Subscription {
    const { from = 'now', resume = true, filter } = checkedIfAny(options, SUBSCRIBE_CHECKS)
    if (!(connection instanceof Connection)) {
      throw invalid('the connection', 'what reply.sseStart() returned', connection)
    }
    if (connection.state === 'closing' || connection.state === 'closed') return ended(this, connection)
    if (subscriptionsOf(connection).some(({ channel }) => channel === this)) {
      throw new FST_ERR_EVENTSTREAM_ALREADY_SUBSCRIBED(this.name)
    }
    assertRoomFor(this, connection)
    assertUndeclared(this.#options.events, 'cursorEvent', connection.cursorEvent)
    const audience = this.#open()
    const start = startOf(from, audience)
    const brought = resume ? this.#broughtBy(connection) : undefined
    const subscription = new LiveSubscription(
      audience,
      connection,
      brought === undefined ? start : resumeAt(brought, start),
      filter
    )
    audience.add(subscription)
    this.#tellSubscribed(subscription)
    connection.feedOnChange()
    return subscription
  }

  schedule(work: Work): void {
    this.#host.schedule(work)
  }

  /** What the client had of this channel when it came, unless that was used before. */
  #broughtBy(connection: Connection): BroughtCursor | undefined {
    if (hasLeft(this.encodedName, connection)) return undefined
    return cursorIn(connection.lastEventId, this.encodedName)
  }

  tellGap(gap: Gap, subscription: Subscription): readonly string[] | Promise<readonly string[]> {
    const answer = this.#options.onGap?.(gap, subscription)
    return isThenable(answer)
      ? Promise.resolve(answer).then((messages) => this.#textsOf(gap, messages))
      : this.#textsOf(gap, answer)
  }

  gapText(gap: Gap): string {
    return formatMessage({ event: this.#options.gapEvent, data: gap }, JSON.stringify)
  }

  audienceOnDeliver(messages: number): void {
    this.#host.channelOnDeliver(messages)
  }

  audienceOnGap(subscription: Subscription, gap: Gap): void {
    this.#host.channelOnGap(subscription, gap)
  }

  audienceOnOffered(): void {
    this.#unofferedBytes = 0
    this.#offered?.resolve()
    this.#offered = undefined
  }

  audienceOnEnd(subscription: Subscription): void {
    try {
      this.#observe('onUnsubscribe', this.#options.onUnsubscribe?.(subscription))
    } catch (err) {
      this.#logFailed('onUnsubscribe', err)
    }
  }

  audienceOnEmpty(): void {
    this.#audience = undefined
    this.audienceOnOffered()
    this.#host.channelOnIdle(this)
  }

  #open(): Audience {
    if (this.#audience === undefined) {
      this.#audience = new Audience(this, this.#options.history)
      this.#host.channelOnAudience(this)
    }
    return this.#audience
  }

  #tellSubscribed(subscription: LiveSubscription): void {
    try {
      this.#observe('onSubscribe', this.#options.onSubscribe?.(subscription))
    } catch (error) {
      subscription.undo()
      throw error
    }
  }

  #observe(hook: string, result: unknown): void {
    if (isThenable(result)) result.then(undefined, (err: unknown) => this.#logFailed(hook, err))
  }

  #logFailed(hook: string, err: unknown): void {
    this.#host.logError({ err, channel: this.name }, `${hook} failed`)
  }

  #mayContinue(): boolean {
    return this.#unofferedBytes < PIECE_BYTES
  }

  /** Publishers who wait let the flush run, which offers their messages before more are appended. */
  async #afterOffer(appended: Promise<Cursor>): Promise<Cursor> {
    this.#offered ??= new Deferred()
    const { promise } = this.#offered
    if (this.#audience === undefined) void nextTurn().then(() => this.audienceOnOffered())
    const cursor = await appended
    if (this.#audience?.isIdle) this.audienceOnOffered()
    await promise
    return cursor
  }

  #tellPublished(appended: Promise<Cursor>, { byteLength }: Frame): void {
    const tell = (cursor: Cursor): void => publishChannel.publish({ channel: this.name, cursor, byteLength })
    appended.then(tell, () => {})
  }

  /** No messages: the gap event. */
  #textsOf(gap: Gap, answer: GapAnswer): readonly string[] {
    const messages = answer === undefined || answer === null ? [] : [answer].flat()
    return messages.length === 0
      ? [this.gapText(gap)]
      : messages.map((message) => this.#host.encode(message, this.#options.events).text)
  }
}

function startOf(from: Cursor, { log }: Audience): Start {
  const start = { arrival: arrive(), isProven: true, isOldest: from === 'oldest', instead: undefined }
  if (from === 'now') return { ...start, cursor: log.head }
  if (from === 'oldest') return { ...start, cursor: log.oldest }
  return { ...start, cursor: cursorOrNone(from), isProven: false }
}

function resumeAt({ cursor, isNamed }: BroughtCursor, start: Start): Start {
  const { arrival } = start
  return { cursor, arrival, isProven: false, isOldest: false, instead: isNamed ? undefined : start }
}

/** Most calls give no options. */
function checkedIfAny<Options extends object>(
  options: Options,
  checks: Readonly<Record<string, Check>>
): Partial<Options> {
  return options === NO_OPTIONS ? options : checked(options, checks)
}

/** What `subscribe()` returns for a connection that has ended. */
function ended(channel: Channel, connection: SSEConnection): Subscription {
  const ready = Promise.resolve()
  return Object.freeze({ channel, connection, cursor: undefined, ready, active: false, unsubscribe() {} })
}

function eventOf(message: Publishable): string {
  return typeof message === 'object' && message !== null ? (message.event ?? '') : ''
}

function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function checkFrom(name: string, value: unknown): void {
  if (typeof value !== 'string' || value === '') throw invalid(name, "'oldest', 'now' or a cursor", value)
}

function checkFilter(name: string, value: unknown): void {
  checkFunction(name, value)
  if (Object.prototype.toString.call(value) === '[object AsyncFunction]') {
    throw invalid(name, 'a function that returns true or false, not a promise', value)
  }
}

function checkKey(name: string, value: unknown): void {
  if (typeof value !== 'string' || !value.isWellFormed()) {
    throw invalid(name, 'a string without lone surrogates', value)
  }
}

function checkIdempotencyKey(name: string, value: unknown): void {
  if (
    typeof value !== 'string' ||
    value === '' ||
    value.length > MAX_IDEMPOTENCY_KEY_LENGTH ||
    !value.isWellFormed()
  ) {
    throw invalid(name, `a well-formed string of 1 to ${MAX_IDEMPOTENCY_KEY_LENGTH} characters`, value)
  }
}
