import {
  type Check,
  checkBoolean,
  checkBytes,
  checkEventName,
  checked,
  checkFunction,
  checkMs,
  checkMsRange,
  checkObject,
  checkTime,
  invalid,
  oneOf,
  orFalse
} from '../base/check.ts'
import { withCause } from '../base/errors.ts'
import {
  CHANNEL_CHECKS,
  CHANNEL_DEFAULTS,
  checkPatterns,
  type LIMITS,
  type ResolvedChannelOptions
} from '../channel/channel-options.ts'
import type { Connection } from '../connection/connection.ts'
import { farewellFrame } from '../connection/farewell.ts'
import { type ResolvedRunsOptions, RUNS_DEFAULTS, resolveRunsOptions } from '../run/run-options.ts'
import { assertUndeclared, checkEvents } from '../wire/declared-events.ts'
import { Limit, type LimitOptions } from './limit.ts'

import type {
  EventStreamOptions,
  HistoryOptions,
  RouteStreamOptions,
  SharedChannelOptions,
  StartOptions,
  StreamOptions
} from './options.ts'

/** What is not the same for both kinds of stream, unless it is set. */
type KindOptions = Required<Pick<StreamOptions, 'finite' | 'head' | 'checkAccept' | 'farewell'>>

type OwnOptions = Readonly<
  Required<
    Omit<EventStreamOptions, keyof SharedChannelOptions | keyof KindOptions | 'history' | 'limit' | 'runs'>
  >
> & {
  readonly history: Readonly<Required<Pick<HistoryOptions, 'maxTotalBytes'>> & HistoryOptions>
  readonly limit: Limit<Connection> | undefined
  readonly runs: ResolvedRunsOptions
}

type AllChannelsOptions = Omit<ResolvedChannelOptions, (typeof LIMITS)[number] | 'events'>

/** The options of the plugin, or of a route over them, without what a stream's kind decides. Frozen. */
export type ResolvedOptions = OwnOptions &
  AllChannelsOptions &
  Readonly<Partial<KindOptions> & Pick<StartOptions, 'events'>>

/** The options of one stream. */
export type ResolvedStartOptions = ResolvedOptions & Readonly<KindOptions>

const { slow, afterGap, gapEvent } = CHANNEL_DEFAULTS
const DEFAULTS: OwnOptions & AllChannelsOptions = Object.freeze({
  serializer: JSON.stringify,
  heartbeatMs: 15_000,
  maxMessageBytes: 1_048_576,
  maxBufferedBytes: 1_048_576,
  stallMs: 30_000,
  maxAgeMs: false,
  retryMs: [1_000, 5_000],
  cursorEvent: 'sse-cursor',
  heartbeatEvent: false,
  endWithChannels: true,
  drainMs: 5_000,
  channels: {},
  history: { maxTotalBytes: 67_108_864 },
  limit: undefined,
  runs: RUNS_DEFAULTS,
  slow,
  afterGap,
  gapEvent
} as const)

export const ENDLESS_DEFAULTS: KindOptions = Object.freeze({
  finite: false,
  checkAccept: true,
  head: 'turn',
  farewell: { event: 'close', data: 'Closing the connection' }
})
const FINITE_DEFAULTS: KindOptions = Object.freeze({
  finite: true,
  checkAccept: false,
  head: 'message',
  farewell: false
})

const STREAM_CHECKS: Readonly<Record<keyof StreamOptions, Check>> = {
  serializer: checkFunction,
  heartbeatMs: orFalse(checkMs),
  maxMessageBytes: checkBytes,
  maxBufferedBytes: checkBytes,
  stallMs: orFalse(checkMs),
  maxAgeMs: orFalse(checkMs),
  retryMs: orFalse(checkMsRange),
  cursorEvent: orFalse(checkEventName),
  heartbeatEvent: orFalse(checkEventName),
  finite: checkBoolean,
  checkAccept: checkBoolean,
  head: oneOf('turn', 'message'),
  endWithChannels: checkBoolean,
  farewell: checkNothing
}
const START_CHECKS: Readonly<Record<keyof StartOptions, Check>> = {
  ...STREAM_CHECKS,
  events: checkEvents,
  expiresAt: checkTime,
  context: checkNothing
}
const ROUTE_CHECKS: Readonly<Record<keyof RouteStreamOptions, Check>> = {
  ...STREAM_CHECKS,
  events: checkEvents,
  limit: checkNothing
}
const HISTORY_CHECKS: Readonly<Record<keyof HistoryOptions, Check>> = {
  maxTotalBytes: checkBytes,
  store: checkStore
}
const {
  events: _,
  maxMessages: _1,
  maxBytes: _2,
  maxAgeMs: _3,
  keepEndedMs: _4,
  ...ALL_CHANNELS_CHECKS
} = CHANNEL_CHECKS
const PLUGIN_CHECKS: Readonly<Record<keyof EventStreamOptions, Check>> = {
  ...STREAM_CHECKS,
  drainMs: checkMs,
  channels: checkPatterns,
  history: checkNothing,
  limit: checkNothing,
  runs: checkNothing,
  ...ALL_CHANNELS_CHECKS
}

