import { Deferred } from '../../base/promises.ts'

interface Waiting<Publication> {
  readonly publication: Publication
  readonly answer: Deferred<unknown>
  readonly deadline: number
}

/**
 * Sends at once. Rejects if it is not known whether that was taken; what was refused for want of the script was not, nor what was by
 * a replica or elsewhere than where the history is, to which there is no connection any more then.
 */
type Send<Publication> = (publication: Publication) => Promise<unknown>

/** How long something waits until it is sent, or is not sent at all: half a second less than who publishes waits. */
const WAIT_MS = 4_500
/** How much is sent at most that Redis has not answered, and how little is left when more is sent. */
const MAX_SENT = 2_000
const MIN_SENT = 1_000
const NO_CONNECTION = 'There is no connection to Redis'
const TOO_SLOW = 'Redis is slower than what is published'
const TOO_LATE = 'Redis has refused this, and taken what came after it'
const NOT_TAKEN: readonly unknown[] = ['NOSCRIPT', 'READONLY', 'SITE']

/** Publishes in the order of the calls, whenever there is a connection that keeps up. */
export class RedisPublisher<Publication> {
  readonly #send: Send<Publication>
  readonly #loadScripts: () => Promise<unknown>
  /** What has not been sent, in order. */
  #waiting: Waiting<Publication>[] = []
  /** What was sent, and has no answer. */
  #sent = 0
  /** What is to be sent again, when all that was sent has its answer. */
  #again: Waiting<Publication>[] = []
  #isReady = false
  #isClosed = false
  #timer: NodeJS.Timeout | undefined

  constructor(send: Send<Publication>, loadScripts: () => Promise<unknown>) {
    this.#send = send
    this.#loadScripts = loadScripts
  }

  publish(publication: Publication): Promise<unknown> {
    const answer = new Deferred<unknown>()
    this.#waiting.push({ publication, answer, deadline: performance.now() + WAIT_MS })
    this.#flush()
    this.#watch()
    return answer.promise
  }

  /** There is a connection. */
  start(): void {
    this.#isReady = true
    this.#flush()
  }

  /** There is none any more. */
  stop(): void {
    this.#isReady = false
  }

  close(): void {
    this.stop()
    clearTimeout(this.#timer)
    this.#isClosed = true
    this.#watch()
  }

  #flush(): void {
    if (!this.#isReady || this.#again.length > 0 || this.#sent > MIN_SENT) return
    for (const waiting of this.#waiting.splice(0, MAX_SENT - this.#sent)) void this.#sendOne(waiting)
  }

  async #sendOne(waiting: Waiting<Publication>): Promise<void> {
    this.#sent++
    try {
      waiting.answer.resolve(await this.#send(waiting.publication))
      // Somebody else has loaded the script. What was refused before that would come after this one.
      this.#reject(this.#again.splice(0), TOO_LATE)
    } catch (error) {
      if (isNotTaken(error)) this.#again.push(waiting)
      else waiting.answer.reject(error as Error)
    }
    this.#sent--
    if (this.#sent === 0 && this.#again.length > 0) await this.#sendAgain()
    else this.#flush()
  }

  async #sendAgain(): Promise<void> {
    try {
      await this.#loadScripts()
    } catch {
      // Without a connection: what waits is sent with the next one.
    }
    this.#waiting = [...this.#again, ...this.#waiting]
    this.#again = []
    this.#flush()
    this.#watch()
  }

  #watch(): void {
    if (this.#isClosed) this.#reject(this.#waiting.splice(0), NO_CONNECTION)
    const [next] = this.#waiting
    if (next === undefined) return
    this.#timer ??= setTimeout(() => this.#giveUp(), next.deadline - performance.now()).unref()
  }

  #giveUp(): void {
    this.#timer = undefined
    const now = performance.now()
    const end = this.#waiting.findIndex(({ deadline }) => deadline > now)
    const late = this.#waiting.splice(0, end < 0 ? Infinity : end)
    this.#reject(late, this.#isReady ? TOO_SLOW : NO_CONNECTION)
    this.#watch()
  }

  #reject(waiting: readonly Waiting<Publication>[], reason: string): void {
    for (const { answer } of waiting) answer.reject(new Error(reason))
  }
}

function isNotTaken(error: unknown): boolean {
  return error instanceof Error && 'code' in error && NOT_TAKEN.includes(error.code)
}
