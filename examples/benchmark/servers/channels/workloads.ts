import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import { stamp } from '../../process/clock.ts'
import { type DelaySummary, Delays, summaryOf } from '../../process/delays.ts'
import { dataOf } from '../workloads.ts'
import type { ChannelContestant } from './contestant.ts'

export interface BroadcastOptions {
  turns: number
  messagesPerTurn: number
  dataBytes: number
  /** Whether the next turn's messages wait until those of this one have been written. */
  isPaced: boolean
  /** Milliseconds from one turn with messages to the next one, instead of none. */
  everyMs?: number
}

export interface SpreadOptions {
  channels: number
  turns: number
  /** Each gets one message in a turn; the next turn goes on with the next ones. */
  channelsPerTurn: number
  dataBytes: number
}

export interface SteadyOptions {
  everyMs: number
  durationMs: number
  dataBytes: number
}

export interface SteadyResult {
  eventLoop: DelaySummary
  slices: DelaySummary
  highestRssBytes: number
}

/** Sends messages to all streams, turn by turn of the event loop. */
export async function broadcast(
  contestant: ChannelContestant,
  { turns, messagesPerTurn, dataBytes, isPaced, everyMs = 0 }: BroadcastOptions
): Promise<void> {
  const data = dataOf(dataBytes)
  const start = performance.now()
  for (let turn = 0; turn < turns; turn++) {
    publishTimes(contestant, data, messagesPerTurn)
    await nextTurn()
    if (isPaced) await contestant.written?.()
    if (everyMs > 0) await sleep(start + (turn + 1) * everyMs - performance.now())
  }
  await contestant.written?.()
}

export function publishTimes(contestant: ChannelContestant, data: string, times: number): void {
  if (times > 1 && contestant.publishTimes !== undefined) contestant.publishTimes(data, times)
  else for (let i = 0; i < times; i++) contestant.publish(data, 0)
}

/** Sends messages to some channels each turn, one after the other. @returns milliseconds that `publish()` alone took. */
export async function spread(
  contestant: ChannelContestant,
  { channels, turns, channelsPerTurn, dataBytes }: SpreadOptions
): Promise<number> {
  const data = dataOf(dataBytes)
  let channel = 0
  let publishMs = 0
  for (let turn = 0; turn < turns; turn++) {
    const start = performance.now()
    for (let i = 0; i < channelsPerTurn; i++) {
      contestant.publish(data, channel)
      channel = (channel + 1) % channels
    }
    publishMs += performance.now() - start
    await nextTurn()
    await contestant.written?.()
  }
  return publishMs
}

/** Sends a message with the time in it at a steady rate, and watches what that does to this process. */
export async function publishSteadily(
  contestant: ChannelContestant,
  { everyMs, durationMs, dataBytes }: SteadyOptions
): Promise<SteadyResult> {
  const slices = new Delays()
  contestant.watchSlices?.((sliceMs) => slices.add(sliceMs))
  const eventLoop = monitorEventLoopDelay({ resolution: 1 })
  eventLoop.enable()
  let highestRssBytes = 0
  const start = performance.now()
  for (let dueMs = everyMs; dueMs <= durationMs; dueMs += everyMs) {
    await sleep(start + dueMs - performance.now())
    const before = performance.now()
    contestant.publish(stamp().padEnd(dataBytes, 'x'), 0)
    if (contestant.watchSlices === undefined) slices.add(performance.now() - before)
    highestRssBytes = Math.max(highestRssBytes, process.memoryUsage.rss())
  }
  eventLoop.disable()
  return {
    eventLoop: summaryOf(eventLoop),
    slices: slices.summary(),
    highestRssBytes
  }
}
