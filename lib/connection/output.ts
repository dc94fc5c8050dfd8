import { Deferred } from '../base/promises.ts'
import type { Place } from '../history/place.ts'
import { type Batch, heartbeatBatch, PIECE_BYTES } from '../wire/batch.ts'
import type { Frame } from '../wire/frame.ts'
import type { Feed } from './feed.ts'
import type { Work } from './flush.ts'
import { Outbox } from './outbox.ts'
import type { Transport } from './transport/transport.ts'

const GOES_ON: Promise<boolean> = Promise.resolve(true)
/** A larger one leaves in pieces: one write that takes long would hide that the reader makes progress. */
const MAX_BATCH_BYTES = 2 * PIECE_BYTES
/** How many batches one connection writes before others have their turn. */
const MAX_BATCHES = 4

/** What an output needs from whoever holds its connection. */
export interface OutputHost {
  /** While true, streams that end give their sockets up instead of leaving them to a next request. */
  readonly closing: boolean

  /** Asks for one call of `work()` at the end of this turn of the event loop. */
  scheduleFlush(work: Work): void
}

/** Whose output it is. */
export interface OutputOwner {
  /** Something was to be written after `expiresAt`. */
  outputOnExpiry(): void
}

/**
 * What a connection writes. What is sent to it alone waits in the outbox, where it is counted; what is published stays
 * where it is until the transport takes it. Both leave in the order of the calls, by their places in the history.
 */
export class Output implements Work {
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
  #isScheduled = false
  #messages = 0
  #bytes = 0
  #drained: Deferred<boolean> | undefined
  readonly #host: OutputHost
  readonly #owner: OutputOwner
  /** When it ends, in milliseconds since the Unix epoch: nothing is written then that was not written before. */
  expiresAt: number | undefined
  #isOpen = false
  #isDropped = false
  #isWhole = true
  #isEnded = false

  /** @param transport stands for the response until `open()`; only its `start()` and `destroy()` are called. */
  constructor(transport: Transport, host: OutputHost, owner: OutputOwner, expiresAt: number | undefined) {
    this.#transport = transport
    this.#host = host
    this.#owner = owner
    this.expiresAt = expiresAt
  }

  get isExpired(): boolean {
    return this.expiresAt !== undefined && Date.now() >= this.expiresAt
  }

  /** Whether the head is out. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  get messages(): number {
    return this.#messages
  }

  get bytes(): number {
    return this.#bytes
  }

  get bufferedBytes(): number {
    return this.#pendingBytes + this.#transport.bufferedBytes
  }

  get flushedBytes(): number {
    return this.#transport.flushedBytes
  }

  get feed(): Feed | undefined {
    return this.#feed
  }

  /** Takes from `feed` from now on. */
  attach(feed: Feed): void {
    this.#feed = feed
  }

  isOf(host: OutputHost): boolean {
    return this.#host === host
  }

  /** Lets the head go out. */
  start(): void {
    this.#transport.start()
  }

  /** From here on `transport` takes the stream. */
  open(transport: Transport): void {
    this.#transport = transport
    this.#isOpen = true
    this.#isReady = true
  }

