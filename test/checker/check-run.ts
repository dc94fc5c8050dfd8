import { ChannelPlaces } from './channel-places.ts'
import { ConnectionCheck } from './connection-check.ts'
import type { ChannelLog, RunLog } from './run-log.ts'
import type { Violation } from './violation.ts'

/** Judges a run by what was written down of it. A run without violations gives none. */
export function checkRun(run: RunLog): readonly Violation[] {
  const places = new Map(run.channels.map((log) => [log.name, new ChannelPlaces(log)]))
  const violations: Violation[] = []
  for (const log of run.channels) violations.push(...checkPublishers(log))
  for (const connections of run.clients) {
    for (const [number, connection] of connections.entries()) {
      violations.push(...new ConnectionCheck(run, connection, number, places).check())
    }
  }
  return [...violations, ...checkSamples(run), ...checkLeftovers(run)]
}

/** A message that was acknowledged before another was sent is before it, and no cursor is given twice. */
function checkPublishers({ name, messages }: ChannelLog): Violation[] {
  const violations: Violation[] = []
  const cursors = new Set<string>()
  let latestSentAt = -Infinity
  for (const { cursor, sentAt, acknowledgedAt = Infinity } of messages) {
    if (cursors.has(cursor))
      violations.push({ kind: 'duplicate', text: `${name}: ${cursor} was given twice` })
    cursors.add(cursor)
    if (acknowledgedAt < latestSentAt) {
      violations.push({ kind: 'order', text: `${name}: ${cursor} is behind what was sent after it` })
    }
    latestSentAt = Math.max(latestSentAt, sentAt)
  }
  return violations
}

function checkSamples({ samples }: RunLog): Violation[] {
  return samples
    .filter(({ value, bound }) => value > bound)
    .map(({ name, value, bound }) => ({ kind: 'memory', text: `${name}: ${value}, at most ${bound}` }))
}

function checkLeftovers({ leftovers }: RunLog): Violation[] {
  return Object.entries(leftovers)
    .filter(([, count]) => count !== 0)
    .map(([name, count]) => ({ kind: 'leftover', text: `${name}: ${count}` }))
}
