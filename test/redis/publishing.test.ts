import t, { type Test } from 'tap'
import type { Publication } from './publication.ts'
import { verdictOn } from './verdict.ts'
import { World } from './world.ts'

const PUBLISH_TIMEOUT_MS = 700
/** By how much a busy machine may be late. */
const SLACK_MS = 1_000
/** In which what was answered can still be lost. */
const DELAY_MS = 150
const UNCONFIRMED = 'FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED'
const PUBLISHERS = [1, 2, 3] as const

/**
 * A client on node 0, and a message that it has. The other nodes, one for each library, publish only: what comes on their
 * lines is answers.
 */
async function start(t: Test): Promise<World> {
  const world = await World.start(t, {
    nodes: 1 + PUBLISHERS.length,
    hasReplica: true,
    history: { publishTimeoutMs: PUBLISH_TIMEOUT_MS }
  })
  await world.clientOf(0).placed()
  for (const node of PUBLISHERS) t.equal((await world.publish('news', { node })).outcome, 'acknowledged')
  return world
}

function count(world: World, { data }: Publication): number {
  return world.clients[0]?.messages.filter((message) => message.data === data).length ?? 0
}

/** Publishes, and cuts the line when the message is there and the answer is on its way. */
async function publishAndCut(world: World, node: number, settings: object = {}): Promise<Publication> {
  const line = world.store.line(node)
  line.delay(DELAY_MS)
  const publishing = world.publish('news', { node, ...settings })
  await world.clients[0]?.gets(world.publications.at(-1)?.data ?? '')
  line.cutAll()
  line.delay(0)
  return await publishing
}

t.test('publishing › over lines that break', async (t) => {
  const world = await start(t)
  const [client] = world.clients

  await t.test(
    'an answer is lost, and the line with it: a retry with the same key is told the same id',
    async (t) => {
      for (const node of PUBLISHERS) {
        world.store.line(node).refuse(true)
        const publication = await publishAndCut(world, node, { idempotencyKey: `lost ${node}` })
        t.equal(publication.lastAnswer.code, UNCONFIRMED)
        t.ok(publication.lastAnswer.tookMs < PUBLISH_TIMEOUT_MS + SLACK_MS)
        world.store.line(node).refuse(false)
        await publication.sendTo(world.node(0))
        t.equal(publication.id, client?.lastEventId)
        t.equal(count(world, publication), 1)
      }
    }
  )

  await t.test('an answer comes too late: a retry with the same key is told the same id', async (t) => {
    for (const node of PUBLISHERS) {
      const line = world.store.line(node)
      line.delay(DELAY_MS)
      const publishing = world.publish('news', { node, idempotencyKey: `late ${node}` })
      await client?.gets(world.publications.at(-1)?.data ?? '')
      line.blackhole(true)
      const publication = await publishing
      t.equal(publication.lastAnswer.code, UNCONFIRMED)
      line.delay(0)
      line.blackhole(false)
      await publication.retry(() => world.node(node))
      t.equal(publication.id, client?.lastEventId)
      t.equal(count(world, publication), 1)
    }
  })

  await t.test(
    'an answer is lost: with a key the message is sent again, without one it is not',
    async (t) => {
      for (const node of PUBLISHERS) {
        const withKey = await publishAndCut(world, node, { idempotencyKey: `answer ${node}` })
        t.equal(withKey.outcome, 'acknowledged')
        t.equal(withKey.id, client?.lastEventId)
        const without = await publishAndCut(world, node)
        t.equal(without.lastAnswer.code, UNCONFIRMED)
        t.same([count(world, withKey), count(world, without)], [1, 1])
      }
    }
  )

  await t.test(
    'a request is lost: with a key the message is sent again, without one it is not',
    async (t) => {
      for (const node of PUBLISHERS) {
        await world.isDegraded(node, false)
        world.store.line(node).cutAfter(10, 'toServer')
        const withKey = await world.publish('news', { node, idempotencyKey: `request ${node}` })
        t.equal(withKey.outcome, 'acknowledged')
        await world.isDegraded(node, false)
        world.store.line(node).cutAfter(10, 'toServer')
        const without = await world.publish('news', { node })
        t.equal(without.lastAnswer.code, UNCONFIRMED)
        await client?.gets(withKey.data)
        t.same([count(world, withKey), count(world, without)], [1, 0])
      }
    }
  )

  await t.test(
    'what is sent again is refused: that is no failure, for the first time may have done it',
    async (t) => {
      const [node] = PUBLISHERS
      await world.store.replica?.catchUp()
      world.store.replica?.stall()
      world.store.line(node).retarget({ port: world.store.replica?.server.port ?? 0 })
      const publication = await publishAndCut(world, node, { idempotencyKey: 'refused' })
      t.equal(publication.lastAnswer.code, UNCONFIRMED)
      world.store.line(node).retarget({ port: world.store.redis.port })
      world.store.line(node).cutAll()
      await publication.retry(() => world.node(node))
      t.equal(publication.id, client?.lastEventId)
    }
  )

  t.equal(await verdictOn(world), '')
})
