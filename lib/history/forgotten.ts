import type { Place } from './place.ts'

/** How many channels are remembered by name, and how many are left when that is too much. */
const MAX_NAMES = 10_000
const REST = 9_000
/** Of the others: 2 MiB once there are any, in which each has four of the cells. */
const CELLS = 2 ** 18
const ROWS = 4

/** What channels that have nothing in memory dropped last: exactly, or a later place that others have in the same cells. */
export class Forgotten {
  readonly #places = new Map<string, Place>()
  #cells: Float64Array | undefined

  /** A place at or after the newest message that the channel has dropped; `0`: it has dropped none. */
  get(channel: string): Place {
    const place = this.#places.get(channel)
    const cells = this.#cells
    if (place !== undefined || cells === undefined) return place ?? 0
    return Math.min(...cellsOf(channel).map((cell) => cells[cell] as Place))
  }

  set(channel: string, place: Place): void {
    this.#places.set(channel, place)
    if (this.#places.size <= MAX_NAMES) return
    // Many at once: to find its first entry, a map passes over all that was deleted before it.
    for (const [oldest, dropped] of this.#places) {
      if (this.#places.size <= REST) break
      this.#places.delete(oldest)
      this.#merge(oldest, dropped)
    }
  }

  delete(channel: string): void {
    this.#places.delete(channel)
  }

  #merge(channel: string, dropped: Place): void {
    this.#cells ??= new Float64Array(CELLS)
    for (const cell of cellsOf(channel)) this.#cells[cell] = Math.max(this.#cells[cell] as Place, dropped)
  }
}

/** FNV-1a, and double hashing from there. */
function cellsOf(name: string): number[] {
  let hash = 0x811c9dc5
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193)
  const step = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) | 1
  return Array.from({ length: ROWS }, (_, row) => ((hash + Math.imul(step, row)) >>> 0) % CELLS)
}
