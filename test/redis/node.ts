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
export class ServerProcess {
  readonly port: number
  readonly exited: Child['exited']
  readonly #child: Child
  readonly #url: string

  protected constructor({ child, url }: { child: Child; url: string }) {
    this.#child = child
    this.#url = url
    this.port = Number(new URL(url).port)
    this.exited = child.exited
  }

  /** What it has printed so far. */
  get output(): string {
    return this.#child.output
  }

  /** Resolves when what it has printed matches. */
  async until(pattern: RegExp): Promise<void> {
    await this.#child.until(pattern)
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

  /** Rejects if the server ended before it answered. */
  protected async ask<Answer>(path: string, method = 'GET', body?: unknown): Promise<Answer> {
    const response = await fetch(`${this.#url}/${path}`, {
      method,
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body)
      })
    })
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Answer
  }
}

/** One whose channels are published to. */
export class Node extends ServerProcess {
  /** It is gone at the latest when the run ends. */
  static async start(run: Run, settings: NodeSettings): Promise<Node> {
    return new Node(await Child.listening(run, MAIN, { NODE_SETTINGS: JSON.stringify(settings) }))
  }

  /** Rejects if the node ended before it answered: it may have published or not. */
  async publish(question: PublishQuestion): Promise<PublishAnswer> {
    return await this.ask('publish', 'POST', question)
  }

  async stats(): Promise<Record<'connections' | 'subscriptions' | 'channels', number>> {
    return await this.ask('stats')
  }
}
