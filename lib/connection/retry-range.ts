/** Milliseconds between which a client's time to come back is drawn; `false` tells none. */
export type RetryRange = readonly [min: number, max: number] | false

/** A time of the range, so that those who go together do not come back together. */
export function drawRetry(range: RetryRange): number | undefined {
  if (range === false) return undefined
  const [min, max] = range
  return min + Math.floor(Math.random() * (max - min + 1))
}
