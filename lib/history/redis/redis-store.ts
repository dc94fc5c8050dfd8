import type { FastifyBaseLogger } from 'fastify'
import { checked, invalid } from '../../base/check.ts'
import { Deferred } from '../../base/promises.ts'
import type { Place } from '../place.ts'
import type { Store, StoreAppend, StoreAppended, StoreListener, StorePast } from '../store.ts'
import { Batcher } from './batcher.ts'
import { endsAt, Followed } from './followed.ts'
import { Mark } from './mark.ts'
import { findMissed, tellMissed } from './missed.ts'
import { CLEAR, RedisLeases } from './redis-leases.ts'
import { dialClient, dialUrl, keyPrefixOf, type RedisLink, RedisReplyError } from './redis-link.ts'
import { formatAppend, parseNotice, parseNumbers } from './redis-message.ts'
import { CHECKS, type RedisStoreOptions } from './redis-options.ts'
import { type Links, MAX_NAMES, type PairListener, RedisPair, RefusedError } from './redis-pair.ts'
import { RedisPublisher } from './redis-publisher.ts'
import { RedisQueries, randomPart } from './redis-queries.ts'

/** How often is looked whether Redis still answers and tells, and how often nothing may come back. */
const PROBE_MS = 1_000
const MAX_SILENT = 5
/** How many channels are looked at with each probe, whether they end as was told. */
const AUDITED = 1_000
const ANOTHER = 'The database is another one'

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
  readonly leases: RedisLeases
  readonly #base: string
  readonly #pair: RedisPair
  readonly #queries: RedisQueries
  readonly #publisher: RedisPublisher<readonly string[]>
  readonly #proofs: Batcher<Place, boolean>
  readonly #followed: Followed
  readonly #opened = new Deferred<Place>()
  #listener: StoreListener | undefined
  #log: FastifyBaseLogger | undefined
  #hasWarned = false
  #epoch = ''
  #site = ''
  readonly #mark = new Mark()
  /** While connections are made, what is told waits. */
  #isHolding = true
  #held: [string, string][] = []
  /** What the connection was asked for when it was made. */
  #subscribed: readonly string[] = []
  #timer: NodeJS.Timeout | undefined
  #isProbing = false
  #isProbeDue = false
  /** How often was looked since something was told: of a server that stood still, time says nothing. */
  #silent = 0
  #isOpening = false

  constructor(base: string, dial: ConstructorParameters<typeof RedisPair>[0]) {
    this.#base = base
    this.#pair = new RedisPair(dial, this)
    this.#queries = new RedisQueries(this.#pair, base)
    this.#publisher = new RedisPublisher(
      (args) => this.#queries.publish(this.#site, args),
      () => this.#queries.loadPublish()
    )
    this.#proofs = new Batcher(MAX_NAMES, async (places) => {
      const proofs = await this.#queries.proofs(places)
      this.#mark.give(...places.filter((_, i) => proofs[i]))
      return proofs
    })
    this.leases = new RedisLeases(
      (script, args) => this.#queries.run(script, [this.#site, randomPart(), ...args]),
      (place) => this.#mark.give(place)
    )
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

  async append(append: StoreAppend): Promise<StoreAppended> {
    const [isNew, isChanged, ...places] = await this.#publish(append)
    if (isNew === undefined) return { places, isNew: false, isEnded: true }
    if (isChanged === 1 && !this.#hasWarned) {
      this.#hasWarned = true
      this.#log?.warn(
        { channels: append.channels.map(({ name }) => name) },
        'servers disagree on the limits of channels: the last one that publishes wins'
      )
    }
    this.#mark.give(...places)
    return { places, isNew: isNew === 1, isEnded: false }
  }

  /** @returns what `publish.lua` does; nothing: a channel has ended. */
  async #publish(append: StoreAppend): Promise<readonly number[]> {
    try {
      return parseNumbers(await this.#publisher.publish(formatAppend(append)))
    } catch (error) {
      if (error instanceof RedisReplyError && ['ENDED', 'OWNED'].includes(error.code)) return []
      throw error
    }
  }

  follow(channel: string): Promise<void> {
    return this.#followed.add(channel)
  }

  unfollow(channel: string): void {
    this.#followed.remove(channel)
  }

  async read(channel: string, after: Place): Promise<StorePast> {
    const begin = this.#followed.begin(channel)
    const answer = await this.#queries.read(channel, after)
    if (!begin(answer.head, this.#mark.place)) {
      const error = new Error('Redis has read less than it has told')
      this.#pair.reset(error)
      throw error
    }
    this.#mark.give(answer.head)
    // What was read may be told when it is known that nothing before it is missing.
    if (answer.head > this.#mark.place) this.#probeNow()
    const messages = answer.messages.filter(({ clears }) => clears === undefined)
    const { dropped, isEnded } = answer
    return { messages, dropped, isEnded, toldAfter: this.#followed.toldAfter(channel) }
  }

  /** Redis may lose a place before this server was told what is at or before it, and tell what is in its stead. */
  async prove(places: readonly Place[]): Promise<readonly boolean[]> {
    return Promise.all(
      places.map(async (place) => {
        if (!(await this.#proofs.ask(place))) return false
        if (place <= this.#mark.place) return true
        this.#probeNow()
        await this.#mark.reaches(place)
        return await this.#proofs.ask(place)
      })
    )
  }

  async head(): Promise<Place> {
    const { place } = await this.#queries.look(this.#site, this.#mark.newest)
    this.#mark.give(place)
    return place
  }

  async clear(channel: string): Promise<void> {
    this.#mark.give(...parseNumbers([await this.#queries.run(CLEAR, [this.#site, randomPart(), channel])]))
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#listener = undefined
    this.#pair.close()
    this.#publisher.close()
    this.#opened.reject(new Error('The store was closed'))
    this.#opened.promise.catch(() => {})
  }

  /**
   * Whatever was missed comes first, in order; then what was told meanwhile. Nothing is taken over before all of it is there:
   * the connection may break at any time.
   */
  async pairOnConnect(links: Links): Promise<void> {
    this.#isHolding = true
    this.#held = []
    const wasOpen = this.#epoch !== ''
    const fault = await evictionOf(links.commands)
    if (fault !== undefined && !wasOpen) throw new RefusedError(fault)
    if (fault !== undefined) this.#log?.error(fault)
    const { epoch, site, isKnown } = await this.#queries.look('', this.#mark.newest, links)
    const isSame = epoch === this.#epoch && isKnown
    // Others are asked for when all of these are told: Redis may refuse one, and all that are asked for with it.
    const names = [...this.#followed.names].filter((name) => this.#followed.isTold(name))
    const notices = [siteName(this.#base, site), ...names.map((name) => noticesOf(this.#base, site, name))]
    await this.#pair.subscribe(links, notices)
    // Everything that is at or before this new place can be read now, and what comes later is told.
    const { place, ...found } = await this.#queries.look(site, this.#mark.newest, links, 0)
    if (found.site !== site) throw new Error(ANOTHER)
    const told = { epoch: this.#epoch, mark: this.#mark.place, newest: this.#mark.newest }
    const missed = await findMissed(
      names,
      this.#followed,
      told,
      { epoch, site, place, isKnown },
      {
        heads: (channels) => this.#queries.heads(channels, links),
        read: (name, after) => this.#queries.read(name, after, links)
      }
    )
    const isFork = wasOpen && !isSame
    const lastKnown = isFork ? await this.#lastKnown(links, epoch) : Infinity
    this.#epoch = epoch
    this.#site = site
    this.#mark.move(place)
    for (const [name, head] of missed.ends) this.#followed.setHead(name, head)
    this.#subscribed = names
    if (lastKnown < Infinity) this.#listener?.storeOnFork(lastKnown)
    if (this.#listener !== undefined) tellMissed(this.#listener, missed, place)
    if (isFork) this.#tellFork(new Set(names), place)
  }

  /** The place at or after the mark after which places that were given here are not known any more; `Infinity`: all are. */
  async #lastKnown(links: Links, epoch: string): Promise<Place> {
    if (epoch !== this.#epoch) return this.#mark.place
    const untold = this.#mark.untold()
    for (let i = 0; i < untold.length; i += MAX_NAMES) {
      const proofs = await this.#queries.proofs(untold.slice(i, i + MAX_NAMES), links)
      const lost = proofs.indexOf(false)
      if (lost >= 0) return untold[i + lost - 1] ?? this.#mark.place
    }
    return Infinity
  }

  /** Also to channels that are followed only since it was asked what was missed: their readers may stand where nobody knows. */
  #tellFork(asked: ReadonlySet<string>, place: Place): void {
    const late = [...this.#followed.names].filter((name) => !asked.has(name))
    if (late.length > 0) this.#listener?.storeOnLoss(late, Math.min(this.#mark.newest + 1, place))
    this.#listener?.storeOnLoss([], place)
  }

  pairOnReady(): void {
    this.#silent = 0
    const held = this.#held
    this.#isHolding = false
    this.#followed.confirm(this.#subscribed)
    for (const [name, body] of held) this.pairOnMessage(name, body)
    // One of them may have told that something is missing.
    if (this.#pair.links === undefined) return
    this.#followed.goOn()
    this.#publisher.start()
    this.#opened.resolve(this.#mark.place)
  }

  pairOnLost(error: Error): void {
    this.#publisher.stop()
    this.#isHolding = true
    this.#held = []
    this.#followed.breakOff()
    this.#log?.warn({ err: error }, 'there is no connection to Redis: another one is made')
    if (error instanceof RefusedError) this.#opened.reject(error)
  }

  pairOnMessage(name: string, body: string): void {
    if (this.#isHolding) {
      this.#held.push([name, body])
      return
    }
    this.#silent = 0
    const start = siteName(this.#base, this.#site)
    if (name === start) {
      if (!/^\d+$/.test(body)) return
      this.#mark.move(Number(body))
      this.#listener?.storeOnMessages([], this.#mark.place)
      return
    }
    const channel = name.slice(start.length + 1)
    if (!this.#followed.isTold(channel) || this.#hasHeard(channel, body)) return
    const notice = parseNotice(channel, body)
    if (notice === undefined) return
    const { message, previous } = notice
    if (!previous.every(([name, before]) => this.#follows(name, before, message.place))) {
      this.#pair.reset(new Error('Redis has not told of all messages'))
      return
    }
    // Not before all of them are known to lack nothing: of one that was heard, nothing is looked for.
    for (const [name, before] of previous) this.#followed.hear(name, before, message.place)
    if (message.place <= this.#mark.place) return
    this.#mark.move(message.place)
    this.#listener?.storeOnMessages([message], this.#mark.place)
  }

  /** Of a message of many channels, which each is told, the first notice tells all. */
  #hasHeard(channel: string, body: string): boolean {
    return Number.parseInt(body, 10) <= Math.min(this.#mark.place, this.#followed.headOf(channel) ?? 0)
  }

  /** Whether nothing is missing before a message in one of its channels. */
  #follows(name: string, previous: Place, place: Place): boolean {
    if (!this.#followed.isTold(name)) return true
    const isLate = place > (this.#followed.headOf(name) ?? 0) && place < this.#mark.place
    return !isLate && this.#followed.isNext(name, previous, place)
  }

  async #subscribe(names: readonly string[], isWanted: boolean): Promise<void> {
    const { notices } = this.#queries.links
    const own = names.map((name) => noticesOf(this.#base, this.#site, name))
    await (isWanted ? notices.subscribe(own) : notices.unsubscribe(own))
  }

  #tick(): void {
    this.#mark.untold()
    if (this.#pair.links === undefined) return
    if (++this.#silent > MAX_SILENT) {
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
        const { site, isKnown } = await this.#queries.look(this.#site, this.#mark.newest)
        if (site !== this.#site || !isKnown) this.#pair.reset(new Error(ANOTHER))
      }
    } catch {
      // The connection has broken, or Redis takes no writes: the next tick finds out.
    } finally {
      this.#isProbing = false
    }
  }

  /** Looks whether channels end as was told: also a message of which Redis could not tell is found so. */
  async #audit(): Promise<void> {
    const some = this.#followed.next(AUDITED)
    if (some.length === 0) return
    const before = some.map((name) => this.#followed.headOf(name))
    const heads = await this.#queries.heads(some)
    const isWrong = some.some((name, i) => {
      const head = heads[i] as number
      const told = before[i]
      if (told === undefined || !this.#followed.has(name)) return false
      const isShort = head < told && !endsAt(told, head, this.#mark.place)
      // What is newer may be on its way, until something later has come.
      const isUntold = head <= this.#mark.place && head > (this.#followed.headOf(name) ?? head)
      return isShort || isUntold
    })
    if (isWrong) this.#pair.reset(new Error('Redis has not told of all messages, or has lost some'))
  }
}

/**
 * Why a Redis keeps nothing for sure; `undefined`: it does, or does not say.
 *
 * @throws RefusedError if it cannot be spoken to.
 */
async function evictionOf(link: RedisLink): Promise<string | undefined> {
  const info = await link.call(['INFO']).catch(() => '')
  const text = typeof info === 'string' ? info : ''
  if (/^cluster_enabled:1/m.test(text)) {
    throw new RefusedError(
      'Redis is in cluster mode, which redisStore() does not support: give it one that is not'
    )
  }
  const evicts = /^maxmemory:[1-9]/m.test(text) && !/^maxmemory_policy:noeviction/m.test(text)
  return evicts ? 'Redis evicts keys when its memory is full: set maxmemory-policy noeviction' : undefined
}

function siteName(base: string, site: string): string {
  return `${base}:${site}`
}

function noticesOf(base: string, site: string, channel: string): string {
  return `${siteName(base, site)}:${channel}`
}
