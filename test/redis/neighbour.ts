import type { Store, StoredMessage } from '../../lib/history/store.ts'
import { redisStore } from '../../lib/index.ts'

const PERIOD_MS = 10
const LIMITS = { maxMessages: 10, maxBytes: 10_000, maxAgeMs: false, keepEndedMs: 1_000 } as const
const TEXT = 'data: of a neighbour\n\n'

/** Others in the same Redis, who use the same names of channels. */
export class Neighbour {
  /** Messages that came to it. */
  heard = 0
  /** Those that were not its own. */
  strange = 0
  readonly #store: Store
  #timer: NodeJS.Timeout | undefined

  constructor(url: string, prefix: string) {
    this.#store = redisStore({ url, prefix })
  }

  async start(names: readonly string[]): Promise<void> {
    await this.#store.open({
      storeOnMessages: (messages) => this.#hear(messages),
      storeOnLoss: () => {},
      storeOnFork: () => {}
    })
    for (const name of names) await this.#store.follow?.(name)
    let next = 0
    this.#timer = setInterval(() => {
      const channels = [{ name: names[next++ % names.length] ?? '', limits: LIMITS }]
      const messages = [{ text: TEXT, key: '' }]
      void this.#store
        .append({ channels, messages, idempotencyKey: undefined, isKept: true, isEnd: false })
        .catch(() => {})
    }, PERIOD_MS)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#store.close()
  }

  #hear(messages: readonly StoredMessage[]): void {
    this.heard += messages.length
    this.strange += messages.filter(({ text }) => text !== TEXT).length
  }
}
