/** The monotonic clock that connections are timed by, in whole milliseconds. */
export function monotonicMs(): number {
  return Math.floor(performance.now())
}

/** When that was by the wall clock, in milliseconds since the Unix epoch. */
export function wallClockMs(monotonicMs: number): number {
  return Math.floor(performance.timeOrigin) + monotonicMs
}
