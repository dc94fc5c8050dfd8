interface FakeTimer {
  readonly at: number
  readonly run: () => void
  hasRef: boolean
  unref(): FakeTimer
}

/** The monotonic clock and the timeouts of this process, moved by hand. */
export class FakeClock {
  #now = 1_000
  readonly #timers = new Set<FakeTimer>()

  /** Runs `test` on a clock that stands still, and gives the process its own back. */
  static async run(test: (clock: FakeClock) => Promise<void>): Promise<void> {
    const clock = new FakeClock()
    const { setTimeout, clearTimeout } = globalThis
    Object.assign(globalThis, {
      setTimeout: (run: () => void, ms: number) => clock.#add(run, ms),
      clearTimeout: (timer: FakeTimer) => clock.#timers.delete(timer)
    })
    Object.defineProperty(performance, 'now', { configurable: true, value: () => clock.#now })
    try {
      await test(clock)
    } finally {
      Object.assign(globalThis, { setTimeout, clearTimeout })
      Reflect.deleteProperty(performance, 'now')
    }
  }

  /** Timeouts that have not fired, and how many of them keep the process alive. */
  get pending(): { all: number; withRef: number } {
    const timers = [...this.#timers]
    return { all: timers.length, withRef: timers.filter(({ hasRef }) => hasRef).length }
  }

  /** Lets time pass without a turn of the event loop. */
  spend(ms: number): void {
    this.#now += ms
  }

  /** Lets time pass, and fires what is due, each at its time. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (;;) {
      const [next] = [...this.#timers].sort((a, b) => a.at - b.at)
      if (next === undefined || next.at > end) break
      this.#timers.delete(next)
      this.#now = Math.max(this.#now, next.at)
      next.run()
    }
    this.#now = end
  }

  #add(run: () => void, ms: number): FakeTimer {
    const timer: FakeTimer = {
      at: this.#now + ms,
      run,
      hasRef: true,
      unref() {
        timer.hasRef = false
        return timer
      }
    }
    this.#timers.add(timer)
    return timer
  }
}
