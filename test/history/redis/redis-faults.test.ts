import t, { type Test } from 'tap'
import { PROBE, PROVE, READ } from '../../../lib/history/redis/redis-scripts.ts'
import type { Store, StoredMessage, StoreListener } from '../../../lib/history/store.ts'
import { redisStore } from '../../../lib/index.ts'
import { Child } from '../../helpers/child.ts'
import { FaultProxy } from '../../helpers/fault-proxy.ts'
import { freePort } from '../../helpers/free-port.ts'
import { RedisServer } from '../../helpers/programs/redis-server.ts'
import { nextTurn, until } from '../../helpers/server.ts'

const HOUR_MS = 3_600_000
const LIMITS = { maxMessages: 9, maxBytes: 1_000_000, maxAgeMs: false, keepEndedMs: 1_000 } as const

async function start(t: Test) {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const told: StoredMessage[] = []
  const losses: (readonly string[])[] = []
  const listener: StoreListener = {
    storeOnMessages: (messages) => void told.push(...messages),
    storeOnLoss: (channels) => void losses.push(channels),
    storeOnFork() {}
  }
  const store = redisStore({ url: redis.url })
  t.teardown(() => store.close())
  await store.open(listener)
  await store.follow?.('a')
  await store.read('a', 0)
  const publish = (text: string) =>
    store.append({
      channels: [{ name: 'a', limits: LIMITS }],
      messages: [{ text, key: '' }],
      idempotencyKey: text,
      isKept: true,
      isEnd: false
    })
  /** Also when the connection breaks meanwhile. */
  const publishSurely = async (text: string): Promise<unknown> =>
    publish(text).catch(() => publishSurely(text))
  await publish('1')
  await until(() => told.length === 1)
  return { redis, store, told, losses, publish, publishSurely }
}

/** Another server, behind a line that can break. */
async function startBehindLine(t: Test, redis: RedisServer) {
  const line = await FaultProxy.start({ port: redis.port })
  t.teardown(() => line.close())
  const other = redisStore({ url: line.url })
  t.teardown(() => other.close())
  const heard: string[] = []
  const forks: number[] = []
  const told = { upTo: 0 }
  await other.open({
    storeOnMessages(messages, upTo) {
      heard.push(...messages.map(({ text, clears }) => (clears === undefined ? text : 'clear')))
      told.upTo = upTo
    },
    storeOnLoss: (channels) => void heard.push(`lost: ${channels.join()}`),
    storeOnFork: (place) => void forks.push(place)
  })
  return { line, other, heard, told, forks }
}

/** Appends to a channel that nobody follows. */
async function appendTo(store: Store, text: string): Promise<number> {
  const { places } = await store.append({
    channels: [{ name: 'b', limits: LIMITS }],
    messages: [{ text, key: '' }],
    idempotencyKey: undefined,
    isKept: true,
    isEnd: false
  })
  return places[0] as number
}

/** Those to which is told what is published. */
async function connectionsOf(redis: RedisServer): Promise<readonly string[]> {
  return String(await redis.command('CLIENT', 'LIST', 'TYPE', 'pubsub')).match(/^id=\d+/gm) ?? []
}

async function startReplica(t: Test, redis: RedisServer): Promise<RedisServer> {
  const replica = await RedisServer.start()
  t.teardown(() => replica.stop())
  await redis.command('CONFIG', 'SET', 'repl-diskless-sync-delay', '0')
  await replica.command('CONFIG', 'SET', 'repl-diskless-sync-delay', '0')
  await replica.command('REPLICAOF', '127.0.0.1', String(redis.port))
  const [[id = ''] = []] = (await redis.command('XRANGE', 'eventstream:{0}:ids', '-', '+', 'COUNT', '1')) as [
    string
  ][]
  await has(replica, Number.parseInt(id, 10))
  return replica
}

/** Resolves when it has a place. */
async function has(redis: RedisServer, place: number): Promise<void> {
  const range = ['eventstream:{0}:ids', `${place}-0`, `${place}-0`]
  const found = async (): Promise<unknown> => redis.command('XRANGE', ...range).catch(() => [])
  while (((await found()) as unknown[]).length === 0) await nextTurn()
}

