import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { Deferred } from '../base/deferred.ts'
import {
  expected,
  FST_ERR_EVENTSTREAM_INVALID_MESSAGE,
  FST_ERR_EVENTSTREAM_INVALID_OPTION
} from '../base/errors.ts'
import { monotonicMs, wallClockMs } from '../base/monotonic-ms.ts'
import { isThenable } from '../base/thenable.ts'
import type { Place } from '../history/place.ts'
import { Batch, PIECE_BYTES } from '../wire/batch.ts'
import { encodeComment, encodeMessage, encodeRetry, type Frame, type FrameOptions } from '../wire/frame.ts'
import { assertNoId, type Declaration, type Message } from '../wire/message.ts'
import type { Feed } from './feed.ts'
import type { Work } from './flush.ts'
import { nextTurn } from './next-turn.ts'
import { Outbox } from './outbox.ts'
import { type Sink, sendFrom } from './source.ts'
import type {
  AnySubscription,
  CloseReason,
  ConnectionState,
  Source,
  SSEConnection
} from './sse-connection.ts'
import type { Transport, TransportListener } from './transport/transport.ts'

const SETTLED: Promise<void> = Promise.resolve()
const HEARTBEAT = new Batch(': \n\n', 0)
/** How many batches one connection writes before others have their turn. */
const MAX_BATCHES = 4

/** What a connection needs from whoever holds it. */
export interface ConnectionHost {
  /** While true, streams that end give their sockets up instead of leaving them to a next request. */
  readonly closing: boolean

  /** Asks for one call of `work()` at the end of this turn of the event loop. */
  scheduleFlush(connection: Connection): void

  /** Told after every change of `state`. */
  connectionOnState(connection: Connection): void
}

/** A stream's options, as far as a connection needs them. */
export interface ConnectionOptions extends FrameOptions {
  readonly heartbeatMs: number | false
  readonly maxBufferedBytes: number
  readonly stallMs: number | false
  readonly maxAgeMs: number | false
  readonly retryMs: readonly [min: number, max: number] | false
  readonly cursorEvent: string | false
  readonly farewellFrame: Frame | undefined
  readonly shutdownFrame: Frame | undefined
  readonly expiresAt?: Date | number
  readonly context?: unknown
}

const NO_SUBSCRIPTIONS: readonly AnySubscription[] = Object.freeze([])

/**
 * ```
 *  opening ──open()──▶ open ──close()──▶ closing ──last byte has left──▶ closed
 *     │                  │                  │                              ▲
 *     └──────────────────┴── peer gone, too slow, destroyed ───────────────┘
 * ```
 * What is sent to this connection alone waits in the outbox, where it is counted; what is published stays where it is
 * until the transport takes it. Both leave in the order of the calls, by their places in the history.
 */
export class Connection implements SSEConnection, TransportListener, Sink, Work {
  // What a broadcast touches comes first: in the cache lines of 10,000 connections, the order of fields can be measured.
  #feed: Feed | undefined
  /** From the first message on that is sent to this connection alone. */
  #outbox: Outbox | undefined
  #transport: Transport
  /** The last place that is still written, once the end has come; 0 when last words are the last. */
  #lastPlace: Place | undefined
  /** Whether the transport takes a write now. */
  #isReady = false
  /** Whether 64 KiB were written in this turn, so that senders who wait let others run first. */
  #isYielding = false
  /** Whether a share is being written: what the application is asked meanwhile may ask for another. */
  #isWriting = false
  #isQuiet = false
  #state: ConnectionState = 'opening'
  #messages = 0
  #bytes = 0
  #drained: Deferred<void> | undefined
  #isScheduled = false

  readonly request: FastifyRequest
  readonly #options: ConnectionOptions
  readonly #declared: Declaration | undefined
  readonly #host: ConnectionHost
  #reason: CloseReason | undefined
  #error: unknown
  #isBeforeHead = true
  /** When the head was asked for. */
  #headAt: number | undefined
  #isEnded = false
  #closed: Deferred<CloseReason> | undefined
  #controller: AbortController | undefined

  /** What is waited for before the connection's subscriptions are taken for complete: the handler, and promises. */
  #waits = 1
  #hasHandled = false
  /** Milliseconds of the monotonic clock, like all that follow. */
  readonly startedAt: number
  readonly #expiresAt: number | undefined
  #quietSince: number
  #progressAt: number
  #flushedBytes = 0

  /**
   * @param transport stands for the response until `open()`; only its `destroy()` and `end()` are called.
   * @param declared the events that may be sent; all if there are none.
   */
  constructor(
    request: FastifyRequest,
    options: ConnectionOptions,
    transport: Transport,
    host: ConnectionHost,
    now: number,
    declared?: Declaration
  ) {
    this.request = request
    this.#options = options
    this.#declared = declared
    this.#transport = transport
    this.#host = host
    this.startedAt = now
    this.#quietSince = now
    this.#progressAt = now
    this.#expiresAt = expiryOf(options, now)
  }

