import t from 'tap'
import type { Feed } from '../../lib/connection/feed.ts'
import type { AnySubscription } from '../../lib/connection/sse-connection.ts'
import type { Place } from '../../lib/history/place.ts'
import { Batch, PIECE_BYTES } from '../../lib/wire/batch.ts'
import { Bench } from '../helpers/fake-transport.ts'
import { deferred } from '../helpers/server.ts'
import { hasSettled } from '../helpers/settled.ts'

/** A feed that has a batch for each place, and notes what it is told. */
class FakeFeed implements Feed {
  readonly ready = undefined
  readonly isOver = false
  subscriptions: readonly AnySubscription[] = []
  isActive = true
  head: Place = 0
  hasGivenAll = false
  /** What it answers instead of what it has. */
  mood: 'later' | 'held' | undefined
  /** Whether it would still learn of something in this turn. */
  isLearning = false
  heartbeat: Batch | undefined
  readonly limits: Place[] = []
  readonly told: string[] = []
  onTake: (() => void) | undefined
  readonly #batches: { readonly place: Place; readonly batch: Batch }[] = []

  publish(text: string): void {
    this.#batches.push({ place: ++this.head, batch: new Batch(`data: ${text}\n\n`, 1) })
  }

  isDue(): boolean {
    return this.isLearning
  }

  isReserved(event: string | undefined): boolean {
    return event === 'gap'
  }

  beat(): void {
    this.told.push('beat')
  }

  take(limit: Place): Batch | 'later' | 'held' | undefined {
    this.limits.push(limit)
    this.onTake?.()
    if (this.mood !== undefined) return this.mood
    const [next] = this.#batches
    return next !== undefined && next.place <= limit ? this.#batches.shift()?.batch : undefined
  }

  takeHeartbeat(): Batch | undefined {
    return this.heartbeat
  }

  connectionOnBlock(): void {
    this.told.push('block')
  }

  connectionOnSettle(): void {
    this.told.push('settle')
  }

  connectionOnClose(): void {
    this.told.push('close')
  }
}

/** An open connection with a feed. */
function openWithFeed(options?: ConstructorParameters<typeof Bench>[0]): { bench: Bench; feed: FakeFeed } {
  const bench = Bench.open(options)
  const feed = new FakeFeed()
  bench.connection.output.attach(feed)
  return { bench, feed }
}

/** The data that was written, in order. */
function dataOf({ transport }: Bench): string[] {
  return [...transport.text.matchAll(/^data: (.{1,9})/gm)].map(([, data]) => String(data))
}

t.test('feed › is what a connection takes from', async (t) => {
  t.test('one batch is one write, of bytes that are not copied', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.publish('a')
    feed.publish('b')
    bench.connection.output.feedOnChange()
    t.same(bench.transport.writes, [], 'at the end of the turn')
    bench.endTurn()
    t.same(bench.transport.writes, ['data: a\n\n', 'data: b\n\n'])
    t.equal(bench.transport.batches.length, 2)
  })

  t.test('is asked once for all that changed in a turn', async (t) => {
    const { bench, feed } = openWithFeed()
    for (const text of ['a', 'b', 'c']) {
      feed.publish(text)
      t.equal(bench.connection.output.feedOnChange(), true)
    }
    t.equal(bench.scheduled, 1)
  })

  t.test('one that has given all is not asked for more, until it changes', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.hasGivenAll = true
    for (const text of ['a', 'b']) {
      feed.publish(text)
      bench.connection.output.feedOnChange()
      bench.endTurn()
    }
    t.same(bench.transport.writes, ['data: a\n\n', 'data: b\n\n'])
    t.equal(feed.limits.length, 2)
  })

  t.test('one that had given all is asked for what came while that was written in pieces', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.hasGivenAll = true
    bench.transport.capacity = 0
    feed.publish('a'.repeat(3 * PIECE_BYTES))
    bench.connection.output.feedOnChange()
    bench.endTurn()
    feed.publish('b')
    t.equal(bench.connection.output.feedOnChange(), false)
    while (bench.connection.bufferedBytes > 0) bench.drain()
    t.same(dataOf(bench), ['aaaaaaaaa', 'b'])
  })

  t.test('what it gives is counted like what is sent', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.publish('a')
    bench.connection.send('b')
    bench.endTurn()
    const { messages, bytes } = bench.connection
    t.same([messages, bytes], [2, 2 * 'data: a\n\n'.length])
  })

  t.test('gives up to four batches before others have their turn', async (t) => {
    const { bench, feed } = openWithFeed()
    for (let i = 0; i < 9; i++) feed.publish(String(i))
    bench.connection.output.feedOnChange()
    const counts: number[] = []
    while (bench.connection.output.work()) counts.push(bench.transport.writes.length)
    t.same(counts, [4, 8])
    t.equal(bench.transport.writes.length, 9)
  })

  t.test('is not asked before the head is out, nor by a change then', async (t) => {
    const bench = new Bench()
    const feed = new FakeFeed()
    bench.connection.output.attach(feed)
    feed.publish('a')
    t.equal(bench.connection.output.feedOnChange(), false)
    t.equal(bench.scheduled, 0)
    bench.connection.output.flush()
    t.same(feed.limits, [])
    bench.connection.open(bench.transport)
    bench.endTurn()
    t.same(dataOf(bench), ['a'])
  })

  t.test('its subscriptions are the connection’s; without one there are none', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.subscriptions = [{ channel: { name: 'a' }, openedAt: 1, active: true, unsubscribe() {} }]
    t.equal(bench.connection.subscriptions, feed.subscriptions)
    t.same(Bench.open().connection.subscriptions, [])
  })
})