/** Where places are told. */
async function siteName(redis: RedisServer): Promise<string> {
  return `eventstream:{0}:${await redis.command('GET', 'eventstream:{0}:site')}`
}

t.test('redisStore() › what was published while its connections were cut comes, in order', async (t) => {
  const { redis, told, losses, publishSurely } = await start(t)
  for (const type of ['normal', 'pubsub'])
    await redis.command('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes')
  await publishSurely('2')
  await until(() => told.length === 2)
  t.same(
    told.map(({ text }) => text),
    ['1', '2']
  )
  t.same(losses, [])
})

t.test('redisStore() › a database that lost all is told', async (t) => {
  const { redis, store, losses, publishSurely } = await start(t)
  const { epoch } = store
  await redis.command('FLUSHALL')
  await publishSurely('2')
  await until(() => losses.length > 1)
  t.same(losses, [['a'], []], 'the channel, and places')
  t.not(store.epoch, epoch)
})

t.test('redisStore() › also when nobody publishes', async (t) => {
  const { redis, losses } = await start(t)
  await redis.command('FLUSHALL')
  await until(() => losses.length > 1)
  t.same(losses, [['a'], []])
})

t.test('redisStore() › also to who follows a channel while it is found out', async (t) => {
  const { redis } = await start(t)
  const losses: (readonly string[])[] = []
  const store = redisStore({ url: redis.url })
  t.teardown(() => store.close())
  await store.open({
    storeOnMessages() {},
    storeOnLoss(channels) {
      losses.push(channels)
      if (channels[0] === 'a') void store.follow?.('late')
    },
    storeOnFork() {}
  })
  await store.follow?.('a')
  await redis.command('FLUSHALL')
  await until(() => losses.length > 2)
  t.same(losses, [['a'], ['late'], []])
})

t.test(
  'redisStore() › of places that Redis has lost is told after which one, if nobody was told more',
  async (t) => {
    const { redis } = await start(t)
    const { line, other, heard, told, forks } = await startBehindLine(t, redis)
    let known: number
    let lost: number
    do {
      line.blackhole(false)
      ;[known, lost] = [await appendTo(other, '1'), await appendTo(other, '2')]
      line.blackhole(true)
    } while (told.upTo >= known)
    await redis.command('XDEL', 'eventstream:{0}:ids', `${lost}-0`)
    line.blackhole(false)
    line.cutAll()
    await until(() => heard.length > 0)
    t.same(forks, [known])
    t.same(heard, ['lost: '])
  }
)

t.test('redisStore() › a place is proved when all that is at or before it has been told', async (t) => {
  const { redis, store } = await start(t)
  const { other, told } = await startBehindLine(t, redis)
  const place = await appendTo(store, 'to nobody who is there')
  t.same(await other.prove([place]), [true])
  t.ok(told.upTo >= place)
})

t.test('redisStore() › a primary that has become a replica proves nothing, and is not read', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  await redis.command('REPLICAOF', '127.0.0.1', '1')
  for (const { source } of [PROVE, READ])
    await t.rejects(redis.command('EVAL', source, '1', 'base', '1', '1'), { message: /READONLY/ })
})

t.test(
  'redisStore() › a connection that stays with a primary that is given up tells nothing of the other one',
  async (t) => {
    const { redis } = await start(t)
    const next = await startReplica(t, redis)
    const { line, heard, told, other: staying } = await startBehindLine(t, redis)
    await staying.follow?.('a')
    await staying.read('a', 0)
    await next.command('REPLICAOF', 'NO', 'ONE')
    const alone = await appendTo(staying, 'alone')
    await until(() => told.upTo >= alone)
    const { other } = await startBehindLine(t, next)
    await redis.command('REPLICAOF', '127.0.0.1', String(next.port))
    const append = async (text: string): Promise<number> => {
      const { places } = await other.append({
        channels: [{ name: 'a', limits: LIMITS }],
        messages: [{ text, key: '' }],
        idempotencyKey: undefined,
        isKept: true,
        isEnd: false
      })
      return places[0] as number
    }
    const place = await append('2')
    await has(redis, place)
    line.retarget({ port: next.port })
    await until(() => heard.length >= 2)
    t.same(heard, ['2', 'lost: '])
  }
)

