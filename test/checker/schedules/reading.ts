import {
  type ConnectionLog,
  EVENTS,
  type LoggedFrom,
  type Moment,
  type Received,
  type Standing
} from '../run-log.ts'
import type { TriedItem } from './library.ts'

/** One `channel.read()`, written down as if it were a connection. Its bytes are its items. */
export class Reading {
  readonly #name: string
  readonly #channel: string
  readonly #from: LoggedFrom
  readonly #resumedFrom: string | undefined
  readonly #items: AsyncIterableIterator<TriedItem>
  readonly #now: () => Moment
  readonly #startedAt: Moment
  #left = 0
  #isAsking = false
  isOver = false
  readonly #received: Received[] = []
  readonly #stood: Standing[] = []
  readonly #refused: number[] = []
  hasCaughtUp = false

  constructor(
    name: string,
    { channel, from, resumedFrom }: { channel: string; from: LoggedFrom; resumedFrom: string | undefined },
    items: AsyncIterableIterator<TriedItem>,
    now: () => Moment
  ) {
    this.#name = name
    this.#channel = channel
    this.#from = from
    this.#resumedFrom = resumedFrom
    this.#items = items
    this.#now = now
    this.#startedAt = now()
  }

  get count(): number {
    return this.#received.length
  }

  /** Where another goes on, if it is known: a gap has no id. */
  get lastId(): string | undefined {
    const last = this.#received.at(-1)
    return last?.event === EVENTS.gap ? undefined : last?.id
  }

  get channel(): string {
    return this.#channel
  }

  async ask(items: number): Promise<void> {
    this.#left = items
    if (this.#isAsking) return
    this.#isAsking = true
    while (this.#left > 0 && !this.isOver) {
      const { done, value } = await this.#items.next()
      this.#left--
      if (done) this.isOver = true
      else this.#note(value)
    }
    this.#isAsking = false
    this.#refused.push(this.count)
  }

  async giveUp(): Promise<void> {
    this.isOver = true
    await this.#items.return?.()
  }

  /** There is nothing to do. */
  rest(at: Moment): void {
    if (this.#isAsking && !this.isOver) this.#stood.push({ at, bytes: this.count })
  }

  /** Whether it waits for what comes. */
  get isAtEnd(): boolean {
    return this.#isAsking && !this.isOver
  }

  log(): ConnectionLog {
    return {
      client: this.#name,
      resumedFrom: this.#resumedFrom,
      isReader: true,
      subscriptions: [
        {
          channel: this.#channel,
          from: this.#from,
          resumes: this.#resumedFrom !== undefined,
          startedAt: this.#startedAt,
          endedAt: undefined,
          filter: undefined
        }
      ],
      received: this.#received,
      sent: [],
      gaps: undefined,
      refusal: undefined,
      stood: this.#stood,
      refused: this.#refused,
      closedAt: undefined,
      hasCaughtUp: this.hasCaughtUp
    }
  }

  #note(item: TriedItem): void {
    const place = { at: this.#now(), start: this.count }
    const id = this.#received.at(-1)?.id ?? this.#resumedFrom ?? ''
    this.#received.push(
      item.type === 'gap'
        ? {
            ...place,
            id,
            event: EVENTS.gap,
            data: JSON.stringify({ channel: this.#channel, reason: item.reason })
          }
        : { ...place, id: item.id, event: item.event === '' ? 'message' : item.event, data: item.data }
    )
  }
}
