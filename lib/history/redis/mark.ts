import { Deferred } from '../../base/promises.ts'
import type { Place } from '../place.ts'

/** How far Redis has told a server, and which places were given there beyond that. */
export class Mark {
  /** All that was told is at or before it. */
  #place: Place = 0
  /** Resolves when it is another one. */
  #moved: Deferred<void> | undefined
  #given: Place = 0
  /** Those of them that are after the mark, and perhaps some that are not. */
  #untold: Place[] = []

  get place(): Place {
    return this.#place
  }

  /** No client stands beyond it. */
  get newest(): Place {
    return Math.max(this.#place, this.#given)
  }

  move(place: Place): void {
    if (place <= this.#place) return
    this.#place = place
    this.#moved?.resolve()
    this.#moved = undefined
  }

  /** Resolves when all that is at or before a place has been told. */
  async reaches(place: Place): Promise<void> {
    while (place > this.#place) {
      this.#moved ??= new Deferred()
      await this.#moved.promise
    }
  }

  give(...places: readonly Place[]): void {
    this.#given = Math.max(this.#given, ...places)
    for (const place of places) if (place > this.#place) this.#untold.push(place)
  }

  /** What was given and not told, in order. */
  untold(): readonly Place[] {
    this.#untold = this.#untold.filter((place) => place > this.#place).sort((a, b) => a - b)
    return this.#untold
  }
}
