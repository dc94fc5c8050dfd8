import t from 'tap'
import { judge } from './judge.ts'
import type { ConnectionLog, Published, Received, RunLog, SubscriptionLog } from './run-log.ts'
import type { ViolationKind } from './violation.ts'

interface Story {
  readonly channel?: Partial<RunLog['channels'][number]>
  /** What is different in the other channel. */
  readonly other?: Partial<RunLog['channels'][number]>
  readonly messages?: readonly Published[]
  readonly subscription?: Partial<SubscriptionLog>
  /** Of the first connection of the only client. */
  readonly connection?: Partial<ConnectionLog>
  /** The client's other connections, each like the first one but for this. */
  readonly later?: readonly Partial<ConnectionLog>[]
  readonly run?: Partial<RunLog>
  /** Messages that the history has dropped, by their data. */
  readonly dropped?: readonly string[]
}

const MESSAGES = [1, 2, 3, 4].map((number) => published(number))
const [FIRST, SECOND, THIRD, FOURTH] = [1, 2, 3, 4].map((number) => message(number)) as [
  Received,
  Received,
  Received,
  Received
]
const PLACE = block('place', undefined, '')
const ALL = [PLACE, FIRST, SECOND, THIRD, FOURTH]
const EXPIRED = { channel: 'news', reason: 'expired', at: 45 }
const UNCERTAIN = { ...EXPIRED, reason: 'uncertain' }
const SENT = block('2', 'sent', 'hello')
const FAREWELL = block('2', 'close', 'bye')
/** Who was given the first message, and was cut then. */
const CUT_AFTER_FIRST: Partial<ConnectionLog> = { received: [PLACE, FIRST], hasCaughtUp: false }

/** Somebody comes back after the first message; the history has dropped the second. */
const AFTER_GAP: Story = {
  dropped: ['news 1', 'news 2'],
  connection: CUT_AFTER_FIRST,
  later: [back('1', [gap('2'), THIRD, FOURTH], { gaps: [EXPIRED] })]
}
/** Somebody comes with an id that nobody was ever told. */
const MADE_UP: Story = {
  dropped: ['news 1'],
  subscription: { from: 'oldest', startedAt: 44 },
  connection: {
    resumedFrom: 'x-1',
    gaps: [{ ...EXPIRED, reason: 'unknown' }],
    received: [gap('1', 'unknown'), SECOND, THIRD, FOURTH]
  }
}
const LATEST: Story = {
  channel: { slow: 'latest' },
  connection: { received: [PLACE, FIRST, FOURTH], stood: [{ at: 6, bytes: 10 }] }
}
/** The second channel, and messages of both, one after the other. */
const BOTH = [published(1), published(2, ['other']), published(3), published(4, ['other'])]
const [A, B, C, D] = [message(1), message(2, 'other'), message(3), message(4, 'other')]
const TWO_CHANNELS: Story = {
  messages: BOTH,
  connection: { subscriptions: [subscribed(), subscribed('other')], received: [PLACE, A, B, C, D] }
}
/** One that concerns both channels. */
const SHARED = published(2, ['news', 'other'])
const SHARED_BLOCK = { ...message(2, 'news+other'), id: '2' }
const ON_BOTH: Story = {
  ...TWO_CHANNELS,
  messages: [published(1), SHARED, published(3), published(4, ['other'])],
  connection: { ...TWO_CHANNELS.connection, received: [PLACE, A, SHARED_BLOCK, C, D] }
}
/** Who comes back to both is cut before its handler has subscribed to the second. */
const CUT_UNSETTLED: Story = {
  ...TWO_CHANNELS,
  connection: { ...TWO_CHANNELS.connection, received: [PLACE, A], hasCaughtUp: false },
  later: [
    {
      ...back('1', [{ ...C, id: '3' }]),
      subscriptions: [subscribed('news', 60)],
      settledAt: Infinity,
      hasCaughtUp: false
    }
  ]
}
/** Who was there joins another channel from its oldest message. */
const JOINED: Story = {
  messages: BOTH,
  connection: {
    subscriptions: [subscribed(), { ...subscribed('other'), from: 'oldest', resumes: false, startedAt: 45 }],
    received: [PLACE, A, C, at(46, B), at(46, D)]
  }
}
/** A failover after which the second message is not there. */
const LOST = [published(1), { ...published(2), lostAt: 25 }, published(3), published(4)]
/** A store in other processes: what clients got has the moments at which it came. */
const ELSEWHERE: Partial<RunLog> = { isExact: false }
const [CAME_FIRST, CAME_SECOND, CAME_THIRD, CAME_FOURTH] = [1, 2, 3, 4].map((number) =>
  at(number * 10 + 2, message(number))
) as [Received, Received, Received, Received]
const FORK: Story = {
  messages: LOST,
  run: ELSEWHERE,
  connection: {
    gaps: undefined,
    received: [
      at(7, PLACE),
      CAME_FIRST,
      CAME_SECOND,
      at(31, gap('1', 'unknown')),
      at(31, FIRST),
      CAME_THIRD,
      CAME_FOURTH
    ]
  }
}
/** One of two stores, which servers took for the same, was given the second message, and the client was at the other. */
const OF_TWO_STORES: Story = {
  run: { ...ELSEWHERE, isShared: true, forks: [{ since: 15, until: 35 }] },
  connection: {
    gaps: undefined,
    received: [at(7, PLACE), CAME_FIRST, at(31, gap('2', 'slow')), CAME_THIRD, CAME_FOURTH]
  }
}
const AT_THE_GAP: Story = {
  ...OF_TWO_STORES,
  connection: {
    gaps: undefined,
    received: [at(7, PLACE), CAME_FIRST, at(31, gap('2', 'slow'))],
    hasCaughtUp: false
  }
}
const behind = (received: Received, isPassed: boolean): Received => ({
  ...received,
  behind: new Map([['other', isPassed]])
})
/** The second message is for those who are here. */
const PASSING: Story = {
  messages: [published(1), { ...published(2), isKept: false }, published(3), published(4)],
  run: { restedAt: [45] }
}
const refusing = (data: string) => (candidate: Published) => candidate.data !== data

