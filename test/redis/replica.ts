import { FaultProxy } from '../helpers/fault-proxy.ts'
import { RedisServer } from '../helpers/programs/redis-server.ts'

const NO_TIMEOUT = '0'

/** A Redis that follows another one over a line that can be stalled. */
export class Replica {
  readonly server: RedisServer
  readonly #master: RedisServer
  readonly #line: FaultProxy

  private constructor(server: RedisServer, master: RedisServer, line: FaultProxy) {
    this.server = server
    this.#master = master
    this.#line = line
  }

  /** Resolves when it has all that its master has. */
  static async start(master: RedisServer, args: readonly string[] = []): Promise<Replica> {
    const line = await FaultProxy.start({ port: master.port })
    const server = await RedisServer.start({ args })
    await server.command('REPLICAOF', '127.0.0.1', String(line.port))
    const replica = new Replica(server, master, line)
    await replica.catchUp()
    return replica
  }

  /** Resolves when it has all that its master had at this call. */
  async catchUp(): Promise<void> {
    await this.#master.command('SET', 'replica:mark', String(Date.now()))
    const replicas = await this.#master.command('WAIT', '1', NO_TIMEOUT)
    if (replicas !== 1) throw new Error('the replica does not catch up with its master')
  }

  /** What is written from now on does not come. */
  stall(): void {
    this.#line.blackhole(true)
  }

  /** Makes it a master, without what has not come. */
  async promote(): Promise<RedisServer> {
    await this.#line.close()
    await this.server.command('REPLICAOF', 'NO', 'ONE')
    return this.server
  }

  async stop(): Promise<void> {
    await this.#line.close()
    await this.server.stop()
  }
}
