import { monotonicMs } from '../base/monotonic-ms.ts'
import type { Connection } from '../connection/connection.ts'
import type { Work } from '../connection/flush.ts'
import { Walk } from '../connection/watchdog.ts'

/** What is kept of the time for the last words of streams that have not ended by themselves. */
const LAST_WORDS = 1 / 20

/** Ends connections, and waits until they have gone. */
export class Drainer {
  readonly #connections: ReadonlySet<Connection>
  readonly #schedule: (work: Work) => void
  readonly #waiters = new Set<() => void>()

  constructor(connections: ReadonlySet<Connection>, schedule: (work: Work) => void) {
    this.#connections = connections
    this.#schedule = schedule
  }

  /** Ends endless ones now, and finite ones when the time is nearly over. Who is still there then is gone afterwards. */
  async drain(timeoutMs: number): Promise<void> {
    const isEmpty = (): boolean => this.#connections.size === 0
    const deadline = monotonicMs() + timeoutMs
    await this.#visitAll((connection) => {
      if (connection.finite) connection.output.giveUpSocket()
      else connection.shutdown()
    })
    await this.until(isEmpty, deadline - timeoutMs * LAST_WORDS)
    await this.#visitAll((connection) => connection.shutdown())
    await this.until(isEmpty, deadline)
    await this.#visitAll((connection) => connection.evict('shutdown'))
  }

  #visitAll(visit: (connection: Connection) => void): Promise<void> {
    return new Promise((resolve) => this.#schedule(new Walk(this.#connections, visit, resolve)))
  }

  /** Waits for something that `look()` tells of, until `deadline` by the monotonic clock at most. */
  until(isOver: () => boolean, deadline: number): Promise<void> {
    const ms = deadline - monotonicMs()
    if (isOver() || ms <= 0) return Promise.resolve()
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer)
        this.#waiters.delete(waiter)
        resolve()
      }
      const waiter = (): void => {
        if (isOver()) end()
      }
      const timer = setTimeout(end, ms)
      this.#waiters.add(waiter)
    })
  }

  /** Something has gone. */
  look(): void {
    for (const waiter of this.#waiters) waiter()
  }
}
