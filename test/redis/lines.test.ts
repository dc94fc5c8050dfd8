import t from 'tap'
import { Random } from '../checker/sockets/random.ts'
import type { FaultProxy } from '../helpers/fault-proxy.ts'
import { Load } from './load.ts'
import { verdictOn } from './verdict.ts'
import { World } from './world.ts'

/** Longer than a publisher can be made to wait by a line that is cut. */
const PUBLISH_TIMEOUT_MS = 600_000

const CUTS = {
  'by a network that swallows everything': {
    cut: (line: FaultProxy) => line.blackhole(true),
    heal: (line: FaultProxy) => line.blackhole(false)
  },
  'by connections that are reset and refused': {
    cut: (line: FaultProxy) => {
      line.refuse(true)
      line.cutAll()
    },
    heal: (line: FaultProxy) => line.refuse(false)
  }
}

for (const [library, [how, { cut, heal }]] of Object.entries(CUTS).entries()) {
  t.test(`a node cut off ${how} › catches up, and publishes what waited`, async (t) => {
    const history = { publishTimeoutMs: PUBLISH_TIMEOUT_MS }
    const world = await World.start(t, { nodes: 2, library, history })
    const near = world.clientOf(0)
    const cutOff = world.clientOf(1)
    await Promise.all(world.clients.map((client) => client.placed()))
    const load = new Load(world, new Random(5), { perSecond: 100, node: 0 }).start()
    await cutOff.receives(20)

    cut(world.store.line(1))
    const publishing = world.publish('news', { node: 1, idempotencyKey: 'waits' })
    await near.receives(100)
    const missed = near.messages.at(-1)?.data ?? ''
    t.notOk(
      cutOff.messages.some(({ data }) => data === missed),
      'it was cut off'
    )
    heal(world.store.line(1))
    const publication = await publishing
    t.equal(publication.outcome, 'acknowledged')
    await cutOff.gets(publication.data)
    await load.stop()
    t.equal(await verdictOn(world), '')
    for (const { gaps, connections } of world.clients)
      t.same({ gaps, connections }, { gaps: [], connections: 1 })
  })
}

t.test('an entry that nobody was told of › comes all the same', async (t) => {
  const world = await World.start(t, { nodes: 3, channels: ['quiet', 'busy'] })
  for (const node of [0, 1, 2]) world.clientOf(node)
  await Promise.all(world.clients.map((client) => client.placed()))
  await world.publishMany(3, 'busy')
  const publications = await Promise.all(['quiet', 'busy'].map((channel) => world.append(channel)))
  for (const { data } of publications) await Promise.all(world.clients.map((client) => client.gets(data)))
  t.equal(await verdictOn(world), '')
  for (const { gaps } of world.clients) t.same(gaps, [])
})

t.test('notices that get lost with their connection › messages do not', async (t) => {
  const world = await World.start(t, { nodes: 3, channels: ['news', 'weather'], library: 1 })
  for (const node of [0, 1, 2]) world.clientOf(node)
  const [client] = world.clients
  await Promise.all(world.clients.map((one) => one.placed()))
  const load = new Load(world, new Random(6), { perSecond: 200 }).start()
  for (let i = 0; i < 10; i++) {
    await world.store.redis.command('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await client?.receives(30)
  }
  await load.stop()
  t.equal(await verdictOn(world), '')
  for (const { gaps } of world.clients) t.same(gaps, [])
})
