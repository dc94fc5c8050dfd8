import { Deferred } from '../../base/promises.ts'
import type { Place } from '../place.ts'
import { RedisReplyError } from './redis-link.ts'

interface State {
  /** The place of its newest message that is kept, as was told or read; `undefined`: not known. */
  head: Place | undefined
  /** All that came after this place was told, so that a reading must have what was at or before it; `undefined`: nothing was. */
  toldAfter: Place | undefined
  /** Resolves when what is published is told. */
  confirmed: Deferred<void>
  /** Whether it is, so that nothing is missing between two notices. */
  isConfirmed: boolean
}

/** Redis forgets channels that have got nothing for a day. In microseconds, and half of it, as places may lag behind the clock. */
export const FORGOTTEN_AFTER = 43_200_000_000

/**
 * Whether a channel ends where it did.
 *
 * @param found where it ends now; `0`: Redis knows nothing of it.
 * @param mark until where all that it got was told.
 */
export function endsAt(known: Place, found: Place, mark: Place): boolean {
  return found === known || (found === 0 && mark - known > FORGOTTEN_AFTER)
}

/** The channels of which Redis is to tell, and where they end. */
export class Followed {
  readonly #states = new Map<string, State>()
  readonly #subscribe: (names: readonly string[], isWanted: boolean) => Promise<void>
  readonly #changed = new Set<string>()
  /** Those that were looked at last are at the end. */
  #round: string[] = []
  #isReady = false
  /** Of the connection that is asked. */
  #flushing: symbol | undefined

  constructor(subscribe: (names: readonly string[], isWanted: boolean) => Promise<void>) {
    this.#subscribe = subscribe
  }

  get names(): Iterable<string> {
    return this.#states.keys()
  }

  has(name: string): boolean {
    return this.#states.has(name)
  }

  /**
   * Whether its notices count: what comes before is of an earlier subscription, which ends before this one begins, or is read
   * afterwards.
   */
  isTold(name: string): boolean {
    return this.#states.get(name)?.isConfirmed ?? false
  }

  headOf(name: string): Place | undefined {
    return this.#states.get(name)?.head
  }

  add(name: string): Promise<void> {
    const known = this.#states.get(name)
    if (known !== undefined) return known.confirmed.promise
    const state = {
      head: undefined,
      toldAfter: undefined,
      confirmed: new Deferred<void>(),
      isConfirmed: false
    }
    this.#states.set(name, state)
    this.#change(name)
    return state.confirmed.promise
  }

  remove(name: string): void {
    if (this.#states.delete(name)) this.#change(name)
  }

  /**
   * To be called when a reading is asked for: it counts if its channel is told by then, and until it is given up. What comes
   * after the first one is told: a later one must not stand for that.
   *
   * @returns takes where the channel ended, and the mark, and says whether nothing is missing between what was read and what
   * is told.
   */
  begin(name: string): (head: Place, mark: Place) => boolean {
    const state = this.#states.get(name)
    if (!state?.isConfirmed) return () => true
    return (head, mark) => {
      state.head ??= head
      state.toldAfter ??= head
      return head >= state.toldAfter || endsAt(state.toldAfter, head, mark)
    }
  }

  /** All that the channel got after this place was told. */
  toldAfter(name: string): Place | undefined {
    return this.#states.get(name)?.toldAfter
  }

  setHead(name: string, head: Place): void {
    const state = this.#states.get(name)
    if (state === undefined) return
    state.head = head
    state.toldAfter = head
  }

  /** Whether a message comes after the one that was heard last, or was heard itself. */
  isNext(name: string, previous: Place, place: Place): boolean {
    const { head = previous } = this.#states.get(name) ?? {}
    return endsAt(head, previous, place) || place <= head
  }

  /** It is told. */
  hear(name: string, previous: Place, place: Place): void {
    const state = this.#states.get(name)
    if (!state?.isConfirmed) return
    state.toldAfter ??= previous
    state.head = Math.max(state.head ?? 0, place)
  }

  /** A new connection has these. What it tells of them counts, also if one was given up and followed again meanwhile. */
  confirm(names: Iterable<string>): void {
    for (const name of names) {
      const state = this.#states.get(name)
      if (state === undefined) continue
      confirm(state)
      this.#changed.delete(name)
    }
  }

  /** That connection can be asked for others. */
  goOn(): void {
    this.#isReady = true
    void this.#flush()
  }

  /** There is no connection any more. The next one is asked for those that were not told, too. */
  breakOff(): void {
    this.#isReady = false
    this.#flushing = undefined
    for (const [name, { isConfirmed }] of this.#states) if (!isConfirmed) this.#changed.add(name)
  }

  /** Some of them, in turn. */
  next(count: number): string[] {
    if (this.#round.length === 0) this.#round = [...this.#states.keys()]
    return this.#round.splice(0, count).filter((name) => this.#states.has(name))
  }

  #change(name: string): void {
    if (this.#changed.size === 0 && this.#isReady) queueMicrotask(() => void this.#flush())
    this.#changed.add(name)
  }

  /** One after the other: libraries lose count of who asks for a channel again before they have had their answers. */
  async #flush(): Promise<void> {
    if (this.#flushing !== undefined) return
    const flushing = Symbol('flushing')
    this.#flushing = flushing
    while (this.#flushing === flushing && this.#isReady && this.#changed.size > 0) await this.#askForChanged()
    if (this.#flushing === flushing) this.#flushing = undefined
  }

  async #askForChanged(): Promise<void> {
    const wanted = new Map<string, State>()
    const unwanted: string[] = []
    for (const name of this.#changed) {
      const state = this.#states.get(name)
      if (state === undefined) unwanted.push(name)
      else wanted.set(name, state)
    }
    this.#changed.clear()
    await Promise.all([this.#ask(wanted), this.#subscribe(unwanted, false).catch(() => {})])
  }

  async #ask(wanted: ReadonlyMap<string, State>): Promise<void> {
    try {
      await this.#subscribe([...wanted.keys()], true)
      for (const state of wanted.values()) confirm(state)
    } catch (error) {
      // The next connection has them, unless this one goes on.
      if (!(error instanceof RedisReplyError)) return
      // For one that it does not allow, Redis refuses all.
      if (wanted.size > 1) {
        await Promise.all(Array.from(wanted, (one) => this.#ask(new Map([one]))))
        return
      }
      for (const [name, state] of wanted) {
        if (this.#states.get(name) === state) this.#states.delete(name)
        state.confirmed.reject(error)
      }
    }
  }
}

function confirm(state: State): void {
  state.isConfirmed = true
  state.confirmed.resolve()
}
