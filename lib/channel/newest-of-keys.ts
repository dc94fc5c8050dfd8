import type { Entry } from '../history/entry.ts'
import type { Place } from '../history/place.ts'
import type { Window } from '../history/window.ts'

/** Which of a channel's messages are the newest of their keys, among those that are chosen, until a place. */
export class NewestOfKeys {
  readonly #window: Window
  readonly #newest = new Map<string, Place>()
  readonly #until: Place
  /** All that came after this place were looked at. */
  #seen: Place

  constructor(window: Window, until: Place) {
    this.#window = window
    this.#until = until
    this.#seen = until
  }

  /**
   * Looks at messages back to a place, from the newest on.
   *
   * @param isOver whether others are to have their turn.
   * @returns whether all were looked at.
   */
  look(backTo: Place, selects: (entry: Entry) => boolean, isOver: () => boolean): boolean {
    while (this.#seen > backTo) {
      const entry = this.#window.entryUntil(this.#seen)
      if (entry === undefined || entry.place <= backTo) break
      this.#seen = entry.place - 1
      if (entry.isKept && !this.#newest.has(entry.key) && selects(entry))
        this.#newest.set(entry.key, entry.place)
      if (isOver()) return false
    }
    this.#seen = Math.min(this.#seen, backTo)
    return true
  }

  /** Whether a newer one of the same key was found. */
  replaces({ key, place }: Entry): boolean {
    return place <= this.#until && (this.#newest.get(key) ?? place) > place
  }
}
