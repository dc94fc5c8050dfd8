import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
/** How long a proxy may take to heed SIGTERM. */
const STOP_MS = 3_000
/** Where Linux has it, proxies also go when this process is killed by a signal, which emits no `exit`. */
const SETPRIV = '/usr/bin/setpriv'

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
      const ports = await freePorts()
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

/** The processes that this one has to take along. */
const running = new Set<ProxyProcess>()

process.on('exit', () => {
  for (const proxy of running) proxy.abandon()
})

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
    this.#dir = mkdtempSync(join(tmpdir(), `${program.name}-`))
    this.#writeFiles(edits(this.#dir))
    const all = [executable, ...program.args(this.#dir)]
    const [command = '', ...rest] = existsSync(SETPRIV) ? [SETPRIV, '--pdeathsig', 'TERM', '--', ...all] : all
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    running.add(this)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => this.#print(text))
    }
    child.on('error', (error) => this.#print(error.message))
    this.#exited = new Promise((resolve) => {
      child.on('close', () => {
        this.#hasExited = true
        running.delete(this)
        this.#removeDir()
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

  async stop(): Promise<void> {
    this.#child.kill('SIGTERM')
    const timer = setTimeout(() => this.#kill(), STOP_MS)
    await this.#exited
    clearTimeout(timer)
  }

  /** Ends it without waiting, as this process is about to exit. The first process takes its workers along. */
  abandon(): void {
    this.#child.kill('SIGTERM')
    this.#removeDir()
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

  /** Workers outlive a first process that is killed. */
  #kill(): void {
    const exited = this.#pids(this.#program.exited)
    const left = this.#pids(this.#program.started).filter((pid) => !exited.includes(pid))
    this.#child.kill('SIGKILL')
    for (const pid of left) {
      try {
        process.kill(Number(pid), 'SIGKILL')
      } catch {
        // It has ended meanwhile.
      }
    }
  }

  #removeDir(): void {
    rmSync(this.#dir, { recursive: true, force: true, maxRetries: 3 })
  }
}

/** Both are held until both are known, so that they differ. */
async function freePorts(): Promise<Ports> {
  const servers = [createServer(), createServer()]
  const ports: number[] = []
  for (const server of servers) {
    await once(server.listen(0, '127.0.0.1'), 'listening')
    ports.push((server.address() as AddressInfo).port)
  }
  for (const server of servers) await once(server.close(), 'close')
  const [plain = 0, tls = 0] = ports
  return { plain, tls }
}
