import type { Socket } from 'node:net'
import type { FastifyRequest } from 'fastify'
import { checkTime, invalid } from '../base/check.ts'
import {
  errorOf,
  FST_ERR_EVENTSTREAM_INVALID_MESSAGE,
  FST_ERR_EVENTSTREAM_UNFINISHED
} from '../base/errors.ts'
import { monotonicMs, wallClockMs } from '../base/monotonic-ms.ts'
import { Deferred, isThenable, nextTurn } from '../base/promises.ts'
import { encodeComment, encodeMessage, type Frame } from '../wire/frame.ts'
import { assertNoId, type Declaration, type Message } from '../wire/message.ts'
import { broughtIdOf } from './brought-id.ts'
import { type FarewellOptions, lastWords } from './farewell.ts'
import type { Feed } from './feed.ts'
import { Output, type OutputHost, type OutputOwner } from './output.ts'
import { type ChunkMap, type Sink, sendFrom } from './source.ts'
import type { AnySubscription, CloseReason, ConnectionState, SSEConnection } from './sse-connection.ts'
import { type DeadlineOptions, Timed } from './timed.ts'
import type { Transport, TransportListener } from './transport/transport.ts'

/** What a connection needs from whoever holds it. */
export interface ConnectionHost extends OutputHost {
  /** Told after every change of `state`. */
  connectionOnState(connection: Connection): void
}

/** A stream's options, as far as a connection needs them. */
export interface ConnectionOptions extends FarewellOptions, DeadlineOptions {
  readonly maxBufferedBytes: number
  readonly cursorEvent: string | false
  readonly endWithChannels: boolean
}

/** What no two streams share. */
export interface OwnOptions {
  /** A `Date`, or milliseconds since the Unix epoch. */
  readonly expiresAt?: Date | number
  readonly context?: unknown
}

const NO_SUBSCRIPTIONS: readonly AnySubscription[] = Object.freeze([])

/** One client's stream. Its states, and what leads from one to the next, are drawn in lib/README.md. */
export class Connection extends Timed implements SSEConnection, TransportListener, Sink, OutputOwner {
  readonly output: Output
  /** The status of its head, once that has begun to go out, so that an error cannot be an ordinary answer. */
  headStatus: number | undefined
  #state: ConnectionState = 'opening'
  readonly request: FastifyRequest
  readonly context: unknown
  declare protected readonly options: ConnectionOptions
  readonly #declared: Declaration | undefined
  readonly #host: ConnectionHost
  #reason: CloseReason | undefined
  #error: unknown
  #closed: Deferred<CloseReason> | undefined
  #controller: AbortController | undefined

  /** What is waited for before the connection's subscriptions are taken for complete: the handler, and promises. */
  #waits = 1
  #hasHandled = false
  #isUnseen = false
  #isAbandoned = false

