import type { Random } from '../../checker/sockets/random.ts'

interface ReaderPlan {
  /** After the start, or, of who is late, after the end. */
  readonly comesAfterMs: number
  readonly isLate: boolean
  /** After which times it loads again, and connects to another server. */
  readonly reloadsAfterMs: readonly number[]
  /** `undefined`: it stays for the end. */
  readonly leavesAfterMs: number | undefined
}

/** What shall happen with one name. */
export interface Plan {
  readonly name: string
  /** `null`: its source has no end, so that somebody must stop it. */
  readonly length: number | null
  readonly paceMs: number
  readonly fails: boolean
  /** How many start it at once. */
  readonly rivals: number
  readonly readers: readonly ReaderPlan[]
  readonly stopsAfterMs: readonly number[]
  /** Whether it is asked for again, with `restart`, when it has ended. */
  readonly isAskedAgain: boolean
}

/** Names are texts of all kinds. */
const NAMES = ['answer', 'a:b c', 'ü/&=?', '%2F..', '😀']

export function planOf(random: Random, index: number): Plan {
  const isEndless = random.happens(0.25)
  const stops = isEndless || random.happens(0.1) ? random.integer(1, 2) : 0
  const readers = random.integer(1, 4)
  const times = (count: number, maxMs: number): number[] =>
    Array.from({ length: count }, () => random.magnitude(1, maxMs))
  return {
    name: `${NAMES[index % NAMES.length]} ${index}`,
    length: isEndless ? null : random.magnitude(1, 60),
    paceMs: !isEndless && random.happens(0.3) ? 0 : random.magnitude(1, 60),
    fails: !isEndless && random.happens(0.15),
    rivals: random.pick(1, 1, 2, 3),
    readers: Array.from({ length: readers }, () => ({
      comesAfterMs: random.magnitude(1, 1_000),
      isLate: random.happens(0.2),
      reloadsAfterMs: times(random.pick(0, 0, 1, 2, 3), 500),
      leavesAfterMs: random.happens(0.15) ? random.magnitude(1, 1_000) : undefined
    })),
    stopsAfterMs: times(stops, 1_500),
    isAskedAgain: random.happens(0.4)
  }
}
