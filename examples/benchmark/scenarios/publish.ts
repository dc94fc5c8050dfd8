import { setTimeout as sleep } from 'node:timers/promises'
import type { ChannelContestantName } from '../servers/channel-main.ts'
import { assertDelivered } from './delivery.ts'
import { type Context, compare, pairedRounds, pick, type Row, type Scenario } from './scenario.ts'

const CHANNELS = [10, 100, 1_000, 10_000]
const PUBLISHES = 100_000
const CHANNELS_PER_TURN = 10
const DATA_BYTES = 100
const SETTLE_MS = 200
const MAX_GROWTH = 1.25

/** Microseconds per publish. */
interface Cost {
  /** Server CPU until delivered. */
  delivered: number
  /** The call of `publish()` alone. */
  call: number
}

async function measureOnce(
  context: Context,
  contestant: ChannelContestantName,
  channels: number
): Promise<Cost> {
  const options = { channels, channelsPerTurn: CHANNELS_PER_TURN, dataBytes: DATA_BYTES }
  return context.withChannelServer({ contestant, channels }, async ({ port, child }, client) => {
    await client.call('open', { port, count: channels })
    await sleep(SETTLE_MS)
    await publish()
    return publish()

    async function publish(): Promise<Cost> {
      const { events } = await client.call('totals')
      await child.call('collectGarbage')
      const before = await child.call('cpu')
      const publishMs = await child.call('spread', { ...options, turns: PUBLISHES / CHANNELS_PER_TURN })
      const received = await client.call('receive', { events: events + PUBLISHES })
      await sleep(SETTLE_MS)
      const used = (await child.call('cpu')) - before
      assertDelivered(context, contestant, received.events - events - PUBLISHES)
      return { delivered: used / PUBLISHES, call: (publishMs * 1_000) / PUBLISHES }
    }
  })
}

async function run(context: Context): Promise<Row[]> {
  const most = context.streams(context.count ?? Math.max(...CHANNELS))
  const counts = [...CHANNELS.filter((count) => count < most), most].reverse()
  const names = counts.map(nameOf)
  const [largest = '', smallest = ''] = [names[0], names.at(-1)]
  const ours = await pairedRounds(context.rounds, names, (name) =>
    measureOnce(context, 'ours', countOf(name))
  )
  const bare = await pairedRounds(context.rounds, [largest, smallest], (name) =>
    measureOnce(context, 'bare socket.write', countOf(name))
  )
  const measure = (text: string) => ({ measure: text, unit: 'µs' })
  return [
    ...compare(
      measure('server CPU per publish until delivered'),
      pick(ours, ({ delivered }) => delivered),
      { [smallest]: MAX_GROWTH },
      largest
    ),
    ...compare(
      measure('publish() itself'),
      pick(ours, ({ call }) => call),
      {},
      largest
    ),
    ...compare(
      measure('server CPU of a bare socket.write instead'),
      pick(bare, ({ delivered }) => delivered),
      {},
      largest
    )
  ]
}

function nameOf(channels: number): string {
  return `${channels} channels`
}

function countOf(name: string): number {
  return Number.parseInt(name, 10)
}

export const publish: Scenario = {
  name: 'publish',
  about: `${PUBLISHES} messages, ${CHANNELS_PER_TURN} per turn, spread over channels of one connection each`,
  run
}
