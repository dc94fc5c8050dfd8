import type { Server } from 'node:http'
import type { Contestant, StartContestant, Stream } from '../contestant.ts'
import type { CpuParts } from '../vitals.ts'

export interface ChannelStartOptions {
  /** Streams are spread over so many channels, in the order in which they come. */
  channels: number
  /** How many of them each stream of ours has. */
  channelsEach: number
  /** Whether each stream also has a channel of its own, to which nothing is published. */
  hasOwn: boolean
  /** Where ours keeps messages, if not in memory. */
  redisUrl: string | undefined
}

/** A server whose streams get what is published. It adds nothing to what the contestant itself does. */
export interface ChannelContestant extends Omit<Contestant, 'server'> {
  readonly server: Pick<Server, 'address'>
  /** Sends one message to all streams of a channel, the way the contestant's README does. */
  publish(data: string, channel: number): void
  /** Sends so many messages in one turn, where that is more than a loop over `publish()`. */
  publishTimes?(data: string, times: number): void
  /** Resolves when what was published has been written, where that is not so by the next turn. */
  written?(): Promise<void>
  /** Keeps so many messages for each client that comes back. @returns the id that these bring. */
  keep?(data: string, messages: number): Promise<string>
  /** Ids that were told, each once, of messages that no client is to have. */
  cursors?(count: number): Promise<string[]>
  /** Streams whose client takes nothing more. */
  stuck?(): number
  /** What its process has used, where that is not this one. */
  cpuParts?(): CpuParts
  /** Tells how long each turn took in which something was written, where that is not `publish()` itself. */
  watchSlices?(sliceOnEnd: (durationMs: number) => void): void
}

export type StartChannelContestant = (options: ChannelStartOptions) => Promise<ChannelContestant>

/** A path that is answered without a stream. */
export const PLAIN_PATH = '/plain'
export const PLAIN_ANSWER = { hello: 'world' }

/** A message as ours goes over the wire, so that bare servers send the same bytes. */
export function frameOf(data: string, number: number): string {
  return `id: ${String(number).padStart(10, '0')}-0123456789\ndata: ${data}\n\n`
}

/** For libraries without channels: what their users write themselves. */
export function loopOver(start: StartContestant): StartChannelContestant {
  return async () => {
    const streams: Stream[] = []
    const contestant = await start((stream) => streams.push(stream))
    return {
      ...contestant,
      publish(data) {
        for (const stream of streams) void stream.send(data)
      }
    }
  }
}
