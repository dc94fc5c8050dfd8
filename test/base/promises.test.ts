import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t from 'tap'
import { ObservedPromise, within } from '../../lib/base/promises.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { nextTurn } from '../helpers/server.ts'

/** A promise of what `run` gives, and the errors that nobody was waiting for. */
function observe<T>(run: Promise<T>): { promise: ObservedPromise<T>; unobserved: unknown[] } {
  const unobserved: unknown[] = []
  return { promise: ObservedPromise.of(run, (error) => unobserved.push(error)), unobserved }
}

const failure = new Error('failed')

t.test('observed promise › gives what it is of', async (t) => {
  const { promise, unobserved } = observe(Promise.resolve(5))
  t.equal(await promise, 5)
  t.ok(promise instanceof Promise)
  t.same(unobserved, [])
})

t.test(
  'observed promise › an error that nobody waits for is told, and is no unhandled rejection',
  async (t) => {
    const { unobserved } = observe(Promise.reject(failure))
    await nextTurn()
    t.same(unobserved, [failure])
  }
)

t.test('observed promise › an error that somebody waits for is theirs', async (t) => {
  const ways: ((promise: Promise<unknown>) => Promise<unknown>)[] = [
    async (promise) => await promise,
    (promise) => promise.then(() => {}),
    (promise) => promise.finally(() => {}),
    (promise) => Promise.all([promise]),
    (promise) => Promise.resolve().then(() => promise)
  ]
  const runs: (() => Promise<never>)[] = [
    () => nextTurn().then(() => Promise.reject(failure)),
    () => Promise.reject(failure)
  ]
  for (const [n, wait] of ways.entries()) {
    for (const run of runs) {
      const { promise, unobserved } = observe(run())
      await t.rejects(wait(promise), failure)
      await nextTurn()
      t.same(unobserved, [], `way ${n}`)
    }
  }
  const { promise, unobserved } = observe(Promise.reject(failure))
  t.equal(await promise.catch((error: unknown) => error), failure)
  t.same(unobserved, [])
})

t.test('observed promise › of something that only looks like a promise, and answers at once', async (t) => {
  const failing: PromiseLike<never> = {
    // biome-ignore lint/suspicious/noThenProperty: that is what is tested
    then: (_resolve, reject) => Promise.resolve(reject?.(failure)) as Promise<never>
  }
  const unobserved: unknown[] = []
  await t.rejects(
    ObservedPromise.of(failing, (error) => unobserved.push(error)),
    failure
  )
  t.same(unobserved, [])
  ObservedPromise.of(failing, (error) => unobserved.push(error))
  await nextTurn()
  t.same(unobserved, [failure])
})

t.test('observed promise › who comes too late still gets it', async (t) => {
  const { promise, unobserved } = observe(Promise.reject(failure))
  await nextTurn()
  t.same(unobserved, [failure])
  await t.rejects(promise, failure)
  t.same(unobserved, [failure], 'and it was told once')
})

t.test('observed promise › what follows from it is a plain promise', async (t) => {
  const { promise } = observe(Promise.resolve(1))
  const next = promise.then((value) => value + 1)
  t.not(next instanceof ObservedPromise, true)
  t.equal(await next, 2)
})

t.test('within()', async (t) => {
  t.test('rejects when the time is over', async (t) => {
    const clock = FakeClock.install(t)
    const answer = within(1, new Promise(() => {}))
    clock.advance(1)
    await t.rejects(answer, { message: 'it did not answer within 1 ms' })
  })

  t.test('an answer that came in time counts, also if the process was too busy to read it', async (t) => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as { port: number }
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const client = connect(port, '127.0.0.1')
    const [socket] = await accepted
    t.teardown(() => {
      client.destroy()
      server.close()
    })
    const answer = within(1, once(client, 'data'))
    socket.end('answer')
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
    t.match(await answer, [Buffer.from('answer')])
  })
})