t.test('feed › what is sent comes in the order of the calls', async (t) => {
  t.test('behind what was there at the call, and before what comes later', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.publish('1')
    bench.connection.send('2')
    feed.publish('3')
    bench.connection.send('4')
    bench.connection.send('5')
    feed.publish('6')
    bench.endTurn()
    t.same(dataOf(bench), ['1', '2', '3', '4', '5', '6'])
    t.same(feed.limits.slice(0, 2), [1, 1], 'it is asked for no more than that')
  })

  t.test('nothing is put between the pieces of a message', async (t) => {
    const { bench, feed } = openWithFeed()
    bench.transport.capacity = 0
    bench.connection.send('x'.repeat(PIECE_BYTES))
    bench.endTurn()
    feed.publish('y')
    while (bench.connection.bufferedBytes > 0) bench.drain()
    bench.endTurn()
    t.equal(bench.transport.text, `data: ${'x'.repeat(PIECE_BYTES)}\n\ndata: y\n\n`)
  })

  t.test(
    'a message that is larger than two pieces leaves in some, so that the progress of its reader shows',
    async (t) => {
      const { bench, feed } = openWithFeed()
      const large = 'é'.repeat(10 * PIECE_BYTES)
      bench.transport.capacity = 0
      feed.publish(large)
      bench.connection.send('sent')
      feed.publish('next')
      bench.connection.output.feedOnChange()
      bench.endTurn()
      t.equal(bench.transport.writes.length, 1)
      while (bench.connection.bufferedBytes > 0) bench.drain()
      bench.endTurn()
      t.equal(bench.transport.text, `data: ${large}\n\ndata: sent\n\ndata: next\n\n`)
      t.ok(bench.transport.writes.every((text) => Buffer.byteLength(text) <= PIECE_BYTES))
      t.equal(bench.connection.bytes, Buffer.byteLength(bench.transport.text))
    }
  )

  t.test('it waits while the feed may still learn of something before it', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.head = 1
    feed.isLearning = true
    bench.connection.send('2')
    t.equal(bench.connection.output.work(), true, 'the connection comes again in this turn')
    t.same(dataOf(bench), [])
    feed.isLearning = false
    bench.endTurn()
    t.same(dataOf(bench), ['2'])
  })
})

t.test("feed › 'later' lets others have their turn", async (t) => {
  t.test('the connection asks again', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.publish('a')
    feed.mood = 'later'
    bench.connection.output.feedOnChange()
    t.equal(bench.connection.output.work(), true)
    t.equal(bench.connection.output.work(), true)
    feed.mood = undefined
    bench.endTurn()
    t.same(dataOf(bench), ['a'])
  })

  t.test('what was sent waits too', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.publish('1')
    feed.mood = 'later'
    bench.connection.send('2')
    t.equal(bench.connection.output.work(), true)
    t.same(dataOf(bench), [])
    feed.mood = undefined
    bench.endTurn()
    t.same(dataOf(bench), ['1', '2'])
  })
})

t.test("feed › 'held' waits for something that is no turn's", async (t) => {
  t.test('the head goes out, and nobody asks again before it has changed', async (t) => {
    const bench = new Bench()
    const feed = new FakeFeed()
    bench.connection.output.attach(feed)
    feed.publish('1')
    feed.mood = 'held'
    bench.connection.send('2')
    bench.connection.open(bench.transport)
    t.equal(bench.connection.output.work(), false)
    t.equal(bench.transport.started, true)
    t.same(bench.transport.writes, [])
    feed.mood = undefined
    bench.connection.output.feedOnChange()
    bench.endTurn()
    t.same(dataOf(bench), ['1', '2'])
  })

  t.test('who sends little is not held up by it', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.mood = 'held'
    t.equal(await hasSettled(bench.connection.send('a')), true)
  })

  t.test('who sends much waits until what was sent has left', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.mood = 'held'
    const sent = bench.connection.send('x'.repeat(PIECE_BYTES))
    bench.endTurn()
    t.equal(await hasSettled(sent), false)
    feed.mood = undefined
    bench.connection.output.feedOnChange()
    bench.endTurn()
    t.equal(await hasSettled(sent), true)
  })
})

