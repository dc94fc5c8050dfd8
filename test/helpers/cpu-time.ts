/** The CPU time that work takes, in microseconds. */
export async function cpuTime(work: () => unknown): Promise<number> {
  const start = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(start)
  return user + system
}

const ROUNDS = 4

/**
 * How many times as long one thing takes as another: of each the least of some, by turns, as whatever else the machine does
 * only adds to them.
 */
export async function timesAsLong(one: () => Promise<number>, other: () => Promise<number>): Promise<number> {
  const taken: [number, number][] = []
  for (let i = 0; i < ROUNDS; i++) taken.push([await one(), await other()])
  return Math.min(...taken.map(([time]) => time)) / Math.min(...taken.map(([, time]) => time))
}
