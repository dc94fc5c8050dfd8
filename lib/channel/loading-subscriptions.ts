import { Deferred } from '../base/promises.ts'
import type { LiveSubscription } from './live-subscription.ts'

/** How long a connection waits for that, before it is given what others of its channels have. */
const PATIENCE_MS = 1_000

/** The subscriptions of one connection that wait for what is kept of their channels. */
export class LoadingSubscriptions {
  readonly #subscriptions = new Set<LiveSubscription>()
  readonly #onChange: () => void
  readonly #ready = new Deferred<void>()
  #timer: NodeJS.Timeout | undefined
  #isOver = false

  /** @param onChange it holds no longer. */
  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** Whether everything waits for them. */
  get isHolding(): boolean {
    return this.#subscriptions.size > 0 && !this.#isOver
  }

  /** Resolves when nothing waits for them. */
  get ready(): Promise<void> | undefined {
    return this.isHolding ? this.#ready.promise : undefined
  }

  add(subscription: LiveSubscription): void {
    subscription.isLoading = true
    this.#subscriptions.add(subscription)
    if (this.#isOver) subscription.fallBehind()
    else this.#timer ??= setTimeout(() => this.#giveUp(), PATIENCE_MS).unref()
  }

  /** @returns whether it was there. */
  remove(subscription: LiveSubscription): boolean {
    if (!this.#subscriptions.delete(subscription)) return false
    subscription.isLoading = false
    if (this.#subscriptions.size === 0) this.#end(false)
    else if (this.#isOver) this.#onChange()
    return true
  }

  close(): void {
    this.#subscriptions.clear()
    this.#end(true)
  }

  /** They are given what they have as soon as it is there, behind others. */
  #giveUp(): void {
    for (const subscription of this.#subscriptions) subscription.fallBehind()
    this.#end(true)
  }

  #end(isOver: boolean): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#isOver = isOver
    this.#ready.resolve()
    this.#onChange()
  }
}
