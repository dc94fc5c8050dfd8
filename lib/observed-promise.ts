/**
 * A promise that knows whether anybody waits for it and never becomes an unhandled rejection.
 */
export class ObservedPromise<T> extends Promise<T> {
  #observed = false

  static override get [Symbol.species](): PromiseConstructor {
    return Promise
  }

  /**
   * The promise of what `run` gives.
   *
   * @param onUnobserved gets an error that nobody was waiting for when it came.
   * @param onFulfilled is told before those who wait.
   */
  static of<T>(
    run: Promise<T>,
    onUnobserved: (error: unknown) => void,
    onFulfilled?: () => void
  ): ObservedPromise<T> {
    const promise = new ObservedPromise<T>((resolve, reject) => {
      const fulfill = (value: T): void => {
        onFulfilled?.()
        resolve(value)
      }
      run.then(fulfill, (error: unknown) => {
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
