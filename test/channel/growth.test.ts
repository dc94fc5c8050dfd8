import t from 'tap'
import { ChannelBench } from '../helpers/channel-bench.ts'
import { cpuTime, timesAsLong } from '../helpers/cpu-time.ts'

const MESSAGES = 4_000

/** What it takes to give so many messages to an open stream that is subscribed to as many channels as have them. */
async function takenByJoining(count: number): Promise<number> {
  const bench = new ChannelBench()
  const channels = Array.from({ length: count }, (_, i) => `${i}`)
  const reader = bench.subscribed(['first'])
  for (let i = 0; i < MESSAGES; i++) void bench.channel(channels[i % count]).publish('.')
  await bench.publishEach('first')
  bench.endTurn()
  const spent = await cpuTime(() => {
    bench.channels.subscribe(reader.connection, channels, { from: 'oldest' })
    bench.endTurn()
  })
  t.equal(reader.events.length, MESSAGES + 1)
  return spent
}

t.test(
  'An open stream gets what channels have: it is the messages that count, not how many channels',
  async (t) => {
    const ratio = await timesAsLong(
      () => takenByJoining(1_200),
      () => takenByJoining(60)
    )
    t.ok(ratio < 8, `${ratio} times`)
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
