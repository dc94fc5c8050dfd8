import assert from 'node:assert/strict'
import t, { type Test } from 'tap'
import { type RedisKeys, redisKeys } from '../../lib/history/redis/redis-keys.ts'
import { dialUrl } from '../../lib/history/redis/redis-link.ts'
import type { OwnMessage } from '../../lib/history/redis/redis-log.ts'
import { RedisNotices } from '../../lib/history/redis/redis-notices.ts'
import {
  CHECK,
  FIND,
  OPEN,
  PUBLISH,
  READ,
  type RedisScript,
  SCRIPTS
} from '../../lib/history/redis/redis-scripts.ts'
import { comparePlaces, isPlace, placeBefore, RANDOM_RANGE } from '../../lib/history/redis/stream-id.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { TTL_MS, toldOf } from './redis-log-bench.ts'

const redis = await RedisServer.start()
t.teardown(() => redis.stop())

let channels = 0
const DAY_MS = 86_400_000
/** With what Redis 6.2 writes before it. */
const OOM = { message: /^(@user_script: \d+: -)?OOM / }

/** The Redis of all these tests, empty, for one that makes it refuse what the others need. */
async function refusing(t: Test): Promise<void> {
  t.teardown(async () => {
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await redis.command('ACL', 'SETUSER', 'default', '+@all')
  })
  await redis.command('FLUSHALL')
}

function newKeys(): RedisKeys {
  return redisKeys('', `channel ${++channels}`)
}

async function run(
  { source }: RedisScript,
  keys: readonly string[],
  args: readonly (string | number)[]
): Promise<unknown> {
  return await redis.command('EVAL', source, String(keys.length), ...keys, ...args.map(String))
}

interface PublishOptions {
  readonly text?: string
  readonly key?: string
  readonly random?: number
  readonly maxLength?: number
  readonly idempotencyKey?: string
}

type Published = [id: string, previous: string, oldest: string]

async function publish(keys: RedisKeys, options: PublishOptions = {}): Promise<Published> {
  const { text = 'x', key = '', random = 5, maxLength = 1_000, idempotencyKey } = options
  const streams = idempotencyKey === undefined ? [keys.log] : [keys.log, keys.once(idempotencyKey)]
  const once = idempotencyKey === undefined ? '' : '1'
  const args = [
    keys.notices,
    maxLength + 1,
    TTL_MS,
    keys.tag,
    random,
    key.length,
    text.length,
    key,
    text,
    once
  ]
  const [oldest = '', id = '', previous = ''] = (await run(PUBLISH, streams, args)) as string[]
  if (id === '') throw new Error(previous)
  return [id, previous, oldest]
}

async function entries({ log }: RedisKeys): Promise<[id: string, fields: string[]][]> {
  return (await redis.command('XRANGE', log, '-', '+')) as [string, string[]][]
}

async function ids(keys: RedisKeys): Promise<string[]> {
  return (await entries(keys)).map(([id]) => id)
}

function partsOf(id: string): [ms: number, number: number] {
  const [ms, number] = id.split('-')
  return [Number(ms), Number(number)]
}

function tagIn(id: string): number {
  return Math.floor(partsOf(id)[1] / RANDOM_RANGE)
}

function assertIncreasing(all: readonly string[]): void {
  for (const [i, id] of all.entries()) {
    if (i > 0) assert.ok(comparePlaces(all[i - 1] ?? '', id) < 0, `${all[i - 1]} is before ${id}`)
  }
}

t.test('redis scripts › are known to Redis by their hash', async (t) => {
  for (const { source, sha } of SCRIPTS) t.equal(await redis.command('SCRIPT', 'LOAD', source), sha)
  t.equal(new Set(SCRIPTS.map(({ sha }) => sha)).size, 5)
})

