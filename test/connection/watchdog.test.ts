import t from 'tap'
import { monotonicMs } from '../../lib/base/monotonic-ms.ts'
import type { Connection } from '../../lib/connection/connection.ts'
import type { Work } from '../../lib/connection/flush.ts'
import { Heartbeat } from '../../lib/connection/watchdog.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { Bench } from '../helpers/fake-transport.ts'

/** A flush that ends at once. */
function runAll(work: Work): void {
  while (work.work());
}

t.test('Heartbeat › lets every connection look at the same time', async (t) => {
  const benches = [Bench.open({ heartbeatMs: 100 }), Bench.open({ heartbeatMs: 200 })]
  const heartbeat = new Heartbeat(new Set(benches.map(({ connection }) => connection)), runAll)
  for (let now = 0; now < 200; now += 50) heartbeat.beat(now)
  for (const bench of benches) bench.endTurn()
  t.same(
    benches.map(({ transport }) => transport.text),
    [':\n', '']
  )
})

t.test('Heartbeat › a connection that ends while it beats does not disturb the others', async (t) => {
  const connections = new Set<Connection>()
  const [first, second] = [Bench.open({ expiresAt: Date.now() - 1 }), Bench.open({ heartbeatMs: 1 })]
  connections.add(first.connection).add(second.connection)
  first.connection.signal.addEventListener('abort', () => connections.delete(first.connection))
  const heartbeat = new Heartbeat(connections, runAll)
  heartbeat.beat(0)
  heartbeat.beat(10)
  second.endTurn()
  t.equal(first.connection.state, 'closing')
  t.equal(second.transport.text, ':\n')
})

/** Runs a test of a heartbeat that looks at one connection, which counts how often. */
function beating(test: (heartbeat: Heartbeat, clock: FakeClock, beats: () => number) => void): Promise<void> {
  return FakeClock.run(async (clock) => {
    let beats = 0
    const connection = { beat: () => beats++ } as unknown as Connection
    test(new Heartbeat(new Set([connection]), runAll), clock, () => beats)
  })
}

t.test('Heartbeat › one timer, which does not keep the process alive, and none when stopped', (t) =>
  beating((heartbeat, clock) => {
    heartbeat.start(15_000)
    heartbeat.start(15_000)
    heartbeat.start(100)
    t.same(clock.pending, { all: 1, withRef: 0 })
    heartbeat.stop()
    heartbeat.stop()
    t.same(clock.pending, { all: 0, withRef: 0 })
  })
)

t.test('Heartbeat › beats every second, or ten times in the shortest time there is to keep', async (t) => {
  for (const [shortestMs, periodMs] of [
    [15_000, 1000],
    [Infinity, 1000],
    [500, 50],
    [1, 5]
  ] as const) {
    await beating((heartbeat, clock, beats) => {
      heartbeat.start(shortestMs)
      clock.advance(periodMs - 1)
      t.equal(beats(), 0, `${shortestMs}`)
      clock.advance(1)
      t.equal(beats(), 1)
      clock.advance(2 * periodMs)
      t.equal(beats(), 3)
    })
  }
})

t.test('Heartbeat › becomes faster while it runs, but not slower', (t) =>
  beating((heartbeat, clock, beats) => {
    heartbeat.start(500)
    clock.advance(30)
    heartbeat.start(15_000)
    clock.advance(20)
    t.equal(beats(), 1, 'as if nothing had been said')
    heartbeat.start(100)
    clock.advance(10)
    t.equal(beats(), 2)
    heartbeat.stop()
    heartbeat.start(15_000)
    clock.advance(999)
    t.equal(beats(), 2, 'until it was stopped')
    clock.advance(1)
    t.equal(beats(), 3)
  })
)

t.test('Heartbeat › tells the connections the time', (t) =>
  FakeClock.run(async (clock) => {
    const bench = Bench.open({ heartbeatMs: 10 })
    const heartbeat = new Heartbeat(new Set([bench.connection]), runAll)
    heartbeat.start(10)
    clock.advance(10)
    t.equal(bench.transport.text, '')
    clock.advance(10)
    t.equal(bench.transport.text, ':\n')
    heartbeat.stop()
    clock.spend(0.75)
    t.equal(monotonicMs(), 1_020, 'in whole milliseconds')
  })
)

t.test('Heartbeat › looks at many in shares, and begins again only when it has seen all', async (t) => {
  let beats = 0
  const many = Array.from({ length: 200 }, () => ({ beat: () => beats++ }) as unknown as Connection)
  const scheduled: Work[] = []
  const heartbeat = new Heartbeat(new Set(many), (work) => scheduled.push(work))
  heartbeat.beat(0)
  heartbeat.beat(1)
  t.equal(scheduled.length, 1)
  const counts: number[] = [beats]
  while (scheduled[0]?.work()) counts.push(beats)
  t.same(counts.slice(0, 3), [16, 32, 48])
  t.equal(beats, 200)
  heartbeat.beat(2)
  t.equal(scheduled.length, 2)
})
