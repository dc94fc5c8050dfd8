import t from 'tap'
import type { EventStreamOptions } from '../../lib/index.ts'
import { Bench } from '../helpers/fake-transport.ts'
import { hasSettled } from '../helpers/settled.ts'

function openFinite(options: EventStreamOptions = {}): Bench {
  return Bench.open({ ...options, finite: true })
}

t.test('Connection › a finite stream', async (t) => {
  t.test('is whole after close(), and says no farewell', async (t) => {
    const bench = openFinite()
    t.equal(bench.connection.finite, true)
    bench.connection.send('all of it')
    bench.connection.close()
    t.equal(bench.transport.text, 'data: all of it\n\n')
    t.same([bench.transport.ended, bench.transport.brokenOff], [{ reuse: true }, false])
  })

  const ends: Record<string, (bench: Bench) => void> = {
    'an error': ({ connection }) => connection.fail(new Error('mine')),
    'a shutdown': ({ connection }) => connection.shutdown(),
    'its age': ({ connection }) => connection.beat(1000),
    'somebody else': ({ connection }) => connection.end('server'),
    'a block that is left': ({ connection }) => void connection[Symbol.asyncDispose]()
  }
  for (const [name, end] of Object.entries(ends)) {
    t.test(`that ends by ${name} is broken off, after what was sent and its last words`, async (t) => {
      const bench = openFinite({ maxAgeMs: 1000, farewell: (reason) => ({ event: 'error', data: reason }) })
      bench.transport.capacity = 0
      bench.connection.send('half')
      bench.endTurn()
      bench.connection.send('more')
      end(bench)
      t.notOk(bench.transport.brokenOff, 'not before its reader has everything')
      bench.drain()
      const { text, ended, brokenOff } = bench.transport
      t.equal(text, `data: half\n\ndata: more\n\nevent: error\ndata: ${bench.connection.reason}\n\n`)
      t.same([ended, brokenOff], [undefined, true], 'and no reconnection time')
      const endless = Bench.open({ maxAgeMs: 1000 })
      end(endless)
      t.same([endless.transport.ended, endless.transport.brokenOff], [{ reuse: true }, false])
    })
  }

  t.test('whose block is left after close() is whole', async (t) => {
    const bench = openFinite()
    bench.connection.close()
    const disposed = bench.connection[Symbol.asyncDispose]()
    t.ok(bench.transport.ended)
    t.notOk(await hasSettled(disposed))
    bench.connection.transportOnClose()
    await disposed
    t.equal(bench.connection.reason, 'server')
  })

  t.test('whose block is left before says so', async (t) => {
    const { connection } = openFinite()
    void connection[Symbol.asyncDispose]()
    t.equal(connection.reason, 'error')
    t.match(connection.signal.reason, { reason: 'error', cause: { code: 'FST_ERR_EVENTSTREAM_UNFINISHED' } })
  })
})
