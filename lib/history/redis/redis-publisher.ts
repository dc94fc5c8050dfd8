import {
  FST_ERR_EVENTSTREAM_HISTORY_CLOSED,
  FST_ERR_EVENTSTREAM_PUBLISH_FAILED,
  FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED
} from '../../base/errors.ts'
import { RedisReplyError } from './redis-link.ts'

/** What is to be sent to Redis. */
export interface Publication {
  /** Of its channel: what is for one stream may be sent together. */
  readonly keys: { readonly log: string }
  readonly byteLength: number
  /** With one, Redis does it only once, however often it is sent. */
  readonly idempotencyKey: string | undefined
}

export interface PublisherHost<P extends Publication, Answer> {
  readonly options: { readonly publishTimeoutMs: number }
  /** Whether there is a connection. */
  readonly isConnected: boolean
  /**
   * @param publications of one stream.
   * @returns an answer for each, or why it was refused.
   * @throws RedisReplyError if Redis refuses all; another Error if the connection broke.
   */
  send(publications: readonly P[]): Promise<readonly (Answer | RedisReplyError)[]>
  /** Makes Redis know the scripts again. */
  loadScripts(): Promise<unknown>
  /** Redis has not answered in time. */
  publisherOnTimeout(): void
}

/** How much may be sent and have no answer, about, and how much more may wait for that, or for a connection. */
const MAX_UNDER_WAY = 1_000
const MAX_UNDER_WAY_BYTES = 16_777_216
const MAX_WAITING = 10_000
const MAX_WAITING_BYTES = 16_777_216
/** What is sent together at most, while it is no more than that without the last message. */
const BATCH_MESSAGES = 256
const BATCH_BYTES = 1_048_576

interface Entry<P, Answer> {
  readonly publication: P
  readonly queue: Queue<P, Answer>
  readonly deadline: number
  isWaiting: boolean
  /** Whether it was sent, and the connection broke before there was an answer. */
  wasLost: boolean
  resolve(answer: Answer): void
  reject(error: Error): void
}

/** What is published to one stream. One batch at a time is under way, the rest waits: so the order is kept. */
interface Queue<P, Answer> {
  readonly stream: string
  readonly waiting: Entry<P, Answer>[]
  isUnderWay: boolean
}

/**
 * Sends what is published, to each stream in the order of calls, and answers in bounded time however Redis is. What is
 * published to one stream in one turn, or while another batch is under way, is sent together.
 */
