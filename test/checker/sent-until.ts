import type { Moment, Published } from './run-log.ts'

/** @returns a function that says how many messages there are up to the last one that had been sent by a moment. */
export function sentUntilOf(messages: readonly Published[]): (moment: Moment) => number {
  /** For each message, when the first of it and those behind it was sent. */
  const first: Moment[] = []
  for (let i = messages.length - 1; i >= 0; i--)
    first[i] = Math.min(messages[i]?.sentAt ?? Infinity, first[i + 1] ?? Infinity)
  return (moment) => {
    let low = 0
    let high = messages.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((first[middle] ?? Infinity) <= moment) low = middle + 1
      else high = middle
    }
    return low
  }
}
