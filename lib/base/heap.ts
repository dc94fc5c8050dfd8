/** Things in the order of a number that is given with them: the one with the lowest is at hand. */
export class Heap<Thing> {
  readonly #ranks: number[] = []
  readonly #things: Thing[] = []

  get size(): number {
    return this.#things.length
  }

  /** The one with the lowest rank. */
  get first(): Thing | undefined {
    return this.#things[0]
  }

  get firstRank(): number {
    return this.#ranks[0] ?? Infinity
  }

  add(thing: Thing, rank: number): void {
    let at = this.size
    while (at > 0) {
      const parent = (at - 1) >>> 1
      if (this.#rankAt(parent) <= rank) break
      this.#move(parent, at)
      at = parent
    }
    this.#put(at, thing, rank)
  }

  removeFirst(): void {
    const thing = this.#things.pop()
    const rank = this.#ranks.pop() as number
    if (thing === undefined || this.size === 0) return
    let at = 0
    for (;;) {
      const left = 2 * at + 1
      const child = this.#rankAt(left + 1) < this.#rankAt(left) ? left + 1 : left
      if (this.#rankAt(child) >= rank) break
      this.#move(child, at)
      at = child
    }
    this.#put(at, thing, rank)
  }

  #rankAt(at: number): number {
    return this.#ranks[at] ?? Infinity
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#things[from] as Thing, this.#rankAt(from))
  }

  #put(at: number, thing: Thing, rank: number): void {
    this.#things[at] = thing
    this.#ranks[at] = rank
  }
}
