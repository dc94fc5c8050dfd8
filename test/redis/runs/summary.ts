import { groupBy } from '../../checker/group-by.ts'
import { EVENTS } from '../../checker/run-log.ts'
import type { NameLog, RunsLog } from '../../checker/runs/runs-log.ts'

/** How much happened. */
export function summaryOf({ names, outages, leaseMs }: RunsLog): Record<string, unknown> {
  const lives = names.flatMap((name) => name.lives)
  const ends = lives.flatMap(({ messages }) => messages).filter(({ end }) => end !== undefined)
  const byState = groupBy(ends, ({ end }) => end?.state ?? '')
  const connections = names.flatMap(({ readers }) => readers.flat())
  const received = connections.flatMap((connection) => connection.received)
  const lostAfter = names.flatMap((name) => lostAfterMs(name, outages)).sort((a, b) => a - b)
  const stopped = names.flatMap(stoppedAfterMs).sort((a, b) => a - b)
  return {
    names: names.length,
    started: lives.length,
    ...Object.fromEntries([...byState].map(([state, { length }]) => [state, length])),
    calls: names.flatMap(({ calls }) => calls).length,
    messages: lives.flatMap(({ messages }) => messages).length,
    readers: names.flatMap(({ readers }) => readers).length,
    connections: connections.length,
    received: received.filter(({ event }) => event === 'token' || event === 'end').length,
    gaps: received.filter(({ event }) => event === EVENTS.gap).length,
    stops: names.flatMap(({ stops }) => stops).length,
    stoppedAfterMs: { p50: percentile(stopped, 0.5), p99: percentile(stopped, 0.99) },
    leaseMs,
    lostAfterMs: { p50: percentile(lostAfter, 0.5), max: percentile(lostAfter, 1) }
  }
}

/** From the moment at which its server was struck. */
function lostAfterMs({ lives, calls }: NameLog, outages: RunsLog['outages']): number[] {
  return lives.flatMap(({ begunAt, messages }) => {
    const lost = messages.find(({ end }) => end?.state === 'lost')
    const server = calls.find(({ source }) => source === messages[0]?.source)?.server
    const outage = outages.findLast(
      (one) => lost !== undefined && one.server === server && one.from <= lost.at
    )
    return lost === undefined || outage === undefined ? [] : [lost.at - Math.max(outage.from, begunAt)]
  })
}

function stoppedAfterMs({ lives, stops }: NameLog): number[] {
  return lives.flatMap(({ messages }) =>
    messages.flatMap(({ at, end }) => {
      const stop = end?.state === 'stopped' && stops.find(({ reason }) => reason === end.reason)
      return stop ? [at - stop.askedAt] : []
    })
  )
}

function percentile(sorted: readonly number[], share: number): number | undefined {
  const value = sorted[Math.ceil(sorted.length * share) - 1]
  return value === undefined ? undefined : Math.round(value)
}
