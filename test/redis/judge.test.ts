import t from 'tap'
import { judge } from './judge.ts'
import type { Attempt, Block, ClientLog, Epoch, RunLog } from './run-log.ts'
import type { Violation } from './violation.ts'

/** Ids have the milliseconds at which they were given. */
const START = '10-0'
const MESSAGES = [20, 30, 40, 50].map((ms) => acknowledged(ms))
const PLACED = block(15, START)
const [FIRST, SECOND, THIRD, FOURTH] = [20, 30, 40, 50].map((ms) => message(ms)) as [
  Block,
  Block,
  Block,
  Block
]
const ALL = [PLACED, FIRST, SECOND, THIRD, FOURTH]
/** A failover after the second message that only has the first one. */
const FORK: readonly Epoch[] = [
  { since: 0, last: '' },
  { since: 35, last: '20-0' }
]
const FORGOTTEN: readonly Epoch[] = [
  { since: 0, last: '' },
  { since: 35, last: '' }
]

interface Story {
  readonly epochs?: readonly Epoch[]
  readonly maxLength?: number
  readonly attempts?: readonly Attempt[]
  readonly blocks?: readonly Block[]
  readonly client?: Partial<ClientLog>
  readonly leftovers?: RunLog['leftovers']
}

const good: Readonly<Record<string, Story>> = {
  'every message comes once and in order': {},
  'a client that had not seen what was lost goes on': {
    epochs: FORK,
    blocks: [PLACED, FIRST, THIRD, FOURTH]
  },
  'a client that had is told, and begins with the oldest': {
    epochs: FORK,
    blocks: [PLACED, FIRST, SECOND, gap(45, START, 'unknown'), FIRST, THIRD, FOURTH]
  },
  'all are told that all was forgotten': {
    epochs: FORGOTTEN,
    blocks: [PLACED, FIRST, SECOND, gap(39, '38-0', 'foreign'), THIRD, FOURTH]
  },
  'a client is told that what it lacks was dropped': {
    maxLength: 2,
    blocks: [PLACED, FIRST, gap(51, '~40-0', 'expired'), THIRD, FOURTH]
  },
  'what is unconfirmed may be there, or not': {
    attempts: [...MESSAGES, { ...acknowledged(25), id: '', outcome: 'unconfirmed' }]
  },
  'what is unconfirmed may come': {
    attempts: [...MESSAGES, { ...acknowledged(25), id: '', outcome: 'unconfirmed' }],
    blocks: [PLACED, FIRST, message(25), SECOND, THIRD, FOURTH]
  },
  'what was lost may be published again': {
    epochs: FORK,
    attempts: [
      ...MESSAGES.filter(({ id }) => id !== '30-0'),
      { ...acknowledged(30), id: '60-0', settledAt: 61 }
    ],
    blocks: [
      PLACED,
      FIRST,
      SECOND,
      gap(45, START, 'unknown'),
      FIRST,
      THIRD,
      FOURTH,
      { ...SECOND, id: '60-0', at: 62 }
    ]
  }
}

