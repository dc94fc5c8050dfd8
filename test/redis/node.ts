import { fileURLToPath } from 'node:url'
import type { ChannelOptions } from '../../lib/index.ts'
import { Child } from '../helpers/child.ts'

export const LIBRARIES = ['node-redis RESP2', 'node-redis RESP3', 'ioredis'] as const

export interface NodeSettings {
  readonly library: (typeof LIBRARIES)[number]
  readonly url: string
  readonly prefix: string
  readonly channels: Readonly<Record<string, ChannelOptions>>
}

export interface PublishQuestion {
  readonly names: readonly string[]
  readonly data: string
  readonly idempotencyKey?: string | undefined
}

export type PublishAnswer = { readonly id: string } | { readonly code: string; readonly message: string }

export interface Run {
  teardown(fn: () => unknown): void
}

const MAIN = fileURLToPath(new URL('./node-main.ts', import.meta.url))

/** A server as those see it who are on another machine. */
export class Node {
  readonly port: number
  readonly exited: Child['exited']
  readonly #child: Child
  readonly #url: string

  private constructor(child: Child, url: string) {
    this.#child = child
    this.#url = url
    this.port = Number(new URL(url).port)
    this.exited = child.exited
  }

  /** It is gone at the latest when the run ends. */
  static async start(run: Run, settings: NodeSettings): Promise<Node> {
    const { child, url } = await Child.listening(run, MAIN, { NODE_SETTINGS: JSON.stringify(settings) })
    return new Node(child, url)
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#child.output
  }

  /** Rejects if the node ended before it answered: it may have published or not. */
  async publish(question: PublishQuestion): Promise<PublishAnswer> {
    return await this.#ask('publish', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(question)
    })
  }

  async stats(): Promise<Record<'connections' | 'subscriptions' | 'channels', number>> {
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
