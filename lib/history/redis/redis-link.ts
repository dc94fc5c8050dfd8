import { Deferred } from '../../base/promises.ts'
import { createIORedis, type IORedisClient, IORedisDriver, isIORedisClient } from './ioredis.ts'
import { createNodeRedis, isNodeRedisClient, type NodeRedisClient, NodeRedisDriver } from './node-redis.ts'

/**
 * One connection to Redis, which lasts until it breaks or is destroyed: it never reconnects, queues or resends by
 * itself.
 *
 * It is either for commands or for Pub/Sub: once `subscribe()` was called, only PING may be.
 */
export interface RedisLink {
  /**
   * Sends a command at once, after all that were sent before.
   *
   * Answers are strings, integers, `null`, and arrays of these, in the shapes of RESP 2 whatever the protocol is.
   *
   * @throws RedisReplyError for what Redis refuses; another Error when the connection broke before the answer came.
   * Redis may have executed the command then.
   */
  call(args: readonly string[]): Promise<unknown>
  /** Resolves when Redis has confirmed. What is published to the names is complete only from then on. */
  subscribe(names: readonly string[]): Promise<void>
  /** Resolves when Redis has confirmed. Messages may come until then. */
  unsubscribe(names: readonly string[]): Promise<void>
  /** Breaks it at once. What has no answer is rejected; the listener is not called any more. May be called again. */
  destroy(): void
}

/** Its methods must not throw: the libraries would not survive that. */
export interface LinkListener {
  /** A message of a Pub/Sub channel that was subscribed. */
  linkOnMessage(name: string, body: string): void
  /**
   * Called once, when the connection has broken by itself: nothing of it is left then. What has no answer may be
   * rejected before or after.
   */
  linkOnLost(error: Error): void
}

/**
 * Connects once, and resolves when Redis serves: it has answered PING. Rejects when that fails or takes longer than
 * {@link CONNECT_TIMEOUT_MS}, or the signal aborts; with a RedisReplyError when Redis refuses.
 */
export type Dial = (listener: LinkListener, signal?: AbortSignal) => Promise<RedisLink>

/** A client of `redis` (`createClient()`) or of `ioredis` (`new Redis()`, `fastify.redis`), but none of a cluster. */
export type RedisClient = NodeRedisClient | IORedisClient

const CONNECT_TIMEOUT_MS = 5_000

/** What Redis 6.2 writes before what a script was refused. */
const OF_A_SCRIPT = /^(?:ERR Error running script \(call to \w+\): )?(?:@user_script: ?\d+: )+-?/

/** What Redis refuses, in its own words. `cause` is the error of the library. */
export class RedisReplyError extends Error {
  override readonly name = 'RedisReplyError'
  /** The first word: `OOM`, `NOSCRIPT`, `WRONGTYPE`, … */
  readonly code: string

  constructor(cause: Error) {
    super(cause.message.replace(OF_A_SCRIPT, '').trimEnd(), { cause })
    this.code = this.message.replace(/ .*/s, '')
  }
}

export function isRedisClient(value: unknown): value is RedisClient {
  return typeof value === 'object' && value !== null && (isNodeRedisClient(value) || isIORedisClient(value))
}

/**
 * Every link is a connection of its own, made with the client's options but for those on reconnecting, queueing,
 * timeouts, key prefixes and reply types. The client itself is only read: it need not be connected, and stays as it is.
 */
export function dialClient(client: RedisClient, timeoutMs: number = CONNECT_TIMEOUT_MS): Dial {
  return (listener, signal) => Link.dial(client, listener, timeoutMs, signal)
}

/** Makes a client that is not connected, or rejects with `ERR_MODULE_NOT_FOUND`. */
type Create = (url: string) => Promise<RedisClient>

/**
 * Needs `redis`, or else `ioredis`, to be installed. It is loaded once, by the first dial; when neither can be found,
 * all dials reject.
 */
export function dialUrl(
  url: string,
  timeoutMs: number = CONNECT_TIMEOUT_MS,
  libraries: readonly Create[] = [createNodeRedis, createIORedis]
): Dial {
  let client: Promise<RedisClient> | undefined
  return async (listener, signal) => {
    client ??= createClient(url, libraries)
    return await Link.dial(await client, listener, timeoutMs, signal)
  }
}