const bad: readonly (readonly [Violation['kind'], string, Story])[] = [
  ['loss', 'a message is left out', { blocks: [PLACED, FIRST, THIRD, FOURTH] }],
  ['loss', 'the last message does not come', { blocks: [PLACED, FIRST, SECOND, THIRD] }],
  ['loss', 'an id says more than what came', { blocks: [PLACED, block(33, '30-0'), THIRD, FOURTH] }],
  ['loss', 'a client goes on at a place that was lost', { epochs: FORK }],
  [
    'loss',
    'a client stays at a place that was lost',
    { epochs: FORK, blocks: [PLACED, FIRST, SECOND], attempts: MESSAGES.slice(0, 2) }
  ],
  [
    'loss',
    'a message is left out that was there before it was lost',
    {
      epochs: [FORK[0], { since: 45, last: '20-0' }] as Epoch[],
      blocks: [PLACED, FIRST, THIRD, gap(46, START, 'unknown'), FIRST, FOURTH]
    }
  ],
  ['duplicate', 'a message comes again', { blocks: [PLACED, FIRST, FIRST, SECOND, THIRD, FOURTH] }],
  ['duplicate', 'a message is published twice', { blocks: [...ALL, { ...FIRST, id: '60-0' }] }],
  ['order', 'a message comes late', { blocks: [PLACED, SECOND, FIRST, THIRD, FOURTH] }],
  [
    'order',
    'a message is behind one that was sent when it was there',
    { attempts: [{ ...acknowledged(20), sentAt: 90, settledAt: 91 }, ...MESSAGES.slice(1)] }
  ],
  [
    'payload',
    'two messages have one id',
    { blocks: [PLACED, FIRST, { ...THIRD, id: '30-0' }, THIRD, FOURTH] }
  ],
  [
    'phantom',
    'nobody published it',
    { blocks: [PLACED, FIRST, { ...message(25), data: 'x' }, SECOND, THIRD, FOURTH] }
  ],
  [
    'phantom',
    'an event comes that nobody sends',
    { blocks: [PLACED, { ...block(16, START), event: 'x' }, FIRST, SECOND, THIRD, FOURTH] }
  ],
  ['phantom', 'an id is none', { blocks: [block(15, 'x'), ...ALL.slice(1)] }],
  [
    'phantom',
    'a message comes whose publisher was told that it failed',
    { attempts: [{ ...acknowledged(20), id: '', outcome: 'failed' }, ...MESSAGES.slice(1)] }
  ],
  ['backwards', 'an id goes back', { blocks: [PLACED, FIRST, SECOND, block(35, '20-0'), THIRD, FOURTH] }],
  [
    'false-gap',
    'a gap is told where nothing was lost',
    { blocks: [PLACED, FIRST, gap(25, START, 'unknown'), FIRST, SECOND, THIRD, FOURTH] }
  ],
  [
    'false-gap',
    'a gap is told twice',
    {
      epochs: FORGOTTEN,
      blocks: [PLACED, FIRST, SECOND, gap(39, '38-0', 'foreign'), gap(39, '38-0', 'foreign'), THIRD, FOURTH]
    }
  ],
  [
    'false-gap',
    'a gap is told to a client that had not seen what was lost',
    { epochs: FORK, blocks: [PLACED, FIRST, gap(45, START, 'unknown'), FIRST, THIRD, FOURTH] }
  ],
  [
    'false-gap',
    'a gap is told to a client without a place',
    { blocks: [gap(15, START, 'unknown'), ...ALL.slice(1)] }
  ],
  [
    'wrong-gap',
    'a gap has the reason of another',
    { epochs: FORGOTTEN, blocks: [PLACED, FIRST, SECOND, gap(39, '38-0', 'expired'), THIRD, FOURTH] }
  ],
  [
    'wrong-gap',
    'a gap goes over a message that was kept',
    { epochs: FORK, blocks: [PLACED, FIRST, SECOND, gap(45, '20-0', 'unknown'), THIRD, FOURTH] }
  ],
  [
    'wrong-gap',
    'a gap leads to a place that was lost',
    {
      epochs: FORGOTTEN,
      blocks: [PLACED, FIRST, SECOND, gap(39, '30-0', 'foreign'), gap(39, '38-0', 'foreign'), THIRD, FOURTH]
    }
  ],
  ['syntax', 'the strict parser refuses the stream', { client: { refusal: 'a CR' } }],
  [
    'hang',
    'a publisher is never told',
    { attempts: [...MESSAGES, { ...acknowledged(25), id: '', outcome: 'pending' }] }
  ],
  ['hang', 'a client is never told its place', { blocks: [] }],
  ['hang', 'a client does not catch up', { client: { hasCaughtUp: false } }],
  ['hang', 'something is left', { leftovers: { 'nodes that do not end': 1 } }]
]

for (const [name, story] of Object.entries(good)) {
  t.test(`judge › allows that ${name}`, async (t) => {
    t.same(judge(runOf(story)), [])
  })
}

for (const [kind, name, story] of bad) {
  t.test(`judge › sees that ${name}`, async (t) => {
    const kinds = judge(runOf(story)).map((violation) => violation.kind)
    t.ok(kinds.includes(kind), `among ${kinds}`)
  })
}

function runOf({
  epochs = FORK.slice(0, 1),
  maxLength = 1_000,
  attempts = MESSAGES,
  blocks = ALL,
  client = {},
  leftovers = {}
}: Story): RunLog {
  return {
    channels: [{ name: 'news', maxLength, epochs, entries: [] }],
    attempts,
    clients: [
      { name: 'client', channels: ['news'], blocks, refusal: undefined, hasCaughtUp: true, ...client }
    ],
    leftovers
  }
}

function acknowledged(ms: number): Attempt {
  return {
    channel: 'news',
    data: `news of ${ms}`,
    sentAt: ms - 1,
    outcome: 'acknowledged',
    id: `${ms}-0`,
    settledAt: ms + 1
  }
}

function message(ms: number): Block {
  return { ...block(ms + 2, `${ms}-0`), event: 'message', data: `news of ${ms}` }
}

function gap(at: number, id: string, reason: string): Block {
  return { ...block(at, id), event: 'gap', data: JSON.stringify({ channel: 'news', reason }) }
}

function block(at: number, id: string): Block {
  return { at, id, event: undefined, data: '' }
}
