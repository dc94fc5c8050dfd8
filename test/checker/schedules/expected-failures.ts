import type { Case } from '../run-log.ts'
import type { ViolationKind } from '../violation.ts'
import {
  CONNECT,
  CUT,
  END,
  FAST,
  GARBAGE,
  type KnownSchedule,
  OPEN,
  publish,
  SETTLE,
  STUCK,
  setupOf
} from './known.ts'

/** A schedule that shows which promise is not kept yet, and what the judge sees of it. */
export interface ExpectedFailure extends KnownSchedule {
  readonly number: Case
  readonly kinds: readonly ViolationKind[]
  readonly says: string
}

const BOTH = [{}, { channel: 1 }] as const
const KEEPING = { maxMessages: 100 }

export const expectedFailures: readonly ExpectedFailure[] = [
  {
    number: 'A1',
    name: 'who is cut while the handler awaits something before the second of two channels loses nothing of that one',
    kinds: ['loss'],
    says: 'news&=: "news&= 1 " did not come',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [
      CONNECT,
      SETTLE,
      publish(0, 0),
      SETTLE,
      CUT,
      SETTLE,
      publish(1, 0),
      { ...CONNECT, awaits: true, only: [0, 1] },
      publish(0, 0),
      SETTLE,
      CUT,
      SETTLE,
      { ...CONNECT, only: [0, 1] },
      SETTLE
    ]
  },
  {
    number: 'A2',
    name: 'who comes back to two channels gets what was missed in the order of publishing',
    kinds: ['order'],
    says: '"news&= 1 " came after what was published later',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [CONNECT, SETTLE, CUT, SETTLE, publish(0, 0), publish(1, 0), publish(0, 0), publish(1, 0), CONNECT]
  },
  {
    number: 'A2',
    name: 'so does who is new, and wants all that is kept',
    kinds: ['order'],
    says: '"news&= 1 " came after what was published later',
    setup: setupOf({}, FAST, [{ from: 'oldest' }, { channel: 1, from: 'oldest' }], KEEPING),
    steps: [publish(0, 0), publish(1, 0), publish(0, 0), publish(1, 0), CONNECT]
  },
  {
    number: 'A3',
    name: 'a message on which a filter throws is passed over',
    kinds: ['leftover'],
    says: 'clients that never catch up: 1',
    setup: setupOf({}, FAST, [{ filter: 'throws' }], KEEPING),
    steps: [CONNECT, SETTLE, publish(0, 0), { do: 'publish', channel: 0, node: 0, key: 1, sizes: [0] }]
  },
  {
    number: 'A6',
    name: 'what was published before unsubscribe() comes, also if the head was not out',
    kinds: ['loss'],
    says: '"news 0 " did not come',
    setup: setupOf({}, FAST, [{}], KEEPING),
    steps: [
      { ...CONNECT, isLate: true },
      publish(0, 0),
      { do: 'unsubscribe', client: 0, index: 0 },
      { do: 'subscribe again', client: 0, index: 0, from: 'now' },
      OPEN
    ]
  },
  {
    number: 'A6',
    name: 'what was published before unsubscribe() comes, also if the reader has to be waited for',
    kinds: ['loss'],
    says: '"news 1 " did not come',
    setup: setupOf({}, STUCK, BOTH, KEEPING),
    steps: [
      CONNECT,
      SETTLE,
      { do: 'stop reading', client: 0 },
      publish(0, 70_000),
      END,
      publish(0, 0),
      { do: 'unsubscribe', client: 0, index: 0 },
      { do: 'read on', client: 0 }
    ]
  },
  {
    number: 'A7',
    name: 'an id that is none is told as a gap, and makes nobody more than a new client',
    kinds: ['order'],
    says: '"news 0 " came after message 2',
    setup: setupOf({}, FAST, [{}], KEEPING),
    steps: [publish(0, 0, 0), GARBAGE]
  },
  {
    number: 'A9',
    name: 'a newcomer behind is given only the newest message of each key',
    kinds: ['phantom'],
    says: '"news 0 " came in spite of a newer one',
    setup: setupOf({ slow: 'latest' }, FAST, [{ from: 'oldest' }], KEEPING),
    steps: [publish(0, 0, 0, 0), CONNECT]
  },
  {
    number: 'A12',
    name: 'a message that concerns two channels comes once',
    kinds: ['duplicate'],
    says: '"news+news&= 0 " came after message 1',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [CONNECT, SETTLE, { do: 'publish', channel: 0, also: 1, node: 0, key: 0, sizes: [0] }]
  },
  {
    number: 'other channels',
    name: 'a channel that is new to a client that comes back begins at its id',
    kinds: ['loss'],
    says: 'news&=: "news&= 1 " did not come',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [
      { ...CONNECT, only: [0] },
      SETTLE,
      publish(0, 0),
      SETTLE,
      CUT,
      SETTLE,
      publish(1, 0),
      { ...CONNECT, only: [0, 1] }
    ]
  },
  {
    number: 'other channels',
    name: 'a channel that was left before the client was cut begins at its id',
    kinds: ['loss'],
    says: 'news&=: "news&= 1 " did not come',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [
      CONNECT,
      SETTLE,
      { do: 'unsubscribe', client: 0, index: 1 },
      publish(0, 0),
      SETTLE,
      CUT,
      SETTLE,
      publish(1, 0),
      { ...CONNECT, only: [0, 1] }
    ]
  }
]
