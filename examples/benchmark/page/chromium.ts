import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { removeFolder, startProgram, temporaryFolder } from '../../../test/helpers/guardian.ts'
import { executableOf } from '../../../test/helpers/programs.ts'
import { statOf } from '../process/stat.ts'

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync'
]

/** A Chromium that nobody debugs: what debuggers are told of an `EventSource` costs more than its events. */
export class Chromium {
  readonly #process: ChildProcess
  readonly #profile: string

  private constructor(child: ChildProcess, profile: string) {
    this.#process = child
    this.#profile = profile
  }

  static open(url: string): Chromium {
    const profile = temporaryFolder('benchmark')
    const args = [...FLAGS, `--user-data-dir=${profile}`, url]
    return new Chromium(startProgram(executableOf('chromium'), args, { stdio: 'ignore' }), profile)
  }

  /** CPU of all its processes so far, in microseconds. */
  cpu(): number {
    const parents = new Map<number, number>()
    const used = new Map<number, number>()
    for (const pid of readdirSync('/proc').map(Number).filter(Boolean)) {
      const stat = statOf(pid)
      if (stat === undefined) continue
      parents.set(pid, stat.parent)
      used.set(pid, stat.userUs + stat.systemUs)
    }
    const isOurs = (pid: number | undefined): boolean =>
      pid !== undefined && (pid === this.#process.pid || isOurs(parents.get(pid)))
    return [...used].reduce((total, [pid, own]) => (isOurs(pid) ? total + own : total), 0)
  }

  async close(): Promise<void> {
    this.#process.kill()
    if (this.#process.exitCode === null && this.#process.signalCode === null)
      await once(this.#process, 'exit')
    removeFolder(this.#profile)
  }
}
