import { randomUUID } from 'node:crypto'
import { checkBytes, checkCount, checked, checkMs, invalid } from '../../base/check.ts'
import { FrameBudget } from '../frame-budget.ts'
import type { Cursor, History, HistoryListener, Log, LogListener } from '../history.ts'
import { type RedisKeys, redisKeys } from './redis-keys.ts'
import { type LineListener, RedisLine } from './redis-line.ts'
import {
  type Dial,
  dialClient,
  dialUrl,
  isRedisClient,
  type RedisClient,
  type RedisLink,
  RedisReplyError
} from './redis-link.ts'
import { RedisLog, type RedisLogHost } from './redis-log.ts'
import { type NoticesHost, RedisNotices } from './redis-notices.ts'
import { PageCache } from './redis-pages.ts'
import { type Publication, type PublisherHost, RedisPublisher } from './redis-publisher.ts'
import { CHECK, PUBLISH, type RedisScript, SCRIPTS } from './redis-scripts.ts'
import { randomPart } from './stream-id.ts'

export interface RedisHistoryOptions {
  /**
   * A client of `redis` 6 or `ioredis` 6. Two connections of our own are made with its options; it is not used itself,
   * need not be connected, and stays as it is. Not that of a cluster. Either this or `url` is given.
   */
  client?: RedisClient
  /** `redis://…` or `rediss://…`. Needs the package `redis`, or else `ioredis`, to be installed. */
  url?: string
  /**
   * What the names of all keys and Pub/Sub channels begin with: up to 64 characters without braces.
   * @defaultValue `'eventstream:'`
   */
  prefix?: string
  /**
   * Messages kept per channel. Up to about 100 more are, because Redis drops them by the node of its stream.
   * @defaultValue 1000
   */
  maxLength?: number
  /**
   * Milliseconds after which Redis forgets a channel that nobody has published to or subscribed to, and idempotency keys.
   * At least 10000.
   * @defaultValue 3600000
   */
  ttlMs?: number
  /**
   * Milliseconds after which `publish()` rejects if Redis has not confirmed. Below `ttlMs`.
   * @defaultValue 5000
   */
  publishTimeoutMs?: number
  /**
   * Bytes of the text of messages kept in this process for each channel that has subscriptions. Who is further behind is
   * served from Redis.
   * @defaultValue 1048576
   */
  maxBytes?: number
  /**
   * The same for all channels, with 256 bytes for each message and 768 for each channel.
   * @defaultValue 67108864
   */
  maxTotalBytes?: number
}

type Settings = Readonly<Required<Omit<RedisHistoryOptions, 'client' | 'url'>>>

export const REDIS_DEFAULTS: Settings = Object.freeze({
  prefix: 'eventstream:',
  maxLength: 1_000,
  ttlMs: 3_600_000,
  publishTimeoutMs: 5_000,
  maxBytes: 1_048_576,
  maxTotalBytes: 67_108_864
})
/** What is published to a channel. */
interface Message extends Publication {
  readonly keys: RedisKeys
  readonly key: string
  readonly text: string
}

/** Where it was appended: its id, that of the entry before it, and the oldest place if that has moved. */
interface Appended {
  readonly id: string
  readonly previous: string
  readonly oldest: string
}

const MIN_TTL_MS = 10_000
const CHECKS = {
  client: checkClient,
  url: checkUrl,
  prefix: checkPrefix,
  maxLength: checkCount,
  ttlMs: checkTtl,
  publishTimeoutMs: checkMs,
  maxBytes: checkBytes,
  maxTotalBytes: checkBytes
}

/** How often is seen to streams of which nothing was heard for so many times, and how many are looked at at a time. */
const TICK_MS = 500
const QUIET_TICKS = 2
const CHECK_LOGS = 1_000
/** How many of the channels that Redis has refused are tried again at a time. */
const OPENS_PER_TICK = 50
const MAX_KEYS = 10_000
/** After which time without an answer Redis counts as out of reach, and a connection as broken. */
const SILENT_MS = 2_000
const BROKEN_MS = 5_000

/**
 * A history in Redis 6.2 or later, or Valkey, which all nodes share: each channel is a stream. Its cursors are the ids of
 * the stream's entries.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION
 */
