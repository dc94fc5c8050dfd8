import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/history/redis/redis-store.ts'
import type { EventStreamOptions, Run, RunEvent, StoreLeases } from '../../lib/index.ts'
import { runChannel } from '../../lib/run/run.ts'
import { FaultProxy } from '../helpers/fault-proxy.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { build, deferred, listen, nextTurn } from '../helpers/server.ts'
import { RunNode } from '../redis/runs/node.ts'

/** Counts for ever. */
const ENDLESS = { source: 'counter', length: null, paceMs: 1, fails: false, restart: false }

async function node(t: Test, url: string, options: EventStreamOptions = {}): Promise<FastifyInstance> {
  const app = await build(t, { drainMs: 1_000, history: { store: redisStore({ url }) }, ...options })
  app.get<{ Params: { name: string } }>('/:name', async ({ params }, reply) => {
    const run = await app.sse.runs.get(params.name)
    if (run === undefined) return reply.code(404).send()
    run.subscribe(reply.sseStart({ farewell: false, cursorEvent: false }))
  })
  await app.ready()
  return app
}

/** One that may be killed. */
function otherProcess(t: Test, url: string): Promise<RunNode> {
  const settings = { url, prefix: 'eventstream:', leaseMs: 500, keepEndedMs: 60_000 }
  return RunNode.start(t, 'other', settings)
}

async function* waiting({ signal }: { signal: AbortSignal }): AsyncGenerator<string> {
  yield 'waiting'
  await once(signal, 'abort')
}

/** The data of all messages of a run, up to its end. */
async function allOf(run: Run | undefined): Promise<string[]> {
  const all: string[] = []
  for await (const item of run?.read() ?? [])
    all.push(item.type === 'gap' ? `gap: ${item.reason}` : item.data)
  return all
}

/** Resolves when it is told that a run is in this state, and what else is told of it meanwhile. */
async function untilTold(t: Test, run: string, state: string): Promise<RunEvent[]> {
  const told: RunEvent[] = []
  const found = deferred()
  const listener = (event: unknown): void => {
    const one = event as RunEvent
    if (one.run !== run) return
    told.push(one)
    if (one.state === state) found.resolve()
  }
  runChannel.subscribe(listener)
  t.teardown(() => runChannel.unsubscribe(listener))
  await found.promise
  return told
}

