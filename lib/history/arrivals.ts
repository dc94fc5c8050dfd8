let count = 0

/** Counts one more thing that connections must get in the order of calls: a publish, or a subscription's start. */
export function arrive(): number {
  return ++count
}

/** The number of the latest arrival in this process. */
export function latestArrival(): number {
  return count
}
