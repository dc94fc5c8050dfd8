import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../checker/sockets/clock.ts'
import type { Random } from '../checker/sockets/random.ts'
import type { FaultProxy } from '../helpers/fault-proxy.ts'
import type { Client, Pick } from './client.ts'
import { CHANNELS, type World } from './world.ts'

interface Fault {
  readonly name: string
  /** How often it is chosen, in comparison with others. */
  readonly weight: number
  /** Resolves when it is over. */
  run(): Promise<unknown>
}

const CLIENTS = 12

/** Faults of all kinds, chosen at random: at any time one of Redis, one of a node, and one of each line. */
export class Faults {
  readonly counts: Record<string, number> = {}
  readonly #world: World
  readonly #random: Random
  readonly #journal: { readonly at: number; readonly text: string }[] = []
  readonly #end = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(world: World, random: Random) {
    setMaxListeners(0, this.#end.signal)
    this.#world = world
    this.#random = random
  }

  start(): void {
    for (let i = 0; i < CLIENTS; i++) this.#addClient()
    this.#running = Promise.all([
      this.#repeat(this.#ofRedis(), 300, 4_000),
      this.#repeat(this.#ofNodes(), 500, 6_000),
      ...this.#world.servers.lines.map((line, i) => this.#repeat(this.#ofLine(line, i), 300, 5_000)),
      this.#repeat(this.#ofClients(), 20, 300)
    ])
    this.#running.catch(() => {})
  }

  /** Resolves when all is as it should be again. Rejects with what went wrong with the faults themselves. */
  async stop(): Promise<void> {
    this.#end.abort()
    await this.#running
    for (const line of this.#world.servers.lines) heal(line)
    for (const [i, client] of this.#world.clients.entries()) {
      client.resume()
      client.move(this.#world.rotation(i))
    }
  }

  /** What was done in some time before a moment. */
  before(moment: number, ms: number): string[] {
    const recent = this.#journal.filter(({ at }) => at <= moment && at > moment - ms)
    return recent.map(({ at, text }) => `${Math.round(at - moment)} ms: ${text}`)
  }

  #ofRedis(): Fault[] {
    const { servers } = this.#world
    const random = this.#random
    const command = (...args: string[]) => servers.primary.command(...args)
    const channel = (): string => random.pick(...CHANNELS)
    const standStill = async (): Promise<void> => {
      servers.primary.pause()
      await this.#rest(200, random.happens(0.2) ? 9_000 : 3_000)
      servers.primary.resume()
    }
    const fillUp = async (): Promise<void> => {
      await command('CONFIG', 'SET', 'maxmemory', '1')
      await this.#rest(200, 2_000)
      await command('CONFIG', 'SET', 'maxmemory', '0')
    }
    const split = async (longMs: number): Promise<void> => {
      const staying = servers.lines.filter((_, i) => i === 0)
      await servers.split(staying, () => this.#rest(0, longMs))
    }
    return [
      {
        name: 'restart with the disk',
        weight: 2,
        run: () => servers.restart(true, () => this.#rest(0, 3_000))
      },
      { name: 'restart without', weight: 1, run: () => servers.restart(false, () => this.#rest(0, 3_000)) },
      { name: 'failover', weight: 3, run: () => servers.failOver(() => this.#rest(20, 800)) },
      { name: 'a primary becomes a replica', weight: 2, run: () => split(50) },
      { name: 'two primaries', weight: 3, run: () => split(4_000) },
      { name: 'redis stands still', weight: 2, run: standStill },
      { name: 'redis has no memory', weight: 1, run: fillUp },
      { name: 'the clock steps', weight: 2, run: () => servers.stepClock() },
      { name: 'DEL of a channel', weight: 2, run: () => servers.deleteLog(channel()) },
      { name: 'DEL of ids', weight: 1, run: () => servers.deleteIds() },
      { name: 'FLUSHALL', weight: 1, run: () => servers.flushAll() },
      { name: 'notices are cut', weight: 3, run: () => servers.cut('pubsub') },
      { name: 'commands are cut', weight: 2, run: () => servers.cut('normal') },
      { name: 'SCRIPT FLUSH', weight: 1, run: () => command('SCRIPT', 'FLUSH') },
      { name: 'a burst', weight: 3, run: async () => this.#world.burst(channel(), random.magnitude(50, 300)) }
    ]
  }

  #ofNodes(): Fault[] {
    const fault = (name: string, weight: number, run: (index: number) => Promise<unknown>): Fault => ({
      name: `a node ${name}`,
      weight,
      run: () => run(this.#random.integer(0, this.#world.nodes.length - 1))
    })
    return [
      fault('is killed', 2, async (index) => {
        await this.#world.takeNode(index)?.kill()
        await this.#rest(0, 2_000)
        await this.#world.startNode(index)
      }),
      fault('is replaced', 1, async (index) => {
        await this.#world.takeNode(index)?.stop()
        await this.#world.startNode(index)
      }),
      fault('stands still', 2, async (index) => {
        const node = this.#world.nodes[index]
        node?.pause()
        await this.#rest(100, 2_500)
        node?.resume()
      })
    ]
  }

  /** What happens between one node and Redis. */
  #ofLine(line: FaultProxy, index: number): Fault[] {
    const fault = (name: string, weight: number, begin: () => void, minMs = 300, maxMs = 4_000): Fault => ({
      name: `line ${index} ${name}`,
      weight,
      run: async () => {
        begin()
        await this.#rest(minMs, maxMs)
        heal(line)
      }
    })
    const refuse = (): void => {
      line.refuse(true)
      line.cutAll()
    }
    const someBytes = (): number => this.#random.magnitude(1, 20_000)
    return [
      fault('is slow', 2, () => line.delay(this.#random.magnitude(5, 300))),
      fault('is thin', 2, () => line.throttle(this.#random.magnitude(5_000, 200_000))),
      fault('swallows everything', 2, () => line.blackhole(true), 200, 8_000),
      fault('refuses', 2, refuse),
      fault('is cut', 3, () => line.cutAll(), 0, 10),
      fault('is cut in an answer', 3, () => line.cutAfter(someBytes(), 'toClient')),
      fault('is cut in a command', 3, () => line.cutAfter(someBytes(), 'toServer'))
    ]
  }

  /** What clients do. Others go on meanwhile. */
  #ofClients(): Fault[] {
    const fault = (
      name: string,
      weight: number,
      begin: (client: Client) => void,
      end: (client: Client) => void = () => {}
    ): Fault => ({
      name: `a client ${name}`,
      weight,
      run: async () => {
        const [first, ...others] = this.#world.clients
        if (first === undefined) return
        const client = this.#random.pick(first, ...others)
        begin(client)
        void this.#rest(100, 4_000).then(() => end(client))
      }
    })
    const move = (client: Client): void => client.move(this.#somePick())
    return [
      fault('moves', 6, move),
      fault('wants other channels', 3, (client) => client.move(this.#somePick(), this.#someChannels())),
      fault('is away', 3, (client) => client.move(() => undefined), move),
      fault(
        'reads nothing',
        3,
        (client) => client.pause(),
        (client) => client.resume()
      ),
      { name: 'a client comes', weight: 0.1, run: async () => this.#addClient() }
    ]
  }

  #addClient(): void {
    this.#world.client(this.#somePick(), this.#someChannels())
  }

  #someChannels(): readonly string[] {
    const wanted = CHANNELS.filter(() => this.#random.happens(0.5))
    return wanted.length === 0 ? [this.#random.pick(...CHANNELS)] : wanted
  }

  /** One node for ever, or any. */
  #somePick(): Pick {
    const index = this.#random.integer(0, this.#world.nodes.length - 1)
    return this.#random.happens(0.5) ? () => this.#world.nodes[index]?.port : this.#world.rotation(index)
  }

  readonly #rest = async (minMs: number, maxMs: number): Promise<void> => {
    const { signal } = this.#end
    await sleep(this.#random.integer(minMs, maxMs), undefined, { signal }).catch(() => {})
  }

  async #repeat(faults: readonly Fault[], minMs: number, maxMs: number): Promise<void> {
    for (;;) {
      await this.#rest(minMs, maxMs)
      if (this.#end.signal.aborted) return
      await this.#run(this.#choose(faults))
    }
  }

  #choose(faults: readonly Fault[]): Fault {
    let left = this.#random.next() * faults.reduce((sum, { weight }) => sum + weight, 0)
    const chosen = faults.find(({ weight }) => {
      left -= weight
      return left < 0
    })
    return (chosen ?? faults[0]) as Fault
  }

  async #run({ name, run }: Fault): Promise<void> {
    const note = (text: string): void => {
      if (!name.startsWith('a client')) this.#journal.push({ at: now(), text })
    }
    this.counts[name] = (this.counts[name] ?? 0) + 1
    note(name)
    await run()
    note(`${name}: over`)
  }
}

/** Ends all faults of a line. */
function heal(line: FaultProxy): void {
  line.delay(0)
  line.throttle(Infinity)
  line.blackhole(false)
  line.refuse(false)
  line.cutAfter(Infinity, 'toClient')
  line.cutAfter(Infinity, 'toServer')
}