t.test('redis scripts › PUBLISH › ids', async (t) => {
  t.test('are the time, the tag, and something random', async (t) => {
    const keys = newKeys()
    const before = Date.now()
    const [id] = await publish(keys, { random: 77 })
    const [ms, number] = partsOf(id)
    t.ok(ms >= before - 1 && ms <= Date.now() + 1)
    t.equal(tagIn(id), keys.tag)
    t.ok(number % RANDOM_RANGE >= 77 && number % RANDOM_RANGE < 77 + 2_048)
    t.ok(isPlace(id) && id.length <= 27)
  })

  t.test('of thousands at once go on, and keep the tag', async (t) => {
    const keys = newKeys()
    const ms = Date.now() + DAY_MS
    await redis.command('XADD', keys.log, `${ms}-0`, 'start', '1')
    const source = `
      local function publish() ${PUBLISH.source} end
      local ids = {}
      for i = 1, 3000 do
        ARGV[5] = tostring((i * 7919) % ${RANDOM_RANGE})
        ids[i] = publish()[2]
      end
      return ids`
    const args = [keys.notices, 10_000, TTL_MS, keys.tag, 0, 0, 1, '', 'x', '']
    const given = (await run({ source, sha: '' }, [keys.log], args)) as string[]
    t.equal(given.length, 3_000)
    assertIncreasing(given)
    for (const id of given) assert.ok(partsOf(id)[0] < ms + 1_000)
    for (const id of given) assert.equal(tagIn(id), keys.tag)
    t.same((await ids(keys)).slice(1), given)
    const steps = given.map((id, i) => partsOf(id)[1] - partsOf(given[i - 1] ?? id)[1])
    t.ok(new Set(steps).size > 2_000, 'by steps that nobody can guess')
  })

  t.test('take the next millisecond when there is no room in one', async (t) => {
    const keys = newKeys()
    const ms = Date.now() + DAY_MS
    const least = keys.tag * RANDOM_RANGE
    await redis.command('XADD', keys.log, `${ms}-${least + RANDOM_RANGE - 3}`, 'start', '1')
    const [first] = await publish(keys, { random: 1 })
    t.equal(first, `${ms}-${least + RANDOM_RANGE - 1}`)
    const [second] = await publish(keys, { random: 9 })
    t.equal(second, `${ms + 1}-${least + 9}`)
  })

  t.test('go on where they were when the clock goes back', async (t) => {
    const keys = newKeys()
    const ms = Date.now() + DAY_MS
    const least = keys.tag * RANDOM_RANGE
    const rows: [last: string, id: string][] = [
      [`${ms}-0`, `${ms}-${least + 5}`],
      [`${ms + 1}-${least - 1}`, `${ms + 1}-${least + 5}`],
      [`${ms + 2}-${least}`, `${ms + 2}-${least + 6}`],
      [`${ms + 3}-${least + RANDOM_RANGE}`, `${ms + 4}-${least + 5}`],
      [`${ms + 5}-${2 ** 52}`, `${ms + 6}-${least + 5}`],
      [`${ms + 7}-18446744073709551615`, `${ms + 8}-${least + 5}`]
    ]
    for (const [last, id] of rows) {
      await redis.command('XADD', keys.log, last, 'text', 'from the future')
      t.same(await publish(keys, { random: 5 }), [id, last, ''])
    }
    assertIncreasing(await ids(keys))
  })

  t.test('are above all that were deleted', async (t) => {
    const keys = newKeys()
    const ms = Date.now() + DAY_MS
    const [first] = await publish(keys)
    await redis.command('XADD', keys.log, `${ms}-5`, 'text', 'x')
    await redis.command('XDEL', keys.log, `${ms}-5`)
    const [second, previous] = await publish(keys)
    t.equal(previous, first, 'the entry before it is one that is there')
    t.equal(partsOf(second)[0], ms)
    await redis.command('XDEL', keys.log, ...(await ids(keys)))
    const [third] = await publish(keys)
    t.ok(comparePlaces(second, third) < 0)
    t.same(
      (await entries(keys)).map(([, [field]]) => field),
      ['start', 'key'],
      'a stream that is empty begins anew'
    )
  })

  t.test('that there can be no more of is an error', async (t) => {
    const keys = newKeys()
    const max = '18446744073709551615'
    await redis.command('XADD', keys.log, `${max}-${max}`, 'text', 'x')
    await t.rejects(publish(keys), { message: /stream/i })
    t.equal((await ids(keys)).length, 1)
  })
})

