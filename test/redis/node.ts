import { fileURLToPath } from 'node:url'
import type { RedisHistoryOptions } from '../../lib/index.ts'
import type { EventStreamStats } from '../../lib/types.ts'
import { Child } from '../helpers/child.ts'
import type { LogLine } from '../helpers/server.ts'

export const LIBRARIES = ['node-redis RESP2', 'node-redis RESP3', 'ioredis'] as const

export type HistorySettings = Omit<RedisHistoryOptions, 'client' | 'url'>

export interface NodeSettings {
  readonly library: (typeof LIBRARIES)[number]
  readonly url: string
  readonly history: HistorySettings
  /** Of channels that have a history of their own. */
  readonly ownHistories: Readonly<Record<string, HistorySettings>>
}

export interface PublishQuestion {
  readonly channel: string
  readonly data: string
  readonly idempotencyKey?: string | undefined
}

export type PublishAnswer = { readonly id: string } | { readonly code: string; readonly message: string }

interface Run {
  teardown(fn: () => unknown): void
}

const MAIN = fileURLToPath(new URL('./node-main.ts', import.meta.url))

/** A node as those see it who are on another machine. */
export class Node {
  readonly port: number
  readonly library: NodeSettings['library']
  readonly exited: Child['exited']
  readonly #child: Child
  readonly #url: string

  private constructor(child: Child, url: string, { library }: NodeSettings) {
    this.#child = child
    this.#url = url
    this.port = Number(new URL(url).port)
    this.library = library
    this.exited = child.exited
  }

  /** It is gone at the latest when the run ends. */
  static async start(run: Run, settings: NodeSettings): Promise<Node> {
    const { child, url } = await Child.listening(run, MAIN, { NODE_SETTINGS: JSON.stringify(settings) })
    return new Node(child, url, settings)
  }

  /** What the node has printed so far. */
  get output(): string {
    return this.#child.output
  }

  get log(): LogLine[] {
    const lines = this.output.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'))
    return lines.map((line) => JSON.parse(line))
  }

  /** Rejects if the node ended before it answered: it may have published or not. */
  async publish(question: PublishQuestion): Promise<PublishAnswer> {
    return await this.#ask('publish', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(question)
    })
  }

  async stats(): Promise<EventStreamStats> {
    return await this.#ask('stats')
  }

  async kill(): Promise<void> {
    await this.#child.kill('SIGKILL')
  }

  /** It does nothing until it is resumed. */
  pause(): void {
    this.#child.signal('SIGSTOP')
  }

  resume(): void {
    this.#child.signal('SIGCONT')
  }

  /** Ends as servers do that are replaced. */
  async stop(): Promise<void> {
    await this.#child.kill('SIGTERM')
  }

  async #ask<Answer>(path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await fetch(`${this.#url}/${path}`, init)
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Answer
  }
}
