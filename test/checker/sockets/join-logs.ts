import { FILTERS } from '../filters.ts'
import { MemoryRetention } from '../memory-retention.ts'
import { bytesOnWire, payloadOf } from '../payload.ts'
import type { ChannelLog, ConnectionLog, Published, RunLog } from '../run-log.ts'
import type { Client } from './client.ts'
import type { ClientStream } from './client-stream.ts'
import type { ConnectionLine, Line, PublishLine } from './line.ts'
import { CHANNELS } from './setup.ts'

/** What the server's process printed and what the clients received, as one log. */
export function joinLogs(
  output: string,
  clients: readonly Client[],
  ownLeftovers: Readonly<Record<string, number>>
): RunLog {
  const lines = linesOf(output)
  const channels = channelLogs(lines)
  const connections = new Map(
    ofKind(lines, 'connection').map((line) => [`${line.client} ${line.connection}`, line])
  )
  const [end] = ofKind(lines, 'end')
  return {
    channels,
    clients: clients.map((client) =>
      client.streams.flatMap((stream) =>
        connectionLog(client, stream, connections.get(`${client.number} ${stream.number}`))
      )
    ),
    retention: new MemoryRetention(channels, limitsOf, (moment) => moment, true),
    isExact: true,
    samples: ofKind(lines, 'sample'),
    leftovers: { ...ownLeftovers, ...(end?.leftovers ?? { 'words of the server on its end': -1 }) }
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

function channelLogs(lines: readonly Line[]): ChannelLog[] {
  const [start] = ofKind(lines, 'channels')
  const published = ofKind(lines, 'publish').sort((a, b) => a.number - b.number)
  return CHANNELS.map(({ name, slow, afterGap }, channel) => ({
    name,
    slow,
    afterGap,
    messages: published.filter((line) => line.channel === channel).map(publishedOf),
    epochs: [{ since: start?.since ?? 0, start: 0, origin: start?.origins[channel] }]
  }))
}

function publishedOf(line: PublishLine): Published {
  const { channel, number, size, event, key, cursor, sentAt, acknowledgedAt } = line
  const data = payloadOf(CHANNELS[channel]?.name ?? '', number, size)
  return { cursor, event, data, key, byteLength: bytesOnWire(event, data), sentAt, acknowledgedAt }
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
      subscriptions: line.subscriptions.map(({ starts, endedAt }, index) => {
        const { channel = 0, from = 'now', resume = true, filter = 'all' } = subscriptions[index] ?? {}
        const name = CHANNELS[channel]?.name ?? ''
        return {
          channel: name,
          from,
          resumes: resume,
          leftAt: endedAt,
          starts,
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
