import t from 'tap'
import type { Connection } from '../../lib/connection/connection.ts'
import type { Message } from '../../lib/index.ts'
import { FakeClock } from '../helpers/fake-clock.ts'
import { Bench } from '../helpers/fake-transport.ts'
import { deferred } from '../helpers/server.ts'
import { hasSettled } from '../helpers/settled.ts'

const KIB = 1024
const FAREWELL = 'event: close\ndata: Closing the connection\n\n'

t.test('Connection › #send', async (t) => {
  t.test('messages of one turn leave in one write', async (t) => {
    const { connection, transport } = Bench.open()
    connection.send('a')
    connection.send({ event: 'x', data: 1 })
    connection.comment('c')
    t.same(transport.writes, [])
    connection.output.flush()
    t.same(transport.writes, ['data: a\n\nevent: x\ndata: 1\n\n: c\n'])
  })

  t.test('asks for one flush per turn', async (t) => {
    const bench = Bench.open()
    bench.connection.send('a')
    bench.connection.send('b')
    t.equal(bench.scheduled, 1)
    bench.endTurn()
    bench.connection.send('c')
    t.equal(bench.scheduled, 1)
  })

  t.test('what is sent before the head is out waits in order', async (t) => {
    const { connection, transport, beforeHead } = new Bench()
    connection.send('1')
    connection.send('2')
    connection.output.flush()
    t.same(beforeHead.writes, [])
    connection.open(transport)
    t.equal(transport.text, 'data: 1\n\ndata: 2\n\n')
  })

  t.test('resolves at once while less than 64 KiB wait', async (t) => {
    const { connection } = Bench.open()
    t.ok(await hasSettled(connection.send('a'.repeat(60 * KIB))))
  })

  t.test('from 64 KiB on resolves in the next turn, so that others get theirs', async (t) => {
    const bench = Bench.open()
    const sent = bench.connection.send('a'.repeat(64 * KIB))
    t.equal(bench.transport.text.length, 64 * KIB + 8)
    t.notOk(await hasSettled(sent))
    bench.endTurn()
    t.ok(await hasSettled(sent))
  })

  t.test('resolves when a reader that is behind has caught up', async (t) => {
    const bench = Bench.open()
    bench.transport.capacity = 0
    bench.connection.send('a')
    bench.endTurn()
    const sent = bench.connection.send('b')
    t.notOk(await hasSettled(sent))
    t.equal(bench.transport.text, 'data: a\n\n', 'nothing is written into backpressure')
    bench.transport.capacity = Infinity
    bench.drain()
    t.ok(await hasSettled(sent))
    t.equal(bench.transport.text, 'data: a\n\ndata: b\n\n')
  })

  t.test('resolves with whether the stream goes on', async (t) => {
    for (const use of [(sse: Connection) => sse.send('x'), (sse: Connection) => sse.comment('x')]) {
      const bench = Bench.open()
      t.equal(await use(bench.connection), true)
      t.equal(await use(new Bench().connection), true, 'also before the head is out')
      bench.transport.capacity = 0
      bench.endTurn()
      const waiting = [use(bench.connection), use(bench.connection)]
      bench.transport.capacity = Infinity
      bench.drain()
      t.same(await Promise.all(waiting), [true, true])
      bench.transport.capacity = 0
      use(bench.connection)
      bench.endTurn()
      const pending = use(bench.connection)
      bench.connection.close()
      t.equal(await pending, false, 'it ends while it waits, and its reader is behind')
      t.equal(await use(bench.connection), false)
      const slow = Bench.open({ maxBufferedBytes: 1 })
      slow.transport.capacity = 0
      void use(slow.connection)
      slow.endTurn()
      void use(slow.connection)
      t.equal(await use(slow.connection), false, 'it is what was too much')
    }
  })

  t.test('resolves when the stream ends while it waits', async (t) => {
    const bench = Bench.open()
    bench.transport.capacity = 0
    bench.connection.send('a')
    bench.endTurn()
    const sent = bench.connection.send('b')
    bench.connection.transportOnClose()
    t.ok(await hasSettled(sent))
  })

  t.test('before the head is out resolves while less than 64 KiB wait', async (t) => {
    const { connection, transport } = new Bench()
    t.ok(await hasSettled(connection.send('a')))
    const sent = connection.send('a'.repeat(64 * KIB))
    t.notOk(await hasSettled(sent))
    connection.open(transport)
    t.ok(await hasSettled(sent))
  })

  t.test('a bad message throws before a byte is written, and the connection stays usable', async (t) => {
    const { connection, transport } = Bench.open()
    t.throws(() => connection.send({ data: 1n }), { code: 'FST_ERR_EVENTSTREAM_SERIALIZATION' })
    t.throws(() => connection.send({ event: 'a\nb', data: '' }), {
      code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE'
    })
    connection.send('good')
    connection.output.flush()
    t.equal(transport.text, 'data: good\n\n')
  })

  t.test('after the end drops the message', async (t) => {
    for (const end of ['close', 'destroy', 'transportOnClose'] as const) {
      const { connection, transport } = Bench.open()
      connection[end]()
      const { text } = transport
      const late = [connection.send('late'), connection.comment('late')]
      t.notOk(await hasSettled(Promise.race(late)), 'not in this turn, which a producer would never let go')
      await Promise.all(late)
      connection.output.flush()
      t.equal(transport.text, text, end)
    }
  })

  t.test('resolves in the next turn when what it is written to ends the stream', async (t) => {
    const bench = Bench.open()
    bench.transport.write = () => {
      bench.connection.destroy()
      return false
    }
    await bench.connection.send('a'.repeat(64 * KIB))
    t.equal(bench.connection.state, 'closed')
  })

  t.test('counts messages and bytes', async (t) => {
    const { connection } = Bench.open()
    connection.send('é')
    connection.comment()
    t.equal(connection.messages, 1)
    t.equal(connection.bytes, 'data: xx\n\n:\n'.length)
  })

  t.test('writes pieces of up to 64 KiB, never inside a character', async (t) => {
    const bench = Bench.open()
    bench.transport.capacity = 0
    bench.connection.send('😀'.repeat(64 * KIB))
    t.equal(bench.transport.writes.length, 1)
    while (bench.connection.bufferedBytes > 0) bench.drain()
    t.ok(
      bench.transport.writes.every((piece) => Buffer.byteLength(piece) <= 64 * KIB && piece.isWellFormed())
    )
    t.equal(bench.transport.text, `data: ${'😀'.repeat(64 * KIB)}\n\n`)
  })
})

