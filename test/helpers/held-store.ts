import { Deferred } from '../../lib/base/promises.ts'
import type { Place } from '../../lib/history/place.ts'
import type { Store, StoreAppend, StoredMessage, StoreListener } from '../../lib/history/store.ts'
import { NewShelf, type Shelf, ShelfStore } from './shelf-store.ts'

type Part = 'open' | 'append' | 'follow' | 'read' | 'prove' | 'head' | 'tell'

/** A store of which each part can be held, or fails, for as long as a test wants. */
export class HeldStore implements Store {
  readonly shelf: Shelf
  /** What was asked, in order. */
  readonly asked: string[] = []
  listener: StoreListener | undefined
  /** After which place it says that it has told all of a channel. */
  toldAfter: Place | undefined
  readonly #store: Store
  readonly #held = new Map<Part, Deferred<void>>()
  readonly #failing = new Set<Part>()
  #isClosed = false

  constructor(shelf: Shelf = new NewShelf()) {
    this.shelf = shelf
    this.#store = new ShelfStore(shelf)
  }

  get epoch(): string {
    return this.shelf.epoch
  }

  hold(part: Part): void {
    this.#held.set(part, new Deferred())
  }

  release(part: Part): void {
    this.#held.get(part)?.resolve()
    this.#held.delete(part)
  }

  fail(part: Part): void {
    this.#failing.add(part)
  }

  recover(part: Part): void {
    this.#failing.delete(part)
  }

  async open(listener: StoreListener): Promise<Place> {
    this.listener = listener
    await this.#pass('open')
    return this.#store.open({
      storeOnMessages: (messages, upTo) => void this.#tell(messages, upTo),
      storeOnLoss() {},
      storeOnFork() {}
    })
  }

  async append(append: StoreAppend): ReturnType<Store['append']> {
    await this.#pass('append')
    return this.#store.append(append)
  }

  async follow(channel: string): Promise<void> {
    await this.#pass('follow', channel)
  }

  unfollow(channel: string): void {
    this.asked.push(`unfollow ${channel}`)
  }

  async read(channel: string, after: Place): ReturnType<Store['read']> {
    await this.#pass('read', channel)
    return { ...(await this.#store.read(channel, after)), toldAfter: this.toldAfter }
  }

  async prove(places: readonly Place[]): Promise<readonly boolean[]> {
    await this.#pass('prove')
    return this.#store.prove(places)
  }

  async head(): Promise<Place> {
    await this.#pass('head')
    return this.#store.head()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#store.close()
  }

  /** At once, unless it is held. */
  #tell(messages: readonly StoredMessage[], upTo: Place): Promise<void> | undefined {
    const tell = (): void => {
      if (!this.#isClosed) this.listener?.storeOnMessages(messages, upTo)
    }
    const held = this.#held.get('tell')
    if (held !== undefined) return held.promise.then(tell)
    tell()
    return undefined
  }

  async #pass(part: Part, ...names: readonly string[]): Promise<void> {
    this.asked.push([part, ...names].join(' '))
    await this.#held.get(part)?.promise
    if (this.#failing.has(part)) throw new Error(`${part} failed`)
  }
}
