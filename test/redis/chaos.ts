import { setMaxListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Random } from '../checker/sockets/random.ts'
import {
  addClient,
  clientFaults,
  type Fault,
  type FaultHost,
  heal,
  lineFaults,
  nodeFaults,
  redisFaults
} from './faults.ts'
import type { Load } from './load.ts'
import type { World } from './world.ts'

interface Journal {
  readonly at: number
  readonly text: string
}

const CLIENTS = 12
/** Cuts of lines that last for longer than anything waits. Not in runs that are too short for them. */
const LONG_CUTS_MS = [30_000, 120_000]
const LONG_CUT_SHARE = 0.25

/** Faults of all kinds, chosen at random: at any time one of Redis, one of a node, and one of each line. */
export class Chaos implements FaultHost {
  readonly world: World
  readonly random: Random
  readonly load: Load
  readonly counts: Record<string, number> = {}
  /** What was done, but for what clients did. */
  readonly #journal: Journal[] = []
  readonly #end = new AbortController()
  #running: Promise<unknown> = Promise.resolve()

  constructor(world: World, random: Random, load: Load) {
    setMaxListeners(0, this.#end.signal)
    this.world = world
    this.random = random
    this.load = load
  }

  start(seconds: number): void {
    for (let i = 0; i < CLIENTS; i++) addClient(this)
    const longCuts = LONG_CUTS_MS.filter((ms) => ms < seconds * 1_000 * LONG_CUT_SHARE)
    this.#running = Promise.all([
      this.#repeat(redisFaults(this), 300, 4_000),
      this.#repeat(nodeFaults(this), 500, 6_000),
      ...this.world.store.lines.map((line, i) => this.#repeat(lineFaults(this, line, i), 300, 5_000)),
      this.#repeat(clientFaults(this), 20, 300),
      ...longCuts.map((ms, i) => this.#cutFor(i, ms))
    ])
    this.#running.catch(() => {})
  }

  /** Resolves when all is as it should be again. Rejects with what went wrong with the faults themselves. */
  async stop(): Promise<void> {
    this.#end.abort()
    await this.#running
    for (const line of this.world.store.lines) heal(line)
    for (const [i, client] of this.world.clients.entries()) {
      client.isHopping = false
      client.resume()
      client.move(this.world.rotation(i))
    }
  }

  /** What was done in some time before a moment. */
  before(moment: number, ms: number): string[] {
    const recent = this.#journal.filter(({ at }) => at <= moment && at > moment - ms)
    return recent.map(({ at, text }) => `${Math.round(at - moment)} ms: ${text}`)
  }

  readonly rest = async (minMs: number, maxMs: number): Promise<void> => {
    const { signal } = this.#end
    await sleep(this.random.integer(minMs, maxMs), undefined, { signal }).catch(() => {})
  }

  readonly pickOf = <T>(values: readonly T[]): T => {
    const [first, ...others] = values
    if (first === undefined) throw new Error('nothing to choose from')
    return this.random.pick(first, ...others)
  }

  async #repeat(faults: readonly Fault[], minMs: number, maxMs: number): Promise<void> {
    for (;;) {
      await this.rest(minMs, maxMs)
      if (this.#end.signal.aborted) return
      await this.#run(this.#choose(faults))
    }
  }

  #choose(faults: readonly Fault[]): Fault {
    const total = faults.reduce((sum, { weight }) => sum + weight, 0)
    let left = this.random.next() * total
    const chosen = faults.find(({ weight }) => {
      left -= weight
      return left < 0
    })
    return chosen ?? this.pickOf(faults)
  }

  async #run({ name, run }: Fault): Promise<void> {
    const note = (text: string): void => {
      if (!name.startsWith('a client')) this.#journal.push({ at: Date.now(), text })
    }
    this.counts[name] = (this.counts[name] ?? 0) + 1
    note(name)
    await run()
    note(`${name}: over`)
  }

  /** Whatever else heals the line meanwhile. */
  async #cutFor(index: number, ms: number): Promise<void> {
    const line = this.world.store.line(index)
    const run = async (): Promise<void> => {
      const end = Date.now() + ms
      while (Date.now() < end && !this.#end.signal.aborted) {
        line.blackhole(true)
        await this.rest(10, 10)
      }
      heal(line)
    }
    await this.rest(5_000, 20_000)
    await this.#run({ name: `line ${index} is cut for ${ms} ms`, weight: 0, run })
  }
}