t.test('Connection › #startHead', async (t) => {
  t.test('the head goes out with what comes first', async (t) => {
    for (const first of ['send', 'comment', 'close', 'shutdown', 'startHead'] as const) {
      const { connection, beforeHead } = new Bench()
      t.notOk(beforeHead.started)
      connection[first]('x')
      t.ok(beforeHead.started, first)
    }
  })

  t.test('once', async (t) => {
    const { connection, transport, beforeHead } = new Bench()
    let starts = 0
    beforeHead.start = () => {
      starts++
    }
    connection.startHead()
    connection.send('a')
    connection.close()
    t.equal(starts, 1)
    connection.open(transport)
    connection.startHead()
    t.equal(starts, 1)
  })

  t.test('not for what is dropped', async (t) => {
    const { connection, beforeHead } = new Bench()
    connection.destroy()
    connection.send('late')
    connection.close()
    t.notOk(beforeHead.started)
  })
})

t.test('Connection › #context is what the stream was started with', async (t) => {
  const context = { user: 'Ann' }
  t.equal(new Bench({ context }).connection.context, context)
  t.equal(new Bench().connection.context, undefined)
})

t.test('Connection › maxBufferedBytes', async (t) => {
  t.test('un-awaited sends beyond it destroy the connection as slow', async (t) => {
    const bench = Bench.open({ maxBufferedBytes: 1000 })
    bench.transport.capacity = 0
    bench.connection.send('a'.repeat(900))
    t.equal(bench.connection.state, 'open')
    bench.endTurn()
    bench.connection.send('a'.repeat(900))
    t.equal(bench.connection.state, 'open', 'by one message it may be more')
    bench.connection.send('a')
    t.equal(bench.connection.state, 'closed')
    t.equal(bench.connection.reason, 'slow')
    t.ok(bench.transport.destroyed)
    t.equal(bench.connection.messages, 2, 'the message that was too much was not accepted')
  })

  t.test('also before the head is out', async (t) => {
    const { connection, beforeHead } = new Bench({ maxBufferedBytes: 1000 })
    connection.send('a'.repeat(900))
    connection.send('a'.repeat(900))
    connection.send('a')
    t.equal(connection.reason, 'slow')
    t.ok(beforeHead.destroyed)
  })

  t.test('one message that is larger is sent when nothing waits', async (t) => {
    const { connection, transport } = Bench.open({ maxBufferedBytes: 1000 })
    connection.send('a'.repeat(5000))
    connection.output.flush()
    t.equal(connection.state, 'open')
    t.equal(transport.text.length, 5008)
  })

  t.test('a fast reader may be sent more than that in one turn', async (t) => {
    const bench = Bench.open()
    for (let i = 0; i < 100; i++) bench.connection.send('a'.repeat(100 * KIB))
    t.equal(bench.connection.state, 'open')
  })
})

