import { AsyncLocalStorage } from 'node:async_hooks'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { redisStore } from '../../lib/history/redis/redis-store.ts'
import type {
  EventStreamOptions,
  Run,
  RunEvent,
  RunInfo,
  StartedRun,
  Store,
  StoreLeases,
  StoreListener
} from '../../lib/index.ts'
import { runChannel } from '../../lib/run/run.ts'
import { readEvents } from '../../lib/testing/testing.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { RawClient } from '../helpers/raw-client.ts'
import { build, deferred, listen, logger, nextTurn } from '../helpers/server.ts'

/** A server whose route gives the run of its path: the one that the test holds, if there is one. */
async function serve(
  t: Test,
  options: EventStreamOptions = {},
  log = logger()
): Promise<{ app: FastifyInstance; url: string; log: ReturnType<typeof logger>; held: Map<string, Run> }> {
  const app = await build(t, options, { logger: log.options })
  const held = new Map<string, Run>()
  app.get<{ Params: { name: string } }>('/:name', async ({ params }, reply) => {
    const run = held.get(params.name) ?? (await app.sse.runs.get(params.name))
    if (run === undefined) return reply.code(404).send()
    run.subscribe(reply.sseStart({ farewell: false }))
  })
  return { app, log, held, ...(await listen(app)) }
}

/** The data of all that a run has, and the names of its events that are no messages. */
async function allOf(run: Run | undefined): Promise<string[]> {
  const all: string[] = []
  for await (const item of run?.read() ?? []) {
    if (item.type === 'gap') all.push(`gap: ${item.reason}`)
    else all.push(item.event === '' ? item.data : `${item.event}: ${item.data}`)
  }
  return all
}

/** What a stream has until it ends: the data of its messages, and the first and the last id. */
async function streamOf(
  url: string,
  lastEventId?: string
): Promise<{ status: number; data: string[]; first: string; id: string }> {
  const headers = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
  const response = await fetch(url, { headers })
  const text = await response.text()
  const ids = [...text.matchAll(/^id: (.*)$/gm)].map(([, id = '']) => id)
  const shown = text.replaceAll(/event: sse-cursor\n(id: .*\n)?data: {}\n(id: .*\n)?\n/g, '')
  return {
    status: response.status,
    data: [...shown.matchAll(/^data: (.*)$/gm)].map(([, data = '']) => data),
    first: ids.at(0) ?? '',
    id: ids.at(-1) ?? ''
  }
}

const DONE = '{"state":"done"}'

