import { getEventListeners } from 'node:events'
import { Redis } from 'ioredis'
import { createClient } from 'redis'
import t from 'tap'
import { createIORedis } from '../../../lib/history/redis/ioredis.ts'
import {
  dialClient,
  dialUrl,
  type LinkListener,
  type RedisClient,
  RedisReplyError
} from '../../../lib/history/redis/redis-link.ts'
import { freePort } from '../../helpers/free-port.ts'
import { RedisServer } from '../../helpers/programs/redis-server.ts'
import { until } from '../../helpers/server.ts'

const server = await RedisServer.start()
t.teardown(() => server.stop())

/** Keeps what it is told. */
class Recorder implements LinkListener {
  readonly messages: [string, string][] = []
  readonly losses: Error[] = []

  linkOnMessage(name: string, body: string): void {
    this.messages.push([name, body])
  }

  linkOnLost(error: Error): void {
    this.losses.push(error)
  }
}

const libraries: Record<string, (url: string) => RedisClient> = {
  'node-redis': (url) => createClient({ url }),
  ioredis: (url) => new Redis(url, { lazyConnect: true })
}

for (const [library, create] of Object.entries(libraries)) {
  t.test(`${library} › commands, messages, and a break that is told once`, async (t) => {
    const recorder = new Recorder()
    const link = await dialClient(create(server.url))(recorder)
    t.teardown(() => link.destroy())
    t.equal(await link.call(['ECHO', 'é\r\n']), 'é\r\n')
    const refused = await link.call(['EVALSHA', '0'.repeat(40), '0']).catch((error: unknown) => error)
    t.type(refused, RedisReplyError)
    t.match(refused, { code: 'NOSCRIPT' })
    const id = String(await link.call(['CLIENT', 'ID']))
    await link.subscribe(['a', 'b'])
    await link.subscribe([])
    await link.unsubscribe([])
    await link.unsubscribe(['a'])
    for (const name of ['a', 'b']) await server.command('PUBLISH', name, 'text')
    await until(() => recorder.messages.length > 0)
    t.same(recorder.messages, [['b', 'text']])
    await server.command('CLIENT', 'KILL', 'ID', id)
    await until(() => recorder.losses.length > 0)
    await t.rejects(link.call(['PING']), { message: 'The connection to Redis broke' })
    link.destroy()
    t.equal(recorder.losses.length, 1)
  })

  t.test(`${library} › what has no answer is rejected`, async (t) => {
    const link = await dialClient(create(server.url))(new Recorder())
    const waiting = link.call(['BLPOP', `${library} nothing`, '0'])
    link.destroy()
    await t.rejects(waiting, { message: 'The connection to Redis broke' })
  })

  t.test(`${library} › no connection`, async (t) => {
    const dial = dialClient(create(`redis://127.0.0.1:${await freePort()}`))
    await t.rejects(dial(new Recorder()), { code: 'ECONNREFUSED' })
  })

  t.test(`${library} › a Redis that does not answer`, async (t) => {
    const mute = await RedisServer.start()
    t.teardown(() => mute.stop())
    mute.pause()
    await t.rejects(dialClient(create(mute.url), 50)(new Recorder()), {
      message: 'Redis did not answer within 50 ms'
    })
    const giving = new AbortController()
    const given = t.rejects(dialClient(create(mute.url))(new Recorder(), giving.signal), {
      message: 'The connection was destroyed'
    })
    giving.abort()
    await given
    t.same(getEventListeners(giving.signal, 'abort'), [])
    await t.rejects(dialClient(create(mute.url))(new Recorder(), giving.signal), { name: 'AbortError' })
  })
}

t.test('ioredis › Sentinels that cannot be reached', async (t) => {
  const sentinels = [{ host: '127.0.0.1', port: await freePort() }]
  const client = new Redis({ sentinels, name: 'main', lazyConnect: true })
  await t.rejects(dialClient(client)(new Recorder()), { message: /^All sentinels are unreachable/ })
})

t.test('dialUrl() › with whichever library is installed', async (t) => {
  const notFound = async (): Promise<never> => {
    throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' })
  }
  const broken = async (): Promise<never> => {
    throw new SyntaxError('Unexpected token')
  }
  const link = await dialUrl(server.url, 5_000, [notFound, createIORedis])(new Recorder())
  t.equal(await link.call(['PING']), 'PONG')
  link.destroy()
  const none = dialUrl(server.url, 5_000, [notFound])
  await t.rejects(none(new Recorder()), { message: /"redis" and "ioredis"/ })
  await t.rejects(dialUrl(server.url, 5_000, [broken, createIORedis])(new Recorder()), {
    message: 'Unexpected token'
  })
})

t.test('RedisReplyError › has the words of Redis, also of a script in Redis 6.2', async (t) => {
  for (const before of [
    '',
    '@user_script: 31: -',
    'ERR Error running script (call to f_0): @user_script:31: -',
    'ERR Error running script (call to f_0): @user_script:31: @user_script: 31: -'
  ]) {
    const error = new RedisReplyError(new Error(`${before}READONLY You can't write\r\n`))
    t.match(error, { code: 'READONLY', message: "READONLY You can't write" })
  }
})