t.test('Connection › #close', async (t) => {
  t.test('flushes what was queued, then the farewell, then ends', async (t) => {
    const bench = Bench.open()
    bench.connection.send('last')
    bench.connection.close()
    t.equal(bench.transport.text, `data: last\n\n${FAREWELL}`)
    t.same(bench.transport.ended, { reuse: true })
    t.equal(bench.connection.state, 'closing')
    bench.connection.transportOnClose()
    t.equal(bench.connection.state, 'closed')
    t.equal(await bench.connection.closed, 'server')
    t.same(bench.states, ['open', 'closing', 'closed'])
  })

  t.test('ends only when a slow reader has everything', async (t) => {
    const bench = Bench.open()
    bench.transport.capacity = 0
    bench.connection.send('a')
    bench.endTurn()
    bench.connection.close()
    t.equal(bench.transport.ended, undefined)
    bench.drain()
    t.equal(bench.transport.text, `data: a\n\n${FAREWELL}`)
    t.ok(bench.transport.ended)
  })

  t.test('is idempotent, and does nothing after the client has left', async (t) => {
    const bench = Bench.open()
    bench.connection.close()
    bench.connection.close()
    t.equal(bench.transport.text, FAREWELL)
    const left = Bench.open()
    left.connection.transportOnClose()
    left.connection.close()
    t.equal(left.transport.text, '')
    t.equal(await left.connection.closed, 'client')
  })

  t.test('before the head is out lets the head, the messages and the farewell out', async (t) => {
    const bench = new Bench()
    bench.connection.send('early')
    bench.connection.close()
    t.equal(bench.connection.state, 'closing')
    bench.connection.open(bench.transport)
    t.equal(bench.transport.text, `data: early\n\n${FAREWELL}`)
    t.ok(bench.transport.ended)
  })

  t.test('sends the farewell that was chosen, or none', async (t) => {
    const own = Bench.open({ farewell: { event: 'bye', data: { code: 1 } } })
    own.connection.close()
    t.equal(own.transport.text, 'event: bye\ndata: {"code":1}\n\n')
    const none = Bench.open({ farewell: false })
    none.connection.close()
    t.equal(none.transport.text, '')
    t.ok(none.transport.ended)
  })

  t.test(
    'a farewell that is a function says it for each reason, if there is somebody to read it',
    async (t) => {
      const told: unknown[][] = []
      const farewell = (...args: unknown[]): Message => {
        told.push(args)
        return { event: 'end', data: String(args[0]) }
      }
      const error = new Error('mine')
      const ends: Record<string, (bench: Bench) => void> = {
        server: ({ connection }) => connection.close(),
        shutdown: ({ connection }) => connection.shutdown(),
        error: ({ connection }) => connection.fail(error),
        expired: ({ connection }) => connection.beat(1000),
        slow: ({ connection }) => connection.evict('slow'),
        client: ({ connection }) => connection.transportOnClose()
      }
      for (const [reason, end] of Object.entries(ends)) {
        const bench = Bench.open({ farewell, retryMs: false, maxAgeMs: 1000 })
        end(bench)
        t.equal(bench.connection.reason, reason)
        const isRead = reason !== 'slow' && reason !== 'client'
        t.equal(bench.transport.text, isRead ? `event: end\ndata: ${reason}\n\n` : '')
      }
      const reasons = ['server', 'shutdown', 'error', 'expired']
      t.same(
        told,
        reasons.map((reason) => [reason, reason === 'error' ? error : undefined])
      )
      const none = Bench.open({ farewell: (reason) => reason !== 'server' && { data: 'x' } })
      none.connection.close()
      t.equal(none.transport.text, '', 'false is none')
    }
  )

  t.test('one that fails is logged, and the stream ends without it', async (t) => {
    const error = new Error('mine')
    const rows: [() => Message | false, object][] = [
      [
        () => {
          throw error
        },
        error
      ],
      [() => ({ id: 5, data: 'x' }), { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }],
      [(() => undefined) as never, { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }],
      [(async () => ({ data: 'x' })) as never, { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }]
    ]
    for (const [farewell, err] of rows) {
      const bench = Bench.open({ farewell })
      bench.connection.close()
      t.match(bench.logs, [{ level: 'error', message: 'the farewell of an event stream failed', err }])
      t.equal(bench.transport.text, '')
      t.ok(bench.transport.ended)
    }
  })

  t.test('one that ends the stream itself changes nothing', async (t) => {
    const bench: Bench = Bench.open({
      farewell: () => {
        bench.connection.close()
        bench.connection.send('late')
        return { data: 'x' }
      }
    })
    bench.connection.fail(new Error('mine'))
    t.equal(bench.transport.text, 'data: x\n\n')
    t.equal(bench.connection.reason, 'error')
  })

  t.test('keeps its reason when the client leaves while it flushes', async (t) => {
    const bench = Bench.open()
    bench.connection.close()
    bench.connection.transportOnClose()
    t.equal(bench.connection.reason, 'server')
  })

  t.test('asyncDispose closes and waits for the last byte', async (t) => {
    const bench = Bench.open()
    const disposed = bench.connection[Symbol.asyncDispose]()
    t.equal(bench.connection.state, 'closing')
    t.notOk(await hasSettled(disposed))
    bench.connection.transportOnClose()
    await disposed
  })

  t.test('gives the socket up when the server is closing', async (t) => {
    const bench = Bench.open()
    bench.closing = true
    bench.connection.close()
    t.same(bench.transport.ended, { reuse: false })
  })
})

