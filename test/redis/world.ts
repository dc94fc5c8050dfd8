import { hashOf } from '../../lib/channel/last-event-id.ts'
import { groupBy } from '../checker/group-by.ts'
import { payloadOf } from '../checker/payload.ts'
import type { ConnectionLog, Moment, Published, Received, Retention, RunLog } from '../checker/run-log.ts'
import { now } from '../checker/sockets/clock.ts'
import type { Random } from '../checker/sockets/random.ts'
import { Client, type Pick } from './client.ts'
import { Ledger, type Sighting } from './ledger.ts'
import { Neighbour } from './neighbour.ts'
import { LIBRARIES, Node, type Run } from './node.ts'
import { Servers } from './servers.ts'

const PREFIX = 'world:'
const UNLIMITED = { maxMessages: 1_000_000, maxBytes: 1_000_000_000, maxAgeMs: false } as const
const SHORT_MESSAGES = 60
export const CHANNELS = ['news', 'ü&=', 'quiet', 'short', 'a:b c'] as const
const NODES = 3
const PERIOD_MS = 20
const PER_SECOND = 100
const MAX_UNSETTLED = 300
const MAX_TRIES = 20
/** What is kept of the output of a node that crashed. */
const MAX_OUTPUT = 4_000

interface Publication {
  readonly names: readonly string[]
  readonly data: string
  readonly idempotencyKey: string | undefined
  readonly sentAt: Moment
  acknowledgedAt: Moment | undefined
  id: string
}

/** Nodes that share a Redis, publishers, clients, neighbours in the same Redis, and all that is known of them. */
export class World {
  readonly clients: Client[] = []
  readonly servers: Servers
  /** `undefined` while there is none in its place. */
  readonly nodes: (Node | undefined)[]
  /** What nodes printed that ended by themselves. */
  readonly crashes: string[] = []
  readonly #run: Run
  readonly #random: Random
  readonly #publications = new Map<string, Publication>()
  readonly #unsettled = new Set<Promise<void>>()
  readonly #neighbours: Neighbour[]
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  private constructor(run: Run, random: Random, servers: Servers) {
    this.#run = run
    this.#random = random
    this.servers = servers
    this.nodes = Array.from({ length: NODES }, () => undefined)
    const { url = '' } = servers.lines[NODES] ?? {}
    this.#neighbours = [new Neighbour(`${url}/1`, PREFIX), new Neighbour(url, 'other:')]
  }

