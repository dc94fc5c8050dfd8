import type { FastifyRequest } from 'fastify'
import type { Output } from './output.ts'
import { type CloseReason, type ConnectionState, Started } from './sse-connection.ts'

/** The times that a connection keeps, in milliseconds. */
export interface DeadlineOptions {
  readonly heartbeatMs: number | false
  readonly heartbeatEvent: string | false
  readonly stallMs: number | false
  readonly maxAgeMs: number | false
}

/** A connection, as far as it does what it has to in time, by the monotonic clock. */
export abstract class Timed extends Started {
  readonly startedAt: number
  protected readonly options: DeadlineOptions
  /** When the head was asked for. */
  #headAt: number | undefined
  readonly #endsAt: number | undefined
  /** Since when a reader that is behind has taken nothing, or one that is not was sent nothing. */
  #idleSince: number
  #isBehind = false
  /** How many bytes it had taken, or was sent, then. */
  #bytes = -1

  constructor(options: DeadlineOptions, now: number) {
    super()
    this.options = options
    this.startedAt = now
    this.#idleSince = now
    this.#endsAt = ageLimit(options, now)
  }

  abstract readonly request: FastifyRequest
  abstract readonly output: Output
  abstract get state(): ConnectionState
  abstract startHead(): void
  abstract outputOnExpiry(): void
  abstract end(reason: CloseReason): void
  abstract evict(reason: CloseReason): void

  protected get hasHeadStarted(): boolean {
    return this.#headAt !== undefined
  }

  protected noteHead(now: number): void {
    this.#headAt = now
  }

  /** Does whatever is due: its end, its head, a heartbeat, or that a reader who stalls is dropped. */
  beat(now: number): void {
    const { output } = this
    if (this.#endsAt !== undefined && now >= this.#endsAt) this.end('expired')
    if (output.isExpired) this.outputOnExpiry()
    if (this.state === 'closed') return
    output.feed?.beat()
    if (output.isOpen) this.#watchReader(now)
    else this.#watchHead(now)
  }

  #watchReader(now: number): void {
    const { output } = this
    const { stallMs, heartbeatMs, heartbeatEvent } = this.options
    const isBehind = output.bufferedBytes > 0
    const idleMs = this.#idleMs(now, isBehind, isBehind ? output.flushedBytes : output.bytes)
    if (isBehind) {
      if (isOver(idleMs, stallMs)) this.evict('slow')
    } else if (isOver(idleMs, heartbeatMs) && this.state === 'open') output.writeHeartbeat(heartbeatEvent)
  }

  #idleMs(now: number, isBehind: boolean, bytes: number): number {
    if (isBehind !== this.#isBehind || bytes > this.#bytes) {
      this.#isBehind = isBehind
      this.#bytes = bytes
      this.#idleSince = now
    }
    return now - this.#idleSince
  }

  /** A head that waits for the first message goes out without one; an `onSend` hook that holds it back would hold the client for ever. */
  #watchHead(now: number): void {
    const { stallMs, heartbeatMs } = this.options
    if (this.#headAt === undefined && isOver(now - this.startedAt, heartbeatMs)) this.startHead()
    if (this.#headAt === undefined || !isOver(now - this.#headAt, stallMs)) return
    this.request.log.error({ stallMs }, 'the head of an event stream did not go out in time')
    this.evict('error')
  }
}

function isOver(ms: number, limitMs: number | false): boolean {
  return limitMs !== false && ms >= limitMs
}

function ageLimit({ maxAgeMs }: DeadlineOptions, now: number): number | undefined {
  return maxAgeMs === false ? undefined : now + Math.floor(maxAgeMs * (1 - Math.random() / 10))
}