t.test(
  'redisStore() › what another primary took meanwhile comes when the first one is the primary again',
  async (t) => {
    const { redis } = await start(t)
    const next = await startReplica(t, redis)
    const { line, heard, told, other: staying } = await startBehindLine(t, redis)
    await staying.follow?.('b')
    await staying.read('b', 0)
    const before = await appendTo(staying, '1')
    await until(() => told.upTo >= before)
    await has(next, before)
    // It does not look until that is over.
    line.hold('toServer', true)
    await next.command('REPLICAOF', 'NO', 'ONE')
    const { other } = await startBehindLine(t, next)
    await redis.command('REPLICAOF', '127.0.0.1', String(next.port))
    const meanwhile = await appendTo(other, '2')
    await has(redis, meanwhile)
    await redis.command('REPLICAOF', 'NO', 'ONE')
    line.hold('toServer', false)
    await until(() => told.upTo >= meanwhile)
    t.same(heard, ['1', '2'])
  }
)

t.test('redisStore() › a reading that lacks what was told makes it look again', async (t) => {
  const { redis } = await start(t)
  const losses: (readonly string[])[] = []
  const store = redisStore({ url: redis.url })
  t.teardown(() => store.close())
  await store.open({
    storeOnMessages() {},
    storeOnLoss: (channels) => void losses.push(channels),
    storeOnFork() {}
  })
  await store.follow?.('a')
  await store.read('a', 0)
  await redis.command('ZADD', 'eventstream:{0}:heads', '1', 'a')
  await t.rejects(Promise.resolve(store.read('a', 0)), { message: 'Redis has read less than it has told' })
  await until(() => losses.length > 0)
  t.same(losses, [['a']])
})

t.test(
  'redisStore() › a reading that comes when the channel was given up and followed again counts for nothing',
  async (t) => {
    const { redis, told, publish } = await start(t)
    const { line, other, heard } = await startBehindLine(t, redis)
    const before = await connectionsOf(redis)
    await other.follow?.('a')
    line.hold('toClient', true)
    const old = other.read('a', 0)
    const published = other.append({
      channels: [{ name: 'a', limits: LIMITS }],
      messages: [{ text: '2', key: '' }],
      idempotencyKey: undefined,
      isKept: true,
      isEnd: false
    })
    other.unfollow?.('a')
    await until(() => told.length === 2)
    void other.follow?.('b')
    const again = other.follow?.('a')
    line.hold('toClient', false)
    await Promise.all([old, published, again])
    const { messages } = await other.read('a', 0)
    t.same(
      messages.map(({ text }) => text),
      ['1', '2']
    )
    await publish('3')
    await until(() => heard.includes('3'))
    t.notOk(heard.some((text) => text.startsWith('lost')))
    t.same(await connectionsOf(redis), before, 'there was no need for others')
  }
)

t.test('redisStore() › what is kept after a loss comes after it', async (t) => {
  const { redis, publish } = await start(t)
  const { line, other, heard } = await startBehindLine(t, redis)
  for (const name of ['a', 'b']) {
    await other.follow?.(name)
    await other.read(name, 0)
  }
  line.refuse(true)
  line.cutAll()
  await publish('2')
  await redis.command('DEL', 'eventstream:{0}:log:a')
  await publish('3')
  await publish('4')
  line.refuse(false)
  await until(() => heard.includes('4'))
  t.same(heard, ['lost: a', '3', '4'])
})

