import t from 'tap'
import { Random } from '../checker/sockets/random.ts'
import { Load } from './load.ts'
import { verdictOn } from './verdict.ts'
import { World } from './world.ts'

/** Passes for real. Publishing takes less, whatever else the machine does. */
const PUBLISH_TIMEOUT_MS = 4_000
/** For those who need not succeed. */
const SHORT_TIMEOUT_MS = 500
const AWAY = 'a history cannot be reached'
const BACK = 'the history can be reached again'

t.test(
  'Redis restarted without persistence › every client is told one gap, publishers get errors',
  async (t) => {
    const world = await World.start(t, { nodes: 3, history: { publishTimeoutMs: SHORT_TIMEOUT_MS } })
    for (const node of [0, 1, 2, 0, 1, 2]) world.clientOf(node)
    const [client] = world.clients
    await Promise.all(world.clients.map((one) => one.placed()))
    const load = new Load(world, new Random(2), { perSecond: 100 }).start()
    await client?.receives(50)

    await world.store.restart({
      meanwhile: async () => {
        const [first, second] = await world.publishMany(2)
        t.match(first?.outcome, /^(unconfirmed|failed)$/, 'the node may not know yet')
        t.equal(second?.lastAnswer.code, 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED')
      }
    })
    await Promise.all(world.clients.map((one) => one.isTold(1)))
    await client?.receives(100)
    await load.stop()
    t.equal(await verdictOn(world), '')
    t.same(
      world.clients.map(({ gaps }) => gaps.length),
      world.clients.map(() => 1)
    )
  }
)

t.test(
  'Redis that stands still › publishes are refused in time, streams stay up, all is caught up with',
  async (t) => {
    const world = await World.start(t, {
      nodes: 2,
      history: { publishTimeoutMs: PUBLISH_TIMEOUT_MS },
      library: 1
    })
    for (const node of [0, 1, 0, 1]) world.clientOf(node)
    const [client] = world.clients
    await Promise.all(world.clients.map((one) => one.placed()))
    await Promise.all([world.publishMany(20), client?.receives(20)])

    const nodes = [world.node(0), world.node(1)]

    world.store.redis.pause()
    const comments = world.clients.map((one) => one.comments)
    const publications = await Promise.all([0, 1, 0, 1].map((node) => world.publish('news', { node })))
    const answers = publications.map(({ lastAnswer }) => lastAnswer)
    for (const { code } of answers) {
      t.match(code, /_(UNCONFIRMED|FAILED)$/, 'the latter if it waited for another one')
    }
    for (const node of [0, 1]) {
      const codes = [answers[node]?.code, answers[node + 2]?.code]
      t.ok(codes.includes('FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED'))
    }
    await Promise.all([0, 1].map((node) => world.isDegraded(node, true)))
    await Promise.all(world.clients.map((one, i) => one.hears((comments[i] ?? 0) + 10)))
    world.store.redis.resume()
    await Promise.all([0, 1].map((node) => world.isDegraded(node, false)))

    await Promise.all([world.publishMany(20), client?.receives(20)])
    t.equal(await verdictOn(world), '')
    for (const { connections, gaps } of world.clients)
      t.same({ connections, gaps }, { connections: 1, gaps: [] })
    for (const node of nodes) {
      const lines = node.log.map(({ msg }) => msg)
      const told = lines.filter((line) => line === AWAY || line === BACK)
      t.same(told.slice(0, 2), [AWAY, BACK])
      t.same(
        told,
        told.map((_, i) => (i % 2 === 0 ? AWAY : BACK))
      )
    }
  }
)

t.test('Redis without memory › publishes are refused, subscribers are not disturbed', async (t) => {
  const world = await World.start(t, { nodes: 2, channels: ['news', 'new'], library: 2 })
  const live = world.clientOf(0, ['news'])
  const back = world.clientOf(1, ['news'])
  await Promise.all(world.clients.map((client) => client.placed()))
  back.move(() => undefined)
  const [first] = await world.publishMany(50)
  await live.receives(50 - live.messages.length)

  await world.store.redis.command('CONFIG', 'SET', 'maxmemory', '1')
  const refused = await world.publish('news')
  t.equal(refused.lastAnswer.code, 'FST_ERR_EVENTSTREAM_PUBLISH_FAILED')
  t.match(refused.lastAnswer.message, /OOM/)
  const comer = world.clientOf(1, ['new'])
  back.move(() => world.node(1).port)
  await back.gets(first?.data ?? '')
  await Promise.all(world.clients.map((client) => client.hears(client.comments + 2)))
  t.equal((await world.node(0).stats()).degraded, false)

  await world.store.redis.command('CONFIG', 'SET', 'maxmemory', '0')
  await comer.placed()
  await world.publish('new')
  t.equal((await world.publish('news')).outcome, 'acknowledged')
  t.equal(await verdictOn(world), '')
  for (const { gaps } of world.clients) t.same(gaps, [])
})
