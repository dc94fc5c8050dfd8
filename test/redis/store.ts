import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { redisKeys } from '../../lib/history/redis/redis-keys.ts'
import { FaultProxy } from '../helpers/fault-proxy.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'
import { Disks } from './disks.ts'
import { Replica } from './replica.ts'
import type { Epoch, StreamLog } from './stream-log.ts'

export interface StoreSettings {
  readonly channels: readonly string[]
  readonly lines: number
  /** What the names of all keys begin with. */
  readonly prefix: string
  /** Whether Redis keeps everything on disk. */
  readonly isPersistent: boolean
  readonly hasReplica: boolean
}

interface RestartSettings {
  readonly losesDisk?: boolean
  /** What is done while it is gone. */
  readonly meanwhile?: () => Promise<unknown>
}

interface Run {
  teardown(fn: () => unknown): void
}

const REDIS_ARGS = ['--repl-diskless-sync-delay', '0']
/** A port where nobody listens. */
const NOWHERE = 1
/** How long Redis writes nothing after it has forgotten something, so that ids tell the epoch. */
const PAUSE_MS = '5'

/** A Redis, perhaps with a replica, the lines that end there, and what is known of the channels' streams. */
export class Store {
  /** Between each node and Redis. */
  readonly lines: readonly FaultProxy[]
  redis: RedisServer
  replica: Replica | undefined
  readonly #prefix: string
  readonly #disks: Disks | undefined
  readonly #epochs: ReadonlyMap<string, Epoch[]>

  private constructor(
    { channels, prefix }: StoreSettings,
    disks: Disks | undefined,
    redis: RedisServer,
    lines: readonly FaultProxy[]
  ) {
    this.#prefix = prefix
    this.#disks = disks
    this.#epochs = new Map(channels.map((name) => [name, [{ since: 0, last: '' }]]))
    this.redis = redis
    this.lines = lines
  }

  static async start(run: Run, settings: StoreSettings): Promise<Store> {
    const disks = settings.isPersistent ? Disks.start(run) : undefined
    const redis = await RedisServer.start({ args: [...REDIS_ARGS, ...((await disks?.argsOfNext()) ?? [])] })
    const starting = Array.from({ length: settings.lines }, () => FaultProxy.start({ port: redis.port }))
    const store = new Store(settings, disks, redis, await Promise.all(starting))
    run.teardown(() => store.#stop())
    if (settings.hasReplica) await store.startReplica()
    return store
  }

  line(index: number): FaultProxy {
    const line = this.lines[index]
    if (line === undefined) throw new Error(`there is no line ${index}`)
    return line
  }

  keyOf(channel: string): string {
    return redisKeys(this.#prefix, channel).log
  }

  async startReplica(): Promise<void> {
    const args = (await this.#disks?.argsOfNext()) ?? []
    this.replica = await Replica.start(this.redis, [...REDIS_ARGS, ...args])
  }

  /** Appends a message as a stranger does, who tells nobody. @returns its id. */
  async append(channel: string, data: string): Promise<string> {
    const lines = data.split('\n').map((line) => `data: ${line}\n`)
    const fields = ['key', '', 'text', `${lines.join('')}\n`]
    return String(await this.redis.command('XADD', this.keyOf(channel), '*', ...fields))
  }

  /** Redis crashes and comes back, with as much as it keeps on disk. */
  async restart({ losesDisk = false, meanwhile }: RestartSettings = {}): Promise<void> {
    const [, folder] = (await this.redis.command('CONFIG', 'GET', 'dir')) as string[]
    await this.redis.kill()
    const since = Date.now()
    this.#direct(NOWHERE)
    if (losesDisk) await rm(join(folder ?? '', 'appendonlydir'), { recursive: true, force: true })
    await meanwhile?.()
    await this.redis.restart()
    await this.#beginEpochs(since)
    this.#direct(this.redis.port)
  }

  /** The replica takes the place of the master, which is lost. What has not come to the replica is lost with it. */
  async failOver(): Promise<void> {
    const { replica } = this
    if (replica === undefined) throw new Error('there is no replica')
    this.replica = undefined
    await this.redis.kill()
    const since = Date.now()
    this.#direct(NOWHERE)
    this.redis = await replica.promote()
    await this.#beginEpochs(since)
    this.#direct(this.redis.port)
  }

  async deleteStream(channel: string): Promise<void> {
    const since = await this.#forget('DEL', this.keyOf(channel))
    this.#epochs.get(channel)?.push({ since, last: '' })
  }

  async flushAll(): Promise<void> {
    const since = await this.#forget('FLUSHALL')
    for (const epochs of this.#epochs.values()) epochs.push({ since, last: '' })
  }

  async logOf(name: string): Promise<Omit<StreamLog, 'maxLength'>> {
    const reply = await this.redis.command('XRANGE', this.keyOf(name), '-', '+')
    const entries = (reply as [id: string, fields: string[]][]).flatMap(([id, fields]) => {
      const index = fields.indexOf('text')
      return index < 0 ? [] : [{ id, data: dataOf(fields[index + 1] ?? '') }]
    })
    return { name, epochs: this.#epochs.get(name) ?? [], entries }
  }

  /** All lines end there from now on, and nothing is left on them. */
  #direct(port: number): void {
    for (const line of this.lines) {
      line.retarget({ port })
      line.cutAll()
    }
  }

  /** Nobody may be connected who writes. */
  async #beginEpochs(since: number): Promise<void> {
    for (const [name, epochs] of this.#epochs) {
      const reply = await this.redis.command('XREVRANGE', this.keyOf(name), '+', '-', 'COUNT', '1')
      const [last] = (reply as [id: string][])[0] ?? ['']
      epochs.push({ since, last })
    }
  }

  /** @returns since when it is forgotten. */
  async #forget(...command: string[]): Promise<number> {
    const { redis } = this
    const transaction = [['MULTI'], ['TIME'], command, ['CLIENT', 'PAUSE', PAUSE_MS, 'WRITE'], ['EXEC']]
    const replies = await Promise.all(transaction.map((args) => redis.command(...args)))
    const [[seconds, microseconds]] = replies.at(-1) as [[string, string]]
    return Number(seconds) * 1_000 + Math.floor(Number(microseconds) / 1_000) + 1
  }

  async #stop(): Promise<void> {
    for (const line of this.lines) await line.close()
    await this.replica?.stop()
    await this.redis.stop()
  }
}

/** The data of a message as it is kept. */
function dataOf(text: string): string {
  return text
    .split('\n')
    .filter((line) => line.startsWith('data: '))
    .map((line) => line.slice('data: '.length))
    .join('\n')
}
