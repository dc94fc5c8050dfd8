import type { FastifyReply } from 'fastify'
import type { SSEConnection, SubscribeOptions, Subscription } from '../../../lib/types.ts'
import { FILTERS, type FilterName } from '../filters.ts'
import type { GapLog, Moment, SentLog, Standing } from '../run-log.ts'
import { now } from './clock.ts'
import type { ConnectionLine } from './line.ts'
import type { SubscriptionSetup } from './setup.ts'

interface ObservedSubscription {
  readonly channel: number
  readonly live: Subscription
  readonly startedAt: Moment
  endedAt: Moment | undefined
}

/** The server's end of a stream, and what is written down of it. */
export class ObservedStream {
  readonly connection: SSEConnection
  readonly client: number
  readonly gaps: GapLog[] = []
  readonly #number: number
  readonly #subscriptions: ObservedSubscription[] = []
  readonly #sent: SentLog[] = []
  readonly #stood: Standing[] = []
  readonly #refused: number[] = []
  #closedAt: Moment | undefined

  constructor(reply: FastifyReply, client: number, number: number) {
    this.connection = reply.sseStart()
    this.client = client
    this.#number = number
    // Before the plugin's own listeners, which go on writing.
    const noteRefusal = (): void => this.#noteRefusal()
    this.connection.socket.prependListener('drain', noteRefusal)
    reply.raw.prependListener('drain', noteRefusal)
  }

  get hasSentAny(): boolean {
    return this.#sent.length > 0
  }

  hasSent(data: string): boolean {
    return this.#sent.some((sent) => sent.data === data)
  }

  subscribe(name: string, { channel, from, resume, filter }: SubscriptionSetup): void {
    const { server } = this.connection.request
    const startedAt = now()
    const options = { from, resume, ...filterOption(filter) }
    const live = server.sse.channel(name).subscribe(this.connection, options)
    this.#subscriptions.push({ channel, live, startedAt, endedAt: undefined })
  }

  unsubscribe(): void {
    const subscription = this.#subscriptions.find(({ live }) => live.active)
    if (subscription === undefined || !this.#isAccepting) return
    subscription.endedAt = now()
    subscription.live.unsubscribe()
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

  /** Whether everything that it may have was written and has left. */
  isAtHead(heads: readonly string[]): boolean {
    const { state, bufferedBytes } = this.connection
    const isBehind = this.#subscriptions.some(
      ({ live, channel }) => live.active && live.cursor !== heads[channel]
    )
    return state === 'open' && bufferedBytes === 0 && !isBehind
  }

  noteStanding(at: Moment): void {
    this.#stood.push({ at, bytes: this.connection.bytes })
  }

  line(): ConnectionLine {
    return {
      kind: 'connection',
      client: this.client,
      connection: this.#number,
      subscriptions: this.#subscriptions.map(({ startedAt, endedAt }) => ({ startedAt, endedAt })),
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

  /** Nothing has been written since the transport asked to wait; what was sent meanwhile is still to be written. */
  #noteRefusal(): void {
    this.#refused.push(this.connection.bytes - this.connection.bufferedBytes)
  }
}

function filterOption(name: FilterName): Pick<SubscribeOptions, 'filter'> {
  const filter = FILTERS[name]
  return filter === undefined ? {} : { filter }
}
