import type { Random } from '../checker/sockets/random.ts'
import type { Publication } from './publication.ts'
import type { World } from './world.ts'

interface LoadSettings {
  /** Messages per second, on all channels together. */
  readonly perSecond: number
  /** @defaultValue any */
  readonly node?: number
  readonly bytes?: readonly [min: number, max: number]
}

const PERIOD_MS = 20
const MAX_UNSETTLED = 500
const MAX_TRIES = 20

/** Publishes on all channels by any node, and tries again what may be tried again. */
export class Load {
  readonly #world: World
  readonly #random: Random
  readonly #settings: LoadSettings
  #timer: NodeJS.Timeout | undefined
  #isStopped = false
  readonly #unsettled = new Set<Promise<void>>()
  #count = 0

  constructor(world: World, random: Random, settings: LoadSettings) {
    this.#world = world
    this.#random = random
    this.#settings = settings
  }

  start(): this {
    this.#timer = setInterval(() => this.#tick(), PERIOD_MS)
    return this
  }

  /** Resolves when all that was published is settled. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearInterval(this.#timer)
    await Promise.all(this.#unsettled)
  }

  /** Many messages in one turn. */
  burst(channel: string, count: number): void {
    for (let i = 0; i < count; i++) this.#publish(channel)
  }

  #tick(): void {
    const { perSecond } = this.#settings
    const [first = '', ...others] = this.#world.channels
    const expected = (perSecond * PERIOD_MS) / 1_000
    for (let i = this.#random.next(); i < expected; i++) this.#publish(this.#random.pick(first, ...others))
  }

  #publish(channel: string): void {
    const node = this.#someNode()
    if (node === undefined || this.#unsettled.size >= MAX_UNSETTLED) return
    const bytes = this.#random.magnitude(...(this.#settings.bytes ?? [20, 1_000]))
    const key = this.#random.happens(0.5) ? { idempotencyKey: `load ${this.#count++}` } : {}
    const settled = this.#world
      .publish(channel, { node, bytes, ...key })
      .then((publication) => this.#retry(publication))
    this.#unsettled.add(settled)
    void settled.finally(() => this.#unsettled.delete(settled))
  }

  async #retry(publication: Publication): Promise<void> {
    for (let tries = 1; tries < MAX_TRIES && !this.#isStopped; tries++) {
      if (publication.idempotencyKey === undefined || publication.outcome === 'acknowledged') return
      const node = this.#someNode()
      if (node !== undefined) await publication.sendTo(this.#world.node(node))
      await new Promise((resolve) => setTimeout(resolve, PERIOD_MS))
    }
  }

  #someNode(): number | undefined {
    if (this.#settings.node !== undefined) return this.#settings.node
    const [first, ...others] = [...this.#world.nodes.keys()].filter((i) => this.#world.nodes[i] !== undefined)
    return first === undefined ? undefined : this.#random.pick(first, ...others)
  }
}
