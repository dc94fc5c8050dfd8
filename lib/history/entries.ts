import type { Entry } from './entry.ts'
import type { Place } from './place.ts'

/** How many of the newest entries are looked through one by one. */
const NEAR = 8

/** Entries in the order of their places. An index is good until the next change. */
export class Entries {
  /** From `#start` on; those before have been taken. */
  #entries: (Entry | undefined)[] = []
  #start = 0

  get length(): number {
    return this.#entries.length - this.#start
  }

  get oldest(): Entry | undefined {
    return this.#entries[this.#start]
  }

  get newest(): Entry | undefined {
    return this.#entries.at(-1)
  }

  all(): Entry[] {
    return this.#entries.slice(this.#start) as Entry[]
  }

  at(index: number): Entry | undefined {
    return index < this.#start ? undefined : this.#entries[index]
  }

  /** The index of the first one after a place. */
  indexAfter(place: Place): number {
    const entries = this.#entries
    const near = Math.max(this.#start, entries.length - NEAR)
    for (let i = entries.length - 1; i >= near; i--) {
      if (this.#placeAt(i) <= place) return i + 1
    }
    return this.#search(place, near)
  }

  /** The index before the newest `count` of those that count, or before all. */
  indexBefore(count: number, counts: (entry: Entry) => boolean): number {
    let index = this.#entries.length - 1
    for (let left = count; left > 0 && index >= this.#start; index--) {
      const entry = this.#entries[index]
      if (entry !== undefined && counts(entry)) left--
    }
    return index
  }

  /** Adds the newest one. */
  push(entry: Entry): void {
    this.#entries.push(entry)
  }

  /** Adds some that may belong anywhere. */
  merge(entries: readonly Entry[]): void {
    this.#entries = [...entries, ...this.all()].sort((a, b) => a.place - b.place)
    this.#start = 0
  }

  /** Takes the oldest one. */
  shift(): Entry | undefined {
    const { oldest } = this
    if (oldest === undefined) return undefined
    this.#entries[this.#start] = undefined
    this.#start++
    if (this.#start * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#start)
      this.#start = 0
    }
    return oldest
  }

  /** Takes out those that are chosen, one after the other. @param first the index before which none is looked at. */
  *takeOut(first: number, isChosen: (entry: Entry) => boolean): Generator<Entry> {
    const newest = this.#entries.splice(first) as Entry[]
    const chosen = newest.filter(isChosen)
    for (const entry of newest) if (!isChosen(entry)) this.#entries.push(entry)
    // Until it is its turn, each counts.
    for (const entry of chosen) this.#entries.push(entry)
    for (const entry of chosen) {
      this.#entries.pop()
      yield entry
    }
  }

  #search(place: Place, end: number): number {
    let low = this.#start
    let high = end
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#placeAt(middle) <= place) low = middle + 1
      else high = middle
    }
    return low
  }

  #placeAt(index: number): Place {
    return this.#entries[index]?.place ?? 0
  }
}
