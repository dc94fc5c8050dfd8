import { execFileSync } from 'node:child_process'
import { type Build, build } from './build.ts'
import type { ClientMethods } from './client/main.ts'
import { Child } from './process/child.ts'
import { BUN } from './process/programs.ts'
import type {
  ChannelServer,
  Client,
  Context,
  PlainServer,
  RedisServer,
  Server
} from './scenarios/scenario.ts'
import type { ChannelListenOptions, ChannelMethods } from './servers/channel-main.ts'
import type { EncodeMethods } from './servers/encode-main.ts'
import type { ListenOptions, ServerMethods } from './servers/main.ts'
import type { PlainMethods, PlainVariant } from './servers/plain-main.ts'
import type { RedisMethods } from './servers/redis-main.ts'

/** Files that a process has open besides its streams. */
const OTHER_FILES = 500

export interface ContextOptions {
  rounds: number
  count: number | undefined
  /** Further Node options for the servers, such as `--cpu-prof`. */
  nodeArgs: readonly string[]
}

/** Starts and ends the processes that scenarios measure, and gathers what they have to tell besides numbers. */
export class ProcessContext implements Context {
  readonly rounds: number
  readonly count: number | undefined
  readonly notes = new Set<string>()
  /** Scenarios that broke off, and process warnings of our own servers: there may be none. */
  readonly failures: string[] = []
  readonly #build: Build
  readonly #nodeArgs: readonly string[]

  private constructor(build: Build, { rounds, count, nodeArgs }: ContextOptions) {
    this.#build = build
    this.#nodeArgs = nodeArgs
    this.rounds = rounds
    this.count = count
  }

  static async create(options: ContextOptions): Promise<ProcessContext> {
    return new ProcessContext(await build(), options)
  }

  streams(wanted: number): number {
    const most = openFiles() - OTHER_FILES
    if (wanted <= most) return wanted
    this.note(`\`ulimit -n\` allows ${most} streams where ${wanted} were to be opened`)
    return most
  }

  note(text: string): void {
    this.notes.add(text)
  }

  async withServer<T>(
    options: ListenOptions,
    measure: (server: Server, client: Client) => Promise<T>
  ): Promise<T> {
    const child = this.#server<ServerMethods>(new URL('./servers/main.ts', import.meta.url))
    const client = this.#client()
    try {
      const port = await child.call('listen', options)
      return await measure({ port, child }, client)
    } finally {
      await Promise.all([child.stop(), client.stop()])
      this.#takeWarnings(options.contestant, child.warnings)
    }
  }

  async withChannelServer<T>(
    options: ChannelListenOptions,
    measure: (server: ChannelServer, client: Client) => Promise<T>
  ): Promise<T> {
    const module = new URL('./servers/channel-main.ts', import.meta.url)
    const child = this.#server<ChannelMethods>(module, options.contestant.startsWith('Bun') ? BUN : undefined)
    const client = this.#client()
    try {
      const port = await child.call('listen', options)
      return await measure({ port, child }, client)
    } finally {
      await Promise.all([child.stop(), client.stop()])
      this.#takeWarnings(options.contestant, child.warnings)
    }
  }

  async withEncoder<T>(measure: (child: Child<EncodeMethods>) => Promise<T>): Promise<T> {
    const child = this.#server<EncodeMethods>(new URL('./servers/encode-main.ts', import.meta.url))
    try {
      return await measure(child)
    } finally {
      await child.stop()
    }
  }

  async withClient<T>(measure: (client: Client) => Promise<T>): Promise<T> {
    const client = this.#client()
    try {
      return await measure(client)
    } finally {
      await client.stop()
    }
  }

  async withPlainServers<T>(
    variants: readonly PlainVariant[],
    measure: (servers: PlainServer[], client: Client) => Promise<T>
  ): Promise<T> {
    const module = new URL('./servers/plain-main.ts', import.meta.url)
    const children = variants.map((variant) => ({ variant, child: this.#server<PlainMethods>(module) }))
    const client = this.#client()
    try {
      const servers = children.map(async (server) => ({
        ...server,
        port: await server.child.call('listen', server.variant)
      }))
      return await measure(await Promise.all(servers), client)
    } finally {
      await Promise.all([client.stop(), ...children.map(({ child }) => child.stop())])
      for (const { child } of children) this.#takeWarnings('ours', child.warnings)
    }
  }

  async withRedisServer<T>(redisUrl: string, measure: (server: RedisServer) => Promise<T>): Promise<T> {
    const child = this.#server<RedisMethods>(new URL('./servers/redis-main.ts', import.meta.url))
    try {
      return await measure({ port: await child.call('listen', redisUrl), child })
    } finally {
      await child.stop()
      this.#takeWarnings('ours', child.warnings)
    }
  }

  #server<Methods extends object>(module: URL, execPath?: string): Child<Methods> {
    return new Child(this.#build.fileOf(module), { nodeArgs: this.#nodeArgs, execPath })
  }

  #client(): Child<ClientMethods> {
    return new Child(this.#build.fileOf(new URL('./client/main.ts', import.meta.url)))
  }

  #takeWarnings(contestant: string, warnings: readonly string[]): void {
    if (contestant.startsWith('ours'))
      this.failures.push(...warnings.map((warning) => `Process warning: ${warning}`))
    else if (warnings.length > 0) this.note(`${contestant} caused a warning: ${warnings[0]?.split('\n')[0]}`)
  }
}

/** How many files a process of this user may have open. */
function openFiles(): number {
  const limit = execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' })
  return Number(limit) || Number.POSITIVE_INFINITY
}
