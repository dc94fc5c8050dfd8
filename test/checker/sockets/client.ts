import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { ClientStream, type Plan } from './client-stream.ts'
import { Random } from './random.ts'
import { CHANNELS, type SubscriptionSetup } from './setup.ts'

const MAX_SUBSCRIPTIONS = 5
/** What nobody was ever told. */
const MADE_UP = ['x-1', '<b>', '0000000000-0123456789', 'a=b&c=d'] as const

type Wanted = Omit<SubscriptionSetup, 'afterMs'>

/** One of those who come back again and again: with the last id they have, mostly. */
export class Client {
  readonly number: number
  readonly streams: ClientStream[] = []
  readonly #wanted: readonly Wanted[]
  readonly #target: number | string
  readonly #version: '1.0' | '1.1'
  readonly #random: Random
  #isSettling = false
  readonly #settling = new AbortController()
  readonly #settled = once(this.#settling.signal, 'abort')

  /** @param targets the server's port and its Unix socket. */
  constructor(number: number, seed: number, targets: readonly [number, string]) {
    this.number = number
    this.#random = new Random(seed + 7_919 * (number + 1))
    this.#target = targets[number % 2] ?? targets[0]
    this.#version = number % 6 === 5 ? '1.0' : '1.1'
    this.#wanted = this.#chooseChannels()
  }

  get lastEventId(): string | undefined {
    return this.streams.at(-1)?.receiver.lastEventId
  }

  /** Comes and goes until it is to settle. @param others whose ids it takes now and then. */
  async run(others: readonly Client[]): Promise<void> {
    while (!this.#isSettling) {
      const stream = this.#connect(this.#chooseId(others))
      stream.follow(this.#plan())
      await Promise.race([stream.closed, this.#settled])
      await this.#stayAway()
    }
  }

  /** Reads everything that there is. Resolves when it has. */
  async settle(): Promise<void> {
    this.#isSettling = true
    this.#settling.abort()
    this.streams.at(-1)?.settle()
    while (this.streams.at(-1)?.hasCaughtUp !== true) {
      await this.streams.at(-1)?.done
      if (this.streams.at(-1)?.hasCaughtUp === true) return
      await this.streams.at(-1)?.closed
      this.#connect(this.lastEventId)
    }
  }

  leave(): Promise<void> | undefined {
    const stream = this.streams.at(-1)
    stream?.leave(this.#random.pick('reset', 'destroy', 'end'))
    return stream?.closed
  }

  #connect(lastEventId: string | undefined): ClientStream {
    const number = this.streams.length
    const query = new URLSearchParams({
      client: String(this.number),
      connection: String(number),
      subscriptions: JSON.stringify(this.#chooseSubscriptions())
    })
    const header = lastEventId === undefined ? '' : `Last-Event-ID: ${lastEventId}\r\n`
    const request = `GET /?${query} HTTP/${this.#version}\r\nHost: localhost\r\n${header}\r\n`
    const stream = new ClientStream(this.#target, request, number, lastEventId)
    this.streams.push(stream)
    return stream
  }

  async #stayAway(): Promise<void> {
    const ms = this.#random.happens(0.1) ? this.#random.integer(1_000, 2_500) : this.#random.integer(0, 200)
    if (!this.#isSettling) await sleep(ms, undefined, { signal: this.#settling.signal }).catch(() => {})
  }

  #plan(): Plan {
    const random = this.#random
    const stops = random.happens(0.3)
    return {
      leave: random.pick('reset', 'reset', 'destroy', 'end'),
      leaveAfterMs: stops ? random.integer(1_000, 6_000) : random.magnitude(5, 6_000),
      leaveAfterBytes: random.happens(0.5) ? random.magnitude(1, 400_000) : Infinity,
      stopAfterMs: stops ? random.integer(1, 1_000) : Infinity,
      stopForMs: random.integer(200, 2_500),
      restMs: random.happens(0.2) ? random.magnitude(2, 100) : 0
    }
  }

  #chooseId(others: readonly Client[]): string | undefined {
    const random = this.#random
    if (random.happens(0.9)) return this.lastEventId
    if (random.happens(0.4)) return others[random.integer(0, others.length - 1)]?.lastEventId
    return random.pick(undefined, ...MADE_UP)
  }

  #chooseChannels(): readonly Wanted[] {
    const random = this.#random
    const count = random.integer(1, MAX_SUBSCRIPTIONS)
    const channels = new Set([this.number % CHANNELS.length])
    while (channels.size < count) channels.add(random.integer(0, CHANNELS.length - 1))
    return [...channels].map((channel) => ({
      channel,
      from: random.pick('oldest', 'now'),
      resume: random.happens(0.95)
    }))
  }

  /** All that it wants, or some; in one turn, or with awaits between them that may take longer than is waited for. */
  #chooseSubscriptions(): readonly SubscriptionSetup[] {
    const random = this.#random
    const hasAll = random.happens(0.7)
    const some = this.#wanted.filter((_, number) => number === 0 || hasAll || random.happens(0.5))
    const maxMs = random.pick(0, 0, 20, 300)
    return some.map((wanted, number) => ({ ...wanted, afterMs: number === 0 ? 0 : random.integer(0, maxMs) }))
  }
}