t.test('Connection › #destroy', async (t) => {
  t.test('drops what is buffered, and the client', async (t) => {
    const bench = Bench.open()
    bench.connection.send('a')
    bench.connection.destroy()
    bench.endTurn()
    t.equal(bench.transport.text, '')
    t.ok(bench.transport.destroyed)
    t.equal(bench.connection.bufferedBytes, 0)
    t.equal(await bench.connection.closed, 'server')
  })

  t.test('before the head is out destroys the response', async (t) => {
    const bench = new Bench()
    bench.connection.destroy()
    t.ok(bench.beforeHead.destroyed)
  })

  t.test('changes nothing after the end', async (t) => {
    const bench = Bench.open()
    bench.connection.transportOnClose()
    bench.connection.destroy()
    t.notOk(bench.transport.destroyed)
    t.same(bench.states, ['open', 'closed'])
  })

  t.test('a late drain changes nothing', async (t) => {
    const bench = Bench.open()
    bench.connection.destroy()
    bench.connection.transportOnDrain()
    t.same(bench.transport.writes, [])
  })
})

t.test('Connection › #signal and #closed', async (t) => {
  t.test('the signal aborts when no more messages are taken, and says why', async (t) => {
    const bench = Bench.open()
    const { signal } = bench.connection
    t.notOk(signal.aborted)
    bench.connection.close()
    t.ok(signal.aborted)
    t.match(signal.reason, {
      name: 'AbortError',
      reason: 'server',
      message: 'The event stream ended: server'
    })
    t.equal(bench.connection.signal, signal)
  })

  t.test('the signal of a closed connection is born aborted', async (t) => {
    const bench = Bench.open()
    bench.connection.transportOnClose()
    t.ok(bench.connection.signal.aborted)
    t.equal(bench.connection.signal.reason.reason, 'client')
  })

  t.test('the signal carries the error that ended the stream', async (t) => {
    const bench = Bench.open()
    const error = new Error('boom')
    const { signal } = bench.connection
    bench.connection.fail(error)
    t.equal(signal.reason.cause, error)
    t.equal(bench.transport.text, '', 'and nothing of it is on the wire, nor the farewell of close()')
    bench.connection.transportOnClose()
    t.equal(await bench.connection.closed, 'error')
  })

  t.test('closed resolves once, with the first reason', async (t) => {
    const bench = Bench.open()
    const { closed } = bench.connection
    bench.connection.close()
    bench.connection.evict('slow')
    bench.connection.transportOnClose()
    t.equal(await closed, 'server')
    t.equal(bench.connection.closed, closed)
    t.same(bench.states, ['open', 'closing', 'closed'])
  })

  t.test('an abort listener may end the connection again', async (t) => {
    const bench = Bench.open()
    bench.connection.signal.addEventListener('abort', () => bench.connection.destroy())
    bench.connection.close()
    t.equal(bench.connection.state, 'closed')
  })
})

