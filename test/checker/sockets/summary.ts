import type { RunLog } from '../run-log.ts'

/** How much happened in a run. */
export function summaryOf(run: RunLog) {
  const connections = run.clients.flat()
  const count = (reason: string): number =>
    sum(connections, ({ gaps }) => (gaps ?? []).filter((gap) => gap.reason === reason).length)
  return {
    published: run.messages.length,
    connections: connections.length,
    resumed: connections.filter(({ resumedFrom }) => resumedFrom !== undefined).length,
    received: sum(connections, ({ received }) => received.length),
    sent: sum(connections, ({ sent }) => sent.length),
    expired: count('expired'),
    slow: count('slow'),
    unknown: count('unknown'),
    uncertain: count('uncertain'),
    waited: connections.filter(({ waits, settledAt = 0 }) => waits && settledAt < Infinity).length,
    memberships: sum(connections, ({ subscriptions }) => subscriptions.length),
    stood: sum(connections, ({ stood }) => stood.length),
    refused: sum(connections, ({ refused }) => refused.length)
  }
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0)
}
