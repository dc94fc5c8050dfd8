import { type Check, checkBoolean, checked, checkName, invalid } from '../base/check.ts'
import { FST_ERR_EVENTSTREAM_CHANNEL_ENDED } from '../base/errors.ts'
import { ownText } from '../base/own-text.ts'
import { ObservedPromise } from '../base/promises.ts'
import type { Connection } from '../connection/connection.ts'
import type { AnyConnection } from '../connection/sse-connection.ts'
import { type Appended, type AppendOptions, END_TEXT } from '../history/entry.ts'
import type { Limits } from '../history/store.ts'
import type { EventSchemas } from '../wire/event-types.ts'
import type { Frame } from '../wire/frame.ts'
import { assertNoId } from '../wire/message.ts'
import type {
  Channel,
  ChannelOptions,
  Publishable,
  PublishOptions,
  SubscribeOptions,
  Subscription
} from './channel.ts'
import {
  CHANNEL_DEFAULTS,
  type ChannelPatterns,
  LIMITS,
  optionsFor,
  type ResolvedChannelOptions
} from './channel-options.ts'
import { publishChannel } from './diagnostics.ts'
import { type ChannelHost, LiveChannel } from './live-channel.ts'
import type { LiveSubscription } from './live-subscription.ts'
import type { Shared } from './shared.ts'

const MAX_NAME_BYTES = 256
const MAX_IDEMPOTENCY_KEY_LENGTH = 256
const PUBLISH_CHECKS: Readonly<Record<keyof PublishOptions, Check>> = {
  key: checkKey,
  idempotencyKey: checkIdempotencyKey,
  keep: checkBoolean
}
const NO_OPTIONS: Readonly<object> = Object.freeze({})

/** An end that is no message. No other has its key. */
const END = { text: END_TEXT, byteLength: END_TEXT.length, key: '\0end' } as const

/** What the names of channels begin with to which only runs publish. */
export const RUN_PREFIX = 'sse-run:'

/** A frame, and what it is about. */
export type KeyedFrame = Frame & { readonly key: string }

/** What the channels of a registration need of it. */
export interface ChannelsHost {
  readonly shared: Shared
  readonly defaults: ResolvedChannelOptions
  readonly patterns: ChannelPatterns
  /** Of the channels of runs. */
  readonly runLimits: Limits
  isOwn(connection: Connection): boolean
  /** @throws what encoding a message throws, also if it is none of the declared events. */
  encode(message: Publishable, schemas: EventSchemas | undefined): Frame
  /** Somebody reads a run of which nothing is there: neither a message nor an end. */
  runOnEmpty(channel: LiveChannel): void
}

