import { commonPlace, excerptOf } from './channel-check.ts'
import { ChannelMessages } from './channel-messages.ts'
import { ConnectionCheck, type Knowledge, type Standpoint } from './connection-check.ts'
import { groupBy } from './group-by.ts'
import type { ConnectionLog, Moment, Published, RunLog } from './run-log.ts'
import { sentUntilOf } from './sent-until.ts'
import type { Violation } from './violation.ts'

/**
 * Judges a run by what was written down of it: every message of a channel comes to each of its subscribers once and in the
 * order of publishing, or a gap is told; a client that comes back goes on at the block whose id it brought. Ids are opaque.
 *
 * @returns nothing of a run without violations.
 */
export function judge(run: RunLog): readonly Violation[] {
  return [...checkMessages(run), ...checkConnections(run), ...checkSamples(run), ...checkLeftovers(run)]
}

/** What was acknowledged before another was sent is before it; nothing is there twice, and no id is given twice. */
function checkMessages({ messages }: RunLog): Violation[] {
  return [...checkCopies(messages), ...checkOrder(messages), ...checkIds(messages)]
}

function checkCopies(messages: readonly Published[]): Violation[] {
  return [...groupBy(messages, ({ data }) => data).values()].flatMap((copies) =>
    copies.slice(1).flatMap((copy, i): Violation[] => {
      const { lostAt = Infinity, mayBeLostAt = lostAt } = copies[i] ?? {}
      const wasLost = copy.sentAt >= mayBeLostAt
      return wasLost ? [] : [{ kind: 'duplicate', text: `${excerptOf(copy)} was published twice` }]
    })
  )
}

function checkOrder(messages: readonly Published[]): Violation[] {
  const violations: Violation[] = []
  let latestSentAt = -Infinity
  for (const message of messages) {
    const { sentAt, acknowledgedAt = Infinity, lostAt, mayBeLostAt = lostAt } = message
    // Two stores that had the history for a while had an order each.
    if (mayBeLostAt !== lostAt) continue
    if (acknowledgedAt < latestSentAt) {
      violations.push({ kind: 'order', text: `${excerptOf(message)} is behind what was sent after it` })
    }
    latestSentAt = Math.max(latestSentAt, sentAt)
  }
  return violations
}

function checkIds(messages: readonly Published[]): Violation[] {
  const known = new Map<string, Published>()
  return messages.flatMap((message): Violation[] => {
    const { id } = message
    const other = id === '' ? undefined : known.get(id)
    known.set(id, message)
    if (other === undefined) return []
    return [{ kind: 'duplicate', text: `${excerptOf(message)} and ${excerptOf(other)} are both ${id}` }]
  })
}

/** In the order of their beginning: who comes back with an id was told it before. */
function checkConnections(run: RunLog): Violation[] {
  const knowledge = knowledgeOf(run)
  const numbered = run.clients.flatMap((connections) => connections.map((log, number) => ({ log, number })))
  const startOf = ({ subscriptions, received }: ConnectionLog): Moment =>
    Math.min(Infinity, ...subscriptions.map(({ startedAt }) => startedAt), received[0]?.at ?? Infinity)
  const sorted = numbered
    .map((connection) => ({ ...connection, start: startOf(connection.log) }))
    .sort((a, b) => (a.start === b.start ? 0 : a.start - b.start))
  return sorted.flatMap(({ log, number }) => new ConnectionCheck(knowledge, log, number).check())
}

function knowledgeOf(run: RunLog): Knowledge {
  const { messages, clients } = run
  const channels = new Map(run.channels.map((log) => [log.name, new ChannelMessages(log, messages)]))
  const asRead = new Map(
    run.channels.map((log) => [
      log.name,
      new ChannelMessages({ ...log, slow: 'gap', afterGap: 'oldest' }, messages)
    ])
  )
  const byData = groupBy(messages, ({ data }) => data)
  const ranks = new Map(messages.map((message, rank) => [message, rank]))
  const asked = new Set(clients.flat().map(({ resumedFrom }) => resumedFrom))
  const standpoints = new Map<string, Standpoint>()
  const byId = new Map(messages.map((message) => [message.id, message]))
  /** Who comes back with what `publish()` gave stands right after that message. */
  const afterMessage = (id: string): Standpoint | undefined => {
    const message = byId.get(id)
    if (message === undefined) return undefined
    const rank = (ranks.get(message) ?? -1) + 1
    return { at: message.sentAt, places: new Map(), sharedPlaces: new Map(), fewest: rank, most: rank }
  }
  return {
    run,
    channels,
    asRead,
    ends: new Map(),
    messagesOf: (data) => byData.get(data) ?? [],
    rankOf: (message) => ranks.get(message) ?? -1,
    sentUntil: sentUntilOf(messages),
    standpointOf: (client, id) =>
      standpoints.get(`${client}\n${id}`) ?? standpoints.get(id) ?? afterMessage(id),
    isAskedFor: (id) => asked.has(id),
    note: (client, id, standpoint) => {
      const own = `${client}\n${id}`
      // The client could have been cut right then, whatever came later under the same id.
      if (!standpoints.has(own)) standpoints.set(own, standpoint)
      standpoints.set(id, commonStandpoint(standpoint, standpoints.get(id)))
    }
  }
}

/** Of what was told to several clients under one id, each knows a part. */
function commonStandpoint(one: Standpoint, other: Standpoint | undefined): Standpoint {
  const shared = new Map(one.sharedPlaces)
  for (const [name, place] of other?.sharedPlaces ?? [])
    shared.set(name, commonPlace(place, shared.get(name) ?? 'unknown'))
  return {
    at: Math.min(one.at, other?.at ?? Infinity),
    places: shared,
    sharedPlaces: shared,
    fewest: Math.max(one.fewest, other?.fewest ?? 0),
    most: Math.min(one.most, other?.most ?? Infinity),
    unsureFrom: one.unsureFrom ?? other?.unsureFrom,
    ...((one.channels ?? other?.channels) && { channels: one.channels ?? other?.channels ?? new Set() })
  }
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
