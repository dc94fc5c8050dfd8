import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import t from 'tap'
import type { History } from '../../lib/history/history.ts'
import { redisHistory } from '../../lib/history/redis/redis-history.ts'
import type { NoticesHost } from '../../lib/history/redis/redis-notices.ts'
import type { PublisherHost } from '../../lib/history/redis/redis-publisher.ts'
import { ALL, Ear } from '../helpers/history.ts'

t.test('redisHistory › options', async (t) => {
  const code = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
  const ms = 'an integer from 1 to 2147483647 (milliseconds)'
  const bytes = 'an integer of at least 1 (bytes)'
  const url = 'redis://127.0.0.1:6379'
  const prefix = 'a well-formed string of up to 64 characters without braces'
  const make = (options: unknown): History => Reflect.apply(redisHistory, undefined, [options])
  const never = [null, Number.NaN, 5n, [], {}]
  const rows = [
    [
      'prefix',
      prefix,
      ['', 'a', '😀:', 'x'.repeat(64)],
      ['{', 'a}', '{a}', 'x'.repeat(65), '\ud83d', 5, true]
    ],
    ['maxLength', 'an integer of at least 1', [1, 2 ** 53 - 1], [false, 0, -1, 1.5, 2 ** 53, Infinity, '5']],
    ['ttlMs', ms, [10_000, 2 ** 31 - 1], [false, 0, -1, 1.5, 2 ** 31, Infinity, '10000']],
    ['ttlMs', 'at least 10000', [10_000], [1, 9_999]],
    ['publishTimeoutMs', ms, [1, 3_599_999], [false, 0, -1, 1.5, 2 ** 31, Infinity, '5']],
    ['maxBytes', bytes, [1, 2 ** 53 - 1], [false, 0, -1, 1.5, 2 ** 53, Infinity, '5']],
    ['maxTotalBytes', bytes, [1, 2 ** 53 - 1], [false, 0, -1, 1.5, 2 ** 53, Infinity, '5']]
  ] as const
  for (const [name, rule, accepted, refused] of rows) {
    t.test(`${name}: ${rule}`, async (t) => {
      for (const value of [...accepted, undefined])
        t.doesNotThrow(() => make({ url, [name]: value }), `${value}`)
      for (const value of [...refused, ...(rule === 'at least 10000' ? [] : never)]) {
        const message = new RegExp(`^Expected ${name} to be ${rule.replace(/[()]/g, '\\$&')}, got `)
        t.throws(() => make({ url, [name]: value }), { code, message }, `${value}`)
      }
    })
  }

  t.test(
    'publishTimeoutMs is below ttlMs, so that what makes a retry safe is there when it comes',
    async (t) => {
      for (const [publishTimeoutMs, ttlMs] of [[3_600_000], [10_000, 10_000], [20_000, 10_000]] as const) {
        const message = /^Expected publishTimeoutMs to be below ttlMs \((3600000|10000)\), got /
        t.throws(() => make({ url, publishTimeoutMs, ttlMs }), { code, message })
      }
      make({ url, publishTimeoutMs: 9_999, ttlMs: 10_000 })
    }
  )

  t.test('url', async (t) => {
    for (const value of ['redis://x', 'rediss://user:password@host:1/2', 'redis://[::1]:6379'])
      make({ url: value })
    const message = /^Expected url to be a URL that begins with redis:\/\/ or rediss:\/\/, got /
    for (const value of [
      ...never,
      '',
      'redis:',
      'redis://',
      'http://x',
      'host:6379',
      ' redis://x',
      'redis://[',
      new URL(url)
    ]) {
      t.throws(() => make({ url: value }), { code, message }, `${value}`)
    }
    t.throws(
      () => make({ url: 'redis:/me:secret@host' }),
      { message: /got 'redis:\/\*\*\*@host'/ },
      'no password'
    )
  })

  t.test('client', async (t) => {
    const clients = [createClient({ url }), new Redis({ lazyConnect: true })]
    for (const client of clients) t.doesNotThrow(() => make({ client }))
    const message = /^Expected client to be a client of redis or ioredis, not of a cluster, got /
    for (const client of [...never, 'redis', 5, () => {}, url]) {
      t.throws(() => make({ client }), { code, message }, `${client}`)
    }
  })

  t.test('either client or url', async (t) => {
    const client = new Redis({ lazyConnect: true })
    const message = /^Expected the options of redisHistory\(\) to be with either client or url, got /
    for (const options of [{}, { client, url }, { url: undefined }, { prefix: 'x' }]) {
      t.throws(() => make(options), { code, message })
    }
  })

  t.test('of no other name, and nothing but options', async (t) => {
    t.throws(() => make({ url, maxMessages: 5 }), {
      code,
      message: /^Expected maxMessages to be one of client, url, prefix, maxLength, ttlMs, /
    })
    for (const options of [undefined, null, 1, url])
      t.throws(() => make(options), { code, message: /to be an object/ })
  })
})

t.test('redisHistory › that was never used', async (t) => {
  const history = redisHistory({ url: 'redis://127.0.0.1:1' })
  t.teardown(() => history.close())

  t.test('leaves a notice of what nobody wants to know any more', async (t) => {
    // It is told of a channel until Redis has heard that nobody follows it.
    const host = history as unknown as NoticesHost
    t.doesNotThrow(() => host.noticesOnNotice('left', 'x'))
  })

  t.test('has no connection on which to ask Redis', async (t) => {
    const host = history as unknown as PublisherHost<never, never>
    await t.rejects(host.loadScripts(), { message: 'There is no connection to Redis' })
  })
})

t.test('redisHistory › that was closed before it was used makes no connection', async (t) => {
  const connections: Socket[] = []
  const server = createServer((socket) => connections.push(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`
  const history = redisHistory({ url })
  await history.close()
  history.open?.({ historyOnDegrade() {}, historyOnRecover() {} })
  const log = history.follow('news', new Ear())
  t.equal(log.head, '')
  t.equal(log.read('1-1', ALL), undefined)
  log.close()
  await t.rejects(history.append('news', { text: '', byteLength: 0 }, ''), {
    code: 'FST_ERR_EVENTSTREAM_HISTORY_CLOSED'
  })
  const other = redisHistory({ url })
  other.open?.({ historyOnDegrade() {}, historyOnRecover() {} })
  while (connections.length < 2) await once(server, 'connection')
  t.equal(connections.length, 2, 'as one does that is used after it')
  await other.close()
  for (const socket of connections) socket.destroy()
  server.close()
})
