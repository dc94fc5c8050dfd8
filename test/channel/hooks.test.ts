import t from 'tap'
import type { ChannelOptions, Subscription } from '../../lib/index.ts'
import { ChannelBench } from '../helpers/channel-bench.ts'

t.test('onSubscribe', async (t) => {
  const refusing = (before: (subscription: Subscription) => void): ChannelOptions => ({
    onSubscribe: (subscription) => {
      before(subscription)
      throw new Error('no')
    }
  })

  t.test('that destroys the connection and throws takes nothing from others', async (t) => {
    const bench = new ChannelBench()
    const other = bench.subscribed(['news'])
    bench.channel(
      'news',
      refusing(({ connection }) => connection.destroy())
    )
    const refused = bench.reader()
    t.throws(() => bench.channel().subscribe(refused.connection), /no/)
    await bench.publishEach('news1')
    bench.endTurn()
    t.same(other.told, ['news1'])
    t.equal(bench.channel().size, 1)
  })

  t.test('that unsubscribes and throws leaves the other subscriptions as they were', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.subscribed(['b'])
    bench.channel(
      'news',
      refusing((subscription) => subscription.unsubscribe())
    )
    t.throws(() => bench.channel().subscribe(reader.connection), /no/)
    t.throws(() => reader.connection.send({ id: '5', data: '' }), {
      code: 'FST_ERR_EVENTSTREAM_INVALID_MESSAGE'
    })
    t.equal(reader.connection.subscriptions.length, 1)
  })

  t.test('that refuses a second subscription leaves the rest of the first', async (t) => {
    const bench = new ChannelBench()
    const reader = bench.reader()
    const first = bench.channel().subscribe(reader.connection)
    await bench.publishEach('news1', 'news2')
    first.unsubscribe()
    bench.channel(
      'news',
      refusing(() => {})
    )
    t.throws(() => bench.channel().subscribe(reader.connection, { from: 'oldest' }), /no/)
    bench.endTurn()
    t.same(reader.told, ['news1', 'news2'])
  })

  t.test(
    'that refuses one of a set: nothing is given of the others, and what was before stays',
    async (t) => {
      const bench = new ChannelBench({ channels: { forbidden: refusing(() => {}) } })
      await bench.publishEach('a1', 'b1')
      const reader = bench.reader()
      const before = bench.channel('b').subscribe(reader.connection, { from: 'oldest' })
      const names = ['a', 'b', 'forbidden']
      t.throws(() => bench.channels.subscribe(reader.connection, names, { from: 'oldest' }), /no/)
      await bench.publishEach('a2', 'b2')
      bench.endTurn()
      t.same(reader.told, ['b1', 'b2'])
      t.same(reader.connection.subscriptions, [before])
    }
  )
})

t.test('a set that is refused does not use up what its client brought', async (t) => {
  const ended: string[] = []
  const onUnsubscribe = ({ channel }: Subscription): number => ended.push(channel.name)
  const bench = new ChannelBench({ onUnsubscribe })
  bench.channel('forbidden', {
    onSubscribe: ({ connection }) => {
      connection.subscriptions.find(({ channel }) => channel.name === 'b')?.unsubscribe()
      throw new Error('no')
    }
  })
  const id = bench.cursor()
  await bench.publishEach('a1')
  const reader = bench.reader(id)
  t.throws(() => bench.channels.subscribe(reader.connection, ['a', 'b', 'forbidden']), /no/)
  t.same(ended.sort(), ['a', 'b'], 'each is told once that it has ended')
  bench.channel('a').subscribe(reader.connection)
  bench.endTurn()
  t.same(reader.told, ['a1'])
})

t.test('filter › cannot change what the filters of others see', async (t) => {
  const bench = new ChannelBench()
  const reader = bench.reader()
  bench
    .channel()
    .subscribe(reader.connection, { filter: (message) => Reflect.set(message, 'data', 'x') || true })
  const other = bench.reader()
  bench.channel().subscribe(other.connection, { filter: ({ data }) => data === 'news1' })
  await bench.publishEach('news1')
  bench.endTurn()
  t.same([reader.told, other.told], [['news1'], ['news1']])
})

t.test('notBefore › in the future is no place that nobody knows on return', async (t) => {
  const bench = new ChannelBench()
  const notBefore = new Date(Date.now() + 60_000)
  const reader = bench.subscribed(['news'], undefined, { notBefore })
  bench.endTurn()
  const back = bench.subscribed(['news'], reader.lastEventId, { notBefore })
  await bench.publishEach('news1')
  bench.endTurn()
  t.same(back.told, [])
})

t.test('slow › is not who is held', async (t) => {
  const bench = new ChannelBench({ channels: { news: { maxMessages: 2, slow: 'disconnect' } } })
  const id = bench.cursor()
  const reader = bench.unsettled(id)
  bench.channel().subscribe(reader.connection)
  for (const data of ['1', '2', '3', '4']) {
    bench.channel().publish(data)
    bench.endTurn()
  }
  reader.connection.handlerOnSettle()
  bench.endTurn()
  t.same(reader.told, ['1', '2', '3', '4'])
})

t.test('read() › is given up while it waits', async (t) => {
  const bench = new ChannelBench()
  const items = bench.channel().read()
  const next = items.next()
  t.same(await items.return?.(), { done: true, value: undefined })
  t.same(await next, { done: true, value: undefined })
  t.equal(bench.channels.live.size, 0)
})
