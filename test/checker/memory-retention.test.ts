import t from 'tap'
import { type MemoryLimits, MemoryRetention } from './memory-retention.ts'
import type { ChannelLog } from './run-log.ts'

const LIMITS: MemoryLimits = { maxMessages: 100, maxBytes: 1_000, maxAgeMs: false, maxTotalBytes: 10_000 }

/** Three messages of 100 bytes, at 10, 20 and 30. */
const NEWS: ChannelLog = {
  name: 'news',
  slow: 'gap',
  afterGap: 'oldest',
  messages: [10, 20, 30].map((sentAt) => ({
    cursor: `e-${sentAt}`,
    event: 'message',
    data: '',
    key: '',
    byteLength: 100,
    sentAt,
    acknowledgedAt: sentAt
  })),
  epochs: [{ since: 0, start: 0, origin: undefined }]
}

function retention(
  limits: Partial<MemoryLimits>,
  keepsUnoffered = false,
  channels = [NEWS]
): MemoryRetention {
  return new MemoryRetention(
    channels,
    () => ({ ...LIMITS, ...limits }),
    (moment) => moment,
    keepsUnoffered
  )
}

t.test('MemoryRetention › a message may be dropped', async (t) => {
  t.notOk(retention({}).mayHaveDropped('news', 0, 1_000), 'not within all limits')
  const cases: readonly (readonly [string, MemoryRetention, number])[] = [
    ['from the message on that is one too many', retention({ maxMessages: 2 }), 30],
    ['from the byte on that is one too many', retention({ maxBytes: 299 }), 30],
    ['from its age on, of which a millisecond is not known', retention({ maxAgeMs: 100 }), 109],
    ['from the byte of any channel on that is one too many', retention({ maxTotalBytes: 1_835 }), 30]
  ]
  for (const [what, kept, from] of cases) {
    t.notOk(kept.mayHaveDropped('news', 0, from - 1), what)
    t.ok(kept.mayHaveDropped('news', 0, from), what)
  }
})

t.test('MemoryRetention › the newest message is kept whatever its size', async (t) => {
  t.notOk(retention({ maxBytes: 1 }).mayHaveDropped('news', 2, 1_000))
})

t.test('MemoryRetention › a restart drops everything', async (t) => {
  const epochs = [...NEWS.epochs, { since: 50, start: 3, origin: undefined }]
  const kept = retention({}, false, [{ ...NEWS, epochs }])
  t.notOk(kept.mayHaveDropped('news', 2, 49))
  t.ok(kept.mayHaveDropped('news', 2, 50))
})
