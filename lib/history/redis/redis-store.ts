import { randomBytes, randomInt } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import { checked, invalid } from '../../base/check.ts'
import { Deferred } from '../../base/deferred.ts'
import type { Place } from '../place.ts'
import type { Store, StoreAppend, StoreAppended, StoreListener, StorePast } from '../store.ts'
import { Batcher } from './batcher.ts'
import { Followed } from './followed.ts'
import {
  dialClient,
  dialUrl,
  isRedisClient,
  keyPrefixOf,
  type RedisClient,
  type RedisLink,
  RedisReplyError
} from './redis-link.ts'
import { formatHeader, parseNotice, parseNumbers, parseRead, type ReadAnswer } from './redis-message.ts'
import { type Links, type PairListener, RedisPair, RefusedError } from './redis-pair.ts'
import { RedisPublisher } from './redis-publisher.ts'
import { HEADS, PROBE, PROVE, PUBLISH, READ, type RedisScript } from './redis-scripts.ts'

export interface RedisStoreOptions {
  /**
   * A client of `redis` 6 or `ioredis` 6. Two connections of our own are made with its options; it is not used itself,
   * need not be connected, and stays as it is. Not that of a cluster, and no pool. Either this or `url` is given.
   */
  client?: RedisClient
  /** `redis://…` or `rediss://…`. Needs the package `redis`, or else `ioredis`, to be installed. */
  url?: string
  /**
   * What the names of all keys and Pub/Sub channels begin with, after the client's own `keyPrefix`: up to 64 characters
   * without braces.
   * @defaultValue `'eventstream:'`
   */
  prefix?: string
}

const EPOCH_BYTES = 5
/** How often is looked whether Redis still answers and tells, and how long nothing may come back. */
const PROBE_MS = 1_000
const BROKEN_MS = 5_000
/** How many channels are looked at with each probe, whether they end as was told. */
const AUDITED = 1_000
/** How many names one command has, and how many places one proof. */
const MAX_NAMES = 1_000
const DAY_MS = 86_400_000

/**
 * A store in Redis 6.2 or later, or Valkey, that all servers with the same database and prefix share.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION
 */
export function redisStore(options: RedisStoreOptions): Store {
  const { client, url = '', prefix = 'eventstream:' } = checked(options, CHECKS)
  if ((client === undefined) === (url === '')) {
    throw invalid('the options of redisStore()', 'with either client or url', options)
  }
  const base = `${client === undefined ? '' : keyPrefixOf(client)}${prefix}{0}`
  return new RedisStore(base, client === undefined ? dialUrl(url) : dialClient(client))
}

class RedisStore implements Store, PairListener {
  readonly #base: string
  readonly #pair: RedisPair
  readonly #publisher: RedisPublisher<readonly string[]>
  readonly #proofs: Batcher<Place, boolean>
  readonly #followed: Followed
  readonly #opened = new Deferred<Place>()
  #listener: StoreListener | undefined
  #log: FastifyBaseLogger | undefined
  #hasWarned = false
  #epoch = ''
  /** All that was told is at or before this place. */
  #mark: Place = 0
  #appended: Place = 0
  /** While connections are made, what is told waits. */
  #held: [string, string][] | undefined = []
  #timer: NodeJS.Timeout | undefined
  #isProbing = false
  #isProbeDue = false
  #heardAt = 0
  #isOpening = false