t.test(
  'redisStore() › what somebody has removed from the middle or the end of a channel is a loss',
  async (t) => {
    const { redis, publish } = await start(t)
    const { line, other, heard } = await startBehindLine(t, redis)
    await other.follow?.('a')
    await other.read('a', 0)
    const log = 'eventstream:{0}:log:a'
    const newest = async (): Promise<string> => {
      const [[id = ''] = []] = (await redis.command('XREVRANGE', log, '+', '-', 'COUNT', '1')) as [string][]
      return id
    }
    const away = async (...steps: readonly string[]): Promise<string[]> => {
      line.refuse(true)
      line.cutAll()
      for (const step of steps) {
        if (step === 'remove') await redis.command('XDEL', log, await newest())
        else if (step === 'append') await redis.command('XADD', log, '*', 'not', 'ours')
        else await publish(step)
      }
      line.refuse(false)
      await until(() => heard.includes(steps.at(-1) ?? ''))
      return heard.splice(0)
    }
    t.same(await away('2', '3', 'remove', '4'), ['lost: a', '4'])
    t.same(await away('5', 'append', '6'), ['lost: a', '6'], 'what comes before what is no message')
    const { messages, dropped } = await other.read('a', 0)
    t.same([messages.map(({ text }) => text), dropped < (messages[0]?.place ?? 0)], [['6'], true])
    await publish('7')
    const after = messages[0]?.place ?? 0
    await redis.command('XDEL', log, await newest())
    const past = await other.read('a', after)
    t.same([past.messages, past.dropped > after], [[], true], 'the newest is not there')
  }
)

t.test('redisStore() › a channel that was cleared meanwhile has lost what was not told', async (t) => {
  const { redis, store, publish } = await start(t)
  const { line, other, heard } = await startBehindLine(t, redis)
  for (const name of ['a', 'b']) {
    await other.follow?.(name)
    await other.read(name, 0)
  }
  const away = async (...steps: readonly string[]): Promise<string[]> => {
    line.refuse(true)
    line.cutAll()
    for (const step of steps) {
      if (step === 'clear') await store.clear?.('a')
      else if (step === 'drop') await redis.command('XTRIM', 'eventstream:{0}:log:a', 'MAXLEN', '1')
      else await publish(step)
    }
    line.refuse(false)
    await until(() => heard.includes(steps.at(-1) ?? ''))
    return heard.splice(0)
  }
  t.same(await away('clear'), ['clear'], 'nothing')
  t.same(await away('clear', '2', '3'), ['2', '3'])
  t.same(await away('clear', 'clear', '4'), ['clear', '4'])
  t.same(await away('before', 'clear', '5'), ['lost: a', '5'], 'what came before')
  t.same(await away('clear', '6', 'drop', '7'), ['clear', '6', '7'])
  t.same(await away('clear', '8', '9', 'drop', '10'), ['lost: a', '9', '10'], 'what was dropped after')
})

t.test(
  'redisStore() › what was read and is lost is before all that comes later, whatever the clock says',
  async (t) => {
    const { redis, store, publish } = await start(t)
    const { line, other } = await startBehindLine(t, redis)
    const ahead = (Date.now() + HOUR_MS) * 1_000
    await redis.command('XADD', 'eventstream:{0}:ids', `${ahead}-0`, 'i', '')
    const { places } = await publish('2')
    const { messages } = await other.read('a', 0)
    line.hold('toClient', true)
    const { epoch } = other
    await store.close()
    await redis.command('FLUSHALL')
    line.cutAll()
    line.hold('toClient', false)
    await until(() => other.epoch !== epoch)
    t.same([messages.at(-1)?.place], places)
    t.ok((await other.head()) > ahead)
  }
)

t.test('redisStore() › a channel that ends before what was told is a loss', async (t) => {
  const { redis, losses } = await start(t)
  await redis.command('ZADD', 'eventstream:{0}:heads', '1', 'a')
  await until(() => losses.length > 0)
  t.same(losses, [['a']])
})

t.test(
  'redisStore() › of channels that got nothing for a day, nothing is left, also if they were cleared',
  async (t) => {
    const { redis, store } = await start(t)
    await appendTo(store, 'to be forgotten')
    await store.clear?.('c')
    const keys = async (): Promise<string[]> => {
      const all = (await redis.command('KEYS', 'eventstream:*')) as string[]
      return all.filter((key) => !key.includes(':once:')).sort()
    }
    t.ok((await keys()).includes('eventstream:{0}:clears'))
    for (const name of ['a', 'b', 'c']) await redis.command('ZADD', 'eventstream:{0}:heads', '1', name)
    await store.head()
    t.same(
      await keys(),
      ['floor', 'ids', 'site'].map((name) => `eventstream:{0}:${name}`)
    )
  }
)