const good: Readonly<Record<string, Story>> = {
  'who comes back is not given what was not kept': {
    ...PASSING,
    connection: CUT_AFTER_FIRST,
    later: [back('1', [THIRD, FOURTH])]
  },
  'what was cleared is a gap': {
    channel: { clearedAt: [25] },
    connection: CUT_AFTER_FIRST,
    later: [back('1', [gap('2'), THIRD, FOURTH], { gaps: [EXPIRED] })]
  },
  'the last two are counted before the filter': {
    subscription: { from: { last: 2 }, startedAt: 45, filter: refusing('news 4') },
    connection: { received: [at(46, THIRD)] }
  },
  'what came too early is no gap': {
    dropped: ['news 1', 'news 2'],
    subscription: { from: 'first', startedAt: 45, isTooEarly: ({ sentAt }) => sentAt < 30 },
    connection: { received: [at(46, THIRD), at(46, FOURTH)] }
  },
  'every message comes once, in order': {},
  'a client comes back to where it was': {
    connection: { received: [PLACE, FIRST, SECOND], hasCaughtUp: false },
    later: [back('2', [THIRD, FOURTH])]
  },
  'a client comes back with the id of another one': {
    connection: { received: [PLACE, FIRST, SECOND], hasCaughtUp: false },
    run: {
      clients: [
        [connection({ client: 'other', resumedFrom: '2', received: [THIRD, FOURTH] }, subscribed('news', 60))]
      ]
    }
  },
  'a client comes back with the id of one whose filter had passed over what it wants': {
    subscription: { filter: refusing('news 2') },
    connection: { received: [PLACE, FIRST, { ...PLACE, at: 25, id: '2' }, THIRD, FOURTH] },
    run: {
      clients: [
        [connection({ client: 'other', resumedFrom: '2', received: [THIRD, FOURTH] }, subscribed('news', 60))]
      ]
    }
  },
  'a client comes back with the id of one that was given a newer message instead of what it wants': {
    channel: { slow: 'latest' },
    connection: { received: [PLACE, at(43, block('3', 'sse-cursor', '{}')), at(44, FOURTH)], refused: [50] },
    run: {
      clients: [
        [
          connection(
            { client: 'other', resumedFrom: '3', received: [] },
            { ...subscribed('news', 60), filter: refusing('news 4') }
          )
        ]
      ]
    }
  },
  'a gap is told when something was lost': AFTER_GAP,
  'a gap is told to a client with an id that is none': MADE_UP,
  'what is kept when something first comes is what begins after such a gap': {
    ...MADE_UP,
    connection: { ...MADE_UP.connection, received: [gap('x-1', 'unknown'), at(48, THIRD), at(48, FOURTH)] },
    run: {
      retention: {
        keepsUnoffered: true,
        mayHaveDropped: (_channel, { data }, by) => data === 'news 1' || (data === 'news 2' && by > 47)
      }
    }
  },
  'a client with an id that is none begins like a new one': {
    ...MADE_UP,
    subscription: { from: 'now', startedAt: 44 },
    connection: { ...MADE_UP.connection, received: [gap('4', 'unknown')] }
  },
  'a gap is told to a client whose history was forgotten': {
    channel: { forgottenAt: [50] },
    messages: MESSAGES.map((message) => ({ ...message, lostAt: 50 })),
    connection: { ...CUT_AFTER_FIRST, received: [FIRST] },
    later: [back('1', [gap('0', 'unknown')], { gaps: [{ ...EXPIRED, reason: 'unknown' }] })]
  },
  'what is sent comes between what was published before and after': {
    connection: { sent: [{ data: 'hello', at: 25 }], received: [PLACE, FIRST, SECOND, SENT, THIRD, FOURTH] }
  },
  'a filter passes over messages': {
    subscription: { filter: refusing('news 2') },
    connection: { received: [PLACE, FIRST, THIRD, FOURTH] }
  },
  'a filter that throws passes over messages': {
    subscription: {
      filter: ({ data }) => {
        if (data === 'news 2') throw new Error('a filter threw')
        return true
      }
    },
    connection: { received: [PLACE, FIRST, THIRD, FOURTH] }
  },
  'a slow reader is given the newest of each key': {
    ...LATEST,
    connection: { ...LATEST.connection, refused: [50] }
  },
  'a newcomer behind is given the newest of each key': {
    channel: { slow: 'latest' },
    subscription: { from: 'oldest', startedAt: 45 },
    connection: { received: [at(46, FOURTH)] }
  },
  'a connection that was cut has only the beginning': {
    connection: CUT_AFTER_FIRST
  },
  'a stream that is closed ends with all that was before': {
    connection: { closedAt: 25, received: [PLACE, FIRST, SECOND, FAREWELL], hasCaughtUp: false }
  },
  'an application that unsubscribes while onGap is asked keeps the client from being told': {
    subscription: { endedAt: 67 },
    connection: CUT_AFTER_FIRST,
    dropped: ['news 1', 'news 2'],
    later: [back('1', [], { gaps: [EXPIRED], subscriptions: [{ ...subscribed('news', 60), endedAt: 67 }] })]
  },
  'what was published before unsubscribe() comes, and nothing between it and the next subscribe()': {
    connection: {
      subscriptions: [
        { ...subscribed(), endedAt: 25 },
        { ...subscribed('news', 35), resumes: false }
      ],
      received: [PLACE, FIRST, SECOND, FOURTH]
    }
  },
  'who subscribes again from the end of the last time misses nothing': {
    connection: {
      subscriptions: [
        { ...subscribed(), endedAt: 25 },
        { ...subscribed('news', 35), from: 'end' }
      ],
      received: [PLACE, FIRST, SECOND, at(36, THIRD), FOURTH]
    }
  },
  'who subscribes again from the oldest message gets all again': {
    connection: {
      subscriptions: [
        { ...subscribed(), endedAt: 25 },
        { ...subscribed('news', 35), from: 'oldest', resumes: false }
      ],
      received: [
        at(6, PLACE),
        at(26, FIRST),
        at(26, SECOND),
        at(36, FIRST),
        at(36, SECOND),
        at(36, THIRD),
        FOURTH
      ]
    }
  },
  'messages of two channels come in the order of publishing': TWO_CHANNELS,
  'a channel that has not caught up comes behind, if ids say so': {
    ...TWO_CHANNELS,
    connection: { ...TWO_CHANNELS.connection, received: [PLACE, A, behind(C, true), behind(B, false), D] }
  },
  'what another store was given is a gap, although it is kept': OF_TWO_STORES,
  'who was there when a store was another one may have stood at what that has lost': {
    ...OF_TWO_STORES,
    connection: {
      ...OF_TWO_STORES.connection,
      received: [
        at(7, PLACE),
        CAME_FIRST,
        at(31, gap('1', 'uncertain')),
        at(32, SECOND),
        CAME_THIRD,
        CAME_FOURTH
      ]
    }
  },
  'what is lost together still comes together': {
    messages: [published(1), { ...published(2), lostAt: 25 }, { ...published(3), lostAt: 25 }, published(4)],
    run: ELSEWHERE,
    connection: {
      gaps: undefined,
      received: [
        at(7, PLACE),
        CAME_FIRST,
        CAME_SECOND,
        CAME_THIRD,
        at(33, gap('1', 'unknown')),
        at(33, FIRST),
        CAME_FOURTH
      ]
    }
  },
  'of a message that was lost and published again, the second has come': {
    ...TWO_CHANNELS,
    run: ELSEWHERE,
    messages: [
      { ...published(1), id: 'lost 1', mayBeLostAt: 15, lostAt: 50 },
      { ...published(2, ['other']), lostAt: 60 },
      { ...published(1), sentAt: 25, acknowledgedAt: 26, lostAt: 60 },
      published(3)
    ],
    connection: {
      ...TWO_CHANNELS.connection,
      gaps: undefined,
      received: [PLACE, at(65, B), at(65, { ...A, published: '1' }), at(65, C)],
      hasCaughtUp: false
    }
  },
  'a message of two channels comes through the one whose gap was told, before the gap of the other': {
    ...TWO_CHANNELS,
    run: { ...ELSEWHERE, isShared: true },
    messages: [
      { ...published(1, ['other']), lostAt: 25 },
      { ...published(2), lostAt: 25 },
      published(3, ['news', 'other']),
      published(4, ['other'])
    ],
    connection: {
      ...TWO_CHANNELS.connection,
      gaps: undefined,
      received: [
        ...[at(7, PLACE), at(12, message(1, 'other')), at(22, message(2)), at(31, gap('2'))],
        ...[at(32, message(3, 'news+other')), at(41, gap('3', 'expired', 'other')), at(42, D)]
      ]
    }
  },
  'a message is published again while another store still has it': {
    messages: [
      { ...published(1), lostAt: 60, mayBeLostAt: 40 },
      { ...published(1), id: '5', sentAt: 50, acknowledgedAt: 51 }
    ],
    connection: { hasCaughtUp: false, received: [] }
  },
  'who comes back to two channels gets both in that order': {
    ...TWO_CHANNELS,
    connection: { ...TWO_CHANNELS.connection, received: [PLACE, A], hasCaughtUp: false },
    later: [{ ...back('1', [B, C, D]), subscriptions: [subscribed('news', 60), subscribed('other', 60)] }]
  },
  'a channel that is new to a client that comes back begins at its id': {
    ...TWO_CHANNELS,
    connection: { received: [PLACE, A], hasCaughtUp: false },
    later: [{ ...back('1', [B, C, D]), subscriptions: [subscribed('news', 60), subscribed('other', 60)] }]
  },
  'who comes back without a channel has given it up': {
    ...TWO_CHANNELS,
    connection: { ...TWO_CHANNELS.connection, received: [PLACE, A], hasCaughtUp: false },
    later: [
      { ...back('1', [{ ...C, id: '3' }]), subscriptions: [subscribed('news', 60)], hasCaughtUp: false },
      { ...back('3', [D], {}, 80), subscriptions: [subscribed('news', 80), subscribed('other', 80)] }
    ]
  },
  'what is old of a channel that is joined comes after what was live': JOINED,
  'a message of two channels comes once': ON_BOTH,
  'a message of two channels is not given again by the one that is behind': {
    ...ON_BOTH,
    connection: {
      subscriptions: [
        subscribed(),
        { ...subscribed('other'), from: 'oldest', resumes: false, startedAt: 45 }
      ],
      received: [PLACE, A, SHARED_BLOCK, C, at(46, D)]
    }
  },
  'nor by one that is joined before the other has ended': {
    ...ON_BOTH,
    connection: {
      subscriptions: [
        { ...subscribed(), endedAt: 47 },
        { ...subscribed('other'), from: 'oldest', resumes: false, startedAt: 45 }
      ],
      received: [PLACE, A, SHARED_BLOCK, C, at(46, D)]
    }
  },
  'nor by one that is subscribed to again, before or after the client has come back': {
    messages: [published(1), SHARED, published(3)],
    connection: {
      subscriptions: [
        subscribed(),
        { ...subscribed('other'), endedAt: 25 },
        { ...subscribed('other', 45), from: 'oldest', resumes: false }
      ],
      received: [PLACE, A, SHARED_BLOCK, C, at(46, block('later', undefined, ''))],
      hasCaughtUp: false
    },
    later: [{ ...back('later', []), subscriptions: inBoth() }]
  },
  'a message of two channels is given again by one that is joined when the other has ended': {
    ...ON_BOTH,
    connection: {
      subscriptions: [
        { ...subscribed(), endedAt: 35 },
        { ...subscribed('other'), from: 'oldest', resumes: false, startedAt: 45 }
      ],
      received: [PLACE, A, SHARED_BLOCK, C, at(46, SHARED_BLOCK), at(46, D)]
    }
  },
  'or by one that is subscribed to again from its end then': {
    messages: [published(1), SHARED, published(3)],
    connection: {
      subscriptions: [
        { ...subscribed(), endedAt: 15 },
        { ...subscribed('other'), endedAt: 25 },
        { ...subscribed('news', 35), from: 'end' }
      ],
      received: [PLACE, A, SHARED_BLOCK, at(36, SHARED_BLOCK), at(36, C)]
    }
  },
  'a gap is told in a channel without messages that was forgotten, after a message of another one': {
    messages: [published(1), published(3)],
    run: ELSEWHERE,
    other: { forgottenAt: [25] },
    connection: {
      gaps: undefined,
      openedAt: 7,
      subscriptions: [subscribed(), subscribed('other')],
      received: [
        PLACE,
        CAME_FIRST,
        CAME_THIRD,
        at(35, block('g', 'gap', '{"channel":"other","reason":"unknown"}'))
      ]
    }
  },
  'a client that had not seen what was lost goes on': {
    ...FORK,
    connection: { gaps: undefined, received: [PLACE, CAME_FIRST, CAME_THIRD, CAME_FOURTH] }
  },
  'a client that had is told, and may be given again what was before': FORK,
  'what was lost may be published again': {
    ...FORK,
    messages: [...LOST, { ...published(2), id: '5', sentAt: 50, acknowledgedAt: 51 }],
    connection: { gaps: undefined, received: [...(FORK.connection?.received ?? []), { ...SECOND, id: '5' }] }
  },
  'who has joined a channel, and is cut before any id tells of it, comes back to where the id is': {
    messages: BOTH,
    connection: {
      subscriptions: [subscribed(), { ...subscribed('other', 25), resumes: false }],
      received: [PLACE, A],
      hasCaughtUp: false
    },
    later: [{ ...back('1', [B, C, D]), subscriptions: inBoth() }]
  },
  'so does who has joined it from the oldest message': {
    messages: BOTH,
    connection: {
      subscriptions: [subscribed(), { ...subscribed('other', 35), from: 'oldest', resumes: false }],
      received: [PLACE, A, C],
      hasCaughtUp: false
    },
    later: [{ ...back('3', [D]), subscriptions: inBoth() }]
  },
  'who has left a channel, and was told an id then, comes back to where the id is': {
    messages: [published(1), published(2, ['other']), published(3, ['other']), published(4)],
    connection: {
      subscriptions: [subscribed(), { ...subscribed('other'), endedAt: 25 }],
      received: [PLACE, A, B, message(4)],
      hasCaughtUp: false
    },
    later: [{ ...back('4', []), subscriptions: inBoth() }]
  },
  'one gap is told of all channels to a client with an id that is none': {
    messages: BOTH,
    connection: {
      resumedFrom: 'x-1',
      subscriptions: inBoth(44),
      gaps: undefined,
      received: [at(46, block('4', 'gap', '{"reason":"unknown"}'))]
    }
  },
  'after such a gap, the channel begins where it does for new clients': {
    ...MADE_UP,
    channel: { afterGap: 'now' }
  },
  'a client comes with what publish() gave': {
    subscription: { startedAt: 45 },
    connection: { resumedFrom: '2', received: [at(46, THIRD), at(46, FOURTH)] }
  },
  'a message that a newer one replaces in one channel comes through the other': {
    messages: [SHARED, published(3)],
    channel: { slow: 'latest' },
    other: { slow: 'gap' },
    connection: {
      subscriptions: inBoth(45).map((subscription) => ({ ...subscription, from: 'oldest' })),
      received: [at(46, SHARED_BLOCK), at(46, C)]
    }
  },
  'a channel that had dropped more is told so, though one of its messages came through another': {
    messages: [published(1), SHARED, published(3, ['other']), published(4, ['other'])],
    connection: { subscriptions: inBoth(5), received: [PLACE, A], hasCaughtUp: false },
    later: [
      back('1', [SHARED_BLOCK, block('3', 'gap', '{"channel":"other","reason":"expired"}'), D], {
        subscriptions: inBoth(),
        gaps: [{ channel: 'other', reason: 'expired', at: 64 }]
      })
    ],
    run: {
      retention: {
        keepsUnoffered: true,
        mayHaveDropped: (channel, { data }) => channel === 'other' && data !== 'other 4'
      }
    }
  },
  'one gap is told of all channels to a client whose history was forgotten': {
    channel: { forgottenAt: [50] },
    messages: MESSAGES.map((message) => ({ ...message, lostAt: 50 })),
    connection: { ...CUT_AFTER_FIRST, received: [FIRST] },
    later: [
      back('1', [block('0', 'gap', '{"reason":"unknown"}')], {
        gaps: [{ channel: undefined, reason: 'unknown', at: 64 }]
      })
    ]
  },
  'a channel that does not go on where the client was begins before that': {
    connection: { received: [PLACE, FIRST, SECOND], hasCaughtUp: false },
    later: [
      back('2', [FIRST, SECOND, THIRD, FOURTH], {
        subscriptions: [{ ...subscribed('news', 60), from: 'oldest', resumes: false }]
      })
    ]
  },
  'who subscribes again from the end of the last time catches up with other channels': {
    messages: BOTH,
    connection: {
      subscriptions: [
        { ...subscribed(), endedAt: 15 },
        subscribed('other'),
        { ...subscribed('news', 45), from: 'end' }
      ],
      received: [PLACE, A, B, D, at(46, C)]
    }
  },
  'who subscribes again from the oldest message begins with what is kept when something comes': {
    run: {
      retention: {
        keepsUnoffered: true,
        mayHaveDropped: (_channel, { data }, by) => by > 44 && data !== 'news 4'
      }
    },
    connection: {
      subscriptions: [
        { ...subscribed(), endedAt: 15 },
        { ...subscribed('news', 35), from: 'oldest', resumes: false }
      ],
      received: [PLACE, FIRST, at(46, FOURTH)]
    }
  },
  'so does who is told the same id again': {
    run: {
      retention: {
        keepsUnoffered: true,
        mayHaveDropped: (_channel, { data }, by) => by > 15 && data === 'news 1'
      }
    },
    connection: {
      subscriptions: [
        { ...subscribed(), endedAt: 8 },
        { ...subscribed('news', 14), from: 'oldest', resumes: false }
      ],
      received: [at(12, { ...PLACE, id: '1' }), at(16, block('1', 'sse-cursor', '{}'))],
      hasCaughtUp: false
    },
    later: [back('1', [SECOND, THIRD, FOURTH])]
  },
  'who is cut before a handler has settled is told that the rest is uncertain': {
    ...CUT_UNSETTLED,
    later: [
      ...(CUT_UNSETTLED.later ?? []),
      back(
        '3',
        [block('3', 'gap', '{"channel":"other","reason":"uncertain"}'), D],
        { subscriptions: inBoth(80), gaps: [{ channel: 'other', reason: 'uncertain', at: 84 }] },
        80
      )
    ]
  }
}

