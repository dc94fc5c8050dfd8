import { FILTERS, type FilterName } from '../filters.ts'
import type { MemoryLimits } from '../memory-retention.ts'
import type { ChannelLog } from '../run-log.ts'

export interface ChannelSetup extends Pick<ChannelLog, 'name' | 'slow' | 'afterGap'> {
  readonly onGap: 'none' | 'answers' | 'answers later'
  readonly limits: Omit<MemoryLimits, 'maxTotalBytes'>
  readonly perSecond: number
  /** Bytes of data, about. */
  readonly sizes: readonly [min: number, max: number]
  /** Another channel, to which some of its messages are published too. */
  readonly also?: number
}

/** A channel that a handler subscribes to. */
export interface SubscriptionSetup {
  readonly channel: number
  readonly from: 'oldest' | 'now'
  readonly resume: boolean
  /** How long the handler awaits something before it. */
  readonly afterMs: number
}

/** Never reached. */
export const MAX_TOTAL_BYTES = 67_108_864
/** Who is away for a second has lost something. */
const SHORT = { maxMessages: 40, maxBytes: 40_000, maxAgeMs: 1_500 } as const
/** Who comes back at all gets everything. */
const LONG = { maxMessages: 1_500, maxBytes: 4_194_304, maxAgeMs: false } as const
/** Less than what operating systems take for a reader that has stopped. */
const LARGE = { maxMessages: 1_000, maxBytes: 130_000, maxAgeMs: false } as const

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
    perSecond: 30,
    sizes: SMALL_SIZES,
    also: 3
  },
  {
    name: 'room',
    slow: 'gap',
    afterGap: 'oldest',
    onGap: 'none',
    limits: LONG,
    perSecond: 30,
    sizes: SMALL_SIZES,
    also: 2
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

const FILTER_NAMES: readonly FilterName[] = ['all', 'all', 'all', 'even', 'all', 'key', 'nothing', 'throws']

/** What a client wants of a channel, whenever it comes. */
export function filterOf(client: number, channel: number): (typeof FILTERS)[FilterName] {
  return FILTERS[FILTER_NAMES[(client * 5 + channel * 3) % FILTER_NAMES.length] ?? 'all']
}

export function nameOf(channel: number): string {
  return CHANNELS[channel]?.name ?? ''
}