t.test('redisStore() › a channel that is forgotten while it is followed has lost nothing', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const base = 'eventstream:{0}'
  const hour = 3_600_000
  const old = `${(Date.now() - 20 * hour) * 1_000}`
  await redis.command('XADD', `${base}:ids`, `${old}-0`, 'i', '')
  await redis.command('ZADD', `${base}:heads`, old, 'a')
  const { other, heard } = await startBehindLine(t, redis)
  await other.follow?.('a')
  await other.read('a', 0)
  const audits = async (): Promise<number> =>
    Number(/zmscore:calls=(\d+)/.exec(String(await redis.command('INFO', 'commandstats')))?.[1] ?? 0)
  await redis.command('EVAL', PROBE.source, '1', base, '', '0', '7', '', `${12 * hour}`, '60000')
  t.equal(await redis.command('ZSCORE', `${base}:heads`, 'a'), null)
  const before = await audits()
  while ((await audits()) < before + 2) await nextTurn()
  await other.read('a', 0)
  await other.append({
    channels: [{ name: 'a', limits: LIMITS }],
    messages: [{ text: '1', key: '' }],
    idempotencyKey: undefined,
    isKept: true,
    isEnd: false
  })
  await until(() => heard.length > 0)
  t.same(heard, ['1'])
})

t.test(
  'redisStore() › a channel of which Redis refuses to tell can be followed when it allows that',
  async (t) => {
    const { redis, store, told, losses, publish } = await start(t)
    await redis.command('ACL', 'SETUSER', 'default', '-subscribe')
    await t.rejects(async () => store.follow?.('b'), { name: 'RedisReplyError', code: 'NOPERM' })
    await publish('2')
    await redis.command('ACL', 'SETUSER', 'default', '+subscribe')
    await store.follow?.('b')
    await redis.command('PUBLISH', `${await siteName(redis)}:b`, '9999999999999999 0\n[""]\nof b')
    await until(() => told.length === 3)
    t.same(
      told.map(({ text }) => text),
      ['1', '2', 'of b']
    )
    t.same(losses, [])
  }
)

t.test(
  'redisStore() › a channel of which Redis refuses to tell does not hold back the next connection',
  async (t) => {
    const { redis, store, told, publishSurely } = await start(t)
    await redis.command('ACL', 'SETUSER', 'default', 'resetchannels', `&${await siteName(redis)}`, '&*:a')
    await redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await t.rejects(async () => store.follow?.('b'), { name: 'RedisReplyError', code: 'NOPERM' })
    await publishSurely('2')
    await until(() => told.length === 2)
  }
)

t.test('redisStore() › a message of which Redis did not allow to tell is a loss', async (t) => {
  const { redis, losses, publish } = await start(t)
  await redis.command('ACL', 'SETUSER', 'default', '-publish')
  await t.rejects(publish('2'), { name: 'RedisReplyError' })
  await redis.command('ACL', 'SETUSER', 'default', '+publish')
  t.match(await publish('2'), { isNew: false }, 'but is kept')
  await until(() => losses.length > 0)
  t.same(losses, [['a']])
})

t.test('redisStore() › a connection that tells nothing any more is given up for another one', async (t) => {
  const { redis, publish } = await start(t)
  const { line, other, heard } = await startBehindLine(t, redis)
  await other.follow?.('a')
  await other.read('a', 0)
  const { connections } = line
  line.blackhole(true)
  await publish('2')
  await until(() => line.connections > connections)
  t.same(heard, [])
  line.blackhole(false)
  await until(() => heard.length > 0)
  t.same(heard, ['2'])
})

t.test('redisStore() › what others publish where places are told, and is none, is passed over', async (t) => {
  const { redis, told, publish } = await start(t)
  const before = await connectionsOf(redis)
  for (const body of ['', '-1', '1.5', 'no place'])
    await redis.command('PUBLISH', await siteName(redis), body)
  await publish('2')
  await until(() => told.length === 2)
  t.same(await connectionsOf(redis), before)
})

