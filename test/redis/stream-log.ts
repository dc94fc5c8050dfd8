import type { Moment, Published } from '../checker/run-log.ts'
import { compareEntries, msOf } from './entry-id.ts'

/**
 * The time in which a channel's stream only grew. The next epoch begins when Redis has forgotten something: in a
 * failover, in a restart, or because somebody deleted the stream.
 */
export interface Epoch {
  readonly since: Moment
  /** The newest id that was there when it began; `''` if there was none. */
  readonly last: string
}

/** What is in one channel's stream at the end of a run, and what happened to it. */
export interface StreamLog {
  readonly name: string
  /** At least so many messages are kept, as long as Redis forgets nothing. */
  readonly maxLength: number
  /** The first begins at 0. */
  readonly epochs: readonly Epoch[]
  /** All messages that are left. */
  readonly entries: readonly Sighting[]
}

/** What its publisher knows of a message. Every message has other data. */
export interface Attempt {
  readonly channel: string
  readonly data: string
  readonly sentAt: Moment
  /** `failed`: it was certainly not published. `unconfirmed`: it may have been. `pending`: `publish()` has not settled. */
  readonly outcome: 'acknowledged' | 'failed' | 'unconfirmed' | 'pending'
  /** `''` if it was not acknowledged. */
  readonly id: string
  readonly settledAt: Moment
}

/** An entry as somebody saw it. */
export interface Sighting {
  readonly id: string
  readonly data: string
}

/** The messages of a channel in the order of its stream, each as often as it was there. */
export function publishedIn(
  { name, epochs, entries }: StreamLog,
  attempts: readonly Attempt[],
  seen: readonly Sighting[]
): readonly Published[] {
  const byData = new Map(attempts.map((attempt) => [attempt.data, attempt]))
  const acknowledged = attempts.filter(({ id }) => id !== '')
  const all = new Map([...seen, ...entries, ...acknowledged].map((one) => [`${one.id} ${one.data}`, one]))
  const known = new Set<string>()
  return [...all.values()]
    .sort((a, b) => compareEntries(a.id, b.id))
    .map(({ id, data }) => {
      const attempt = byData.get(data)
      const isAgain = known.has(data)
      known.add(data)
      const lostAt = lossOf(id, epochs)
      return {
        channels: [name],
        id,
        event: 'message',
        data,
        key: '',
        byteLength: 0,
        sentAt: isAgain ? msOf(id) : (attempt?.sentAt ?? msOf(id)),
        acknowledgedAt: attempt?.id === id ? attempt.settledAt : undefined,
        isRefused: attempt?.outcome === 'failed',
        ...(lostAt !== undefined && { lostAt })
      }
    })
}

/** When Redis forgot an entry. */
function lossOf(id: string, epochs: readonly Epoch[]): Moment | undefined {
  const later = epochs.filter(({ since }) => since > msOf(id))
  return later.find(({ last }) => last === '' || compareEntries(id, last) > 0)?.since
}
