import { type LineListener, RedisLine } from './redis-line.ts'
import type { Dial, RedisLink } from './redis-link.ts'

export interface NoticesHost {
  /** All whose notices are wanted. */
  readonly noticeNames: Iterable<string>
  isWanted(name: string): boolean
  noticesOnReady(): void
  noticesOnLost(error: Error): void
  /** From now on notices come for these, if the connection holds. */
  noticesOnSubscribe(names: readonly string[]): void
  noticesOnNotice(name: string, told: string): void
}

/** Names that one command subscribes. */
const MAX_NAMES = 1_000
/** After which time without a probe that comes back the connection counts as broken. */
const BROKEN_MS = 5_000

/** The connection on which Redis tells of what is published. */
export class RedisNotices implements LineListener {
  readonly #host: NoticesHost
  readonly #line: RedisLine
  /** What `PUBLISH` brings back here if the connection works. */
  readonly #probeName: string
  /** Since when nothing has come back. */
  #probedAt: number | undefined
  readonly #changed = new Set<string>()

  constructor(host: NoticesHost, dial: Dial, probeName: string) {
    this.#host = host
    this.#line = new RedisLine(dial, this)
    this.#probeName = probeName
  }

  get isReady(): boolean {
    return this.#line.link !== undefined
  }

  start(): void {
    this.#line.start()
  }

  close(): void {
    this.#line.close()
  }

  /** The name is wanted, or is not any more. */
  change(name: string): void {
    if (this.#changed.size === 0) queueMicrotask(() => void this.#flush())
    this.#changed.add(name)
  }

  /** Something is published for the probe. @returns where. */
  probe(): string {
    const now = performance.now()
    if (this.isReady) this.#probedAt ??= now
    if (now - (this.#probedAt ?? now) > BROKEN_MS) {
      this.#probedAt = undefined
      this.#line.reset(new Error('Redis does not tell what is published'))
    }
    return this.#probeName
  }

  async lineOnLink(link: RedisLink): Promise<void> {
    this.#probedAt = undefined
    const names = [this.#probeName, ...this.#host.noticeNames]
    this.#changed.clear()
    await subscribe(link, names)
  }

  lineOnReady(): void {
    this.#host.noticesOnReady()
    void this.#flush()
  }

  lineOnLost(error: Error): void {
    this.#host.noticesOnLost(error)
  }

  lineOnMessage(name: string, body: string): void {
    this.#probedAt = undefined
    if (name !== this.#probeName) this.#host.noticesOnNotice(name, body)
  }

  /** On a connection that is not ready yet, all is subscribed or in `#changed` when it is. */
  async #flush(): Promise<void> {
    const { link } = this.#line
    if (link === undefined) return
    const changed = [...this.#changed]
    this.#changed.clear()
    const wanted = changed.filter((name) => this.#host.isWanted(name))
    const unwanted = changed.filter((name) => !this.#host.isWanted(name))
    try {
      await Promise.all([subscribe(link, wanted), link.unsubscribe(unwanted)])
      this.#host.noticesOnSubscribe(wanted)
    } catch (error) {
      if (this.#line.link === link) this.#line.reset(error as Error)
    }
  }
}

async function subscribe(link: RedisLink, names: readonly string[]): Promise<void> {
  const all: Promise<void>[] = []
  for (let i = 0; i < names.length; i += MAX_NAMES) all.push(link.subscribe(names.slice(i, i + MAX_NAMES)))
  await Promise.all(all)
}