  /**
   * @param transport stands for the response until `open()`; only its `start()` and `destroy()` are called.
   * @param declared the events that may be sent; all if there are none.
   */
  constructor(
    request: FastifyRequest,
    options: ConnectionOptions,
    transport: Transport,
    host: ConnectionHost,
    now: number,
    { expiresAt, context }: OwnOptions = {},
    declared?: Declaration
  ) {
    super(options, now)
    this.request = request
    this.context = context
    this.#declared = declared
    this.#host = host
    this.output = new Output(transport, host, this, timeOf(expiresAt))
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

  /** With which it ended. */
  get error(): unknown {
    return this.#error
  }

  get messages(): number {
    return this.output.messages
  }

  get bytes(): number {
    return this.output.bytes
  }

  get lastEventId(): string | undefined {
    return broughtIdOf(this.request)
  }

  get openedAt(): number {
    return wallClockMs(this.startedAt)
  }

  get subscriptions(): readonly AnySubscription[] {
    return this.output.feed?.subscriptions ?? NO_SUBSCRIPTIONS
  }

  /** `StreamOptions.cursorEvent` */
  get cursorEvent(): string | false {
    return this.options.cursorEvent
  }

  get maxMessageBytes(): number {
    return this.options.maxMessageBytes
  }

  get finite(): boolean {
    return this.options.finite
  }

  get expiresAt(): number | undefined {
    return this.output.expiresAt
  }

  set expiresAt(time: Date | number | undefined) {
    if (time !== undefined) checkTime('expiresAt', time)
    this.output.expiresAt = timeOf(time)
  }

  get bufferedBytes(): number {
    return this.output.bufferedBytes
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (!this.#isAccepting) this.#abort()
    }
    return this.#controller.signal
  }

  /** What was given out before as the request's signal is this connection's from now on. */
  adopt(controller: AbortController): void {
    this.#controller = controller
    if (!this.#isAccepting) this.#abort()
  }

  get closed(): Promise<CloseReason> {
    if (this.#closed === undefined) {
      this.#closed = new Deferred()
      if (this.#state === 'closed' && this.#reason !== undefined) this.#closed.resolve(this.#reason)
    }
    return this.#closed.promise
  }

  send(message: Message | string): Promise<boolean> {
    const { feed } = this.output
    if (feed?.isActive) assertOwn(message, feed)
    const frame = encodeMessage(message, this.options, this.#declared)
    return this.#accept(frame, 1)
  }

  sendAll(source: unknown, map?: ChunkMap): Promise<boolean> {
    return sendFrom(source, map, this, (err) => {
      this.request.log.error({ err }, 'event stream source failed')
      this.fail(err)
    })
  }

  comment(text = ''): Promise<boolean> {
    return this.#accept(encodeComment(text, this.options), 0)
  }

  waitFor(promise: PromiseLike<unknown>): void {
    if (!isThenable(promise)) {
      throw invalid('what is waited for', 'a promise', promise)
    }
    this.#waits++
    if (this.#isUnseen) this.handlerOnSettle()
    const done = (): void => this.#settleOne()
    promise.then(done, done)
  }

  /** Nobody will tell when the handler is done: what is waited for stands for it. */
  handlerIsUnseen(): void {
    this.#isUnseen = true
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
    if (this.#end('server', true)) this.output.flush()
  }

  /** All of its channels have ended. */
  feedOnEnd(): void {
    if (this.options.endWithChannels && this.#end('server', true)) this.output.schedule()
  }

  /** Ends the stream for this reason. A finite one is not whole then, and is broken off. */
  end(reason: CloseReason): void {
    if (this.#end(reason, !this.options.finite)) this.output.flush()
  }

  /** `end()` of one of many: it takes no more messages, and writes in turn with the others. */
  endInTurn(reason: CloseReason): void {
    if (this.#end(reason, !this.options.finite)) this.output.schedule()
  }

  destroy(): void {
    this.evict('server')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.options.finite) this.close()
    else if (this.#isAccepting) this.fail(new FST_ERR_EVENTSTREAM_UNFINISHED())
    await this.closed
  }

  /** `destroy()` for this reason. */
  evict(reason: CloseReason): void {
    if (this.#state === 'closed') return
    this.#finish(reason)
    this.output.destroy()
  }

  /** Ends the stream with reason `error`. */
  fail(error: unknown): void {
    this.#error ??= error
    this.end('error')
  }

  /** Ends the stream with reason `shutdown`, and gives the socket up. */
  shutdown(): void {
    this.end('shutdown')
    this.output.giveUpSocket()
  }

  /** Lets the head go out, if it has not begun to. */
  startHead(): void {
    if (this.output.isOpen || this.hasHeadStarted) return
    this.noteHead(monotonicMs())
    this.output.start()
  }

  /** The head is complete: from here on `transport` takes the stream. */
  open(transport: Transport): void {
    this.output.open(transport)
    if (this.#state === 'opening') this.#setState('open')
    this.output.begin()
  }

  /** Whether its head has not gone out, nor is another answer given instead. */
  get isUnanswered(): boolean {
    return this.#state !== 'closed' && !this.output.isOpen && !this.#isAbandoned
  }

  /** Another answer is given instead of the stream: the connection closes with it, for this reason. */
  abandon(reason: CloseReason, error?: unknown): void {
    this.#isAbandoned = true
    this.#reason ??= reason
    this.#error ??= error
  }

  transportOnDrain(): void {
    if (this.#state !== 'closed') this.output.resume()
  }

  transportOnError(error: unknown): void {
    this.abandon('error', error)
    this.evict('error')
  }

  transportOnClose(): void {
    this.#finish('client')
  }

  /** A stream that was closing before, and still had something to give, is not whole. */
  outputOnExpiry(): void {
    if (!this.#isAccepting) this.output.cutOff()
    else if (this.#end('expired', !this.options.finite, this.output.drop())) this.output.flush()
  }

  sourceOnStopError(err: unknown): void {
    this.request.log.warn({ err }, 'event stream source failed to stop')
  }

  #settleOne(): void {
    this.#waits--
    if (this.isSettled) this.output.feed?.connectionOnSettle()
  }

  get #isAccepting(): boolean {
    return this.#state === 'opening' || this.#state === 'open'
  }

  /** After the end this is the next turn: who does nothing but wait for `send()` would never let go of the present one. */
  #accept(frame: Frame, messages: number): Promise<boolean> {
    if (this.#isAccepting && this.output.isExpired) this.outputOnExpiry()
    if (!this.#isAccepting) return goesOnNot()
    if (this.output.isBehindBy(this.options.maxBufferedBytes)) {
      this.evict('slow')
      return goesOnNot()
    }
    this.#append(frame, messages)
    return this.#isAccepting ? this.output.mayContinue() : goesOnNot()
  }

  #append(frame: Frame, messages = 0): void {
    this.startHead()
    this.output.append(frame, messages)
  }

  /**
   * Takes no more messages. @param mayTell whether last words can follow what was written. @returns whether it did before.
   */
  #end(reason: CloseReason, isWhole: boolean, mayTell = true): boolean {
    if (!this.#isAccepting) return false
    this.#reason ??= reason
    this.#setState('closing')
    const last = mayTell ? lastWords(this.options, reason, this.#error, this.request.log) : []
    for (const frame of last) this.#append(frame)
    this.output.end(last.length > 0, isWhole)
    this.startHead()
    this.#abort()
    return true
  }

  #finish(reason: CloseReason): void {
    if (this.#state === 'closed') return
    this.#reason ??= reason
    this.output.close()
    this.#setState('closed')
    this.output.settle()
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
}

async function goesOnNot(): Promise<boolean> {
  await nextTurn()
  return false
}

function timeOf(time: Date | number | undefined): number | undefined {
  return time === undefined || time === Infinity ? undefined : Number(time)
}

/** What is sent beside channels must not be taken for what comes from them. */
function assertOwn(message: Message | string, feed: Feed): void {
  assertNoId(message, 'absent on a connection that is subscribed to a channel')
  if (typeof message !== 'object' || message === null || !feed.isReserved(message.event)) return
  const rule = 'none of the events by which the connection tells gaps and cursors'
  throw errorOf(FST_ERR_EVENTSTREAM_INVALID_MESSAGE, ['message.event', rule, message.event])
}
