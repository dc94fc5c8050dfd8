import { expected, FST_ERR_EVENTSTREAM_INVALID_OPTION } from './errors.ts'
import { encodeMessage, type Frame } from './frame.ts'
import type { Message, Serializer } from './types.ts'

/** What one stream may set for itself in `reply.sseStart(options)`; the rest comes from the plugin's options. */
export interface StreamOptions {
  /**
   * Turns data that is neither a string nor bytes into text.
   * @defaultValue `JSON.stringify`
   */
  serializer?: Serializer
  /**
   * Milliseconds of silence after which a comment keeps proxies from cutting the stream. `false` sends none.
   * @defaultValue 15000
   */
  heartbeatMs?: number | false
  /**
   * Bytes that one message may take on the wire; a larger one throws.
   * @defaultValue 1048576
   */
  maxMessageBytes?: number
  /**
   * Bytes that may wait for a reader that is behind. A message that comes when there are more destroys the connection
   * with reason `slow`.
   * @defaultValue 1048576
   */
  maxBufferedBytes?: number
  /**
   * Milliseconds for which a reader that is behind may make no progress. Beyond, the connection is destroyed with
   * reason `slow`. `false` waits for ever.
   * @defaultValue 30000
   */
  stallMs?: number | false
  /**
   * Milliseconds after which a connection ends with reason `expired`, shortened by up to a tenth at random so that
   * those that came together do not go together. `false` sets no limit.
   * @defaultValue false
   */
  maxAgeMs?: number | false
  /**
   * Range of the reconnection time in milliseconds that is drawn for each client when its stream expires or the
   * server shuts down, so that they do not all come back at once. `false` sends none.
   * @defaultValue [1000, 5000]
   */
  retryMs?: readonly [min: number, max: number] | false
  /**
   * Whether a request whose `Accept` header refuses event streams is answered by `406`. `false` for APIs whose clients
   * ask for the stream in another way, such as the `stream: true` in the body of LLM requests.
   * @defaultValue true
   */
  checkAccept?: boolean
  /**
   * The message that `close()` sends before it ends the stream. `false` sends none.
   * @defaultValue `{ event: 'close', data: 'Closing the connection' }`
   */
  farewell?: Message | false
}

/** Options of `reply.sseStart()`. */
export interface StartOptions extends StreamOptions {
  /**
   * When the stream ends with reason `expired`: a `Date`, or milliseconds since the epoch. For a token's expiry.
   * @defaultValue none
   */
  expiresAt?: Date | number
}

/** Options of the plugin. */
export interface EventStreamOptions extends StreamOptions {
  /**
   * The message that every stream gets when the server shuts down. `false` sends none.
   * @defaultValue false
   */
  shutdownFarewell?: Message | false
  /**
   * Milliseconds that readers have at shutdown to take what was sent to them. Below Fastify's `pluginTimeout`.
   * @defaultValue 5000
   */
  drainMs?: number
}

/** Every option with its value, and the farewells as the frames they are on the wire. Frozen. */
export type ResolvedOptions = Readonly<Required<EventStreamOptions>> & {
  readonly farewellFrame: Frame | undefined
  readonly shutdownFrame: Frame | undefined
}

/** The options of one stream: the plugin's, with its own in their place. */
export type ResolvedStartOptions = ResolvedOptions & Readonly<Pick<StartOptions, 'expiresAt'>>

const DEFAULTS: Readonly<Required<EventStreamOptions>> = Object.freeze({
  serializer: JSON.stringify,
  heartbeatMs: 15_000,
  maxMessageBytes: 1_048_576,
  maxBufferedBytes: 1_048_576,
  stallMs: 30_000,
  maxAgeMs: false,
  retryMs: [1_000, 5_000],
  checkAccept: true,
  farewell: { event: 'close', data: 'Closing the connection' },
  shutdownFarewell: false,
  drainMs: 5_000
} as const)

type Check = (name: string, value: unknown) => void

