import { setTimeout as sleep } from 'node:timers/promises'
import { stamp } from '../../process/clock.ts'
import { dataOf } from '../workloads.ts'
import type { RedisContestant } from './contestant.ts'

export interface FloodOptions {
  messages: number
  /** One message to each, in rotation. */
  channels: number
  dataBytes: number
}

export interface SteadyOptions extends FloodOptions {
  perSecond: number
}

/** How many messages are under way at a time. */
const UNDER_WAY = 1_000

/** Publishes as fast as that is confirmed. */
export async function flood(
  contestant: RedisContestant,
  { messages, channels, dataBytes }: FloodOptions
): Promise<void> {
  const data = dataOf(dataBytes)
  let sent = 0
  const keepSending = async (): Promise<void> => {
    while (sent < messages) await contestant.publish(data, sent++ % channels)
  }
  await Promise.all(Array.from({ length: UNDER_WAY }, keepSending))
}

/** Publishes messages with the time in them at a steady rate. */
export async function publishSteadily(
  contestant: RedisContestant,
  { messages, channels, dataBytes, perSecond }: SteadyOptions
): Promise<void> {
  const published: Promise<unknown>[] = []
  const start = performance.now()
  while (published.length < messages) {
    await sleep(1)
    const due = Math.min(messages, ((performance.now() - start) * perSecond) / 1_000)
    while (published.length < Math.floor(due)) {
      const data = stamp().padEnd(dataBytes, 'x')
      published.push(contestant.publish(data, published.length % channels))
    }
  }
  await Promise.all(published)
}
