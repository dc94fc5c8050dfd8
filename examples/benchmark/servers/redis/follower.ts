import { setTimeout as sleep } from 'node:timers/promises'
import type { Cursor, History, Log, LogListener, ReadLimits } from '../../../../lib/history/history.ts'
import type { Receipts } from './receipts.ts'

const LIMITS: ReadLimits = { maxBytes: 65_536, idBytes: 32, before: Infinity, isLatestOnly: false }
const POLL_MS = 5

/** Followers that have something to take, which they do at the end of the turn, as an audience does. */
export class Followers {
  readonly #history: History
  readonly #receipts: Receipts
  #due: Follower[] = []

  constructor(history: History, receipts: Receipts) {
    this.#history = history
    this.#receipts = receipts
  }

  async follow(names: readonly string[]): Promise<void> {
    const followers = names.map((name) => new Follower(this.#history, name, this))
    for (const follower of followers) await follower.opened()
  }

  schedule(follower: Follower): void {
    if (this.#due.length === 0) setImmediate(() => this.#flush())
    this.#due.push(follower)
  }

  #flush(): void {
    const due = this.#due
    this.#due = []
    for (const follower of due) this.#receipts.add(follower.take())
  }
}

/** Takes what is appended to one log, with no connection to write it to. */
class Follower implements LogListener {
  readonly #followers: Followers
  readonly #log: Log
  #cursor: Cursor
  #isScheduled = false

  constructor(history: History, name: string, followers: Followers) {
    this.#followers = followers
    this.#log = history.follow(name, this)
    this.#cursor = this.#log.head
  }

  async opened(): Promise<void> {
    while (this.#cursor === '') await sleep(POLL_MS)
  }

  /** @returns how many messages were taken. */
  take(): number {
    this.#isScheduled = false
    let taken = 0
    while (this.#cursor !== this.#log.head) {
      const page = this.#log.read(this.#cursor, LIMITS)
      if (page === undefined) break
      if (!page.complete) throw new Error(`There is a gap: ${page.reason}`)
      taken += page.frames.length
      this.#cursor = page.cursor
    }
    this.#log.release(this.#log.head)
    return taken
  }

  logOnOpen(): void {
    this.#cursor = this.#log.head
  }

  logOnAppend(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#followers.schedule(this)
  }

  logOnLoad(): void {
    this.logOnAppend()
  }
}