t.test('feed › is told what becomes of its connection', async (t) => {
  t.test('when the transport takes no more for now', async (t) => {
    const { bench, feed } = openWithFeed()
    bench.transport.capacity = 0
    feed.publish('a')
    feed.publish('b')
    bench.connection.output.feedOnChange()
    bench.endTurn()
    t.same(feed.told, ['block'])
    t.same(dataOf(bench), ['a'])
    t.equal(bench.connection.output.feedOnChange(), false, 'and it is not asked before the drain')
    bench.transport.capacity = Infinity
    bench.drain()
    t.same(dataOf(bench), ['a', 'b'])
  })

  t.test('when what is waited for has settled, each time', async (t) => {
    const { bench, feed } = openWithFeed()
    const promise = deferred()
    bench.connection.waitFor(promise.promise)
    bench.connection.handlerOnSettle()
    t.same(feed.told, [])
    promise.resolve()
    await promise.promise
    t.same(feed.told, ['settle'])
    bench.connection.waitFor(Promise.resolve())
    await undefined
    t.same(feed.told, ['settle', 'settle'])
  })

  t.test('when it has ended, once', async (t) => {
    const { bench, feed } = openWithFeed()
    bench.connection.transportOnClose()
    bench.connection.destroy()
    t.same(feed.told, ['close'])
  })
})

t.test('feed › the end', async (t) => {
  t.test('what was there at close() is given, then the farewell, and nothing that comes later', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.publish('1')
    feed.publish('2')
    bench.transport.capacity = 0
    bench.connection.output.feedOnChange()
    bench.endTurn()
    bench.connection.close()
    feed.publish('3')
    bench.transport.capacity = Infinity
    bench.drain()
    t.same(dataOf(bench), ['1', '2', 'Closing t'])
    t.ok(bench.transport.ended)
  })

  t.test('also without a farewell', async (t) => {
    const { bench, feed } = openWithFeed({ farewell: false })
    feed.publish('1')
    bench.transport.capacity = 0
    bench.connection.send('0')
    bench.endTurn()
    feed.publish('2')
    bench.connection.close()
    feed.publish('3')
    bench.transport.capacity = Infinity
    bench.drain()
    t.same(dataOf(bench), ['1', '0', '2'])
    t.ok(bench.transport.ended)
  })

  t.test('it may end the connection while it is asked', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.publish('a')
    feed.onTake = () => bench.connection.evict('slow')
    bench.connection.output.feedOnChange()
    bench.endTurn()
    t.same(bench.transport.writes, [])
    t.equal(bench.connection.reason, 'slow')
  })

  t.test('what is sent while it is asked comes after what it gives', async (t) => {
    const { bench, feed } = openWithFeed()
    feed.publish('a')
    feed.onTake = () => {
      feed.onTake = undefined
      bench.connection.send('b')
      bench.connection.output.flush()
    }
    bench.connection.output.feedOnChange()
    bench.endTurn()
    t.same(dataOf(bench), ['a', 'b'])
  })
})

t.test('feed › what it has to tell goes instead of an empty comment', async (t) => {
  const { bench, feed } = openWithFeed({ heartbeatMs: 1_000 })
  feed.heartbeat = new Batch('id: 7\n\n', 0)
  for (const now of [0, 1_000]) bench.connection.beat(now)
  t.equal(bench.transport.text, 'id: 7\n\n')
  feed.heartbeat = undefined
  for (const now of [1_001, 2_001]) bench.connection.beat(now)
  t.equal(bench.transport.text, 'id: 7\n\n:\n')
  t.equal(bench.connection.messages, 0)
})

t.test('feed › what is its own to say', async (t) => {
  const reserved = { code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE' }

  t.test('ids are refused while it is active', async (t) => {
    const { bench, feed } = openWithFeed()
    const rule = 'absent on a connection that is subscribed to a channel'
    t.throws(() => bench.connection.send({ id: 1, data: '' }), {
      ...reserved,
      message: `Expected message.id to be ${rule}, got a number`
    })
    bench.connection.send({ data: 'a' })
    feed.isActive = false
    bench.connection.send({ id: 1, data: 'b' })
    bench.endTurn()
    t.equal(bench.transport.text, 'data: a\n\nid: 1\ndata: b\n\n')
  })

  t.test('its own events are refused while it is active', async (t) => {
    const { bench, feed } = openWithFeed()
    const rule = 'none of the events by which the connection tells gaps and cursors'
    t.throws(() => bench.connection.send({ event: 'gap', data: '' }), {
      ...reserved,
      message: `Expected message.event to be ${rule}, got a string`
    })
    bench.connection.send({ event: 'Gap', data: 'a' })
    bench.connection.send('gap')
    feed.isActive = false
    bench.connection.send({ event: 'gap', data: 'b' })
    bench.endTurn()
    t.equal(bench.transport.text, 'event: Gap\ndata: a\n\ndata: gap\n\nevent: gap\ndata: b\n\n')
  })

  t.test('what is no message is told as on any connection', async (t) => {
    const { bench } = openWithFeed()
    for (const message of [null, undefined, 1]) {
      t.throws(() => Reflect.apply(bench.connection.send, bench.connection, [message]), {
        ...reserved,
        message: /^Expected the message to be an object or a string/
      })
    }
  })
})
