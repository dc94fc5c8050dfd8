import type { FastifyRequest } from 'fastify'
import type { Output } from './output.ts'
import type { CloseReason, ConnectionState } from './sse-connection.ts'

/** The times that a connection keeps, in milliseconds. */
export interface DeadlineOptions {
  readonly heartbeatMs: number | false
  readonly heartbeatEvent: string | false
  readonly stallMs: number | false
  readonly maxAgeMs: number | false
}

/** A connection, as far as it does what it has to in time. */
export interface Timed {
  readonly request: FastifyRequest
  readonly state: ConnectionState
  readonly output: Output
  startHead(): void
  outputOnExpiry(): void
  end(reason: CloseReason): void
  evict(reason: CloseReason): void
}

/** What one connection has to do at which time, by the monotonic clock. */
export class Deadlines {
  readonly startedAt: number
  /** When the head was asked for. */
  #headAt: number | undefined
  readonly #options: DeadlineOptions
  readonly #endsAt: number | undefined
  #quietSince: number
  /** How many there were when it became quiet. */
  #bytes = -1
  #progressAt: number
  #flushedBytes = 0

  constructor(options: DeadlineOptions, now: number) {
    this.#options = options
    this.startedAt = now
    this.#quietSince = now
    this.#progressAt = now
    this.#endsAt = ageLimit(options, now)
  }

  get hasHeadStarted(): boolean {
    return this.#headAt !== undefined
  }

  startHead(now: number): void {
    this.#headAt = now
  }

  /** Whatever is due: its end, its head, a heartbeat, or that a reader who stalls is dropped. */
  beat(now: number, connection: Timed): void {
    const { output } = connection
    if (this.#endsAt !== undefined && now >= this.#endsAt) connection.end('expired')
    if (output.isExpired) connection.outputOnExpiry()
    if (connection.state === 'closed') return
    output.feed?.beat()
    if (!output.isOpen) this.#watchHead(now, connection)
    else if (output.bufferedBytes > 0) {
      if (this.#hasStalled(now, output.flushedBytes)) connection.evict('slow')
    } else if (this.#isSilent(now, output.bytes) && connection.state === 'open') {
      output.writeHeartbeat(this.#options.heartbeatEvent)
    }
  }

  #watchHead(now: number, connection: Timed): void {
    if (this.#isHeadDue(now)) connection.startHead()
    if (!this.#isHeadOverdue(now)) return
    const { stallMs } = this.#options
    connection.request.log.error({ stallMs }, 'the head of an event stream did not go out in time')
    connection.evict('error')
  }

  /** Whether a head that waits for the first message goes out without one. */
  #isHeadDue(now: number): boolean {
    const { heartbeatMs } = this.#options
    return this.#headAt === undefined && heartbeatMs !== false && now - this.startedAt >= heartbeatMs
  }

  /** Whether an `onSend` hook has held the head back for too long: it would hold the client for ever. */
  #isHeadOverdue(now: number): boolean {
    const { stallMs } = this.#options
    return this.#headAt !== undefined && stallMs !== false && now - this.#headAt >= stallMs
  }

  /** Whether a reader that is behind makes no progress. @param flushedBytes what it has taken so far. */
  #hasStalled(now: number, flushedBytes: number): boolean {
    if (flushedBytes > this.#flushedBytes) {
      this.#flushedBytes = flushedBytes
      this.#progressAt = now
    }
    const { stallMs } = this.#options
    return stallMs !== false && now - this.#progressAt >= stallMs
  }

  /** Whether a reader that has everything was sent nothing for too long. @param bytes what it was sent so far. */
  #isSilent(now: number, bytes: number): boolean {
    this.#progressAt = now
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#quietSince = now
    }
    const { heartbeatMs } = this.#options
    return heartbeatMs !== false && now - this.#quietSince >= heartbeatMs
  }
}

function ageLimit({ maxAgeMs }: DeadlineOptions, now: number): number | undefined {
  return maxAgeMs === false ? undefined : now + Math.floor(maxAgeMs * (1 - Math.random() / 10))
}
