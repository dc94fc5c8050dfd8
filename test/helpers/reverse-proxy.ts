import type { ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePorts } from './free-ports.ts'
import { removeFolder, signalGroup, startProgram, temporaryFolder } from './guardian.ts'
import { executableOf } from './programs.ts'

export interface Test {
  teardown(fn: () => unknown): void
}

export interface ProxyOptions {
  /** The application's port. */
  readonly upstream: number
  /** What else is changed in the example's configuration: what stands there → what comes in its place. */
  readonly edits?: Readonly<Record<string, string>>
}

export interface Ports {
  readonly plain: number
  readonly tls: number
}

/** One program, and what it prints. */
export interface ProxyProgram {
  readonly name: 'nginx' | 'haproxy'
  /** The recommended configuration, in `examples/proxies/`. */
  readonly example: string
  readonly args: (dir: string) => string[]
  /** What the configuration needs to run in the directory, on these ports. */
  readonly edits: (dir: string, ports: Ports, upstream: number) => Record<string, string>
  readonly ready: string
  readonly started: RegExp
  readonly exited: RegExp
  readonly reload: NodeJS.Signals
}

/** How often other ports are tried when chosen ones were taken meanwhile. */
const PORT_ATTEMPTS = 10

const EXAMPLES = new URL('../../examples/proxies/', import.meta.url)
const FIXTURES = new URL('../fixtures/', import.meta.url)
/**
 * A proxy with the configuration that `examples/proxies/` recommends, gone with all that it wrote when the test ends. It
 * runs in the foreground and needs no root.
 */
export class ReverseProxy {
  readonly port: number
  /** Where it speaks TLS, for `localhost` by `test/fixtures/cert.pem`. */
  readonly tlsPort: number
  readonly #process: ProxyProcess

  private constructor({ plain, tls }: Ports, started: ProxyProcess) {
    this.port = plain
    this.tlsPort = tls
    this.#process = started
  }

  /** Resolves when the proxy accepts connections; rejects with what it printed when it ends before. */
  static async start(
    t: Test,
    program: ProxyProgram,
    { upstream, edits = {} }: ProxyOptions
  ): Promise<ReverseProxy> {
    const executable = executableOf(program.name)
    for (let attempt = 1; ; attempt++) {
      const [plain = 0, tls = 0] = await freePorts(2)
      const ports = { plain, tls }
      const started = new ProxyProcess(executable, program, (dir) => ({
        ...program.edits(dir, ports, upstream),
        ...edits
      }))
      if (await started.becomesReady()) {
        t.teardown(() => started.stop())
        return new ReverseProxy(ports, started)
      }
      if (!started.hasFoundPortTaken || attempt === PORT_ATTEMPTS) throw started.error()
    }
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Starts new workers in the place of those that run, and resolves when the latter are gone with their streams. */
  async reload(): Promise<void> {
    await this.#process.reload()
  }
}

class ProxyProcess {
  readonly #program: ProxyProgram
  readonly #dir: string
  readonly #child: ChildProcess
  readonly #exited: Promise<void>
  #hasExited = false
  #output = ''
  #waiters: (() => void)[] = []

  constructor(
    executable: string,
    program: ProxyProgram,
    edits: (dir: string) => Readonly<Record<string, string>>
  ) {
    this.#program = program
    this.#dir = temporaryFolder(program.name)
    this.#writeFiles(edits(this.#dir))
    const child = startProgram(executable, program.args(this.#dir), { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => this.#print(text))
    }
    child.on('error', (error) => this.#print(error.message))
    this.#exited = new Promise((resolve) => {
      child.on('close', () => {
        this.#hasExited = true
        removeFolder(this.#dir)
        this.#print('')
        resolve()
      })
    })
  }

  /**
   * Resolves with `true` when it accepts connections, with `false` when it has ended before. Told from what it prints: on
   * a port that is taken, another server would answer in its place.
   */
  async becomesReady(): Promise<boolean> {
    await this.#until(() => this.#output.includes(this.#program.ready))
    return !this.#hasExited
  }

  get hasFoundPortTaken(): boolean {
    return this.#output.includes('Address already in use')
  }

  error(): Error {
    return new Error(`${this.#program.name} ended:\n${this.#output}`)
  }

  async reload(): Promise<void> {
    const before = this.#pids(this.#program.started)
    this.#child.kill(this.#program.reload)
    await this.#until(() => {
      const exited = this.#pids(this.#program.exited)
      return before.every((pid) => exited.includes(pid))
    })
    if (this.#hasExited) throw this.error()
  }

  /** With its workers, which outlive a first process that is killed. */
  async stop(): Promise<void> {
    signalGroup(this.#child, 'SIGKILL')
    await this.#exited
  }

  #writeFiles(edits: Readonly<Record<string, string>>): void {
    let config = readFileSync(new URL(this.#program.example, EXAMPLES), 'utf8')
    for (const [there, instead] of Object.entries(edits)) {
      if (!config.includes(there)) throw new Error(`${this.#program.example} has no ${JSON.stringify(there)}`)
      config = config.replace(there, () => instead)
    }
    const cert = readFileSync(new URL('cert.pem', FIXTURES), 'utf8')
    const key = readFileSync(new URL('key.pem', FIXTURES), 'utf8')
    const files = {
      [this.#program.example]: config,
      'cert.pem': cert,
      'key.pem': key,
      'both.pem': cert + key
    }
    for (const [file, text] of Object.entries(files)) {
      writeFileSync(join(this.#dir, file), text, { mode: 0o600 })
    }
  }

  #pids(printed: RegExp): string[] {
    return [...this.#output.matchAll(printed)].map(([, pid = '']) => pid)
  }

  /** Resolves when the condition holds, or the process has ended. */
  async #until(condition: () => boolean): Promise<void> {
    while (!this.#hasExited && !condition()) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  #print(text: string): void {
    this.#output += text
    for (const waiter of this.#waiters.splice(0)) waiter()
  }
}

/** Both are held until both are known, so that they differ. */