t.test('Connection › #shutdown', async (t) => {
  t.test('asks the client to come back within retryMs, and gives the socket up', async (t) => {
    const bench = Bench.open({ retryMs: [100, 200] })
    bench.closing = true
    bench.connection.send('last')
    bench.connection.shutdown()
    const retry = Number(/^data: last\n\nretry: (\d+)\n$/.exec(bench.transport.text)?.[1])
    t.ok(retry >= 100 && retry <= 200)
    t.same(bench.transport.ended, { reuse: false })
    bench.connection.transportOnClose()
    t.equal(await bench.connection.closed, 'shutdown')
  })

  t.test('draws another retry for each connection, over the whole range', async (t) => {
    const drawn = new Set<string>()
    for (let i = 0; i < 200; i++) {
      const bench = Bench.open({ retryMs: [7, 9] })
      bench.connection.shutdown()
      drawn.add(bench.transport.text)
    }
    t.same([...drawn].sort(), ['retry: 7\n', 'retry: 8\n', 'retry: 9\n'])
  })

  t.test('sends its farewell first, and no retry if there is none', async (t) => {
    const bench = Bench.open({ farewell: () => ({ event: 'restart', data: '' }), retryMs: false })
    bench.connection.shutdown()
    t.equal(bench.transport.text, 'event: restart\ndata: \n\n')
  })

  t.test('a stream that is ending already gives its socket up too', async (t) => {
    const bench = Bench.open()
    bench.connection.close()
    t.same(bench.transport.ended, { reuse: true })
    bench.closing = true
    bench.connection.shutdown()
    t.same(bench.transport.ended, { reuse: false })
    t.equal(bench.transport.text, FAREWELL)
  })
})

