import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { EventStreams } from '../../../lib/index.ts'
import { now } from './clock.ts'
import { print } from './line.ts'
import type { ObservedStream } from './observed-stream.ts'
import type { Publisher } from './publisher.ts'
import { CHANNELS } from './setup.ts'

const PERIOD_MS = 20
const MEMORY_PERIOD_MS = 1_000
/** What one batch takes, and what ids and framing add to it. */
const BATCH_BYTES = 65_536 + 40_000
const MAX_BUFFERED_BYTES = 262_144
const MEBIBYTE = 1_048_576
const MAX_GROWTH = { heap: 24 * MEBIBYTE, 'resident set': 160 * MEBIBYTE } as const

/** Looks again and again where the connections stand, and how much is held. */
export class Sampler {
  readonly #sse: EventStreams
  readonly #publisher: Publisher
  readonly #streams: ReadonlySet<ObservedStream>
  readonly #collectGarbage: () => void
  #memoryBefore: Readonly<Record<string, number>> | undefined
  #timers: readonly NodeJS.Timeout[] = []

  constructor(sse: EventStreams, publisher: Publisher, streams: ReadonlySet<ObservedStream>) {
    this.#sse = sse
    this.#publisher = publisher
    this.#streams = streams
    setFlagsFromString('--expose-gc')
    this.#collectGarbage = runInNewContext('gc')
  }

  /** @param warmUpMessages how many are published before memory must not grow any more. */
  start(warmUpMessages: number): void {
    this.#timers = [
      setInterval(() => void this.look(), PERIOD_MS),
      setInterval(() => this.#sampleMemory(warmUpMessages), MEMORY_PERIOD_MS)
    ]
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer)
  }

  /** What holds before and after a turn in which nothing is published or flushed is not about to change. */
  async look(): Promise<boolean> {
    await turn()
    const before = this.#activity()
    const standing = this.#standing()
    await turn()
    if (this.#activity() !== before) return false
    const after = this.#standing()
    const at = now()
    for (const [stream, place] of standing) if (after.get(stream) === place) stream.noteStanding(at)
    this.#sampleStreams()
    // What comes after a gap is held until the application has answered, and until a handler has settled.
    if ([...this.#streams].every(({ isHeldFor }) => !isHeldFor)) await this.#sampleHistory()
    return true
  }

  #activity(): string {
    return `${this.#publisher.published} ${this.#sse.stats().flushSlices}`
  }

  #standing(): Map<ObservedStream, string> {
    const standing = [...this.#streams].filter(({ isAtHead }) => isAtHead)
    return new Map(standing.map((stream) => [stream, stream.place]))
  }

  async #sampleHistory(): Promise<void> {
    const counts = await this.kept()
    for (const [channel, { name, limits }] of CHANNELS.entries()) {
      const kept = counts[channel] ?? 0
      const recent = this.#publisher.recentBytes[channel] ?? []
      const bytes = recent.slice(recent.length - kept).reduce((sum, next) => sum + next, 0)
      sample(`messages kept of ${name}`, kept, limits.maxMessages)
      if (kept > 1) sample(`bytes kept of ${name}`, bytes, limits.maxBytes)
    }
  }

  /** How many messages each channel keeps. */
  async kept(): Promise<readonly number[]> {
    const infos = await Promise.all(CHANNELS.map(({ name }) => this.#sse.channel(name).info()))
    return infos.map(({ messages }) => messages)
  }

  #sampleStreams(): void {
    for (const { connection, client, hasSentAny } of this.#streams) {
      if (connection.state === 'closed') continue
      const writeBytes = connection.socket.writableHighWaterMark + BATCH_BYTES
      const sentBytes = hasSentAny ? MAX_BUFFERED_BYTES : 0
      const bound = writeBytes + sentBytes + this.#publisher.largestMessage
      sample(`bytes waiting for client ${client}`, connection.bufferedBytes, bound)
    }
  }

  #sampleMemory(warmUpMessages: number): void {
    if (this.#publisher.published < warmUpMessages) return
    this.#memoryBefore ??= this.#memory()
    const before = this.#memoryBefore
    for (const [name, bytes] of Object.entries(this.#memory())) {
      const bound = MAX_GROWTH[name as keyof typeof MAX_GROWTH]
      sample(`growth of the ${name}`, bytes - (before[name] ?? 0), bound)
    }
  }

  #memory(): Record<keyof typeof MAX_GROWTH, number> {
    this.#collectGarbage()
    const { heapUsed, external, rss } = process.memoryUsage()
    return { heap: heapUsed + external, 'resident set': rss }
  }
}

/** Only what is over its bound is of interest. */
function sample(name: string, value: number, bound: number): void {
  if (!(value <= bound)) print({ kind: 'sample', name, value, bound })
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
