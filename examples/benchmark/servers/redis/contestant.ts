import type { RedisCallCounts } from './calls.ts'
import type { Receipts } from './receipts.ts'

export interface FollowOptions {
  /** The first so many. */
  channels: number
  /** Whether messages begin with the time. */
  isStamped: boolean
}

/** A process on a Redis that others use too. It adds nothing to what its library does. */
export interface RedisContestant {
  /** Of its event streams. */
  readonly port?: number
  /** Resolves when Redis has confirmed. */
  publish(data: string, channel: number): Promise<unknown>
  /** Takes what is published from now on, without a client. Resolves when nothing is missed any more. */
  follow(options: FollowOptions): Promise<void>
  /** Resolves when all who came to its event streams miss nothing any more. */
  settled?(): Promise<void>
  calls?(): RedisCallCounts
}

/** @param receipts gets what the process receives. */
export type StartRedisContestant = (redisUrl: string, receipts: Receipts) => Promise<RedisContestant>

export function channelName(index: number): string {
  return `channel-${index}`
}
