import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import {
  FST_ERR_EVENTSTREAM_HISTORY_AWAY,
  FST_ERR_EVENTSTREAM_NOT_SUPPORTED,
  FST_ERR_EVENTSTREAM_PUBLISH_FAILED
} from '../base/errors.ts'
import { Deferred, within } from '../base/promises.ts'
import type { Appendable, Appended, AppendOptions } from './entry.ts'
import { type Cursor, formatCursor, type Place } from './place.ts'
import type { Store, StoreLeases, StoreListener, StorePast } from './store.ts'
import type { Window } from './window.ts'

/** What a link needs of its history. */
export interface StoreLinkHost extends StoreListener {
  readonly head: Place
  /** Whether somebody follows a channel now, be it by another window than when something was published. */
  isFollowed(channel: string): boolean
  load(window: Window, past: StorePast, since: Place, followedAt: Place): void
}

/** How long an answer of the store is waited for that somebody outside waits for. */
const ANSWER_MS = 5_000
/** How long a client that comes back, or who has published, waits for the store. */
const PATIENCE_MS = 1_000
/** How long after a failure the store is asked again. */
const RETRY_MS = 250
/** How many places are remembered of which it is known whether the store knows them, and how many that have not come. */
const MAX_PLACES = 10_000

/** A history's dealings with its store: what may take a moment, or fail. */
export class StoreLink {
  readonly #store: Store
  readonly #host: StoreLinkHost
  readonly #log: FastifyBaseLogger | undefined
  #opened: Promise<Place> | undefined
  /** Where the history was when the store began to tell of them. */
  readonly #followed = new Map<Window, Promise<Place>>()
  readonly #proofs = new Map<Place, boolean>()
  /** Those who wait until all that is at or before a place has come. */
  readonly #waiting = new Set<{ readonly place: Place; readonly arrived: Deferred<void> }>()
  /** What was appended here to channels that nobody follows, and is after all that has come: the newest place of each. */
  readonly #unheard = new Map<string, Place>()
  #isClosed = false
  #hasFailed = false

  constructor(store: Store, host: StoreLinkHost, log: FastifyBaseLogger | undefined) {
    this.#store = store
    this.#host = host
    this.#log = log
  }

  get epoch(): string {
    return this.#store.epoch
  }

  /** The newest place of what was published here to a channel, if that has not come because nobody followed it. */
  unheardOf(channel: string): Place {
    return this.#unheard.get(channel) ?? 0
  }

  open(): Promise<Place> {
    this.#opened ??= this.#store.open(this.#host, this.#log)
    return this.#opened
  }

