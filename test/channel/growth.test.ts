import t, { type Test } from 'tap'
import { LiveSubscription } from '../../lib/channel/live-subscription.ts'
import type { Place } from '../../lib/history/place.ts'
import { ChannelBench } from '../helpers/channel-bench.ts'

const MESSAGES = 4_000

/** How often subscriptions say what they have next, when an open stream is given so many messages of so many channels. */
async function askedByJoining(t: Test, count: number): Promise<number> {
  const bench = new ChannelBench()
  const channels = Array.from({ length: count }, (_, i) => `${i}`)
  const reader = bench.subscribed(['first'])
  for (let i = 0; i < MESSAGES; i++) void bench.channel(channels[i % count]).publish('.')
  await bench.publishEach('first')
  bench.endTurn()
  const { next } = LiveSubscription.prototype
  let asked = 0
  t.intercept(LiveSubscription.prototype, 'next', {
    value(this: LiveSubscription, place: Place) {
      asked++
      return next.call(this, place)
    }
  })
  bench.channels.subscribe(reader.connection, channels, { from: 'oldest' })
  bench.endTurn()
  t.equal(reader.events.length, MESSAGES + 1)
  return asked
}

t.test(
  'An open stream gets what channels have: it is the messages that count, not how many channels',
  async (t) => {
    for (const count of [60, 1_200]) {
      await t.test(`${count} channels`, async (t) => {
        const asked = await askedByJoining(t, count)
        t.ok(asked < 2 * (MESSAGES + 2 * count), `${asked} times`)
      })
    }
  }
)

t.test(
  'A blocked stream that joins and leaves a channel keeps what it will be given of it, and no more',
  async (t) => {
    for (const isPublished of [false, true]) {
      const bench = new ChannelBench({ channels: { a: { maxMessages: 10 } } })
      const reader = await bench.blocked('other')
      const channel = bench.channel('a')
      for (let i = 0; i < 100; i++) {
        const subscription = channel.subscribe(reader.connection)
        if (isPublished) await channel.publish(`a${i}`)
        bench.endTurn()
        subscription.unsubscribe()
      }
      const { length } = [...channel.readerships()]
      t.ok(length <= (isPublished ? 12 : 1), `${length}`)
      reader.unblock()
      bench.endTurn()
      const kept = Array.from({ length: isPublished ? 10 : 0 }, (_, i) => `a${90 + i}`)
      t.same([...new Set(reader.told)], ['other', ...(isPublished ? ['!a slow'] : []), ...kept])
    }
  }
)
