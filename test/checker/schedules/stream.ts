import { PIECE_BYTES } from '../../../lib/wire/batch.ts'
import { bytesOnWire } from '../payload.ts'
import { Receiver } from '../receiver.ts'
import {
  type ConnectionLog,
  EVENTS,
  type GapLog,
  type Moment,
  type Sample,
  type SentLog,
  type Standing,
  type SubscriptionLog
} from '../run-log.ts'
import type { TriedConnection, TriedServer, TriedSubscription } from './library.ts'
import { Pipe } from './pipe.ts'
import type { ClientSetup, SubscriptionSetup } from './setup.ts'

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** A moment, as `notBefore` tells it. */
export type Admission = { readonly cursor: string; readonly date: Date }

/** A channel of a connection: all its memberships, and the last one as the library has it. */
export interface Membership {
  readonly channel: string
  readonly setup: SubscriptionSetup
  readonly logs: Mutable<SubscriptionLog>[]
  live: TriedSubscription
  /** Where the last one ended. */
  end: string
}

/** One connection of a client, with both its ends. */
export class Stream {
  readonly connection: TriedConnection
  readonly pipe: Pipe
  readonly receiver: Receiver
  readonly memberships: Membership[] = []
  /** Since when its client may read, where it is subscribed with `notBefore`. */
  readonly admission: Admission | undefined
  /** What its handler still has to subscribe to, after something that it awaits. */
  readonly awaiting: SubscriptionSetup[] = []
  settledAt: Moment | undefined
  /** When its handler is not waited for any longer. */
  waitsUntilMs = Infinity
  #isInTime = false
  readonly sent: SentLog[] = []
  readonly gaps: GapLog[] = []
  readonly client: string
  readonly #resumedFrom: string | undefined
  readonly #beforeHead: Pipe
  isReading = true
  /** Whether the client has broken off. */
  #hasLeft = false
  #isDestroyed = false
  /** In thousandths of what is there: where the client breaks off in this turn. */
  cutAfter: number | undefined
  unnoticedTurns = 0
  /** Whether the client's end is there. */
  isHeld = true
  isOpen = false
  /** Whether it was open when there was nothing more to do. */
  isHeadDue = false
  readonly stood: Standing[] = []
  hasCaughtUp = false
  #closedAt: Moment | undefined
  #largestSent = 0

  constructor(
    client: string,
    { kernelBytes, highWaterBytes }: ClientSetup,
    resumedFrom: string | undefined,
    admission: Admission | undefined,
    server: TriedServer,
    now: () => Moment
  ) {
    this.client = client
    this.admission = admission
    this.#resumedFrom = resumedFrom
    this.#beforeHead = new Pipe(0, 1, now)
    this.pipe = new Pipe(kernelBytes, highWaterBytes, now)
    this.receiver = new Receiver({ resumedFrom, momentOf: (start) => this.pipe.writtenAt(start) })
    this.connection = server.connect(resumedFrom, this.#beforeHead)
  }

  /** The head of the response is out. */
  open(): void {
    if (this.isOpen || this.connection.state === 'closed') return
    this.isOpen = true
    this.connection.open(this.pipe)
  }

  /** Its handler has subscribed to all that it was to. */
  settle(at: Moment, ms: number): void {
    if (this.settledAt !== undefined) return
    this.#isInTime = ms < this.waitsUntilMs
    this.settledAt = at
    this.connection.settle()
  }

  close(at: Moment): void {
    const { state } = this.connection
    if (state === 'open' || state === 'opening') this.#closedAt = at
    this.connection.close()
  }

  /** The application, or the end of its process, ends the stream at once. */
  destroy(): void {
    this.#isDestroyed = true
    this.connection.destroy()
  }

  /** Whether anything was sent to it alone, be it refused because too much waited. */
  get hasSentAny(): boolean {
    return this.#largestSent > 0
  }

  /** Whether it was closed, its client stayed, and no farewell came. */
  get hasLostFarewell(): boolean {
    const isOver = this.#hasLeft || this.#isDestroyed || this.receiver.refusal !== undefined
    const hasCome = this.receiver.received.some(({ event }) => event === EVENTS.farewell)
    return this.#closedAt !== undefined && !isOver && !this.isHeld && !hasCome
  }

  send(data: string, at: Moment): void {
    const { state } = this.connection
    const sending = this.connection.send({ event: EVENTS.sent, data })
    if ((state === 'open' || state === 'opening') && this.connection.state !== 'closed')
      this.sent.push({ data, at })
    this.#largestSent = Math.max(this.#largestSent, bytesOnWire('sent', data))
    void sending
  }

  /** The client's side of a turn: it reads, or breaks off, or sees the end. */
  runIo(): void {
    const { pipe, connection } = this
    if (this.isHeld && this.cutAfter !== undefined) {
      this.#hasLeft = true
      this.#breakOff(this.cutAfter)
    }
    if (this.isHeld && this.isReading) this.read(Infinity)
    if (this.isHeld && (pipe.isDestroyed || this.#beforeHead.isDestroyed))
      this.#breakOff((this.sent.length * 331) % 1_000)
    if (!this.isHeld && connection.state !== 'closed' && this.unnoticedTurns-- <= 0)
      connection.transportOnClose()
  }

  /** Whether its client has nothing to do. */
  get isQuiet(): boolean {
    if (!this.isHeld) return this.connection.state === 'closed'
    const hasWork = this.pipe.unreadBytes > 0 || this.pipe.isEnded || this.pipe.isDestroyed
    return this.cutAfter === undefined && !(this.isReading && hasWork)
  }

  read(limit: number): void {
    this.receiver.feed(this.pipe.read(limit))
    if (this.pipe.takeDrain()) this.connection.transportOnDrain()
    if (!this.pipe.isEnded || this.pipe.unreadBytes > 0 || this.pipe.isDestroyed) return
    this.receiver.end()
    this.isHeld = false
    this.connection.transportOnClose()
  }

  /** The most that may wait in this process for a reader: what one write takes, and what was sent to it alone. */
  sampleOf(largestMessage: number, maxBufferedBytes: number, { highWaterBytes }: ClientSetup): Sample {
    const bound = highWaterBytes + PIECE_BYTES + largestMessage
    const sent = this.sent.length === 0 ? 0 : maxBufferedBytes + this.#largestSent
    return {
      name: `bytes waiting for ${this.client}`,
      value: this.connection.bufferedBytes,
      bound: bound + sent
    }
  }

  log(): ConnectionLog {
    const [first] = this.memberships.flatMap(({ logs }) => logs)
    const isOfThePast = (this.#resumedFrom ?? '') !== '' || (first?.from ?? 'now') !== 'now'
    return {
      client: this.client,
      resumedFrom: this.#resumedFrom,
      subscriptions: this.memberships.flatMap(({ logs }) => logs).sort((a, b) => a.startedAt - b.startedAt),
      settledAt: this.settledAt ?? Infinity,
      waits: isOfThePast && this.#isInTime,
      received: this.receiver.received,
      sent: this.sent,
      gaps: this.gaps,
      refusal: this.receiver.refusal,
      stood: this.stood,
      refused: this.pipe.refused,
      closedAt: this.#closedAt,
      hasCaughtUp: this.hasCaughtUp
    }
  }

  #breakOff(after: number): void {
    this.isHeld = false
    this.receiver.feed(this.pipe.read(Math.floor((this.pipe.unreadBytes * after) / 1_000)))
  }
}
