/**
 * Rejects if the promise takes longer than so many milliseconds. What has come by then, and was not read because the process
 * was busy, is read first.
 */
export async function within<T>(ms: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    const giveUp = (): void => reject(new Error(`it did not answer within ${ms} ms`))
    timer = setTimeout(() => setImmediate(giveUp), ms).unref()
  })
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer))
}