  get socket(): Socket {
    return this.request.raw.socket
  }

  get state(): ConnectionState {
    return this.#state
  }

  get reason(): CloseReason | undefined {
    return this.#reason
  }

  get messages(): number {
    return this.#messages
  }

  get bytes(): number {
    return this.#bytes
  }

  get lastEventId(): string | undefined {
    // Node joins the values of several headers (RFC 9110, section 5.3).
    const header = String(this.request.headers['last-event-id'] ?? '')
      .split(', ')
      .at(-1)
    if (header !== undefined && header !== '') return header
    const { query } = this.request
    if (typeof query !== 'object' || query === null || !('lastEventId' in query)) return undefined
    const { lastEventId } = query
    const last = String((Array.isArray(lastEventId) ? lastEventId.at(-1) : lastEventId) ?? '')
    return last === '' ? undefined : last
  }

  get openedAt(): number {
    return wallClockMs(this.startedAt)
  }

  get context(): unknown {
    return this.#options.context
  }

  get subscriptions(): readonly AnySubscription[] {
    return this.#feed?.subscriptions ?? NO_SUBSCRIPTIONS
  }

  /** `StreamOptions.cursorEvent` */
  get cursorEvent(): string | false {
    return this.#options.cursorEvent
  }

  get bufferedBytes(): number {
    return this.#pendingBytes + this.#transport.bufferedBytes
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (!this.#isAccepting) this.#abort()
    }
    return this.#controller.signal
  }

