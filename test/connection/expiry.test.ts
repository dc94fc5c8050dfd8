import t from 'tap'
import { FakeClock } from '../helpers/fake-clock.ts'
import { Bench } from '../helpers/fake-transport.ts'

const RETRY = 'retry: 7\n'
const OPTIONS = { retryMs: [7, 7], heartbeatMs: false } as const

/** With a clock that stands still. */
function atRest(test: (clock: FakeClock) => Promise<void>): () => Promise<void> {
  return () => FakeClock.run(test)
}

t.test('Connection › #expiresAt', async (t) => {
  t.test(
    'ends the stream, given as a Date or as milliseconds',
    atRest(async (clock) => {
      for (const given of [Number, (ms: number) => new Date(ms)]) {
        const expiresAt = given(Date.now() + 5000)
        const bench = Bench.open({ ...OPTIONS, expiresAt })
        t.equal(bench.connection.expiresAt, Number(expiresAt))
        clock.spend(4999)
        bench.connection.beat(4999)
        t.equal(bench.connection.state, 'open')
        clock.spend(1)
        bench.connection.beat(5000)
        t.equal(bench.connection.reason, 'expired')
        t.equal(bench.transport.text, RETRY)
        t.ok(bench.transport.ended)
      }
      t.equal(Bench.open().connection.expiresAt, undefined)
    })
  )

  t.test(
    'lets no message out afterwards, also before anybody looks at the clock',
    atRest(async (clock) => {
      const bench = Bench.open({ ...OPTIONS, expiresAt: Date.now() + 50 })
      bench.connection.send('in time')
      bench.endTurn()
      clock.spend(50)
      t.equal(await bench.connection.send('too late'), false)
      t.equal(bench.transport.text, `data: in time\n\n${RETRY}`)
      t.equal(bench.connection.reason, 'expired')
    })
  )

  t.test(
    'nor what was sent before, and not written',
    atRest(async (clock) => {
      const bench = Bench.open({ ...OPTIONS, expiresAt: Date.now() + 50 })
      bench.connection.send('waits for the end of the turn')
      clock.spend(50)
      bench.endTurn()
      t.equal(bench.transport.text, RETRY)

      const slow = Bench.open({ ...OPTIONS, expiresAt: Date.now() + 50 })
      slow.transport.capacity = 0
      slow.connection.send('a')
      slow.endTurn()
      slow.connection.send('waits for the reader')
      clock.spend(50)
      slow.drain()
      t.equal(slow.transport.text, `data: a\n\n${RETRY}`)
    })
  )

  t.test(
    'also while the stream is closing: then a finite one is not whole',
    atRest(async (clock) => {
      const bench = Bench.open({ ...OPTIONS, expiresAt: Date.now() + 50, finite: true })
      bench.transport.capacity = 0
      bench.connection.send('a')
      bench.endTurn()
      bench.connection.send('b')
      bench.connection.close()
      clock.spend(50)
      bench.connection.beat(50)
      bench.drain()
      t.equal(bench.transport.text, 'data: a\n\n')
      t.ok(bench.transport.brokenOff)

      const whole = Bench.open({ ...OPTIONS, expiresAt: Date.now() + 50, finite: true })
      whole.connection.close()
      clock.spend(50)
      whole.connection.beat(50)
      t.notOk(whole.transport.brokenOff, 'one that had nothing more to give is')
    })
  )

  t.test(
    'says nothing where a message was cut',
    atRest(async (clock) => {
      const bench = Bench.open({ ...OPTIONS, expiresAt: Date.now() + 50 })
      bench.transport.capacity = 0
      bench.connection.send('x'.repeat(100_000))
      bench.endTurn()
      const { length } = bench.transport.text
      clock.spend(50)
      bench.drain()
      t.equal(bench.transport.text.length, length, 'what was cut is no message to its client')
      t.ok(bench.transport.ended)
    })
  )

  t.test('in the past lets only the head, its last words and the end out', async (t) => {
    const bench = new Bench({
      ...OPTIONS,
      expiresAt: Date.now() - 1,
      farewell: (reason) => ({ data: reason })
    })
    t.equal(await bench.connection.send('too late'), false)
    bench.connection.open(bench.transport)
    t.equal(bench.transport.text, `data: expired\n\n${RETRY}`)
    t.ok(bench.transport.ended)
    const early = new Bench({ ...OPTIONS, expiresAt: Date.now() - 1 })
    early.connection.beat(0)
    t.equal(early.connection.reason, 'expired', 'also before the head is out')
  })

  t.test(
    'can be moved, and taken back',
    atRest(async (clock) => {
      const { connection } = Bench.open({ ...OPTIONS, expiresAt: Date.now() + 50 })
      connection.expiresAt = new Date(Date.now() + 100)
      t.equal(connection.expiresAt, Date.now() + 100)
      clock.spend(50)
      connection.beat(50)
      t.equal(connection.state, 'open')
      connection.expiresAt = undefined
      clock.spend(1000)
      t.equal(await connection.send('x'), true)
      connection.expiresAt = Date.now()
      t.equal(await connection.send('x'), false)
      for (const wrong of [null, 'soon', Number.NaN, new Date(Number.NaN)]) {
        const set = () => {
          connection.expiresAt = wrong as never
        }
        t.throws(set, { code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION', message: /^Expected expiresAt to be / })
      }
    })
  )
})