export function redisHistory(options: RedisHistoryOptions): History {
  const { client, url = '', ...settings } = checked(options, CHECKS)
  if ((client === undefined) === (url === '')) {
    throw invalid('the options of redisHistory()', 'with either client or url', options)
  }
  const resolved = Object.freeze({ ...REDIS_DEFAULTS, ...settings })
  if (resolved.publishTimeoutMs >= resolved.ttlMs) {
    throw invalid('publishTimeoutMs', `below ttlMs (${resolved.ttlMs})`, resolved.publishTimeoutMs)
  }
  return new RedisHistory(resolved, client === undefined ? dialUrl(url) : dialClient(client))
}

class RedisHistory
  implements History, RedisLogHost, PublisherHost<Message, Appended>, NoticesHost, LineListener
{
  readonly options: Settings
  readonly budget: FrameBudget
  readonly pages = new PageCache()
  tick = 0
  readonly #listeners = new Set<HistoryListener>()
  /** Of the channels that were used lately. */
  readonly #keys = new Map<string, RedisKeys>()
  readonly #logs = new Map<string, RedisLog>()
  readonly #logsByNotices = new Map<string, RedisLog>()
  readonly #line: RedisLine
  readonly #notices: RedisNotices
  readonly #publisher = new RedisPublisher<Message, Appended>(this)
  /** Channels that Redis has refused, those that were tried last at the end. */
  readonly #refused = new Set<RedisLog>()
  #timer: NodeJS.Timeout | undefined
  #isChecking = false
  #isDegraded = false
  #isClosed = false

  constructor(options: Settings, dial: Dial) {
    this.options = options
    this.budget = new FrameBudget(options.maxTotalBytes)
    this.#line = new RedisLine(dial, this)
    this.#notices = new RedisNotices(this, dial, `${options.prefix}probe:${randomUUID()}`)
  }

  get degraded(): boolean {
    return this.#isDegraded
  }

  get isConnected(): boolean {
    return this.#line.link !== undefined
  }

  get noticeNames(): Iterable<string> {
    return this.#logsByNotices.keys()
  }

  open(listener: HistoryListener): void {
    this.#listeners.add(listener)
    this.#start()
  }

  async append(
    channel: string,
    frame: { text: string; byteLength: number },
    key: string,
    idempotencyKey?: string
  ): Promise<Cursor> {
    this.#start()
    const deadline = performance.now() + this.options.publishTimeoutMs
    const keys = this.#keysOf(channel)
    const byteLength = frame.byteLength + Buffer.byteLength(key)
    const publication = { keys, key, text: frame.text, byteLength, idempotencyKey }
    const appended = await this.#publisher.publish(publication)
    const timeoutMs = deadline - performance.now()
    await this.#logs.get(channel)?.takeOwn({ ...frame, ...appended, key }, timeoutMs)
    return appended.id
  }

  follow(channel: string, listener: LogListener): Log {
    this.#start()
    return (this.#logs.get(channel) ?? this.#followFirst(channel)).follow(listener)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    this.#notices.close()
    await this.#publisher.close()
    this.#line.close()
    this.budget.clear()
  }

  async run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return await this.#runOn(this.#linked(), script, keys, args)
  }

  async send(publications: readonly Message[]): Promise<readonly (Appended | RedisReplyError)[]> {
    const link = this.#linked()
    const { keys, args } = publishArguments(publications, this.options)
    const [oldest = '', ...answers] = (await this.#evalSha(link, PUBLISH, keys, args)) as string[]
    return publications.map((_, i) => {
      const [id, previous] = answers.slice(2 * i, 2 * i + 2) as [string, string]
      return id === '' ? this.#refusal(link, new Error(previous)) : { id, previous, oldest }
    })
  }

  /** A replica is the wrong place, at which a failover may have left the connection. */
  #refusal(link: RedisLink, error: Error): RedisReplyError {
    const refusal = new RedisReplyError(error)
    if (refusal.code === 'READONLY') this.#giveUp(link, refusal)
    return refusal
  }

  async loadScripts(): Promise<void> {
    await this.lineOnLink(this.#linked())
  }

  publisherOnTimeout(): void {
    void this.#check([])
  }

  isWanted(name: string): boolean {
    return this.#logsByNotices.has(name)
  }

  logOnIdle(log: RedisLog): void {
    this.#logs.delete(log.channel)
    this.#refused.delete(log)
    this.#logsByNotices.delete(log.keys.notices)
    this.#notices.change(log.keys.notices)
  }

  /** Scripts are there before anything needs them. */
  async lineOnLink(link: RedisLink): Promise<void> {
    await Promise.all(SCRIPTS.map(({ source }) => link.call(['SCRIPT', 'LOAD', source])))
  }

  lineOnReady(): void {
    for (const log of this.#logs.values()) if (!log.isOpen) this.#open(log)
    this.#publisher.resume()
    void this.#check(this.#openLogs())
  }

  lineOnLost(error: Error): void {
    this.#degrade(error)
  }

  noticesOnReady(): void {
    void this.#check(this.#openLogs())
  }

  noticesOnLost(error: Error): void {
    this.#degrade(error)
  }

  noticesOnSubscribe(names: readonly string[]): void {
    const logs = names.map((name) => this.#logsByNotices.get(name))
    void this.#check(logs.filter((log) => log?.isOpen) as RedisLog[])
  }

  noticesOnNotice(name: string, told: string): void {
    const log = this.#logsByNotices.get(name)
    if (log?.takeNotice(told) === false) this.#prove(log)
  }

  #start(): void {
    if (this.#isClosed) return
    this.#line.start()
    this.#notices.start()
    this.#timer ??= setInterval(() => void this.#checkQuiet(), TICK_MS).unref()
  }

  #keysOf(channel: string): RedisKeys {
    const known = this.#keys.get(channel)
    if (known !== undefined) return known
    const keys = redisKeys(this.options.prefix, channel)
    if (this.#keys.size >= MAX_KEYS) this.#keys.clear()
    this.#keys.set(channel, keys)
    return keys
  }

  #followFirst(channel: string): RedisLog {
    const log = new RedisLog(this, channel, this.#keysOf(channel))
    this.#logs.set(channel, log)
    this.#logsByNotices.set(log.keys.notices, log)
    if (this.isConnected) this.#open(log)
    this.#notices.change(log.keys.notices)
    return log
  }

  #openLogs(): RedisLog[] {
    return [...this.#logs.values()].filter(({ isOpen }) => isOpen)
  }

  async #runOn(
    link: RedisLink,
    script: RedisScript,
    keys: readonly string[],
    args: readonly string[]
  ): Promise<unknown> {
    try {
      return await this.#evalSha(link, script, keys, args)
    } catch (error) {
      if (!(error instanceof RedisReplyError) || error.code !== 'NOSCRIPT') throw error
      return await this.#call(link, ['EVAL', script.source, String(keys.length), ...keys, ...args])
    }
  }

  #evalSha(
    link: RedisLink,
    { sha }: RedisScript,
    keys: readonly string[],
    args: readonly string[]
  ): Promise<unknown> {
    return this.#call(link, ['EVALSHA', sha, String(keys.length), ...keys, ...args])
  }

  async #call(link: RedisLink, args: readonly string[]): Promise<unknown> {
    try {
      return await link.call(args)
    } catch (error) {
      const isUsable = error instanceof RedisReplyError && error.code !== 'READONLY'
      if (!isUsable) this.#giveUp(link, error as Error)
      throw error
    }
  }

  #linked(): RedisLink {
    const { link } = this.#line
    if (link === undefined) throw new Error('There is no connection to Redis')
    return link
  }

  #giveUp(link: RedisLink, error: Error): void {
    if (this.#line.link === link) this.#line.reset(error)
  }

  async #checkQuiet(): Promise<void> {
    this.tick++
    const quiet: RedisLog[] = []
    for (const log of this.#logs.values()) {
      log.sweep()
      if (!log.isOpen && this.isConnected && !this.#refused.has(log)) this.#open(log)
      else if (this.tick - log.heardAt >= QUIET_TICKS) quiet.push(log)
    }
    for (const log of [...this.#refused].slice(0, OPENS_PER_TICK)) if (!log.isOpen) this.#open(log)
    if (this.#isChecking || (quiet.length === 0 && !this.#isDegraded)) return
    this.#isChecking = true
    await this.#check(quiet)
    this.#isChecking = false
  }

  /** Proves the heads of logs which their streams do not have any more, and finds out whether Redis answers. */
  async #check(logs: readonly RedisLog[]): Promise<void> {
    const { link } = this.#line
    if (link === undefined) return
    try {
      for (let i = 0; i === 0 || i < logs.length; i += CHECK_LOGS) {
        await this.#checkSome(link, logs.slice(i, i + CHECK_LOGS))
      }
      this.#recover()
    } catch (error) {
      this.#degrade(error as Error)
    }
  }

  async #checkSome(link: RedisLink, logs: readonly RedisLog[]): Promise<void> {
    const silent = setTimeout(() => this.#degrade(new Error('Redis does not answer')), SILENT_MS)
    const broken = setTimeout(() => this.#giveUp(link, new Error('Redis does not answer')), BROKEN_MS)
    try {
      const keys = logs.map((log) => log.keys.log)
      const args = [this.#notices.probe(), '', String(this.options.ttlMs), ...logs.map(({ head }) => head)]
      const moved = (await this.#runOn(link, CHECK, keys, args)) as number[]
      const isMoved = new Set(moved)
      for (const [index, log] of logs.entries()) {
        if (isMoved.has(index)) this.#prove(log)
        else this.#hear(log)
      }
    } finally {
      clearTimeout(silent)
      clearTimeout(broken)
    }
  }

  #hear(log: RedisLog): void {
    this.#refused.delete(log)
    log.hear()
  }

  /** What fails now is tried again when there is a connection, or when the log is looked at. */
  #open(log: RedisLog): void {
    void this.#watch(log, log.open())
  }

  #prove(log: RedisLog): void {
    void this.#watch(log, log.prove())
  }

  /** A channel that Redis refuses comes last when they are tried again. */
  async #watch(log: RedisLog, attempt: Promise<void>): Promise<void> {
    try {
      await attempt
      this.#refused.delete(log)
    } catch (error) {
      if (!(error instanceof RedisReplyError) || this.#logs.get(log.channel) !== log) return
      this.#refused.delete(log)
      this.#refused.add(log)
      this.#degrade(
        new Error(`Redis refuses the channel "${log.channel}": ${error.message}`, { cause: error })
      )
    }
  }

  #degrade(error: Error): void {
    if (this.#isDegraded || this.#isClosed) return
    this.#isDegraded = true
    for (const listener of this.#listeners) listener.historyOnDegrade(error)
  }

  #recover(): void {
    if (!this.#isDegraded || !this.#notices.isReady || this.#refused.size > 0 || this.#isClosed) return
    this.#isDegraded = false
    for (const log of this.#logs.values()) log.retry()
    for (const listener of this.#listeners) listener.historyOnRecover()
  }
}

/** @param publications of one channel. */
function publishArguments(
  publications: readonly Message[],
  { maxLength, ttlMs }: Settings
): { keys: string[]; args: string[] } {
  const [{ keys }] = publications as [Message]
  const names = [keys.log]
  const args = [keys.notices, String(maxLength + 1), String(ttlMs), String(keys.tag), randomPart()]
  for (const { key, text, idempotencyKey } of publications) {
    if (idempotencyKey !== undefined) names.push(keys.once(idempotencyKey))
    args.push(String(key.length), String(text.length), key, text, idempotencyKey === undefined ? '' : '1')
  }
  return { keys: names, args }
}

function checkClient(name: string, value: unknown): void {
  if (!isRedisClient(value)) throw invalid(name, 'a client of redis or ioredis, not of a cluster', value)
}

function checkUrl(name: string, value: unknown): void {
  if (typeof value !== 'string' || !/^rediss?:\/\/./.test(value) || !URL.canParse(value)) {
    const shown = typeof value === 'string' ? value.replace(/[^/]*@/, '***@') : value
    throw invalid(name, 'a URL that begins with redis:// or rediss://', shown)
  }
}

function checkPrefix(name: string, value: unknown): void {
  if (typeof value !== 'string' || value.length > 64 || /[{}]/.test(value) || !value.isWellFormed()) {
    throw invalid(name, 'a well-formed string of up to 64 characters without braces', value)
  }
}

function checkTtl(name: string, value: unknown): void {
  checkMs(name, value)
  if (Number(value) < MIN_TTL_MS) throw invalid(name, `at least ${MIN_TTL_MS}`, value)
}
