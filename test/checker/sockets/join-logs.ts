import { MemoryRetention } from '../memory-retention.ts'
import { bytesOnWire, payloadOf } from '../payload.ts'
import type { ConnectionLog, Published, Received, RunLog, Standing } from '../run-log.ts'
import type { Client } from './client.ts'
import type { ClientStream } from './client-stream.ts'
import type { ConnectionLine, Line, PublishLine } from './line.ts'
import { CHANNELS, filterOf, MAX_TOTAL_BYTES, nameOf } from './setup.ts'

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
    clients: clients.map(({ number, streams }) =>
      streams.flatMap((stream) =>
        connectionLog(number, stream, connections.get(`${number} ${stream.number}`))
      )
    ),
    retention: new MemoryRetention(messages, limitsOf, (moment) => moment, true),
    isExact: true,
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

function publishedOf({ channels, number, size, ...line }: PublishLine): Published {
  const names = channels.map(nameOf)
  const data = payloadOf(names.join('+'), number, size)
  return { ...line, channels: names, data, byteLength: bytesOnWire(line.event, data) }
}

/** Nothing, if the server never saw the request. */
function connectionLog(
  client: number,
  { resumedFrom, receiver, hasCaughtUp, number }: ClientStream,
  line: ConnectionLine | undefined
): ConnectionLog[] {
  const { received, refusal } = receiver
  if (line === undefined && received.length === 0 && refusal === undefined) return []
  if (line === undefined) throw new Error(`no word of the server on connection ${number} of ${client}`)
  const { subscriptions, settledAt = Infinity, writes, closedAt } = line
  return [
    {
      ...line,
      client: `client ${client}`,
      resumedFrom,
      subscriptions: subscriptions.map((subscription) => ({
        ...subscription,
        endedAt: subscription.endedAt,
        channel: nameOf(subscription.channel),
        filter: filterOf(client, subscription.channel)
      })),
      settledAt,
      received: [...written(received, writes)],
      refusal,
      closedAt,
      hasCaughtUp
    }
  ]
}

/** With the moments at which they were written. */
function* written(received: readonly Received[], writes: readonly Standing[]): Generator<Received> {
  let index = 0
  for (const block of received) {
    while ((writes[index]?.bytes ?? Infinity) <= block.start) index++
    const write = writes[index]
    if (write === undefined) throw new Error(`the server has not written ${block.start} bytes`)
    yield { ...block, at: write.at }
  }
}

function limitsOf(name: string) {
  const limits = CHANNELS.find((channel) => channel.name === name)?.limits
  if (limits === undefined) throw new Error(`no channel ${name}`)
  return { ...limits, maxTotalBytes: MAX_TOTAL_BYTES }
}