t.test('Connection › #beat', async (t) => {
  t.test('a stream that was quiet for heartbeatMs gets a comment', async (t) => {
    const bench = Bench.open({ heartbeatMs: 1000 })
    bench.connection.beat(0)
    bench.connection.beat(999)
    t.equal(bench.transport.text, '')
    bench.connection.beat(1000)
    bench.endTurn()
    t.equal(bench.transport.text, ':\n')
  })

  t.test('with heartbeatEvent it gets an event, which is no message', async (t) => {
    const bench = Bench.open({ heartbeatMs: 1000, heartbeatEvent: 'ping' })
    for (const now of [0, 1000, 1001, 2001]) bench.connection.beat(now)
    t.equal(bench.transport.text, 'event: ping\ndata: {}\n\n'.repeat(2))
    t.equal(bench.connection.messages, 0)
    t.equal(bench.connection.bytes, bench.transport.text.length)
  })

  t.test('one that sends does not', async (t) => {
    const bench = Bench.open({ heartbeatMs: 1000 })
    for (let now = 0; now <= 5000; now += 500) {
      bench.connection.send('a')
      bench.endTurn()
      bench.connection.beat(now)
    }
    t.notMatch(bench.transport.text, ':\n')
  })

  t.test(
    'none is sent into backpressure, before the head, after the end, or when switched off',
    async (t) => {
      const behind = Bench.open({ heartbeatMs: 1000, stallMs: false })
      behind.transport.capacity = 0
      behind.connection.send('a')
      behind.endTurn()
      const opening = new Bench({ heartbeatMs: 1000 })
      const closing = Bench.open({ heartbeatMs: 1000, farewell: false })
      closing.connection.close()
      const closed = Bench.open({ heartbeatMs: 1000 })
      closed.connection.destroy()
      const off = Bench.open({ heartbeatMs: false })
      for (const bench of [behind, opening, closing, closed, off]) {
        for (let now = 0; now <= 10_000; now += 500) bench.connection.beat(now)
        bench.endTurn()
        t.notMatch(bench.transport.text, ':\n')
      }
    }
  )

  t.test('a reader that makes no progress for stallMs is destroyed as slow', async (t) => {
    const bench = Bench.open({ stallMs: 1000 })
    bench.transport.capacity = 0
    bench.connection.send('a'.repeat(100))
    bench.endTurn()
    bench.connection.beat(500)
    t.equal(bench.connection.state, 'open')
    bench.transport.read(1)
    bench.connection.beat(900)
    bench.connection.beat(1800)
    t.equal(bench.connection.state, 'open', 'one byte is progress')
    bench.connection.beat(1900)
    t.equal(bench.connection.reason, 'slow')
    t.ok(bench.transport.destroyed)
  })

  t.test('the time without anything to read does not count', async (t) => {
    const bench = Bench.open({ stallMs: 1000, heartbeatMs: false })
    bench.connection.beat(60_000)
    bench.transport.capacity = 0
    bench.connection.send('a')
    bench.endTurn()
    bench.connection.beat(60_500)
    t.equal(bench.connection.state, 'open')
  })

  t.test('so is one whose head is held back for stallMs after it was asked for', (t) =>
    FakeClock.run(async (clock) => {
      const bench = new Bench({ stallMs: 1000, heartbeatMs: false })
      bench.connection.beat(Math.floor(performance.now()))
      clock.advance(5000)
      bench.connection.startHead()
      const askedAt = performance.now()
      bench.connection.beat(askedAt + 999)
      t.equal(bench.connection.state, 'opening')
      bench.connection.beat(askedAt + 1000)
      t.equal(bench.connection.reason, 'error')
      t.ok(bench.beforeHead.destroyed)
      t.same(
        bench.logs.map(({ level }) => level),
        ['error']
      )
      const patient = new Bench({ stallMs: false })
      patient.connection.startHead()
      patient.connection.beat(1e9)
      t.equal(patient.connection.state, 'opening')
    })
  )

  t.test('a head that waits for a message goes out after heartbeatMs at the latest', async (t) => {
    const bench = new Bench({ heartbeatMs: 1000 })
    bench.connection.beat(999)
    t.notOk(bench.beforeHead.started)
    bench.connection.beat(1000)
    t.ok(bench.beforeHead.started)
    const quiet = new Bench({ heartbeatMs: false, stallMs: 1 })
    quiet.connection.beat(1e9)
    t.notOk(quiet.beforeHead.started)
    t.equal(quiet.connection.state, 'opening', 'what was not asked for is not held back')
  })

  t.test('a stream that is ending is watched too', async (t) => {
    const bench = Bench.open({ stallMs: 1000 })
    bench.transport.capacity = 0
    bench.connection.close()
    bench.connection.beat(500)
    bench.connection.beat(1499)
    t.equal(bench.connection.state, 'closing', 'it has all of stallMs from when it was seen to be behind')
    bench.connection.beat(1500)
    t.equal(bench.connection.state, 'closed')
    t.equal(bench.connection.reason, 'server')
  })

  t.test('stallMs false waits for ever', async (t) => {
    const bench = Bench.open({ stallMs: false })
    bench.transport.capacity = 0
    bench.connection.send('a')
    bench.endTurn()
    bench.connection.beat(1e9)
    t.equal(bench.connection.state, 'open')
  })

  t.test('at maxAgeMs, less up to a tenth, the stream ends with a retry', async (t) => {
    const ages = []
    for (let i = 0; i < 100; i++) {
      const bench = Bench.open({ maxAgeMs: 1000 })
      let now = 0
      while (bench.connection.state === 'open') bench.connection.beat(++now)
      ages.push(now)
      t.match(bench.transport.text, /^retry: \d+\n$/)
      t.equal(bench.connection.reason, 'expired')
    }
    t.ok(Math.min(...ages) >= 900 && Math.max(...ages) <= 1000)
    t.ok(new Set(ages).size > 20, 'not all at once')
  })

  t.test('however small messages must be', async (t) => {
    const bench = Bench.open({ maxMessageBytes: 1, farewell: false, maxAgeMs: 1 })
    bench.connection.beat(1)
    t.match(bench.transport.text, /^retry: \d+\n$/)
  })
})

