import { subscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import Fastify from 'fastify'
import eventStream, {
  type AnyConnection,
  type ChannelOptions,
  type GapAnswer,
  type GapEvent
} from '../../../lib/index.ts'
import { payloadOf } from '../payload.ts'
import { now } from './clock.ts'
import { print } from './line.ts'
import { ObservedStream } from './observed-stream.ts'
import { Publisher } from './publisher.ts'
import { Random } from './random.ts'
import { Sampler } from './sampler.ts'
import { CHANNELS, type ChannelSetup, LAST_SENT, MAX_TOTAL_BYTES } from './setup.ts'

const PERIOD_MS = 10

const random = new Random(Number(process.env.CHECK_SEED))
const streams = new Set<ObservedStream>()
const byConnection = new Map<AnyConnection, ObservedStream>()
let sent = 0
let telling: NodeJS.Timeout | undefined

const app = Fastify({ forceCloseConnections: true })
await app.register(eventStream, {
  heartbeatMs: 150,
  stallMs: 2_000,
  maxBufferedBytes: 262_144,
  history: { maxTotalBytes: MAX_TOTAL_BYTES },
  channels: {
    ...Object.fromEntries(CHANNELS.map((setup) => [setup.name, optionsOf(setup)]))
  }
})
const publisher = new Publisher(app.sse, random)
const sampler = new Sampler(app.sse, publisher, streams)

app.get<{ Querystring: { client: string; connection: string; subscriptions: string } }>(
  '/',
  async ({ query }, reply) => {
    const { client, connection, subscriptions } = query
    const stream = new ObservedStream(reply, Number(client), Number(connection), JSON.parse(subscriptions))
    hold(stream)
    await stream.handle()
  }
)
app.post('/stop', async () => stop())
app.post('/end/:parity', async (request) => {
  const { parity } = request.params as { parity: string }
  while (!(await sampler.look()));
  sampler.stop()
  clearInterval(telling)
  for (const stream of streams) if (stream.client % 2 === Number(parity)) stream.close()
  setImmediate(() => void leave())
})

subscribe('fastify-eventstream:gap', (event) => {
  const { connection, channel, reason } = event as GapEvent
  byConnection.get(connection)?.gaps.push({ channel, reason, at: now() })
})

/** Small buffers of the operating system, unlike those of TCP. */
const local = createServer({ allowHalfOpen: true }, (socket: Socket) => app.server.emit('connection', socket))
local.listen(process.env.SOCKET_PATH)
await once(local, 'listening')
const url = await app.listen({ port: 0, host: '127.0.0.1' })
const meddling = setInterval(meddle, PERIOD_MS)
publisher.start()
sampler.start(Number(process.env.WARM_UP_MESSAGES))
process.stdout.write(`${url}\n`)

function hold(stream: ObservedStream): void {
  const { connection } = stream
  streams.add(stream)
  byConnection.set(connection, stream)
  void connection.closed.then(() => {
    streams.delete(stream)
    byConnection.delete(connection)
    print(stream.line())
  })
}

/** What applications do to single streams. */
function meddle(): void {
  const [stream] = [...streams].slice(random.integer(0, Math.max(0, streams.size - 1)))
  if (stream === undefined) return
  const chance = random.next()
  const index = random.integer(0, CHANNELS.length - 1)
  if (chance < 0.5) stream.send(payloadOf('sent', sent++, random.magnitude(10, 2_000)))
  else if (chance < 0.65) stream.unsubscribe(index)
  else if (chance < 0.9) stream.subscribeAgain(index, random.pick('end', 'now', 'oldest'))
  else if (chance < 0.97) stream.join(index, random.pick('oldest', 'now'))
  else if (chance < 0.99) stream.close()
  else stream.connection.destroy()
}

/** No more is published, and everybody is told. */
async function stop(): Promise<void> {
  publisher.stop()
  clearInterval(meddling)
  while (publisher.unsettled > 0) await sleep(1)
  telling = setInterval(tellLast, PERIOD_MS)
}

/** That comes after all that was published. */
function tellLast(): void {
  for (const stream of streams) if (stream.isSettled && !stream.hasSent(LAST_SENT)) stream.send(LAST_SENT)
}

async function leave(): Promise<void> {
  while (streams.size > 0 || (await openSockets()) > 0) await sleep(1)
  const { connections, subscriptions, channels } = app.sse.stats()
  const sockets = await openSockets()
  local.close()
  await app.close()
  const frames = (await sampler.kept()).reduce((sum, count) => sum + count, 0)
  const leftovers = { connections, subscriptions, channels, sockets, 'frames of a closed history': frames }
  const own = { streams: streams.size, 'unsettled publishes': publisher.unsettled }
  print({ kind: 'end', leftovers: { ...leftovers, ...own } })
}

async function openSockets(): Promise<number> {
  const counts = [app.server, local].map(
    (server) =>
      new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count ?? 0)))
  )
  const [tcp = 0, unix = 0] = await Promise.all(counts)
  return tcp + unix
}

function optionsOf({ limits, slow, afterGap, onGap }: ChannelSetup): ChannelOptions {
  const options = { ...limits, slow, afterGap }
  if (onGap === 'none') return options
  const answer = (gap: object): GapAnswer => [
    { event: 'gap', data: { ...gap, hasMore: true } },
    { event: 'gap', data: gap }
  ]
  if (onGap === 'answers') return { ...options, onGap: answer }
  return {
    ...options,
    onGap: (gap, { connection }) => byConnection.get(connection)?.answerLater(answer(gap))
  }
}
