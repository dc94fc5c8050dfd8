interface FakeTimer {
  at: number
  readonly run: () => void
  readonly ms: number
  readonly isInterval: boolean
  hasRef: boolean
  unref(): FakeTimer
  refresh(): FakeTimer
}

/** The clocks and the timers of this process, moved by hand. Timers that ran before go on. */
export class FakeClock {
  #now = 1_000
  readonly #timers = new Set<FakeTimer>()

  /** Runs `test` on a clock that stands still, and gives the process its own back. */
  static async run(test: (clock: FakeClock) => Promise<void>): Promise<void> {
    const clock = new FakeClock()
    const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis
    const { now } = Date
    const startedAt = now() - clock.#now
    Object.assign(globalThis, {
      setTimeout: (run: () => void, ms: number) => clock.#add(run, ms, false),
      setInterval: (run: () => void, ms: number) => clock.#add(run, ms, true),
      clearTimeout: (timer: FakeTimer) => clock.#timers.delete(timer) || clearTimeout(timer as never),
      clearInterval: (timer: FakeTimer) => clock.#timers.delete(timer) || clearInterval(timer as never)
    })
    Object.defineProperty(performance, 'now', { configurable: true, value: () => clock.#now })
    Date.now = () => startedAt + Math.floor(clock.#now)
    try {
      await test(clock)
    } finally {
      Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval })
      Reflect.deleteProperty(performance, 'now')
      Date.now = now
    }
  }

  /** Timers that are still to fire, and how many of them keep the process alive. */
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
      this.#now = Math.max(this.#now, next.at)
      if (next.isInterval) next.refresh()
      else this.#timers.delete(next)
      next.run()
    }
    this.#now = end
  }

  #add(run: () => void, ms: number, isInterval: boolean): FakeTimer {
    const timer: FakeTimer = {
      at: this.#now + ms,
      run,
      ms,
      isInterval,
      hasRef: true,
      unref() {
        timer.hasRef = false
        return timer
      },
      refresh: () => {
        timer.at = this.#now + ms
        this.#timers.add(timer)
        return timer
      }
    }
    this.#timers.add(timer)
    return timer
  }
}
