import type { Place } from '../place.ts'
import type { StoredMessage, StoreListener } from '../store.ts'
import { endsAt, FORGOTTEN_AFTER, type Followed } from './followed.ts'
import type { Found, ReadAnswer } from './redis-message.ts'

/** How far a server had come when there was a connection. */
export interface Told {
  readonly epoch: string
  /** All that was told is at or before this place. */
  readonly mark: Place
  /** No client stands beyond this one. */
  readonly newest: Place
}

/** What was not told while there was no connection. */
export interface Missed {
  /** In order. */
  readonly messages: readonly StoredMessage[]
  /** Until where channels have not got all of it, or lack what was told. */
  readonly losses: ReadonlyMap<string, Place>
  /** Where channels end. */
  readonly ends: ReadonlyMap<string, Place>
}

interface Past {
  /** The newest place of each channel. */
  heads(names: readonly string[]): Promise<readonly Place[]>
  read(name: string, after: Place): Promise<ReadAnswer>
}

/** What channels got until a database stands where it does. */
export async function findMissed(
  names: readonly string[],
  followed: Followed,
  { epoch, mark, newest }: Told,
  until: Found,
  past: Past
): Promise<Missed> {
  const isNew = until.epoch !== epoch
  const missed = new Map<Place, StoredMessage>()
  const losses = new Map<string, Place>()
  const ends = new Map<string, Place>()
  const heads = await past.heads(names)
  // Who was away for long may have missed what a channel got before it was forgotten.
  const toldUntil = until.place - mark < FORGOTTEN_AFTER ? mark : 0

  const meet = async (name: string, head: Place): Promise<void> => {
    const known = followed.headOf(name)
    const isLoaded = known !== undefined
    const hasAll = isLoaded ? endsAt(known, head, toldUntil) : until.isKnown && head <= mark
    if (!isNew && hasAll) return
    const { messages, previous, dropped, ...answer } = await past.read(name, known ?? mark)
    // What is later comes with the notices that are held.
    const here = messages.filter(({ place }) => place <= until.place)
    ends.set(name, here.at(-1)?.place ?? previous ?? answer.head)
    const isChained = isLoaded
      ? previous !== undefined && endsAt(known, previous, toldUntil)
      : until.isKnown && (previous ?? dropped) <= mark
    const isPassed = here.some(({ place }) => place <= mark)
    const isLost = isNew || !isChained || isPassed
    // A gap is told to those who stand before it.
    const lostUntil = isLost ? Math.min(Math.max(newest + 1, dropped), until.place) : 0
    if (isLost) losses.set(name, lostUntil)
    for (const message of here) if (message.place > lostUntil) missed.set(message.place, message)
  }

  await Promise.all(names.map((name, i) => meet(name, heads[i] as Place)))
  return { messages: [...missed.values()].sort((a, b) => a.place - b.place), losses, ends }
}

/** Messages and losses in the order of places. */
export function tellMissed(
  listener: Pick<StoreListener, 'storeOnMessages' | 'storeOnLoss'>,
  { messages, losses }: Missed,
  upTo: Place
): void {
  let told = 0
  for (const [place, channels] of channelsOf(losses)) {
    let next = told
    while ((messages[next]?.place ?? Infinity) <= place) next++
    listener.storeOnMessages(messages.slice(told, next), place)
    listener.storeOnLoss(channels, place)
    told = next
  }
  listener.storeOnMessages(messages.slice(told), upTo)
}

/** By the places until which they have lost something, in order. */
function channelsOf(losses: ReadonlyMap<string, Place>): [Place, string[]][] {
  const channels = new Map<Place, string[]>()
  for (const [name, place] of losses) {
    const others = channels.get(place)
    if (others === undefined) channels.set(place, [name])
    else others.push(name)
  }
  return [...channels].sort(([a], [b]) => a - b)
}