/** What Fastify's `register()` itself takes and passes on. */
const REGISTER_OPTIONS = new Set(['prefix', 'logLevel', 'logSerializers'])

/**
 * The plugin's options with the defaults for those that are not given.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for an unknown name or a wrong value.
 */
export function resolveOptions(given: EventStreamOptions): ResolvedOptions {
  checkObject('the options', given)
  const own = Object.entries(given).filter(([name]) => !REGISTER_OPTIONS.has(name))
  const { history = {}, limit, runs = {}, ...options }: EventStreamOptions = Object.fromEntries(own)
  const base = {
    ...DEFAULTS,
    limit: limitOf(limit),
    runs: resolveRunsOptions(runs),
    history: Object.freeze({ ...DEFAULTS.history, ...checkHistory('history', history) })
  }
  return merge(base, options, PLUGIN_CHECKS)
}

/**
 * A route's options, over the plugin's.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for an unknown name or a wrong value.
 */
export function resolveRouteOptions(base: ResolvedOptions, given: RouteStreamOptions): ResolvedOptions {
  checkObject('eventStream', given)
  const { limit, ...options } = given
  return merge({ ...base, limit: limitOf(limit) }, options, ROUTE_CHECKS)
}

/**
 * One stream's options, over its route's or the plugin's, which streams share. `expiresAt` and `context` are no part of them.
 *
 * @param method of its request, which says of which kind it is, if no option does.
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for an unknown name or a wrong value.
 */
export function resolveStartOptions(
  base: ResolvedOptions,
  given: StartOptions = {},
  method = 'GET'
): ResolvedStartOptions {
  checkObject('the options', given)
  const { expiresAt, context, ...own } = checked(given, START_CHECKS)
  const isOfFinite = own.finite ?? base.finite ?? (method !== 'GET' && method !== 'HEAD')
  const shared = sharedOfKind(base, isOfFinite)
  return Object.keys(own).length === 0 ? shared : over(shared, own)
}

/** `base` with `own` in its place: as the prototype, it takes no memory for each stream. */
function over(base: ResolvedStartOptions, own: StartOptions): ResolvedStartOptions {
  const options: ResolvedStartOptions = Object.create(base, Object.getOwnPropertyDescriptors(own))
  checkTogether(options, own)
  return Object.freeze(options)
}

function ofKind(options: ResolvedOptions, isOfFinite: boolean): ResolvedStartOptions {
  return Object.freeze({ ...(isOfFinite ? FINITE_DEFAULTS : ENDLESS_DEFAULTS), ...options })
}

const kinds = new WeakMap<ResolvedOptions, Map<boolean, ResolvedStartOptions>>()

/** Those of all streams of a kind, as far as they set none of their own. */
function sharedOfKind(options: ResolvedOptions, isOfFinite: boolean): ResolvedStartOptions {
  const ofBase = kinds.get(options) ?? new Map<boolean, ResolvedStartOptions>()
  kinds.set(options, ofBase)
  const shared = ofBase.get(isOfFinite) ?? ofKind(options, isOfFinite)
  ofBase.set(isOfFinite, shared)
  return shared
}

function merge(
  base: ResolvedOptions,
  given: Omit<EventStreamOptions & StartOptions, 'history' | 'limit' | 'runs'>,
  checks: Readonly<Record<string, Check>>
): ResolvedOptions {
  const options: ResolvedOptions = { ...base, ...checked(given, checks) }
  checkTogether(options, given)
  return Object.freeze(options)
}

/** What is wrong only beside another option. */
function checkTogether(options: ResolvedOptions, given: StartOptions): void {
  const { events, cursorEvent, heartbeatEvent } = options
  assertUndeclared(events, 'cursorEvent', cursorEvent)
  assertUndeclared(events, 'heartbeatEvent', heartbeatEvent)
  if (ENCODING.some((name) => given[name] !== undefined)) checkFarewell(options)
}

/** What decides whether a farewell can be sent. */
const ENCODING = ['farewell', 'serializer', 'maxMessageBytes'] as const

function checkFarewell(options: ResolvedOptions): void {
  const { farewell = ENDLESS_DEFAULTS.farewell } = options
  if (typeof farewell === 'function') return
  try {
    farewellFrame(farewell, options, 'server', undefined)
  } catch (cause) {
    throw withCause(invalid('farewell', 'a message, a function or false', farewell), cause)
  }
}

function limitOf(given: LimitOptions | undefined): Limit<Connection> | undefined {
  return given === undefined ? undefined : new Limit(given)
}

const STORE_METHODS = ['open', 'append', 'read', 'prove', 'head', 'close'] as const

function checkStore(name: string, value: unknown): void {
  checkObject(name, value)
  for (const method of STORE_METHODS) checkFunction(`${name}.${method}`, Reflect.get(value, method))
}

function checkHistory(name: string, value: unknown): HistoryOptions {
  checkObject(name, value)
  return checked(value as HistoryOptions, HISTORY_CHECKS)
}

/** For farewells, which encoding checks, and for what can be anything. */
function checkNothing(): void {}
