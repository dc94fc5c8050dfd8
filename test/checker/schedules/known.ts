import type { MemoryLimits } from '../memory-retention.ts'
import type { ChannelSetup, ClientSetup, Setup, SubscriptionSetup } from './setup.ts'
import type { Step } from './steps.ts'

type Of<Name extends Step['do']> = Extract<Step, { do: Name }>

/** A schedule that once had a violation, or would have with a mistake that random ones seldom meet. */
export interface KnownSchedule {
  readonly name: string
  readonly setup: Setup
  readonly steps: readonly Step[]
}

export const GARBAGE: Of<'connect'> = { do: 'connect', client: 0, resume: 'garbage', isLate: false }
export const CONNECT: Of<'connect'> = { do: 'connect', client: 0, resume: 'own', isLate: false }
export const CUT: Step = { do: 'cut', client: 0, after: 0, unnoticedTurns: 0 }
const STOP: Step = { do: 'stop reading', client: 0 }
export const END: Step = { do: 'end turn' }
export const OPEN: Step = { do: 'open', client: 0 }
export const SETTLE: Step = { do: 'settle' }
export const STUCK = { kernelBytes: 0, highWaterBytes: 1 }
export const FAST = { kernelBytes: 1_000_000, highWaterBytes: 65_536 }

export const known: readonly KnownSchedule[] = [
  {
    name: 'an answer of onGap that comes after close() is not written',
    setup: setupOf({ onGap: 'answers later' }, FAST, [{}]),
    steps: [GARBAGE, END, { do: 'close', client: 0 }]
  },
  {
    name: 'an answer of onGap that comes late is not written into a message that is cut',
    setup: setupOf({ onGap: 'answers later' }, STUCK, [{}]),
    steps: [GARBAGE, { do: 'send', client: 0, size: 70_000 }, END]
  },
  {
    name: 'a gap is not written into a message that is cut',
    setup: setupOf({}, STUCK, [{}]),
    steps: [CONNECT, SETTLE, STOP, { do: 'send', client: 0, size: 70_000 }, publish(0, 0, 0, 0), SETTLE]
  },
  {
    name: 'what is called while onGap is asked comes in the order of calls',
    setup: setupOf({ onGap: 'answers later', afterGap: 'now' }, FAST, [{}]),
    steps: [
      GARBAGE,
      END,
      { do: 'send', client: 0, size: 10 },
      publish(0, 0),
      { do: 'send', client: 0, size: 10 }
    ]
  },
  {
    name: 'who came back to the head and then did not read is slow',
    setup: setupOf({}, STUCK, [{}]),
    steps: [
      CONNECT,
      SETTLE,
      CUT,
      SETTLE,
      CONNECT,
      SETTLE,
      STOP,
      { do: 'send', client: 0, size: 10 },
      END,
      publish(0, 0, 0),
      END
    ]
  },
  {
    name: 'who has caught up on one of two channels gets all',
    setup: setupOf({ slow: 'latest' }, STUCK, [{}, { channel: 1 }]),
    steps: [CONNECT, SETTLE, publish(0, 0), SETTLE, publish(0, 0, 0)]
  },
  {
    name: 'who has caught up by passing over gets all',
    setup: setupOf({ slow: 'latest' }, STUCK, [{ filter: 'even' }]),
    steps: [CONNECT, SETTLE, publish(0, 66_000, 0), SETTLE, publish(0, 0, 0)]
  },
  {
    name: 'what was cleared before the client came is expired, also if another channel gave what came before',
    setup: setupOf(
      {},
      { kernelBytes: 0, highWaterBytes: 1 },
      [{ from: 'oldest' }, { channel: 1, from: 'first' }],
      {
        maxMessages: 1_000
      }
    ),
    steps: [
      { ...CONNECT, resume: 'none' },
      END,
      { do: 'restart' },
      { do: 'publish', channel: 0, key: 0, sizes: [0, 0], also: 1, keep: true },
      { do: 'clear', channel: 1 },
      CUT
    ]
  },
  {
    name: 'who begins with the oldest of a channel that was cleared meanwhile may be given more by another one',
    setup: setupOf(
      {},
      { kernelBytes: 0, highWaterBytes: 1 },
      [
        { channel: 2, from: 'oldest' },
        { from: 'oldest', filter: 'even' }
      ],
      { maxMessages: 1_000 }
    ),
    steps: [
      { do: 'publish', channel: 0, key: 0, sizes: [0, 0], also: 2, keep: true },
      { ...CONNECT, isLate: true, awaits: false, only: [0, 1, 2] },
      { do: 'clear', channel: 2 },
      publish(0, 0)
    ]
  },
  {
    name: 'who keeps up with two channels loses nothing',
    setup: setupOf({}, FAST, [{}, { channel: 1 }]),
    steps: [CONNECT, SETTLE, publish(0, 0), publish(1, 0), publish(0, 0), publish(1, 0), publish(0, 0, 0)]
  },
  {
    name: 'who comes back shares no batch with who keeps up',
    setup: beside(setupOf({ slow: 'latest' }, FAST, [{}]), setupOf({}, FAST, [{}])),
    steps: [
      CONNECT,
      { ...CONNECT, client: 1 },
      SETTLE,
      publish(0, 0),
      SETTLE,
      { ...CUT, client: 1 },
      SETTLE,
      publish(0, 0, 0, 0),
      { ...CONNECT, client: 1 }
    ]
  },
  {
    name: 'what is sent to a reader that has stopped is bounded',
    setup: setupOf({}, STUCK, [{}]),
    steps: [
      CONNECT,
      SETTLE,
      STOP,
      ...Array.from({ length: 14 }, (): Step => ({ do: 'send', client: 0, size: 100_000 })),
      SETTLE
    ]
  },
  {
    name: 'who keeps up with much in one turn loses nothing',
    setup: setupOf({}, FAST, [{}]),
    steps: [CONNECT, SETTLE, publish(0, ...Array.from({ length: 8 }, () => 70_000))]
  },
  {
    name: 'who joins a channel is not given again what came through another that has not caught up',
    setup: setupOf({}, STUCK, [{ channel: 2 }, { channel: 1, from: 'oldest' }, { from: 'oldest' }], {
      maxMessages: 100
    }),
    steps: [
      { ...publish(0, 66_000), also: 1 },
      publish(1, 0),
      { ...CONNECT, awaits: true },
      SETTLE,
      STOP,
      { do: 'go on', client: 0 },
      END,
      { do: 'go on', client: 0 }
    ]
  },
  {
    name: 'an id that is told because a filter has passed over much says no more than that',
    setup: {
      ...setupOf({}, FAST, [{ filter: 'key' }], { maxMessages: 100, maxBytes: 10_000_000 }),
      probes: 8
    },
    steps: [CONNECT, SETTLE, publish(0, 100_000, 100_000), { ...publish(0, 0), key: 1 }]
  },
  {
    name: 'a channel that comes late, gives all that it has, and is left in the same turn',
    setup: setupOf(
      {},
      { kernelBytes: 100_000, highWaterBytes: 1 },
      [
        { channel: 2, from: 'oldest' },
        { channel: 0, from: 'oldest' },
        { channel: 1, from: 'oldest', filter: 'even' }
      ],
      { maxMessages: 1_000 }
    ),
    steps: [
      { do: 'connect', client: 0, resume: 'own', isLate: false, awaits: false, only: [1] },
      { do: 'settle' },
      { do: 'cut', client: 0, after: 0, unnoticedTurns: 0 },
      { do: 'settle' },
      { do: 'connect', client: 0, resume: 'own', isLate: false, awaits: true, only: [0, 1, 2] },
      publish(0, 0),
      { do: 'wait', ms: 250 },
      publish(1, 0),
      { do: 'settle' },
      { do: 'go on', client: 0 },
      { do: 'unsubscribe', client: 0, index: 1 },
      { do: 'end turn' },
      { do: 'destroy', client: 0 },
      { do: 'send', client: 0, size: 0 }
    ]
  },
  {
    name: 'a message of a channel that is behind another has an id that is ahead of it',
    setup: aheadOfMessages(),
    steps: [
      publish(1, 0),
      publish(2, 1_000, 0),
      { do: 'connect', client: 1, resume: 'garbage', isLate: true, awaits: true, only: [1, 2] },
      publish(0, 24, 78, 85, 113),
      { do: 'connect', client: 0, resume: 'own', isLate: false, awaits: false, only: [2] },
      { do: 'send', client: 0, size: 0 },
      { do: 'send', client: 1, size: 56 },
      { do: 'wait', ms: 250 },
      publish(2, 0, 1_000),
      { do: 'send', client: 0, size: 0 },
      { do: 'open', client: 1 },
      END,
      publish(1, 63),
      { do: 'cut', client: 1, after: 220, unnoticedTurns: 0 }
    ]
  }
]

