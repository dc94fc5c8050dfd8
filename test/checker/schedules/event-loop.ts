interface Timer {
  readonly at: number
  readonly run: () => void
  unref(): Timer
}

/** What never ends takes time too. */
export const PACE_MS = 0.01

/**
 * The turns, the timeouts and the clocks of this process, moved by hand. Promises settle as they always do, so that what
 * runs here never gives the real event loop back.
 */
export class EventLoop {
  /** How far the clock goes at every look at it: the more, the fewer shares has a slice of the flush. */
  paceMs = PACE_MS
  #now = 1_000
  #immediates: (() => void)[] = []
  readonly #timers = new Set<Timer>()

  /** Runs `task` in such an event loop, and gives the process its own back when nothing is left to run. */
  static async run<T>(task: (loop: EventLoop) => Promise<T>): Promise<T> {
    const loop = new EventLoop()
    const { setImmediate, setTimeout, clearTimeout } = globalThis
    const { now } = Date
    const origin = now() - loop.now
    Object.assign(globalThis, {
      setImmediate: (run: () => void) => loop.#immediates.push(run),
      setTimeout: (run: () => void, ms: number) => loop.#addTimer(run, ms),
      clearTimeout: (timer: Timer) => loop.#timers.delete(timer)
    })
    Object.defineProperty(performance, 'now', { configurable: true, value: () => loop.#look() })
    // How old a message is that a store has kept is told by this one.
    Date.now = () => origin + Math.floor(loop.now)
    try {
      return await task(loop)
    } finally {
      await loop.#empty()
      Object.assign(globalThis, { setImmediate, setTimeout, clearTimeout })
      Date.now = now
      Reflect.deleteProperty(performance, 'now')
    }
  }

  get now(): number {
    return this.#now
  }

  /** Immediates that have not run. */
  get immediates(): number {
    return this.#immediates.length
  }

  get timers(): number {
    return this.#timers.size
  }

  /** Runs what was to run at the end of this turn. What that asks for runs in the next one. */
  async runImmediates(): Promise<void> {
    const immediates = this.#immediates
    this.#immediates = []
    const errors: unknown[] = []
    for (const run of immediates) {
      try {
        run()
      } catch (error) {
        errors.push(error)
      }
      await microtasks()
    }
    if (errors.length > 0) throw errors[0]
  }

  /** Lets time pass, and fires what is due, each at its time. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.at - b.at)
      if (next === undefined || next.at > end) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.run()
      await microtasks()
    }
    this.#now = Math.max(this.#now, end)
  }

  async #empty(): Promise<void> {
    while (this.immediates > 0) await this.runImmediates().catch(() => {})
  }

  #look(): number {
    const now = this.#now
    this.#now += this.paceMs
    return now
  }

  #addTimer(run: () => void, ms: number): Timer {
    const timer: Timer = { at: this.#now + ms, run, unref: () => timer }
    this.#timers.add(timer)
    return timer
  }
}

/** Longer than any chain of promises in what is tested. */
export async function microtasks(): Promise<void> {
  for (let i = 0; i < 32; i++) await undefined
}
