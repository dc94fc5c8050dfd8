import { CountedStream, type StreamOptions, type Totals } from './counted-stream.ts'

const OPENING_AT_ONCE = 200

export interface OpenOptions extends Partial<StreamOptions> {
  port: number
  count: number
}

/** How many streams ended with which body. */
export type Bodies = { digest: string; isComplete: boolean; streams: number }[]

/** All event streams that this process has open, and what they received. */
export class Streams {
  readonly #streams: CountedStream[] = []
  readonly #totals: Totals = { connections: 0, heads: 0, events: 0, bytes: 0, complete: 0, closed: 0 }
  #waiter: { isMet(): boolean; resolve(): void } | undefined

  get totals(): Totals {
    return this.#totals
  }

  /** Opens streams, and resolves when each has its response's head. */
  async open({ port, count, path = '/', stall = false, digest = false }: OpenOptions): Promise<void> {
    for (let opened = 0; opened < count; opened += OPENING_AT_ONCE) {
      const batch = Math.min(OPENING_AT_ONCE, count - opened)
      const heads = this.#totals.heads + (stall === 'never' ? 0 : batch)
      for (let i = 0; i < batch; i++) this.#add({ port, path, stall, digest })
      await this.#until(() => this.#totals.heads >= heads, 10_000)
    }
  }

  /** Waits until so many of what is counted have come, or until nothing more comes. @returns the totals. */
  async receive(expected: Partial<Totals>, patienceMs = 3_000): Promise<Totals> {
    const isMet = (): boolean => {
      for (const name of Object.keys(expected) as (keyof Totals)[]) {
        if (this.#totals[name] < (expected[name] ?? 0)) return false
      }
      return true
    }
    for (;;) {
      const before = this.#totals.bytes
      await this.#until(isMet, patienceMs)
      if (isMet() || this.#totals.bytes === before) return { ...this.#totals }
    }
  }

  bodies(): Bodies {
    const counts = new Map<string, Bodies[number]>()
    for (const stream of this.#streams) {
      const digest = stream.digest()
      const key = `${digest} ${stream.isComplete}`
      const body = counts.get(key) ?? { digest, isComplete: stream.isComplete, streams: 0 }
      body.streams++
      counts.set(key, body)
    }
    return [...counts.values()]
  }

  /** Breaks off all streams. */
  reset(): void {
    for (const { socket } of this.#streams) socket.resetAndDestroy()
    this.#streams.length = 0
  }

  #add(options: StreamOptions): void {
    this.#totals.connections++
    this.#streams.push(new CountedStream(options, this.#totals, () => this.#progressed()))
  }

  #progressed(): void {
    if (this.#waiter?.isMet() === true) this.#waiter.resolve()
  }

  #until(isMet: () => boolean, limitMs: number): Promise<void> {
    if (isMet()) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(done, limitMs)
      this.#waiter = { isMet, resolve: done }
      const streams = this
      function done(): void {
        clearTimeout(timer)
        streams.#waiter = undefined
        resolve()
      }
    })
  }
}
