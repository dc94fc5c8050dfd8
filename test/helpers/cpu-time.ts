/** The CPU time that work takes, in microseconds. */
export async function cpuTime(work: () => unknown): Promise<number> {
  const start = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(start)
  return user + system
}

/** What is measured so often is known well enough, unless the machine has been busy all the time. */
const FEW_ROUNDS = 4
const MANY_ROUNDS = 40

/**
 * How many times as long one thing takes as another: of each the least of some, by turns, as whatever else the machine does
 * only adds to them. They are done more often if it seems to be as much as `tooMuch`.
 */
export async function timesAsLong(
  one: () => Promise<number>,
  other: () => Promise<number>,
  tooMuch: number
): Promise<number> {
  let time = Infinity
  let otherTime = Infinity
  for (let round = 1; round <= MANY_ROUNDS; round++) {
    time = Math.min(time, await one())
    otherTime = Math.min(otherTime, await other())
    if (round >= FEW_ROUNDS && time / otherTime < tooMuch) break
  }
  return time / otherTime
}
