import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { latestArrival } from '../history/arrivals.ts'
import { Batch, PIECE_BYTES } from '../wire/batch.ts'
import { Deferred } from '../base/deferred.ts'
import type { Work } from './flush.ts'
import { encodeComment, encodeMessage, encodeRetry, type Frame } from '../wire/frame.ts'
import { assertNoId, type Declaration } from '../wire/message.ts'
import { nextTurn } from './next-turn.ts'
import type { ResolvedStartOptions } from '../fastify/options.ts'
import { Outbox } from './outbox.ts'
import { type Sink, sendFrom } from './source.ts'
import type { Transport, TransportListener } from './transport/transport.ts'
import type { CloseReason, ConnectionState, Message, Source, SSEConnection } from '../types.ts'

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

/** What a connection takes from when it can write, besides what is sent to it alone. */
export interface Feed {
  /** Whether something may come from it, with ids that are its own. */
  readonly isActive: boolean

  /** Whether something is still to come from it that arrived before now. */
  readonly isDue: boolean

  /** Takes the next batch of what arrived until `limit` (`arrivals.ts`). */
  take(limit: number): Batch | undefined

  /** Something that is better sent than an empty comment when the stream was quiet for too long. */
  takeHeartbeat(): Batch | undefined

  /** The transport takes no more for now. */
  connectionOnBlock(): void

  /** Nothing will be taken any more. */
  connectionOnClose(): void
}

/**
 * ```
 *  opening ──open()──▶ open ──close()──▶ closing ──last byte has left──▶ closed
 *     │                  │                  │                              ▲
 *     └──────────────────┴── peer gone, too slow, destroyed ───────────────┘
 * ```
 * What is sent to this connection alone waits in the outbox, where it is counted; what is published stays where it is
 * until the transport takes it. Both leave in the order of the calls, by the number of their arrival.
 */
export class Connection implements SSEConnection, TransportListener, Sink, Work {
  // What a broadcast touches comes first: in the cache lines of 10,000 connections, the order of fields can be measured.
  #feed: Feed | undefined
  /** From the first message on that is sent to this connection alone. */
  #outbox: Outbox | undefined
  #transport: Transport
  /** The latest arrival that is still written, once the end has come; 0 when last words are the last. */
  #lastArrival: number | undefined
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
  readonly #options: ResolvedStartOptions
  readonly #declared: Declaration | undefined
  readonly #host: ConnectionHost
  #reason: CloseReason | undefined
  #error: unknown
  #isBeforeHead = true
  #isEnded = false
  #closed: Deferred<CloseReason> | undefined
  #controller: AbortController | undefined

  /** Whether a channel's history knows `lastEventId` as its own, so that it is no cursor of another channel. */
  isCursorOwned = false
  /** Milliseconds of the monotonic clock, like all that follow. */
  readonly startedAt: number
  readonly #expiresAt: number
  #quietSince: number
  #progressAt: number
  #flushedBytes = 0

  /**
   * @param transport stands for the response until `open()`; only its `destroy()` and `end()` are called.
   * @param declared the events that may be sent; all if there are none.
   */
  constructor(
    request: FastifyRequest,
    options: ResolvedStartOptions,
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
    const header = this.request.headers['last-event-id']
    if (typeof header === 'string' && header !== '') return header
    const { query } = this.request
    if (typeof query !== 'object' || query === null || !('lastEventId' in query)) return undefined
    const { lastEventId } = query
    return typeof lastEventId === 'string' && lastEventId !== '' ? lastEventId : undefined
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
    if (this.#feed?.isActive) assertNoId(message, 'absent on a connection that is subscribed to a channel')
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
  attach(feed: Feed | undefined): void {
    this.#feed = feed
  }

  /** The feed may have something. */
  feedOnChange(): void {
    if (this.#isReady) this.#schedule()
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
    try {
      while (this.#isReady && batches < MAX_BATCHES && this.#writeNext()) batches++
    } finally {
      this.#isWriting = false
    }
    if (batches === MAX_BATCHES) return true
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
    if (now >= this.#expiresAt) this.#end('expired', this.#retryFrame())
    if (this.#state === 'closed') return
    if (this.#isBeforeHead) this.#watchOpening(now)
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

  get #pendingBytes(): number {
    return this.#outbox === undefined ? 0 : this.#outbox.byteLength
  }

  get #isAccepting(): boolean {
    return this.#state === 'opening' || this.#state === 'open'
  }

  /** The latest arrival that may be written now. */
  get #limit(): number {
    if (this.#outbox !== undefined && !this.#outbox.isEmpty) return this.#outbox.arrival
    return this.#lastArrival ?? Infinity
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

  /** @returns whether anything was written. */
  #writeNext(): boolean {
    const batch = this.#outbox?.isCut ? undefined : this.#feed?.take(this.#limit)
    if (!this.#isReady) return false
    if (batch !== undefined) this.#writeBatch(batch)
    else if (this.#outbox !== undefined && !this.#outbox.isEmpty) {
      this.#isReady = this.#transport.write(this.#outbox.take())
    } else return false
    if (!this.#isReady) this.#feed?.connectionOnBlock()
    return true
  }

  #writeBatch(batch: Batch): void {
    this.#messages += batch.messages
    this.#bytes += batch.byteLength
    this.#isQuiet = false
    this.#isReady = this.#transport.writeBatch(batch)
  }

  #append(frame: Frame): void {
    this.#outbox ??= new Outbox()
    const outbox = this.#outbox
    if (this.#isReady && outbox.isEmpty) this.#schedule()
    if (this.#feed !== undefined && (outbox.isEmpty || this.#feed.isDue)) {
      outbox.appendAfter(latestArrival(), frame)
    } else {
      outbox.append(frame)
    }
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
    this.#lastArrival = last.every((frame) => frame === undefined) ? latestArrival() : 0
    this.#reason ??= reason
    this.#setState('closing')
    this.flush()
    this.#abort()
  }

  /** Called again to give up a socket that was left to a next request. */
  #endTransport(): void {
    this.#isEnded = true
    this.#isReady = false
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
  #watchOpening(now: number): void {
    const { stallMs } = this.#options
    if (stallMs === false || now - this.startedAt < stallMs) return
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

function expiryOf({ maxAgeMs, expiresAt }: ResolvedStartOptions, now: number): number {
  const age = maxAgeMs === false ? Infinity : now + Math.floor(maxAgeMs * (1 - Math.random() / 10))
  const expiry = expiresAt === undefined ? Infinity : now + Number(expiresAt) - Date.now()
  return Math.min(age, expiry)
}