t.test('Connection › #lastEventId', async (t) => {
  const table: [string, object, string | undefined][] = [
    ['the header', { headers: { 'last-event-id': '5' } }, '5'],
    ['the query parameter', { query: { lastEventId: '6' } }, '6'],
    ['the header wins', { headers: { 'last-event-id': '5' }, query: { lastEventId: '6' } }, '5'],
    ['of several headers, which Node joins, the last', { headers: { 'last-event-id': '1, 2, 3' } }, '3'],
    ['of several parameters the last', { query: { lastEventId: ['1', '2'] } }, '2'],
    ['none', {}, undefined],
    ['an empty header is none', { headers: { 'last-event-id': '' } }, undefined],
    ['so that the parameter counts', { headers: { 'last-event-id': '' }, query: { lastEventId: '6' } }, '6'],
    ['an empty parameter is none', { query: { lastEventId: '' } }, undefined],
    ['so is one that is empty at last', { query: { lastEventId: ['1', ''] } }, undefined],
    ['and one that a parser made of nothing', { query: { lastEventId: [] } }, undefined],
    ['a parameter without a value', { query: { lastEventId: null } }, undefined],
    ['a query parser that gives no object', { query: null }, undefined],
    ['another parameter', { query: { lasteventid: '6' } }, undefined],
    ['what a client made up is given as it is', { headers: { 'last-event-id': 'Ã©,x' } }, 'Ã©,x'],
    [
      'an object as a parameter is a cursor that nobody knows',
      { query: { lastEventId: { a: '1' } } },
      '[object]'
    ]
  ]
  for (const [name, request, expected] of table) {
    t.test(name, async (t) => {
      t.equal(new Bench({}, request).connection.lastEventId, expected)
    })
  }
})

