import { serve } from '../process/rpc.ts'
import { type Contestant, portOf, type StartContestant, type Stream } from './contestant.ts'
import { type Audit, audit, collectGarbage, cpu, type Memory, memory, watchResources } from './vitals.ts'
import {
  type FloodOptions,
  type FloodResult,
  flood,
  longestStall,
  type ShutdownOptions,
  type ShutdownResult,
  type StallOptions,
  shutdown,
  type UnicastOptions,
  unicast
} from './workloads.ts'

/** Each is loaded only where it runs. A peer is added here and in the scenarios that it takes part in. */
const CONTESTANTS = {
  ours: () => import('./ours.ts'),
  'ours, subscribed': () => import('./ours-subscribed.ts'),
  'bare node:http': () => import('./node-http.ts'),
  'bare socket.write': () => import('./socket-write.ts'),
  'bare Fastify, hijacked': () => import('./fastify-hijack.ts'),
  '@fastify/sse': () => import('./fastify-sse.ts'),
  'fastify-sse-v2': () => import('./fastify-sse-v2.ts'),
  'better-sse': () => import('./better-sse.ts')
} satisfies Record<string, () => Promise<{ start: StartContestant }>>

export type ContestantName = keyof typeof CONTESTANTS

export interface ListenOptions {
  contestant: ContestantName
  /** Keeps the streams for the workloads. */
  keepStreams?: boolean
  watchResources?: boolean
}

const streams: Stream[] = []
let isKeeping = false
let contestant: Contestant | undefined

function running(): Contestant {
  if (contestant === undefined) throw new Error('listen() has not been called')
  return contestant
}

/** The server: what the runner may ask of it. */
const methods = {
  async listen({
    contestant: name,
    keepStreams,
    watchResources: isWatching
  }: ListenOptions): Promise<number> {
    if (isWatching) watchResources()
    isKeeping = keepStreams === true
    const { start } = await CONTESTANTS[name]()
    contestant = await start((stream) => {
      if (isKeeping) streams.push(stream)
    })
    await contestant.listen()
    return portOf(contestant)
  },
  keepStreams: (): void => {
    isKeeping = true
  },
  cpu: (): number => cpu(),
  collectGarbage: (): Promise<void> => collectGarbage(),
  memory: (): Promise<Memory> => memory(),
  audit: (): Audit => audit({ server: running().server }),
  connections: (): number | undefined => running().connections?.(),
  unicast: (options: UnicastOptions): Promise<void> => unicast(streams, options),
  async flood(options: FloodOptions): Promise<FloodResult> {
    const [stream] = streams
    if (stream === undefined) throw new Error('Nobody is connected')
    return flood(stream, options)
  },
  longestStall: (options: StallOptions): Promise<number> => longestStall(running(), options),
  shutdown: (options: ShutdownOptions): Promise<ShutdownResult> =>
    shutdown(streams, () => running().close(), options)
}

export type ServerMethods = typeof methods

serve(methods)