  constructor(base: string, dial: ConstructorParameters<typeof RedisPair>[0]) {
    this.#base = base
    this.#pair = new RedisPair(dial, this)
    this.#publisher = new RedisPublisher(
      (args) => this.#send(args),
      () => this.#links.commands.call(['SCRIPT', 'LOAD', PUBLISH.source])
    )
    this.#proofs = new Batcher(MAX_NAMES, async (places) => {
      const answer = await this.#run(PROVE, places.map(String))
      return parseNumbers(answer, places.length).map((known) => known === 1)
    })
    this.#followed = new Followed((names, isWanted) => this.#subscribe(names, isWanted))
  }

  get epoch(): string {
    return this.#epoch
  }

  async open(listener: StoreListener, log?: FastifyBaseLogger): Promise<Place> {
    this.#listener = listener
    this.#log = log
    if (!this.#isOpening) {
      this.#isOpening = true
      this.#timer = setInterval(() => this.#tick(), PROBE_MS).unref()
      this.#pair.connect().catch((error) => this.#opened.reject(error))
    }
    return this.#opened.promise
  }

  async append({ channels, messages, idempotencyKey, isKept, isEnd }: StoreAppend): Promise<StoreAppended> {
    const names = channels.map(({ name }) => name)
    const onceMs = Math.max(...channels.map(({ limits }) => limits.maxAgeMs || DAY_MS))
    const once = idempotencyKey === undefined ? '' : JSON.stringify([...names].sort().concat(idempotencyKey))
    const limits = channels.flatMap(({ name, limits: { maxMessages, maxBytes, maxAgeMs, keepEndedMs } }) => [
      name,
      String(maxMessages),
      String(maxBytes),
      String(maxAgeMs === false ? 0 : maxAgeMs),
      String(keepEndedMs)
    ])
    const texts = messages.flatMap(({ key, text }, i) => [
      formatHeader(key, names, isEnd && i === messages.length - 1),
      text
    ])
    const kind = isEnd ? '2' : isKept ? '1' : '0'
    const args = [
      randomPart(),
      once,
      String(Math.min(onceMs, DAY_MS)),
      kind,
      String(channels.length),
      ...limits,
      ...texts
    ]
    const answer = await this.#publisher.publish(args).catch((error: unknown) => {
      if (error instanceof RedisReplyError && error.code === 'ENDED') return undefined
      throw error
    })
    if (answer === undefined) return { places: [], isNew: false, isEnded: true }
    const [isNew, isChanged, ...places] = parseNumbers(answer)
    if (isChanged === 1 && !this.#hasWarned) {
      this.#hasWarned = true
      this.#log?.warn(
        { channels: names },
        'servers disagree on the limits of channels: the last one that publishes wins'
      )
    }
    this.#appended = Math.max(this.#appended, places.at(-1) ?? 0)
    return { places, isNew: isNew === 1, isEnded: false }
  }

  follow(channel: string): Promise<void> {
    return this.#followed.add(channel)
  }

  unfollow(channel: string): void {
    this.#followed.remove(channel)
  }

  async read(channel: string, after: Place): Promise<StorePast> {
    const answer = await this.#read(channel, after)
    this.#followed.hear(channel, answer.head)
    // What was read may be told when it is known that nothing before it is missing.
    if (answer.head > this.#mark) this.#probeNow()
    return { messages: answer.messages, dropped: answer.dropped, isEnded: answer.isEnded }
  }

  async prove(places: readonly Place[]): Promise<readonly boolean[]> {
    return Promise.all(places.map((place) => this.#proofs.ask(place)))
  }

  async head(): Promise<Place> {
    const { place } = await this.#look(this.#links, 0)
    return place
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#listener = undefined
    this.#pair.close()
    this.#publisher.close()
    this.#opened.reject(new Error('The store was closed'))
    this.#opened.promise.catch(() => {})
  }

  /** Whatever was missed comes first, in order; then what was told meanwhile. */
  async pairOnConnect(links: Links): Promise<void> {
    this.#held = []
    await this.#assertUsable(links.commands)
    let { epoch, place } = await this.#look(links, Math.max(this.#mark, this.#appended))
    const isNew = epoch !== this.#epoch
    const wasOpen = this.#epoch !== ''
    this.#epoch = epoch
    const names = [...this.#followed.names]
    const notices = [epochName(this.#base, epoch), ...names.map((name) => this.#noticesOf(name))]
    for (let i = 0; i < notices.length; i += MAX_NAMES)
      await links.notices.subscribe(notices.slice(i, i + MAX_NAMES))
    // Everything that is at or before this place can be read now, and what comes later is told.
    place = (await this.#look(links, 0)).place
    const lost = isNew && wasOpen ? names : []
    const missed = isNew ? [] : await this.#missed(links, names, lost)
    if (isNew) this.#followed.forgetHeads()
    missed.sort((a, b) => a.place - b.place)
    this.#move(place)
    this.#listener?.storeOnMessages(missed, place)
    if (lost.length > 0) this.#lose(lost, place)
  }

  pairOnReady(): void {
    this.#heardAt = performance.now()
    const held = this.#held ?? []
    this.#held = undefined
    for (const [name, body] of held) this.pairOnMessage(name, body)
    this.#followed.confirmAll()
    this.#publisher.start()
    this.#opened.resolve(this.#mark)
  }

  pairOnLost(error: Error): void {
    this.#publisher.stop()
    this.#held = []
    this.#followed.breakOff()
    if (error instanceof RefusedError) this.#opened.reject(error)
  }

  pairOnMessage(name: string, body: string): void {
    if (this.#held !== undefined) {
      this.#held.push([name, body])
      return
    }
    this.#heardAt = performance.now()
    const start = epochName(this.#base, this.#epoch)
    if (name === start) {
      const [place = 0] = parseNumbers([body])
      this.#move(place)
      this.#listener?.storeOnMessages([], this.#mark)
      return
    }
    const channel = name.slice(start.length + 1)
    const notice = parseNotice(channel, body)
    if (notice === undefined || !this.#followed.has(channel)) return
    const { message, previous } = notice
    if (previous !== undefined && !this.#followed.hearNext(channel, previous, message.place)) {
      this.#pair.reset(new Error('Redis has not told of all messages'))
      return
    }
    if (message.place <= this.#mark) return
    this.#move(message.place)
    this.#listener?.storeOnMessages([message], this.#mark)
  }

  get #links(): Links {
    const { links } = this.#pair
    if (links === undefined) throw new Error('There is no connection to Redis')
    return links
  }

  #move(place: Place): void {
    this.#mark = Math.max(this.#mark, place)
  }

  #noticesOf(channel: string): string {
    return `${epochName(this.#base, this.#epoch)}:${channel}`
  }

  async #subscribe(names: readonly string[], isWanted: boolean): Promise<void> {
    const { notices } = this.#links
    const own = names.map((name) => this.#noticesOf(name))
    await (isWanted ? notices.subscribe(own) : notices.unsubscribe(own))
  }

  async #run(script: RedisScript, args: readonly string[], links: Links = this.#links): Promise<unknown> {
    try {
      return await this.#pair.run(links, script, this.#base, args)
    } catch (error) {
      this.#meet(error)
      throw error
    }
  }

  /** A database that has become another one, or a replica, is met anew. */
  #meet(error: unknown): void {
    if (error instanceof RedisReplyError && ['EPOCH', 'READONLY'].includes(error.code))
      this.#pair.reset(error)
  }

  async #send(args: readonly string[]): Promise<unknown> {
    try {
      return await this.#links.commands.call(['EVALSHA', PUBLISH.sha, '1', this.#base, this.#epoch, ...args])
    } catch (error) {
      this.#meet(error)
      throw error
    }
  }

  async #read(channel: string, after: Place, links?: Links): Promise<ReadAnswer> {
    return parseRead(channel, await this.#run(READ, [channel, String(after)], links))
  }

  /** @param least what comes shall be after this place, and after what comes back. */
  async #look(links: Links, least: Place): Promise<{ epoch: string; place: Place }> {
    const proposed = randomBytes(EPOCH_BYTES).toString('hex')
    const args = [proposed, String(least), randomPart(), this.#epoch, String(DAY_MS)]
    const answer = await this.#run(PROBE, args, links)
    const [epoch, place] = Array.isArray(answer) ? answer : []
    if (typeof epoch !== 'string') throw new Error('Redis answered a probe with something else')
    const [found = 0] = parseNumbers([place])
    return { epoch, place: found }
  }

  /** What channels got that was not told. @param lost is given those that have not got all of it, or lack what was told. */
  async #missed(
    links: Links,
    names: readonly string[],
    lost: string[]
  ): Promise<StorePast['messages'][number][]> {
    const told = this.#mark
    const missed: StorePast['messages'][number][] = []
    for (let i = 0; i < names.length; i += MAX_NAMES) {
      const some = names.slice(i, i + MAX_NAMES)
      const heads = parseNumbers(await this.#run(HEADS, some, links), some.length)
      const moved = some.filter((name, j) => (this.#followed.headOf(name) ?? heads[j]) !== heads[j])
      const answers = await Promise.all(
        moved.map((name) => this.#read(name, this.#followed.headOf(name) ?? 0, links))
      )
      for (const [j, { messages, previous, head }] of answers.entries()) {
        const name = moved[j] as string
        const isWhole =
          previous === this.#followed.headOf(name) && messages.every(({ place }) => place > told)
        if (isWhole && messages.length > 0) missed.push(...messages)
        else lost.push(name)
        this.#followed.setHead(name, head)
      }
    }
    return [...new Map(missed.map((message) => [message.place, message])).values()]
  }

  #lose(names: readonly string[], place: Place): void {
    this.#listener?.storeOnLoss(names, place)
  }

  #tick(): void {
    if (this.#pair.links === undefined) return
    if (performance.now() - this.#heardAt > BROKEN_MS) {
      this.#pair.reset(new Error('Redis does not tell what is published'))
      return
    }
    this.#probeNow()
    void this.#audit().catch(() => {})
  }

  /** One that is under way may have looked too early: then another one follows. */
  #probeNow(): void {
    this.#isProbeDue = true
    if (!this.#isProbing) void this.#probe()
  }

  async #probe(): Promise<void> {
    this.#isProbing = true
    try {
      while (this.#isProbeDue && this.#pair.links !== undefined) {
        this.#isProbeDue = false
        const { epoch } = await this.#look(this.#links, 0)
        if (epoch !== this.#epoch) this.#pair.reset(new Error('The database is another one'))
      }
    } catch {
      // The connection has broken, or Redis takes no writes: the next tick finds out.
    } finally {
      this.#isProbing = false
    }
  }

  /** Looks whether channels end as was told. */
  async #audit(): Promise<void> {
    const some = this.#followed.next(AUDITED)
    if (some.length === 0) return
    const before = some.map((name) => this.#followed.headOf(name))
    const heads = parseNumbers(await this.#run(HEADS, some), some.length)
    const isWrong = some.some((name, i) => {
      const head = heads[i] as number
      const told = before[i]
      // What is newer than was told at the time may be on its way.
      return told !== undefined && this.#followed.has(name) && head < told
    })
    if (isWrong) this.#pair.reset(new Error('Redis has lost messages'))
  }

  /** @throws RefusedError */
  async #assertUsable(link: RedisLink): Promise<void> {
    const info = await link.call(['INFO']).catch(() => '')
    const text = typeof info === 'string' ? info : ''
    if (/^cluster_enabled:1/m.test(text)) {
      throw new RefusedError(
        'Redis is in cluster mode, which redisStore() does not support: give it one that is not'
      )
    }
  }
}

function epochName(base: string, epoch: string): string {
  return `${base}:${epoch}`
}

function randomPart(): string {
  return String(randomInt(65_536))
}

const CHECKS = { client: checkClient, url: checkUrl, prefix: checkPrefix }

function checkClient(name: string, value: unknown): void {
  if (!isRedisClient(value))
    throw invalid(name, 'a client of redis or ioredis, of no cluster and no pool', value)
}

function checkUrl(name: string, value: unknown): void {
  if (typeof value !== 'string' || !/^rediss?:\/\/./.test(value) || !URL.canParse(value)) {
    throw invalid(
      name,
      'a URL that begins with redis:// or rediss://',
      typeof value === 'string' ? '' : value
    )
  }
}

function checkPrefix(name: string, value: unknown): void {
  if (typeof value !== 'string' || value.length > 64 || /[{}]/.test(value) || !value.isWellFormed()) {
    throw invalid(name, 'a well-formed string of up to 64 characters without braces', value)
  }
}
