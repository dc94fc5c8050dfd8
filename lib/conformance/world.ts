import { equal, ok } from 'node:assert/strict'
import type { Place } from '../history/place.ts'
import type { Store, StoreAppended, StoredMessage, StoreListener } from '../history/store.ts'

/** Messages that nobody else sees, and stores that share them. */
export interface StoreWorld {
  /** A store of one more server. */
  store(): Store
  /** Called when the case is over and its stores are closed. */
  close?(): unknown
}
const UNLIMITED = {
  maxMessages: 1_000_000,
  maxBytes: 1_000_000_000,
  maxAgeMs: false,
  keepEndedMs: 300_000
} as const

interface Appending {
  readonly key?: string
  readonly idempotencyKey?: string
  readonly isKept?: boolean
  readonly maxMessages?: number
  readonly isEnd?: boolean
  readonly token?: string
  readonly after?: Place
}

/** One server of a world. */
class Node implements StoreListener {
  readonly store: Store
  readonly told: StoredMessage[] = []
  upTo: Place = 0
  isClosed = false
  readonly #waiting = new Set<{ isMet(): boolean; resolve(): void }>()

  constructor(store: Store) {
    this.store = store
  }

  storeOnMessages(messages: readonly StoredMessage[], upTo: Place): void {
    ok(!this.isClosed, 'nothing is told after close()')
    for (const message of messages) {
      // What is told again is passed over.
      if (message.place <= this.upTo) continue
      ok(message.place <= upTo, 'upTo is at or after the messages that are told with it')
      this.told.push(message)
      this.upTo = message.place
    }
    this.upTo = Math.max(this.upTo, upTo)
    for (const { isMet, resolve } of this.#waiting) if (isMet()) resolve()
  }

  storeOnLoss(): void {
    throw new Error('a loss was told where nothing was lost')
  }

  storeOnFork(): void {
    this.storeOnLoss()
  }

  /** Appends messages to channels, which are followed or not. */
  append(
    names: readonly string[],
    texts: readonly string[],
    { key = 'k', idempotencyKey, isKept = true, maxMessages, isEnd = false, token, after }: Appending = {}
  ): Promise<StoreAppended> {
    const limits = { ...UNLIMITED, ...(maxMessages !== undefined && { maxMessages }) }
    return this.store.append({
      channels: names.map((name) => ({ name, limits })),
      messages: texts.map((text) => ({ text, key })),
      idempotencyKey,
      isKept,
      isEnd,
      token,
      after
    })
  }

  /** Appends one message. */
  async publish(name: string, text: string, options?: Appending): Promise<Place> {
    const { places } = await this.append([name], [text], options)
    equal(places.length, 1, 'a place for each message')
    return places[0] as Place
  }

  /** Resolves when all that is at or before a place was told. */
  async reach(place: Place): Promise<void> {
    const isMet = (): boolean => this.upTo >= place
    if (isMet()) return
    await new Promise<void>((resolve) => this.#waiting.add({ isMet, resolve }))
  }

  /** What was told of a channel. */
  toldOf(name: string): string[] {
    return this.told.filter(({ channels }) => channels.includes(name)).map(({ text }) => text)
  }
}

/** Servers that share messages. */
export class World {
  readonly #world: StoreWorld
  readonly #nodes: Node[] = []

  constructor(world: StoreWorld) {
    this.#world = world
  }

  /** A server that is ready, and follows channels. */
  async node(...follows: string[]): Promise<Node> {
    const node = new Node(this.#world.store())
    this.#nodes.push(node)
    const place = await node.store.open(node)
    node.upTo = Math.max(node.upTo, place)
    for (const name of follows) await node.store.follow?.(name)
    return node
  }

  async close(): Promise<void> {
    for (const node of this.#nodes) {
      node.isClosed = true
      await node.store.close()
    }
    await this.#world.close?.()
  }
}
