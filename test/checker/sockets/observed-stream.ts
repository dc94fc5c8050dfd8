import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import type { Cursor, GapAnswer, SSEConnection, SubscribeOptions, Subscription } from '../../../lib/index.ts'
import { BodyReader } from '../body-reader.ts'
import type { GapLog, Moment, SentLog, Standing } from '../run-log.ts'
import { now } from './clock.ts'
import type { ConnectionLine, SubscriptionLine } from './line.ts'
import { filterOf, nameOf, type SubscriptionSetup } from './setup.ts'

/** Handlers that take longer may not be waited for. */
const SURELY_WAITS_MS = 200

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** A channel of a connection, as it is now. */
interface Membership {
  readonly channel: number
  log: Mutable<SubscriptionLine>
  live: Subscription
  /** Where it has ended, once that is known. */
  end: Cursor | undefined
}

/** The server's end of a stream, and what is written down of it. */
export class ObservedStream {
  readonly connection: SSEConnection
  readonly client: number
  readonly gaps: GapLog[] = []
  readonly #number: number
  readonly #startedAt: Moment = now()
  readonly #wanted: readonly SubscriptionSetup[]
  readonly #memberships: Membership[] = []
  readonly #subscriptions: SubscriptionLine[] = []
  readonly #writes: Standing[] = []
  readonly #sent: SentLog[] = []
  readonly #stood: Standing[] = []
  readonly #refused: number[] = []
  /** Answers to gaps that the application has not given yet. */
  #asked = 0
  #settledAt: Moment | undefined
  #closedAt: Moment | undefined

  constructor(reply: FastifyReply, client: number, number: number, wanted: readonly SubscriptionSetup[]) {
    this.connection = reply.sseStart()
    this.client = client
    this.#number = number
    this.#wanted = wanted
    const { socket } = this.connection
    this.#watchWrites(socket)
    // Before the plugin's own listeners, which go on writing.
    const noteRefusal = (): unknown => this.#refused.push(this.writtenBytes)
    socket.prependListener('drain', noteRefusal)
    reply.raw.prependListener('drain', noteRefusal)
  }

  /** Of the stream, without what HTTP adds. */
  get writtenBytes(): number {
    return this.#writes.at(-1)?.bytes ?? 0
  }

  get isSettled(): boolean {
    return this.#settledAt !== undefined
  }

  get hasSentAny(): boolean {
    return this.#sent.length > 0
  }

  hasSent(data: string): boolean {
    return this.#sent.some((sent) => sent.data === data)
  }

  /** What its handler does. */
  async handle(): Promise<void> {
    for (const { channel, from, resume, afterMs } of this.#wanted) {
      if (afterMs > 0) await sleep(afterMs)
      if (!this.#isAccepting) return
      this.#subscribe(channel, { from, resume }, { from, resumes: resume })
    }
    this.#settledAt = now()
  }

  join(channel: number, from: 'oldest' | 'now'): void {
    const isOurs = [...this.#wanted, ...this.#memberships].some((known) => known.channel === channel)
    if (isOurs || !this.#isAccepting) return
    // What the client brought is used up when something was given: it may be asked for then.
    this.#subscribe(channel, { from, resume: this.#stood.length > 0 }, { from, resumes: false })
  }

  unsubscribe(index: number): void {
    const membership = this.#memberships[index % this.#memberships.length]
    if (!membership?.live.active || !this.#isAccepting) return
    membership.log.endedAt = now()
    membership.live.unsubscribe()
    membership.end = undefined
    void this.#sse.cursor().then((cursor) => {
      membership.end = cursor
    })
  }

  subscribeAgain(index: number, from: 'oldest' | 'now' | 'end'): void {
    const membership = this.#memberships[index % this.#memberships.length]
    if (membership === undefined || membership.live.active || !this.#isAccepting) return
    const { channel, end } = membership
    if (end === undefined) return
    const options = { from: from === 'end' ? end : from, resume: true }
    Object.assign(membership, this.#begin(channel, options, { from, resumes: false }))
  }

  send(data: string): void {
    if (!this.#isAccepting) return
    const at = now()
    void this.connection.send({ event: 'sent', data })
    if (this.connection.reason === undefined) this.#sent.push({ data, at })
  }

  close(): void {
    if (this.#isAccepting) this.#closedAt = now()
    this.connection.close()
  }

  async answerLater(answer: GapAnswer): Promise<GapAnswer> {
    this.#asked++
    await sleep(5)
    this.#asked--
    return answer
  }

  /** Whether something is held for it, because the application has not answered or not subscribed to everything. */
  get isHeldFor(): boolean {
    return this.#asked > 0 || !this.isSettled
  }

  /** Whether everything that it may have was written and has left, if nothing is about to be written. */
  get isAtHead(): boolean {
    const { state, bufferedBytes } = this.connection
    return state === 'open' && bufferedBytes === 0 && this.isSettled && this.#asked === 0
  }

  /** Changes when anything is written to it, or is about to be because it was subscribed to something. */
  get place(): string {
    return `${this.writtenBytes} ${this.#subscriptions.length}`
  }

  noteStanding(at: Moment): void {
    this.#stood.push({ at, bytes: this.writtenBytes })
  }

  line(): ConnectionLine {
    const [first] = this.#subscriptions
    const isOfThePast = this.connection.lastEventId !== undefined || first?.from === 'oldest'
    return {
      kind: 'connection',
      client: this.client,
      connection: this.#number,
      subscriptions: this.#subscriptions,
      settledAt: this.#settledAt,
      waits: isOfThePast && (this.#settledAt ?? Infinity) - this.#startedAt < SURELY_WAITS_MS,
      writes: this.#writes,
      sent: this.#sent,
      gaps: this.gaps,
      stood: this.#stood,
      refused: this.#refused,
      closedAt: this.#closedAt
    }
  }

  get #isAccepting(): boolean {
    return this.connection.state === 'opening' || this.connection.state === 'open'
  }

  get #sse(): SSEConnection['request']['server']['sse'] {
    return this.connection.request.server.sse
  }

  #subscribe(
    channel: number,
    options: SubscribeOptions,
    log: Pick<SubscriptionLine, 'from' | 'resumes'>
  ): void {
    this.#memberships.push({ channel, end: undefined, ...this.#begin(channel, options, log) })
  }

  #begin(
    channel: number,
    options: SubscribeOptions,
    { from, resumes }: Pick<SubscriptionLine, 'from' | 'resumes'>
  ): Pick<Membership, 'log' | 'live'> {
    const filter = filterOf(this.client, channel)
    const log = { channel, from, resumes, startedAt: now(), endedAt: undefined }
    this.#subscriptions.push(log)
    const live = this.#sse
      .channel(nameOf(channel))
      .subscribe(this.connection, filter === undefined ? options : { ...options, filter })
    return { log, live }
  }

  #watchWrites(socket: Socket): void {
    const { write } = socket
    const body = new BodyReader()
    socket.write = (chunk: string | Uint8Array, ...rest: unknown[]): boolean => {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk, 'latin1') : Buffer.from(chunk)
      let end = this.writtenBytes
      for (const piece of body.feed(bytes)) end += piece.length
      if (end > this.writtenBytes) this.#writes.push({ at: now(), bytes: end })
      return Reflect.apply(write, socket, [chunk, ...rest])
    }
  }
}
