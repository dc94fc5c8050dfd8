/**
 * What the README says of the ids of a Redis history, written anew: an entry's id is the place after it, with a `~` it is
 * the place before it. Ids grow, and begin with the milliseconds of Redis's clock.
 */
interface Place {
  readonly ms: number
  readonly number: number
  readonly isBefore: boolean
}

const PLACE = /^(~?)(\d+)-(\d+)$/

export function isPlace(text: string): boolean {
  return PLACE.test(text)
}

export function msOf(place: string): number {
  return parse(place).ms
}

/** Negative if the first is before the second. */
export function compare(first: string, second: string): number {
  if (first === second) return 0
  const [a, b] = [parse(first), parse(second)]
  return a.ms - b.ms || a.number - b.number || Number(b.isBefore) - Number(a.isBefore)
}

const parsed = new Map<string, Place>()

function parse(text: string): Place {
  const known = parsed.get(text)
  if (known !== undefined) return known
  const place = parseNew(text)
  parsed.set(text, place)
  return place
}

function parseNew(place: string): Place {
  const match = PLACE.exec(place)
  if (match === null) throw new Error(`not a place: ${place}`)
  return { ms: Number(match[2]), number: Number(match[3]), isBefore: match[1] === '~' }
}