async function suite(t: Test, options: () => EventStreamOptions): Promise<void> {
  t.test(
    'goes on without anybody, and is given from the first message to the last to all who come',
    async (t) => {
      const { app, url } = await serve(t, options())
      const go = deferred()
      const { run, created } = await app.sse.runs.start('answer', async function* () {
        yield 'one'
        await go.promise
        yield { event: 'token', data: 'two' }
      })
      t.equal(created, true)
      t.match(await run.info(), { name: 'answer', state: 'running', reason: undefined, endedAt: undefined })
      t.equal(app.sse.stats().runs, 1)

      const early = readEvents(await fetch(`${url}/answer`))
      t.equal((await early.next('message')).data, 'one')
      go.resolve()
      t.equal((await early.next('token')).data, 'two')
      t.equal((await early.next('end')).data, DONE)
      t.equal(await run.ended, 'done')

      const late = await streamOf(`${url}/answer`)
      t.same(late.data, ['one', 'two', DONE])
      t.match(await streamOf(`${url}/answer`, late.id), { status: 204 })
      t.same(await allOf(run), ['one', 'token: two', `end: ${DONE}`])
      const { startedAt, endedAt } = (await run.info()) as RunInfo
      t.ok(endedAt !== undefined && endedAt >= startedAt)
      t.equal(app.sse.stats().runs, 0)
    }
  )

  t.test('is started once for each name, as long as it goes on or is kept', async (t) => {
    const { app } = await serve(t, options())
    let calls = 0
    const source = (): string[] => [`${++calls}`]
    const starts = Array.from({ length: 20 }, () => app.sse.runs.start('a', source))
    t.same((await Promise.all(starts)).map(({ created }) => created).sort(), [...Array(19).fill(false), true])
    const [first] = await Promise.all(starts)
    await first?.run.ended
    const { run, created } = await app.sse.runs.start('a', source, { restart: true })
    t.same([created, calls], [false, 1])
    t.same(await allOf(run), ['1', `end: ${DONE}`])
    t.equal(await run.ended, 'done')
    t.equal(await app.sse.runs.get('b'), undefined)
  })

  t.test('is one of those that are listed as long as it goes on', async (t) => {
    const { app } = await serve(t, options())
    const { run } = await app.sse.runs.start('a', waiting)
    await app.sse.runs.start('b', () => [])
    while ((await app.sse.runs.list()).length > 1) await nextTurn()
    t.same(
      (await app.sse.runs.list()).map(({ name }) => name),
      ['a']
    )
    await run.stop()
    await run.ended
    t.same(await app.sse.runs.list(), [])
  })

  t.test('takes whatever sendAll() takes, and makes messages of it by map', async (t) => {
    const { app } = await serve(t, options())
    const runs = app.sse.runs
    const lines = async (name: string): Promise<string[]> => allOf(await runs.get(name))
    await runs.start('array', () => ['a', { data: { b: 1 } }])
    await runs.start('readable', async () => Readable.from(['a', 'b']))
    await runs.start('stream', () => new Blob(['ab']).stream(), { map: (bytes) => `${bytes.length} bytes` })
    await runs.start('map', () => [1, 2, 3], { map: (n) => n !== 2 && { event: 'n', data: n } })
    const response = (): Response =>
      new Response('id: 7\nevent: x\ndata: a\n\ndata: b\n\n', {
        headers: { 'content-type': 'text/event-stream' }
      })
    await runs.start('response', response)
    t.same(await lines('array'), ['a', '{"b":1}', `end: ${DONE}`])
    t.same(await lines('readable'), ['a', 'b', `end: ${DONE}`])
    t.same(await lines('stream'), ['2 bytes', `end: ${DONE}`])
    t.same(await lines('map'), ['n: 1', 'n: 3', `end: ${DONE}`])
    t.same(await lines('response'), ['x: a', 'b', `end: ${DONE}`])
  })

  t.test('ends as stopped when somebody stops it, whatever its source does', async (t) => {
    const { app, log } = await serve(t, options())
    const told: unknown[] = []
    const { run } = await app.sse.runs.start('polite', async function* ({ signal }) {
      yield 'one'
      await once(signal, 'abort')
      told.push(signal.reason.name, signal.reason.reason)
      throw signal.reason
    })
    const { run: deaf } = await app.sse.runs.start('deaf', () => new Promise<string[]>(() => {}))
    await run.read().next()
    await run.stop('enough')
    await run.stop('again')
    await deaf.stop()
    t.same(await Promise.all([run.ended, deaf.ended]), ['stopped', 'stopped'])
    t.same(told, ['AbortError', 'enough'])
    t.match(await run.info(), { state: 'stopped', reason: 'enough' })
    t.match(await deaf.info(), { state: 'stopped', reason: undefined })
    t.same(await allOf(run), ['one', 'end: {"state":"stopped"}'])
    const again = await app.sse.runs.start('deaf', () => [], { restart: true })
    t.equal(again.created, false, 'it shall not begin again')
    t.match(
      log.lines.filter(({ level }) => level > 30),
      []
    )
  })

  t.test('is not stopped by who meant one before it of the same name', async (t) => {
    const { app } = await serve(t, options())
    const { run: before } = await app.sse.runs.start('a', () => Promise.reject(new Error('it fails')))
    await before.ended
    const { run } = await app.sse.runs.start('a', waiting, { restart: true })
    await before.stop('late')
    t.match(await run.info(), { state: 'running' })
    await run.stop('in time')
    t.equal(await run.ended, 'stopped')
    t.match(await run.info(), { reason: 'in time' })
    t.equal(await before.ended, 'failed')
  })

  t.test('that its own map stops has what was before that, in order', async (t) => {
    const { app } = await serve(t, options())
    const stopping = deferred<() => void>()
    const source = async function* (): AsyncGenerator<() => string> {
      const stop = await stopping.promise
      for (let number = 0; ; number++) {
        if (number % 3 === 0) await nextTurn()
        yield () => {
          if (number === 100) stop()
          return `${number}`
        }
      }
    }
    const { run } = await app.sse.runs.start('a', source, { map: (text) => text() })
    stopping.resolve(() => void run.stop())
    t.equal(await run.ended, 'stopped')
    t.same(await allOf(run), [...Array(100).keys(), 'end: {"state":"stopped"}'].map(String))
  })

  t.test('ends as failed with its source, whose error only the log has', async (t) => {
    const { app, log } = await serve(t, options())
    const sources: (() => unknown)[] = [
      async function* () {
        yield 'one'
        throw new Error('secret')
      },
      () => {
        throw new Error('secret')
      },
      () => Promise.reject(new Error('secret')),
      () => [{ data: 'one', id: 'mine' }]
    ]
    for (const [i, source] of sources.entries()) {
      const { run } = await app.sse.runs.start(`${i}`, source as () => string[])
      t.equal(await run.ended, 'failed')
      t.same((await allOf(run)).at(-1), 'end: {"state":"failed"}')
    }
    const failed = log.lines.filter(({ msg }) => msg === 'run failed')
    t.same(failed.map(({ err }) => err?.message).slice(0, 3), ['secret', 'secret', 'secret'])
    t.equal(failed[3]?.err?.code, 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE')
    t.same(await allOf(await app.sse.runs.get('0')), ['one', 'end: {"state":"failed"}'])
  })

  t.test('that has failed is started again only if that is said, and begins anew', async (t) => {
    const { app, url } = await serve(t, options())
    const first = await app.sse.runs.start('a', async function* () {
      yield 'half'
      throw new Error('no more')
    })
    await first.run.ended
    const { id } = await streamOf(`${url}/a`)
    t.equal((await app.sse.runs.start('a', () => ['whole'])).created, false)
    const second = await app.sse.runs.start('a', () => ['whole'], { restart: true })
    t.equal(second.created, true)
    t.equal(await second.run.ended, 'done')
    t.same((await streamOf(`${url}/a`)).data, ['whole', DONE], 'who is new is told no gap')
    t.same(await allOf(second.run), ['whole', `end: ${DONE}`])
    t.match((await streamOf(`${url}/a`, id)).data[0], /"reason":"expired"/, 'who has the half of it is')
  })

  t.test('is started again as soon as somebody was told its end', async (t) => {
    const { app } = await serve(t, options())
    const end = (): string => 'x'.repeat(100_000)
    const first = await app.sse.runs.start('a', () => Promise.reject(new Error('it fails')), { end })
    t.same(await allOf(first.run), [end()])
    const second = await app.sse.runs.start('a', () => ['whole'], { restart: true })
    t.equal(second.created, true)
    t.same(await allOf(second.run), ['whole', `end: ${DONE}`])
  })

  t.test('counts for no limit as soon as somebody was told its end', async (t) => {
    const { app } = await serve(t, { ...options(), runs: { max: 1, maxPerKey: 1 } })
    const { run } = await app.sse.runs.start('a', () => ['1'], { key: 'ann' })
    t.same(await allOf(run), ['1', `end: ${DONE}`])
    t.equal((await app.sse.runs.start('b', () => ['2'], { key: 'ann' })).created, true)
  })

  t.test('that is started again has nothing of the one before, whoever reads that still', async (t) => {
    const { app } = await serve(t, options())
    const first = await app.sse.runs.start('a', async function* () {
      yield 'half'
      throw new Error('no more')
    })
    const staying = first.run.read()
    await staying.next()
    await first.run.ended
    const go = deferred()
    const { run } = await app.sse.runs.start('a', () => go.promise.then(() => ['whole']), { restart: true })
    const reading = allOf(run)
    await nextTurn()
    go.resolve()
    t.same(await reading, ['whole', `end: ${DONE}`])
    await staying.return?.()
  })

  t.test('ends with the message that its option makes, or with none', async (t) => {
    const { app } = await serve(t, options())
    const { run } = await app.sse.runs.start('a', () => ['1'], {
      end: (state) => ({ event: 'bye', data: state })
    })
    const { run: stopped } = await app.sse.runs.start('c', waiting, {
      end: (state, _error, reason) => ({ data: { state, reason } })
    })
    await stopped.stop('enough')
    await stopped.ended
    t.same(JSON.parse((await allOf(stopped)).at(-1) ?? ''), { state: 'stopped', reason: 'enough' })
    const { run: none } = await app.sse.runs.start('b', () => ['1'], { end: () => undefined })
    t.same(await Promise.all([run.ended, none.ended]), ['done', 'done'])
    t.same(await allOf(run), ['1', 'bye: done'])
    t.same(await allOf(none), ['1'])
    t.match(await none.info(), { state: 'done' })
  })

  t.test('ends without a last message when that cannot be made', async (t) => {
    const { app, log } = await serve(t, options())
    const ends = [
      () => {
        throw new Error('secret')
      },
      () => ({ id: 'mine', data: 'bye' })
    ]
    for (const [i, end] of ends.entries()) {
      const { run } = await app.sse.runs.start(`${i}`, () => ['1'], { end })
      t.equal(await run.ended, 'done')
      t.same(await allOf(run), ['1'])
    }
    const codes = log.lines.filter(({ level }) => level === 50).map(({ err }) => err?.code ?? err?.message)
    t.same([...new Set(codes)], ['secret', 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE'])
  })

  t.test('that is forgotten has a gap and no more for who holds it still', async (t) => {
    const { app, url, held } = await serve(t, { ...options(), runs: { keepEndedMs: 500 } })
    const { run } = await app.sse.runs.start('a', () => ['one', 'two'])
    held.set('a', run)
    await run.ended
    const all = await streamOf(`${url}/a`)
    t.same(all.data, ['one', 'two', DONE])
    while ((await app.sse.runs.get('a')) !== undefined) await nextTurn()

    t.same(await allOf(run), ['gap: expired'])
    t.match((await streamOf(`${url}/a`)).data, [/"reason":"expired"/])
    t.match((await streamOf(`${url}/a`, all.first)).data, [/"reason":"expired"/], 'who has a part')
    t.same((await streamOf(`${url}/a`, all.id)).data, [], 'who has all')

    const staying = run.read()
    t.match(await staying.next(), { value: { type: 'gap' } })
    const go = deferred()
    const again = await app.sse.runs.start('a', async function* () {
      await go.promise
      yield 'three'
    })
    t.equal(again.created, true)
    const readings = [allOf(run), allOf(again.run)]
    await nextTurn()
    go.resolve()
    for (const data of await Promise.all(readings)) t.same(data, ['three', `end: ${DONE}`])
    await staying.return?.()
  })

  t.test('is limited by bytes, and not by messages', async (t) => {
    const { app } = await serve(t, { ...options(), runs: { maxBytes: 100_000 } })
    const long = await app.sse.runs.start('long', () => Array.from({ length: 5_000 }, (_, i) => `${i}`))
    await long.run.ended
    t.equal((await allOf(long.run)).length, 5_001)
    const large = await app.sse.runs.start('large', () =>
      Array.from({ length: 20 }, () => 'x'.repeat(10_000))
    )
    await large.run.ended
    t.same((await allOf(large.run)).at(0), 'gap: expired', 'who has lost the beginning is told')
  })

  t.test('has nothing of the request that started it', async (t) => {
    const { app } = await serve(t, options())
    const storage = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const { run } = await storage.run('request', () =>
      app.sse.runs.start(
        'a',
        async function* () {
          seen.push(storage.getStore())
          yield 'one'
          await nextTurn()
          seen.push(storage.getStore())
        },
        { end: (state) => String(seen.push(storage.getStore()) && state) }
      )
    )
    await run.ended
    t.same(new Set(seen), new Set([undefined]))
  })

  t.test('has nothing of the request that stops it, nor of one that has started another', async (t) => {
    const { app } = await serve(t, { ...options(), runs: { leaseMs: 3_000 } })
    const storage = new AsyncLocalStorage<string>()
    const seen: unknown[] = []
    const start = (name: string, abandonMs: number): Promise<StartedRun> =>
      app.sse.runs.start(
        name,
        ({ signal }) => {
          signal.addEventListener('abort', () => seen.push(storage.getStore()))
          return new Promise<string[]>(() => {})
        },
        { abandonMs, end: (state) => String(seen.push(storage.getStore()) && state) }
      )
    await storage.run('starts another', () => start('another', 60_000))
    const { run: abandoned } = await start('abandoned', 1)
    const { run: stopped } = await start('stopped', 60_000)
    await storage.run('stops it', () => stopped.stop())
    t.same(await Promise.all([abandoned.ended, stopped.ended]), ['stopped', 'stopped'])
    t.same(new Set(seen), new Set([undefined]))
  })

  t.test('only it publishes to its channel', async (t) => {
    const { app } = await serve(t, options())
    t.throws(() => app.sse.channel('sse-run:a'), { code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION' })
    t.throws(() => app.sse.publish('sse-run:a', '1'), { code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION' })
  })

  t.test('is stopped when nobody has wanted it for long enough', async (t) => {
    const { app, url } = await serve(t, { ...options(), runs: { leaseMs: 3_000 } })
    const { run } = await app.sse.runs.start('a', waiting, { abandonMs: 1 })
    const { run: wanted } = await app.sse.runs.start('b', waiting, { abandonMs: 2_000 })
    const client = RawClient.get(Number(new URL(url).port), '/b')
    await client.until(/data: waiting/)
    t.equal(await run.ended, 'stopped')
    t.match(await run.info(), { reason: 'abandoned' })
    t.match(await wanted.info(), { state: 'running' })
    client.socket.destroy()
    t.equal(await wanted.ended, 'stopped')
  })
}

/** A source that has one message, and no end. */
async function* waiting({ signal }: { signal: AbortSignal }): AsyncGenerator<string> {
  yield 'waiting'
  await once(signal, 'abort')
}

t.test('Run › in memory', async (t) => {
  await suite(t, () => ({}))

  t.test('its source is pulled no faster than the history takes', async (t) => {
    const { app } = await serve(t)
    let pulled = 0
    let turns = 0
    const counting = setInterval(() => turns++, 0)
    const { run } = await app.sse.runs.start('a', function* () {
      for (; pulled < 1_000; pulled++) yield 'x'.repeat(10_000)
    })
    t.ok(pulled < 20, `${pulled} of 1,000`)
    await run.ended
    clearInterval(counting)
    t.ok(turns > 0, 'others have had their turns')
  })

  t.test('no more of them than the limits allow', async (t) => {
    const { app } = await serve(t, { drainMs: 1, runs: { max: 2, maxPerKey: 1 } })
    const { runs } = app.sse
    const { run: failed } = await runs.start('failed', () => Promise.reject(new Error('it fails')))
    await failed.ended
    const { run } = await runs.start('a', waiting, { key: 'ann' })
    const perKey = { code: 'FST_ERR_EVENTSTREAM_TOO_MANY_RUNS_PER_KEY', statusCode: 429 }
    await t.rejects(runs.start('b', waiting, { key: 'ann' }), perKey)
    t.equal((await runs.start('a', waiting, { key: 'ann' })).created, false, 'it is there')
    await runs.start('b', waiting)
    await t.rejects(runs.start('c', waiting), { code: 'FST_ERR_EVENTSTREAM_TOO_MANY_RUNS', statusCode: 503 })
    t.equal((await runs.start('failed', waiting)).created, false, 'it is there')
    await t.rejects(runs.start('failed', waiting, { restart: true }), {
      code: 'FST_ERR_EVENTSTREAM_TOO_MANY_RUNS'
    })
    await run.stop()
    await run.ended
    t.equal((await runs.start('c', waiting, { key: 'ann' })).created, true)
  })

  t.test('is gone when its time has come, and its name is free', async (t) => {
    const { app } = await serve(t, { runs: { keepEndedMs: 1 } })
    const { run } = await app.sse.runs.start('a', () => ['1'])
    const found = (await app.sse.runs.get('a')) as Run
    while ((await app.sse.runs.get('a')) !== undefined) await nextTurn()
    t.equal(await run.info(), undefined)
    t.equal(await run.ended, 'done', 'who has started it knows')
    t.equal(await found.ended, 'lost', 'nothing is known of it any more')
    const again = await app.sse.runs.start('a', () => ['2'])
    t.equal(again.created, true)
    t.same(await allOf(again.run), ['2', `end: ${DONE}`])
  })

  t.test('is told to the log and the diagnostics channel', async (t) => {
    const { app, log } = await serve(t)
    const told: RunEvent[] = []
    const listener = (event: unknown): void => void told.push(event as RunEvent)
    runChannel.subscribe(listener)
    t.teardown(() => runChannel.unsubscribe(listener))
    const { run } = await app.sse.runs.start('a', waiting)
    await run.stop('enough')
    await run.ended
    t.match(told, [
      { run: 'a', state: 'running' },
      { run: 'a', state: 'stopped', reason: 'enough' }
    ])
    const lines = log.lines.filter(({ msg }) => msg.startsWith('run '))
    t.match(lines, [
      { msg: 'run started', eventStream: { run: 'a' } },
      { msg: 'run ended', eventStream: { run: 'a', state: 'stopped', reason: 'enough', durationMs: Number } }
    ])
  })

  t.test('may end when the server closes, and is stopped when that takes too long', async (t) => {
    const { app } = await serve(t, { drainMs: 500 })
    let isClosing = false
    const { run } = await app.sse.runs.start('soon', async function* () {
      yield 'one'
      while (!isClosing) await nextTurn()
      yield 'two'
    })
    const { run: never } = await app.sse.runs.start('never', waiting)
    const { run: deaf } = await app.sse.runs.start('deaf', () => new Promise<string[]>(() => {}))
    const reading = Promise.all([allOf(run), allOf(never)])
    const { run: short } = await app.sse.runs.start('short', () => [])
    const closing = app.close()
    isClosing = true
    t.same(await Promise.all([run.ended, never.ended, deaf.ended]), ['done', 'stopped', 'stopped'])
    await closing
    t.equal(await short.ended, 'done')
    t.same(await reading, [
      ['one', 'two', `end: ${DONE}`],
      ['waiting', 'end: {"state":"stopped"}']
    ])
    await t.rejects(
      app.sse.runs.start('late', () => []),
      { code: 'FST_ERR_EVENTSTREAM_CLOSING', statusCode: 503 }
    )
  })

  t.test('that waits to be started does not begin once the server closes', async (t) => {
    const { app } = await serve(t, { drainMs: 1 })
    const failing = (): Promise<string[]> => Promise.reject(new Error('it fails'))
    const first = app.sse.runs.start('a', failing)
    const second = app.sse.runs.start('a', waiting, { restart: true })
    const draining = app.sse.drain()
    await t.rejects(second, { code: 'FST_ERR_EVENTSTREAM_CLOSING' })
    await Promise.all([first.catch(() => {}), draining])
    t.equal(app.sse.stats().runs, 0)
  })

  t.test('wrong options fail with their names', async (t) => {
    const { app } = await serve(t)
    const rows: [unknown[], RegExp][] = [
      [['', waiting], /the name of the run/],
      [['x'.repeat(241), waiting], /the name of the run/],
      [[1, waiting], /the name of the run/],
      [['a', ['1']], /source/],
      [['a', waiting, { map: 1 }], /map/],
      [['a', waiting, { end: 'end' }], /end/],
      [['a', waiting, { restart: 1 }], /restart/],
      [['a', waiting, { abandonMs: 0 }], /abandonMs/],
      [['a', waiting, { key: '' }], /key/],
      [['a', waiting, { fast: true }], /fast/]
    ]
    for (const [args, message] of rows) {
      await t.rejects(Reflect.apply(app.sse.runs.start, app.sse.runs, args), {
        code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION',
        message
      })
    }
    const { run } = await app.sse.runs.start('a', waiting)
    for (const reason of [null, ['a'], 1n]) {
      const stopped = Reflect.apply(run.stop, run, [reason])
      await t.rejects(stopped, { code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION', message: /the reason/ })
    }
    t.match(await run.info(), { state: 'running' })
    await run.stop()
    for (const name of ['maxBytes', 'keepEndedMs', 'leaseMs', 'max', 'maxPerKey']) {
      await t.rejects(build(t, { runs: { [name]: 0 } }), { message: new RegExp(`runs\\.${name}`) })
    }
    await t.rejects(build(t, { runs: { fast: true } as object }), { message: /fast/ })
  })
})

t.test('Run › in Redis', async (t) => {
  const redis = await RedisServer.start()
  t.teardown(() => redis.stop())
  let prefix = 0
  const newStore = (): Store => redisStore({ url: redis.url, prefix: `${prefix++}:` })
  await suite(t, () => ({ history: { store: newStore() } }))

  /** A server whose store takes nothing as often as it is told to. */
  async function withFailures(t: Test): Promise<{ app: FastifyInstance; failures: { left: number } }> {
    const store = newStore()
    const append = store.append
    const failures = { left: 0 }
    store.append = async (...args) => {
      if (failures.left-- > 0) throw new Error('it is away')
      return await append.apply(store, args)
    }
    const { app } = await serve(t, { drainMs: 10, history: { store } })
    return { app, failures }
  }

  t.test('fails when a message is not taken, and tells that when its end is', async (t) => {
    const { app, failures } = await withFailures(t)
    const go = deferred()
    const { run } = await app.sse.runs.start('a', async function* () {
      yield 'one'
      await go.promise
      failures.left = 2
      yield 'two'
      await run.ended
      yield 'three'
    })
    const reading = allOf(run)
    await run.read().next()
    go.resolve()
    t.equal(await run.ended, 'failed')
    t.same(await reading, ['one', 'end: {"state":"failed"}'])
  })

  t.test('has failed when what its source has given last is not taken', async (t) => {
    const store = newStore()
    const { append } = store
    const asked = deferred()
    store.append = async (given) => {
      if (given.isEnd) return await append.call(store, given)
      asked.resolve()
      await nextTurn()
      throw new Error('it is away')
    }
    const { app, log } = await serve(t, { history: { store } })
    const { run } = await app.sse.runs.start('a', async function* () {
      yield 'one'
      await asked.promise
    })
    t.equal(await run.ended, 'failed')
    t.same(await allOf(run), ['end: {"state":"failed"}'])
    const failed = log.lines.find(({ msg }) => msg === 'run failed')
    t.match(failed, { err: { code: 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED' } })
  })

  t.test('is lost when its server closes and its end is not taken', async (t) => {
    const { app, failures } = await withFailures(t)
    const { run } = await app.sse.runs.start('a', waiting)
    await run.read().next()
    failures.left = Infinity
    await app.close()
    t.equal(await run.ended, 'lost')
  })

  t.test('has ended for who has lost its end, too', async (t) => {
    const store = newStore()
    const { open } = store
    let listener: StoreListener | undefined
    store.open = (given, log) => {
      listener = given
      return open.call(store, given, log)
    }
    const { app } = await serve(t, { history: { store } })
    const { run } = await app.sse.runs.start('a', () => ['one', 'two'])
    await run.ended
    const reading = run.read()
    t.match(await reading.next(), { value: { data: 'one' } })
    // What Redis has lost may have been given later than what it still has.
    listener?.storeOnLoss(['sse-run:a'], (Date.now() + 60_000) * 1_000)
    t.match(await reading.next(), { value: { type: 'gap' } })
    t.match(await reading.next(), { done: true })
  })

  t.test('counts for no limit when it could not be started', async (t) => {
    const store = newStore()
    const { app } = await serve(t, { history: { store }, runs: { max: 1 } })
    const leases = store.leases as StoreLeases
    const take = leases.take
    leases.take = async () => {
      throw new Error('it is away')
    }
    const start = (): Promise<unknown> => app.sse.runs.start('a', () => [])
    for (const _ of [1, 2]) await t.rejects(start(), { code: 'FST_ERR_EVENTSTREAM_HISTORY_AWAY' })
    leases.take = take
    t.match(await start(), { created: true })
  })

  t.test(
    'that is forgotten before its server knows that its end was told is so for its readers',
    async (t) => {
      const store = newStore()
      const { app } = await serve(t, { history: { store }, runs: { keepEndedMs: 1 } })
      const answer = deferred()
      const append = store.append
      store.append = async (given) => {
        const appended = await append.call(store, given)
        if (given.isEnd) await answer.promise
        return appended
      }
      const { run } = await app.sse.runs.start('a', () => ['one'])
      const leases = store.leases as StoreLeases
      const isKept = async (): Promise<boolean> => Object.keys(await leases.look('sse-run:a')).length > 0
      while (await isKept()) await nextTurn()
      const reading = run.read()
      t.match(await reading.next(), { value: { type: 'gap' } })
      await isKept()
      answer.resolve()
      t.match(await reading.next(), { done: true })
    }
  )

  t.test('is none if its server has closed when its lease comes', async (t) => {
    const store = newStore()
    const { app } = await serve(t, { drainMs: 1, history: { store } })
    const leases = store.leases as StoreLeases
    const [isAsked, lease] = [deferred(), deferred()]
    const take = leases.take
    leases.take = async (...args) => {
      const place = await take.apply(leases, args)
      isAsked.resolve()
      await lease.promise
      return place
    }
    let calls = 0
    const starting = app.sse.runs.start('a', () => [`${++calls}`])
    await isAsked.promise
    const closed = t.rejects(starting, { code: 'FST_ERR_EVENTSTREAM_CLOSING' })
    await app.close()
    lease.resolve()
    await closed
    t.same([calls, app.sse.stats().runs], [0, 0])
  })

  t.test('is wanted by who comes while it is asked whether anybody does', async (t) => {
    const store = newStore()
    const { app } = await serve(t, { drainMs: 1, history: { store }, runs: { leaseMs: 3_000 } })
    const leases = store.leases as StoreLeases
    const [renew, isAsked, answer] = [leases.renew, deferred(), deferred()]
    leases.renew = async (...args) => {
      leases.renew = renew
      const followers = await leases.renew(...args)
      isAsked.resolve()
      await answer.promise
      return followers
    }
    const started = deferred<AbortSignal>()
    const { run } = await app.sse.runs.start(
      'a',
      async function* ({ signal }) {
        started.resolve(signal)
        yield 'one'
        await once(signal, 'abort')
      },
      { abandonMs: 1 }
    )
    const signal = await started.promise
    await isAsked.promise
    const reading = run.read()
    await reading.next()
    answer.resolve()
    await nextTurn()
    t.equal(signal.aborted, false)
    await reading.return?.()
    t.equal(await run.ended, 'stopped')
  })

  t.test('the log is told once that leases cannot be kept, until they can', async (t) => {
    const store = newStore()
    const { log } = await serve(t, { history: { store }, runs: { leaseMs: 30 } })
    const leases = store.leases as StoreLeases
    for (const outage of [1, 2]) {
      for (const isAway of [true, true, false, false]) {
        const isAsked = deferred()
        leases.takeOver = async () => {
          isAsked.resolve()
          if (isAway) throw new Error('it is away')
          return []
        }
        await isAsked.promise
      }
      t.equal(log.lines.filter(({ msg }) => msg === 'leases of runs could not be renewed').length, outage)
    }
  })

  t.test('without leases, who has a part of one whose server is gone is told a gap', async (t) => {
    const shared = `${prefix++}:`
    const options = (): EventStreamOptions => {
      const store: Store = redisStore({ url: redis.url, prefix: shared })
      const append = store.append
      store.append = ({ token, ...given }) => append.call(store, given)
      return { drainMs: 1, history: { store: Object.defineProperty(store, 'leases', { value: undefined }) } }
    }
    const { app: gone, url: goneUrl } = await serve(t, options())
    const { run } = await gone.sse.runs.start('a', async function* ({ signal }) {
      yield* ['half', 'of it']
      await once(signal, 'abort')
    })
    const reading = run.read()
    await reading.next()
    await reading.next()
    const events = readEvents(await fetch(`${goneUrl}/a`))
    const { id } = await events.next('message')

    const { app, url } = await serve(t, options())
    const again = await app.sse.runs.start('a', () => ['whole'])
    t.equal(again.created, true)
    t.equal(await again.run.ended, 'done')
    t.same((await streamOf(`${url}/a`)).data, ['whole', DONE])
    const { data } = await streamOf(`${url}/a`, id)
    t.match(data[0], /"reason":"expired"/)
    t.same(data.slice(1), ['whole', DONE])
  })

  t.test('is none if it is not what has ended its channel', async (t) => {
    const store = newStore()
    const { app } = await serve(t, { history: { store } })
    const limits = { maxMessages: 10, maxBytes: 1_000, maxAgeMs: 60_000, keepEndedMs: 60_000 }
    for (const key of ['end', 'null', '["done","never"]']) {
      await store.append({
        channels: [{ name: `sse-run:${key}`, limits }],
        messages: [{ text: 'data: 1\n\n', key }],
        idempotencyKey: undefined,
        isKept: true,
        isEnd: true
      })
      t.equal(await app.sse.runs.get(key), undefined)
    }
  })
})
