import t from 'tap'
import { checkRun } from './check-run.ts'
import type { ConnectionLog, Published, Received, RunLog } from './run-log.ts'
import type { ViolationKind } from './violation.ts'

interface Story {
  readonly channel?: Partial<RunLog['channels'][number]>
  readonly subscription?: Partial<ConnectionLog['subscriptions'][number]>
  readonly connection?: Partial<ConnectionLog>
  readonly run?: Partial<RunLog>
  /** Messages that the history has dropped, by index. */
  readonly dropped?: readonly number[]
}

const MESSAGES = [1, 2, 3, 4].map((number) => published(number))
const [FIRST, SECOND, THIRD, FOURTH] = [1, 2, 3, 4].map((number) => message(number)) as [
  Received,
  Received,
  Received,
  Received
]
const PLACE = block('e-0', undefined, '')
const EXPIRED = { channel: 'news', reason: 'expired', at: 45 }
/** Who came back with the first message and was told that the second one is lost. */
const AFTER_GAP: Story = {
  dropped: [0, 1],
  connection: { resumedFrom: 'e-1', gaps: [EXPIRED], received: [gap('e-2'), THIRD, FOURTH] },
  subscription: { starts: [44] }
}
const LATEST: Story = {
  channel: { slow: 'latest' },
  connection: { received: [PLACE, FIRST, FOURTH], stood: [{ at: 6, bytes: 10 }] }
}
const SENT = block('e-2', 'sent', 'hello')
const FAREWELL = block('e-2', 'close', 'bye')

const good: Readonly<Record<string, Story>> = {
  'every message comes once, in order': {},
  'a client comes back to where it was': {
    connection: { resumedFrom: 'e-2', received: [THIRD, FOURTH] },
    subscription: { starts: [35] }
  },
  'a gap is told when something was lost': AFTER_GAP,
  'a gap is told to a client with a place that is none': {
    dropped: [0],
    connection: {
      resumedFrom: 'x-1',
      gaps: [{ ...EXPIRED, reason: 'foreign' }],
      received: [gap('e-1', 'foreign'), SECOND, THIRD, FOURTH]
    },
    subscription: { starts: [44] }
  },
  'what is sent comes between what was published before and after': {
    connection: { sent: [{ data: 'hello', at: 25 }], received: [PLACE, FIRST, SECOND, SENT, THIRD, FOURTH] }
  },
  'a filter passes over messages': {
    subscription: { filter: ({ cursor }) => cursor !== 'e-2' },
    connection: { received: [PLACE, FIRST, THIRD, FOURTH] }
  },
  'a slow reader is given the newest of each key': {
    ...LATEST,
    connection: { ...LATEST.connection, refused: [50] }
  },
  'a connection that was cut has only the beginning': {
    connection: { hasCaughtUp: false, received: [PLACE, FIRST] }
  },
  'a stream that is closed ends with all that was before': {
    connection: { closedAt: 25, received: [PLACE, FIRST, SECOND, FAREWELL], hasCaughtUp: false }
  },
  'an application that unsubscribes while onGap is asked keeps the client from being told': {
    connection: {
      resumedFrom: 'x-1',
      gaps: [{ ...EXPIRED, reason: 'foreign' }],
      received: [],
      stood: [{ at: 46, bytes: 0 }]
    },
    subscription: { starts: [44], endedAt: 47 }
  }
}