const bad: readonly (readonly [ViolationKind, string, Story])[] = [
  ['loss', 'a message is left out', { connection: { received: [PLACE, FIRST, THIRD, FOURTH] } }],
  ['loss', 'the last message does not come', { connection: { received: [PLACE, FIRST, SECOND, THIRD] } }],
  [
    'loss',
    'the first message after subscribe() does not come',
    { subscription: { startedAt: 9 }, connection: { received: [SECOND, THIRD, FOURTH] } }
  ],
  [
    'loss',
    'an id says more than what came',
    {
      connection: { received: [PLACE, FIRST, { ...PLACE, id: '3' }], hasCaughtUp: false },
      later: [back('3', [FOURTH])]
    }
  ],
  [
    'loss',
    'who comes back with the id of another one is not given what followed',
    {
      run: {
        clients: [
          [connection({ client: 'other', resumedFrom: '2', received: [FOURTH] }, subscribed('news', 60))]
        ]
      }
    }
  ],
  ['loss', 'a gap is not told', { ...AFTER_GAP, later: [back('1', [THIRD, FOURTH])] }],
  [
    'loss',
    'a gap is not told to a client with an id that is none',
    { ...MADE_UP, connection: { resumedFrom: 'x-1', received: [SECOND, THIRD, FOURTH] } }
  ],
  [
    'loss',
    'a gap goes over a message that was kept',
    { ...AFTER_GAP, later: [back('1', [gap('3'), FOURTH], { gaps: [EXPIRED] })] }
  ],
  ['loss', 'a reader that keeps up is given the newest only', LATEST],
  [
    'loss',
    'a newer message that the filter refuses replaces one that it wants',
    {
      ...LATEST,
      subscription: { filter: refusing('news 4') },
      connection: { received: [PLACE, FIRST], refused: [50] }
    }
  ],
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
  ['loss', 'what was sent does not come', { connection: { sent: [{ data: 'hello', at: 45 }] } }],
  ['loss', 'a gap that the server met is not told', { connection: { gaps: [EXPIRED] } }],
  [
    'loss',
    'what was published before unsubscribe() does not come',
    { subscription: { endedAt: 25 }, connection: { received: [PLACE, FIRST] } }
  ],
  [
    'loss',
    'a channel that a handler subscribes to after an await begins too late',
    {
      ...CUT_UNSETTLED,
      later: [...(CUT_UNSETTLED.later ?? []), back('3', [D], { subscriptions: inBoth(80) }, 80)]
    }
  ],
  [
    'loss',
    'old messages of a channel that is joined do not come',
    { ...JOINED, connection: { ...JOINED.connection, received: [PLACE, A, C, at(46, D)] } }
  ],
  [
    'loss',
    'a client goes on at a place that was lost',
    {
      ...FORK,
      connection: { gaps: undefined, received: [PLACE, CAME_FIRST, CAME_SECOND, CAME_THIRD, CAME_FOURTH] }
    }
  ],
  [
    'loss',
    'a client stays at a place that was lost',
    {
      ...FORK,
      messages: LOST.slice(0, 2),
      connection: { gaps: undefined, received: [PLACE, CAME_FIRST, CAME_SECOND] }
    }
  ],
  [
    'loss',
    'a message is left out that was there before it was lost',
    {
      ...FORK,
      messages: [published(1), { ...published(2), lostAt: 45 }, published(3), published(4)],
      connection: { gaps: undefined, received: [PLACE, CAME_FIRST, CAME_THIRD, CAME_FOURTH] }
    }
  ],
  [
    'duplicate',
    'a message comes again',
    { connection: { received: [PLACE, FIRST, SECOND, SECOND, THIRD, FOURTH] } }
  ],
  [
    'duplicate',
    'a message of two channels comes twice',
    {
      ...ON_BOTH,
      connection: { ...ON_BOTH.connection, received: [PLACE, A, SHARED_BLOCK, SHARED_BLOCK, C, D] }
    }
  ],
  [
    'duplicate',
    'a message of two channels comes again through one that is joined before the other has ended',
    {
      messages: [published(1), SHARED],
      connection: {
        subscriptions: [
          { ...subscribed(), endedAt: 47 },
          { ...subscribed('other'), from: 'oldest', resumes: false, startedAt: 45 }
        ],
        received: [PLACE, A, SHARED_BLOCK, at(46, SHARED_BLOCK)]
      }
    }
  ],
  [
    'duplicate',
    'an id is given twice',
    {
      messages: [published(1), { ...published(5), id: '1' }],
      connection: { hasCaughtUp: false, received: [] }
    }
  ],
  [
    'duplicate',
    'a message is published twice',
    {
      messages: [...MESSAGES, { ...published(1), id: '5', sentAt: 50, acknowledgedAt: 51 }],
      connection: { hasCaughtUp: false, received: [] }
    }
  ],
  [
    'order',
    'something is given before the handler has subscribed to all that it was to',
    { connection: { waits: true, settledAt: 15 } }
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
    'what is sent does not wait for what was published before',
    {
      connection: { sent: [{ data: 'hello', at: 35 }], received: [PLACE, FIRST, SECOND, SENT, THIRD, FOURTH] }
    }
  ],
  [
    'order',
    'a message has a place behind one that was published later',
    { messages: [1, 0, 2, 3].map((i) => published(i + 1)), connection: { hasCaughtUp: false, received: [] } }
  ],
  [
    'order',
    'messages of two channels come in another order',
    { ...TWO_CHANNELS, connection: { ...TWO_CHANNELS.connection, received: [PLACE, A, C, B, D] } }
  ],
  [
    'order',
    'who comes back to two channels gets first one, then the other',
    {
      ...TWO_CHANNELS,
      connection: { ...TWO_CHANNELS.connection, received: [PLACE], hasCaughtUp: false },
      later: [
        { ...back('place', [A, C, B, D]), subscriptions: [subscribed('news', 60), subscribed('other', 60)] }
      ]
    }
  ],
  [
    'order',
    'a client with an id that is none is given more than a new one',
    {
      ...MADE_UP,
      subscription: { from: 'now', startedAt: 44 }
    }
  ],
  [
    'payload',
    'a message comes with another name',
    {
      connection: { received: [PLACE, FIRST, { ...SECOND, event: 'tick' }, THIRD, FOURTH] },
      subscription: { filter: refusing('news 2') }
    }
  ],
  [
    'payload',
    'a message comes with other data',
    {
      subscription: { filter: refusing('news 2') },
      connection: { received: [PLACE, FIRST, block('2', 'message', 'new'), THIRD, FOURTH] }
    }
  ],
  [
    'payload',
    'what was sent comes with other data',
    { connection: { received: [PLACE, FIRST, SECOND, SENT, THIRD, FOURTH] } }
  ],
  [
    'phantom',
    'nobody published it',
    { connection: { received: [PLACE, block('9', 'message', 'x'), FIRST, SECOND, THIRD, FOURTH] } }
  ],
  ['phantom', 'a message comes in spite of the filter', { subscription: { filter: refusing('news 2') } }],
  [
    'phantom',
    'a message comes of a channel that the client does not have',
    { ...TWO_CHANNELS, connection: { received: [PLACE, A, B, C] } }
  ],
  [
    'phantom',
    'a gap comes of a channel that the client does not have',
    { connection: { received: [...ALL, block('5', 'gap', '{"channel":"other","reason":"slow"}')] } }
  ],
  ['phantom', 'a message comes after unsubscribe()', { subscription: { endedAt: 35 } }],
  [
    'phantom',
    'a message comes that was published while nobody was subscribed',
    {
      connection: {
        subscriptions: [
          { ...subscribed(), endedAt: 25 },
          { ...subscribed('news', 35), resumes: false }
        ]
      }
    }
  ],
  [
    'phantom',
    'who comes back to a channel of newest messages is given an older one',
    {
      channel: { slow: 'latest' },
      connection: { received: [PLACE, FIRST, SECOND], hasCaughtUp: false },
      later: [back('2', [THIRD, FOURTH])]
    }
  ],
  [
    'phantom',
    'a newcomer behind on a channel of newest messages is given an older one',
    {
      channel: { slow: 'latest' },
      subscription: { from: 'oldest', startedAt: 45 },
      connection: { received: [at(46, THIRD), at(46, FOURTH)] }
    }
  ],
  [
    'phantom',
    'a message comes that was published after close()',
    { connection: { closedAt: 35, received: ALL, hasCaughtUp: false } }
  ],
  [
    'phantom',
    'a message comes whose publisher was told that it failed',
    { messages: [published(1), { ...published(2), isRefused: true }, published(3), published(4)] }
  ],
  [
    'false-gap',
    'what was given is said to be uncertain to who was cut when its handler had settled',
    {
      connection: CUT_AFTER_FIRST,
      later: [back('1', [gap('1', 'uncertain'), SECOND, THIRD, FOURTH], { gaps: [UNCERTAIN] })]
    }
  ],
  [
    'false-gap',
    'so it is to who comes back to the channels that it had',
    {
      ...CUT_UNSETTLED,
      later: [
        ...(CUT_UNSETTLED.later ?? []),
        back(
          '3',
          [gap('3', 'uncertain')],
          { subscriptions: [subscribed('news', 80)], gaps: [UNCERTAIN], waits: true, settledAt: 81 },
          80
        )
      ]
    }
  ],
  [
    'false-gap',
    'a gap is told although everything is kept',
    {
      connection: CUT_AFTER_FIRST,
      later: [back('1', [gap('4'), SECOND, THIRD, FOURTH], { gaps: [EXPIRED] })]
    }
  ],
  [
    'false-gap',
    'a gap is told of what is kept when there was one store',
    { ...AT_THE_GAP, run: { ...OF_TWO_STORES.run, forks: [] } }
  ],
  [
    'false-gap',
    'or when two of them had been one again before',
    { ...AT_THE_GAP, run: { ...OF_TWO_STORES.run, forks: [{ since: 1, until: 9 }] } }
  ],
  [
    'false-gap',
    'the same for what is said to be uncertain',
    {
      ...OF_TWO_STORES,
      run: { ...OF_TWO_STORES.run, forks: [{ since: -20_000, until: -10_001 }] },
      connection: {
        ...OF_TWO_STORES.connection,
        subscriptions: [subscribed('news', 10)],
        received: [
          at(11, PLACE),
          CAME_FIRST,
          at(31, gap('1', 'uncertain')),
          CAME_SECOND,
          CAME_THIRD,
          CAME_FOURTH
        ]
      }
    }
  ],
  [
    'false-gap',
    'a gap is told of which the server does not know',
    { ...AFTER_GAP, later: [back('1', [gap('2'), THIRD, FOURTH])] }
  ],
  [
    'false-gap',
    'a gap is told to a reader that kept up',
    {
      dropped: ['news 1', 'news 2'],
      connection: {
        gaps: [{ ...EXPIRED, reason: 'slow', at: 25 }],
        stood: [{ at: 16, bytes: 10 }],
        received: [PLACE, FIRST, at(25, gap('2', 'slow')), THIRD, FOURTH]
      }
    }
  ],
  [
    'wrong-gap',
    'a gap has the reason of a lost place, and nothing was lost',
    {
      ...AFTER_GAP,
      later: [back('1', [gap('2', 'unknown'), THIRD, FOURTH], { gaps: [{ ...EXPIRED, reason: 'unknown' }] })]
    }
  ],
  [
    'wrong-gap',
    'a place that nobody knows is told to be old',
    {
      ...MADE_UP,
      connection: { resumedFrom: 'x-1', gaps: [EXPIRED], received: [gap('1'), SECOND, THIRD, FOURTH] }
    }
  ],
  [
    'wrong-gap',
    'who read too slowly is told that it was away for too long',
    {
      dropped: ['news 1', 'news 2'],
      connection: { gaps: [EXPIRED], received: [PLACE, FIRST, gap('2'), THIRD, FOURTH] }
    }
  ],
  [
    'wrong-gap',
    'who is to be destroyed is told a gap',
    {
      channel: { slow: 'disconnect' },
      dropped: ['news 1', 'news 2'],
      connection: {
        gaps: [{ ...EXPIRED, reason: 'slow' }],
        received: [PLACE, FIRST, gap('2', 'slow'), THIRD, FOURTH]
      }
    }
  ],
  [
    'order',
    'a message comes without an id of its own, and again to who comes back',
    {
      connection: { received: [PLACE, FIRST, { ...SECOND, id: '1' }], hasCaughtUp: false },
      later: [back('1', [SECOND, THIRD, FOURTH])]
    }
  ],
  [
    'order',
    'an id goes back, and a message comes again to who comes back',
    {
      connection: {
        received: [PLACE, FIRST, SECOND, at(24, block('1', 'sse-cursor', '{}'))],
        hasCaughtUp: false
      },
      later: [back('1', [SECOND, THIRD, FOURTH])]
    }
  ],
  [
    'duplicate',
    'an id is given to messages of two channels',
    {
      ...TWO_CHANNELS,
      messages: [published(1), { ...published(2, ['other']), id: '1' }],
      connection: { hasCaughtUp: false, received: [] }
    }
  ],
  [
    'duplicate',
    'a message of two channels comes again after a gap in the one that is behind',
    {
      messages: [published(1, ['other']), SHARED, published(3), published(4, ['other'])],
      dropped: ['other 1'],
      connection: {
        subscriptions: [subscribed(), subscribed('other')],
        gaps: [{ channel: 'other', reason: 'slow', at: 25 }],
        received: [
          PLACE,
          SHARED_BLOCK,
          at(26, block('g', 'gap', '{"channel":"other","reason":"slow"}')),
          at(27, SHARED_BLOCK),
          C,
          D
        ]
      }
    }
  ],
  [
    'order',
    'who comes back is given what was before the last message',
    {
      ...TWO_CHANNELS,
      connection: { ...TWO_CHANNELS.connection, received: [PLACE, A, C], hasCaughtUp: false },
      later: [{ ...back('3', [B, D]), subscriptions: inBoth() }]
    }
  ],
  [
    'order',
    'a client with an id that is none gets one channel after the other',
    {
      messages: BOTH,
      connection: {
        resumedFrom: 'x-1',
        subscriptions: inBoth(44).map((subscription) => ({ ...subscription, from: 'oldest' })),
        gaps: undefined,
        received: [
          at(46, block('4', 'gap', '{"reason":"unknown"}')),
          ...[A, C, B, D].map((one) => at(46, one))
        ]
      }
    }
  ],
  [
    'phantom',
    'a message comes before its channel is joined',
    { ...JOINED, connection: { ...JOINED.connection, received: [PLACE, A, B, C, at(46, D)] } }
  ],
  [
    'loss',
    'who comes back with the id of a message that a filtered client had is not given all that followed',
    {
      subscription: { filter: refusing('news 4') },
      connection: { received: [PLACE, at(25, FIRST), at(26, SECOND), THIRD] },
      run: {
        clients: [
          [
            connection(
              { client: 'other', resumedFrom: '1', received: [THIRD, FOURTH] },
              subscribed('news', 60)
            )
          ]
        ]
      }
    }
  ],
  ['syntax', 'the strict parser refuses the stream', { connection: { refusal: 'a CR' } }],
  [
    'memory',
    'more messages are kept than allowed',
    { run: { samples: [{ name: 'messages', value: 11, bound: 10 }] } }
  ],
  ['leftover', 'a connection is left after the end', { run: { leftovers: { connections: 1 } } }],
  [
    'phantom',
    'what was not kept is given to who comes back',
    { ...PASSING, connection: CUT_AFTER_FIRST, later: [back('1', [SECOND, THIRD, FOURTH])] }
  ],
  [
    'loss',
    'what is not kept does not come to who keeps up',
    { ...PASSING, connection: { stood: [{ at: 15, bytes: 10 }], received: [PLACE, FIRST, THIRD, FOURTH] } }
  ],
  [
    'false-gap',
    'a gap is told for what was not kept',
    {
      ...PASSING,
      dropped: ['news 1', 'news 2'],
      connection: CUT_AFTER_FIRST,
      later: [back('1', [gap('2'), THIRD, FOURTH], { gaps: [EXPIRED] })]
    }
  ],
  [
    'phantom',
    'what was cleared comes',
    {
      channel: { clearedAt: [15] },
      subscription: { from: 'oldest', startedAt: 45 },
      connection: { received: [FIRST, SECOND, THIRD, FOURTH].map((one) => at(46, one)) }
    }
  ],
  [
    'order',
    'who wants the last two is given three',
    {
      subscription: { from: { last: 2 }, startedAt: 45 },
      connection: { received: [SECOND, THIRD, FOURTH].map((one) => at(46, one)) }
    }
  ],
  [
    'loss',
    'who wants the first is not told that it is gone',
    {
      dropped: ['news 1'],
      subscription: { from: 'first', startedAt: 45 },
      connection: { received: [SECOND, THIRD, FOURTH].map((one) => at(46, one)) }
    }
  ]
]