t.test('Run › over several servers', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  t.beforeEach(() => redis.command('FLUSHALL'))

  t.test('is started once for each name, however many start it at once', async (t) => {
    const nodes = [await node(t, redis.url), await node(t, redis.url)]
    const names = Array.from({ length: 50 }, (_, i) => `run ${i}`)
    let calls = 0
    const starts = names.flatMap((name) =>
      [...nodes, ...nodes].map((app) => app.sse.runs.start(name, () => [`${++calls}`]))
    )
    const started = await Promise.all(starts)
    await Promise.all(started.map(({ run }) => run.ended))
    t.equal(started.filter(({ created }) => created).length, names.length)
    t.equal(calls, names.length)
    for (const app of nodes) {
      const data = await Promise.all(
        names.map(async (name) => (await allOf(await app.sse.runs.get(name)))[0])
      )
      t.equal(new Set(data).size, names.length, 'each has its own')
    }
  })

  t.test('is read, listed, and stopped by any of them', async (t) => {
    const [one, other] = [await node(t, redis.url), await node(t, redis.url)]
    const stopped = deferred<unknown>()
    await one.sse.runs.start('a', async function* ({ signal }) {
      yield 'one'
      await once(signal, 'abort')
      stopped.resolve(signal.reason.reason)
    })
    t.same(
      (await other.sse.runs.list()).map(({ name }) => name),
      ['a']
    )
    const run = await other.sse.runs.get('a')
    t.match(await run?.info(), { state: 'running' })
    const { ended } = run as Run
    const reading = allOf(run)
    t.match((await run?.read().next())?.value, { data: 'one' })
    await run?.stop('enough')
    t.equal(await stopped.promise, 'enough')
    t.equal(await ended, 'stopped')
    t.same(await reading, ['one', '{"state":"stopped"}'])
    for (const app of [one, other])
      t.match(await (await app.sse.runs.get('a'))?.info(), { state: 'stopped', reason: 'enough' })
    t.same(await one.sse.runs.list(), [])
  })

  t.test('has nothing of the request that has started another when any of them stops it', async (t) => {
    const [one, other] = [await node(t, redis.url), await node(t, redis.url)]
    const storage = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    await storage.run('starts another', () => one.sse.runs.start('another', waiting))
    const { run } = await one.sse.runs.start('a', ({ signal }) => {
      signal.addEventListener('abort', () => seen.push(storage.getStore()))
      return waiting({ signal })
    })
    await (await other.sse.runs.get('a'))?.stop()
    t.equal(await run.ended, 'stopped')
    t.same(seen, [undefined])
  })

  t.test('a stop that comes late concerns no other run of the name', async (t) => {
    const [one, other] = [await node(t, redis.url), await node(t, redis.url)]
    const fail = deferred()
    const source = async (): Promise<string[]> => {
      await fail.promise
      throw new Error('it fails')
    }
    const first = await one.sse.runs.start('a', source)
    const handle = (await other.sse.runs.get('a')) as Run
    fail.resolve()
    await first.run.ended
    const second = await one.sse.runs.start('a', waiting, { restart: true })
    t.equal(second.created, true)
    await handle.stop('late')
    const { run: next } = await one.sse.runs.start('b', waiting)
    await ((await other.sse.runs.get('b')) as Run).stop('in time')
    t.equal(await next.ended, 'stopped')
    t.match(await second.run.info(), { state: 'running' })
  })

  t.test('is stopped by who knows of it before its own server does', async (t) => {
    const store = redisStore({ url: redis.url })
    const [one, other] = [await node(t, redis.url, { history: { store } }), await node(t, redis.url)]
    const stop = async (name: string): Promise<void> => (await other.sse.runs.get(name))?.stop('early')
    const { run: later } = await one.sse.runs.start('later', waiting)
    const leases = store.leases as StoreLeases
    const take = leases.take
    leases.take = async (...args) => {
      leases.take = take
      const place = await leases.take(...args)
      await stop('a')
      await stop('later')
      await later.ended
      return place
    }
    const { run } = await one.sse.runs.start('a', waiting)
    t.equal(await run.ended, 'stopped')
    t.match(await run.info(), { reason: 'early' })
  })

  t.test('is wanted if somebody reads it on another server', async (t) => {
    const runs = { leaseMs: 3_000 }
    const [one, other] = [await node(t, redis.url, { runs }), await node(t, redis.url, { runs })]
    await one.sse.runs.start('a', waiting, { abandonMs: 2_000 })
    const { port } = await listen(other)
    const client = RawClient.get(port, '/a')
    await client.until(/data: waiting/)
    const { run: unwanted } = await one.sse.runs.start('b', waiting, { abandonMs: 400 })
    t.equal(await unwanted.ended, 'stopped')
    const run = (await one.sse.runs.get('a')) as Run
    t.match(await run.info(), { state: 'running' })
    client.socket.destroy()
    t.equal(await run.ended, 'stopped')
    t.match(await run.info(), { reason: 'abandoned' })
  })

  t.test('is stopped when its server shuts down before it has ended, and all are told', async (t) => {
    const [one, other] = [await node(t, redis.url), await node(t, redis.url)]
    await one.sse.runs.start('a', waiting)
    const run = (await other.sse.runs.get('a')) as Run
    const reading = allOf(run)
    await run.read().next()
    await one.close()
    t.same(await reading, ['waiting', '{"state":"stopped"}'])
    t.match(await run.info(), { state: 'stopped', reason: 'shutdown' })
    const again = await other.sse.runs.start('a', () => ['again'], { restart: true })
    t.equal(again.created, true, 'by who has not shut down')
  })

  t.test('is lost when its server is killed, which is told once, by whoever finds it first', async (t) => {
    const killed = await otherProcess(t, redis.url)
    await killed.begin('a', ENDLESS)
    const runs = { leaseMs: 500 }
    const nodes = [await node(t, redis.url, { runs }), await node(t, redis.url, { runs })]
    const handles = await Promise.all(nodes.map(async (app) => (await app.sse.runs.get('a')) as Run))
    const readings = Promise.all(handles.map(allOf))
    await handles[0]?.read().next()
    const told = untilTold(t, 'a', 'lost')
    await killed.kill()
    t.same(await Promise.all(handles.map(({ ended }) => ended)), ['lost', 'lost'])
    const [one = [], other] = await readings
    t.same(other, one)
    const numbers = one.map((data) => JSON.parse(data).number)
    t.same(numbers, [...numbers.slice(0, -1).keys(), 0])
    t.match(JSON.parse(one.at(-1) ?? ''), { state: 'lost' })
    t.equal(
      (await nodes[0]?.sse.runs.start('a', waiting))?.created,
      false,
      'nobody starts it again by itself'
    )
    t.match(await handles[1]?.info(), { state: 'lost' })
    await nodes[0]?.sse.runs.start('b', () => [])
    t.equal((await told).length, 1)
  })

  t.test('all that a server had are told to be lost at once, however many there were', async (t) => {
    const store = redisStore({ url: redis.url })
    const app = await node(t, redis.url, { history: { store }, runs: { leaseMs: 3_000 } })
    const { run } = await app.sse.runs.start('own', waiting)
    const leases = store.leases as StoreLeases
    const names = Array.from({ length: 600 }, (_, i) => `sse-run:${i}`)
    for (const name of names) await leases.take(name, { token: 'dead', ms: 60_000, note: '\n' }, undefined)
    const done: string[] = []
    const { renew, takeOver } = leases
    leases.renew = (...args) => {
      done.push('renewed')
      return renew.apply(leases, args)
    }
    leases.takeOver = async (...args) => {
      const taken = await takeOver.apply(leases, args)
      if (taken.length > 0) done.push('taken')
      return taken
    }
    await redis.command('ZADD', 'eventstream:{0}:leases', ...names.flatMap((name) => ['0', name]))
    while ((await app.sse.runs.list()).length > 1) await nextTurn()
    t.same(done.slice(done.indexOf('taken'), done.lastIndexOf('taken') + 1), ['taken', 'taken', 'taken'])
    t.match(await (await app.sse.runs.get('599'))?.info(), { state: 'lost' })
    t.match(await run.info(), { state: 'running' })
  })

  t.test('a server that was paused for longer than its lease publishes nothing when it wakes', async (t) => {
    const paused = await otherProcess(t, redis.url)
    await paused.begin('a', ENDLESS)
    const app = await node(t, redis.url, { runs: { leaseMs: 500 } })
    const run = (await app.sse.runs.get('a')) as Run
    await run.read().next()
    paused.pause()
    t.equal(await run.ended, 'lost')
    const before = await allOf(run)
    const go = deferred()
    const again = await app.sse.runs.start(
      'a',
      async function* () {
        yield 'another'
        await go.promise
        yield 'one'
      },
      { restart: true }
    )
    t.equal(again.created, true)
    paused.resume()
    await paused.until(/run lost/)
    go.resolve()
    t.equal(await again.run.ended, 'done')
    t.same(await allOf(again.run), ['another', 'one', '{"state":"done"}'])
    t.ok(before.length > 1)
  })

  t.test('is there all the time while it is started again', async (t) => {
    const store = redisStore({ url: redis.url })
    const [one, other] = [await node(t, redis.url, { history: { store } }), await node(t, redis.url)]
    const failed = await other.sse.runs.start('a', () => Promise.reject(new Error('it fails')))
    await failed.run.ended
    const leases = store.leases as StoreLeases
    const look = leases.look
    leases.look = async (channel) => {
      leases.look = look
      const looked = await leases.look(channel)
      await other.sse.runs.start('a', waiting, { restart: true })
      return looked
    }
    t.not(await one.sse.runs.get('a'), undefined)
  })

  t.test('is given whole to who was too late to start it again', async (t) => {
    const store = redisStore({ url: redis.url })
    const [one, other] = [await node(t, redis.url), await node(t, redis.url, { history: { store } })]
    const failed = await one.sse.runs.start('a', () => Promise.reject(new Error('it fails')))
    await failed.run.ended
    const leases = store.leases as StoreLeases
    const take = leases.take
    leases.take = async (...args) => {
      const [, , end] = args
      if (end !== undefined) await one.sse.runs.start('a', () => ['again'], { restart: true })
      return await take.apply(leases, args)
    }
    const { run, created } = await other.sse.runs.start('a', waiting, { restart: true })
    t.equal(created, false)
    t.same(await allOf(run), ['again', '{"state":"done"}'])
  })

  t.test('that others were told has ended is known to have, by its server too', async (t) => {
    const store = redisStore({ url: redis.url })
    const [one, other] = [await node(t, redis.url, { history: { store } }), await node(t, redis.url)]
    const answer = deferred()
    const append = store.append
    store.append = async (given) => {
      const appended = await append.call(store, given)
      if (given.isEnd) await answer.promise
      return appended
    }
    const { run } = await one.sse.runs.start('a', () => Promise.reject(new Error('it fails')))
    const { ended } = run
    t.equal(await ((await other.sse.runs.get('a')) as Run).ended, 'failed')
    t.match(await run.info(), { state: 'failed' })
    const again = await one.sse.runs.start('a', waiting, { restart: true })
    t.equal(again.created, true)
    answer.resolve()
    t.equal(await ended, 'failed')
    t.equal((await one.sse.runs.start('a', waiting)).created, false)
    t.equal(one.sse.stats().runs, 1)
  })

  t.test('has ended as it did, and not as the one that follows', async (t) => {
    const store = redisStore({ url: redis.url })
    const [one, other] = [await node(t, redis.url), await node(t, redis.url, { history: { store } })]
    const fail = deferred()
    const first = await one.sse.runs.start('a', async function* () {
      yield 'half'
      await fail.promise
      throw new Error('no more')
    })
    const handle = (await other.sse.runs.get('a')) as Run
    const staying = handle.read()
    await staying.next()
    const leases = store.leases as StoreLeases
    const [look, isLooked, isOver] = [leases.look, deferred(), deferred()]
    leases.look = async (channel) => {
      leases.look = async () => {
        await isOver.promise
        return await look.call(leases, channel)
      }
      const looked = await look.call(leases, channel)
      isLooked.resolve()
      return looked
    }
    const { ended } = handle
    await isLooked.promise
    await nextTurn()

    fail.resolve()
    await first.run.ended
    const second = await one.sse.runs.start('a', () => ['whole'], { restart: true })
    t.equal(await second.run.ended, 'done')
    isOver.resolve()
    t.equal(await ended, 'failed')
    await staying.return?.()
  })

  t.test('that is started again has nothing of the one before, where that is not told yet', async (t) => {
    const store = redisStore({ url: redis.url })
    const open = store.open
    const held: (() => void)[] = []
    let isHolding = false
    store.open = (listener, log) => {
      const storeOnMessages: typeof listener.storeOnMessages = (...args) => {
        if (isHolding) held.push(() => listener.storeOnMessages(...args))
        else listener.storeOnMessages(...args)
      }
      return open.call(
        store,
        {
          storeOnMessages,
          storeOnLoss: (...args) => listener.storeOnLoss(...args),
          storeOnFork: (place) => listener.storeOnFork(place)
        },
        log
      )
    }
    const [one, other] = [await node(t, redis.url), await node(t, redis.url, { history: { store } })]
    const fail = deferred()
    await one.sse.runs.start('a', async function* () {
      yield 'half'
      await fail.promise
      throw new Error('no more')
    })
    const before = (await other.sse.runs.get('a')) as Run
    const staying = before.read()
    await staying.next()
    fail.resolve()
    t.equal(await before.ended, 'failed')

    isHolding = true
    const go = deferred()
    await one.sse.runs.start('a', () => go.promise.then(() => ['whole']), { restart: true })
    const leases = store.leases as StoreLeases
    const [look, isAnswered] = [leases.look, deferred()]
    leases.look = async (channel) => {
      const looked = await look.call(leases, channel)
      isAnswered.resolve()
      return looked
    }
    const reading = other.sse.runs.get('a').then(allOf)
    await isAnswered.promise
    await nextTurn()
    isHolding = false
    for (const tell of held) tell()
    go.resolve()
    t.same(await reading, ['whole', '{"state":"done"}'])
    await staying.return?.()
  })

  t.test('that begins while the one before is being loaded has not ended', async (t) => {
    const store = redisStore({ url: redis.url })
    const [one, other] = [await node(t, redis.url), await node(t, redis.url, { history: { store } })]
    const failed = await one.sse.runs.start('a', () => Promise.reject(new Error('it fails')))
    await failed.run.ended
    const before = (await other.sse.runs.get('a')) as Run
    const [read, isRead, answer] = [store.read, deferred(), deferred()]
    store.read = async (...args) => {
      const past = await read.apply(store, args)
      isRead.resolve()
      await answer.promise
      return past
    }
    const staying = before.read()
    const first = staying.next()
    await isRead.promise
    store.read = read

    const go = deferred()
    await one.sse.runs.start('a', () => go.promise.then(() => ['whole']), { restart: true })
    const reading = allOf((await other.sse.runs.get('a')) as Run)
    answer.resolve()
    await nextTurn()
    go.resolve()
    t.same(await reading, ['whole', '{"state":"done"}'])
    t.match(await first, { value: { type: 'gap' } })
    await staying.return?.()
  })

  t.test('that begins while it is found that there is none has not ended', async (t) => {
    const store = redisStore({ url: redis.url })
    const forgetting = await node(t, redis.url, { runs: { keepEndedMs: 1 } })
    const [one, other] = [await node(t, redis.url), await node(t, redis.url, { history: { store } })]
    const go = deferred()
    const { run } = await forgetting.sse.runs.start('a', () => go.promise.then(() => ['before']))
    const handle = (await other.sse.runs.get('a')) as Run
    go.resolve()
    await run.ended
    while ((await one.sse.runs.get('a')) !== undefined) await nextTurn()

    const leases = store.leases as StoreLeases
    const [look, isLooked, answer] = [leases.look, deferred(), deferred()]
    leases.look = async (channel) => {
      const looked = await look.call(leases, channel)
      isLooked.resolve()
      await answer.promise
      return looked
    }
    const staying = handle.read()
    t.match(await staying.next(), { value: { type: 'gap' } })
    await isLooked.promise
    leases.look = look
    const goAgain = deferred()
    await one.sse.runs.start('a', () => goAgain.promise.then(() => ['now']))
    const reading = allOf((await other.sse.runs.get('a')) as Run)
    answer.resolve()
    await nextTurn()
    goAgain.resolve()
    t.same(await reading, ['now', '{"state":"done"}'])
    await staying.return?.()
  })

  t.test('tells once that it is lost when its server finds that by itself', async (t) => {
    const app = await node(t, redis.url, { runs: { leaseMs: 500 } })
    const { run } = await app.sse.runs.start('a', waiting)
    const told = untilTold(t, 'a', 'lost')
    await run.read().next()
    await redis.command('ZADD', 'eventstream:{0}:leases', '0', 'sse-run:a')
    t.equal(await run.ended, 'lost')
    t.same(await allOf(run), ['waiting', '{"state":"lost"}'])
    t.equal((await app.sse.runs.start('a', () => ['again'], { restart: true })).created, true)
    t.same(
      (await told).map(({ state }) => state).filter((state) => state === 'lost'),
      ['lost']
    )
  })

  t.test('is lost, and says so itself, when Redis has forgotten who has it', async (t) => {
    const [one, other] = [await node(t, redis.url), await node(t, redis.url)]
    const go = deferred()
    const { run } = await one.sse.runs.start('a', async function* () {
      yield 'one'
      await go.promise
      yield 'two'
    })
    const handle = (await other.sse.runs.get('a')) as Run
    const reading = allOf(handle)
    await handle.read().next()
    await redis.command('DEL', 'eventstream:{0}:owners', 'eventstream:{0}:leases')
    go.resolve()
    t.equal(await run.ended, 'lost')
    t.same(await reading, ['one', '{"state":"lost"}'])
    t.match(await handle.info(), { state: 'lost' })
  })

  t.test('is lost, for all, when Redis has forgotten for how long it has its lease', async (t) => {
    const [one, other] = [await node(t, redis.url), await node(t, redis.url)]
    const { run } = await one.sse.runs.start('a', waiting)
    const handle = (await other.sse.runs.get('a')) as Run
    const { ended } = handle
    await redis.command('DEL', 'eventstream:{0}:leases')
    t.equal(await run.ended, 'lost')
    t.equal(await ended, 'lost')
    t.equal((await allOf(handle)).at(-1), '{"state":"lost"}')
    t.equal((await other.sse.runs.start('a', () => ['again'], { restart: true })).created, true)
  })

  t.test('that was silent until Redis forgot what it had given tells a gap, and goes on', async (t) => {
    const { sse } = await node(t, redis.url)
    const isForgotten = deferred()
    const { run } = await sse.runs.start('a', async function* () {
      yield 'one'
      await isForgotten.promise
      yield 'two'
    })
    const reading = run.read()
    await reading.next()
    await reading.return?.()
    // What is done with a channel that got nothing for a day.
    await redis.command('DEL', 'eventstream:{0}:log:sse-run:a')
    for (const key of ['sizes', 'clears']) await redis.command('HDEL', `eventstream:{0}:${key}`, 'sse-run:a')
    await redis.command('ZREM', 'eventstream:{0}:heads', 'sse-run:a')
    isForgotten.resolve()
    t.equal(await run.ended, 'done')
    t.same(await allOf(run), ['gap: expired', 'two', '{"state":"done"}'])
  })

  t.test('is lost when Redis has lost a message of it, as a replica does that takes its place', async (t) => {
    const [one, other] = [await node(t, redis.url), await node(t, redis.url)]
    const [isLost, isToEnd] = [deferred(), deferred()]
    const log = 'eventstream:{0}:log:sse-run:a'
    const { run } = await one.sse.runs.start('a', async function* () {
      yield 'one'
      await isLost.promise
      yield 'two'
      await isToEnd.promise
      yield 'three'
    })
    const reading = run.read()
    await reading.next()
    const [[first]] = (await redis.command('XRANGE', log, '-', '+')) as [[string]]
    isLost.resolve()
    await reading.next()
    await reading.return?.()
    const [, [last]] = (await redis.command('XRANGE', log, '-', '+')) as [unknown, [string]]
    await redis.command('XDEL', log, last)
    await redis.command('ZADD', 'eventstream:{0}:heads', first.replace('-0', ''), 'sse-run:a')
    isToEnd.resolve()
    t.equal(await run.ended, 'lost')
    t.same(await allOf(await other.sse.runs.get('a')), ['one', '{"state":"lost"}'])
  })

  t.test('that has ended and was forgotten while a server was away has ended there, too', async (t) => {
    const line = await FaultProxy.start({ port: redis.port })
    t.teardown(() => line.close())
    const one = await node(t, redis.url, { runs: { keepEndedMs: 1 } })
    const away = await node(t, line.url)
    const { run } = await one.sse.runs.start('a', waiting)
    const handle = (await away.sse.runs.get('a')) as Run
    const reading = allOf(handle)
    const { ended } = handle
    const { port } = await listen(away)
    const client = RawClient.get(port, '/a')
    await client.until(/data: waiting/)
    line.refuse(true)
    line.cutAll()
    await run.stop()
    while ((await one.sse.runs.get('a')) !== undefined) await nextTurn()
    line.refuse(false)
    t.same(await reading, ['waiting', 'gap: slow'])
    t.equal(await ended, 'lost', 'nobody knows')
    await client.until(/event: gap/)
    await client.until(/\r\n0\r\n\r\n$/)
  })

  t.test('has each token for who comes back at any of them', async (t) => {
    const COUNT = 100_000
    const [one, other] = [await node(t, redis.url), await node(t, redis.url)]
    const { run } = await one.sse.runs.start('long', function* () {
      for (let i = 0; i < COUNT; i++) yield `token ${i}`
    })
    const { url } = await listen(other)
    const messagesOf = async (lastEventId?: string): Promise<{ ids: string[]; data: string[] }> => {
      const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
      const messages = [
        ...(await (await fetch(`${url}/long`, { headers })).text()).matchAll(
          /^id: (.*)\n(?:event: .*\n)?data: (.*)$/gm
        )
      ]
      return { ids: messages.map(([, id = '']) => id), data: messages.map(([, , data = '']) => data) }
    }
    const { ids, data } = await messagesOf()
    t.equal(await run.ended, 'done')
    t.equal(data.length, COUNT + 1)
    t.equal(
      data.findIndex((text, i) => i < COUNT && text !== `token ${i}`),
      -1
    )
    const points = [
      0,
      COUNT - 2,
      COUNT - 1,
      ...Array.from({ length: 5 }, () => Math.floor(Math.random() * COUNT))
    ]
    for (const point of points) {
      const rest = await messagesOf(ids[point])
      t.ok(rest.data.join('\n') === data.slice(point + 1).join('\n'), `after token ${point}`)
    }
  })
})
