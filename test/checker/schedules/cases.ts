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

const BOTH = [{}, { channel: 1 }] as const
const KEEPING = { maxMessages: 100 }

/** What version 0.1 got wrong. */
export const cases: readonly KnownSchedule[] = [
  {
    name: 'A1: who is cut while the handler awaits something before the second of two channels loses nothing of that one',
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
    name: 'A2: who comes back to two channels gets what was missed in the order of publishing',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [CONNECT, SETTLE, CUT, SETTLE, publish(0, 0), publish(1, 0), publish(0, 0), publish(1, 0), CONNECT]
  },
  {
    name: 'A2: so does who is new, and wants all that is kept',
    setup: setupOf({}, FAST, [{ from: 'oldest' }, { channel: 1, from: 'oldest' }], KEEPING),
    steps: [publish(0, 0), publish(1, 0), publish(0, 0), publish(1, 0), CONNECT]
  },
  {
    name: 'A3: a message on which a filter throws is passed over',
    setup: setupOf({}, FAST, [{ filter: 'throws' }], KEEPING),
    steps: [CONNECT, SETTLE, publish(0, 0), { do: 'publish', channel: 0, key: 1, sizes: [0] }]
  },
  {
    name: 'A6: what was published before unsubscribe() comes, also if the head was not out',
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
    name: 'A6: what was published before unsubscribe() comes, also if the reader has to be waited for',
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
    name: 'A7: an id that is none is told as a gap, and makes nobody more than a new client',
    setup: setupOf({}, FAST, [{}], KEEPING),
    steps: [publish(0, 0, 0), GARBAGE]
  },
  {
    name: 'A9: a newcomer behind is given only the newest message of each key',
    setup: setupOf({ slow: 'latest' }, FAST, [{ from: 'oldest' }], KEEPING),
    steps: [publish(0, 0, 0, 0), CONNECT]
  },
  {
    name: 'A12: a message that concerns two channels comes once',
    setup: setupOf({}, FAST, BOTH, KEEPING),
    steps: [CONNECT, SETTLE, { do: 'publish', channel: 0, also: 1, key: 0, sizes: [0] }]
  },
  {
    name: 'a channel that is new to a client that comes back begins at its id',
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
    name: 'a channel that was left before the client was cut begins at its id',
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
