import { setTimeout as sleep } from 'node:timers/promises'
import type { Node } from './node.ts'
import type { Publication } from './publication.ts'
import type { RunLog } from './run-log.ts'
import type { World } from './world.ts'

/** What hangs must not hang the run. */
const DEADLINE_MS = 20_000
const POLL_MS = 50
/** By how much a busy node may be late. */
const SLACK_MS = 2_000

/**
 * Ends a run, when all faults are over: everybody gets what there is, and leaves. What is too much comes before the second
 * of two last messages.
 */
export async function settle(world: World): Promise<RunLog> {
  const { publications, clients } = world
  const hanging = await countLate(publications.map((publication) => settled(publication)))
  const late = (await catchUp(world)) + (await catchUp(world))
  const channels = await Promise.all(world.channels.map((name) => world.logOf(name)))
  const leftovers = {
    'publishes that hang': hanging,
    'publishes that took too long': countSlow(world),
    'clients that did not catch up': late,
    ...(await leave(world))
  }
  return { channels, attempts: publications, clients: clients.map(({ log }) => log), leftovers }
}

async function settled(publication: Publication): Promise<void> {
  while (publication.outcome === 'pending') await sleep(POLL_MS)
}

function countSlow({ publications, publishTimeoutMs, longestPauseMs }: World): number {
  const answers = publications.flatMap((publication) => publication.answers)
  return answers.filter(({ tookMs }) => tookMs > publishTimeoutMs + longestPauseMs + SLACK_MS).length
}

/** Publishes one more message on each channel, which all clients must get. @returns how many did not. */
async function catchUp(world: World): Promise<number> {
  const last = new Map(await Promise.all(world.channels.map((name) => publishLast(world, name))))
  return await countLate(
    world.clients.map(async (client) => {
      client.resume()
      client.hasCaughtUp = false
      for (const name of client.channels) await client.gets(last.get(name) ?? '')
      client.hasCaughtUp = true
    })
  )
}

async function publishLast(world: World, channel: string): Promise<[channel: string, data: string]> {
  const node = world.nodes.findIndex((candidate) => candidate !== undefined)
  const idempotencyKey = `last ${world.publications.length}`
  const publication = await world.publish(channel, { node, idempotencyKey })
  await publication.retry(() => world.node(node))
  return [channel, publication.data]
}

async function leave(world: World): Promise<Record<string, number>> {
  for (const client of world.clients) client.leave()
  const there = [...world.nodes.entries()].filter((entry): entry is [number, Node] => entry[1] !== undefined)
  const busy = await countLate(there.map(([, node]) => isIdle(node)))
  const alive = await countLate(there.map(([index]) => world.stopNode(index)))
  return {
    'nodes that keep something, or stay degraded': busy,
    'nodes that do not end': alive,
    'nodes that crashed': world.crashes.length
  }
}

async function isIdle(node: Node): Promise<void> {
  for (;;) {
    const { connections, subscriptions, channels, degraded } = await node.stats()
    if (connections + subscriptions + channels === 0 && !degraded) return
    await sleep(POLL_MS)
  }
}

/** How many have not resolved at the deadline. */
async function countLate(promises: readonly Promise<unknown>[]): Promise<number> {
  let late = promises.length
  const onTime = (): void => {
    late--
  }
  const all = Promise.all(promises.map((promise) => promise.then(onTime, () => {})))
  const deadline = new AbortController()
  const timeout = sleep(DEADLINE_MS, undefined, { signal: deadline.signal }).catch(() => {})
  await Promise.race([all, timeout])
  deadline.abort()
  return late
}
