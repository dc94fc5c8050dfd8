import t from 'tap'
import { verdictOn } from './verdict.ts'
import { World } from './world.ts'

const NOWHERE = (): undefined => undefined

for (const command of ['DEL', 'FLUSHALL'] as const) {
  t.test(`${command} › every client of the channels is told one gap, be it there or not`, async (t) => {
    const world = await World.start(t, { nodes: 2, channels: ['news', 'quiet', 'other'] })
    const clients = {
      live: world.clientOf(0, ['news']),
      second: world.clientOf(1, ['news']),
      quiet: world.clientOf(1, ['quiet']),
      away: world.clientOf(1, ['news']),
      other: world.clientOf(0, ['other']),
      all: world.clientOf(0)
    }
    await Promise.all(world.clients.map((client) => client.placed()))
    for (const channel of world.channels) await world.publishMany(5, channel)
    await clients.away.receives(5 - clients.away.messages.length)
    clients.away.move(NOWHERE)

    if (command === 'FLUSHALL') await world.store.flushAll()
    else for (const channel of ['news', 'quiet']) await world.store.deleteStream(channel)
    await Promise.all([clients.quiet.isTold(1), world.publishMany(5, 'news')])
    clients.away.move(() => world.node(1).port)
    await clients.away.isTold(1)
    t.equal(await verdictOn(world), '')
    const gaps = Object.entries(clients).map(([name, client]) => [name, client.gaps.length])
    const others = command === 'FLUSHALL' ? 1 : 0
    t.same(Object.fromEntries(gaps), {
      live: 1,
      second: 1,
      quiet: 1,
      away: 1,
      other: others,
      all: 2 + others
    })
  })
}
