import type { Place } from '../../../lib/history/place.ts'
import type { Store, StoreAppend, StoreListener } from '../../../lib/history/store.ts'
import { type Shelf, ShelfStore } from '../../helpers/shelf-store.ts'

/** A way on which things take some turns each, and never pass each other. */
class Way {
  readonly #random: () => number
  /** What is on it, and how many turns each of that still takes. */
  readonly #sent: { turns: number; readonly arrive: () => void }[] = []
  #isScheduled = false

  constructor(random: () => number) {
    this.#random = random
  }

  /** Resolves when what is sent now has come. */
  send(): Promise<void> {
    return new Promise((arrive) => {
      this.#sent.push({ turns: Math.floor(this.#random() * 4), arrive })
      this.#deliver()
    })
  }

  #deliver(): void {
    for (let first = this.#sent[0]; first !== undefined && first.turns <= 0; first = this.#sent[0]) {
      this.#sent.shift()
      first.arrive()
    }
    if (this.#sent.length === 0 || this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      for (const sent of this.#sent) sent.turns--
      this.#deliver()
    })
  }
}

/** A store that is some turns away: what is asked, what it answers and what it tells are on their way for a while. */
export class LateStore implements Store {
  readonly #store: Store
  readonly #asked: Way
  readonly #answered: Way
  readonly #told: Way
  #isClosed = false

  constructor(random: () => number, shelf: Shelf) {
    this.#store = new ShelfStore(shelf)
    this.#asked = new Way(random)
    this.#answered = new Way(random)
    this.#told = new Way(random)
  }

  get epoch(): string {
    return this.#store.epoch
  }

  open(listener: StoreListener): Promise<Place> {
    return this.#store.open({
      storeOnMessages: (messages, upTo) => {
        void this.#told.send().then(() => {
          if (!this.#isClosed) listener.storeOnMessages(messages, upTo)
        })
      },
      storeOnLoss: () => {},
      storeOnFork: () => {}
    })
  }

  append(append: StoreAppend): ReturnType<Store['append']> {
    return this.#ask(() => this.#store.append(append))
  }

  async follow(): Promise<void> {
    await this.#ask(async () => {})
  }

  read(channel: string, after: Place): ReturnType<Store['read']> {
    return this.#ask(() => this.#store.read(channel, after))
  }

  /** At once: a connection is tried when what its client brought is proved. */
  prove(places: readonly Place[]): Promise<readonly boolean[]> {
    return this.#store.prove(places)
  }

  head(): Promise<Place> {
    return this.#ask(() => this.#store.head())
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#store.close()
  }

  async #ask<T>(run: () => Promise<T>): Promise<T> {
    await this.#asked.send()
    const answer = await run()
    await this.#answered.send()
    return answer
  }
}