export class RedisPublisher<P extends Publication, Answer> {
  readonly #host: PublisherHost<P, Answer>
  readonly #queues = new Map<string, Queue<P, Answer>>()
  /** Those of which something waits and nothing is under way. */
  readonly #ready = new Set<Queue<P, Answer>>()
  #waiting = 0
  #waitingBytes = 0
  #underWay = 0
  #underWayBytes = 0
  /** Whether Redis has forgotten the scripts: nothing is sent until they are loaded. */
  #lacksScripts = false
  #isLoading = false
  #isResuming = false
  /** All whose publishers wait for an answer, the oldest first. */
  readonly #unsettled = new Set<Entry<P, Answer>>()
  #timer: NodeJS.Timeout | undefined
  #onSettled: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(host: PublisherHost<P, Answer>) {
    this.#host = host
  }

  /**
   * @throws FST_ERR_EVENTSTREAM_PUBLISH_FAILED if it was not published.
   * @throws FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED if it may have been.
   * @throws FST_ERR_EVENTSTREAM_HISTORY_CLOSED
   */
  publish(publication: P): Promise<Answer> {
    if (this.#closing !== undefined) return Promise.reject(new FST_ERR_EVENTSTREAM_HISTORY_CLOSED())
    if (this.#waiting >= MAX_WAITING || this.#waitingBytes > MAX_WAITING_BYTES) {
      return Promise.reject(new FST_ERR_EVENTSTREAM_PUBLISH_FAILED('too many messages wait for Redis'))
    }
    return new Promise((resolve, reject) => {
      const queue = this.#queueOf(publication.keys.log)
      const deadline = performance.now() + this.#host.options.publishTimeoutMs
      const entry = { publication, queue, deadline, isWaiting: false, wasLost: false, resolve, reject }
      this.#unsettled.add(entry)
      this.#wait(entry)
      queue.waiting.push(entry)
      if (!queue.isUnderWay) this.#ready.add(queue)
      this.#schedule()
      if (this.#waiting < MAX_UNDER_WAY) this.#resumeSoon()
      else this.resume()
    })
  }

  /** Sends what waits, as far as it may. To be called when there is a connection. */
  resume(): void {
    if (this.#lacksScripts) {
      if (this.#host.isConnected && !this.#isLoading) void this.#loadScripts()
      return
    }
    for (const queue of this.#ready) {
      const isFull = this.#underWay >= MAX_UNDER_WAY || this.#underWayBytes >= MAX_UNDER_WAY_BYTES
      if (isFull || !this.#host.isConnected) return
      this.#ready.delete(queue)
      void this.#send(queue)
    }
  }

  /** Sends what waits if it can, and resolves when all has been answered, or has waited for long enough. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    this.resume()
    if (!this.#host.isConnected) this.#rejectWaiting()
    if (this.#unsettled.size === 0) return
    await new Promise<void>((resolve) => {
      this.#onSettled = resolve
    })
  }

  /** Of what was sent before it is not known yet what became of it. */
  #rejectWaiting(): void {
    for (const entry of this.#unsettled) {
      if (!entry.isWaiting || entry.wasLost) continue
      this.#remove(entry)
      this.#settle(entry, () => entry.reject(new FST_ERR_EVENTSTREAM_HISTORY_CLOSED()))
    }
  }

  #queueOf(stream: string): Queue<P, Answer> {
    const known = this.#queues.get(stream)
    if (known !== undefined) return known
    const queue = { stream, waiting: [], isUnderWay: false }
    this.#queues.set(stream, queue)
    return queue
  }

  #resumeSoon(): void {
    if (this.#isResuming) return
    this.#isResuming = true
    queueMicrotask(() => {
      this.#isResuming = false
      this.resume()
    })
  }

  async #send(queue: Queue<P, Answer>): Promise<void> {
    const batch = this.#takeBatch(queue)
    const bytes = batch.reduce((sum, { publication }) => sum + publication.byteLength, 0)
    queue.isUnderWay = true
    this.#underWay += batch.length
    this.#underWayBytes += bytes
    const again = await this.#answers(batch)
    this.#underWay -= batch.length
    this.#underWayBytes -= bytes
    queue.isUnderWay = false
    for (const entry of again) this.#wait(entry)
    queue.waiting.unshift(...again)
    if (queue.waiting.length > 0) this.#ready.add(queue)
    else this.#queues.delete(queue.stream)
    this.resume()
  }

  #takeBatch({ waiting }: Queue<P, Answer>): Entry<P, Answer>[] {
    const batch: Entry<P, Answer>[] = []
    let bytes = 0
    for (const entry of waiting) {
      if (batch.length === BATCH_MESSAGES || bytes > BATCH_BYTES) break
      batch.push(entry)
      bytes += entry.publication.byteLength
      this.#unwait(entry)
    }
    waiting.splice(0, batch.length)
    return batch
  }

  /** @returns what is to be sent again. */
  async #answers(batch: readonly Entry<P, Answer>[]): Promise<Entry<P, Answer>[]> {
    try {
      const answers = await this.#host.send(batch.map(({ publication }) => publication))
      return batch.filter((entry, i) => this.#take(entry, answers[i] as Answer | RedisReplyError))
    } catch (error) {
      return batch.filter((entry) => this.#fail(entry, error as Error))
    }
  }

  #take(entry: Entry<P, Answer>, answer: Answer | RedisReplyError): boolean {
    if (answer instanceof RedisReplyError) return this.#fail(entry, answer)
    this.#settle(entry, () => entry.resolve(answer))
    return false
  }

  /** @returns whether it is to be sent again. */
  #fail(entry: Entry<P, Answer>, error: Error): boolean {
    const isRefused = error instanceof RedisReplyError
    if (isRefused && error.code === 'NOSCRIPT') {
      this.#lacksScripts = true
      return this.#unsettled.has(entry)
    }
    if (!isRefused && entry.publication.idempotencyKey !== undefined && this.#closing === undefined) {
      entry.wasLost = true
      return this.#unsettled.has(entry)
    }
    if (isRefused) this.#reject(entry, error)
    else this.#settle(entry, () => entry.reject(unconfirmed('the connection broke', error)))
    return false
  }

  /** What was sent before, and is refused now, may have been done then. */
  #reject(entry: Entry<P, Answer>, error: Error): void {
    const failed = new FST_ERR_EVENTSTREAM_PUBLISH_FAILED(error.message, { cause: error })
    this.#settle(entry, () => entry.reject(entry.wasLost ? unconfirmed(error.message, error) : failed))
  }

  async #loadScripts(): Promise<void> {
    this.#isLoading = true
    try {
      await this.#host.loadScripts()
    } catch (error) {
      this.#refuseReady(error as Error)
    }
    this.#isLoading = false
    this.#lacksScripts = false
    this.resume()
  }

  /** Without scripts nothing can be published: who waits for them is told, or they would be asked for again and again. */
  #refuseReady(error: Error): void {
    if (!(error instanceof RedisReplyError)) return
    for (const entry of this.#unsettled) {
      if (!entry.isWaiting) continue
      this.#remove(entry)
      this.#reject(entry, error)
    }
  }

  #wait(entry: Entry<P, Answer>): void {
    entry.isWaiting = true
    this.#waiting++
    this.#waitingBytes += entry.publication.byteLength
  }

  #unwait(entry: Entry<P, Answer>): void {
    entry.isWaiting = false
    this.#waiting--
    this.#waitingBytes -= entry.publication.byteLength
  }

  /** It waits no longer, and will not be sent. */
  #remove(entry: Entry<P, Answer>): void {
    const { queue } = entry
    this.#unwait(entry)
    queue.waiting.splice(queue.waiting.indexOf(entry), 1)
    if (queue.waiting.length > 0 || queue.isUnderWay) return
    this.#ready.delete(queue)
    this.#queues.delete(queue.stream)
  }

  #settle(entry: Entry<P, Answer>, settle: () => void): void {
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
    for (const entry of this.#unsettled) {
      if (entry.deadline > now) break
      const isNotSent = entry.isWaiting && !entry.wasLost
      if (entry.isWaiting) this.#remove(entry)
      this.#settle(entry, () => entry.reject(isNotSent ? this.#notTaken() : this.#notAnswered()))
    }
    this.#host.publisherOnTimeout()
  }

  #notTaken(): Error {
    const { publishTimeoutMs } = this.#host.options
    return new FST_ERR_EVENTSTREAM_PUBLISH_FAILED(`Redis did not take it within ${publishTimeoutMs} ms`)
  }

  #notAnswered(): Error {
    return unconfirmed(`no answer within ${this.#host.options.publishTimeoutMs} ms`)
  }
}

function unconfirmed(why: string, cause?: Error): Error {
  return new FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED(why, { cause })
}