t.test('judge › has nothing to say of a run in which', async (t) => {
  for (const [what, story] of Object.entries(good)) t.same(judge(runOf(story)), [], what)
})

t.test('judge › sees that', async (t) => {
  for (const [kind, what, story] of bad) {
    const violations = judge(runOf(story))
    t.same([...new Set(violations.map((violation) => violation.kind))], [kind], `${kind}: ${what}`)
  }
})

t.test('judge › sees a violation of a kind that is told with others', async (t) => {
  const falseGap: Story = {
    ...FORK,
    connection: {
      gaps: undefined,
      received: [PLACE, CAME_FIRST, at(31, gap('1', 'unknown')), CAME_THIRD, CAME_FOURTH]
    }
  }
  const kinds = judge(runOf(falseGap)).map(({ kind }) => kind)
  t.same(kinds, ['wrong-gap', 'false-gap'], 'a gap is told to a client that had not seen what was lost')
  const early: Story = { subscription: { from: 'oldest', isTooEarly: ({ sentAt }) => sentAt < 20 } }
  t.same(
    judge(runOf(early)).map(({ kind }) => kind),
    ['phantom', 'order'],
    'what came too early is given'
  )
})

t.test('judge › knows a run by each kind of violation', async (t) => {
  const kinds: readonly ViolationKind[] = [
    'loss',
    'duplicate',
    'order',
    'payload',
    'phantom',
    'false-gap',
    'wrong-gap',
    'syntax',
    'memory',
    'leftover'
  ]
  t.same([...new Set(bad.map(([kind]) => kind))], kinds)
})

