import { fileURLToPath } from 'node:url'
import type { EventStreamStats, RunEndState, RunInfo } from '../../../lib/index.ts'
import { Child } from '../../helpers/child.ts'
import { type Run, ServerProcess } from '../node.ts'

export interface RunNodeSettings {
  readonly url: string
  readonly prefix: string
  readonly leaseMs: number
  readonly keepEndedMs: number
}

/** What kind of run is asked for. */
export interface StartQuestion {
  /** What its messages say that they are of. */
  readonly source: string
  /** How many messages it has; `null`: it has no end. */
  readonly length: number | null
  readonly paceMs: number
  readonly fails: boolean
  readonly restart: boolean
}

const MAIN = fileURLToPath(new URL('./node-main.ts', import.meta.url))

/** A server whose runs are asked for from outside. */
export class RunNode extends ServerProcess {
  readonly name: string

  private constructor(name: string, started: { child: Child; url: string }) {
    super(started)
    this.name = name
  }

  /** It is gone at the latest when the run ends. */
  static async start(run: Run, name: string, settings: RunNodeSettings): Promise<RunNode> {
    const env = { NODE_SETTINGS: JSON.stringify(settings) }
    return new RunNode(name, await Child.listening(run, MAIN, env))
  }

  async begin(name: string, question: StartQuestion): Promise<{ created: boolean }> {
    return await this.ask(pathOf(name), 'PUT', question)
  }

  async end(name: string, reason: string): Promise<{ isThere: boolean }> {
    return await this.ask(`${pathOf(name)}?reason=${encodeURIComponent(reason)}`, 'DELETE')
  }

  /** Resolves when the run has ended. */
  async ended(name: string): Promise<{ ended: RunEndState; info: RunInfo | undefined }> {
    return await this.ask(`${pathOf(name)}/end`)
  }

  async stats(): Promise<EventStreamStats> {
    return await this.ask('stats')
  }
}

export function pathOf(name: string): string {
  return `runs/${encodeURIComponent(name)}`
}