/** Not for the model, which gives what is cleared to who was still to be given it. */
export const knownOfLibrary: readonly KnownSchedule[] = [
  {
    name: 'what comes again by a channel that is not resumed is of another one, too, which is behind',
    setup: setupOf(
      { slow: 'disconnect' },
      { kernelBytes: 0, highWaterBytes: 1 },
      [{ channel: 2, from: 'oldest', resume: false }, { from: 'oldest' }],
      { maxMessages: 1_000 }
    ),
    steps: [
      { ...CONNECT, resume: 'none' },
      SETTLE,
      { do: 'publish', channel: 0, key: 0, sizes: [0], also: undefined, keep: false },
      { do: 'publish', channel: 0, key: 0, sizes: [0, 0, 0], also: 2, keep: true },
      { do: 'clear', channel: 0 },
      { do: 'go on', client: 0 }
    ]
  }
]

export function publish(channel: number, ...sizes: number[]): Of<'publish'> {
  return { do: 'publish', channel, key: 0, sizes }
}

/** One client, and a history that keeps one message of each channel unless it is told otherwise. */
export function setupOf(
  channel: Partial<ChannelSetup>,
  client: Pick<ClientSetup, 'kernelBytes' | 'highWaterBytes'>,
  subscriptions: readonly Partial<SubscriptionSetup>[],
  limits: Partial<MemoryLimits> = {}
): Setup {
  const options: ChannelSetup = { slow: 'gap', afterGap: 'oldest', onGap: 'none', ...channel }
  return {
    limits: { maxMessages: 1, maxBytes: 1_048_576, maxAgeMs: false, maxTotalBytes: 67_108_864, ...limits },
    maxBufferedBytes: 1_048_576,
    channels: [options, options, options],
    clients: [
      {
        ...client,
        subscriptions: subscriptions.map((subscription) => ({
          channel: 0,
          from: 'now',
          resume: true,
          filter: 'all',
          ...subscription
        }))
      }
    ]
  }
}

/** The second of three clients begins with one channel now, and with others as far back as there is anything. */
function aheadOfMessages(): Setup {
  const other = setupOf({}, STUCK, [{ from: 'oldest', filter: 'even' }], { maxMessages: 4, maxBytes: 70_000 })
  const one = setupOf({}, { kernelBytes: 100_000, highWaterBytes: 65_536 }, [
    { channel: 2, from: 'oldest', filter: 'even' },
    { channel: 0 },
    { channel: 1, from: 'oldest' }
  ])
  const setup = beside(beside(other, one), other)
  const channels = setup.channels.map((options, i) =>
    i === 0 ? { ...options, onGap: 'rejects later' as const } : options
  )
  return { ...setup, channels }
}

/** The first, with the clients of both. */
function beside(setup: Setup, { clients }: Setup): Setup {
  return { ...setup, clients: [...setup.clients, ...clients] }
}
