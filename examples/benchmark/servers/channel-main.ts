import { serve } from '../process/rpc.ts'
import {
  type ChannelContestant,
  type ChannelStartOptions,
  loopOver,
  type StartChannelContestant
} from './channels/contestant.ts'
import {
  type BroadcastOptions,
  broadcast,
  publishSteadily,
  publishTimes,
  type SpreadOptions,
  type SteadyOptions,
  type SteadyResult,
  spread
} from './channels/workloads.ts'
import { portOf } from './contestant.ts'
import { type CpuParts, collectGarbage, cpu, cpuParts, type Memory, memory } from './vitals.ts'
import { dataOf } from './workloads.ts'

/** Each is loaded only where it runs. A peer is added here and in the scenarios that it takes part in. */
const CONTESTANTS = {
  ours: async () => (await import('./channels/ours.ts')).start,
  'bare socket.write': async () => (await import('./channels/socket-write.ts')).start,
  'bare hand-coalesced': async () => (await import('./channels/socket-write.ts')).start,
  'bare response.write': async () => (await import('./channels/response-write.ts')).start,
  '@fastify/sse': async () => loopOver((await import('./fastify-sse.ts')).start),
  'fastify-sse-v2': async () => loopOver((await import('./fastify-sse-v2.ts')).start),
  'better-sse': async () => (await import('./channels/better-sse.ts')).start,
  'better-sse, batched': async () => (await import('./channels/better-sse.ts')).startBatching,
  Bun: async () => (await import('./channels/bun.ts')).start,
  'Bun, node:http': async () => (await import('./channels/response-write.ts')).start,
  'nginx with nchan': async () => (await import('./channels/nchan.ts')).start
} satisfies Record<string, () => Promise<StartChannelContestant>>

export type ChannelContestantName = keyof typeof CONTESTANTS

export interface ChannelListenOptions extends Partial<ChannelStartOptions> {
  contestant: ChannelContestantName
}

export interface Messages {
  messages: number
  dataBytes: number
}

let contestant: ChannelContestant | undefined

function running(): ChannelContestant {
  if (contestant === undefined) throw new Error('listen() has not been called')
  return contestant
}

/** A server that sends to many: what the runner may ask of it. */
const methods = {
  async listen({ contestant: name, ...options }: ChannelListenOptions): Promise<number> {
    const start = await CONTESTANTS[name]()
    contestant = await start({ channels: 1, channelsEach: 1, hasOwn: false, redisUrl: undefined, ...options })
    await contestant.listen()
    return portOf(contestant)
  },
  cpu: (): number => cpu(),
  cpuParts: (): CpuParts => running().cpuParts?.() ?? cpuParts(),
  collectGarbage: (): Promise<void> => collectGarbage(),
  memory: (): Promise<Memory> => memory(),
  stuck: (): number | undefined => running().stuck?.(),
  broadcast: (options: BroadcastOptions): Promise<void> => broadcast(running(), options),
  spread: (options: SpreadOptions): Promise<number> => spread(running(), options),
  publishSteadily: (options: SteadyOptions): Promise<SteadyResult> => publishSteadily(running(), options),
  /** In one turn, and without waiting for anything. */
  publish: ({ messages, dataBytes }: Messages): void => publishTimes(running(), dataOf(dataBytes), messages),
  keep: async ({ messages, dataBytes }: Messages): Promise<string | undefined> =>
    running().keep?.(dataOf(dataBytes), messages),
  cursors: async (count: number): Promise<string[] | undefined> => running().cursors?.(count)
}

export type ChannelMethods = typeof methods

serve(methods)
