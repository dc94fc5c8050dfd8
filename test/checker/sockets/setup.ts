import type { FilterName } from '../filters.ts'
import type { MemoryLimits } from '../memory-retention.ts'
import type { ChannelLog } from '../run-log.ts'

export interface ChannelSetup extends Pick<ChannelLog, 'name' | 'slow' | 'afterGap'> {
  readonly onGap: 'none' | 'answers' | 'answers later'
  readonly limits: MemoryLimits
  readonly perSecond: number
  /** Bytes of data, about. */
  readonly sizes: readonly [min: number, max: number]
}

export interface SubscriptionSetup {
  readonly channel: number
  readonly from: 'oldest' | 'now'
  readonly resume: boolean
  readonly filter: FilterName
}

/** Never reached. */
const maxTotalBytes = 67_108_864
/** Who is away for a second has lost something. */
const SHORT: MemoryLimits = { maxMessages: 40, maxBytes: 40_000, maxAgeMs: 1_500, maxTotalBytes }
/** Who comes back at all gets everything. */
const LONG: MemoryLimits = { maxMessages: 5_000, maxBytes: 4_194_304, maxAgeMs: false, maxTotalBytes }
/** Less than what operating systems take for a reader that has stopped. */
const LARGE: MemoryLimits = { maxMessages: 1_000, maxBytes: 130_000, maxAgeMs: false, maxTotalBytes }

const SMALL_SIZES = [10, 1_000] as const
const LARGE_SIZES = [100, 120_000] as const

export const CHANNELS: readonly ChannelSetup[] = [
  {
    name: 'news',
    slow: 'gap',
    afterGap: 'oldest',
    onGap: 'none',
    limits: SHORT,
    perSecond: 80,
    sizes: SMALL_SIZES
  },
  {
    name: 'a b&=',
    slow: 'gap',
    afterGap: 'now',
    onGap: 'answers later',
    limits: SHORT,
    perSecond: 40,
    sizes: SMALL_SIZES
  },
  {
    name: 'ü',
    slow: 'disconnect',
    afterGap: 'oldest',
    onGap: 'none',
    limits: LONG,
    perSecond: 50,
    sizes: SMALL_SIZES
  },
  {
    name: 'ticker',
    slow: 'latest',
    afterGap: 'oldest',
    onGap: 'none',
    limits: LONG,
    perSecond: 60,
    sizes: SMALL_SIZES
  },
  {
    name: 'large',
    slow: 'gap',
    afterGap: 'oldest',
    onGap: 'answers',
    limits: LARGE,
    perSecond: 24,
    sizes: LARGE_SIZES
  },
  {
    name: 'large/disconnect',
    slow: 'disconnect',
    afterGap: 'now',
    onGap: 'none',
    limits: LARGE,
    perSecond: 24,
    sizes: LARGE_SIZES
  },
  {
    name: 'large/latest',
    slow: 'latest',
    afterGap: 'now',
    onGap: 'none',
    limits: LARGE,
    perSecond: 24,
    sizes: LARGE_SIZES
  }
]

export const CLIENTS = 48
export const KEYS = 4
/** What begins the data of the last message that each connection is sent. */
export const LAST_SENT = 'the last'