async function createClient(url: string, libraries: readonly Create[]): Promise<RedisClient> {
  for (const create of libraries) {
    try {
      return await create(url)
    } catch (error) {
      if (!isNotFound(error)) throw error
    }
  }
  throw new Error('Connecting to a Redis URL needs one of the packages "redis" and "ioredis": install it')
}

function isNotFound(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
}

/** A connection as a library makes it. May be destroyed at any time. */
type Driver = NodeRedisDriver | IORedisDriver

class Link implements RedisLink {
  readonly #driver: Driver
  readonly #listener: LinkListener
  readonly #dialed = new Deferred<void>()
  #brokenBy: Error | undefined
  /** Whether somebody was given this link and has not destroyed it. */
  #isHeld = false

  private constructor(client: RedisClient, listener: LinkListener, timeoutMs: number) {
    this.#listener = listener
    const onMessage = (name: string, body: string): void => {
      if (this.#isHeld) this.#listener.linkOnMessage(name, body)
    }
    const onBreak = (error: Error): void => this.#break(error)
    this.#driver = isNodeRedisClient(client)
      ? new NodeRedisDriver(client, onMessage, onBreak)
      : new IORedisDriver(client, onMessage, onBreak, timeoutMs)
  }

  static async dial(
    client: RedisClient,
    listener: LinkListener,
    timeoutMs: number,
    signal?: AbortSignal
  ): Promise<Link> {
    signal?.throwIfAborted()
    const link = new Link(client, listener, timeoutMs)
    const onTimeout = (): void => link.#break(new Error(`Redis did not answer within ${timeoutMs} ms`))
    const timer = setTimeout(onTimeout, timeoutMs).unref()
    const onAbort = (): void => link.destroy()
    signal?.addEventListener('abort', onAbort)
    link.#connect().then(link.#dialed.resolve, (error: Error) => link.#break(error))
    await link.#dialed.promise
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
    if (link.#brokenBy !== undefined) throw link.#brokenBy
    link.#isHeld = true
    return link
  }

  call(args: readonly string[]): Promise<unknown> {
    return this.#ask(() => this.#driver.send(args))
  }

  async subscribe(names: readonly string[]): Promise<void> {
    if (names.length > 0) await this.#ask(() => this.#driver.subscribe(names))
  }

  /** UNSUBSCRIBE without names would mean all. */
  async unsubscribe(names: readonly string[]): Promise<void> {
    if (names.length > 0) await this.#ask(() => this.#driver.unsubscribe(names))
  }

  destroy(): void {
    this.#isHeld = false
    this.#break(new Error('The connection was destroyed'))
  }

  /**
   * PING, as a library may have nothing to say in its handshake, or not mind what Redis refuses there. A Redis that could
   * not save its data (MISCONF) refuses even that, but can be read.
   */
  async #connect(): Promise<void> {
    await this.#driver.connect()
    try {
      await this.#driver.send(['PING'])
    } catch (error) {
      if (!this.#driver.isReplyError(error) || new RedisReplyError(error).code !== 'MISCONF') throw error
    }
  }

  /** What is asked after the connection has broken is not even sent: node-redis would leave it without an answer. */
  async #ask(send: () => Promise<unknown>): Promise<unknown> {
    if (this.#brokenBy !== undefined) throw brokenError(this.#brokenBy)
    try {
      return await send()
    } catch (error) {
      throw this.#driver.isReplyError(error)
        ? new RedisReplyError(error)
        : brokenError(this.#brokenBy ?? error)
    }
  }

  #break(error: Error): void {
    if (this.#brokenBy !== undefined) return
    this.#brokenBy = this.#driver.isReplyError(error) ? new RedisReplyError(error) : error
    this.#driver.destroy()
    this.#dialed.resolve()
    if (!this.#isHeld) return
    this.#isHeld = false
    this.#listener.linkOnLost(this.#brokenBy)
  }
}

function brokenError(cause: unknown): Error {
  return new Error('The connection to Redis broke', { cause })
}

/** What a client of ioredis writes before all its keys. */
export function keyPrefixOf({ options }: RedisClient): string {
  const keyPrefix = options === undefined ? undefined : Reflect.get(options, 'keyPrefix')
  return typeof keyPrefix === 'string' ? keyPrefix : ''
}