t.test('redisStore() › a notice that does not follow the last one makes it look again', async (t) => {
  const { redis, told, publishSurely } = await start(t)
  const name = `${await siteName(redis)}:a`
  const place = (told[0]?.place ?? 0) + 1e9
  await redis.command('PUBLISH', name, 'no notice')
  await redis.command('PUBLISH', name, `${place} ${place - 1}\n[""]\nforged`)
  await publishSurely('2')
  await until(() => told.length === 2)
  t.same(
    told.map(({ text }) => text),
    ['1', '2']
  )
})

t.test(
  'redisStore() › what is missing in any channel of a message is found before that is told',
  async (t) => {
    const { redis, store, told, losses, publish } = await start(t)
    await store.follow?.('b')
    await store.read('b', 0)
    const channels = ['a', 'b'].map((name) => ({ name, limits: LIMITS }))
    const publishToBoth = (text: string): unknown =>
      store.append({
        channels,
        messages: [{ text, key: '' }],
        idempotencyKey: undefined,
        isKept: true,
        isEnd: false
      })
    await publishToBoth('2')
    await until(() => told.length === 2)
    // As if the server had not been told of a message that only b has.
    const last = `${told[1]?.place}`
    await redis.command(
      'XADD',
      'eventstream:{0}:log:b',
      `${Number(last) + 1}-0`,
      'm',
      '[""]\nmissed',
      'p',
      last,
      'c',
      '0'
    )
    await redis.command('ZADD', 'eventstream:{0}:heads', `${Number(last) + 1}`, 'b')
    await publishToBoth('3')
    await until(() => told.some(({ text }) => text === '3'))
    await publish('4')
    await until(() => told.some(({ text }) => text === '4'))
    t.same(
      told.map(({ text }) => text),
      ['1', '2', 'missed', '3', '4']
    )
    t.same(losses, [])
  }
)

t.test(
  'redisStore() › nor is a message heard in one of its channels that was not told because of another',
  async (t) => {
    const { redis, store, told, losses, publish } = await start(t)
    await store.follow?.('b')
    await store.read('b', 0)
    const last = told[0]?.place ?? 0
    const place = String(last + 1)
    const text = '["",["a","b"]]\n2'
    // As if b had got one before it of which the server was not told, and had dropped both since.
    await redis.command('XADD', 'eventstream:{0}:log:a', `${place}-0`, 'm', text, 'p', `${last}`, 'c', '0')
    await redis.command('ZADD', 'eventstream:{0}:heads', place, 'a')
    await redis.command('PUBLISH', `${await siteName(redis)}:a`, `${place} ${last} ${last} ${last}\n${text}`)
    await until(() => told.some((message) => message.text === '2'))
    await publish('3')
    await until(() => told.some((message) => message.text === '3'))
    t.same(
      told.map((message) => message.text),
      ['1', '2', '3']
    )
    t.same(losses, [])
  }
)

t.test('redisStore() › nobody can publish when it is closed', async (t) => {
  const { store, publish } = await start(t)
  await store.close()
  await t.rejects(store.head(), { message: 'There is no connection to Redis' })
  const waiting = publish('2')
  await store.close()
  await t.rejects(waiting, { message: 'There is no connection to Redis' })
})

t.test('redisStore() › a server that starts before its Redis waits for it', async (t) => {
  const port = await freePort()
  const settings = { library: 'ioredis', url: `redis://127.0.0.1:${port}`, prefix: 'a:', channels: {} }
  const child = new Child(t, 'test/redis/node-main.ts', { NODE_SETTINGS: JSON.stringify(settings) })
  await child.until(/there is no connection to Redis/)
  const redis = await RedisServer.start({ port })
  t.teardown(() => redis.stop())
  await t.resolves(child.until(/http:/))
})

t.test('redisStore() › a quiet history tells places that are known for long', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  const store = redisStore({ url: redis.url, prefix: 'a:' })
  t.teardown(() => store.close())
  const anHourAgo = (Date.now() - 3_600_000) * 1_000
  await redis.command('XADD', 'a:{0}:ids', `${anHourAgo}-0`, 'i', '')
  const listener = { storeOnMessages() {}, storeOnLoss() {}, storeOnFork() {} }
  const place = await store.open(listener)
  t.ok(place > anHourAgo + 3_500_000_000, `${place}`)
  t.equal(await store.head(), place, 'and makes no more of them than need be')
})