const bad: readonly (readonly [ViolationKind, string, Story])[] = [
  ['loss', 'a message is left out', { connection: { received: [PLACE, FIRST, THIRD, FOURTH] } }],
  ['loss', 'the last message does not come', { connection: { received: [PLACE, FIRST, SECOND, THIRD] } }],
  [
    'loss',
    'the first message after subscribe() does not come',
    {
      subscription: { starts: [9] },
      connection: { received: [SECOND, THIRD, FOURTH] }
    }
  ],
  [
    'loss',
    'a gap is not told',
    { ...AFTER_GAP, connection: { resumedFrom: 'e-1', received: [THIRD, FOURTH] } }
  ],
  [
    'loss',
    'a gap goes over a message that was kept',
    { ...AFTER_GAP, connection: { ...AFTER_GAP.connection, received: [gap('e-3'), FOURTH] } }
  ],
  ['loss', 'a reader that keeps up is given the newest only', LATEST],
  [
    'loss',
    'a message does not come that was published before close()',
    { connection: { closedAt: 35, received: [PLACE, FIRST, SECOND, FAREWELL], hasCaughtUp: false } }
  ],
  [
    'loss',
    'a message does not come that was sent before close()',
    {
      connection: {
        closedAt: 25,
        sent: [{ data: 'hello', at: 22 }],
        received: [PLACE, FIRST, SECOND, FAREWELL],
        hasCaughtUp: false
      }
    }
  ],
  ['loss', 'what was sent does not come', { connection: { sent: [{ data: 'hello', at: 25 }] } }],
  [
    'duplicate',
    'a message comes again',
    { connection: { received: [PLACE, FIRST, SECOND, SECOND, THIRD, FOURTH] } }
  ],
  [
    'duplicate',
    'a cursor is given twice',
    {
      channel: { messages: [published(1), published(1), ...MESSAGES.slice(1)] },
      connection: { hasCaughtUp: false, received: [] }
    }
  ],
  [
    'order',
    'a message comes before one that was sent earlier',
    {
      connection: { sent: [{ data: 'hello', at: 15 }], received: [PLACE, FIRST, SECOND, SENT, THIRD, FOURTH] }
    }
  ],
  [
    'order',
    'a message has a place behind one that was published later',
    {
      channel: {
        messages: [MESSAGES[1], MESSAGES[0], MESSAGES[2], MESSAGES[3]].filter((one) => one !== undefined)
      },
      connection: { hasCaughtUp: false, received: [] }
    }
  ],
  [
    'payload',
    'a message comes with other data',
    {
      subscription: { filter: ({ cursor }) => cursor !== 'e-2' },
      connection: { received: [PLACE, FIRST, block('e-2', 'message', 'news 3'), THIRD, FOURTH] }
    }
  ],
  [
    'payload',
    'what was sent comes with other data',
    {
      connection: { received: [PLACE, FIRST, SECOND, SENT, THIRD, FOURTH] }
    }
  ],
  [
    'phantom',
    'nobody published it',
    { connection: { received: [PLACE, block('e-9', 'message', 'x'), FIRST, SECOND, THIRD, FOURTH] } }
  ],
  [
    'phantom',
    'a message comes in spite of the filter',
    { subscription: { filter: ({ cursor }) => cursor !== 'e-2' } }
  ],
  ['phantom', 'a message comes after unsubscribe()', { subscription: { endedAt: 35 } }],
  [
    'phantom',
    'an id has a channel that the client does not have',
    { connection: { received: [block('news=e-0&other=x-1', undefined, ''), FIRST, SECOND, THIRD, FOURTH] } }
  ],
  [
    'phantom',
    'who comes back to a channel of newest messages is given an older one',
    {
      channel: { slow: 'latest' },
      connection: { resumedFrom: 'e-2', received: [THIRD, FOURTH] },
      subscription: { starts: [45] }
    }
  ],
  [
    'phantom',
    'who comes back to a channel of newest messages is given an older one',
    {
      channel: { slow: 'latest' },
      connection: { resumedFrom: 'e-2', received: [THIRD, FOURTH] },
      subscription: { starts: [45] }
    }
  ],
  [
    'phantom',
    'a message comes that was published after close()',
    { connection: { closedAt: 35, received: [PLACE, FIRST, SECOND, THIRD, FOURTH], hasCaughtUp: false } }
  ],
  [
    'backwards',
    'an id goes back',
    { connection: { received: [PLACE, FIRST, SECOND, block('e-1', undefined, ''), THIRD, FOURTH] } }
  ],
  [
    'overclaim',
    'an id says more than what came',
    { connection: { received: [PLACE, FIRST, block('e-2', undefined, ''), THIRD, FOURTH] } }
  ],
  [
    'false-gap',
    'a gap is told although everything is kept',
    {
      channel: { afterGap: 'now' },
      connection: { resumedFrom: 'e-1', gaps: [EXPIRED], received: [gap('e-4')] },
      subscription: { starts: [44] }
    }
  ],
  [
    'false-gap',
    'a gap is told of which the server does not know',
    { ...AFTER_GAP, connection: { ...AFTER_GAP.connection, gaps: [] } }
  ],
  [
    'wrong-gap',
    'who was away for too long is told that the place is of another process',
    {
      ...AFTER_GAP,
      connection: {
        ...AFTER_GAP.connection,
        gaps: [{ ...EXPIRED, reason: 'foreign' }],
        received: [gap('e-2', 'foreign'), THIRD, FOURTH]
      }
    }
  ],
  [
    'wrong-gap',
    'who read too slowly is told that it was away for too long',
    {
      dropped: [0, 1],
      connection: { gaps: [EXPIRED], received: [PLACE, FIRST, gap('e-2'), THIRD, FOURTH] }
    }
  ],
  ['wrong-gap', 'a gap does not lead to the newest message', { ...AFTER_GAP, channel: { afterGap: 'now' } }],
  ['syntax', 'the strict parser refuses the stream', { connection: { refusal: 'a CR' } }],
  [
    'memory',
    'more messages are kept than allowed',
    { run: { samples: [{ name: 'messages', value: 11, bound: 10 }] } }
  ],
  ['leftover', 'a connection is left after the end', { run: { leftovers: { connections: 1 } } }]
]

