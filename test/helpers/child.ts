import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { environmentOfPrograms, startProgram } from './guardian.ts'

interface Test {
  teardown(fn: () => unknown): void
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const STRIP_TYPES = './test/helpers/strip-types/register.js'
const FLAGS = ['--unhandled-rejections=strict', '--throw-deprecation', '--import', STRIP_TYPES]
/** Decorators are no types. */
const DECORATORS = ['--unhandled-rejections=strict', '--import', 'tsx']
/** With what comes after it, so that a port is never cut in two. */
const URL_PRINTED = /(https?:\/\/[^\s"]+:\d+)["\s]/

/** An example in a process of its own, which is gone at the latest when the test ends. */
export class Child {
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  /** What it printed so far. */
  output = ''
  readonly #process: ChildProcess
  #hasExited = false
  #waiters: (() => void)[] = []

  constructor(t: Test, example: string, env: Record<string, string> = {}) {
    this.#process = startProgram(
      process.execPath,
      [...(example.includes('nestjs') ? DECORATORS : FLAGS), example],
      {
        cwd: ROOT,
        env: {
          ...environmentOfPrograms(),
          PORT: '0',
          TSX_TSCONFIG_PATH: 'examples/nestjs/tsconfig.json',
          ...env
        },
        stdio: ['ignore', 'pipe', 'pipe']
      }
    )
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.output += text
        this.#wake()
      })
    }
    this.exited = once(this.#process, 'close').then(([code, signal]) => {
      this.#hasExited = true
      this.#wake()
      return { code, signal }
    })
    t.teardown(() => this.kill('SIGKILL'))
  }

  /** Starts an example, by its path in the project, and waits until it listens. */
  static async listening(
    t: Test,
    example: string,
    env?: Record<string, string>
  ): Promise<{ child: Child; url: string }> {
    const child = new Child(t, example, env)
    const [, url = ''] = await child.until(URL_PRINTED)
    return { child, url }
  }

  /** Resolves when what it printed matches; rejects when it ends before. */
  async until(pattern: RegExp): Promise<RegExpExecArray> {
    for (;;) {
      const match = pattern.exec(this.output)
      if (match !== null) return match
      if (this.#hasExited) throw new Error(`the example ended before it printed ${pattern}:\n${this.output}`)
      await new Promise<void>((resolve) => this.#waiters.push(resolve))
    }
  }

  /** Sends a signal that does not end the process. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process.kill(signal)
  }

  /** Sends the signal, and resolves when the process is gone. */
  async kill(signal: NodeJS.Signals): Promise<{ code: number | null; signal: NodeJS.Signals | null }> {
    if (!this.#hasExited) this.#process.kill(signal)
    return await this.exited
  }

  #wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const waiter of waiters) waiter()
  }
}
