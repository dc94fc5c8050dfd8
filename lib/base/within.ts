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
