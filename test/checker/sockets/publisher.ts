import type { Channel, EventStreams } from '../../../lib/types.ts'
import { bytesOnWire, payloadOf } from '../payload.ts'
import { now } from './clock.ts'
import { print } from './line.ts'
import type { Random } from './random.ts'
import { CHANNELS, KEYS } from './setup.ts'

const PERIOD_MS = 10
const BURST = { probability: 0.004, messages: 120 } as const

/** Publishes on all channels: one by one, many in one turn, and waiting for each. */
export class Publisher {
  /** The newest cursor of each channel. */
  readonly heads: string[]
  /** Bytes of the newest messages of each channel. */
  readonly recentBytes: readonly number[][] = CHANNELS.map(() => [])
  published = 0
  unsettled = 0
  largestMessage = 0
  readonly #channels: readonly Channel[]
  readonly #random: Random
  #timer: NodeJS.Timeout | undefined

  constructor(sse: EventStreams, heads: string[], random: Random) {
    this.heads = heads
    this.#channels = CHANNELS.map(({ name }) => sse.channel(name))
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
    const { name = '', sizes = [1, 1] } = CHANNELS[channel] ?? {}
    const number = this.published++
    const size = this.#random.magnitude(...sizes)
    const data = payloadOf(name, number, size)
    const event = this.#random.pick('message', 'tick')
    const key = `key ${this.#random.integer(0, KEYS - 1)}`
    this.#note(channel, bytesOnWire(event, data))
    const sentAt = now()
    const cursor = await this.#channels[channel]?.publish(event === 'message' ? { data } : { event, data }, {
      key
    })
    const acknowledgedAt = now()
    this.unsettled--
    if (cursor === undefined) return
    this.#noteHead(channel, cursor)
    print({ kind: 'publish', channel, number, size, event, key, id: cursor, sentAt, acknowledgedAt })
  }

  #note(channel: number, byteLength: number): void {
    this.unsettled++
    this.largestMessage = Math.max(this.largestMessage, byteLength)
    const recent = this.recentBytes[channel] ?? []
    recent.push(byteLength)
    const { maxMessages = 0 } = CHANNELS[channel]?.limits ?? {}
    if (recent.length > 2 * maxMessages) recent.splice(0, maxMessages)
  }

  /** Publishers that wait learn their cursors later than others. */
  #noteHead(channel: number, cursor: string): void {
    if (numberIn(cursor) > numberIn(this.heads[channel] ?? '')) this.heads[channel] = cursor
  }
}

/** Cursors of the memory history end with a number. */
export function numberIn(cursor: string): number {
  return Number(cursor.slice(cursor.indexOf('-') + 1))
}
