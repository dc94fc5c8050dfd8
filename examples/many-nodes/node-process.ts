import { type ChildProcess, fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'

const PROGRAM = new URL('./node.ts', import.meta.url)
/** For how long a node may take leave of its clients. */
const STOP_MS = 6_000

/** A node in a process of its own, and in another one when that has ended. */
export class NodeProcess extends EventEmitter<{ listening: []; end: [] }> {
  readonly name: string
  readonly port: number
  readonly #env: NodeJS.ProcessEnv
  readonly #restartMs: number
  #process: ChildProcess
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(name: string, port: number, env: NodeJS.ProcessEnv, restartMs: number) {
    super()
    this.name = name
    this.port = port
    this.#env = { ...env, NODE: name, PORT: String(port) }
    this.#restartMs = restartMs
    this.#process = this.#start()
  }

  /** For the log. */
  get vitals(): object {
    return { name: this.name, port: this.port, pid: this.#process.pid }
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const timer = setTimeout(() => this.kill(), STOP_MS)
    const exited = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    if (this.#process.connected) this.#process.disconnect()
    await exited
    clearTimeout(timer)
  }

  #start(): ChildProcess {
    return fork(PROGRAM, { env: this.#env })
      .once('message', () => this.emit('listening'))
      .once('exit', () => this.#processOnExit())
  }

  #processOnExit(): void {
    if (this.#isStopped) return
    this.emit('end')
    this.#timer = setTimeout(() => {
      this.#process = this.#start()
    }, this.#restartMs)
  }
}
