import { setTimeout as sleep } from 'node:timers/promises'
import { RUN_PREFIX } from '../../../lib/channel/channels.ts'
import { parseEnd } from '../../../lib/run/run-end.ts'
import { groupBy } from '../../checker/group-by.ts'
import type {
  CallLog,
  Life,
  NameLog,
  Outage,
  RunMessage,
  RunsLog,
  StartLog,
  StopLog,
  Word
} from '../../checker/runs/runs-log.ts'
import { now } from '../../checker/sockets/clock.ts'
import { Random } from '../../checker/sockets/random.ts'
import { RedisServer } from '../../helpers/programs/redis-server.ts'
import { Client } from '../client.ts'
import { Ledger, type Sighting } from '../ledger.ts'
import type { Run } from '../node.ts'
import { pathOf, RunNode } from './node.ts'
import { type Plan, planOf } from './plan.ts'

export interface WorldSettings {
  readonly seed: number
  readonly runs: number
  /** How many names are played at once. */
  readonly atOnce: number
  /** After how many of them a server is struck. */
  readonly runsPerFault: number
  readonly keepEndedMs: number
  readonly lateMs: number
}

const PREFIX = 'runs:'
const NODES = 3
const LEASE_MS = 2_000
const RETRY_MS = 50
const LOOK_MS = 500
/** But for what was to be: ends, and a store that seems slow to a server that was stopped, or has a busy machine. */
const PROBLEM = /^{"level":[456]0,(?!.*"msg":"run (lost|failed)"})(?!.*"message":"it did not answer within)/

/** Who reads a run, on one server after another, until it has all. */
class Reader extends Client {
  protected override get from(): 'oldest' {
    return 'oldest'
  }

  protected override pathOf([name = '']: readonly string[]): string {
    return `/${pathOf(name.slice(RUN_PREFIX.length))}`
  }
}

/** What was done with a name. */
class Play {
  readonly plan: Plan
  readonly random: Random
  readonly starts: StartLog[] = []
  readonly stops: StopLog[] = []
  readonly answers: Word[] = []
  readonly readers: Reader[] = []
  /** Readers that have not left. */
  present = 0

  constructor(plan: Plan, random: Random) {
    this.plan = plan
    this.random = random
  }
}

/** Servers over one Redis, of which one after another is struck, and names that are started, read and stopped by all of them. */
export class RunsWorld {
  readonly counts: Record<string, number> = {}
  readonly plays: Play[] = []
  readonly #run: Run
  readonly #settings: WorldSettings
  readonly #random: Random
  readonly #redis: RedisServer
  readonly #ledger: Ledger
  readonly #nodes: (RunNode | undefined)[] = Array.from({ length: NODES }, () => undefined)
  readonly #allNodes: RunNode[] = []
  readonly #outages: Outage[] = []
  #crashes = 0
  #started = 0
  #faults: Promise<void> = Promise.resolve()
  #ended = 0
  #isOver = false

  private constructor(run: Run, settings: WorldSettings, redis: RedisServer, ledger: Ledger) {
    this.#run = run
    this.#settings = settings
    this.#random = new Random(settings.seed)
    this.#redis = redis
    this.#ledger = ledger
  }

  static async start(run: Run, settings: WorldSettings): Promise<RunsWorld> {
    const redis = await RedisServer.start()
    run.teardown(() => redis.stop())
    const ledger = new Ledger(PREFIX)
    run.teardown(() => ledger.close())
    await ledger.begin(redis.port)
    const world = new RunsWorld(run, settings, redis, ledger)
    run.teardown(() => world.#stop())
    await Promise.all(world.#nodes.map((_, index) => world.#startNode(index)))
    return world
  }

  /** Resolves when all names have been played. @param patience when it resolves, one name is waited for no more. */
  async play(patience: () => Promise<unknown>): Promise<void> {
    const { runs, atOnce } = this.#settings
    let next = 0
    const playSome = async (): Promise<void> => {
      while (next < runs) await Promise.race([patience(), this.#play(next++)])
    }
    await Promise.all(Array.from({ length: atOnce }, playSome))
    await this.#faults
  }

  /** What is known, when nothing is left, or there is no more patience. @param kept what need not be gone. */
  async log(patience: () => Promise<unknown>, kept: readonly string[] = []): Promise<RunsLog> {
    const leftovers = async (): Promise<Record<string, number>> => {
      const all = Object.entries(await this.#leftovers())
      return Object.fromEntries(all.filter(([name]) => !kept.includes(name)))
    }
    const isClean = async (): Promise<void> => {
      while (Object.values(await leftovers()).some((count) => count > 0)) await sleep(LOOK_MS)
    }
    await Promise.race([patience(), isClean()])
    const left = { ...(await leftovers()), 'problems that servers logged': this.problems.length }
    this.#isOver = true
    const { lateMs } = this.#settings
    return { names: this.#nameLogs(), outages: this.#outages, leaseMs: LEASE_MS, lateMs, leftovers: left }
  }

  /** What servers warned of, but for runs that were to fail, or be lost. */
  get problems(): string[] {
    return this.#allNodes.flatMap(({ output, name }) =>
      output
        .split('\n')
        .filter((line) => PROBLEM.test(line))
        .map((line) => `${name}: ${line}`)
    )
  }

  async #play(index: number): Promise<void> {
    const random = new Random(this.#settings.seed + index * 7_919)
    const plan = planOf(random, index)
    const play = new Play(plan, random)
    this.plays.push(play)
    const readers: Promise<void>[] = []
    for (let isAgain = false; ; isAgain = true) {
      await this.#begin(play, isAgain)
      const stops = plan.stopsAfterMs.map((ms) => this.#stopRun(play, ms))
      if (!isAgain)
        readers.push(...plan.readers.filter(({ isLate }) => !isLate).map((one) => this.#read(play, one)))
      await this.#onSome(play, (node) => node.ended(plan.name))
      await Promise.all(stops)
      if (isAgain || !plan.isAskedAgain) break
    }
    readers.push(...plan.readers.filter(({ isLate }) => isLate).map((one) => this.#read(play, one)))
    await Promise.all(readers)
    await this.#askAll(play)
    if (++this.#ended % this.#settings.runsPerFault === 0)
      this.#faults = this.#faults.then(() => this.#strike())
  }

  /** Several servers are asked at once. */
  async #begin(play: Play, restart: boolean): Promise<void> {
    const { name, length, paceMs, fails, rivals } = play.plan
    const ask = (rival: number): Promise<unknown> => {
      let tries = 0
      return this.#onSome(play, async (node) => {
        const source = `${name}/${restart ? 'again' : 'first'}/${rival}/${tries++}`
        play.starts.push({ at: now(), restart })
        return await node.begin(name, { source, length, paceMs, fails, restart })
      })
    }
    await Promise.all(Array.from({ length: rivals }, (_, rival) => ask(rival)))
  }

  async #stopRun(play: Play, afterMs: number): Promise<void> {
    await sleep(afterMs)
    await this.#onSome(play, async (node) => {
      const stop = {
        reason: `stop ${play.stops.length}`,
        askedAt: now(),
        toldAt: undefined as number | undefined
      }
      play.stops.push(stop)
      await node.end(play.plan.name, stop.reason)
      stop.toldAt = now()
    })
  }

  /** Resolves when it has left, or has had all. */
  async #read(
    play: Play,
    { comesAfterMs, reloadsAfterMs, leavesAfterMs }: Plan['readers'][number]
  ): Promise<void> {
    await sleep(comesAfterMs)
    const pick = (): number | undefined => this.#pick(play.random)?.port
    const reader = new Reader(
      `reader ${play.readers.length} of ${play.plan.name}`,
      [RUN_PREFIX + play.plan.name],
      pick
    )
    play.readers.push(reader)
    for (const ms of reloadsAfterMs) {
      await Promise.race([sleep(ms), reader.left])
      reader.move(pick)
    }
    if (leavesAfterMs !== undefined) {
      await Promise.race([sleep(leavesAfterMs), reader.left])
      reader.leave()
    }
    play.present++
    await reader.left
    play.present--
  }

  /** What each server says when nothing goes on any more. */
  async #askAll(play: Play): Promise<void> {
    const asking = this.#nodes.map(async (node) => {
      const answer = await node?.ended(play.plan.name).catch(() => undefined)
      if (node === undefined || answer === undefined) return
      const { ended, info } = answer
      play.answers.push({ server: node.name, state: info?.state, reason: info?.reason })
      play.answers.push({ server: `${node.name}, ended,`, state: ended, reason: info?.reason })
    })
    await Promise.all(asking)
  }

  /** Asks one server after another until one has answered. */
  async #onSome<Answer>(play: Play, ask: (node: RunNode) => Promise<Answer>): Promise<Answer | undefined> {
    while (!this.#isOver) {
      const node = this.#pick(play.random)
      try {
        if (node !== undefined) return await ask(node)
      } catch {
        // It was struck.
      }
      await sleep(RETRY_MS)
    }
    return undefined
  }

  #pick(random: Random): RunNode | undefined {
    const [first, ...others] = this.#nodes.filter((node) => node !== undefined)
    return first && random.pick(first, ...others)
  }

  async #strike(): Promise<void> {
    const index = this.#random.integer(0, NODES - 1)
    const faults = [
      { name: 'killed', run: () => this.#kill(index) },
      { name: 'paused beyond the lease', run: () => this.#pause(index, LEASE_MS * 1.1, LEASE_MS * 2) },
      { name: 'replaced', run: () => this.#replace(index) },
      { name: 'paused for a moment', run: () => this.#pause(index, 50, LEASE_MS / 4) }
    ] as const
    const struck = Object.values(this.counts).reduce((sum, count) => sum + count, 0)
    const { name, run } = faults[struck % faults.length] ?? faults[0]
    this.counts[name] = (this.counts[name] ?? 0) + 1
    await run()
  }

  async #kill(index: number): Promise<void> {
    const node = this.#take(index)
    if (node !== undefined) this.#outages.push({ server: node.name, from: now(), to: Infinity })
    await node?.kill()
    await this.#startNode(index)
  }

  async #pause(index: number, minMs: number, maxMs: number): Promise<void> {
    const node = this.#nodes[index]
    const from = now()
    node?.pause()
    await sleep(this.#random.integer(minMs, maxMs))
    node?.resume()
    if (node !== undefined) this.#outages.push({ server: node.name, from, to: now() })
  }

  async #replace(index: number): Promise<void> {
    const node = this.#take(index)
    if (node !== undefined) this.#outages.push({ server: node.name, from: now(), to: Infinity })
    await Promise.all([node?.stop(), this.#startNode(index)])
  }

  #take(index: number): RunNode | undefined {
    const node = this.#nodes[index]
    this.#nodes[index] = undefined
    return node
  }

  async #startNode(index: number): Promise<void> {
    const { keepEndedMs } = this.#settings
    const settings = { url: this.#redis.url, prefix: PREFIX, leaseMs: LEASE_MS, keepEndedMs }
    const node = await RunNode.start(this.#run, `server ${++this.#started}`, settings)
    this.#allNodes.push(node)
    this.#nodes[index] = node
    void node.exited.then(() => {
      if (this.#nodes[index] !== node) return
      this.#nodes[index] = undefined
      this.#crashes++
    })
  }

  /** What should be nothing some time after everything has ended. */
  async #leftovers(): Promise<Record<string, number>> {
    const stats = await Promise.all(this.#nodes.map((node) => node?.stats()))
    const sum = (key: 'runs' | 'connections'): number =>
      stats.reduce((all, one) => all + (one?.[key] ?? 0), 0)
    const base = `${PREFIX}{0}`
    const count = async (...command: string[]): Promise<number> =>
      Number(await this.#redis.command(...command))
    const logs = (await this.#redis.command('KEYS', `${base}:log:${RUN_PREFIX}?*`)) as string[]
    return {
      'readers who wait for an end': this.plays.reduce((all, { present }) => all + present, 0),
      'runs that go on': sum('runs'),
      'connections that are open': sum('connections'),
      leases: (await count('HLEN', `${base}:owners`)) + (await count('ZCARD', `${base}:leases`)),
      'runs that are kept': logs.length,
      'servers that crashed': this.#crashes
    }
  }

  #nameLogs(): NameLog[] {
    const sightings = groupBy(this.#ledger.sightings, ({ channels }) => channels[0])
    const lines = this.#allNodes.flatMap(({ output, name }) =>
      linesOf(output).map((line) => ({ ...line, server: name }))
    )
    const called = groupBy(
      lines.filter(({ msg }) => msg === 'source called'),
      ({ run }) => run
    )
    const told = groupBy(
      lines.filter(({ eventStream }) => eventStream?.state !== undefined),
      ({ eventStream }) => eventStream?.run
    )
    return this.plays.map(({ plan: { name }, starts, stops, answers, readers }) => ({
      name,
      channel: RUN_PREFIX + name,
      lives: livesOf(sightings.get(RUN_PREFIX + name) ?? []),
      calls: (called.get(name) ?? []).map(({ source = '', server }): CallLog => ({ source, server })),
      starts,
      stops,
      answers,
      told: (told.get(name) ?? []).map(
        ({ server, eventStream }): Word => ({
          server,
          state: eventStream?.state,
          reason: eventStream?.reason
        })
      ),
      readers: readers.map(({ logs }) => logs)
    }))
  }

  async #stop(): Promise<void> {
    this.#isOver = true
    for (const reader of this.plays.flatMap(({ readers }) => readers)) reader.leave()
    for (const index of this.#nodes.keys()) await this.#take(index)?.kill()
  }
}

interface LogLine {
  readonly level: number
  readonly msg: string
  readonly source?: string
  readonly run?: string
  readonly eventStream?: { readonly run: string; readonly state: string; readonly reason: string }
}

/** The last one may not be whole. */
function linesOf(output: string): LogLine[] {
  const lines = output.slice(0, output.lastIndexOf('\n')).split('\n')
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as LogLine)
}

function livesOf(sightings: readonly Sighting[]): Life[] {
  const lives: { begunAt: number; messages: RunMessage[] }[] = []
  for (const { kind, key, data, at } of sightings) {
    if (kind === 'clear') lives.push({ begunAt: at, messages: [] })
    else {
      const { source, number } = JSON.parse(data) as { source: string; number: number }
      const { state, reason } = (kind === 'end' && parseEnd(key)) || {}
      lives.at(-1)?.messages.push({ data, at, source, number, end: state && { state, reason } })
    }
  }
  return lives
}