/** The channels of one registration by name. One that has no subscriptions and was not declared lasts while it is held. */
export class Channels implements ChannelHost {
  readonly shared: Shared
  readonly #host: ChannelsHost
  /** Those that have subscriptions, or readers. */
  readonly #live = new Set<LiveChannel>()
  readonly #declared = new Set<LiveChannel>()
  readonly #known = new Map<string, WeakRef<LiveChannel>>()
  readonly #collected = new FinalizationRegistry<string>((name) => {
    if (this.#known.get(name)?.deref() === undefined) this.#known.delete(name)
  })
  #isReady = false

  constructor(host: ChannelsHost) {
    this.#host = host
    this.shared = host.shared
    for (const { gapEvent } of Object.values(host.patterns)) this.#reserve(gapEvent)
  }

  get live(): ReadonlySet<Channel> {
    return this.#live
  }

  /** From now on, options that are given do not keep a channel. */
  ready(): void {
    this.#isReady = true
  }

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
  get(name: string, options?: ChannelOptions): LiveChannel {
    if (typeof name === 'string' && name.startsWith(RUN_PREFIX)) {
      throw invalid('the channel name', `none that begins with ${RUN_PREFIX}`, name)
    }
    const channel = this.#known.get(name)?.deref() ?? this.#create(name)
    if (options !== undefined) this.#configure(channel, options)
    return channel
  }

  /** The channel to which a run of this name publishes. */
  ofRun(name: string): LiveChannel {
    const full = RUN_PREFIX + name
    return this.#known.get(full)?.deref() ?? this.#create(full)
  }

  subscribe(connection: AnyConnection, names: readonly string[], options?: SubscribeOptions): Subscription[] {
    const before = new Set<unknown>(connection?.subscriptions)
    const subscribed: [LiveChannel, Subscription][] = []
    try {
      for (const channel of namesOf(names).map((name) => this.get(name)))
        subscribed.push([channel, channel.subscribe(connection, options)])
    } catch (error) {
      for (const [channel, subscription] of subscribed) {
        if (!before.has(subscription)) channel.withdraw(subscription as LiveSubscription)
      }
      throw error
    }
    return subscribed.map(([, subscription]) => subscription)
  }

  publish(
    names: string | readonly string[],
    given: unknown,
    options: PublishOptions = NO_OPTIONS
  ): Promise<never> {
    const {
      key,
      idempotencyKey,
      keep = true
    } = options === NO_OPTIONS ? options : checked(options, PUBLISH_CHECKS)
    const channels = namesOf(names).map((name) => this.get(name))
    if (channels.length === 0) throw invalid('the channels', 'at least one name', names)
    const messages = (Array.isArray(given) ? given : [given]) as readonly Publishable[]
    const frames = messages.map((message) => {
      const frame = this.#frameOf(channels, message)
      return key === undefined ? frame : { ...frame, key }
    })
    const appended = this.#append(channels, frames, { idempotencyKey, isKept: keep, isEnd: false })
    const answer = ({ cursors, isEnded }: Appended): unknown => {
      if (isEnded) throw new FST_ERR_EVENTSTREAM_CHANNEL_ENDED()
      return Array.isArray(given) ? cursors : cursors[0]
    }
    const result =
      appended instanceof Promise || appended.isEnded
        ? this.#observe(Promise.resolve(appended).then(answer), channels)
        : Promise.resolve(answer(appended))
    return result as Promise<never>
  }

  end(channel: LiveChannel, given?: Publishable): Promise<void> {
    const frame = given === undefined ? END : this.#frameOf([channel], given)
    const options = { idempotencyKey: undefined, isKept: true, isEnd: true }
    const ended = Promise.resolve(this.#append([channel], [frame], options))
    return this.#observe(
      ended.then(() => {}),
      [channel]
    )
  }

  /** @throws what encoding a message throws. */
  frameOf(channel: LiveChannel, message: Publishable): KeyedFrame {
    return this.#frameOf([channel], message)
  }

  /** Appends to the channel of a run. */
  async append(
    channel: LiveChannel,
    frames: readonly KeyedFrame[],
    options: Pick<AppendOptions, 'isEnd' | 'token' | 'after'>
  ): Promise<Appended> {
    return this.#append([channel], frames, { idempotencyKey: undefined, isKept: true, ...options })
  }

  isOwn(connection: Connection): boolean {
    return this.#host.isOwn(connection)
  }

  encode(message: Publishable, { events }: ResolvedChannelOptions): Frame {
    assertNoId(message, "absent, for it is the channel's")
    return this.#host.encode(message, events)
  }

  /** That by which servers tell each other of runs is none of the application's. */
  channelOnUse(channel: LiveChannel): void {
    if (channel.name !== RUN_PREFIX) this.#live.add(channel)
  }

  channelOnIdle(channel: LiveChannel): void {
    this.#live.delete(channel)
  }

  channelOnEmpty(channel: LiveChannel): void {
    if (channel.name.startsWith(RUN_PREFIX) && channel.name !== RUN_PREFIX) this.#host.runOnEmpty(channel)
  }

  close(): Promise<void> {
    return this.shared.history.close()
  }

  /** @returns what became of the messages: at once, if there is nobody to wait for. */
  #append(
    channels: readonly LiveChannel[],
    frames: readonly KeyedFrame[],
    options: AppendOptions
  ): Appended | Promise<Appended> {
    const windows = channels.map(({ window }) => window)
    const appended = this.shared.history.append(windows, frames, options)
    return appended instanceof Promise
      ? appended.then((result) => this.#offer(channels, frames, result))
      : this.#offer(channels, frames, appended)
  }

  #offer(
    channels: readonly LiveChannel[],
    frames: readonly KeyedFrame[],
    appended: Appended
  ): Appended | Promise<Appended> {
    const { rounds, counters } = this.shared
    const { cursors, isNew } = appended
    if (isNew) counters.published += frames.length
    if (isNew && publishChannel.hasSubscribers) {
      const names = channels.map(({ name }) => name)
      for (const [i, cursor] of cursors.entries()) {
        const { byteLength } = frames[i] as Frame
        publishChannel.publish({ channels: names, cursor, byteLength })
      }
    }
    const offered = rounds.publish(frames.reduce((sum, { byteLength }) => sum + byteLength, 0))
    return offered === undefined ? appended : offered.then(() => appended)
  }

  #observe<T>(result: Promise<T>, channels: readonly LiveChannel[]): Promise<T> {
    return ObservedPromise.of(result, (err) => {
      const names = channels.map(({ name }) => name)
      this.shared.log.error({ err, channels: names }, 'a message could not be published')
    })
  }

  #frameOf(channels: readonly LiveChannel[], message: Publishable): KeyedFrame {
    return { ...this.#encodeFor(channels, message), key: eventOf(message) }
  }

  /** The message must fit all of the channels, and is encoded as the first one that declares events says. */
  #encodeFor(channels: readonly LiveChannel[], message: Publishable): Frame {
    this.shared.reserved.assertFree(message)
    const [first] = channels
    if (first !== undefined && channels.length === 1) return this.encode(message, first.options)
    const differing = new Map(channels.map(({ options }) => [options.events, options]))
    const frames = [...differing].map(([events, options]) => ({
      isDeclared: events !== undefined,
      frame: this.encode(message, options)
    }))
    return (frames.find(({ isDeclared }) => isDeclared) ?? (frames[0] as (typeof frames)[0])).frame
  }

  #reserve(gapEvent: string | undefined): void {
    if (gapEvent !== undefined) this.shared.reserved.addGap(gapEvent)
  }

  #create(name: string): LiveChannel {
    checkName('the channel name', MAX_NAME_BYTES, name)
    const { defaults, patterns, runLimits } = this.#host
    const options = name.startsWith(RUN_PREFIX)
      ? Object.freeze({ ...CHANNEL_DEFAULTS, ...runLimits, gapEvent: defaults.gapEvent })
      : optionsFor(name, defaults, patterns)
    const channel = new LiveChannel(this, ownText(name), options)
    this.#known.set(channel.name, new WeakRef(channel))
    this.#collected.register(channel, channel.name)
    return channel
  }

  #configure(channel: LiveChannel, options: ChannelOptions): void {
    if (this.#isReady) {
      for (const name of LIMITS) {
        if (options[name] === undefined || options[name] === channel.options[name]) continue
        throw invalid(name, 'set before the server is ready, for it would be forgotten', options[name])
      }
    }
    this.#reserve(options.gapEvent)
    channel.configure(options)
    if (!this.#isReady) this.#declared.add(channel)
  }
}

/** The name of the run that publishes to a channel. */
export function runNameOf(channel: string): string {
  return channel.slice(RUN_PREFIX.length)
}

function namesOf(names: string | readonly string[]): readonly string[] {
  if (typeof names === 'string') return [names]
  if (!Array.isArray(names)) throw invalid('the channels', 'a name or an array of names', names)
  return [...new Set(names as readonly string[])]
}

function eventOf(message: Publishable): string {
  return typeof message === 'object' && message !== null ? (message.event ?? '') : ''
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
