import t from 'tap'
import type { ConnectionLog, Received } from '../run-log.ts'
import type { ViolationKind } from '../violation.ts'
import { judgeRuns } from './judge-runs.ts'
import type { Life, NameLog, Outage, RunMessage, RunsLog } from './runs-log.ts'

interface Story {
  readonly lives?: readonly Life[]
  readonly name?: Partial<NameLog>
  readonly received?: readonly Received[]
  /** When the reader asked for the last time. */
  readonly leftAt?: number
  readonly run?: Partial<RunsLog>
}

const LEASE_MS = 100
const ONE = token('a', 0, 10)
const TWO = token('a', 1, 20)
const DONE = end('a', 2, 30, 'done')
const FAILED = end('a', 2, 30, 'failed')
const LOST = end('a', 0, 150, 'lost')
/** Of the second run of the name, which somebody has asked for. */
const AGAIN = life(200, [token('b', 0, 210), end('b', 1, 220, 'done')])
const OUTAGE: Outage = { server: 'one', from: 45, to: Infinity }
const RESTARTED: Partial<NameLog> = {
  calls: [
    { source: 'a', server: 'one' },
    { source: 'b', server: 'two' }
  ],
  starts: [
    { at: 1, restart: false },
    { at: 190, restart: true }
  ],
  told: [
    { server: 'one', state: 'failed', reason: undefined },
    { server: 'two', state: 'done', reason: undefined }
  ]
}
const STOPPED: Story = {
  lives: [life(5, [ONE, TWO, end('a', 2, 30, 'stopped', 'enough')])],
  name: {
    stops: [{ reason: 'enough', askedAt: 25, toldAt: 27 }],
    answers: [{ server: 'two', state: 'stopped', reason: 'enough' }],
    told: [{ server: 'one', state: 'stopped', reason: 'enough' }]
  }
}
const LOST_STORY: Story = {
  lives: [life(5, [ONE, TWO, LOST])],
  name: { answers: [answer('two', 'lost')], told: [answer('two', 'lost'), answer('one', 'lost')] },
  run: { outages: [OUTAGE] }
}

const good: Readonly<Record<string, Story>> = {
  'a source gives everything': {},
  'somebody stops it': STOPPED,
  'its server shuts down': {
    lives: [life(5, [ONE, TWO, end('a', 2, 30, 'stopped', 'shutdown')])],
    name: { answers: [], told: [] }
  },
  'its server is killed': LOST_STORY,
  'its server is killed before the source was called': {
    lives: [life(40, [LOST])],
    name: { calls: [], answers: [], told: [] },
    run: { outages: [OUTAGE] }
  },
  'it has failed, and is started again': {
    lives: [life(5, [ONE, TWO, FAILED]), AGAIN],
    name: RESTARTED,
    received: [ONE, TWO, FAILED].map(block),
    leftAt: 40
  }
}