const STREAM_CHECKS: Readonly<Record<keyof StreamOptions, Check>> = {
  serializer: checkFunction,
  heartbeatMs: orFalse(checkMs),
  maxMessageBytes: checkBytes,
  maxBufferedBytes: checkBytes,
  stallMs: orFalse(checkMs),
  maxAgeMs: orFalse(checkMs),
  retryMs: orFalse(checkRange),
  checkAccept: checkBoolean,
  farewell: checkNothing
}
const START_CHECKS: Readonly<Record<keyof StartOptions, Check>> = { ...STREAM_CHECKS, expiresAt: checkTime }
const PLUGIN_CHECKS: Readonly<Record<keyof EventStreamOptions, Check>> = {
  ...STREAM_CHECKS,
  shutdownFarewell: checkNothing,
  drainMs: checkMs
}

/** What Fastify's `register()` itself takes and passes on. */
const REGISTER_OPTIONS = new Set(['prefix', 'logLevel', 'logSerializers'])

/**
 * The plugin's options with the defaults for those that are not given.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for an unknown name or a wrong value.
 */
export function resolveOptions(given: EventStreamOptions): ResolvedOptions {
  checkObject(given)
  const own = Object.entries(given).filter(([name]) => !REGISTER_OPTIONS.has(name))
  return merge(DEFAULTS, Object.fromEntries(own), PLUGIN_CHECKS)
}

/**
 * One stream's options, over the plugin's.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for an unknown name or a wrong value.
 */
export function resolveStartOptions(base: ResolvedOptions, given: StartOptions = {}): ResolvedStartOptions {
  checkObject(given)
  return Object.keys(given).length === 0 ? base : merge(base, given, START_CHECKS)
}

function merge<Base extends Readonly<Required<EventStreamOptions>>>(
  base: Base,
  given: object,
  checks: Record<string, Check>
): Base & ResolvedOptions {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined)
  for (const [name, value] of entries) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) throw invalid(name, `one of ${Object.keys(checks).join(', ')}`, value)
    check(name, value)
  }
  const options = { ...base, ...copyOf(entries) }
  const farewellFrame = farewellOf('farewell', options)
  const shutdownFrame = farewellOf('shutdownFarewell', options)
  return Object.freeze({ ...options, farewellFrame, shutdownFrame })
}

/** Copies what the caller could change after the check. */
function copyOf(entries: [string, unknown][]): object {
  return Object.fromEntries(
    entries.map(([name, value]) => [name, Array.isArray(value) ? Object.freeze([...value]) : value])
  )
}

function checkObject(given: unknown): void {
  if (typeof given !== 'object' || given === null) throw invalid('the options', 'an object', given)
}

function orFalse(check: Check): Check {
  return (name, value) => {
    if (value !== false) check(name, value)
  }
}

function farewellOf(
  name: 'farewell' | 'shutdownFarewell',
  options: Readonly<Required<EventStreamOptions>>
): Frame | undefined {
  const message = options[name]
  if (message === false) return undefined
  try {
    return encodeMessage(message, options)
  } catch (cause) {
    throw new FST_ERR_EVENTSTREAM_INVALID_OPTION(expected(name, 'a message or false', message), { cause })
  }
}

/** For farewells: encoding them is their check. */
function checkNothing(): void {}

function checkBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw invalid(name, 'true or false', value)
}

function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw invalid(name, 'a function', value)
}

/** The longest delay of a Node timer; longer ones fire at once. */
const MAX_MS = 2_147_483_647

function checkMs(name: string, value: unknown): void {
  if (!isInteger(value) || value < 1 || value > MAX_MS) {
    throw invalid(name, `an integer from 1 to ${MAX_MS} (milliseconds)`, value)
  }
}

function checkBytes(name: string, value: unknown): void {
  if (!isInteger(value) || value < 1) throw invalid(name, 'an integer of at least 1 (bytes)', value)
}

function checkRange(name: string, value: unknown): void {
  const [min, max] = Array.isArray(value) && value.length === 2 ? value : []
  if (!isInteger(min) || !isInteger(max) || min < 0 || max < min || max > MAX_MS) {
    throw invalid(name, `[min, max] with integers 0 <= min <= max <= ${MAX_MS} (milliseconds)`, value)
  }
}

function checkTime(name: string, value: unknown): void {
  const time = value instanceof Date ? value.getTime() : value
  if (typeof time !== 'number' || !Number.isFinite(time)) {
    throw invalid(name, 'a valid Date or milliseconds since the epoch', value)
  }
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function invalid(name: string, rule: string, value: unknown): Error {
  return new FST_ERR_EVENTSTREAM_INVALID_OPTION(expected(name, rule, value))
}
