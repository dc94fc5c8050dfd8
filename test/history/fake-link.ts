import type { Dial, LinkListener, RedisLink } from '../../lib/history/redis/redis-link.ts'

/** Lets promises settle, which a fake clock does not stop. */
export async function turn(): Promise<void> {
  for (let i = 0; i < 20; i++) await undefined
}

interface Asked {
  readonly args: readonly string[]
  resolve(answer?: unknown): void
  reject(error: Error): void
}

/** A connection to a Redis that answers when the test says so. */
export class FakeLink implements RedisLink {
  readonly listener: LinkListener
  /** What has no answer yet: commands, `subscribe …` and `unsubscribe …`. */
  asked: Asked[] = []
  isDestroyed = false

  constructor(listener: LinkListener) {
    this.listener = listener
  }

  call(args: readonly string[]): Promise<unknown> {
    return new Promise((resolve, reject) => this.asked.push({ args, resolve, reject }))
  }

  async subscribe(names: readonly string[]): Promise<void> {
    if (names.length > 0) await this.call(['subscribe', ...names])
  }

  async unsubscribe(names: readonly string[]): Promise<void> {
    if (names.length > 0) await this.call(['unsubscribe', ...names])
  }

  destroy(): void {
    this.isDestroyed = true
    for (const { reject } of this.asked.splice(0)) reject(new Error('destroyed'))
  }

  /** Answers everything that was asked. @returns what that was. */
  async answer(): Promise<string[]> {
    const asked = this.asked.splice(0)
    for (const { resolve } of asked) resolve()
    await turn()
    return asked.map(({ args }) => args.join(' '))
  }

  /** Refuses everything that was asked. */
  async refuse(error: Error): Promise<void> {
    for (const { reject } of this.asked.splice(0)) reject(error)
    await turn()
  }

  /** The connection breaks by itself. */
  async break(): Promise<void> {
    for (const { reject } of this.asked.splice(0)) reject(new Error('broke'))
    this.listener.linkOnLost(new Error('broke'))
    await turn()
  }
}

/** Connections that are made, or fail, when the test says so. */
export class FakeDial {
  readonly links: FakeLink[] = []
  /** When each was begun, in milliseconds after the one before. */
  readonly delays: number[] = []
  #dialedAt = performance.now()
  #dialing: { resolve(link: FakeLink): void; reject(error: Error): void; listener: LinkListener } | undefined

  readonly dial: Dial = (listener) => {
    const now = performance.now()
    this.delays.push(now - this.#dialedAt)
    this.#dialedAt = now
    return new Promise((resolve, reject) => {
      this.#dialing = { resolve, reject, listener }
    })
  }

  get count(): number {
    return this.delays.length
  }

  /** The connection that is being made is there. */
  async connect(): Promise<FakeLink> {
    const { resolve, listener } = this.#take()
    const link = new FakeLink(listener)
    this.links.push(link)
    resolve(link)
    await turn()
    return link
  }

  async refuse(): Promise<void> {
    this.#take().reject(new Error('refused'))
    await turn()
  }

  #take() {
    const dialing = this.#dialing
    this.#dialing = undefined
    if (dialing === undefined) throw new Error('nobody dials')
    return dialing
  }
}