const bad: readonly (readonly [ViolationKind, string, Story])[] = [
  [
    'loss',
    'a message of the source is not there',
    { lives: [life(5, [ONE, token('a', 2, 20), end('a', 3, 30, 'done')])] }
  ],
  ['loss', 'the last message of the source is not there', { lives: [life(5, [ONE, DONE])] }],
  ['loss', 'a reader is not given a message', { received: [block(ONE), block(DONE)] }],
  ['loss', 'a reader is not told the end', { received: [block(ONE), block(TWO)] }],
  [
    'duplicate',
    'a message is there twice',
    { lives: [life(5, [ONE, { ...ONE, data: 'again', at: 15 }, TWO, end('a', 3, 30, 'done')])] }
  ],
  [
    'duplicate',
    'a reader is told the end twice',
    { received: [block(ONE), block(TWO), block(DONE), block(DONE)] }
  ],
  [
    'owner',
    'a source was called twice',
    {
      name: { calls: [call('a'), call('a')] },
      lives: [life(5, [ONE, TWO, FAILED]), { ...AGAIN, messages: [end('b', 0, 220, 'done')] }]
    }
  ],
  ['owner', 'two sources were called for one run', { name: { calls: [call('a'), call('b')] } }],
  ['owner', 'another source publishes to the run', { lives: [life(5, [ONE, token('b', 1, 20), DONE])] }],
  [
    'owner',
    'it begins again although it was done',
    { lives: [life(5, [ONE, TWO, DONE]), AGAIN], name: RESTARTED }
  ],
  [
    'owner',
    'it begins again although nobody asked for that',
    {
      lives: [life(5, [ONE, TWO, FAILED]), AGAIN],
      name: { ...RESTARTED, starts: [{ at: 1, restart: false }] }
    }
  ],
  ['end', 'it does not end', { lives: [life(5, [ONE, TWO])], name: { answers: [], told: [] } }],
  ['end', 'it ends twice', { lives: [life(5, [ONE, TWO, DONE, end('a', 2, 40, 'done')])] }],
  ['end', 'it goes on after its end', { lives: [life(5, [ONE, DONE, token('a', 1, 35)])] }],
  [
    'end',
    'it is stopped, although nobody has asked for that',
    { ...STOPPED, name: { ...STOPPED.name, stops: [] } }
  ],
  [
    'end',
    'it goes on although it was told to stop',
    {
      ...STOPPED,
      name: { ...STOPPED.name, stops: [{ reason: 'enough', askedAt: 6, toldAt: 7 }] },
      run: { lateMs: 10 }
    }
  ],
  [
    'end',
    'also if its server fails later',
    {
      ...STOPPED,
      name: { ...STOPPED.name, stops: [{ reason: 'enough', askedAt: 6, toldAt: 7 }] },
      run: { lateMs: 10, outages: [{ ...OUTAGE, from: 25, to: 28 }] }
    }
  ],
  ['end', 'it is lost although its server is there', { ...LOST_STORY, run: {} }],
  [
    'end',
    'it is told too late that it is lost',
    { ...LOST_STORY, run: { outages: [{ ...OUTAGE, from: 20 }], lateMs: 10 } }
  ],
  [
    'end',
    'servers do not say the same',
    { name: { answers: [answer('one', 'done'), answer('two', 'lost')] } }
  ],
  ['end', 'a server tells the end twice', { name: { told: [answer('one', 'done'), answer('one', 'done')] } }],
  ['end', 'a server tells another end', { name: { told: [answer('one', 'failed')] } }],
  ['leftover', 'a run is left', { run: { leftovers: { runs: 1 } } }]
]

t.test('judge of runs › has nothing to say when', async (t) => {
  for (const [what, story] of Object.entries(good)) t.same(judgeRuns(logOf(story)), [], what)
})

t.test('judge of runs › sees that', async (t) => {
  for (const [kind, what, story] of bad) {
    const kinds = judgeRuns(logOf(story)).map((violation) => violation.kind)
    t.ok(kinds.includes(kind), `${kind}: ${what} (${kinds})`)
  }
})

/** A run of two messages, which one reader was given. */
function logOf({ lives = [life(5, [ONE, TWO, DONE])], name, received, leftAt = 1_000, run }: Story): RunsLog {
  const reader = connection(received ?? lives.flatMap(({ messages }) => messages.map(block)), leftAt)
  const log: NameLog = {
    name: 'answer',
    channel: 'sse-run:answer',
    lives,
    calls: [call('a')],
    starts: [{ at: 1, restart: false }],
    stops: [],
    answers: [answer('one', 'done'), answer('two', 'done')],
    told: [answer('one', 'done')],
    readers: [[reader]],
    ...name
  }
  return { names: [log], outages: [], leaseMs: LEASE_MS, lateMs: 50, leftovers: {}, ...run }
}

function connection(received: readonly Received[], leftAt: number): ConnectionLog {
  return {
    client: 'reader',
    resumedFrom: undefined,
    subscriptions: [
      {
        channel: 'sse-run:answer',
        from: 'oldest',
        resumes: true,
        startedAt: 6,
        endedAt: leftAt,
        filter: undefined
      }
    ],
    received,
    sent: [],
    gaps: undefined,
    refusal: undefined,
    stood: [],
    refused: [],
    closedAt: undefined,
    hasCaughtUp: true
  }
}

function life(begunAt: number, messages: readonly RunMessage[]): Life {
  return { begunAt, messages }
}

function token(source: string, number: number, at: number): RunMessage {
  return { source, number, at, data: `${source} ${number}`, end: undefined }
}

function end(
  source: string,
  number: number,
  at: number,
  state: 'done' | 'failed' | 'stopped' | 'lost',
  reason?: string
): RunMessage {
  return { source, number, at, data: `${source} ${state} ${at}`, end: { state, reason } }
}

function block({ at, data, end }: RunMessage): Received {
  return { at, start: 0, id: String(at), event: end === undefined ? 'token' : 'end', data }
}

function call(source: string): NameLog['calls'][number] {
  return { source, server: 'one' }
}

function answer(server: string, state: string): NameLog['answers'][number] {
  return { server, state, reason: undefined }
}
