interface FakeTimer {
  at: number
  readonly run: () => void
  /** Whether it fires again and again. */
  readonly isInterval: boolean
  hasRef: boolean
  unref(): FakeTimer
  refresh(): FakeTimer
}

interface Test {
  teardown(fn: () => unknown): void
}

/** The clocks and the timers of this process, moved by hand. Timers that ran before go on, and can still be cleared. */
export class FakeClock {
  #now = 1_000
  readonly #timers = new Set<FakeTimer>()

  /** Runs `test` on a clock that stands still, and gives the process its own back. */
  static async run(test: (clock: FakeClock) => Promise<void>): Promise<void> {
    const clock = new FakeClock()
    const restore = clock.#install()
    try {
      await test(clock)
    } finally {
      restore()
    }
  }

  /** For a test, all that is in it, and what they tear down: the clock stands still until they have ended. */
  static install(t: Test): FakeClock {
    const clock = new FakeClock()
    t.teardown(clock.#install())
    return clock
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

  /** @returns what gives the process its own clock back. */
  #install(): () => void {
    const { setTimeout, clearTimeout, setInterval, clearInterval } = globalThis
    const { now } = Date
    const startedAt = now() - this.#now
    const clear = (timer: FakeTimer): void => {
      if (!this.#timers.delete(timer)) clearTimeout(timer as unknown as NodeJS.Timeout)
    }
    Object.assign(globalThis, {
      setTimeout: (run: () => void, ms = 0) => this.#add(run, ms, false),
      setInterval: (run: () => void, ms: number) => this.#add(run, ms, true),
      clearTimeout: clear,
      clearInterval: clear
    })
    Object.defineProperty(performance, 'now', { configurable: true, value: () => this.#now })
    Date.now = () => startedAt + Math.floor(this.#now)
    return () => {
      Object.assign(globalThis, { setTimeout, clearTimeout, setInterval, clearInterval })
      Reflect.deleteProperty(performance, 'now')
      Date.now = now
    }
  }

  #add(run: () => void, ms: number, isInterval: boolean): FakeTimer {
    const timer: FakeTimer = {
      at: this.#now + ms,
      run,
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
