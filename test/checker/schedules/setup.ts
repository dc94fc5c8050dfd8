import fc from 'fast-check'
import type { FilterName } from '../filters.ts'
import type { MemoryLimits } from '../memory-retention.ts'
import type { LoggedFrom } from '../run-log.ts'

type ChannelLimits = Partial<Omit<MemoryLimits, 'maxTotalBytes'>>

export const CHANNEL_NAMES: readonly string[] = ['news', 'news&=', 'ü']

export interface ChannelSetup {
  readonly slow: 'gap' | 'disconnect' | 'latest'
  readonly afterGap: 'oldest' | 'now'
  /** What `onGap` does: there is none; or it answers with messages, at once or a turn later; or it fails. */
  readonly onGap: 'none' | 'answers' | 'answers later' | 'throws' | 'rejects later'
}

export interface SubscriptionSetup {
  readonly channel: number
  readonly from: LoggedFrom
  readonly resume: boolean
  readonly filter: FilterName
  /** How `notBefore` says since when its client may read, if it was admitted. @defaultValue not at all */
  readonly notBefore?: 'cursor' | 'date' | undefined
}

export interface ClientSetup {
  readonly subscriptions: readonly SubscriptionSetup[]
  readonly kernelBytes: number
  readonly highWaterBytes: number
}

/** Patterns of names, and which channels they fit. Of those that fit one, the last counts. */
export const PATTERNS = [
  ['*', [0, 1, 2]],
  ['*w*', [0, 1]],
  ['*&=', [1]],
  ['news', [0]]
] as const satisfies readonly (readonly [string, readonly number[]])[]

/** What a schedule runs on. */
export interface Setup {
  readonly limits: MemoryLimits
  /** Limits of channels whose names fit one of `PATTERNS` but the first. */
  readonly patterns?: Readonly<Partial<Record<string, ChannelLimits>>>
  readonly maxBufferedBytes: number
  readonly channels: readonly ChannelSetup[]
  readonly clients: readonly ClientSetup[]
  /** How many ids of each client are tried in the end by somebody who comes back with them. */
  readonly probes?: number
}

const often = <T>(value: T, weight: number) => ({ arbitrary: fc.constant(value), weight })

const maxMessages = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant(1_000))
const maxBytes = fc.oneof(fc.integer({ min: 1, max: 1_500 }), fc.constantFrom(70_000, 1_048_576))

const limits: fc.Arbitrary<MemoryLimits> = fc.record({
  maxMessages,
  maxBytes,
  maxAgeMs: fc.oneof(often<number | false>(false, 3), {
    arbitrary: fc.integer({ min: 200, max: 2_000 }),
    weight: 1
  }),
  maxTotalBytes: fc.oneof(often(67_108_864, 5), {
    arbitrary: fc.integer({ min: 100, max: 8_000 }),
    weight: 1
  })
})

const channel: fc.Arbitrary<ChannelSetup> = fc.record({
  slow: fc.constantFrom('gap', 'disconnect', 'latest'),
  afterGap: fc.constantFrom('oldest', 'now'),
  onGap: fc.oneof(often<ChannelSetup['onGap']>('none', 4), {
    arbitrary: fc.constantFrom<ChannelSetup['onGap'][]>(
      'answers',
      'answers later',
      'throws',
      'rejects later'
    ),
    weight: 2
  })
})

const patterns: fc.Arbitrary<NonNullable<Setup['patterns']>> = fc.oneof(often({}, 3), {
  arbitrary: fc.record(
    Object.fromEntries(
      PATTERNS.slice(1).map(([pattern]) => [
        pattern,
        fc.record({ maxMessages, maxBytes }, { requiredKeys: [] })
      ])
    ),
    { requiredKeys: [] }
  ),
  weight: 1
})

/** Where subscriptions begin. */
export const plainFrom: fc.Arbitrary<'oldest' | 'now'> = fc.constantFrom('oldest', 'now')
export const from: fc.Arbitrary<LoggedFrom> = fc.oneof(
  { arbitrary: plainFrom, weight: 4 },
  {
    arbitrary: fc.oneof(fc.constant<LoggedFrom>('first'), fc.record({ last: fc.nat({ max: 5 }) })),
    weight: 1
  }
)

const plainSubscription: fc.Arbitrary<SubscriptionSetup> = fc.record({
  channel: fc.nat({ max: CHANNEL_NAMES.length - 1 }),
  from: plainFrom,
  resume: fc.oneof(often(true, 7), often(false, 1)),
  filter: fc.oneof(often<FilterName>('all', 5), {
    arbitrary: fc.constantFrom<FilterName[]>('even', 'key', 'nothing', 'throws'),
    weight: 2
  })
})

const subscription: fc.Arbitrary<SubscriptionSetup> = fc
  .tuple(plainSubscription, from, fc.constantFrom('cursor', 'date', undefined))
  .map(([plain, from, notBefore]) => ({ ...plain, from, notBefore }))

/** What the library does. */
export const setups: fc.Arbitrary<Setup> = fc
  .tuple(setupsOf(subscription), patterns)
  .map(([setup, patterns]) => ({ ...setup, patterns }))
/** What the model does, too. */
export const plainSetups: fc.Arbitrary<Setup> = setupsOf(plainSubscription)

function setupsOf(subscription: fc.Arbitrary<SubscriptionSetup>): fc.Arbitrary<Setup> {
  const client: fc.Arbitrary<ClientSetup> = fc.record({
    subscriptions: fc.uniqueArray(subscription, {
      minLength: 1,
      maxLength: 3,
      selector: ({ channel }) => channel
    }),
    kernelBytes: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 300 }), fc.constant(100_000)),
    highWaterBytes: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 300 }), fc.constant(65_536))
  })
  return fc.record({
    limits,
    maxBufferedBytes: fc.oneof(often(1_048_576, 3), often(3_000, 1)),
    channels: fc.tuple(channel, channel, channel),
    clients: fc.array(client, { minLength: 1, maxLength: 4 }),
    probes: fc.constantFrom(0, 0, 2)
  })
}
