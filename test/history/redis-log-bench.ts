import type { Test } from 'tap'
import { FrameBudget } from '../../lib/history/frame-budget.ts'
import type { Cursor, History, LogListener } from '../../lib/history/history.ts'
import { type RedisKeys, redisKeys } from '../../lib/history/redis/redis-keys.ts'
import { dialUrl, type RedisLink } from '../../lib/history/redis/redis-link.ts'
import { type OwnMessage, RedisLog, type RedisLogHost } from '../../lib/history/redis/redis-log.ts'
import { PageCache } from '../../lib/history/redis/redis-pages.ts'
import { CHECK, FIND, OPEN, PUBLISH, READ, type RedisScript } from '../../lib/history/redis/redis-scripts.ts'
import { randomPart } from '../../lib/history/redis/stream-id.ts'
import { PatientLog } from '../helpers/history.ts'
import type { RedisServer } from '../helpers/programs/redis-server.ts'

const NAMES = new Map([
  [PUBLISH, 'PUBLISH'],
  [OPEN, 'OPEN'],
  [READ, 'READ'],
  [CHECK, 'CHECK'],
  [FIND, 'FIND']
])

interface Limits {
  readonly maxBytes?: number
  readonly maxTotalBytes?: number
  /** How many messages the stream keeps. */
  readonly maxLength?: number
}

/** For how long a stream is kept: far longer than any machine takes for these tests. */
export const TTL_MS = 3_600_000

let channels = 0

/** What Redis tells the other nodes of a message. */
export function toldOf({ previous, id, oldest, byteLength, key, text }: OwnMessage): string {
  return `${previous} ${oldest} ${id} ${byteLength} ${key.length} ${text.length} ${key}${text}`
}

/** One RedisLog on a real Redis, without the history around it: nobody tells it anything but the test. */
export class LogBench implements RedisLogHost {
  readonly options: { readonly maxBytes: number; readonly ttlMs: number }
  readonly budget: FrameBudget
  readonly pages: PageCache = new PageCache()
  tick = 0
  readonly keys: RedisKeys
  readonly redis: RedisServer
  /** The names of the scripts that the log has run. */
  readonly runs: string[] = []
  /** Those of them that have begun wait for this before they are sent. */
  gate: Promise<unknown> | undefined
  /** What they fail with instead of being sent. */
  failure: Error | undefined
  log: RedisLog
  /** Channels whose logs nobody follows any more. */
  readonly idle: string[] = []
  readonly #link: RedisLink
  readonly #maxLength: number
  readonly #channel = `channel ${++channels}`

  private constructor(redis: RedisServer, link: RedisLink, limits: Limits) {
    const { maxBytes = 1_048_576, maxTotalBytes = 67_108_864, maxLength = 100_000 } = limits
    this.redis = redis
    this.options = { maxBytes, ttlMs: TTL_MS }
    this.budget = new FrameBudget(maxTotalBytes)
    this.#maxLength = maxLength
    this.keys = redisKeys('', this.#channel)
    this.#link = link
    this.log = this.renew()
  }

  static async start(t: Test, redis: RedisServer, limits: Limits = {}): Promise<LogBench> {
    const link = await dialUrl(redis.url)({ linkOnMessage() {}, linkOnLost() {} })
    t.teardown(() => link.destroy())
    return new LogBench(redis, link, limits)
  }

  /** A bench whose log is open and followed by one reader. */
  static async open(
    t: Test,
    redis: RedisServer,
    limits?: Limits
  ): Promise<LogBench & { reader: PatientLog }> {
    const bench = await LogBench.start(t, redis, limits)
    return Object.assign(bench, { reader: await bench.follow() })
  }

  /** The same channel, as another node sees it that knows nothing yet. */
  renew(): RedisLog {
    this.log = new RedisLog(this, this.#channel, this.keys)
    return this.log
  }

  async follow(listener?: { logOnAppend(): void }): Promise<PatientLog> {
    const { log } = this
    const history = { follow: (_: string, ear: LogListener) => log.follow(ear) } as unknown as History
    const following = PatientLog.follow(history, this.#channel, listener)
    if (!log.isOpen) await log.open()
    return await following
  }

  async run(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    this.runs.push(NAMES.get(script) ?? '')
    await this.gate
    if (this.failure !== undefined) throw this.failure
    return await this.call(script, keys, args)
  }

  logOnIdle({ channel }: RedisLog): void {
    this.idle.push(channel)
  }

  /** What was run since the last call. */
  takeRuns(): string[] {
    return this.runs.splice(0)
  }

  /** Publishes a message, of which nobody is told. */
  async publish(text: string, key = ''): Promise<OwnMessage> {
    const { log, notices, tag } = this.keys
    const { ttlMs } = this.options
    const numbers = [this.#maxLength + 1, ttlMs, tag, randomPart(), key.length, text.length]
    const reply = await this.call(PUBLISH, [log], [notices, ...numbers.map(String), key, text, ''])
    const [oldest, id, previous] = reply as [string, string, string]
    return { id, previous, oldest, key, text, byteLength: Buffer.byteLength(text) }
  }

  /** Publishes messages, of which the log is told. */
  async append(...texts: readonly string[]): Promise<Cursor[]> {
    const given: Cursor[] = []
    for (const text of texts) {
      const notice = await this.publish(text)
      this.log.takeNotice(toldOf(notice))
      given.push(notice.id)
    }
    return given
  }

  async command(...args: string[]): Promise<unknown> {
    return await this.redis.command(...args)
  }

  /** Appends an entry to the stream, of which nobody is told. @returns its id. */
  async xadd(id: string, ...fields: string[]): Promise<string> {
    return String(await this.command('XADD', this.keys.log, id, ...fields))
  }

  /** All entries of the stream. */
  async entries(): Promise<[id: string, fields: string[]][]> {
    return (await this.command('XRANGE', this.keys.log, '-', '+')) as [string, string[]][]
  }

  /** Deletes the stream. What comes then has ids above all that it had. */
  async delete(): Promise<void> {
    await this.command('DEL', this.keys.log)
    while ((await this.#now()) <= Number(this.log.head.split('-')[0]));
  }

  /** Leaves only the first entries of the stream, as a failover does to a replica that lacks the others. */
  async forkAfter(count: number): Promise<void> {
    const kept = (await this.entries()).slice(0, count)
    await this.delete()
    for (const [id, fields] of kept) await this.xadd(id, ...fields)
  }

  async call(script: RedisScript, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    return await this.#link.call(['EVAL', script.source, String(keys.length), ...keys, ...args])
  }

  /** Milliseconds of Redis' clock. */
  async #now(): Promise<number> {
    const [seconds, microseconds] = (await this.command('TIME')) as [string, string]
    return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000)
  }
}
