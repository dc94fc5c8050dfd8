/**
 * A promise that knows whether anybody waits for it and never becomes an unhandled rejection.
 */
export class ObservedPromise<T> extends Promise<T> {
  #observed = false

  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /** The promise of what `run` gives; `onUnobserved` gets an error that nobody was waiting for when it came. */
  static of<T>(run: PromiseLike<T>, onUnobserved: (error: unknown) => void): ObservedPromise<T> {
    const promise = new ObservedPromise<T>((resolve, reject) => {
      // Which is `run` itself, if that is a promise, and otherwise answers later.
      Promise.resolve(run).then(resolve, (error: unknown) => {
        Promise.prototype.then.call(promise, undefined, () => {})
        reject(error)
        // An `await` calls `then()` only in a microtask of its own.
        process.nextTick(() => {
          if (!promise.#observed) onUnobserved(error)
        })
      })
    })
    return promise
  }

  // biome-ignore lint/suspicious/noThenProperty: this is a promise, and being waited for is what it has to see
  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    this.#observed = true
    return super.then(onFulfilled, onRejected)
  }
}

/** A promise that is settled from outside. */
export class Deferred<T> {
  readonly promise: Promise<T>
  resolve!: (value: T) => void
  reject!: (error: Error) => void

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }
}

/**
 * Rejects if the promise takes longer than so many milliseconds. What has come by then, and was not read because the process
 * was busy, is read first.
 */
export function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const giveUp = (): void => reject(new Error(`it did not answer within ${ms} ms`))
    const timer = setTimeout(() => setImmediate(giveUp), ms).unref()
    promise.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (error) => {
        clearTimeout(timer)
        reject(error)
      }
    )
  })
}

/** Whether `await` would wait for it. */
export function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

let turn: Promise<void> | undefined

/** Resolves in the next turn of the event loop, for all who ask in this one. */
export function nextTurn(): Promise<void> {
  turn ??= new Promise((resolve) => {
    setImmediate(() => {
      turn = undefined
      resolve()
    })
  })
  return turn
}
