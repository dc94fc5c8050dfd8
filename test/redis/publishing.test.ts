import t, { type Test } from 'tap'
import type { Publication } from './publication.ts'
import { verdictOn } from './verdict.ts'
import { World } from './world.ts'

/** Passes for real, and no command takes that long, whatever else the machine does. */
const PUBLISH_TIMEOUT_MS = 4_000
const NEVER_MS = 600_000
const UNCONFIRMED = 'FST_ERR_EVENTSTREAM_PUBLISH_UNCONFIRMED'
const PUBLISHERS = [1, 2, 3] as const

/**
 * A client on node 0, and a message that it has. The other nodes, one for each library, publish only: what comes on their
 * lines is answers.
 */
async function start(t: Test, publishTimeoutMs: number): Promise<World> {
  const world = await World.start(t, {
    nodes: 1 + PUBLISHERS.length,
    hasReplica: true,
    history: { publishTimeoutMs }
  })
  await world.clientOf(0).placed()
  for (const node of PUBLISHERS) t.equal((await world.publish('news', { node })).outcome, 'acknowledged')
  return world
}

function messagesOf(world: World, { data }: Publication) {
  return world.clients[0]?.messages.filter((message) => message.data === data) ?? []
}

/** Whether it came once, under the id of which its publisher was told. */
function cameOnce(world: World, publication: Publication): boolean {
  const [first, ...others] = messagesOf(world, publication)
  return first?.id === publication.id && others.length === 0
}

/** Publishes, and resolves when the message is there and its answer is held on the way. */
async function publishUnanswered(
  world: World,
  node: number,
  settings: object = {}
): Promise<{ publishing: Promise<Publication> }> {
  // What a node says to a Redis that it comes back to would not be answered either.
  await world.isDegraded(node, false)
  world.store.line(node).hold('toClient', true)
  const publishing = world.publish('news', { node, ...settings })
  await world.clients[0]?.gets(world.publications.at(-1)?.data ?? '')
  return { publishing }
}

/** Publishes, and cuts the line when the message is there and the answer is on its way. */
async function publishAndCut(world: World, node: number, settings: object = {}): Promise<Publication> {
  const { publishing } = await publishUnanswered(world, node, settings)
  const line = world.store.line(node)
  line.cutAll()
  line.hold('toClient', false)
  return await publishing
}

t.test('publishing › over lines that break for longer than publishers wait', async (t) => {
  const world = await start(t, PUBLISH_TIMEOUT_MS)
  await t.test(
    'an answer is lost, and the line with it: a retry with the same key is told the same id',
    async (t) => {
      const lose = async (node: number): Promise<void> => {
        world.store.line(node).refuse(true)
        const publication = await publishAndCut(world, node, { idempotencyKey: `lost ${node}` })
        t.equal(publication.lastAnswer.code, UNCONFIRMED)
        world.store.line(node).refuse(false)
        await publication.retry(() => world.node(0))
        t.ok(cameOnce(world, publication))
      }
      await Promise.all(PUBLISHERS.map(lose))
    }
  )

  await t.test('an answer comes too late: a retry with the same key is told the same id', async (t) => {
    const delay = async (node: number): Promise<void> => {
      const { publishing } = await publishUnanswered(world, node, { idempotencyKey: `late ${node}` })
      const publication = await publishing
      t.equal(publication.lastAnswer.code, UNCONFIRMED)
      world.store.line(node).hold('toClient', false)
      await publication.retry(() => world.node(node))
      t.ok(cameOnce(world, publication))
    }
    await Promise.all(PUBLISHERS.map(delay))
  })

  t.equal(await verdictOn(world), '')
})

t.test('publishing › over lines that break for a moment', async (t) => {
  const world = await start(t, NEVER_MS)
  await t.test(
    'an answer is lost: with a key the message is sent again, without one it is not',
    async (t) => {
      for (const node of PUBLISHERS) {
        const withKey = await publishAndCut(world, node, { idempotencyKey: `answer ${node}` })
        t.equal(withKey.outcome, 'acknowledged')
        t.ok(cameOnce(world, withKey))
        const without = await publishAndCut(world, node)
        t.equal(without.lastAnswer.code, UNCONFIRMED)
        t.equal(messagesOf(world, without).length, 1)
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
        await world.clients[0]?.gets(withKey.data)
        t.same([messagesOf(world, withKey).length, messagesOf(world, without).length], [1, 0])
      }
    }
  )

  t.equal(await verdictOn(world), '')
})

t.test('publishing › what is sent again is refused', async (t) => {
  const world = await start(t, PUBLISH_TIMEOUT_MS)
  const [node] = PUBLISHERS
  await world.store.replica?.catchUp()
  world.store.replica?.stall()
  world.store.line(node).retarget({ port: world.store.replica?.server.port ?? 0 })
  const publication = await publishAndCut(world, node, { idempotencyKey: 'refused' })
  t.equal(publication.lastAnswer.code, UNCONFIRMED, 'that is no failure, for the first time may have done it')
  world.store.line(node).retarget({ port: world.store.redis.port })
  world.store.line(node).cutAll()
  await publication.retry(() => world.node(node))
  t.ok(cameOnce(world, publication))
  t.equal(await verdictOn(world), '')
})
