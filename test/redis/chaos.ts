import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../checker/sockets/random.ts'
import type { FaultProxy } from '../helpers/fault-proxy.ts'
import type { Client } from './client.ts'
import type { Load } from './load.ts'
import type { World } from './world.ts'

interface Fault {
  readonly name: string
  /** How often it is chosen, in comparison with others. */
  readonly weight: number
  /** Resolves when it is over. */
  run(): Promise<unknown>
}

type Range = readonly [min: number, max: number]

interface Journal {
  readonly at: number
  readonly text: string
}

const LONG_CUTS_MS = [30_000, 120_000]
const CLIENTS = 12
const NOWHERE = (): undefined => undefined

/** Faults of all kinds, chosen at random: some of Redis, of the nodes, of each node's line, and of clients, at a time. */
export class Chaos {
  /** What was done, with the moments of its beginnings and ends. */
  readonly journal: Journal[] = []
  readonly counts = new Map<string, number>()
  readonly #world: World
  readonly #random: Random
  readonly #load: Load
  readonly #end = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(world: World, random: Random, load: Load) {
    setMaxListeners(0, this.#end.signal)
    this.#world = world
    this.#random = random
    this.#load = load
  }

  start(seconds: number): void {
    const { lines } = this.#world.store
    for (let i = 0; i < CLIENTS; i++) this.#addClient()
    const longCuts = LONG_CUTS_MS.filter((ms) => ms < seconds * 250)
    this.#running = Promise.all([
      this.#repeat(this.#redisFaults(), [300, 4_000]),
      this.#repeat(this.#nodeFaults(), [500, 6_000]),
      ...lines.map((line, i) => this.#repeat(this.#lineFaults(line, i), [300, 5_000])),
      this.#repeat(this.#clientFaults(), [20, 300]),
      ...longCuts.map((ms, i) => this.#cutFor(i, ms))
    ])
  }

  /** Resolves when all is as it should be again. */
  async stop(): Promise<void> {
    this.#end.abort()
    await this.#running
    for (const line of this.#world.store.lines) heal(line)
    for (const client of this.#world.clients) {
      client.isHopping = false
      client.resume()
      client.move(this.#world.rotation(this.#random.integer(0, 2)))
    }
  }

  get #isOver(): boolean {
    return this.#end.signal.aborted
  }

  async #repeat(faults: readonly Fault[], [min, max]: Range): Promise<void> {
    for (;;) {
      await this.#rest(min, max)
      if (this.#isOver) return
      await this.#run(this.#choose(faults))
    }
  }

  #choose(faults: readonly Fault[]): Fault {
    const total = faults.reduce((sum, { weight }) => sum + weight, 0)
    let left = this.#random.next() * total
    for (const fault of faults) {
      left -= fault.weight
      if (left < 0) return fault
    }
    throw new Error('no faults')
  }

