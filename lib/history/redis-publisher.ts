import {
  FST_ERR_EVENTSTREAM_HISTORY_CLOSED,
  FST_ERR_EVENTSTREAM_PUBLISH_FAILED,
  FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED
} from '../errors.ts'
import { RedisReplyError } from './redis-link.ts'

/** What is to be sent to Redis. */
export interface Publication {
  readonly keys: readonly string[]
  readonly args: readonly string[]
  readonly byteLength: number
  /** Whether Redis does it only once, however often it is sent. */
  readonly isIdempotent: boolean
}

export interface PublisherHost {
  readonly options: { readonly publishTimeoutMs: number }
  /** Whether there is a connection. */
  readonly isConnected: boolean
  /** @throws RedisReplyError for what Redis refuses; another Error if the connection broke. */
  send(publication: Publication): Promise<unknown>
  /** Makes Redis know the scripts again. */
  loadScripts(): Promise<unknown>
  /** Redis has not answered in time. */
  publisherOnTimeout(): void
}

/** How many may be sent and have no answer, and how many more may wait for that, or for a connection. */
const MAX_UNDER_WAY = 1_000
const MAX_UNDER_WAY_BYTES = 16_777_216
const MAX_WAITING = 10_000
const MAX_WAITING_BYTES = 16_777_216

interface Entry extends Publication {
  readonly number: number
  readonly deadline: number
  /** Whether it was sent, and the connection broke before there was an answer. */
  wasLost: boolean
  resolve(reply: unknown): void
  reject(error: Error): void
}