  static async start(run: Run, random: Random): Promise<World> {
    const servers = await Servers.start(run, new Ledger(PREFIX), PREFIX, NODES + 1)
    const world = new World(run, random, servers)
    run.teardown(() => world.#stop())
    await Promise.all([
      ...world.nodes.map((_, index) => world.startNode(index)),
      ...world.#neighbours.map((neighbour) => neighbour.start(CHANNELS))
    ])
    world.#timer = setInterval(() => world.#tick(), PERIOD_MS)
    return world
  }

  async startNode(index: number): Promise<void> {
    const library = LIBRARIES[index % LIBRARIES.length] ?? 'ioredis'
    const channels = Object.fromEntries(
      CHANNELS.map((name) => [
        name,
        name === 'short' ? { ...UNLIMITED, maxMessages: SHORT_MESSAGES } : UNLIMITED
      ])
    )
    const url = this.servers.lines[index]?.url ?? ''
    const node = await Node.start(this.#run, { library, url, prefix: PREFIX, channels })
    this.nodes[index] = node
    void node.exited.then(() => {
      if (this.nodes[index] !== node) return
      this.nodes[index] = undefined
      this.crashes.push(node.output.slice(-MAX_OUTPUT))
    })
  }

  /** @returns it, which is no longer there for others. */
  takeNode(index: number): Node | undefined {
    const node = this.nodes[index]
    this.nodes[index] = undefined
    return node
  }

  client(pick: Pick, channels: readonly string[]): void {
    this.clients.push(new Client(`client ${this.clients.length}`, channels, pick))
  }

  /** A pick of one node after another. */
  rotation(first = 0): Pick {
    let next = first
    return () => {
      const nodes = this.nodes.filter((node) => node !== undefined)
      return nodes[next++ % nodes.length]?.port
    }
  }

  /** Many messages in one turn. */
  burst(name: string, count: number): void {
    for (let i = 0; i < count; i++) this.#publishSome([name])
  }

  /**
   * Ends a run, when all faults are over: everybody gets what there is.
   *
   * @param patience when what it gives resolves, no more is waited for: what has not come is missing.
   */
  async settle(patience: () => Promise<unknown>): Promise<RunLog> {
    clearInterval(this.#timer)
    this.#isStopped = true
    await Promise.all(this.#unsettled)
    for (let round = 0; round < 2; round++) {
      const last = new Map<string, string>()
      for (const name of CHANNELS) last.set(name, await this.#publishLast(name))
      // In the first, a client may begin again after what is last.
      const everybody = this.clients.map((client) =>
        client.gets(new Set(client.channels.map((name) => last.get(name) ?? '')))
      )
      await Promise.race([patience(), Promise.all(everybody)])
    }
    for (const client of this.clients) client.hasCaughtUp = true
    const log = this.#runLog()
    for (const client of this.clients) client.leave()
    for (const neighbour of this.#neighbours) await neighbour.stop()
    const idle = this.nodes.map((node) => node && isIdle(node))
    await Promise.race([patience(), Promise.all(idle)])
    const strange = this.#neighbours.reduce((sum, neighbour) => sum + neighbour.strange, 0)
    return {
      ...log,
      leftovers: { 'nodes that crashed': this.crashes.length, 'strange to neighbours': strange }
    }
  }

  get neighbourly(): number {
    return this.#neighbours.reduce((sum, { heard }) => sum + heard, 0)
  }

  #tick(): void {
    for (let i = this.#random.next(); i < (PER_SECOND * PERIOD_MS) / 1_000; i++) {
      const name = this.#random.pick('news', ...CHANNELS.filter((one) => one !== 'quiet'))
      if (this.#random.happens(0.01)) this.#publishSome(['quiet'])
      else
        this.#publishSome(
          this.#random.happens(0.2) ? [...new Set([name, this.#random.pick(...CHANNELS)])] : [name]
        )
    }
  }

  #publishSome(names: readonly string[]): void {
    if (this.#unsettled.size >= MAX_UNSETTLED) return
    const publication = this.#publication(names, this.#random.happens(0.5))
    const settled = this.#send(publication, publication.idempotencyKey === undefined ? 1 : MAX_TRIES)
    this.#unsettled.add(settled)
    void settled.finally(() => this.#unsettled.delete(settled))
  }

  /** Tries until it is taken. */
  async #publishLast(name: string): Promise<string> {
    const publication = this.#publication([name], true)
    while (publication.acknowledgedAt === undefined) await this.#send(publication, 1)
    return publication.data
  }

  #publication(names: readonly string[], isRepeatable: boolean): Publication {
    const number = this.#publications.size
    const data = payloadOf(names.join('+'), number, this.#random.magnitude(20, 1_000))
    const idempotencyKey = isRepeatable ? `key ${number}` : undefined
    const publication = { names, data, idempotencyKey, sentAt: now(), acknowledgedAt: undefined, id: '' }
    this.#publications.set(data, publication)
    return publication
  }

  async #send(publication: Publication, tries: number): Promise<void> {
    const { names, data, idempotencyKey } = publication
    for (let left = tries; left > 0 && publication.acknowledgedAt === undefined; left--) {
      const there = this.nodes.filter((node) => node !== undefined)
      const [first, ...others] = there
      const node = first && this.#random.pick(first, ...others)
      const answer = await node?.publish({ names, data, idempotencyKey }).catch(() => undefined)
      if (answer !== undefined && 'id' in answer) {
        publication.acknowledgedAt = now()
        publication.id = answer.id
      } else await new Promise((resolve) => setTimeout(resolve, PERIOD_MS))
      if (this.#isStopped && tries > 1) return
    }
  }

  #runLog(): RunLog {
    const { ledger, deletions } = this.servers
    for (const { id, names, data, sentAt, acknowledgedAt = 0 } of this.#publications.values())
      ledger.note(id, names, data, sentAt, acknowledgedAt)
    this.#noteDelivered()
    const places = groupBy(ledger.sightings, ({ data }) => data)
    const messages = ledger.sightings.flatMap((sighting) => this.#publishedOf(sighting))
    return {
      channels: CHANNELS.map((name) => ({ name, slow: 'gap', afterGap: 'oldest', forgottenAt: [] })),
      messages,
      clients: this.clients.map(({ logs }) =>
        logs.map((log) => ({ ...log, received: log.received.map((block) => explained(block, log, places)) }))
      ),
      retention: new TrimRetention(messages, deletions),
      isExact: false,
      isShared: true,
      forks: ledger.losses,
      samples: [],
      leftovers: {}
    }
  }

  /** What neither a witness nor its publisher was told, because Redis was killed, and that it had on its disk. */
  #noteDelivered(): void {
    const { ledger } = this.servers
    const sighted = new Set(ledger.sightings.map(({ data }) => data))
    for (const { id, data, at } of this.clients.flatMap(({ logs }) =>
      logs.flatMap(({ received }) => received)
    )) {
      const publication = this.#publications.get(data)
      if (publication === undefined || sighted.has(data) || id.includes('&')) continue
      sighted.add(data)
      ledger.note(id, publication.names, data, publication.sentAt, at)
    }
  }

  readonly #sent = new Set<string>()

  #publishedOf(sighting: Sighting): Published[] {
    const { channels, data, place, at } = sighting
    const publication = this.#publications.get(data)
    if (publication === undefined) return []
    const loss = this.servers.ledger.lossOf(sighting)
    const isAgain = this.#sent.has(data)
    this.#sent.add(data)
    const isAcknowledged = this.servers.ledger.parse(publication.id)?.place === place
    return [
      {
        channels,
        id: idOf(sighting),
        event: 'message',
        data,
        key: '',
        byteLength: 0,
        sentAt: isAgain ? at : publication.sentAt,
        acknowledgedAt: isAcknowledged ? publication.acknowledgedAt : undefined,
        ...(loss && { lostAt: loss.lostAt, mayBeLostAt: loss.since })
      }
    ]
  }

  async #stop(): Promise<void> {
    this.#isStopped = true
    clearInterval(this.#timer)
    for (const client of this.clients) client.leave()
    for (const neighbour of this.#neighbours) await neighbour.stop()
    for (const index of this.nodes.keys()) await this.takeNode(index)?.kill()
  }
}

/** In the ids is which channels have not caught up, and so which of several messages with this data it is. */
function explained(
  block: Received,
  { subscriptions }: ConnectionLog,
  sightings: ReadonlyMap<string, readonly Sighting[]>
): Received {
  const [cursor = '', ...parts] = block.id.split('&')
  const known = sightings.get(block.data) ?? []
  const places = new Map(parts.map((part) => part.split('=') as [string, string]))
  const isOf = (digits: string | undefined, { place }: Sighting): boolean =>
    digits !== undefined && place === Number.parseInt(digits, 36)
  const [one, ...others] = known.filter((sighting) =>
    [cursor.split('-')[0], ...places.values()].some((digits) => isOf(digits, sighting))
  )
  const published = one && others.length === 0 ? idOf(one) : undefined
  if (parts.length === 0) return { ...block, published }
  const behind = subscriptions.flatMap(({ channel }) => {
    const digits = places.get(hashOf(channel))
    return digits === undefined ? [] : [[channel, !known.some((one) => isOf(digits, one))] as const]
  })
  return { ...block, published, behind: new Map(behind) }
}

function idOf({ epoch, place, reign }: Sighting): string {
  return `${epoch} ${place} ${reign}`
}

/** Resolves when the node keeps nothing any more. */
async function isIdle(node: Node): Promise<void> {
  for (;;) {
    const { connections, subscriptions, channels } = await node.stats()
    if (connections + subscriptions + channels === 0) return
    await new Promise((resolve) => setTimeout(resolve, PERIOD_MS))
  }
}

/** One channel keeps so many messages; of the others only what was deleted is gone. */
class TrimRetention implements Retention {
  readonly keepsUnoffered = false
  readonly #short: readonly Published[]
  readonly #deletions: Servers['deletions']

  constructor(messages: readonly Published[], deletions: Servers['deletions']) {
    this.#short = messages.filter(({ channels }) => channels.includes('short'))
    this.#deletions = deletions
  }

  mayHaveDropped(channel: string, message: Published, by: Moment): boolean {
    if (this.#deletions.some((one) => one.channel === channel && message.sentAt <= one.at && one.at <= by))
      return true
    if (channel !== 'short') return false
    const since = this.#short.slice(this.#short.indexOf(message)).filter(({ sentAt }) => sentAt <= by)
    return since.length >= SHORT_MESSAGES
  }
}
