import { EVENTS, type RunLog } from '../run-log.ts'
import {
  CONNECT,
  CUT,
  END,
  FAST,
  type KnownSchedule,
  OPEN,
  publish,
  SETTLE,
  STUCK,
  setupOf
} from '../schedules/known.ts'
import type { Step } from '../schedules/steps.ts'
import type { Rules } from './rules.ts'

/** A schedule that shows what a rule is for, where random ones seldom do. */
export interface RuleSchedule extends KnownSchedule {
  readonly rule: keyof Rules
  /** What has to be counted, where the judge sees nothing wrong without the rule; and with it. */
  readonly count?: { readonly of: (run: RunLog) => number; readonly withRule: number }
}

const KEEPING = { maxMessages: 100, maxBytes: 10_000_000 }
const BOTH = [{}, { channel: 1 }] as const
const UNSUBSCRIBE: Step = { do: 'unsubscribe', client: 0, index: 0 }
const eventsOf =
  (name: string) =>
  ({ clients }: RunLog): number =>
    clients.flat().flatMap(({ received }) => received.filter(({ event }) => event === name)).length
const gapsOf = ({ clients }: RunLog): number => clients.flat().flatMap(({ gaps = [] }) => gaps).length

export const ruleSchedules: readonly RuleSchedule[] = [
  {
    rule: 'tellsStart',
    name: 'who is cut before anything was published misses nothing',
    setup: setupOf({}, FAST, [{}], KEEPING),
    steps: [CONNECT, SETTLE, CUT, SETTLE, publish(0, 0)],
    count: { of: eventsOf('message'), withRule: 1 }
  },
  {
    rule: 'uncertain',
    name: 'who is cut before the handler has subscribed to all loses nothing in silence',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [
      CONNECT,
      SETTLE,
      CUT,
      SETTLE,
      publish(1, 0),
      { ...CONNECT, awaits: true },
      { do: 'wait', ms: 250 },
      publish(0, 0),
      SETTLE,
      CUT,
      SETTLE,
      CONNECT
    ]
  },
  {
    rule: 'sum',
    name: 'who comes back to the channels that it had goes on where it is',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [
      CONNECT,
      SETTLE,
      CUT,
      SETTLE,
      publish(0, 0),
      { ...CONNECT, awaits: true },
      { do: 'wait', ms: 250 },
      SETTLE,
      CUT,
      SETTLE,
      { ...CONNECT, only: [0] }
    ]
  },
  {
    rule: 'lazyOldest',
    name: 'who wants the oldest message begins with what is kept when something is first given',
    setup: setupOf({}, FAST, [{ from: 'oldest' }]),
    steps: [publish(0, 0), { ...CONNECT, isLate: true }, publish(0, 0, 0), OPEN, SETTLE],
    count: { of: gapsOf, withRule: 0 }
  },
  {
    rule: 'gapInOrder',
    name: 'a gap is told once to who is cut before another message',
    setup: setupOf({}, STUCK, BOTH),
    steps: [
      CONNECT,
      SETTLE,
      CUT,
      SETTLE,
      publish(1, 0),
      publish(0, 0, 0),
      CONNECT,
      { do: 'stop reading', client: 0 },
      END,
      { do: 'read', client: 0, bytes: 1_000 },
      CUT
    ],
    count: { of: eventsOf(EVENTS.gap), withRule: 1 }
  },
  {
    rule: 'askedIsPart',
    name: 'what is dropped while onGap is asked is a part of its gap',
    setup: setupOf({ onGap: 'answers later' }, FAST, [{}]),
    steps: [CONNECT, SETTLE, CUT, SETTLE, publish(0, 0, 0), CONNECT, END, publish(0, 0), SETTLE],
    count: { of: gapsOf, withRule: 1 }
  },
  {
    rule: 'tellsPassed',
    name: 'who is passed over much is told its cursor',
    setup: setupOf({}, FAST, [{ filter: 'key' }], KEEPING),
    steps: [CONNECT, SETTLE, publish(0, 70_000), SETTLE, CUT],
    count: { of: eventsOf(EVENTS.cursor), withRule: 3 }
  },
  {
    rule: 'firstOnly',
    name: 'who subscribes again does not begin where it came back',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [
      CONNECT,
      SETTLE,
      CUT,
      SETTLE,
      { ...CONNECT, awaits: true },
      UNSUBSCRIBE,
      publish(0, 0),
      { do: 'subscribe again', client: 0, index: 0, from: 'now' },
      { do: 'go on', client: 0 }
    ]
  },
  {
    rule: 'usedUp',
    name: 'who joins a channel later does not begin where it came back',
    setup: setupOf({}, FAST, [{}], KEEPING),
    steps: [
      CONNECT,
      SETTLE,
      CUT,
      SETTLE,
      publish(1, 0),
      CONNECT,
      SETTLE,
      { do: 'join', client: 0, channel: 1, from: 'now', filter: 'all', resume: true }
    ]
  },
  {
    rule: 'once',
    name: 'who joins a channel is not given again what came through another',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [
      { ...CONNECT, only: [0] },
      SETTLE,
      { ...publish(0, 0), also: 1 },
      SETTLE,
      { do: 'join', client: 0, channel: 1, from: 'oldest', filter: 'all' }
    ]
  }
]
