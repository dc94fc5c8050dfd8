import t from 'tap'
import { type MemoryLimits, MemoryRetention } from './memory-retention.ts'
import type { Published } from './run-log.ts'

const LIMITS: MemoryLimits = { maxMessages: 100, maxBytes: 1_000, maxAgeMs: false, maxTotalBytes: 10_000 }

/** Three messages of 100 bytes, at 10, 20 and 30. */
const NEWS = [10, 20, 30].map(
  (sentAt): Published => ({
    channels: ['news'],
    id: `e-${sentAt}`,
    event: 'message',
    data: '',
    key: '',
    byteLength: 100,
    sentAt,
    acknowledgedAt: sentAt
  })
)
const [OLDEST, , NEWEST] = NEWS as [Published, Published, Published]

function retention(limits: Partial<MemoryLimits>): MemoryRetention {
  return new MemoryRetention(
    NEWS,
    () => ({ ...LIMITS, ...limits }),
    (moment) => moment,
    false
  )
}

t.test('MemoryRetention › a message may be dropped', async (t) => {
  t.notOk(retention({}).mayHaveDropped('news', OLDEST, 1_000), 'not within all limits')
  const cases: readonly (readonly [string, MemoryRetention, number])[] = [
    ['from the message on that is one too many', retention({ maxMessages: 2 }), 30],
    ['from the byte on that is one too many', retention({ maxBytes: 299 }), 30],
    ['from its age on, of which a millisecond is not known', retention({ maxAgeMs: 100 }), 109],
    ['from the byte of any channel on that is one too many', retention({ maxTotalBytes: 1_835 }), 30]
  ]
  for (const [what, kept, from] of cases) {
    t.notOk(kept.mayHaveDropped('news', OLDEST, from - 1), what)
    t.ok(kept.mayHaveDropped('news', OLDEST, from), what)
  }
})

t.test('MemoryRetention › the newest message is kept whatever its size', async (t) => {
  t.notOk(retention({ maxBytes: 1 }).mayHaveDropped('news', NEWEST, 1_000))
})
