import { FILTERS } from '../filters.ts'
import { MemoryRetention } from '../memory-retention.ts'
import { NOT_YET, tells } from '../not-yet.ts'
import { bytesOnWire, payloadOf } from '../payload.ts'
import type { ConnectionLog, Published, RunLog } from '../run-log.ts'
import type { Client } from './client.ts'
import type { ClientStream } from './client-stream.ts'
import type { ConnectionLine, Line, PublishLine } from './line.ts'
import { CHANNELS } from './setup.ts'

/** What the server's process printed and what the clients received, as one log. */
export function joinLogs(output: string, clients: readonly Client[]): RunLog {
  const lines = linesOf(output)
  const messages = ofKind(lines, 'publish')
    .sort((a, b) => a.number - b.number)
    .map(publishedOf)
  const connections = new Map(
    ofKind(lines, 'connection').map((line) => [`${line.client} ${line.connection}`, line])
  )
  const [end] = ofKind(lines, 'end')
  return {
    channels: CHANNELS.map(({ name, slow, afterGap }) => ({ name, slow, afterGap, forgottenAt: [] })),
    messages,
    clients: clients.map((client) =>
      client.streams.flatMap((stream) =>
        connectionLog(client, stream, connections.get(`${client.number} ${stream.number}`))
      )
    ),
    retention: new MemoryRetention(messages, limitsOf, (moment) => moment, true),
    isExact: true,
    notYet: NOT_YET,
    samples: ofKind(lines, 'sample'),
    leftovers: end?.leftovers ?? { 'words of the server on its end': -1 }
  }
}

function linesOf(output: string): Line[] {
  const lines = output.split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line) as Line)
}

function ofKind<Kind extends Line['kind']>(
  lines: readonly Line[],
  kind: Kind
): Extract<Line, { kind: Kind }>[] {
  return lines.filter((line): line is Extract<Line, { kind: Kind }> => line.kind === kind)
}

function publishedOf(line: PublishLine): Published {
  const { channel, number, size, event, key, id, sentAt, acknowledgedAt } = line
  const name = CHANNELS[channel]?.name ?? ''
  const data = payloadOf(name, number, size)
  return {
    channels: [name],
    id,
    event,
    data,
    key,
    byteLength: bytesOnWire(event, data),
    sentAt,
    acknowledgedAt
  }
}

/** Nothing, if the server never saw the request. */
function connectionLog(
  { number, subscriptions }: Client,
  { resumedFrom, receiver, hasCaughtUp, number: connection }: ClientStream,
  line: ConnectionLine | undefined
): ConnectionLog[] {
  const { received, refusal } = receiver
  if (line === undefined && received.length === 0 && refusal === undefined) return []
  if (line === undefined) throw new Error(`no word of the server on connection ${connection} of ${number}`)
  const { sent, gaps, stood, refused, closedAt } = line
  return [
    {
      client: `client ${number}`,
      resumedFrom,
      subscriptions: line.subscriptions.map(({ startedAt, endedAt }, index) => {
        const { channel = 0, from = 'now', resume = true, filter = 'all' } = subscriptions[index] ?? {}
        const name = CHANNELS[channel]?.name ?? ''
        return {
          channel: name,
          from,
          resumes:
            resume && (!NOT_YET.has('other channels') || tells(resumedFrom, name, subscriptions.length)),
          startedAt,
          endedAt,
          filter: FILTERS[filter]
        }
      }),
      received,
      sent,
      gaps,
      refusal,
      stood,
      refused,
      closedAt,
      hasCaughtUp
    }
  ]
}

function limitsOf(name: string) {
  const limits = CHANNELS.find((channel) => channel.name === name)?.limits
  if (limits === undefined) throw new Error(`no channel ${name}`)
  return limits
}
