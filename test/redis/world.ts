import { setTimeout as sleep } from 'node:timers/promises'
import { payloadOf } from '../checker/payload.ts'
import { Client, type Pick } from './client.ts'
import { type HistorySettings, LIBRARIES, Node } from './node.ts'
import { Publication } from './publication.ts'
import { Store } from './store.ts'
import type { StreamLog } from './stream-log.ts'

export interface WorldSettings {
  readonly nodes?: number
  readonly channels?: readonly string[]
  /** Of all nodes' histories. */
  readonly history?: HistorySettings
  /** Of channels that have a history of their own, what is different there. */
  readonly ownHistories?: Readonly<Record<string, HistorySettings>>
  /** Whether Redis keeps everything on disk. */
  readonly isPersistent?: boolean
  readonly hasReplica?: boolean
  /** Which library the first node uses; the others use the next ones. */
  readonly library?: number
}

export interface PublishSettings {
  readonly node?: number
  readonly idempotencyKey?: string
  readonly bytes?: number
}

interface Run {
  teardown(fn: () => unknown): void
}

const DEFAULTS = { prefix: 'world:', maxLength: 100_000, publishTimeoutMs: 5_000 }
const POLL_MS = 10
/** What is kept of the output of a node that crashed. */
const MAX_OUTPUT = 2_000

/** Nodes that are connected to one Redis by a line each, publishers, clients, and all that is known of them. */
export class World {
  readonly channels: readonly string[]
  readonly clients: Client[] = []
  readonly publications: Publication[] = []
  readonly store: Store
  /** `undefined` while there is none in its place. */
  readonly nodes: (Node | undefined)[]
  /** What nodes printed that ended by themselves. */
  readonly crashes: string[] = []
  /** For how long a node stood still. */
  longestPauseMs = 0
  readonly #run: Run
  readonly #settings: WorldSettings
  readonly #history: HistorySettings & typeof DEFAULTS
  /** Each message's data, as the publisher has it. */
  readonly #data = new Map<string, string>()

  private constructor(run: Run, settings: WorldSettings, store: Store) {
    this.#run = run
    this.#settings = settings
    this.#history = { ...DEFAULTS, ...settings.history }
    this.channels = channelsOf(settings)
    this.store = store
    this.nodes = store.lines.map(() => undefined)
  }

  static async start(run: Run, settings: WorldSettings = {}): Promise<World> {
    const { nodes = 2, isPersistent = false, hasReplica = false } = settings
    const { prefix } = { ...DEFAULTS, ...settings.history }
    const channels = channelsOf(settings)
    const store = await Store.start(run, { channels, lines: nodes, prefix, isPersistent, hasReplica })
    const world = new World(run, settings, store)
    run.teardown(() => world.#stop())
    await Promise.all(world.nodes.map((_, index) => world.startNode(index)))
    return world
  }

  get publishTimeoutMs(): number {
    return this.#history.publishTimeoutMs
  }

  /** @throws if there is none in this place. */
  node(index: number): Node {
    const node = this.nodes[index]
    if (node === undefined) throw new Error(`node ${index} is not there`)
    return node
  }

  async startNode(index: number): Promise<void> {
    const { ownHistories = {}, library = 0 } = this.#settings
    const node = await Node.start(this.#run, {
      library: LIBRARIES[(library + index) % LIBRARIES.length] ?? 'ioredis',
      url: this.store.line(index).url,
      history: this.#history,
      ownHistories
    })
    this.nodes[index] = node
    void node.exited.then(() => {
      if (this.nodes[index] !== node) return
      this.nodes[index] = undefined
      this.crashes.push(node.output.slice(-MAX_OUTPUT))
    })
  }

  async killNode(index: number): Promise<void> {
    await this.#take(index).kill()
  }

  /** It is told to end, and has the time for it. */
  async stopNode(index: number): Promise<void> {
    await this.#take(index).stop()
  }

  /** It stands still for as long as something takes. */
  async pauseNode(index: number, meanwhile: () => Promise<unknown>): Promise<void> {
    const node = this.node(index)
    const since = performance.now()
    node.pause()
    await meanwhile()
    node.resume()
    this.longestPauseMs = Math.max(this.longestPauseMs, performance.now() - since)
  }

  /** Resolves when the node says so. */
  async isDegraded(index: number, isDegraded: boolean): Promise<void> {
    while ((await this.node(index).stats()).degraded !== isDegraded) await sleep(POLL_MS)
  }

  /** A client that reads on one node, and comes back to it. */
  clientOf(index: number, channels: readonly string[] = this.channels): Client {
    return this.client(() => this.nodes[index]?.port, channels)
  }

  client(pick: Pick, channels: readonly string[] = this.channels): Client {
    const intern = (data: string): string => this.#data.get(data) ?? data
    const client = new Client(`client ${this.clients.length}`, channels, pick, intern)
    this.clients.push(client)
    return client
  }

  /** A pick of one node after another. */
  rotation(first = 0): Pick {
    let next = first
    return () => {
      const nodes = this.nodes.filter((node) => node !== undefined)
      return nodes[next++ % nodes.length]?.port
    }
  }

  /** Publishes a message that no other is like, and resolves when its publisher knows what became of it. */
  async publish(channel = this.channels[0] ?? '', settings: PublishSettings = {}): Promise<Publication> {
    const { node = 0, idempotencyKey, bytes = 20 } = settings
    const publication = this.#publication(channel, bytes, idempotencyKey)
    await publication.sendTo(this.node(node))
    return publication
  }

  async publishMany(count: number, channel?: string, settings?: PublishSettings): Promise<Publication[]> {
    const all: Publication[] = []
    for (let i = 0; i < count; i++) all.push(await this.publish(channel, settings))
    return all
  }

  /** Appends a message as a stranger does, who tells nobody. */
  async append(channel: string): Promise<Publication> {
    const publication = this.#publication(channel, 20)
    publication.settle(await this.store.append(channel, publication.data))
    return publication
  }

  async logOf(channel: string): Promise<StreamLog> {
    const { maxLength } = { ...this.#history, ...this.#settings.ownHistories?.[channel] }
    return { ...(await this.store.logOf(channel)), maxLength }
  }

  #publication(channel: string, bytes: number, idempotencyKey?: string): Publication {
    const data = payloadOf(channel, this.publications.length, bytes)
    this.#data.set(data, data)
    const publication = new Publication(channel, data, idempotencyKey)
    this.publications.push(publication)
    return publication
  }

  #take(index: number): Node {
    const node = this.node(index)
    this.nodes[index] = undefined
    return node
  }

  async #stop(): Promise<void> {
    for (const client of this.clients) client.leave()
    for (const index of this.nodes.keys()) if (this.nodes[index] !== undefined) await this.killNode(index)
  }
}

function channelsOf({ channels = ['news'] }: WorldSettings): readonly string[] {
  return channels
}
