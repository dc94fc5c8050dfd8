import t from 'tap'
import { redisKeys } from '../../lib/history/redis/redis-keys.ts'
import { tagOf } from '../../lib/history/redis/stream-id.ts'

/** What Redis Cluster hashes of a key: what is between the first `{` and the next `}`, if anything is. */
function hashed(key: string): string {
  const start = key.indexOf('{')
  const end = key.indexOf('}', start + 1)
  return start >= 0 && end > start + 1 ? key.slice(start + 1, end) : key
}

const CHANNELS = [
  ...[
    'news',
    'a',
    'b',
    'a:log',
    'log',
    ':',
    '{',
    '}',
    '{}',
    '{a}',
    'a}b',
    'a{b',
    '%7B',
    'ü',
    '😀',
    ' ',
    '\n',
    '\0'
  ],
  ...['*', '[a]', '?', "it's", 'a b', '__proto__', 'once:x', 'x'.repeat(256)]
]
const PREFIXES = ['', 'eventstream:', 'a', ':', 'app:', '😀 ', '%']

t.test('redis keys › names say what they are', async (t) => {
  const keys = redisKeys('eventstream:', 'user:ann')
  t.equal(keys.log, 'eventstream:{user%3Aann}:log')
  t.equal(keys.notices, 'eventstream:{user%3Aann}:notices')
  t.equal(keys.once('order 7'), 'eventstream:{user%3Aann}:once:order%207')
  t.equal(keys.tag, tagOf(keys.log))
})

t.test('redis keys › all of one channel are in one slot of a cluster, whatever its name', async (t) => {
  for (const prefix of PREFIXES) {
    for (const channel of CHANNELS) {
      const { log, notices, once } = redisKeys(prefix, channel)
      const slots = new Set([log, notices, once('x'), once('{y}'), once('}{'), once('')].map(hashed))
      t.equal(slots.size, 1, JSON.stringify([prefix, channel]))
      t.notOk(slots.has(log), 'and not all channels in one')
    }
  }
})

t.test('redis keys › no two of different channels, prefixes or uses are the same', async (t) => {
  const idempotencyKeys = ['x', 'log', '', ':', 'x:', '{', '%7B', '😀', 'once:x']
  const names = PREFIXES.slice(1, 4).flatMap((prefix) =>
    CHANNELS.flatMap((channel) => {
      const { log, notices, once } = redisKeys(prefix, channel)
      return [log, notices, ...idempotencyKeys.map(once)]
    })
  )
  t.equal(new Set(names).size, names.length)
})

t.test('redis keys › have no character that is hard to type', async (t) => {
  for (const channel of CHANNELS) {
    const { log, once } = redisKeys('p:', channel)
    t.match(log, /^p:\{[\w.~%-]+\}:log$/)
    t.match(once('a b\n{}*'), /^p:\{[\w.~%-]+\}:once:[\w.~%-]+$/)
  }
})