/** Sends what is published, in the order of calls, and answers in bounded time however Redis is. */
export class RedisPublisher {
  readonly #host: PublisherHost
  readonly #waiting = new Set<Entry>()
  #waitingBytes = 0
  /** Those that were sent before, and are to be sent again before all others. */
  #lost: Entry[] = []
  #count = 0
  /** Those that were sent and have no answer. */
  readonly #underWay = new Set<Entry>()
  #underWayBytes = 0
  /** Whether Redis has forgotten the scripts: nothing is sent until all that was has been answered, and they are loaded. */
  #lacksScripts = false
  #isLoading = false
  /** All whose publishers wait for an answer, the oldest first. */
  readonly #unsettled = new Set<Entry>()
  #timer: NodeJS.Timeout | undefined
  #onSettled: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(host: PublisherHost) {
    this.#host = host
  }

  /**
   * @throws FST_ERR_EVENTSTREAM_PUBLISH_FAILED if it was not published.
   * @throws FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED if it may have been.
   * @throws FST_ERR_EVENTSTREAM_HISTORY_CLOSED
   */
  publish(publication: Publication): Promise<unknown> {
    if (this.#closing !== undefined) return Promise.reject(new FST_ERR_EVENTSTREAM_HISTORY_CLOSED())
    if (this.#waiting.size >= MAX_WAITING || this.#waitingBytes > MAX_WAITING_BYTES) {
      return Promise.reject(new FST_ERR_EVENTSTREAM_PUBLISH_FAILED('too many messages wait for Redis'))
    }
    return new Promise((resolve, reject) => {
      const deadline = performance.now() + this.#host.options.publishTimeoutMs
      const entry = { ...publication, number: ++this.#count, deadline, wasLost: false, resolve, reject }
      this.#unsettled.add(entry)
      this.#waiting.add(entry)
      this.#waitingBytes += entry.byteLength
      this.#schedule()
      this.resume()
    })
  }

  /** Sends what waits, as far as it may. To be called when there is a connection. */
  resume(): void {
    if (!this.#host.isConnected) return
    if (this.#lacksScripts) {
      if (this.#underWay.size === 0 && !this.#isLoading) void this.#loadScripts()
      return
    }
    const lost = this.#lost
    this.#lost = []
    for (const entry of lost.sort((a, b) => a.number - b.number)) void this.#send(entry)
    for (const entry of this.#waiting) {
      if (!this.#host.isConnected || !this.#maySend(entry)) return
      this.#unwait(entry)
      void this.#send(entry)
    }
  }

  /** Rejects what was not sent, and resolves when all that was has been answered, or has waited for long enough. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const entry of this.#waiting) {
      this.#unwait(entry)
      this.#settle(entry, () => entry.reject(new FST_ERR_EVENTSTREAM_HISTORY_CLOSED()))
    }
    if (this.#unsettled.size === 0) return
    await new Promise<void>((resolve) => {
      this.#onSettled = resolve
    })
  }

  #maySend({ byteLength }: Entry): boolean {
    if (this.#underWay.size === 0) return true
    return this.#underWay.size < MAX_UNDER_WAY && this.#underWayBytes + byteLength <= MAX_UNDER_WAY_BYTES
  }

  async #send(entry: Entry): Promise<void> {
    this.#underWay.add(entry)
    this.#underWayBytes += entry.byteLength
    const answered = (): void => {
      this.#underWay.delete(entry)
      this.#underWayBytes -= entry.byteLength
    }
    try {
      const reply = await this.#host.send(entry)
      answered()
      this.#settle(entry, () => entry.resolve(reply))
    } catch (error) {
      answered()
      this.#fail(entry, error as Error)
    }
    this.resume()
  }

  async #loadScripts(): Promise<void> {
    this.#isLoading = true
    try {
      await this.#host.loadScripts()
    } catch (error) {
      for (const entry of this.#lost.splice(0)) this.#reject(entry, error as Error)
    }
    this.#isLoading = false
    this.#lacksScripts = false
    this.resume()
  }

  #fail(entry: Entry, error: Error): void {
    if (error instanceof RedisReplyError && error.code === 'NOSCRIPT') {
      this.#lacksScripts = true
      if (this.#unsettled.has(entry)) this.#lost.push(entry)
    } else if (error instanceof RedisReplyError) {
      this.#reject(entry, error)
    } else if (entry.isIdempotent && this.#unsettled.has(entry) && this.#closing === undefined) {
      entry.wasLost = true
      this.#lost.push(entry)
    } else {
      this.#settle(entry, () => entry.reject(unconfirmed('the connection broke', error)))
    }
  }

  /** What was sent before, and is refused now, may have been done then. */
  #reject(entry: Entry, error: Error): void {
    const failed = new FST_ERR_EVENTSTREAM_PUBLISH_FAILED(error.message, { cause: error })
    this.#settle(entry, () => entry.reject(entry.wasLost ? unconfirmed(error.message, error) : failed))
  }

  #unwait(entry: Entry): void {
    this.#waiting.delete(entry)
    this.#waitingBytes -= entry.byteLength
  }

  #settle(entry: Entry, settle: () => void): void {
    if (!this.#unsettled.delete(entry)) return
    settle()
    if (this.#unsettled.size > 0) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#onSettled?.()
  }

  #schedule(): void {
    const [oldest] = this.#unsettled
    if (this.#timer !== undefined || oldest === undefined) return
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        this.#expire()
        this.#schedule()
      },
      Math.max(1, oldest.deadline - performance.now())
    )
  }

  #expire(): void {
    const now = performance.now()
    const { publishTimeoutMs } = this.#host.options
    for (const entry of this.#unsettled) {
      if (entry.deadline > now) break
      if (this.#waiting.has(entry)) {
        this.#unwait(entry)
        const error = new FST_ERR_EVENTSTREAM_PUBLISH_FAILED(
          `Redis did not take it within ${publishTimeoutMs} ms`
        )
        this.#settle(entry, () => entry.reject(error))
      } else {
        this.#lost = this.#lost.filter((other) => other !== entry)
        this.#settle(entry, () => entry.reject(unconfirmed(`no answer within ${publishTimeoutMs} ms`)))
      }
    }
    this.#host.publisherOnTimeout()
  }
}

function unconfirmed(why: string, cause?: Error): Error {
  return new FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED(why, { cause })
}
