import type { ChildProcess } from 'node:child_process'
import { freePort } from '../free-port.ts'
import { removeFolder, startProgram, temporaryFolder } from '../guardian.ts'
import { executableOf } from '../programs.ts'
import { ReplyError, RespClient } from '../resp-client.ts'

interface RedisServerOptions {
  /** Come after our own, and so win over them. */
  readonly args?: readonly string[]
  /** @defaultValue a free one */
  readonly port?: number
}

/** How often another port is tried when a chosen one was taken meanwhile. */
const PORT_ATTEMPTS = 10

/** A Redis of the test's own: nothing in it, nothing kept on disk, gone at the latest when this process ends. */
export class RedisServer {
  readonly port: number
  readonly #args: readonly string[]
  #process: RedisProcess
  #client: Promise<RespClient> | undefined
  #restarting: Promise<void> | undefined

  private constructor(port: number, args: readonly string[], started: RedisProcess) {
    this.port = port
    this.#args = args
    this.#process = started
  }

  /** Resolves when the server answers; rejects with what it printed when it ends before. */
  static async start({ args = [], port }: RedisServerOptions = {}): Promise<RedisServer> {
    for (let attempt = 1; ; attempt++) {
      const chosen = port ?? (await freePort())
      const started = new RedisProcess(chosen, args)
      if (await started.becomesReady()) {
        const server = new RedisServer(chosen, args, started)
        await server.#answers()
        return server
      }
      if (port !== undefined || !started.hasFoundPortTaken || attempt === PORT_ATTEMPTS) throw started.error()
    }
  }

  get pid(): number {
    return this.#process.pid
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Ends the server, also one that is paused. May be called again, and after {@link kill}. */
  async stop(): Promise<void> {
    await this.#restarting?.catch(() => {})
    await this.kill()
  }

  /** Ends the server without a word, as a crash does. */
  async kill(): Promise<void> {
    await this.#disconnect()
    await this.#process.kill()
  }

  /** The server keeps its connections, accepts others, and answers nobody until {@link resume}. */
  pause(): void {
    this.#process.signal('SIGSTOP')
  }

  resume(): void {
    this.#process.signal('SIGCONT')
  }

  /** Kills the server, and starts an empty one on the same port. */
  async restart(): Promise<void> {
    this.#restarting = this.#restart()
    await this.#restarting
  }

  /**
   * Sends a command past everything a test puts between its clients and Redis, on one connection that is kept.
   *
   * @throws ReplyError the reply is an error.
   */
  async command(...args: string[]): Promise<unknown> {
    this.#client ??= this.#connect()
    const client = await this.#client
    return await client.command(...args)
  }

  async #restart(): Promise<void> {
    await this.kill()
    this.#process = new RedisProcess(this.port, this.#args)
    if (!(await this.#process.becomesReady())) throw this.#process.error()
    await this.#answers()
  }

  /** Any reply will do: with a password, PING is refused. */
  async #answers(): Promise<void> {
    try {
      await this.command('PING')
    } catch (error) {
      if (error instanceof ReplyError) return
      await this.kill()
      throw error
    }
  }

  #connect(): Promise<RespClient> {
    const connecting = RespClient.connect(this.port)
    const forget = (): void => {
      if (this.#client === connecting) this.#client = undefined
    }
    connecting.then((client) => client.closed.then(forget), forget)
    return connecting
  }

  async #disconnect(): Promise<void> {
    const client = await this.#client?.catch(() => undefined)
    this.#client = undefined
    await client?.close()
  }
}

class RedisProcess {
  readonly #child: ChildProcess
  readonly #dir = temporaryFolder('redis-server')
  readonly #ready: Promise<boolean>
  readonly #exited: Promise<void>
  /** What it printed until it was ready. */
  #output = ''
  #isReady = false

  constructor(port: number, args: readonly string[]) {
    const ours = `--port ${port} --bind 127.0.0.1 --appendonly no --daemonize no`.split(' ')
    const all = [...ours, '--save', '', '--dir', this.#dir, ...args]
    const child = startProgram(executableOf('redis-server'), all, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.#exited = new Promise((resolve) => {
      const childOnExit = (): void => {
        removeFolder(this.#dir)
        resolve()
      }
      child.on('exit', childOnExit)
      child.on('error', (error) => {
        this.#output += error.message
        childOnExit()
      })
    })
    this.#ready = new Promise((resolve) => {
      child.on('close', () => resolve(false))
      for (const stream of [child.stdout, child.stderr]) {
        stream?.setEncoding('utf8').on('data', (text: string) => {
          if (this.#isReady) return
          this.#output += text
          this.#isReady = this.#output.includes('Ready to accept connections')
          if (this.#isReady) resolve(true)
        })
      }
    })
  }

  get pid(): number {
    return Number(this.#child.pid)
  }

  /**
   * Resolves with `true` when it accepts connections, with `false` when it has ended before. Told from what it prints: on
   * a port that is taken, another server would answer in its place.
   */
  becomesReady(): Promise<boolean> {
    return this.#ready
  }

  get hasFoundPortTaken(): boolean {
    return this.#output.includes('Address already in use')
  }

  error(): Error {
    return new Error(`redis-server ended before it was ready:\n${this.#output}`)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.#exited
  }
}
