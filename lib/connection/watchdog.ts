import { monotonicMs } from '../base/monotonic-ms.ts'
import type { Connection } from './connection.ts'

const MAX_PERIOD_MS = 1_000
const MIN_PERIOD_MS = 5

/**
 * One timer for all connections. It lets each look at the clock at least every second, or ten times in the shortest
 * time that any of them has to keep, never keeps the process alive, and does not run while there are none.
 */
export class Heartbeat {
  readonly #connections: ReadonlySet<Connection>
  #timer: NodeJS.Timeout | undefined
  #periodMs = MAX_PERIOD_MS

  constructor(connections: ReadonlySet<Connection>) {
    this.#connections = connections
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

  beat(now: number): void {
    for (const connection of this.#connections) connection.beat(now)
  }
}
