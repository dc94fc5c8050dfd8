import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { FakeClock } from '../helpers/fake-clock.ts'
import { FaultProxy } from '../helpers/fault-proxy.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { ReplyError, RespClient } from '../helpers/resp-client.ts'
import { nextTurn, until } from '../helpers/server.ts'

async function redis(t: Test, options?: Parameters<typeof RedisServer.start>[0]): Promise<RedisServer> {
  const server = await RedisServer.start(options)
  t.teardown(() => server.stop())
  return server
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

t.test('RedisServer › .start()', async (t) => {
  t.test('starts servers of our own, on ports of their own', async (t) => {
    const servers = await Promise.all([redis(t), redis(t), redis(t)])
    t.equal(new Set(servers.map(({ port }) => port)).size, 3)
    for (const server of servers) {
      t.equal(server.url, `redis://127.0.0.1:${server.port}`)
      t.match(await server.command('INFO', 'server'), `process_id:${server.pid}\r\n`)
    }
  })

  t.test('takes arguments, which win over its own', async (t) => {
    const server = await redis(t, { args: ['--appendonly', 'yes', '--requirepass', 'secret'] })
    await t.rejects(server.command('PING'), { message: /^NOAUTH/ })
    t.equal(await server.command('AUTH', 'secret'), 'OK')
    t.same(await server.command('CONFIG', 'GET', 'appendonly'), ['appendonly', 'yes'])
  })

  t.test('rejects with what the server printed when it cannot start', async (t) => {
    const { port } = await redis(t)
    await t.rejects(RedisServer.start({ port }), { message: /Address already in use/ })
    await t.rejects(RedisServer.start({ args: ['--no-such-thing'] }), { message: /no-such-thing/ })
  })
})

t.test('RedisServer › .command() › understands every kind of reply', async (t) => {
  const server = await redis(t)
  const large = 'é\r\n'.repeat(100_000)
  t.same(
    await Promise.all([
      server.command('SET', 'key', large),
      server.command('GET', 'key'),
      server.command('GET', 'missing'),
      server.command('STRLEN', 'key'),
      server.command('EVAL', "return {'', 1, {-2, false, {}}, {err = 'no'}}", '0')
    ]),
    ['OK', large, null, 400_000, ['', 1, [-2, null, []], new ReplyError('no')]]
  )
  await t.rejects(server.command('LPUSH', 'key', 'item'), { message: /^WRONGTYPE/ })
  t.equal(await server.command('PING'), 'PONG')
})

t.test('RespClient › understands replies that come byte by byte', async (t) => {
  const reply = '*3\r\n*1\r\n:1\r\n+OK\r\n$4\r\na\r\nb\r\n'
  const server = createServer({ noDelay: true }, async (socket) => {
    await once(socket, 'data')
    for (const byte of reply.repeat(2)) {
      socket.write(byte)
      await nextTurn()
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = await RespClient.connect((server.address() as AddressInfo).port)
  t.teardown(async () => {
    await client.close()
    server.close()
  })
  const replies = await Promise.all([client.command('ANY'), client.command('ANY')])
  t.same(replies, Array(2).fill([[1], 'OK', 'a\r\nb']))
})

t.test('RedisServer › its end', async (t) => {
  t.test('.stop() ends the process and leaves nothing behind', async (t) => {
    const server = await redis(t)
    const [, dir] = (await server.command('CONFIG', 'GET', 'dir')) as string[]
    t.ok(existsSync(String(dir)))
    await Promise.all([server.stop(), server.stop()])
    t.notOk(isRunning(server.pid))
    t.notOk(existsSync(String(dir)))
    await server.stop()
    await t.rejects(server.command('PING'), { code: 'ECONNREFUSED' })
  })

  t.test('.stop() ends one that is paused', async (t) => {
    const server = await redis(t)
    server.pause()
    await FakeClock.run(() => server.stop())
    t.notOk(
      isRunning(server.pid),
      'it heeds SIGTERM, for the time after which it would be killed does not come'
    )
  })

  t.test('.kill() ends one that is paused, and rejects the commands without a reply', async (t) => {
    const server = await redis(t)
    server.pause()
    const rejected = t.rejects(server.command('PING'), { message: /closed/ })
    await server.kill()
    t.notOk(isRunning(server.pid))
    await rejected
    await server.stop()
  })

  t.test('.restart() starts an empty one on the same port', async (t) => {
    const server = await redis(t, { args: ['--appendonly', 'yes'] })
    const { pid, port } = server
    await server.command('SET', 'key', 'value')
    await server.restart()
    t.equal(await server.command('GET', 'key'), null)
    t.equal(server.port, port)
    t.not(server.pid, pid)
    t.notOk(isRunning(pid))
  })
})

t.test('RedisServer › does not outlive the process that started it, even paused', async (t) => {
  const tmp = t.testdir()
  const helper = new URL('../helpers/programs/redis-server.ts', import.meta.url)
  const script = `
    const { RedisServer } = await import('${helper}')
    const server = await RedisServer.start()
    server.pause()
    console.log(server.port)
    process.stdin.once('data', () => process.exit())`
  const owner = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', script], {
    env: { PATH: process.env.PATH, TMPDIR: tmp },
    stdio: ['pipe', 'pipe', 'inherit']
  })
  t.teardown(() => owner.kill())
  const [port] = await once(owner.stdout, 'data')
  const client = RawClient.connect(Number(port))
  await once(client.socket, 'connect')
  const servers = () => readdirSync(tmp).filter((name) => name.startsWith('redis-server-'))
  t.equal(servers().length, 1)
  owner.stdin.write('exit')
  await Promise.all([client.closed, once(owner, 'close')])
  await until(() => servers().length === 0)
})

t.test('RedisServer › .pause() › makes commands hang until .resume()', async (t) => {
  const [server, other] = [await redis(t), await redis(t)]
  const events: string[] = []
  server.pause()
  const replied = server.command('PING').then(() => events.push('replied'))
  for (let n = 0; n < 100; n++) await other.command('PING')
  events.push('resumed')
  server.resume()
  await replied
  t.same(events, ['resumed', 'replied'])
})

/** A server that answers with what `answer` makes of what it got, and a proxy to it. */
async function proxied(t: Test, answer = (bytes: Buffer): Buffer => bytes) {
  const sockets: Socket[] = []
  const received: Buffer[] = []
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.on('data', (bytes: Buffer) => {
      received.push(bytes)
      socket.write(answer(bytes))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const proxy = await FaultProxy.start({ port })
  t.teardown(async () => {
    await proxy.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { proxy, port, sockets, received: (): string => Buffer.concat(received).toString() }
}

/** A client through the proxy, whose connection has got through. */
async function connected(proxy: FaultProxy): Promise<RawClient> {
  const client = RawClient.connect(proxy.port, '!')
  await client.until('!')
  client.received = ''
  return client
}

async function wasReset(client: RawClient): Promise<boolean> {
  await client.closed
  return (client.error as NodeJS.ErrnoException | undefined)?.code === 'ECONNRESET'
}

t.test('FaultProxy › between a client and Redis', async (t) => {
  const server = await redis(t)
  const proxy = await FaultProxy.start(server)
  t.teardown(() => proxy.close())
  t.equal(proxy.url, `redis://127.0.0.1:${proxy.port}`)
  const client = await RespClient.connect(proxy.port)
  t.equal(await client.command('ECHO', 'hello'), 'hello')
  t.same(proxy.counts, {
    toServer: '*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n'.length,
    toClient: '$5\r\nhello\r\n'.length
  })
  t.equal(proxy.connections, 1)

  await server.restart()
  await t.rejects(client.command('PING'), { message: /closed/ }, 'the end of the server is passed on')
  const second = await RespClient.connect(proxy.port)
  t.equal(await second.command('PING'), 'PONG')
  await server.kill()
  await second.closed
  const third = RawClient.connect(proxy.port)
  t.ok(await wasReset(third), 'where nobody listens, connections are reset')
})

t.test('FaultProxy › without faults', async (t) => {
  t.test('passes large payloads both ways', async (t) => {
    const { proxy, received } = await proxied(t)
    const payload = Array.from({ length: 1_000_000 }, (_, i) => i % 10).join('')
    const client = RawClient.connect(proxy.port, `${payload}!`)
    await client.until('!')
    t.ok(client.received === `${payload}!`)
    t.ok(received() === `${payload}!`)
    t.same(proxy.counts, { toServer: 1_000_001, toClient: 1_000_001 })
  })

  t.test('passes the end of either side', async (t) => {
    const { proxy, sockets } = await proxied(t)
    const [first, second] = [await connected(proxy), await connected(proxy)]
    const serverSaw = once(sockets[0] as Socket, 'close')
    first.socket.end('last words')
    await Promise.all([first.until('last words'), first.closed, serverSaw])
    sockets[1]?.end('farewell')
    await second.closed
    t.equal(second.received, 'farewell')
    t.equal(second.error, undefined)
  })

  t.test('passes the reset of a client', async (t) => {
    const { proxy, sockets } = await proxied(t)
    const client = await connected(proxy)
    const serverSaw = once(sockets[0] as Socket, 'error')
    client.socket.resetAndDestroy()
    t.match(await serverSaw, [{ code: 'ECONNRESET' }])
  })
})

t.test('FaultProxy › .delay() › holds each direction that long, in order', async (t) => {
  const { proxy } = await proxied(t)
  const client = await connected(proxy)
  await FakeClock.run(async (clock) => {
    proxy.delay(40)
    const startedAt = performance.now()
    client.socket.write('1')
    setImmediate(() => client.socket.write('2'))
    for (; !client.received.includes('2'); clock.advance(1)) await nextTurn()
    t.ok(performance.now() - startedAt >= 80)
    t.equal(client.received, '12')

    proxy.delay(60_000)
    client.socket.write('3')
    const isDue = once(client.socket, 'data')
    proxy.delay(0)
    await isDue
    t.equal(client.received, '123', 'turned off, also for what is on its way')
  })
})

t.test('FaultProxy › .throttle() › passes no more than so many bytes per second', async (t) => {
  const { proxy, received } = await proxied(t)
  const client = await connected(proxy)
  const before = proxy.counts.toServer
  await FakeClock.run(async (clock) => {
    proxy.throttle(1_000_000)
    const startedAt = performance.now()
    client.socket.write(`${'x'.repeat(99_999)}!`)
    for (; !client.received.includes('!'); clock.advance(1)) {
      await nextTurn()
      const tookMs = performance.now() - startedAt
      assert.ok(proxy.counts.toServer - before <= 1_000 * tookMs, `${proxy.counts.toServer} in ${tookMs} ms`)
    }
    t.ok(performance.now() - startedAt >= 100)

    proxy.throttle(1)
    client.socket.write('a minute of it')
    while (proxy.waiting === 0) await nextTurn()
    t.notMatch(received(), 'of it')
    proxy.throttle(Number.POSITIVE_INFINITY)
    await client.until('a minute of it')
  })
  t.throws(() => proxy.throttle(0), RangeError)
})

t.test('FaultProxy › .blackhole()', async (t) => {
  t.test('passes nothing, and later all of it, in order', async (t) => {
    const { proxy, received, sockets } = await proxied(t)
    const client = await connected(proxy)
    const counts = { ...proxy.counts }
    proxy.blackhole(true)
    client.socket.write('1')
    sockets[0]?.write('a')
    const late = RawClient.connect(proxy.port, 'late')
    await once(late.socket, 'connect')
    client.socket.write('2')
    sockets[0]?.write('b')
    const leaver = RawClient.connect(proxy.port)
    leaver.socket.end('left')
    await until(() => proxy.waiting === '12ablateleft'.length + 1)
    t.same(proxy.counts, counts)
    t.equal(proxy.connections, 3)
    t.equal(sockets.length, 1, 'new connections do not get to the server')
    t.equal(received(), '!')
    t.equal(client.received, '')

    proxy.blackhole(false)
    await Promise.all([client.until('2'), late.until('late'), leaver.until('left'), leaver.closed])
    t.equal(client.received, 'ab12')
  })

  t.test('holds senders back', async (t) => {
    const { proxy } = await proxied(t)
    const client = await connected(proxy)
    const total = 32 * 1024 * 1024
    const chunk = Buffer.alloc(64 * 1024, 'x')
    let taken = 0
    const send = (): void => {
      client.socket.write(chunk, () => {
        taken += chunk.length
        if (taken < total) send()
      })
    }
    proxy.blackhole(true)
    send()
    await until(() => proxy.waiting >= 256 * 1024)
    for (let before = -1; before < taken; await nextTurn()) before = taken
    t.ok(taken < total / 2, 'no more than the buffers of the kernel take')
    proxy.blackhole(false)
    while (client.received.length < total) await once(client.socket, 'data')
    t.equal(taken, total)
  })

  t.test('holds back the reset of a client', async (t) => {
    const { proxy, sockets } = await proxied(t)
    const client = await connected(proxy)
    const events: string[] = []
    const serverSaw = once(sockets[0] as Socket, 'error').then(() => events.push('reset'))
    proxy.blackhole(true)
    client.socket.resetAndDestroy()
    await until(() => proxy.waiting === 1)
    events.push('off')
    proxy.blackhole(false)
    await serverSaw
    t.same(events, ['off', 'reset'])
  })
})

t.test('FaultProxy › .cutAfter()', async (t) => {
  t.test('resets a connection after exactly so many bytes to the server, once', async (t) => {
    const { proxy, received, sockets } = await proxied(t)
    const [first, second] = [await connected(proxy), await connected(proxy)]
    proxy.cutAfter(7, 'toServer')
    first.socket.write('abc')
    await first.until('abc')
    const serverSaw = once(sockets[1] as Socket, 'error')
    second.socket.write('defghij')
    t.match(await serverSaw, [{ code: 'ECONNRESET' }])
    t.ok(await wasReset(second))
    t.equal(received(), '!!abcdefg')

    first.socket.write('hijklmnopq')
    await first.until('q')
    t.same(proxy.counts, { toServer: 19, toClient: proxy.counts.toClient })
  })

  t.test('resets a connection after exactly so many bytes to the client', async (t) => {
    for (const bytes of [1, 65_536, 999_999]) {
      const { proxy, sockets } = await proxied(t, () => Buffer.alloc(2_000_000, 'x'))
      const client = RawClient.connect(proxy.port)
      proxy.cutAfter(bytes, 'toClient')
      client.socket.write('go')
      t.ok(await wasReset(client))
      t.equal(client.received.length, bytes)
      t.equal(proxy.counts.toClient, bytes)
      if (sockets[0]?.closed === false) await once(sockets[0], 'close')
    }
  })

  t.test('counts in whole bytes', async (t) => {
    const { proxy } = await proxied(t)
    for (const bytes of [0, -1, 1.5, Number.NaN])
      t.throws(() => proxy.cutAfter(bytes, 'toServer'), RangeError)
  })
})

t.test('FaultProxy › .cutAll() › resets what is open, and nothing to come', async (t) => {
  const { proxy, sockets } = await proxied(t)
  const clients = await Promise.all([connected(proxy), connected(proxy), connected(proxy)])
  const serverSaw = sockets.map((socket) => once(socket, 'error'))
  proxy.cutAll()
  t.same(await Promise.all(clients.map(wasReset)), [true, true, true])
  for (const [error] of await Promise.all(serverSaw)) t.match(error, { code: 'ECONNRESET' })
  await connected(proxy)
  t.equal(proxy.connections, 1)
})

t.test('FaultProxy › .refuse() › resets new connections, and leaves open ones alone', async (t) => {
  const { proxy, sockets } = await proxied(t)
  const client = await connected(proxy)
  proxy.refuse(true)
  t.ok(await wasReset(RawClient.connect(proxy.port)))
  t.equal(proxy.connections, 1)
  t.equal(sockets.length, 1)
  client.socket.write('still here')
  await client.until('still here')
  proxy.refuse(false)
  await connected(proxy)
})

t.test('FaultProxy › .retarget() › sends new connections elsewhere', async (t) => {
  const { proxy } = await proxied(t)
  const other = await proxied(t, () => Buffer.from('other!'))
  const before = await connected(proxy)
  proxy.retarget({ port: other.port, host: 'localhost' })
  const after = RawClient.connect(proxy.port, 'hello')
  await after.until('other!')
  before.socket.write('same')
  await before.until('same')
  t.equal(before.received, 'same')
})

t.test('FaultProxy › .close() › ends everything, at any time, again', async (t) => {
  const { proxy } = await proxied(t)
  const client = await connected(proxy)
  proxy.blackhole(true)
  const held = RawClient.connect(proxy.port, 'held')
  await once(held.socket, 'connect')
  await Promise.all([proxy.close(), proxy.close()])
  await Promise.all([client.closed, held.closed])
  t.equal(proxy.connections, 0)
  const late = RawClient.connect(proxy.port)
  await late.closed
  t.match(late.error, { code: 'ECONNREFUSED' })
  await proxy.close()
})
