import { cursorFor } from '../checker/received-id.ts'
import { ChannelTruth } from './channel-truth.ts'
import { checkClient, type Seen } from './client-check.ts'
import { excerpt } from './excerpt.ts'
import { compare } from './places.ts'
import type { Attempt, RunLog } from './run-log.ts'
import type { Violation } from './violation.ts'

/**
 * Judges a run by what was written down of it. Every message that is in a channel's stream comes to every client once
 * and in order, or the client is told a gap. A client at a place that Redis has lost is told; one that had not seen what
 * was lost is not, and goes on.
 */
export function judge(run: RunLog): readonly Violation[] {
  const seen = seenIn(run)
  const truths = new Map(run.channels.map((log) => [log.name, truthOf(log.name, run, seen)]))
  return [
    ...run.attempts.flatMap((attempt) => checkAttempt(attempt, seen, truths.get(attempt.channel))),
    ...run.channels.flatMap(({ name }) => checkOrder(name, run.attempts)),
    ...checkIds(seen),
    ...run.clients.flatMap((client) => checkClient(client, truths, seen)),
    ...checkLeftovers(run)
  ]
}

/** Under which ids publishers and clients saw each message. */
function seenIn({ attempts, clients }: RunLog): Seen {
  const byData = new Map(attempts.map((attempt) => [attempt.data, { attempt, ids: new Set<string>() }]))
  for (const { data, id } of attempts) if (id !== '') byData.get(data)?.ids.add(id)
  for (const { data, id, event } of clients.flatMap(({ blocks }) => blocks)) {
    const found = event === 'message' ? byData.get(data) : undefined
    const cursor = found && cursorFor(found.attempt.channel, id)
    if (cursor !== undefined) found?.ids.add(cursor)
  }
  return byData
}

function truthOf(name: string, { channels, attempts }: RunLog, seen: Seen): ChannelTruth {
  const log = channels.find((channel) => channel.name === name)
  if (log === undefined) throw new Error(`no log of the channel ${name}`)
  const all = [...seen.values()].filter(({ attempt }) => attempt.channel === name)
  const ids = new Set([...all.flatMap((message) => [...message.ids]), ...log.entries])
  const unconfirmed = attempts.filter(({ channel, outcome }) => channel === name && outcome === 'unconfirmed')
  return new ChannelTruth(log, ids, unconfirmed.length)
}

function checkAttempt(
  { data, outcome, channel }: Attempt,
  seen: Seen,
  truth: ChannelTruth | undefined
): Violation[] {
  const ids = [...(seen.get(data)?.ids ?? [])].sort(compare)
  const text = `${channel}: ${excerpt(data)}`
  if (outcome === 'pending') return [{ kind: 'hang', text: `${text} was neither published nor refused` }]
  if (outcome === 'failed' && ids.length > 0) {
    return [{ kind: 'phantom', text: `${text} came as ${ids}, although its publisher was told it failed` }]
  }
  return ids.flatMap((id, i): Violation[] => {
    const next = ids[i + 1]
    if (next === undefined || truth === undefined || !truth.isIn(id, truth.bornIn(next))) return []
    return [{ kind: 'duplicate', text: `${text} is in the stream twice, as ${id} and ${next}` }]
  })
}

/** What was acknowledged before something else was sent comes before it. */
function checkOrder(name: string, attempts: readonly Attempt[]): Violation[] {
  const violations: Violation[] = []
  let latest: Attempt | undefined
  const published = attempts.filter(({ channel, id }) => channel === name && id !== '')
  for (const attempt of published.sort((a, b) => compare(a.id, b.id))) {
    if (latest !== undefined && attempt.settledAt < latest.sentAt) {
      const text = `${name}: ${attempt.id} is behind ${latest.id}, which was sent after it was there`
      violations.push({ kind: 'order', text })
    }
    if (latest === undefined || latest.sentAt < attempt.sentAt) latest = attempt
  }
  return violations
}

/** No id is given to two messages of a channel. */
function checkIds(seen: Seen): Violation[] {
  const known = new Map<string, string>()
  const violations: Violation[] = []
  for (const [data, { attempt, ids }] of seen) {
    for (const id of ids) {
      const key = `${attempt.channel} ${id}`
      const other = known.get(key)
      if (other !== undefined) {
        violations.push({ kind: 'payload', text: `${key} is ${excerpt(other)} and ${excerpt(data)}` })
      }
      known.set(key, data)
    }
  }
  return violations
}

function checkLeftovers({ leftovers }: RunLog): Violation[] {
  return Object.entries(leftovers)
    .filter(([, count]) => count !== 0)
    .map(([name, count]) => ({ kind: 'hang', text: `${name}: ${count}` }))
}