t.test('redis scripts › PUBLISH › appends', async (t) => {
  t.test('a message after what begins a stream, and lets it expire', async (t) => {
    const keys = newKeys()
    const [id, previous, oldest] = await publish(keys, { key: 'k', text: 'x' })
    t.same(await entries(keys), [
      [previous, ['start', '1']],
      [id, ['key', 'k', 'text', 'x']]
    ])
    t.equal(oldest, '')
    const ttl = Number(await redis.command('PTTL', keys.log))
    t.ok(ttl > TTL_MS / 2 && ttl <= TTL_MS)
    await redis.command('PEXPIRE', keys.log, String(TTL_MS / 4))
    t.equal((await publish(keys))[1], id)
    t.ok(Number(await redis.command('PTTL', keys.log)) > TTL_MS / 2)
  })

  t.test('and trims the stream now and then, and says what is the oldest then', async (t) => {
    const keys = newKeys()
    const [, start] = await publish(keys, { maxLength: 10 })
    let [first] = await ids(keys)
    let trims = 0
    t.equal(first, start)
    for (let n = 2; n <= 400; n++) {
      const [, , oldest] = await publish(keys, { maxLength: 10 })
      const kept = await ids(keys)
      assert.ok(kept.length >= Math.min(n, 10) && kept.length <= 10 + 101, `${kept.length} of ${n} are kept`)
      const isTrimmed = kept[0] !== first
      first = kept[0]
      assert.equal(oldest, isTrimmed ? placeBefore(first ?? '') : '', `after ${n}`)
      trims += Number(isTrimmed)
    }
    t.ok(trims >= 2)
  })

  t.test('nothing twice that has the same idempotency key', async (t) => {
    const keys = newKeys()
    const [id] = await publish(keys, { idempotencyKey: 'a' })
    t.same(await publish(keys, { idempotencyKey: 'a', text: 'other' }), [id, '', ''])
    const [other] = await publish(keys, { idempotencyKey: 'b' })
    t.not(other, id)
    t.equal((await ids(keys)).length, 3)
    const ttl = Number(await redis.command('PTTL', keys.once('a')))
    t.ok(ttl > TTL_MS / 2 && ttl <= TTL_MS, 'for as long as the stream is kept')
    await redis.command('DEL', keys.once('a'))
    t.not((await publish(keys, { idempotencyKey: 'a' }))[0], id)
  })

  t.test('several messages at once, of which some may be known', async (t) => {
    const keys = newKeys()
    const [known] = await publish(keys, { idempotencyKey: 'a' })
    const messages = ['1', 'a', '2', 'b'].map((text) => [
      0,
      text.length,
      '',
      text,
      /[ab]/.test(text) ? '1' : ''
    ])
    const args = [keys.notices, 1_000, TTL_MS, keys.tag, 5, ...messages.flat()]
    const names = [keys.log, keys.once('a'), keys.once('b')]
    const [oldest, ...answers] = (await run(PUBLISH, names, args)) as string[]
    t.equal(oldest, '')
    const [, , first, second, third] = await ids(keys)
    t.same(answers, [first, known, known, '', second, first, third, second])
    assertIncreasing(await ids(keys))
    t.equal(await redis.command('GET', keys.once('b')), third)
    t.equal(((await run(PUBLISH, names, args)) as string[])[7], third, 'and again')
  })

  t.test('each that is not refused itself', async (t) => {
    const keys = newKeys()
    await publish(keys)
    await redis.command('SADD', keys.once('a'), 'no string')
    const messages = ['1', '2', '3'].map((text) => [0, 1, '', text, text === '2' ? '1' : ''])
    const args = [keys.notices, 1_000, TTL_MS, keys.tag, 5, ...messages.flat()]
    const refused = (await run(PUBLISH, [keys.log, keys.once('a')], args)) as string[]
    t.match(refused.slice(1), [/-/, /-/, '', /^WRONGTYPE /, /-/, refused[1]])
    await refusing(t)
    await publish(keys)
    await redis.command('ACL', 'SETUSER', 'default', '-set')
    const answers = (await run(PUBLISH, [keys.log, keys.once('b')], args)) as string[]
    t.match(answers.slice(1), [/-/, /-/, '', /SET|permission|can't run/, /-/, answers[1]])
    t.equal(await redis.command('XLEN', keys.log), 4, 'and so are those around it')
  })

  t.test('one whose retry finds it, also where nothing can be appended', async (t) => {
    const keys = newKeys()
    await refusing(t)
    const [id] = await publish(keys, { idempotencyKey: 'a' })
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    const args = [keys.notices, 1_000, TTL_MS, keys.tag, 5, 0, 1, '', 'b', '', 0, 1, '', 'a', '1']
    const answers = (await run(PUBLISH, [keys.log, keys.once('a')], args)) as string[]
    t.match(answers.slice(1), ['', /OOM /, id, ''])
  })

  t.test('and says so, also where the oldest entry cannot be told', async (t) => {
    const keys = newKeys()
    await refusing(t)
    await redis.command('ACL', 'SETUSER', 'default', '-xrange')
    for (let n = 0; n < 300; n++) await publish(keys, { maxLength: 100 })
    t.ok(Number(await redis.command('XLEN', keys.log)) < 300, 'though it was trimmed')
  })

  t.test('nothing to a key that is no stream', async (t) => {
    const keys = newKeys()
    await redis.command('SET', keys.log, 'x')
    await t.rejects(publish(keys, { idempotencyKey: 'a' }), { message: /WRONGTYPE/ })
    t.equal(await redis.command('EXISTS', keys.once('a')), 0)
    await t.rejects(run(OPEN, [keys.log], [TTL_MS, keys.tag, 1]), { message: /WRONGTYPE/ })
    await t.rejects(run(READ, [keys.log], ['0-1', 100]), { message: /WRONGTYPE/ })
  })

  t.test('nothing when the memory is full', async (t) => {
    await refusing(t)
    const keys = newKeys()
    const [id] = await publish(keys)
    await redis.command('CONFIG', 'SET', 'maxmemory', '1')
    const other = newKeys()
    for (const idempotencyKey of [undefined, 'a']) {
      const options = idempotencyKey === undefined ? {} : { idempotencyKey }
      await t.rejects(publish(keys, options), OOM)
      await t.rejects(publish(other, options), OOM)
    }
    await t.rejects(run(OPEN, [other.log], [TTL_MS, 1, 1]), OOM)
    t.equal(await redis.command('DBSIZE'), 1, 'not even a part of it')
    t.equal(await redis.command('XLEN', keys.log), 2)
    const [, newest] = (await run(READ, [keys.log], [id, 1_000])) as string[]
    t.equal(newest, id, 'but everything can be read')
    t.same(await run(CHECK, [keys.log], ['p', '', TTL_MS, id]), [])
    t.same(await run(OPEN, [keys.log], [TTL_MS, 1, 1]), [id, (await firstOf(keys)) ?? ''])
    await redis.command('CONFIG', 'SET', 'maxmemory', '0')
    await publish(keys)
  })
})

async function firstOf({ log }: RedisKeys): Promise<string | undefined> {
  const [[id] = []] = (await redis.command('XRANGE', log, '-', '+', 'COUNT', '1')) as [string][]
  return id
}

t.test('redis scripts › PUBLISH › tells those who follow', async (t) => {
  const keys = newKeys()
  const got: string[] = []
  let told = (): void => {}
  const ready = new Promise<void>((resolve) => {
    const host = {
      noticeNames: [keys.notices],
      isWanted: () => true,
      noticesOnReady: resolve,
      noticesOnLost() {},
      noticesOnSubscribe() {},
      noticesOnNotice(_: string, notice: string) {
        got.push(notice)
        told()
      }
    }
    const notices = new RedisNotices(host, dialUrl(redis.url), 'probe')
    t.teardown(() => notices.close())
    notices.start()
  })
  await ready
  const hostile = [
    ...[
      '',
      ' ',
      'a b',
      'two\nlines',
      '\r\n',
      '\0',
      '😀',
      'é😀',
      '\u{10ffff}',
      '\ufeff',
      '0',
      '12 3',
      '$5',
      '*1',
      '"'
    ],
    ...['ä'.normalize('NFD'), '\u2028', 'x'.repeat(300), '😀'.repeat(300), '1-1 2-1  3 ', '{}', '__proto__']
  ]
  for (const key of hostile) {
    for (const text of ['data: x\n\n', key, `${key} 😀 é`]) {
      const isTold = new Promise<void>((resolve) => {
        told = resolve
      })
      const [id, previous, oldest] = await publish(keys, { key, text })
      await isTold
      const notice = got.pop()
      const message = { id, previous, oldest, key, text, byteLength: Buffer.byteLength(text) } as OwnMessage
      assert.equal(notice, toldOf(message))
    }
  }
  t.equal(got.length, 0, 'once of each message')
  await publish(keys, { idempotencyKey: 'a' })
  await publish(keys, { idempotencyKey: 'a' })
  const isTold = new Promise<void>((resolve) => {
    told = () => {
      if (got.at(-1)?.endsWith(' the last')) resolve()
    }
  })
  await publish(keys, { text: 'the last' })
  await isTold
  t.same(
    got.map((notice) => notice.split(' ').slice(6).join(' ')),
    ['x', 'the last'],
    'and nothing of what was not appended'
  )
})

t.test('redis scripts › OPEN', async (t) => {
  t.test('begins a stream, once', async (t) => {
    const keys = newKeys()
    const open = () => run(OPEN, [keys.log], [TTL_MS, keys.tag, 7])
    const [head, oldest] = (await open()) as [string, string]
    t.equal(head, oldest)
    t.equal(tagIn(head), keys.tag)
    t.same(await entries(keys), [[head, ['start', '1']]])
    t.same(await open(), [head, head])
    t.equal((await publish(keys))[1], head, 'after which the first message comes')
  })

  t.test('says where a stream ends and begins, and lets it expire later', async (t) => {
    const keys = newKeys()
    const open = () => run(OPEN, [keys.log], [TTL_MS, keys.tag, 7])
    const [a, start] = await publish(keys)
    t.same(await open(), [a, start])
    const [b] = await publish(keys)
    await redis.command('XTRIM', keys.log, 'MAXLEN', '1')
    await redis.command('PEXPIRE', keys.log, String(TTL_MS / 4))
    t.same(await open(), [b, `~${b}`])
    t.ok(Number(await redis.command('PTTL', keys.log)) > TTL_MS / 2)
  })
})

t.test('redis scripts › READ', async (t) => {
  const read = async ({ log }: RedisKeys, from: string, bytes: number) => {
    const [oldest, newest, flat] = (await run(READ, [log], [from, bytes])) as [
      string,
      string,
      (string | null)[]
    ]
    const found: [string, string, string | null][] = []
    for (let i = 0; i < flat.length; i += 3)
      found.push([flat[i] ?? '', flat[i + 1] ?? '', flat[i + 2] ?? null])
    return { oldest, newest, found }
  }

  t.test('gives the entries from one on, and both ends of the stream', async (t) => {
    const keys = newKeys()
    const [a, start] = await publish(keys, { key: 'k', text: 'a' })
    const [b] = await publish(keys, { text: 'é' })
    const all: [string, string, string | null][] = [
      [start, '', null],
      [a, 'k', 'a'],
      [b, '', 'é']
    ]
    for (const [i, [from]] of all.entries()) {
      t.same(await read(keys, from, 10_000), { oldest: start, newest: b, found: all.slice(i) })
    }
    await redis.command('XDEL', keys.log, a)
    t.same((await read(keys, a, 10_000)).found, all.slice(2), 'also if that one is not there')
    t.same(await read(keys, `${partsOf(b)[0] + 1}-0`, 10_000), { oldest: start, newest: b, found: [] })
    t.same(await read(newKeys(), '0-1', 10_000), { oldest: '', newest: '', found: [] })
  })

  t.test('as far as the bytes go, and at least one more than the first', async (t) => {
    const keys = newKeys()
    const given = [(await publish(keys, { text: 'x'.repeat(1_000) }))[1]]
    given.push((await ids(keys))[1] ?? '')
    for (let n = 1; n < 700; n++) given.push((await publish(keys, { text: 'x'.repeat(1_000) }))[0])
    const counts: [bytes: number, count: number][] = [
      [1, 2],
      [1_064, 2],
      [1_200, 3],
      [10_000, 11],
      [20_000, 20],
      [100_000, 95],
      [500_000, 471],
      [10_000_000, 701]
    ]
    for (const [bytes, count] of counts) {
      const { found } = await read(keys, given[0] ?? '', bytes)
      assert.deepEqual(
        found.map(([id]) => id),
        given.slice(0, found.length)
      )
      t.ok(Math.abs(found.length - count) <= 1, `${found.length} for ${bytes} bytes`)
    }
  })

  t.test('what is no message has no text, whatever fields it has', async (t) => {
    const keys = newKeys()
    const add = async (...fields: string[]) => String(await redis.command('XADD', keys.log, '*', ...fields))
    const rows: [string, string, string | null][] = [
      [await add('start', '1'), '', null],
      [await add('foo', 'bar', 'baz', ''), '', null],
      [await add('key', 'k'), 'k', null],
      [await add('text', ''), '', ''],
      [await add('text', 'x', 'text', 'y', 'key', 'a', 'key', 'b'), 'b', 'y'],
      [await add('Text', 'x'), '', null]
    ]
    t.same((await read(keys, rows[0]?.[0] ?? '', 10_000)).found, rows)
  })
})

t.test('redis scripts › CHECK', async (t) => {
  const check = async (streams: readonly RedisKeys[], heads: readonly string[]) =>
    await run(
      CHECK,
      streams.map(({ log }) => log),
      ['probe', '', TTL_MS, ...heads]
    )

  t.test('says which streams end otherwise than is thought', async (t) => {
    const streams = Array.from({ length: 6 }, newKeys)
    const heads: string[] = []
    for (const keys of streams.slice(0, 5)) heads.push((await publish(keys))[0])
    heads.push('5-5')
    const [, moved, deleted, wrong] = streams
    assert.ok(moved && deleted && wrong)
    t.same(await check(streams, heads), [5], 'one that is not there')
    await publish(moved)
    await redis.command('DEL', deleted.log)
    await redis.command('SET', wrong.log, 'x')
    t.same(await check(streams, heads), [1, 2, 3, 5], 'one that is no stream, too')
    t.same(await check([], []), [])
  })

  t.test('looks at a thousand at a time', async (t) => {
    const streams = Array.from({ length: 1_000 }, newKeys)
    const heads = await Promise.all(streams.map(async (keys) => (await publish(keys))[0]))
    t.same(await check(streams, heads), [])
    const [last] = streams.slice(-1)
    assert.ok(last)
    await publish(last)
    t.same(await check(streams, heads), [999])
  })

  t.test('keeps from expiring, also what has moved, when half of its time has gone', async (t) => {
    const streams = [newKeys(), newKeys(), newKeys(), newKeys()]
    const heads: string[] = []
    for (const keys of streams) heads.push((await publish(keys))[0])
    const [early, late, forever, moved] = streams.map(({ log }) => log)
    await redis.command('PEXPIRE', early ?? '', String((4 * TTL_MS) / 6))
    await redis.command('PEXPIRE', late ?? '', String((2 * TTL_MS) / 6))
    await redis.command('PERSIST', forever ?? '')
    await redis.command('PEXPIRE', moved ?? '', String((2 * TTL_MS) / 6))
    await check(streams, [...heads.slice(0, 3), '1-1'])
    const left = await Promise.all(streams.map(async ({ log }) => Number(await redis.command('PTTL', log))))
    const sixths = left.map((ms) => Math.ceil((6 * ms) / TTL_MS))
    t.same(sixths, [4, 6, 6, 6])
  })

  t.test('publishes for the probe', async (t) => {
    const link = await dialUrl(redis.url)({
      linkOnMessage: (name, body) => told(`${name}: ${body}`),
      linkOnLost() {}
    })
    t.teardown(() => link.destroy())
    let told = (_: string): void => {}
    const message = new Promise<string>((resolve) => {
      told = resolve
    })
    await link.subscribe(['probe'])
    await check([], [])
    t.equal(await message, 'probe: ')
  })
})

t.test('redis scripts › FIND says which id is the first that is there', async (t) => {
  const keys = newKeys()
  const given: string[] = []
  for (let n = 0; n < 300; n++) given.push((await publish(keys))[0])
  const find = (...wanted: string[]) => run(FIND, [keys.log], wanted)
  const [a = '', b = ''] = given
  t.equal(await find(a), 0)
  t.equal(await find('1-1', '1-2', b, a), 2)
  t.equal(await find('1-1', '1-2'), -1)
  t.equal(await find(), -1)
  t.equal(await find(...given.toReversed()), 0)
  await redis.command('DEL', keys.log)
  t.equal(await find(...given), -1)
})
