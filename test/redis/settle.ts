import { setTimeout as sleep } from 'node:timers/promises'
import { NOT_YET } from '../checker/not-yet.ts'
import type { Published, RunLog } from '../checker/run-log.ts'
import { compareEntries, entryFor } from './entry-id.ts'
import type { Node } from './node.ts'
import type { Publication } from './publication.ts'
import { publishedIn, type Sighting, type StreamLog } from './stream-log.ts'
import { TrimRetention } from './trim-retention.ts'
import type { World } from './world.ts'

const POLL_MS = 50

/**
 * Ends a run, when all faults are over: everybody gets what there is, and leaves. What is too much comes before the second
 * of two last messages.
 *
 * @returns what was written down of it. What hangs is for the runner to end.
 */
export async function settle(world: World): Promise<RunLog> {
  for (const publication of world.publications) await settled(publication)
  await catchUp(world)
  await catchUp(world)
  const log = await runLogOf(world)
  await leave(world)
  return { ...log, leftovers: { 'nodes that crashed': world.crashes.length } }
}

async function settled(publication: Publication): Promise<void> {
  while (publication.outcome === 'pending') await sleep(POLL_MS)
}

/** Publishes one more message on each channel, which all clients must get. */
async function catchUp(world: World): Promise<void> {
  const last = new Map<string, string>()
  for (const name of world.channels) last.set(name, await publishLast(world, name))
  for (const client of world.clients) {
    client.resume()
    client.hasCaughtUp = false
    for (const name of client.channels) await client.gets(last.get(name) ?? '')
    client.hasCaughtUp = true
  }
}

async function publishLast(world: World, channel: string): Promise<string> {
  const node = world.nodes.findIndex((candidate) => candidate !== undefined)
  const idempotencyKey = `last ${world.publications.length}`
  const publication = await world.publish(channel, { node, idempotencyKey })
  await publication.retry(() => world.node(node))
  return publication.data
}

/** What publishers, clients and the store say, the messages of all channels in the order of the store's clock. */
async function runLogOf(world: World): Promise<RunLog> {
  const streams = await Promise.all(world.channels.map((name) => world.logOf(name)))
  const byChannel = new Map(streams.map((stream) => [stream.name, publishedOf(world, stream)]))
  const messages = [...byChannel.values()].flat().sort((a, b) => compareEntries(a.id, b.id))
  const retention = new TrimRetention(
    new Map(
      streams.map(({ name, maxLength }) => {
        const unseen = world.publications.filter(isUnseen(name, byChannel.get(name) ?? [])).length
        return [name, { messages: byChannel.get(name) ?? [], fewest: maxLength - unseen }]
      })
    )
  )
  return {
    channels: streams.map(({ name, epochs }) => ({
      name,
      slow: 'gap',
      afterGap: 'oldest',
      forgottenAt: epochs.filter(({ since, last }) => since > 0 && last === '').map(({ since }) => since)
    })),
    messages,
    clients: world.clients.map(({ logs }) => logs),
    retention,
    isExact: false,
    notYet: NOT_YET,
    samples: [],
    leftovers: {}
  }
}

function publishedOf({ publications, clients }: World, stream: StreamLog): readonly Published[] {
  const attempts = publications.filter(({ channel }) => channel === stream.name)
  const own = new Set(attempts.map(({ data }) => data))
  const seen = clients.flatMap(({ blocks }) =>
    blocks.flatMap(({ event, id, data }): Sighting[] => {
      const entry = event === 'message' && own.has(data) ? entryFor(stream.name, id) : undefined
      return entry === undefined ? [] : [{ id: entry, data }]
    })
  )
  return publishedIn(stream, attempts, seen)
}

/** Whether it may be in the stream, though nobody saw it there. */
function isUnseen(name: string, messages: readonly Published[]): (publication: Publication) => boolean {
  const known = new Set(messages.map(({ data }) => data))
  return ({ channel, outcome, data }) => channel === name && outcome === 'unconfirmed' && !known.has(data)
}

async function leave(world: World): Promise<void> {
  for (const client of world.clients) client.leave()
  const there = [...world.nodes.entries()].filter((entry): entry is [number, Node] => entry[1] !== undefined)
  for (const [, node] of there) await isIdle(node)
  for (const [index] of there) await world.stopNode(index)
}

/** Resolves when the node keeps nothing any more, and is not degraded. */
async function isIdle(node: Node): Promise<void> {
  for (;;) {
    const { connections, subscriptions, channels, degraded } = await node.stats()
    if (connections + subscriptions + channels === 0 && !degraded) return
    await sleep(POLL_MS)
  }
}