/** A channel with four messages, and a client that was there before and got all of them. */
function runOf({
  channel,
  other,
  messages = MESSAGES,
  subscription,
  later = [],
  run,
  dropped = [],
  ...story
}: Story): RunLog {
  const first = connection(story.connection ?? {}, { ...subscribed(), ...subscription })
  const others = later.map((log) => connection({ ...log }, subscribed('news', 60)))
  const log = { slow: 'gap', afterGap: 'oldest', forgottenAt: [], ...channel } as const
  return {
    channels: [
      { name: 'news', ...log },
      { name: 'other', ...log, ...other }
    ],
    messages,
    retention: { keepsUnoffered: true, mayHaveDropped: (_channel, { data }) => dropped.includes(data) },
    isExact: true,
    samples: [],
    leftovers: {},
    ...run,
    clients: [[first, ...others], ...(run?.clients ?? [])]
  }
}

function connection(log: Partial<ConnectionLog>, subscription: SubscriptionLog): ConnectionLog {
  const { subscriptions = [subscription], received = ALL } = log
  const begin = Math.min(...subscriptions.map(({ startedAt }) => startedAt))
  return {
    client: 'client',
    resumedFrom: undefined,
    sent: [],
    gaps: [],
    refusal: undefined,
    stood: [],
    refused: [],
    closedAt: undefined,
    hasCaughtUp: true,
    ...log,
    subscriptions,
    received: received.map((one) => at(Math.max(one.at, begin + 1), one))
  }
}

