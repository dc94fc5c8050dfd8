import t from 'tap'
import { Random } from '../checker/sockets/random.ts'
import { Load } from './load.ts'
import { verdictOn } from './verdict.ts'
import { World } from './world.ts'

const NOWHERE = (): undefined => undefined

t.test(
  'failover to a replica that lacks the last messages › a gap for exactly those who had one of them',
  async (t) => {
    const world = await World.start(t, { nodes: 3, hasReplica: true, library: 1 })
    const [live, otherLive, away, awayWithLost, cutOff] = [0, 1, 1, 0, 2].map((node) => world.clientOf(node))
    if (!live || !otherLive || !away || !awayWithLost || !cutOff) throw new Error('no clients')
    await Promise.all(world.clients.map((client) => client.placed()))
    const kept = (await world.publishMany(20)).at(-1)
    await Promise.all(world.clients.map((client) => client.gets(kept?.data ?? '')))
    await world.store.replica?.catchUp()

    away.move(NOWHERE)
    world.store.line(2).blackhole(true)
    world.store.replica?.stall()
    const lost = await world.publishMany(10)
    await awayWithLost.gets(lost[4]?.data ?? '')
    awayWithLost.move(NOWHERE)
    await Promise.all([live, otherLive].map((client) => client.gets(lost[9]?.data ?? '')))
    const load = new Load(world, new Random(3), { perSecond: 200 }).start()
    await live.receives(10)

    await world.store.failOver()
    world.store.line(2).blackhole(false)
    await Promise.all([live, otherLive].map((client) => client.isTold(1)))
    away.move(() => world.node(0).port)
    awayWithLost.move(() => world.node(1).port)
    await awayWithLost.isTold(1)
    const until = live.messages.length + 100
    await live.until(() => live.messages.length > until)
    await load.stop()
    t.equal(await verdictOn(world), '')
    t.same(
      world.clients.map(({ gaps }) => gaps.length),
      [1, 1, 0, 1, 0]
    )
    const { redis } = world.store
    const [first, last] = [lost.at(0)?.id ?? '', lost.at(-1)?.id ?? '']
    t.same(await redis.command('XRANGE', world.store.keyOf('news'), first, last), [], 'they are lost')
  }
)
