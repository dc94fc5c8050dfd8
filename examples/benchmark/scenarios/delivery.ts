import { setTimeout as sleep } from 'node:timers/promises'
import type { ChannelContestantName } from '../servers/channel-main.ts'
import type { BroadcastOptions } from '../servers/channels/workloads.ts'
import type { CpuParts } from '../servers/vitals.ts'
import { type ChannelServer, type Client, type Context, compare, OURS, pick, type Row } from './scenario.ts'

const SETTLE_MS = 200
const AFTERMATH_MS = 10

/** Who is measured, and with how many streams. */
export interface Delivery {
  readonly contestant: ChannelContestantName
  readonly server: ChannelServer
  readonly client: Client
  readonly connections: number
}

/** Microseconds of server CPU per delivery: one message to one connection. */
export interface Cost {
  readonly all: number
  /** Without what the operating system took, which nobody can save who writes as often. */
  readonly user: number
  /** What that took. */
  readonly system: number
}

export interface Batches {
  readonly warmUps: number
  readonly measured: number
}

/** Sends batches, after each of which everyone waits until the client has everything, so that nothing piles up. */
export async function deliverBatches(
  context: Context,
  delivery: Delivery,
  options: BroadcastOptions,
  { warmUps, measured }: Batches
): Promise<Cost> {
  await sleep(SETTLE_MS)
  for (let i = 0; i < warmUps; i++) await deliver(context, delivery, options)
  await delivery.server.child.call('collectGarbage')
  let userUs = 0
  let systemUs = 0
  for (let i = 0; i < measured; i++) {
    const used = await deliver(context, delivery, options)
    userUs += used.userUs
    systemUs += used.systemUs
  }
  const deliveries = delivery.connections * options.turns * options.messagesPerTurn * measured
  return { all: (userUs + systemUs) / deliveries, user: userUs / deliveries, system: systemUs / deliveries }
}

/** The rows of what deliveries cost. */
export function costRows<Name extends string>(
  results: ReadonlyMap<Name, readonly Cost[]>,
  where: string,
  limits: Partial<Record<Name, number>>,
  ours: string = OURS
): Row[] {
  const measure = `server CPU per delivery${where}`
  return [
    ...compare(
      { measure, unit: 'µs' },
      pick(results, ({ all }) => all),
      limits,
      ours
    ),
    ...compare(
      { measure: `${measure}, outside of the kernel`, unit: 'µs' },
      pick(results, ({ user }) => user),
      {},
      ours
    )
  ]
}

/** Lets the server send, and waits until the client has everything. @returns the CPU that the server used. */
async function deliver(
  context: Context,
  { contestant, server: { child }, client, connections }: Delivery,
  options: BroadcastOptions
): Promise<CpuParts> {
  const deliveries = connections * options.turns * options.messagesPerTurn
  const { events } = await client.call('totals')
  const before = await child.call('cpuParts')
  await child.call('broadcast', options)
  await client.call('receive', { events: events + deliveries })
  await sleep(AFTERMATH_MS)
  const after = await child.call('cpuParts')
  const received = (await client.call('totals')).events - events
  assertDelivered(context, contestant, received - deliveries)
  return { userUs: after.userUs - before.userUs, systemUs: after.systemUs - before.systemUs }
}

/** Of ours exactly what was published must arrive; what others do is noted. */
export function assertDelivered(context: Context, contestant: string, surplus: number): void {
  if (surplus === 0) return
  const text = `${contestant} delivered ${Math.abs(surplus)} messages too ${surplus > 0 ? 'many' : 'few'}`
  if (contestant.startsWith(OURS)) throw new Error(text)
  context.note(text)
}