  async append(
    windows: readonly Window[],
    messages: readonly Appendable[],
    options: AppendOptions
  ): Promise<Appended> {
    const channels = windows.map(({ channel, limits }) => ({ name: channel, limits }))
    try {
      const appended = this.open().then(() => this.#store.append({ channels, messages, ...options }))
      const { places, isNew, isEnded } = await within(ANSWER_MS, appended)
      // Before the epoch is another one.
      const cursors = places.map((place): Cursor => formatCursor(place, this.epoch))
      const last = places.at(-1) ?? 0
      for (const place of places) this.#note(place, true)
      if (!this.#areFollowed(windows)) this.#noteUnheard(windows, last)
      // What was published is before what is sent afterwards.
      await this.arrive(windows, last)
      return { cursors, isNew, isEnded }
    } catch (cause) {
      throw new FST_ERR_EVENTSTREAM_PUBLISH_FAILED({ cause })
    }
  }

  /** Resolves when what is at or before a place has come, if somebody follows it. In bounded time. */
  async arrive(windows: readonly Window[], place: Place): Promise<void> {
    if (this.#areFollowed(windows)) await within(PATIENCE_MS, this.#arrival(place)).catch(() => {})
  }

  /** A place after all that was appended, by whomever. @throws FST_ERR_EVENTSTREAM_HISTORY_AWAY */
  async now(): Promise<Place> {
    const place = await this.#ask(() => this.#store.head())
    this.#note(place, true)
    return place
  }

  /** @throws FST_ERR_EVENTSTREAM_HISTORY_AWAY */
  read(channel: string): Promise<StorePast> {
    return this.#ask(() => this.#store.read(channel, 0))
  }

  /** @throws FST_ERR_EVENTSTREAM_NOT_SUPPORTED or FST_ERR_EVENTSTREAM_HISTORY_AWAY */
  async clear(channel: string): Promise<void> {
    if (this.#store.clear === undefined) throw new FST_ERR_EVENTSTREAM_NOT_SUPPORTED('clear')
    await this.#ask(async () => this.#store.clear?.(channel))
  }

  /** Those of the store. Each call may throw FST_ERR_EVENTSTREAM_HISTORY_AWAY. */
  get leases(): StoreLeases | undefined {
    const { leases } = this.#store
    if (leases === undefined) return undefined
    return {
      take: (...args) => this.#ask(() => leases.take(...args)),
      renew: (...args) => this.#ask(() => leases.renew(...args)),
      takeOver: (...args) => this.#ask(() => leases.takeOver(...args)),
      look: (...args) => this.#ask(() => leases.look(...args)),
      list: () => this.#ask(() => leases.list())
    }
  }

  /** Whether the store knows a place; `undefined`: that was not asked, or not lately. */
  proofOf(place: Place): boolean | undefined {
    return this.#proofs.get(place)
  }

  /** Asks the store whether it knows a place. In bounded time, after which it may not be known yet. */
  prove(place: Place): Promise<void> {
    const proven = this.open()
      .then(() => this.#store.prove([place]))
      .then(([isKnown = false]) => this.#note(place, isKnown))
    return within(PATIENCE_MS, proven).catch((err) => {
      // What this server has not heard of may be lost by now.
      if (place > this.#host.head) this.#proofs.delete(place)
      this.#fail(err)
    })
  }

  /** The store may not know any more what it knew. */
  forgetProofs(): void {
    this.#proofs.clear()
  }

  follow(window: Window): void {
    const followed = this.#follow(window)
    // Whoever loads it finds out.
    followed.catch(() => {})
    this.#followed.set(window, followed)
  }

  unfollow(window: Window): void {
    if (this.#followed.delete(window)) this.#store.unfollow?.(window.channel)
  }

  /** Gets what a window wants, as soon as the store gives it. */
  async load(window: Window): Promise<void> {
    while (!this.#isClosed) {
      const followed = this.#followed.get(window)
      if (followed === undefined) return
      try {
        const followedAt = await followed
        const { wanted: since, erasures } = window
        const past = await this.#store.read(window.channel, since)
        // Only what has come can be given, and what is dropped be told as a gap that is no later than that.
        await this.#arrival(Math.max(past.dropped, past.messages.at(-1)?.place ?? 0))
        this.#hasFailed = false
        // What was read before it was given up and followed again lacks what came between, and may be gone by now.
        if (this.#followed.get(window) !== followed || window.erasures !== erasures) continue
        this.#host.load(window, past, since, followedAt)
        return
      } catch (err) {
        this.#fail(err)
        if (this.#followed.get(window) === followed) this.follow(window)
        await delay(RETRY_MS, undefined, { ref: false })
      }
    }
  }

  historyOnHead(head: Place): void {
    for (const [channel, place] of this.#unheard) {
      if (place > head) break
      this.#unheard.delete(channel)
    }
    for (const waiting of this.#waiting) {
      if (waiting.place > head) continue
      this.#waiting.delete(waiting)
      waiting.arrived.resolve()
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.historyOnHead(Infinity)
    await this.#store.close()
  }

  /** What the store's error says is for the log: somebody may send this one to a client. */
  async #ask<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    try {
      return await within(ANSWER_MS, this.open().then(ask))
    } catch (cause) {
      throw new FST_ERR_EVENTSTREAM_HISTORY_AWAY({ cause })
    }
  }

  async #follow(window: Window): Promise<Place> {
    await this.open()
    if (this.#followed.has(window)) await this.#store.follow?.(window.channel)
    return this.#host.head
  }

  /** Resolves when all that is at or before a place has come. */
  async #arrival(place: Place): Promise<void> {
    if (place <= this.#host.head || this.#isClosed) return
    const arrived = new Deferred<void>()
    this.#waiting.add({ place, arrived })
    await arrived.promise
  }

  /** Whether somebody follows any of these channels. */
  #areFollowed(windows: readonly Window[]): boolean {
    return windows.some(({ channel }) => this.#host.isFollowed(channel))
  }

  #noteUnheard(windows: readonly Window[], place: Place): void {
    if (place <= this.#host.head) return
    for (const { channel } of windows) setNewest(this.#unheard, channel, place)
  }

  #note(place: Place, isKnown: boolean): void {
    setNewest(this.#proofs, place, isKnown)
  }

  /** Once, until it works again. */
  #fail(err: unknown): void {
    if (this.#hasFailed || this.#isClosed) return
    this.#hasFailed = true
    this.#log?.error({ err }, 'the store of the history does not answer')
  }
}

/** Forgets the oldest ones when there are too many. */
function setNewest<Key, Value>(map: Map<Key, Value>, key: Key, value: Value): void {
  map.delete(key)
  map.set(key, value)
  for (const oldest of map.keys()) {
    if (map.size <= MAX_PLACES) break
    map.delete(oldest)
  }
}
