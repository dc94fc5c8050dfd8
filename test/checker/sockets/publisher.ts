import type { EventStreams } from '../../../lib/index.ts'
import { bytesOnWire, payloadOf } from '../payload.ts'
import { now } from './clock.ts'
import { print } from './line.ts'
import type { Random } from './random.ts'
import { CHANNELS, KEYS, nameOf } from './setup.ts'

const PERIOD_MS = 10
const BURST = { probability: 0.004, messages: 120 } as const

/** Publishes on all channels: one by one, many in one turn, and waiting for each. */
export class Publisher {
  /** Bytes of the newest messages of each channel. */
  readonly recentBytes: readonly number[][] = CHANNELS.map(() => [])
  published = 0
  unsettled = 0
  largestMessage = 0
  readonly #sse: EventStreams
  readonly #random: Random
  #timer: NodeJS.Timeout | undefined

  constructor(sse: EventStreams, random: Random) {
    this.#sse = sse
    this.#random = random
  }

  start(): void {
    this.#timer = setInterval(() => {
      for (const [channel, { perSecond }] of CHANNELS.entries()) this.#act(channel, perSecond)
    }, PERIOD_MS)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #act(channel: number, perSecond: number): void {
    const isSmall = perSecond >= 40
    if (isSmall && this.#random.happens(BURST.probability)) this.#publishMany(channel, BURST.messages)
    if (!this.#random.happens((perSecond * PERIOD_MS) / 3_000)) return
    const messages = this.#random.integer(1, 5)
    if (this.#random.happens(0.5)) this.#publishMany(channel, messages)
    else void this.#publishEach(channel, messages)
  }

  #publishMany(channel: number, messages: number): void {
    for (let i = 0; i < messages; i++) void this.#publish(channel)
  }

  async #publishEach(channel: number, messages: number): Promise<void> {
    for (let i = 0; i < messages; i++) await this.#publish(channel)
  }

  async #publish(channel: number): Promise<void> {
    const { sizes = [1, 1], also } = CHANNELS[channel] ?? {}
    const channels = also !== undefined && this.#random.happens(0.3) ? [channel, also] : [channel]
    const names = channels.map(nameOf)
    const number = this.published++
    const size = this.#random.magnitude(...sizes)
    const data = payloadOf(names.join('+'), number, size)
    const event = this.#random.pick('message', 'tick')
    const key = `key ${this.#random.integer(0, KEYS - 1)}`
    this.#note(channels, bytesOnWire(event, data))
    const sentAt = now()
    const id = await this.#sse.publish(names, event === 'message' ? { data } : { event, data }, { key })
    const acknowledgedAt = now()
    this.unsettled--
    print({ kind: 'publish', channels, number, size, event, key, id, sentAt, acknowledgedAt })
  }

  #note(channels: readonly number[], byteLength: number): void {
    this.unsettled++
    this.largestMessage = Math.max(this.largestMessage, byteLength)
    for (const channel of channels) {
      const recent = this.recentBytes[channel] ?? []
      recent.push(byteLength)
      const { maxMessages = 0 } = CHANNELS[channel]?.limits ?? {}
      if (recent.length > 2 * maxMessages) recent.splice(0, maxMessages)
    }
  }
}
