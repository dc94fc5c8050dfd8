import type { FastifyReply, FastifyRequest } from 'fastify'
import { checkMs } from '../base/check.ts'
import type { Counters } from '../base/counters.ts'
import {
  FST_ERR_EVENTSTREAM_ALREADY_STARTED,
  FST_ERR_EVENTSTREAM_CLOSING,
  FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE,
  FST_ERR_EVENTSTREAM_REPLY_SENT,
  FST_ERR_EVENTSTREAM_RETRY_LATER,
  FST_ERR_EVENTSTREAM_TOO_MANY,
  FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY
} from '../base/errors.ts'
import type { Connection } from '../connection/connection.ts'
import { acceptOf, takesEventStream, varyByAccept } from './accept.ts'
import { admit, type Limit } from './limit.ts'
import { connectionOf } from './raw-response.ts'
import { around, retryOnThrow, sendRetry } from './refusal.ts'
import type { ResolvedOptions, ResolvedStartOptions } from './resolved-options.ts'
import { optionsOfRoute } from './route-options.ts'
import type { StreamLog } from './stream-log.ts'

/** Who may start a stream, and what the others are told. */
export class Admission {
  readonly #options: ResolvedOptions
  readonly #counters: Counters
  readonly #log: StreamLog
  /** Those that gave way to a stream, and may still have to take what was sent to them. */
  readonly #replaced = new WeakMap<Connection, ReadonlySet<Connection>>()
  #isOver = false

  constructor(options: ResolvedOptions, counters: Counters, log: StreamLog) {
    this.#options = options
    this.#counters = counters
    this.#log = log
  }

  /** Whether nobody may any more. */
  get isOver(): boolean {
    return this.#isOver
  }

  end(): void {
    this.#isOver = true
  }

  /**
   * @throws FST_ERR_EVENTSTREAM_ALREADY_STARTED, FST_ERR_EVENTSTREAM_REPLY_SENT, FST_ERR_EVENTSTREAM_CLOSING or
   * FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE
   */
  assertStartable(request: FastifyRequest, reply: FastifyReply, { checkAccept }: ResolvedStartOptions): void {
    if (connectionOf(reply) !== undefined) throw new FST_ERR_EVENTSTREAM_ALREADY_STARTED()
    if (reply.sent || reply.raw.headersSent) throw new FST_ERR_EVENTSTREAM_REPLY_SENT()
    if (this.#isOver) {
      if (request.raw.httpVersionMajor === 1) reply.header('connection', 'close')
      throw this.#refusal(reply, new FST_ERR_EVENTSTREAM_CLOSING())
    }
    if (!checkAccept) return
    varyByAccept(reply)
    const accept = acceptOf(request)
    if (!takesEventStream(accept)) throw new FST_ERR_EVENTSTREAM_NOT_ACCEPTABLE(String(accept))
  }

  /**
   * Counts a new stream, for which others may have to end.
   *
   * @throws FST_ERR_EVENTSTREAM_TOO_MANY or FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY
   */
  admit(connection: Connection, reply: FastifyReply): void {
    try {
      const replaced = admit(this.#limitsOf(connection), connection)
      if (replaced.size > 0) this.#replaced.set(connection, replaced)
      for (const stream of replaced) {
        stream.end('replaced')
        this.#evictReplacedBy(stream)
      }
    } catch (error) {
      const isRefusal =
        error instanceof FST_ERR_EVENTSTREAM_TOO_MANY || error instanceof FST_ERR_EVENTSTREAM_TOO_MANY_PER_KEY
      throw isRefusal ? this.#refusal(reply, error) : error
    }
  }

  /** A stream has closed. */
  release(connection: Connection): void {
    for (const limit of this.#limitsOf(connection)) limit.delete(connection)
    this.#evictReplacedBy(connection)
  }

  /** What `reply.sseRetryAfter()` does. */
  retryAfter(reply: FastifyReply, ms: number | undefined): FastifyReply {
    if (ms !== undefined) checkMs('ms', ms)
    if (reply.sent || reply.raw.headersSent) throw new FST_ERR_EVENTSTREAM_REPLY_SENT()
    const error = new FST_ERR_EVENTSTREAM_RETRY_LATER()
    if (reply.statusCode >= 400) error.statusCode = reply.statusCode
    this.#note(reply, error)
    return sendRetry(reply, error, ms === undefined ? this.#options.retryMs : around(ms))
  }

  /** An error for the handler to throw: then the client is told when to come back. */
  #refusal(reply: FastifyReply, error: Error & { code: string }): Error {
    this.#note(reply, error)
    retryOnThrow(reply, error, this.#options.retryMs)
    return error
  }

  /** One that does not read must not be one of many: each stream that counts has at most those that gave way to it. */
  #evictReplacedBy(connection: Connection): void {
    for (const stream of this.#replaced.get(connection) ?? []) stream.evict('replaced')
    this.#replaced.delete(connection)
  }

  /** The plugin's, and its route's own. */
  #limitsOf({ request }: Connection): Limit<Connection>[] {
    return [this.#options.limit, optionsOfRoute(request)?.limit].filter((limit) => limit !== undefined)
  }

  #note({ request }: FastifyReply, { code }: { code: string }): void {
    this.#counters.refused++
    this.#log.tellRefused(request, code)
  }
}