  get closed(): Promise<CloseReason> {
    if (this.#closed === undefined) {
      this.#closed = new Deferred()
      if (this.#state === 'closed' && this.#reason !== undefined) this.#closed.resolve(this.#reason)
    }
    return this.#closed.promise
  }

  send(message: Message | string): Promise<void> {
    if (this.#feed?.isActive) assertOwn(message, this.#feed)
    const frame = encodeMessage(message, this.#options, this.#declared)
    if (!this.#accept(frame)) return nextTurn()
    this.#messages++
    return this.#mayContinue()
  }

  sendAll(source: Source): Promise<void> {
    return sendFrom(source, this, (err) => {
      this.request.log.error({ err }, 'event stream source failed')
      this.fail(err)
    })
  }

  comment(text = ''): Promise<void> {
    return this.#accept(encodeComment(text, this.#options)) ? this.#mayContinue() : nextTurn()
  }

  waitFor(promise: PromiseLike<unknown>): void {
    if (!isThenable(promise)) {
      throw new FST_ERR_EVENTSTREAM_INVALID_OPTION(expected('what is waited for', 'a promise', promise))
    }
    this.#waits++
    const done = (): void => this.#settleOne()
    promise.then(done, done)
  }

  /** The request's handler has done what it does for the connection. May be told again. */
  handlerOnSettle(): void {
    if (this.#hasHandled) return
    this.#hasHandled = true
    this.#settleOne()
  }

  /** Whether the connection's subscriptions are complete, as far as it can be told. */
  get isSettled(): boolean {
    return this.#waits === 0
  }

  close(): void {
    this.#end('server', this.#options.farewellFrame)
  }

  destroy(): void {
    this.evict('server')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
    await this.closed
  }

  /** `destroy()` for this reason. */
  evict(reason: CloseReason): void {
    if (this.#state === 'closed') return
    this.#finish(reason)
    this.#transport.destroy()
  }

  /** Ends the stream with reason `error`, without a farewell and without a word of the error. */
  fail(error: unknown): void {
    this.#error ??= error
    this.#end('error')
  }

  /** Ends the stream with reason `shutdown`, asks the client to come back a little later, and gives the socket up. */
  shutdown(): void {
    this.#end('shutdown', this.#options.shutdownFrame, this.#retryFrame())
    if (this.#isEnded) this.#endTransport()
  }

  /** Lets the head go out, if it has not begun to. */
  startHead(): void {
    if (!this.#isBeforeHead || this.#headAt !== undefined) return
    this.#headAt = monotonicMs()
    this.#transport.start()
  }

  /** The head is complete: from here on `transport` takes the stream. */
  open(transport: Transport): void {
    this.#transport = transport
    this.#isBeforeHead = false
    this.#isReady = true
    if (this.#state === 'opening') this.#setState('open')
    if (this.#state === 'open' && this.#pendingBytes === 0) this.#schedule()
    else this.flush()
  }

  /** Another answer is given instead of the stream: the connection closes with it, for this reason. */
  abandon(reason: CloseReason, error?: unknown): void {
    this.#reason ??= reason
    this.#error ??= error
  }

  get feed(): Feed | undefined {
    return this.#feed
  }

  /** Takes from `feed` from now on. */
  attach(feed: Feed): void {
    this.#feed = feed
  }

  /** The feed may have something. @returns whether it is asked for it in this turn. */
  feedOnChange(): boolean {
    if (this.#isReady) this.#schedule()
    return this.#isReady
  }

  isOf(host: ConnectionHost): boolean {
    return this.#host === host
  }

  /** Writes what is pending, as far as the transport takes it: a share now, and the rest in turn with others. */
  flush(): void {
    if (this.writeShare()) this.#schedule()
  }

  /** Writes a share of what is pending. @returns whether there is more that the transport takes now. */
  writeShare(): boolean {
    if (this.#isWriting) return false
    this.#isWriting = true
    this.#isYielding = false
    let batches = 0
    let hasMore = false
    try {
      while (this.#isReady && batches < MAX_BATCHES) {
        const step = this.#writeNext()
        hasMore = step === 'later'
        if (step !== 'written') break
        batches++
      }
    } finally {
      this.#isWriting = false
    }
    if (batches === MAX_BATCHES || (hasMore && this.#isReady)) return true
    if (this.#pendingBytes > 0 || (this.#feed !== undefined && !this.#isReady)) return false
    if (this.#state === 'closing') this.#endTransport()
    else if (this.#isReady) this.#settle()
    return false
  }

  /** The share of a flush that was scheduled. */
  work(): boolean {
    this.#isScheduled = false
    if (this.writeShare()) this.#isScheduled = true
    return this.#isScheduled
  }

  /** One look at the clock: an expiry, a reader that stalls, a stream that was quiet for too long. */
  beat(now: number): void {
    if (this.#expiresAt !== undefined && now >= this.#expiresAt) this.#end('expired', this.#retryFrame())
    if (this.#state === 'closed') return
    if (this.#isBeforeHead) this.#watchHead(now)
    else if (this.bufferedBytes > 0) this.#watchProgress(now)
    else this.#watchSilence(now)
  }

  transportOnDrain(): void {
    if (this.#state === 'closed') return
    this.#isReady = true
    this.flush()
  }

  transportOnError(error: unknown): void {
    this.abandon('error', error)
    this.evict('error')
  }

  transportOnClose(): void {
    this.#finish('client')
  }

  sourceOnStopError(err: unknown): void {
    this.request.log.warn({ err }, 'event stream source failed to stop')
  }

  #settleOne(): void {
    this.#waits--
    if (this.isSettled) this.#feed?.connectionOnSettle()
  }

  get #pendingBytes(): number {
    return this.#outbox === undefined ? 0 : this.#outbox.byteLength
  }

  get #isAccepting(): boolean {
    return this.#state === 'opening' || this.#state === 'open'
  }

  /** The last place that may be written now. */
  get #limit(): Place {
    if (this.#outbox !== undefined && !this.#outbox.isEmpty) return this.#outbox.place
    return this.#lastPlace ?? Infinity
  }

  #accept(frame: Frame): boolean {
    if (!this.#isAccepting) return false
    if (!this.#isReady && this.bufferedBytes > this.#options.maxBufferedBytes) {
      this.evict('slow')
      return false
    }
    this.#append(frame)
    return true
  }

  #schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#host.scheduleFlush(this)
  }

  #writeNext(): 'written' | 'later' | 'nothing' {
    const limit = this.#limit
    const outbox = this.#outbox
    const batch = outbox?.isCut ? undefined : this.#feed?.take(limit)
    if (!this.#isReady) return 'nothing'
    if (batch === 'later') return 'later'
    if (batch === 'held') {
      this.#transport.start()
      return 'nothing'
    }
    if (batch !== undefined) this.#writeBatch(batch)
    else if (limit !== Infinity && !outbox?.isCut && this.#feed?.isDue(limit)) return 'later'
    else if (outbox === undefined || outbox.isEmpty) return 'nothing'
    else this.#noteWrite(this.#transport.write(outbox.take()))
    return 'written'
  }

  #writeBatch(batch: Batch): void {
    this.#messages += batch.messages
    this.#bytes += batch.byteLength
    this.#isQuiet = false
    this.#noteWrite(this.#transport.writeBatch(batch))
  }

  #noteWrite(mayContinue: boolean): void {
    this.#isReady = mayContinue
    if (!mayContinue) this.#feed?.connectionOnBlock()
  }

  #append(frame: Frame): void {
    this.startHead()
    this.#outbox ??= new Outbox()
    const outbox = this.#outbox
    if (this.#isReady && outbox.isEmpty) this.#schedule()
    if (this.#feed === undefined) outbox.append(frame)
    else outbox.appendAfter(this.#feed.head, frame)
    this.#bytes += frame.byteLength
    this.#isQuiet = false
    if (this.#isReady && outbox.byteLength >= PIECE_BYTES) this.#flushEarly()
  }

  /** More than one turn's share: writes it now, and lets those who wait go on in the next turn. */
  #flushEarly(): void {
    this.flush()
    this.#isYielding = true
    this.#schedule()
  }

  /** After the end this is the next turn: who does nothing but wait for `send()` would never let go of the present one. */
  #mayContinue(): Promise<void> {
    const isWaiting = this.#isYielding || (this.#state === 'open' && !this.#isReady)
    if (!this.#isAccepting) return nextTurn()
    if (!isWaiting && this.#pendingBytes < PIECE_BYTES) return SETTLED
    this.#drained ??= new Deferred()
    return this.#drained.promise
  }

  /** Nothing is pending. */
  #settle(): void {
    this.#transport.start()
    this.#settleDrained()
  }

  #settleDrained(): void {
    this.#drained?.resolve()
    this.#drained = undefined
  }

  #end(reason: CloseReason, ...last: (Frame | undefined)[]): void {
    if (!this.#isAccepting) return
    for (const frame of last) if (frame !== undefined) this.#append(frame)
    this.#lastPlace = last.every((frame) => frame === undefined) ? (this.#feed?.head ?? 0) : 0
    this.#reason ??= reason
    this.startHead()
    this.#setState('closing')
    this.flush()
    this.#abort()
  }

  /** Called again to give up a socket that was left to a next request. */
  #endTransport(): void {
    this.#isEnded = true
    this.#isReady = false
    this.#feed?.connectionOnBlock()
    this.#transport.end({ reuse: !this.#host.closing })
  }

  #finish(reason: CloseReason): void {
    if (this.#state === 'closed') return
    this.#reason ??= reason
    this.#isReady = false
    this.#outbox = undefined
    this.#setState('closed')
    this.#feed?.connectionOnClose()
    this.#settleDrained()
    this.#abort()
    this.#closed?.resolve(this.#reason)
  }

  #setState(state: ConnectionState): void {
    this.#state = state
    this.#host.connectionOnState(this)
  }

  #abort(): void {
    if (this.#controller === undefined || this.#controller.signal.aborted) return
    const reason = this.#reason
    const error = new DOMException(`The event stream ended: ${reason}`, {
      name: 'AbortError',
      cause: this.#error
    })
    this.#controller.abort(Object.assign(error, { reason }))
  }

  #retryFrame(): Frame | undefined {
    const { retryMs } = this.#options
    if (retryMs === false) return undefined
    const [min, max] = retryMs
    return encodeRetry(min + Math.floor(Math.random() * (max - min + 1)))
  }

  /** A head that an `onSend` hook holds back for ever would hold the client for ever. */
  #watchHead(now: number): void {
    const { stallMs, heartbeatMs } = this.#options
    if (this.#headAt === undefined) {
      if (heartbeatMs !== false && now - this.startedAt >= heartbeatMs) this.startHead()
      return
    }
    if (stallMs === false || now - this.#headAt < stallMs) return
    this.request.log.error({ stallMs }, 'the head of an event stream did not go out in time')
    this.evict('error')
  }

  #watchProgress(now: number): void {
    const { flushedBytes } = this.#transport
    if (flushedBytes > this.#flushedBytes) {
      this.#flushedBytes = flushedBytes
      this.#progressAt = now
    }
    const { stallMs } = this.#options
    if (stallMs !== false && now - this.#progressAt >= stallMs) this.evict('slow')
  }

  #watchSilence(now: number): void {
    this.#progressAt = now
    if (!this.#isQuiet) {
      this.#isQuiet = true
      this.#quietSince = now
    }
    const { heartbeatMs } = this.#options
    if (this.#state !== 'open' || heartbeatMs === false || now - this.#quietSince < heartbeatMs) return
    if (this.#isReady) this.#writeBatch(this.#feed?.takeHeartbeat() ?? HEARTBEAT)
  }
}

/** What is sent beside channels must not be taken for what comes from them. */
function assertOwn(message: Message | string, feed: Feed): void {
  assertNoId(message, 'absent on a connection that is subscribed to a channel')
  if (typeof message !== 'object' || message === null || !feed.isReserved(message.event)) return
  const rule = 'none of the events by which the connection tells gaps and cursors'
  throw new FST_ERR_EVENTSTREAM_INVALID_MESSAGE(expected('message.event', rule, message.event))
}

function expiryOf({ maxAgeMs, expiresAt }: ConnectionOptions, now: number): number | undefined {
  if (maxAgeMs === false && expiresAt === undefined) return undefined
  const age = maxAgeMs === false ? Infinity : now + Math.floor(maxAgeMs * (1 - Math.random() / 10))
  const expiry = expiresAt === undefined ? Infinity : now + Number(expiresAt) - Date.now()
  return Math.min(age, expiry)
}
