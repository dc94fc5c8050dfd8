import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { now } from '../checker/sockets/clock.ts'
import { FaultProxy } from '../helpers/fault-proxy.ts'
import { removeFolder, temporaryFolder } from '../helpers/guardian.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { type Ledger, type Loss, WITNESS } from './ledger.ts'
import type { Run } from './node.ts'

const ARGS = ['--repl-diskless-sync-delay', '0', '--appendonly', 'yes', '--appendfsync', 'everysec']
/** A port where nobody listens. */
const NOWHERE = 1
const STEP_US = 600_000_000
const LOOK_MS = 5

/** A primary and its replica, which is the next primary, and the lines that end at the primary. */
export class Servers {
  readonly ledger: Ledger
  /** Between each node and the primary. */
  readonly lines: readonly FaultProxy[]
  /** Moments at which channels were deleted. */
  readonly deletions: { readonly channel: string; readonly at: number }[] = []
  primary: RedisServer
  readonly #base: string
  readonly #folder: string
  #disks = 0
  #marks = 0
  #replica: { readonly server: RedisServer; readonly line: FaultProxy } | undefined

  private constructor(
    ledger: Ledger,
    prefix: string,
    folder: string,
    primary: RedisServer,
    lines: FaultProxy[]
  ) {
    this.ledger = ledger
    this.#base = `${prefix}{0}`
    this.#folder = folder
    this.primary = primary
    this.lines = lines
  }