function subscribed(channel = 'news', startedAt = 5): SubscriptionLog {
  return { channel, from: 'now', resumes: true, startedAt, endedAt: undefined, filter: undefined }
}

/** To both channels, as who comes back is. */
function inBoth(startedAt = 60): SubscriptionLog[] {
  return [subscribed('news', startedAt), subscribed('other', startedAt)]
}

/** A connection on which the client came back. */
function back(
  resumedFrom: string,
  received: readonly Received[],
  log: Partial<ConnectionLog> = {},
  after = 60
): Partial<ConnectionLog> {
  return { resumedFrom, received: received.map((one) => at(after + 5, one)), ...log }
}

function published(number: number, channels: readonly string[] = ['news']): Published {
  const sentAt = number * 10
  return {
    channels,
    id: String(number),
    event: 'message',
    data: `${channels.join('+')} ${number}`,
    key: '',
    byteLength: 20,
    sentAt,
    acknowledgedAt: sentAt + 1
  }
}

function message(number: number, channel = 'news'): Received {
  return at(number * 10 + 2, block(String(number), 'message', `${channel} ${number}`))
}

function gap(id: string, reason = 'expired', channel = 'news'): Received {
  return at(46, block(id, 'gap', JSON.stringify({ channel, reason })))
}

function block(id: string, event: string | undefined, data: string): Received {
  return { at: 7, start: 100, id, event, data }
}

function at(moment: number, block: Received): Received {
  return { ...block, at: moment }
}
