import t from 'tap'
import { Followed } from '../../../lib/history/redis/followed.ts'
import { findMissed, tellMissed } from '../../../lib/history/redis/missed.ts'
import type { StoredMessage } from '../../../lib/history/store.ts'
import { cpuTime, timesAsLong } from '../../helpers/cpu-time.ts'

/** Of times as long. */
const TOO_MUCH = 80

const EPOCH = 'epoch'
/** All was told until here, and clients stand there at most. */
const TOLD = { epoch: EPOCH, mark: 10, newest: 12 }
const DAY = 86_400_000_000
const FOUND = { epoch: EPOCH, site: `${EPOCH}.1`, place: 30, isKnown: true }

function message(place: number): StoredMessage {
  return { place, channels: ['a'], key: '', text: `${place}`, isKept: true, isEnd: false }
}

interface Situation {
  readonly mark?: number
  /** Where the channel ended when it was told; none: it was not loaded yet. */
  readonly known?: number
  readonly until?: Partial<typeof FOUND>
  /** What Redis has of it. */
  readonly places: readonly number[]
  readonly previous?: number
  readonly dropped?: number
}

/** What is told of one channel. */
async function told({ mark = TOLD.mark, known, until, places, previous, dropped = 0 }: Situation) {
  const followed = new Followed(async () => {})
  void followed.add('a')
  if (known !== undefined) followed.setHead('a', known)
  const head = places.at(-1) ?? previous ?? 0
  const missed = await findMissed(
    ['a'],
    followed,
    { ...TOLD, mark, newest: mark + 2 },
    { ...FOUND, ...until },
    {
      heads: async () => [head],
      read: async (_name, after) => ({
        head,
        previous,
        dropped,
        isEnded: false,
        messages: places.filter((place) => place > after).map(message)
      })
    }
  )
  const events: string[] = []
  tellMissed(
    {
      storeOnMessages: (messages) => void events.push(...messages.map(({ text }) => text)),
      storeOnLoss: (channels, place) => void events.push(`${channels} lost until ${place}`)
    },
    missed,
    30
  )
  return { events: events.join(', '), end: missed.ends.get('a') }
}

t.test('findMissed() › of a channel that was loaded', async (t) => {
  const cases: Record<string, [Situation, string, number | undefined]> = {
    'nothing came': [{ known: 9, places: [9] }, '', undefined],
    'what came follows': [{ known: 9, places: [9, 15, 20], previous: 9 }, '15, 20', 20],
    'what comes later is told by notices': [{ known: 9, places: [20, 31], previous: 9 }, '20', 20],
    'also if nothing came before': [{ known: 9, places: [31], previous: 9 }, '', 9],
    'something between was dropped': [
      { known: 9, places: [18, 20], previous: 16, dropped: 16 },
      'a lost until 16, 18, 20',
      20
    ],
    'all of it was, up to now': [
      { known: 9, places: [31], previous: 35, dropped: 35 },
      'a lost until 30',
      35
    ],
    'what was told is gone': [{ known: 9, places: [8] }, 'a lost until 13', 8],
    'clients have gone past what came': [
      { known: 5, places: [5, 7, 11, 15], previous: 5 },
      'a lost until 13, 15',
      15
    ],
    'the history is another one': [
      { known: 9, until: { epoch: 'other' }, places: [15], previous: 9 },
      'a lost until 13, 15',
      15
    ]
  }
  for (const [title, [situation, events, end]] of Object.entries(cases))
    t.same(await told(situation), { events, end }, title)
})

t.test('findMissed() › of a channel that may have been forgotten', async (t) => {
  const mark = 10 * DAY
  const until = { place: mark + 30 }
  const cases: Record<string, [Situation, string, number | undefined]> = {
    'it got nothing for a day': [{ mark, until, known: 9, places: [] }, '', undefined],
    'and then something': [
      { mark, until, known: 9, places: [mark + 15], previous: 0 },
      `${mark + 15}`,
      mark + 15
    ],
    'it got something lately': [{ mark, until, known: mark - 1, places: [] }, `a lost until ${mark + 3}`, 0],
    'this server was away for as long': [
      { mark, until: { place: mark + DAY }, known: 9, places: [] },
      `a lost until ${mark + 3}`,
      0
    ]
  }
  for (const [title, [situation, events, end]] of Object.entries(cases))
    t.same(await told(situation), { events, end }, title)
})

t.test('findMissed() › of a channel that is being loaded', async (t) => {
  const cases: Record<string, [Situation, string, number | undefined]> = {
    'nothing came': [{ places: [9] }, '', undefined],
    'what came is told': [{ places: [9, 15], previous: 9 }, '15', 15],
    'what was dropped since is lost': [
      { places: [18], previous: 16, dropped: 16 },
      'a lost until 16, 18',
      18
    ],
    'so it is if places are not known': [
      { until: { isKnown: false }, places: [9], previous: 8 },
      'a lost until 13',
      8
    ]
  }
  for (const [title, [situation, events, end]] of Object.entries(cases))
    t.same(await told(situation), { events, end }, title)
})

t.test('tellMissed() › messages and losses in the order of places', async (t) => {
  const events: unknown[] = []
  tellMissed(
    {
      storeOnMessages: (messages, upTo) => void events.push([...messages.map(({ place }) => place), upTo]),
      storeOnLoss: (channels, place) => void events.push(`${channels} ${place}`)
    },
    {
      messages: [11, 14, 20].map(message),
      losses: new Map([
        ['a', 15],
        ['b', 13],
        ['c', 15],
        ['d', 25]
      ]),
      ends: new Map()
    },
    30
  )
  t.same(events, [[11, 13], 'b 13', [14, 15], 'a,c 15', [20, 25], 'd 25', [30]])
})

t.test(
  'tellMissed() › of channels with losses of their own, each takes no longer the more there are',
  async (t) => {
    const taken = async (count: number): Promise<number> => {
      const losses = new Map(Array.from({ length: count }, (_, i) => [`${i}`, i]))
      const nobody = { storeOnMessages() {}, storeOnLoss() {} }
      return cpuTime(() => tellMissed(nobody, { messages: [], losses, ends: new Map() }, count))
    }
    const ratio = await timesAsLong(
      () => taken(16_000),
      () => taken(1_000),
      TOO_MUCH
    )
    t.ok(ratio < TOO_MUCH, `${ratio} times for 16 times as many`)
  }
)
