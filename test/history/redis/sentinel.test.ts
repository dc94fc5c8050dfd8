import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { createSentinel } from 'redis'
import t, { type Test } from 'tap'
import { redisStore } from '../../../lib/index.ts'
import { freePort } from '../../helpers/free-port.ts'
import { removeFolder, startProgram, temporaryFolder } from '../../helpers/guardian.ts'
import { RedisServer } from '../../helpers/programs/redis-server.ts'
import { executableOf } from '../../helpers/programs.ts'
import { RespClient } from '../../helpers/resp-client.ts'
import { nextTurn, until } from '../../helpers/server.ts'

const LIMITS = { maxMessages: 9, maxBytes: 1_000_000, maxAgeMs: false, keepEndedMs: 1_000 } as const

async function startSentinel(t: Test, primary: RedisServer): Promise<{ port: number; sentinel: RespClient }> {
  const port = await freePort()
  const dir = temporaryFolder('sentinel')
  const config = join(dir, 'sentinel.conf')
  writeFileSync(
    config,
    `port ${port}\nbind 127.0.0.1\ndir ${dir}\nsentinel monitor main 127.0.0.1 ${primary.port} 1\n`
  )
  const child = startProgram(executableOf('redis-server'), [config, '--sentinel'], {
    stdio: ['ignore', 'pipe', 'ignore']
  })
  let output = ''
  child.stdout?.on('data', (text: Buffer) => {
    output += text
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
    removeFolder(dir)
  })
  await until(() => output.includes('+slave '))
  return { port, sentinel: await RespClient.connect(port) }
}

t.test('redisStore() › goes on at the primary that Sentinel has chosen', async (t) => {
  const primary = await RedisServer.start({ args: ['--repl-diskless-sync-delay', '0'] })
  t.teardown(() => primary.stop())
  const replica = await RedisServer.start({ args: ['--replicaof', '127.0.0.1', String(primary.port)] })
  t.teardown(() => replica.stop())
  const { port, sentinel } = await startSentinel(t, primary)
  t.teardown(() => sentinel.close())
  const client = new Redis({ sentinels: [{ host: '127.0.0.1', port }], name: 'main', lazyConnect: true })
  const store = redisStore({ client })
  t.teardown(() => store.close())
  const told: string[] = []
  await store.open({
    storeOnMessages: (messages) => void told.push(...messages.map(({ text }) => text)),
    storeOnLoss: (channels) => void told.push(`lost: ${channels.join()}`),
    storeOnFork() {}
  })
  await store.follow?.('a')
  await store.read('a', 0)
  const publish = async (text: string): Promise<unknown> => {
    const append = {
      channels: [{ name: 'a', limits: LIMITS }],
      messages: [{ text, key: '' }],
      idempotencyKey: text,
      isKept: true,
      isEnd: false
    }
    return store.append(append).catch(() => publish(text))
  }
  await publish('1')
  const size = async (): Promise<unknown> => replica.command('XLEN', 'eventstream:{0}:log:a')
  while ((await size()) !== 1) await nextTurn()
  const failOver = async (): Promise<unknown> =>
    sentinel.command('SENTINEL', 'FAILOVER', 'main').catch(async () => {
      await nextTurn()
      return failOver()
    })
  await failOver()
  // Sentinel cuts all connections of the replica that it promotes.
  while ((await size().catch(() => 0)) !== 2) await publish('2')
  await until(() => told.includes('2'))
  t.same(told, ['1', '2'])
})

t.test('redisStore() › a client of createSentinel() is refused', async (t) => {
  const client = createSentinel({ name: 'main', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] })
  t.throws(
    () => redisStore({ client: client as never }),
    /client of redis or ioredis, of no cluster and no pool/
  )
})
