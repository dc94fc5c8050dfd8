import { type Build, build } from './build.ts'
import type { ClientMethods } from './client/main.ts'
import { Child } from './process/child.ts'
import type { Client, Context, PlainServer, Server } from './scenarios/scenario.ts'
import type { ListenOptions, ServerMethods } from './servers/main.ts'
import type { PlainMethods, PlainVariant } from './servers/plain-main.ts'

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

  #server<Methods extends object>(module: URL): Child<Methods> {
    return new Child(this.#build.fileOf(module), { nodeArgs: this.#nodeArgs })
  }

  #client(): Child<ClientMethods> {
    return new Child(this.#build.fileOf(new URL('./client/main.ts', import.meta.url)))
  }

  #takeWarnings(contestant: string, warnings: readonly string[]): void {
    if (contestant === 'ours') this.failures.push(...warnings.map((warning) => `Process warning: ${warning}`))
    else if (warnings.length > 0) this.note(`${contestant} caused a warning: ${warnings[0]?.split('\n')[0]}`)
  }
}
