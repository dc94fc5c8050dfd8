import { monotonicMs } from '../base/monotonic-ms.ts'
import type { Connection } from './connection.ts'
import type { Work } from './flush.ts'

const MAX_PERIOD_MS = 1_000
const MIN_PERIOD_MS = 5
/** How many connections are looked at before others have their turn. */
const SHARE = 16

/** What is done with each of many connections, in shares, so that it does not hold the event loop. */
export class Walk implements Work {
  readonly #rest: Iterator<Connection>
  readonly #visit: (connection: Connection) => void
  readonly #onDone: () => void

  /** @param connections those that come meanwhile are visited, too. */
  constructor(
    connections: ReadonlySet<Connection>,
    visit: (connection: Connection) => void,
    onDone: () => void
  ) {
    this.#rest = connections.values()
    this.#visit = visit
    this.#onDone = onDone
  }

  work(): boolean {
    for (let count = 0; count < SHARE; count++) {
      const { done, value } = this.#rest.next()
      if (done) {
        this.#onDone()
        return false
      }
      this.#visit(value)
    }
    return true
  }
}

/**
 * One timer for all connections. It lets each look at the clock at least every second, or ten times in the shortest
 * time that any of them has to keep, never keeps the process alive, and does not run while there are none.
 */
export class Heartbeat {
  readonly #connections: ReadonlySet<Connection>
  readonly #schedule: (work: Work) => void
  #isBeating = false
  #timer: NodeJS.Timeout | undefined
  #periodMs = MAX_PERIOD_MS

  constructor(connections: ReadonlySet<Connection>, schedule: (work: Work) => void) {
    this.#connections = connections
    this.#schedule = schedule
  }

  /** Makes the timer run, and often enough for times of `shortestMs`. */
  start(shortestMs: number): void {
    const periodMs = Math.max(MIN_PERIOD_MS, Math.min(this.#periodMs, Math.floor(shortestMs / 10)))
    if (this.#timer !== undefined && periodMs === this.#periodMs) return
    clearInterval(this.#timer)
    this.#periodMs = periodMs
    this.#timer = setInterval(() => this.beat(monotonicMs()), periodMs).unref()
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#periodMs = MAX_PERIOD_MS
  }

  /** Lets all look, the first of them at once, unless they still do. */
  beat(now: number): void {
    if (this.#isBeating) return
    this.#isBeating = true
    const visit = (connection: Connection): void => connection.beat(now)
    const onDone = (): void => {
      this.#isBeating = false
    }
    const walk = new Walk(this.#connections, visit, onDone)
    if (walk.work()) this.#schedule(walk)
  }
}