t.test(
  'Connection › #openedAt is when the stream was started, in milliseconds since the epoch',
  async (t) => {
    t.equal(
      Bench.open().connection.openedAt,
      Math.floor(performance.timeOrigin),
      'at 0 of the monotonic clock'
    )
  }
)

t.test('Connection › #waitFor', async (t) => {
  t.test('the subscriptions are complete when the handler has settled', async (t) => {
    const { connection } = Bench.open()
    t.equal(connection.isSettled, false)
    connection.handlerOnSettle()
    t.equal(connection.isSettled, true)
    connection.handlerOnSettle()
    t.equal(connection.isSettled, true, 'and stay so, however often it is told')
  })

  t.test('and every promise that was to be waited for', async (t) => {
    const { connection } = Bench.open()
    const [one, other] = [deferred(), deferred()]
    t.throws(() => connection.waitFor(5 as never), { code: 'FST_ERR_EVENTSTREAM_INVALID_OPTION' })
    connection.waitFor(one.promise)
    connection.waitFor(other.promise)
    connection.handlerOnSettle()
    connection.handlerOnSettle()
    one.resolve()
    await one.promise
    t.equal(connection.isSettled, false)
    other.resolve()
    await other.promise
    t.equal(connection.isSettled, true)
  })

  t.test('one that rejects has settled too, and is nobody else’s to catch', async (t) => {
    const { connection } = Bench.open()
    connection.handlerOnSettle()
    const failing = Promise.reject(new Error('not there'))
    connection.waitFor(failing)
    t.equal(connection.isSettled, false)
    await t.rejects(failing)
    t.equal(connection.isSettled, true)
    t.equal(connection.state, 'open')
  })

  t.test('takes whatever has a then()', async (t) => {
    const { connection } = Bench.open()
    connection.handlerOnSettle()
    const settled: (() => void)[] = []
    // biome-ignore lint/suspicious/noThenProperty: what is waited for need not be a promise
    const thenable = { then: (resolve: () => void) => void settled.push(resolve) }
    Reflect.apply(connection.waitFor, connection, [thenable])
    t.equal(connection.isSettled, false)
    settled[0]?.()
    t.equal(connection.isSettled, true)
  })
})

t.test('Connection › #sendAll', async (t) => {
  t.test('an error that nobody waits for is logged and ends the stream', async (t) => {
    const bench = Bench.open()
    const error = new Error('source')
    bench.connection.sendAll(
      (async function* () {
        yield 'a'
        throw error
      })()
    )
    await new Promise((resolve) => bench.connection.signal.addEventListener('abort', resolve))
    t.same(bench.logs, [{ level: 'error', message: 'event stream source failed', err: error }])
    t.equal(bench.connection.reason, 'error')
    t.equal(bench.transport.text, 'data: a\n\n')
  })

  t.test('resolves with whether the stream goes on', async (t) => {
    const bench = Bench.open()
    t.equal(await bench.connection.sendAll([1, 2], (n) => n > 1 && `${n}`), true)
    bench.connection.close()
    t.equal(await bench.connection.sendAll(['x']), false)
    t.equal(bench.transport.text, `data: 2\n\n${FAREWELL}`)
  })

  t.test('a source that fails to stop is logged', async (t) => {
    const bench = Bench.open()
    const error = new Error('stop')
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise<never>(() => {}),
        return: () => Promise.reject(error)
      })
    }
    const sent = bench.connection.sendAll(source)
    bench.connection.close()
    await sent
    await undefined
    t.same(bench.logs, [{ level: 'warn', message: 'event stream source failed to stop', err: error }])
  })
})
