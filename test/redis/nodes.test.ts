import t from 'tap'
import { Random } from '../checker/sockets/random.ts'
import { Load } from './load.ts'
import { verdictOn } from './verdict.ts'
import { World } from './world.ts'

t.test('a node killed under load › clients go on at any other, and miss nothing', async (t) => {
  const world = await World.start(t, { nodes: 3, channels: ['news', 'ü&='] })
  for (let i = 0; i < 9; i++) world.client(world.rotation(i))
  await Promise.all(world.clients.map((client) => client.placed()))
  const load = new Load(world, new Random(1), { perSecond: 200 }).start()
  const [client] = world.clients
  for (const node of [1, 2]) {
    await client?.receives(80)
    await world.killNode(node)
    await client?.receives(80)
    await world.startNode(node)
  }
  await load.stop()
  t.equal(await verdictOn(world), '')
  t.same(
    world.clients.flatMap(({ gaps }) => gaps),
    []
  )
})

t.test('clients that go to another node at every message › get every message once', async (t) => {
  const world = await World.start(t, { nodes: 3, channels: ['news', 'weather'], library: 1 })
  const one = world.client(world.rotation(0), ['news'])
  const both = world.client(world.rotation(1))
  await Promise.all(world.clients.map((client) => client.placed()))
  for (const client of world.clients) client.isHopping = true
  const load = new Load(world, new Random(10), { perSecond: 100 }).start()
  await both.receives(200)
  await load.stop()
  t.equal(await verdictOn(world), '')
  for (const client of [one, both]) {
    const published = world.publications.filter(({ channel }) => client.channels.includes(channel))
    t.same(new Set(client.messages.map(({ data }) => data)), new Set(published.map(({ data }) => data)))
    t.equal(client.messages.length, published.length)
    t.ok(client.connections >= client.messages.length)
  }
})
