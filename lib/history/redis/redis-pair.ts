import type { Dial, LinkListener, RedisLink } from './redis-link.ts'
import { type RedisScript, SCRIPTS } from './redis-scripts.ts'

/** Two connections to Redis that are made and given up together. */
export interface Links {
  readonly commands: RedisLink
  readonly notices: RedisLink
}

export interface PairListener {
  /** Prepares new connections, before anybody else uses them. @throws RefusedError: none is made any more. */
  pairOnConnect(links: Links): Promise<void>
  /** They can be used. */
  pairOnReady(): void
  /** There are none any more, or none could be made. Called once, until there are some again. */
  pairOnLost(error: Error): void
  pairOnMessage(name: string, body: string): void
}

/** What connecting again does not change. */
export class RefusedError extends Error {}

const MIN_DELAY_MS = 50
const MAX_DELAY_MS = 1_000
/** How long Redis may answer nothing while connections are prepared. */
const PREPARE_TIMEOUT_MS = 5_000
/** How many names one command has, and how many places one proof. */
export const MAX_NAMES = 1_000
const BROKE = 'The connection to Redis broke'

/**
 * A connection for commands and one for Pub/Sub. A break of either remakes both: a primary that was made a replica may keep
 * one of them, and lose what it had.
 */
export class RedisPair implements LinkListener {
  readonly #dial: Dial
  readonly #listener: PairListener
  #links: Links | undefined
  /** Those that are being made. */
  readonly #making = new Set<RedisLink>()
  #isConnecting = false
  #isLost = false
  readonly #closing = new AbortController()
  #delayMs = 0
  #readyAt = Infinity
  #timer: NodeJS.Timeout | undefined
  #timeout: NodeJS.Timeout | undefined

  constructor(dial: Dial, listener: PairListener) {
    this.#dial = dial
    this.#listener = listener
  }

  /** The connections, if there are any. */
  get links(): Links | undefined {
    return this.#links
  }

  /** @throws RefusedError. What else fails is tried again, and told to the listener. */
  async connect(): Promise<void> {
    this.#isConnecting = true
    const error = await this.#connect().then(
      () => undefined,
      (reason: Error) => reason
    )
    this.#isConnecting = false
    if (error === undefined) return
    if (error instanceof RefusedError || this.#closing.signal.aborted) {
      this.#drop()
      throw error
    }
    this.linkOnLost(error)
  }

  /** @throws what `RedisLink.call()` throws. */
  async run(
    { commands }: Links,
    { source, sha }: RedisScript,
    base: string,
    args: readonly string[]
  ): Promise<unknown> {
    try {
      const answer = await commands.call(['EVALSHA', sha, '1', base, ...args])
      this.#goOn()
      return answer
    } catch (error) {
      if (!isNoScript(error)) throw error
      return commands.call(['EVAL', source, '1', base, ...args])
    }
  }

  /** @throws what `RedisLink.subscribe()` throws. */
  async subscribe({ notices }: Links, names: readonly string[]): Promise<void> {
    for (let i = 0; i < names.length; i += MAX_NAMES) {
      await notices.subscribe(names.slice(i, i + MAX_NAMES))
      this.#goOn()
    }
  }

  /** Gives the connections up, and makes others. */
  reset(error: Error): void {
    this.linkOnLost(error)
  }

  close(): void {
    this.#closing.abort()
    this.#drop()
  }

  linkOnMessage(name: string, body: string): void {
    this.#listener.pairOnMessage(name, body)
  }

  linkOnLost(error: Error): void {
    const heldMs = this.#links === undefined ? 0 : performance.now() - this.#readyAt
    if (heldMs > MAX_DELAY_MS) this.#delayMs = 0
    this.#drop()
    if (this.#closing.signal.aborted) return
    if (!this.#isLost) {
      this.#isLost = true
      this.#listener.pairOnLost(error)
    }
    // Who makes new ones fails by this, and comes back.
    if (this.#closing.signal.aborted || this.#isConnecting) return
    const delayMs = this.#delayMs * (0.5 + Math.random() / 2)
    this.#delayMs = Math.min(MAX_DELAY_MS, Math.max(MIN_DELAY_MS, 2 * this.#delayMs))
    this.#timer = setTimeout(() => this.connect().catch((err) => this.#listener.pairOnLost(err)), delayMs)
    // A process that waits for its first connection does not end.
    if (this.#readyAt < Infinity) this.#timer.unref()
  }

  async #connect(): Promise<void> {
    const made = await Promise.allSettled([this.#make(), this.#make()])
    const [commands, notices] = made.map((one) => {
      if (one.status === 'rejected') throw one.reason
      return one.value
    }) as [RedisLink, RedisLink]
    const links = { commands, notices }
    this.#timeout = setTimeout(
      () => this.reset(new Error(`Redis did not answer within ${PREPARE_TIMEOUT_MS} ms`)),
      PREPARE_TIMEOUT_MS
    ).unref()
    await Promise.all(SCRIPTS.map(({ source }) => commands.call(['SCRIPT', 'LOAD', source])))
    await this.#listener.pairOnConnect(links)
    clearTimeout(this.#timeout)
    if (!this.#making.has(commands) || !this.#making.has(notices)) throw new Error(BROKE)
    this.#making.clear()
    this.#links = links
    this.#isLost = false
    this.#readyAt = performance.now()
    this.#listener.pairOnReady()
    // The listener has found that it lacks something, and given them up.
    if (this.#links !== links) throw new Error(BROKE)
  }

  /** There may be much to be asked for before connections can be used. */
  #goOn(): void {
    if (this.#links === undefined) this.#timeout?.refresh()
  }

  async #make(): Promise<RedisLink> {
    const link = await this.#dial(this, this.#closing.signal)
    if (this.#closing.signal.aborted) {
      link.destroy()
      throw new Error('The history is closed')
    }
    this.#making.add(link)
    return link
  }

  #drop(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#timeout)
    const { commands, notices } = this.#links ?? {}
    this.#links = undefined
    for (const link of [commands, notices, ...this.#making]) link?.destroy()
    this.#making.clear()
  }
}

function isNoScript(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'NOSCRIPT'
}
