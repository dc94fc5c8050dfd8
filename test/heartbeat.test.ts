import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import type { Connection } from '../lib/connection.ts'
import { Heartbeat, monotonicMs } from '../lib/heartbeat.ts'
import { Bench } from './helpers/fake-transport.ts'

function timers(): number {
  return process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
}

/** A timer's delay as Node holds it. */
function periodOf(heartbeat: Heartbeat, shortestMs: number): number {
  const { setInterval } = globalThis
  let periodMs = 0
  globalThis.setInterval = ((_callback: () => void, ms: number) => {
    periodMs = ms
    return setInterval(() => {}, 1e6)
  }) as typeof setInterval
  try {
    heartbeat.start(shortestMs)
  } finally {
    globalThis.setInterval = setInterval
  }
  return periodMs
}

t.test('Heartbeat › lets every connection look at the same time', async (t) => {
  const benches = [Bench.open({ heartbeatMs: 100 }), Bench.open({ heartbeatMs: 200 })]
  const heartbeat = new Heartbeat(new Set(benches.map(({ connection }) => connection)))
  for (let now = 0; now < 200; now += 50) heartbeat.beat(now)
  for (const bench of benches) bench.endTurn()
  t.same(
    benches.map(({ transport }) => transport.text),
    [': \n\n', '']
  )
})

t.test('Heartbeat › a connection that ends while it beats does not disturb the others', async (t) => {
  const connections = new Set<Connection>()
  const [first, second] = [Bench.open({ expiresAt: Date.now() - 1 }), Bench.open({ heartbeatMs: 1 })]
  connections.add(first.connection).add(second.connection)
  first.connection.signal.addEventListener('abort', () => connections.delete(first.connection))
  const heartbeat = new Heartbeat(connections)
  heartbeat.beat(0)
  heartbeat.beat(10)
  second.endTurn()
  t.equal(first.connection.state, 'closing')
  t.equal(second.transport.text, ': \n\n')
})

t.test('Heartbeat › one timer, which does not keep the process alive, and none when stopped', async (t) => {
  const heartbeat = new Heartbeat(new Set())
  const before = timers()
  heartbeat.start(15_000)
  heartbeat.start(15_000)
  heartbeat.start(100)
  t.equal(timers(), before, 'an unref timer is not an active resource')
  heartbeat.stop()
  heartbeat.stop()
})

t.test('Heartbeat › beats every second, or ten times in the shortest time there is to keep', async (t) => {
  t.equal(periodOf(new Heartbeat(new Set()), 15_000), 1000)
  t.equal(periodOf(new Heartbeat(new Set()), Infinity), 1000)
  t.equal(periodOf(new Heartbeat(new Set()), 500), 50)
  t.equal(periodOf(new Heartbeat(new Set()), 1), 5)
  const heartbeat = new Heartbeat(new Set())
  t.equal(periodOf(heartbeat, 500), 50)
  t.equal(periodOf(heartbeat, 15_000), 0, 'does not become slower while it runs')
  t.equal(periodOf(heartbeat, 100), 10)
  heartbeat.stop()
  t.equal(periodOf(heartbeat, 15_000), 1000)
})

t.test('Heartbeat › its timer beats', async (t) => {
  const bench = Bench.open({ heartbeatMs: 10 })
  const heartbeat = new Heartbeat(new Set([bench.connection]))
  heartbeat.start(10)
  while (bench.transport.text === '') await sleep(1)
  heartbeat.stop()
  t.equal(bench.transport.text, ': \n\n')
  t.ok(Number.isInteger(monotonicMs()))
})
