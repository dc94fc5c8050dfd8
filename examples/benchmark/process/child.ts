import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Call, Reply } from './rpc.ts'

const STOP_MS = 5_000
const CALL_MS = 180_000

type Result<Method> = Method extends (...args: never[]) => infer R ? Awaited<R> : never
type Args<Method> = Method extends (...args: infer A) => unknown ? A : never
interface Pending {
  resolve(result: unknown): void
  reject(error: Error): void
  timer: NodeJS.Timeout
}

export interface ChildOptions {
  args?: readonly string[]
  nodeArgs?: readonly string[]
  /** Runs the file instead of Node, with the same options. */
  execPath?: string | undefined
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** A process of its own that answers the calls of `Methods`. It ends with the runner at the latest. */
export class Child<Methods extends object> {
  readonly #process: ChildProcess
  readonly #pending = new Map<number, Pending>()
  #calls = 0

  /** Process warnings so far. */
  readonly warnings: string[] = []

  constructor(file: string, { args = [], nodeArgs = [], execPath = process.execPath }: ChildOptions = {}) {
    const execArgv = [
      '--unhandled-rejections=strict',
      '--throw-deprecation',
      '--expose-gc',
      '--no-warnings',
      ...nodeArgs
    ]
    this.#process = fork(file, args, { execPath, execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    running.add(this.#process)
    this.#process.on('message', (reply: Reply) => this.#onReply(reply))
    this.#process.on('exit', (code, signal) => this.#onExit(code, signal))
  }

  call<Name extends keyof Methods & string>(
    method: Name,
    ...args: Args<Methods[Name]>
  ): Promise<Result<Methods[Name]>> {
    const id = ++this.#calls
    const call: Call = { id, method, args }
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id)?.reject(new Error(`${method} took too long`)), CALL_MS)
      this.#pending.set(id, { resolve: resolve as (result: unknown) => void, reject, timer })
      this.#process.send(call)
    })
  }

  /** It does nothing, and what it is sent waits, until `resume()`. */
  pause(): void {
    this.#process.kill('SIGSTOP')
  }

  resume(): void {
    this.#process.kill('SIGCONT')
  }

  /** Lets the process end by itself, and kills it when it does not. */
  async stop(): Promise<void> {
    if (!running.has(this.#process)) return
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), STOP_MS)
    const exited = once(this.#process, 'exit')
    if (this.#process.connected) this.#process.disconnect()
    await exited
    clearTimeout(timer)
  }

  #onReply(reply: Reply): void {
    if ('warning' in reply) {
      this.warnings.push(reply.warning)
      return
    }
    const pending = this.#settle(reply.id)
    if ('error' in reply) pending?.reject(new Error(reply.error))
    else pending?.resolve(reply.result)
  }

  #onExit(code: number | null, signal: string | null): void {
    running.delete(this.#process)
    for (const id of [...this.#pending.keys()]) {
      this.#settle(id)?.reject(new Error(`The process ended with ${signal ?? code} before it had answered`))
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id)
    this.#pending.delete(id)
    clearTimeout(pending?.timer)
    return pending
  }
}