t.test('checkRun › has nothing to say of a run in which', async (t) => {
  for (const [what, story] of Object.entries(good)) t.same(checkRun(runOf(story)), [], what)
})

t.test('checkRun › sees that', async (t) => {
  for (const [kind, what, story] of bad) {
    const violations = checkRun(runOf(story))
    t.same([...new Set(violations.map((violation) => violation.kind))], [kind], `${kind}: ${what}`)
  }
})

t.test(
  'checkRun › excuses a false gap only if the cursor is of a channel that was left too early to know',
  async (t) => {
    const NAMES = ['news', 'other', 'third'] as const
    const subscribed = { from: 'now', resumes: true, starts: [44], filter: undefined } as const
    const kinds = (
      resumedFrom: string,
      leftAt: { news?: number; other?: number; third?: number },
      isLate = true
    ): ViolationKind[] => {
      const channels = NAMES.map((name) => {
        const cursorOf = (number: number): string => `${name[0]}-${number}`
        const messages = MESSAGES.map((message, index) => ({ ...message, cursor: cursorOf(index + 1) }))
        const epochs = [{ since: 0, start: 0, origin: cursorOf(0) }]
        return { name, slow: 'gap', afterGap: 'oldest', messages, epochs } as const
      })
      const connection = {
        resumedFrom,
        subscriptions: NAMES.map((channel) => ({
          ...subscribed,
          channel,
          leftAt: leftAt[channel],
          endedAt: leftAt[channel]
        })),
        gaps: [{ channel: 'news', reason: 'foreign', at: 45 }] as const,
        received: [
          block('news=n-0&other=o-4', 'gap', JSON.stringify({ channel: 'news', reason: 'foreign' }))
        ],
        hasCaughtUp: false
      }
      return checkRun(runOf({ connection, run: { isLate, channels } })).map(({ kind }) => kind)
    }
    const FALSE = ['wrong-gap', 'false-gap']
    t.same(kinds('o-4', {}), FALSE, 'it was not left')
    t.same(kinds('o-4', { other: 44 }), [], 'it was')
    t.same(kinds('o-4', { other: 46 }), FALSE, 'it was left afterwards')
    t.same(kinds('o-4', { third: 44 }), FALSE, 'another one was left')
    t.same(kinds('other=o-4', { other: 44 }), FALSE, 'the cursor has a name')
    t.same(kinds('o-4', { other: 44 }, false), FALSE, 'its history answers at once')
  }
)

t.test('checkRun › knows a run by each kind of violation', async (t) => {
  const kinds: readonly ViolationKind[] = [
    'loss',
    'duplicate',
    'order',
    'payload',
    'phantom',
    'backwards',
    'overclaim',
    'false-gap',
    'wrong-gap',
    'syntax',
    'memory',
    'leftover'
  ]
  t.same([...new Set(bad.map(([kind]) => kind))], kinds)
})

/** A channel with four messages, and a client that was there before and got all of them. */
function runOf({ channel, subscription, connection, run, dropped = [] }: Story): RunLog {
  const log: ConnectionLog = {
    client: 'client',
    resumedFrom: undefined,
    subscriptions: [
      {
        channel: 'news',
        from: 'now',
        resumes: true,
        leftAt: undefined,
        starts: [5],
        endedAt: undefined,
        filter: undefined,
        ...subscription
      }
    ],
    received: [PLACE, FIRST, SECOND, THIRD, FOURTH],
    sent: [],
    gaps: [],
    refusal: undefined,
    stood: [],
    refused: [],
    closedAt: undefined,
    hasCaughtUp: true,
    ...connection
  }
  const epochs = [{ since: 0, start: 0, origin: 'e-0' }]
  return {
    channels: [{ name: 'news', slow: 'gap', afterGap: 'oldest', messages: MESSAGES, epochs, ...channel }],
    clients: [[log]],
    retention: { keepsUnoffered: true, mayHaveDropped: (_channel, index) => dropped.includes(index) },
    isExact: true,
    samples: [],
    leftovers: {},
    ...run
  }
}

function published(number: number): Published {
  const sentAt = number * 10
  return {
    cursor: `e-${number}`,
    event: 'message',
    data: `news ${number}`,
    key: '',
    byteLength: 20,
    sentAt,
    acknowledgedAt: sentAt + 1
  }
}

function message(number: number): Received {
  return block(`e-${number}`, 'message', `news ${number}`)
}

function gap(id: string, reason = 'expired'): Received {
  return block(id, 'gap', JSON.stringify({ channel: 'news', reason }))
}

function block(id: string, event: string | undefined, data: string): Received {
  return { at: 50, start: 100, id, event, data }
}
