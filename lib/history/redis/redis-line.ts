import type { Dial, LinkListener, RedisLink } from './redis-link.ts'

export interface LineListener {
  /** Prepares a new connection. When this rejects, or takes longer than 5 s, it is given up, and another one is made. */
  lineOnLink(link: RedisLink): Promise<void>
  /** The connection can be used. */
  lineOnReady(): void
  /** There is none any more, or none could be made. Called once, until there is one again. */
  lineOnLost(error: Error): void
  /** Not needed for a line that subscribes nothing. */
  lineOnMessage?(name: string, body: string): void
}

const MIN_DELAY_MS = 50
const MAX_DELAY_MS = 1_000
const PREPARE_TIMEOUT_MS = 5_000

/** A connection to Redis that is made again whenever it is lost, by and by less often if it is lost soon. */
export class RedisLine implements LinkListener {
  readonly #dial: Dial
  readonly #listener: LineListener
  #link: RedisLink | undefined
  /** The link that is being prepared. */
  #newLink: RedisLink | undefined
  #isLost = false
  #isStarted = false
  #isClosed = false
  #delayMs = 0
  #readyAt = 0
  #timer: NodeJS.Timeout | undefined

  constructor(dial: Dial, listener: LineListener) {
    this.#dial = dial
    this.#listener = listener
  }

  /** The connection, if there is one. */
  get link(): RedisLink | undefined {
    return this.#link
  }

  /** Connects, if that was not begun before. */
  start(): void {
    if (this.#isStarted) return
    this.#isStarted = true
    void this.#connect()
  }

  /** Gives the connection up, and makes another one. */
  reset(error: Error): void {
    const link = this.#link ?? this.#newLink
    if (link === undefined) return
    link.destroy()
    this.linkOnLost(error)
  }

  close(): void {
    this.#isClosed = true
    this.#isStarted = true
    clearTimeout(this.#timer)
    this.#link?.destroy()
    this.#newLink?.destroy()
    this.#link = undefined
    this.#newLink = undefined
  }

  linkOnMessage(name: string, body: string): void {
    this.#listener.lineOnMessage?.(name, body)
  }

  linkOnLost(error: Error): void {
    const isNew = this.#newLink !== undefined
    this.#link = undefined
    this.#newLink = undefined
    if (this.#isClosed) return
    this.#tellLost(error)
    if (isNew) return
    if (performance.now() - this.#readyAt > MAX_DELAY_MS) this.#delayMs = 0
    this.#scheduleConnect()
  }

  async #connect(): Promise<void> {
    let link: RedisLink | undefined
    try {
      link = await this.#dial(this)
      if (this.#isClosed) {
        link.destroy()
        return
      }
      this.#newLink = link
      await this.#prepare(link)
      if (this.#newLink !== link) throw new Error('The connection to Redis broke')
      this.#newLink = undefined
      this.#link = link
      this.#isLost = false
      this.#readyAt = performance.now()
      this.#listener.lineOnReady()
    } catch (error) {
      this.#newLink = undefined
      link?.destroy()
      if (this.#isClosed) return
      this.#tellLost(error as Error)
      this.#scheduleConnect()
    }
  }

  async #prepare(link: RedisLink): Promise<void> {
    const error = new Error(`Redis did not answer within ${PREPARE_TIMEOUT_MS} ms`)
    const timer = setTimeout(() => this.reset(error), PREPARE_TIMEOUT_MS)
    try {
      await this.#listener.lineOnLink(link)
    } finally {
      clearTimeout(timer)
    }
  }

  #tellLost(error: Error): void {
    if (this.#isLost) return
    this.#isLost = true
    this.#listener.lineOnLost(error)
  }

  #scheduleConnect(): void {
    const delayMs = this.#delayMs * (0.5 + Math.random() / 2)
    this.#delayMs = Math.min(MAX_DELAY_MS, Math.max(MIN_DELAY_MS, 2 * this.#delayMs))
    this.#timer = setTimeout(() => void this.#connect(), delayMs)
  }
}
