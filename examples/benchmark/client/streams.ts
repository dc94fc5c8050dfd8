import type { DelaySummary } from '../process/delays.ts'
import { CountedStream, type StreamOptions, type Totals } from './counted-stream.ts'
import { Stamps } from './stamps.ts'

const OPENING_AT_ONCE = 200

export interface OpenOptions extends Partial<Omit<StreamOptions, 'stamps'>> {
  port: number
  count: number
  /** How many may be on their way at a time. */
  atOnce?: number
  /** One for each, instead of one for all. */
  lastEventIds?: readonly string[]
  /** Whether the times in messages are compared with those of their arrival. */
  isStamped?: boolean
}

export interface CatchUpOptions extends OpenOptions {
  /** What all streams are to receive together. */
  events: number
}

export interface CatchUp {
  tookMs: number
  totals: Totals
}

/** How many streams ended with which body. */
export type Bodies = { digest: string; isComplete: boolean; streams: number }[]

/** All event streams that this process has open, and what they received. */
export class Streams {
  readonly #streams: CountedStream[] = []
  readonly #totals: Totals = { connections: 0, heads: 0, events: 0, bytes: 0, complete: 0, closed: 0 }
  readonly #stamps = new Stamps()
  #waiter: { isMet(): boolean; resolve(): void } | undefined

  get totals(): Totals {
    return this.#totals
  }

  /** Opens streams, and resolves when each has its response's head. */
  async open({
    count,
    atOnce = OPENING_AT_ONCE,
    isStamped = false,
    lastEventIds,
    ...given
  }: OpenOptions): Promise<void> {
    const stamps = isStamped ? this.#stamps : undefined
    const options = { path: '/', lastEventId: undefined, stall: false, digest: false, stamps, ...given }
    const hasHead = options.stall === false || options.stall === true
    for (let opened = 0; opened < count; opened += atOnce) {
      const batch = Math.min(atOnce, count - opened)
      const heads = this.#totals.heads + (hasHead ? batch : 0)
      for (let i = opened; i < opened + batch; i++)
        this.#add(lastEventIds === undefined ? options : { ...options, lastEventId: lastEventIds[i] })
      await this.#until(() => this.#totals.heads >= heads, 10_000)
    }
  }

  /** Opens streams and waits until they have all they are to receive. */
  async catchUp({ events, ...options }: CatchUpOptions): Promise<CatchUp> {
    const expected = this.#totals.events + events
    const start = performance.now()
    await this.open(options)
    const totals = await this.receive({ events: expected })
    return { tookMs: performance.now() - start, totals }
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

  /** How long stamped messages were under way since the last call. */
  delays(): DelaySummary {
    const summary = this.#stamps.summary()
    this.#stamps.reset()
    return summary
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