  async #run({ name, run }: Fault): Promise<void> {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1)
    const isNoted = !name.startsWith('client')
    if (isNoted) this.journal.push({ at: Date.now(), text: name })
    await run()
    if (isNoted) this.journal.push({ at: Date.now(), text: `${name}: over` })
  }

  /** A fault that may be over sooner, when all are. */
  async #rest(minMs: number, maxMs: number): Promise<void> {
    await sleep(this.#random.integer(minMs, maxMs), undefined, { signal: this.#end.signal }).catch(() => {})
  }

  #redisFaults(): Fault[] {
    const world = this.#world
    const random = this.#random
    const command = (...args: string[]) => world.store.redis.command(...args)
    const someChannel = (): string => this.#pickOf(world.channels)
    const inStep = async (): Promise<void> => world.store.replica?.catchUp()
    return [
      {
        name: 'redis restarts with its disk',
        weight: 2,
        run: () => world.store.restart({ meanwhile: () => this.#rest(0, 3_000) })
      },
      {
        name: 'redis restarts without its disk',
        weight: 1,
        run: () => world.store.restart({ losesDisk: true, meanwhile: () => this.#rest(0, 2_000) })
      },
      {
        name: 'failover',
        weight: 3,
        run: async () => {
          await inStep()
          world.store.replica?.stall()
          await this.#rest(20, 800)
          await world.store.failOver()
          await world.store.startReplica()
        }
      },
      {
        name: 'redis stands still',
        weight: 2,
        run: async () => {
          world.store.redis.pause()
          await this.#rest(200, random.happens(0.2) ? 9_000 : 3_000)
          world.store.redis.resume()
        }
      },
      {
        name: 'DEL',
        weight: 2,
        run: async () => {
          await inStep()
          await world.store.deleteStream(someChannel())
          await inStep()
        }
      },
      {
        name: 'FLUSHALL',
        weight: 1,
        run: async () => {
          await inStep()
          await world.store.flushAll()
          await inStep()
        }
      },
      { name: 'notices are cut', weight: 3, run: () => command('CLIENT', 'KILL', 'TYPE', 'pubsub') },
      { name: 'commands are cut', weight: 2, run: () => command('CLIENT', 'KILL', 'TYPE', 'normal') },
      { name: 'SCRIPT FLUSH', weight: 1, run: () => command('SCRIPT', 'FLUSH') },
      {
        name: 'redis has no memory',
        weight: 1,
        run: async () => {
          await command('CONFIG', 'SET', 'maxmemory', '1')
          await this.#rest(200, 2_000)
          await command('CONFIG', 'SET', 'maxmemory', '0')
        }
      },
      { name: 'XADD', weight: 3, run: () => world.append(someChannel()) },
      {
        name: 'a burst',
        weight: 3,
        run: async () => this.#load.burst(someChannel(), random.magnitude(50, 400))
      }
    ]
  }

  #nodeFaults(): Fault[] {
    const world = this.#world
    const fault = (name: string, weight: number, run: (index: number) => Promise<unknown>): Fault => ({
      name,
      weight,
      run: async () => {
        const index = this.#pickOf([...world.nodes.keys()])
        if (world.nodes[index] !== undefined) await run(index)
      }
    })
    return [
      fault('a node is killed', 2, async (index) => {
        await world.killNode(index)
        await this.#rest(0, 2_000)
        await world.startNode(index)
      }),
      fault('a node is replaced', 1, async (index) => {
        await world.stopNode(index)
        await world.startNode(index)
      }),
      fault('a node stands still', 2, async (index) => {
        await world.pauseNode(index, () => this.#rest(100, 2_500))
      })
    ]
  }

  #lineFaults(line: FaultProxy, index: number): Fault[] {
    const random = this.#random
    const fault = (name: string, weight: number, begin: () => void, range: Range = [300, 4_000]): Fault => ({
      name: `line ${index} ${name}`,
      weight,
      run: async () => {
        begin()
        await this.#rest(...range)
        heal(line)
      }
    })
    return [
      fault('is slow', 2, () => line.delay(random.magnitude(5, 300))),
      fault('is thin', 2, () => line.throttle(random.magnitude(5_000, 200_000))),
      fault('swallows everything', 2, () => line.blackhole(true), [200, 8_000]),
      fault('refuses', 2, () => {
        line.refuse(true)
        line.cutAll()
      }),
      fault('is cut', 3, () => line.cutAll(), [0, 10]),
      fault('is cut in an answer', 3, () => line.cutAfter(random.magnitude(1, 20_000), 'toClient')),
      fault('is cut in a command', 3, () => line.cutAfter(random.magnitude(1, 20_000), 'toServer'))
    ]
  }

  #clientFaults(): Fault[] {
    const { clients } = this.#world
    const some = (): Client => this.#pickOf(clients)
    return [
      { name: 'client moves', weight: 6, run: async () => some().move(this.#somePick()) },
      {
        name: 'client is away',
        weight: 3,
        run: () =>
          this.#later(
            some(),
            (client) => client.move(NOWHERE),
            (client) => client.move(this.#somePick())
          )
      },
      {
        name: 'client reads nothing',
        weight: 3,
        run: () =>
          this.#later(
            some(),
            (client) => client.pause(),
            (client) => client.resume()
          )
      },
      {
        name: 'client hops',
        weight: 2,
        run: () =>
          this.#later(
            some(),
            (client) => hop(client, true),
            (client) => hop(client, false)
          )
      },
      {
        name: 'client comes',
        weight: clients.length > 3 * CLIENTS ? 0 : 0.1,
        run: async () => this.#addClient()
      }
    ]
  }

  /** Others go on meanwhile. */
  async #later(
    client: Client,
    begin: (client: Client) => void,
    end: (client: Client) => void
  ): Promise<void> {
    begin(client)
    void this.#rest(100, 4_000).then(() => {
      if (!this.#isOver) end(client)
    })
  }

  #addClient(): void {
    const { channels } = this.#world
    const wanted = channels.filter(() => this.#random.happens(0.5))
    this.#world.client(this.#somePick(), wanted.length === 0 ? [this.#pickOf(channels)] : wanted)
  }

  /** One node for ever, or any. */
  #somePick(): () => number | undefined {
    const { nodes } = this.#world
    const first = this.#random.integer(0, nodes.length - 1)
    return this.#random.happens(0.5) ? () => nodes[first]?.port : this.#world.rotation(first)
  }

  async #cutFor(index: number, ms: number): Promise<void> {
    const world = this.#world
    await this.#rest(5_000, 20_000)
    await this.#run({
      name: `line ${index} is cut for ${ms} ms`,
      weight: 0,
      run: async () => {
        const end = Date.now() + ms
        while (Date.now() < end && !this.#isOver) {
          world.store.line(index).blackhole(true)
          await this.#rest(10, 10)
        }
      }
    })
    heal(world.store.line(index))
  }

  #pickOf<T>(values: readonly T[]): T {
    const [first, ...others] = values
    if (first === undefined) throw new Error('nothing to choose from')
    return this.#random.pick(first, ...others)
  }
}

function hop(client: Client, isHopping: boolean): void {
  client.isHopping = isHopping
}

function heal(line: FaultProxy): void {
  line.delay(0)
  line.throttle(Infinity)
  line.blackhole(false)
  line.refuse(false)
  line.cutAfter(Infinity, 'toClient')
  line.cutAfter(Infinity, 'toServer')
}