  static async start(run: Run, ledger: Ledger, prefix: string, count: number): Promise<Servers> {
    const folder = temporaryFolder('redis-disks')
    const primary = await startServer(folder, 0)
    const lines = await Promise.all(
      Array.from({ length: count }, () => FaultProxy.start({ port: primary.port }))
    )
    const servers = new Servers(ledger, prefix, folder, primary, lines)
    run.teardown(() => servers.#stop())
    await ledger.begin(primary.port)
    await servers.#startReplica()
    return servers
  }

  /** The primary crashes and comes back, with what it has on disk or without. */
  async restart(keepsDisk: boolean, meanwhile: () => Promise<unknown>): Promise<void> {
    const { primary } = this
    const folder = (await primary.command('CONFIG', 'GET', 'dir')) as string[]
    const since = now()
    await primary.kill()
    this.#direct(NOWHERE)
    if (!keepsDisk) await rm(join(folder[1] ?? '', 'appendonlydir'), { recursive: true, force: true })
    await meanwhile()
    await primary.restart()
    await this.#begin(primary, since)
  }

  /** The replica takes the primary's place, which is lost, and what has not come to the replica with it. */
  async failOver(lag: () => Promise<unknown>): Promise<void> {
    await this.catchUp()
    this.#replica?.line.blackhole(true)
    await lag()
    const since = now()
    const old = this.primary
    await old.kill()
    this.#direct(NOWHERE)
    await this.#promote(since)
    await this.#startReplica()
    await old.stop()
  }

  /**
   * The replica becomes a primary beside the other one, which some lines still end at. Then that one is made a replica: its
   * connections stay.
   */
  async split(staying: readonly FaultProxy[], meanwhile: () => Promise<unknown>): Promise<void> {
    await this.catchUp()
    const since = now()
    const old = this.primary
    const loss = await this.#promote(since, staying)
    await meanwhile()
    await old.command('REPLICAOF', '127.0.0.1', String(this.primary.port))
    for (const line of staying) line.retarget({ port: this.primary.port })
    loss.lostAt = now()
    loss.until = Infinity
    await meanwhile()
    loss.until = now()
    await this.#startReplica()
    await old.stop()
  }

  /** Ids go on ten minutes ahead of the clock, as they do when that has been set back. */
  async stepClock(): Promise<void> {
    const [[id = '0'] = []] = (await this.primary.command(
      'XREVRANGE',
      `${this.#base}:ids`,
      '+',
      '-',
      'COUNT',
      '1'
    )) as [string][]
    await this.primary.command('XADD', `${this.#base}:ids`, `${Number.parseInt(id, 10) + STEP_US}-0`, 'i', '')
  }

  async deleteLog(channel: string): Promise<void> {
    await this.primary.command('DEL', `${this.#base}:log:${channel}`)
    this.deletions.push({ channel, at: now() })
    await this.catchUp()
  }

  /** What proves ids. */
  async deleteIds(): Promise<void> {
    const since = now()
    await this.primary.command('DEL', `${this.#base}:ids`)
    this.ledger.lose('ids', () => true, since)
    await this.catchUp()
  }

  async flushAll(): Promise<void> {
    const since = now()
    const [epoch] = await Promise.all([this.#epochOf(this.primary), this.primary.command('FLUSHALL')])
    this.ledger.lose('messages', (one) => one.epoch === epoch, since)
    await this.catchUp()
  }

  /** Cuts all connections of a kind but those of witnesses. */
  async cut(type: 'pubsub' | 'normal'): Promise<void> {
    const list = String(await this.primary.command('CLIENT', 'LIST', 'TYPE', type))
    const others = list.split('\n').filter((line) => !line.includes(`name=${WITNESS} `))
    for (const line of others) {
      const [, id] = /^id=(\d+) /.exec(line) ?? []
      if (id !== undefined) await this.primary.command('CLIENT', 'KILL', 'ID', id, 'SKIPME', 'yes')
    }
  }

  /** Resolves when the replica has all that the primary had at this call: WAIT also counts one that is still being sent it. */
  async catchUp(): Promise<void> {
    const mark = `${++this.#marks}`
    await this.primary.command('SET', 'replica:mark', mark)
    const marked = async (): Promise<unknown> =>
      await this.#replica?.server.command('GET', 'replica:mark').catch(() => 'it is loading')
    while (this.#replica !== undefined && (await marked()) !== mark) await sleep(LOOK_MS)
  }

  async #promote(since: number, staying: readonly FaultProxy[] = []): Promise<Loss> {
    const replica = this.#replica
    if (replica === undefined) throw new Error('there is no replica')
    this.#replica = undefined
    await replica.line.close()
    await replica.server.command('REPLICAOF', 'NO', 'ONE')
    this.primary = replica.server
    return await this.#begin(replica.server, since, staying)
  }

  /** Nobody is connected yet who writes. */
  async #begin(server: RedisServer, since: number, staying: readonly FaultProxy[] = []): Promise<Loss> {
    const last = await server.command('XREVRANGE', `${this.#base}:ids`, '+', '-', 'COUNT', '1')
    const [[id = '0'] = []] = last as [string][]
    const epoch = await this.#epochOf(server)
    const place = Number.parseInt(id, 10)
    const loss = this.ledger.lose('messages', (one) => one.epoch !== epoch || one.place > place, since)
    await this.ledger.begin(server.port)
    this.#direct(server.port, staying)
    return loss
  }

  async #epochOf(server: RedisServer): Promise<string> {
    return String(await server.command('GET', `${this.#base}:site`)).replace(/\..*/, '')
  }

  /** Lines end there from now on, and nothing is left on them. */
  #direct(port: number, staying: readonly FaultProxy[] = []): void {
    for (const line of this.lines.filter((one) => !staying.includes(one))) {
      line.retarget({ port })
      line.cutAll()
    }
  }

  async #startReplica(): Promise<void> {
    const line = await FaultProxy.start({ port: this.primary.port })
    const server = await startServer(this.#folder, ++this.#disks)
    this.#replica = { server, line }
    await server.command('REPLICAOF', '127.0.0.1', String(line.port))
    await this.catchUp()
  }

  async #stop(): Promise<void> {
    this.ledger.close()
    for (const line of this.lines) await line.close()
    await this.#replica?.line.close()
    await this.#replica?.server.stop()
    await this.primary.stop()
    removeFolder(this.#folder)
  }
}

/** With an empty disk of its own. */
async function startServer(folder: string, number: number): Promise<RedisServer> {
  const disk = join(folder, String(number))
  await mkdir(disk)
  return await RedisServer.start({ args: [...ARGS, '--dir', disk] })
}