  /** Writes what has come before the head was out. */
  begin(): void {
    if (this.#lastPlace === undefined && this.#pendingBytes === 0) this.schedule()
    else this.flush()
  }

  /** Whether more than this waits for a reader that is behind. */
  isBehindBy(bytes: number): boolean {
    return !this.#isReady && this.bufferedBytes > bytes
  }

  /** @param messages how many it counts for. */
  append(frame: Frame, messages: number): void {
    this.#messages += messages
    this.#outbox ??= new Outbox()
    const outbox = this.#outbox
    if (this.#isReady && outbox.isEmpty) this.schedule()
    if (this.#feed === undefined) outbox.append(frame)
    else outbox.appendAfter(this.#feed.head, frame)
    this.#bytes += frame.byteLength
    if (this.#isReady && outbox.byteLength >= PIECE_BYTES) this.#flushEarly()
  }

  /** Resolves when more may be appended, with true, or when that is over. */
  mayContinue(): Promise<boolean> {
    const isWaiting = this.#isYielding || (this.#isOpen && !this.#isReady)
    if (!isWaiting && this.#pendingBytes < PIECE_BYTES) return GOES_ON
    this.#drained ??= new Deferred()
    return this.#drained.promise
  }

  /** The feed may have something. @returns whether it is asked for it in this turn. */
  feedOnChange(): boolean {
    if (this.#isReady) this.schedule()
    return this.#isReady
  }

  /** What keeps proxies from cutting a stream that is quiet. @param event makes it an event of this name. */
  writeHeartbeat(event: string | false): void {
    if (this.#isReady) this.#writeBatch(this.#feed?.takeHeartbeat(event) ?? heartbeatBatch(event))
  }

  /** Asks for a share of the flush at the end of this turn. */
  schedule(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#host.scheduleFlush(this)
  }

  /** Writes what is pending, as far as the transport takes it: a share now, and the rest in turn with others. */
  flush(): void {
    if (this.#writeShare()) this.schedule()
  }

  /** The share of a flush that was scheduled. */
  work(): boolean {
    this.#isScheduled = false
    if (this.#writeShare()) this.#isScheduled = true
    return this.#isScheduled
  }

  /** The transport takes bytes again. */
  resume(): void {
    this.#isReady = true
    this.flush()
  }

  /** Drops what has not been written. @returns whether something else may follow what has. */
  drop(): boolean {
    const isCut = this.#outbox?.isCut === true
    this.#isDropped = true
    this.#outbox = undefined
    this.#feed?.connectionOnClose()
    return !isCut
  }

  /** Drops what was to be written before the end. */
  cutOff(): void {
    if (this.#isDropped || this.#isEnded) return
    this.#isWhole = false
    this.drop()
    this.flush()
  }

  /**
   * Nothing is appended any more.
   *
   * @param hasLastWords whether what was appended last is the last that is written.
   * @param isWhole whether the response ends then; if not, it is broken off.
   */
  end(hasLastWords: boolean, isWhole: boolean): void {
    this.#lastPlace = hasLastWords ? 0 : (this.#feed?.head ?? 0)
    this.#isWhole = isWhole
    this.#settleDrained(false)
  }

  /** Gives up a socket that was left to a next request when the response ended. */
  giveUpSocket(): void {
    if (this.#isEnded) this.#endTransport()
  }

  /** Nothing is written any more. */
  close(): void {
    this.#isReady = false
    this.#outbox = undefined
    this.#lastPlace = undefined
  }

  /** The connection is closed: nobody waits any more. */
  settle(): void {
    this.#feed?.connectionOnClose()
    this.#settleDrained(false)
  }

  destroy(): void {
    this.#transport.destroy()
  }

  get #pendingBytes(): number {
    return this.#outbox === undefined ? 0 : this.#outbox.byteLength
  }

  /** The last place that may be written now. */
  get #limit(): Place {
    if (this.#outbox !== undefined && !this.#outbox.isEmpty) return this.#outbox.place
    return this.#lastPlace ?? Infinity
  }

  /** Writes a share of what is pending. @returns whether there is more that the transport takes now. */
  #writeShare(): boolean {
    if (this.#isWriting) return false
    if (!this.#isDropped && this.isExpired) {
      this.#owner.outputOnExpiry()
      return false
    }
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
    if (this.#lastPlace !== undefined) this.#endTransport()
    else if (this.#isReady) this.#settle()
    return false
  }

  #writeNext(): 'written' | 'last' | 'later' | 'nothing' {
    const limit = this.#limit
    const outbox = this.#outbox
    const batch = outbox?.isCut ? undefined : this.#feed?.take(limit)
    if (!this.#isReady) return 'nothing'
    if (batch === 'later') return 'later'
    if (batch === 'held') {
      this.#transport.start()
      return 'nothing'
    }
    if (batch !== undefined) {
      this.#writeBatch(batch)
      return this.#feed?.hasGivenAll && this.#limit === Infinity ? 'last' : 'written'
    }
    if (limit !== Infinity && !outbox?.isCut && this.#feed?.isDue(limit)) return 'later'
    if (outbox === undefined || outbox.isEmpty) return 'nothing'
    this.#noteWrite(this.#transport.write(outbox.take()))
    return 'written'
  }

  #writeBatch(batch: Batch): void {
    this.#messages += batch.messages
    this.#bytes += batch.byteLength
    if (batch.byteLength <= MAX_BATCH_BYTES) {
      this.#noteWrite(this.#transport.writeBatch(batch))
      return
    }
    this.#outbox ??= new Outbox()
    this.#outbox.cut(batch.payload)
    this.#noteWrite(this.#transport.write(this.#outbox.take()))
  }

  #noteWrite(mayContinue: boolean): void {
    this.#isReady = mayContinue
    if (!mayContinue) this.#feed?.connectionOnBlock()
  }

  /** More than one turn's share: writes it now, and lets those who wait go on in the next turn. */
  #flushEarly(): void {
    this.flush()
    this.#isYielding = true
    this.schedule()
  }

  /** Nothing is pending. */
  #settle(): void {
    this.#transport.start()
    this.#settleDrained(true)
  }

  #settleDrained(goesOn: boolean): void {
    this.#drained?.resolve(goesOn)
    this.#drained = undefined
  }

  #endTransport(): void {
    this.#isEnded = true
    this.#isReady = false
    this.#feed?.connectionOnBlock()
    if (this.#isWhole) this.#transport.end({ reuse: !this.#host.closing })
    else this.#transport.breakOff()
  }
}
