import type { DeliveryOptions, EventDelivery } from './event-delivery.ts'
import type { EndReason, StreamState, TextEvents } from './options.ts'
import { type RawEvent, type ReaderHost, StreamReader } from './stream-reader.ts'
import { type Locks, watchPage } from './surroundings.ts'

export interface SharedOptions {
  /**
   * What tabs that share a stream have in common.
   * @defaultValue the URL
   */
  readonly name?: string
  /**
   * How many events each tab keeps, to know those that come again, and for tabs that are opened later.
   * @defaultValue 1000
   */
  readonly keep?: number
}

/** An event, as tabs tell it each other. */
interface Item extends RawEvent {
  /** What it is known by when it comes again: its id, if it has one of its own. */
  readonly key: string
}

/** What a leader has, for those that came later or have missed something. */
interface Standing {
  readonly kept: readonly Item[]
  /** Whether there was more. */
  readonly isCut: boolean
  /** Who was the first to read what leaders have gone on with since. */
  readonly origin: string
  /** After which id that was; '' if none has come. */
  readonly since: string
  readonly lastEventId: string
  readonly state: StreamState
}

/** What tabs tell each other. All but a question is a leader's, which counts what it says. */
type Word =
  | { readonly isQuestion: true }
  | {
      readonly leader: string
      readonly count: number
      readonly standing?: Standing
      readonly item?: Item
      readonly state?: StreamState
      readonly end?: EndReason
    }

/**
 * One stream for all tabs. The tab that holds a lock leads: it reads the stream, and tells the others by a `BroadcastChannel`. Each
 * knows where it stands: who leads next goes on there, and what others have by then is known by its key.
 */
export class SharedReader {
  readonly #url: string | URL
  readonly #options: DeliveryOptions & SharedOptions
  readonly #delivery: EventDelivery<TextEvents>
  readonly #locks: Locks
  readonly #name = Math.random().toString(36).slice(2)
  readonly #kept = new Map<string | undefined, Item>()
  #isCut = false
  #origin = ''
  /** After which id it has all that `#origin` read, or what it brought. */
  #since: string
  #lastKey: string
  #lastEventId: string
  #leader = ''
  /** Who led before this tab does, and may have said something that is still on its way. */
  #former = ''
  /** What the leader has said, as far as it was heard. */
  #count = 0
  #isAsking = false
  /** Aborts when the page is put away. */
  #awake: AbortController | undefined
  #channel: InstanceType<typeof BroadcastChannel> | undefined

  constructor(
    url: string | URL,
    options: DeliveryOptions & SharedOptions,
    delivery: EventDelivery<TextEvents>,
    locks: Locks
  ) {
    this.#url = url
    this.#options = options
    this.#delivery = delivery
    this.#locks = locks
    this.#lastEventId = options.lastEventId ?? ''
    this.#lastKey = this.#lastEventId
    this.#since = this.#lastEventId
  }

  /** Takes part, once somebody listens. */
  async run(): Promise<void> {
    await this.#delivery.ready()
    const { signal } = this.#delivery
    if (signal.aborted) return
    watchPage(signal, this.#fallAsleep, this.#wake)
    signal.addEventListener('abort', this.#fallAsleep)
    this.#wake()
  }

  readonly #wake = (): void => {
    if (this.#awake !== undefined) return
    const awake = new AbortController()
    const name = `fastify-eventstream:${this.#options.name ?? this.#url}`
    this.#awake = awake
    this.#leader = ''
    this.#isAsking = false
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }: { data: unknown }) => {
      if (typeof data === 'object' && data !== null) this.#hear(data as Word)
    }
    this.#ask()
    const lead = (former: string): Promise<void> => this.#lead(awake.signal, former)
    this.#locks
      .request(name, { signal: awake.signal }, () => lead(this.#leader))
      .catch(() => {
        // Either the page was put away before it leads, or it may have no locks, and each tab leads.
        if (!awake.signal.aborted && this.#leader !== this.#name) void lead('')
      })
  }

  /** Nothing is open, so that the page may go into the back/forward cache. */
  readonly #fallAsleep = (): void => {
    this.#awake?.abort()
    this.#awake = undefined
    const channel = this.#channel
    this.#channel = undefined
    // What was told last may still be on its way; a page that is put away must have nothing open.
    if (this.#delivery.signal.aborted) setTimeout(() => channel?.close())
    else channel?.close()
    this.#leader = ''
    this.#delivery.stateIs('waiting')
  }

  /** Resolves when it leads no more. */
  async #lead(signal: AbortSignal, former: string): Promise<void> {
    const delivery = this.#delivery
    this.#former = former
    this.#leader = this.#name
    this.#count = 0
    this.#tellStanding()
    const host: ReaderHost = {
      signal,
      ready: () => undefined,
      give: (event) => {
        const id = event.hasId && event.event !== this.#gapEvent && event.id
        this.#give({ ...event, key: id || `${this.#name} ${this.#count}` })
      },
      stateIs: (state, cause) => {
        this.#tell({ state })
        delivery.stateIs(state, cause)
      },
      end: (reason, cause, response) => {
        this.#tell({ end: reason })
        delivery.end(reason, cause, response)
      }
    }
    await new StreamReader(this.#url, { ...this.#options, lastEventId: this.#lastEventId }, host).run()
    // Others hear that it has ended before they could lead. Of a page that stood still, the first timer may fire before that.
    if (delivery.signal.aborted) await new Promise((resolve) => setTimeout(() => setTimeout(resolve), 99))
  }

  /** To the others first: what they were not told, the next leader asks for again. */
  #give(item: Item): void {
    this.#tell({ item })
    this.#take(item)
  }

  #tellStanding(): void {
    this.#origin ||= this.#name
    this.#tell({
      standing: {
        kept: [...this.#kept.values()],
        isCut: this.#isCut,
        origin: this.#origin,
        since: this.#since,
        lastEventId: this.#lastEventId,
        state: this.#delivery.state
      }
    })
  }

  #tell(word: { standing?: Standing; item?: Item; state?: StreamState; end?: EndReason }): void {
    const count = word.standing === undefined ? this.#count + 1 : this.#count
    this.#channel?.postMessage({ leader: this.#name, count, ...word } satisfies Word)
    this.#count = count
  }

  #ask(): void {
    if (this.#isAsking) return
    this.#isAsking = true
    this.#channel?.postMessage({ isQuestion: true } satisfies Word)
  }

  #hear(word: Word): void {
    const leads = this.#leader === this.#name
    if ('isQuestion' in word) {
      if (leads) this.#tellStanding()
      return
    }
    const { leader, count, standing, item, state, end } = word
    if (leads && end === undefined) {
      if (leader === this.#former && item !== undefined && !this.#kept.has(item.key)) this.#give(item)
      return
    }
    const isNext = leader === this.#leader && count === this.#count + 1
    if (standing === undefined && end === undefined && !isNext) {
      this.#ask()
      return
    }
    this.#leader = leader
    this.#count = count
    if (standing !== undefined) this.#catchUp(standing)
    if (item !== undefined) this.#take(item)
    if (state !== undefined) this.#delivery.stateIs(state)
    if (end !== undefined) this.#delivery.end(end)
  }

  /** Takes what the leader has and this tab has not; the leader may also be behind. */
  #catchUp({ kept, isCut, origin, since, lastEventId, state }: Standing): void {
    this.#isAsking = false
    const from = kept.findIndex(({ key }) => key === this.#lastKey) + 1
    const isAhead = this.#kept.has(kept.at(-1)?.key)
    // Who began while this tab was put away, or after what it brought, has nothing of what came before.
    const isOfOne = this.#origin === '' ? isSince(this.#lastEventId, since) : this.#origin === origin
    this.#origin = origin
    if (from === 0 && !isAhead) this.#since = since
    if (from === 0 && (isCut || !isOfOne) && !isAhead && this.#gapEvent !== false) {
      this.#take({
        event: this.#gapEvent,
        data: '{"reason":"expired"}',
        id: this.#lastEventId,
        hasId: false,
        key: `${this.#name} ${this.#leader} ${this.#count}`
      })
    }
    for (const item of kept.slice(from)) this.#take(item)
    if (!isAhead) this.#lastEventId = lastEventId
    this.#delivery.stateIs(state)
  }

  #take(item: Item): void {
    const { cursorEvent = 'sse-cursor', keep = 1_000 } = this.#options
    const kept = this.#kept
    if (kept.has(item.key)) return
    this.#lastEventId = item.id
    this.#since ||= item.id
    if (item.event === cursorEvent) return
    if (item.event === this.#gapEvent) {
      kept.clear()
      this.#isCut = false
    }
    kept.set(item.key, item)
    this.#lastKey = item.key
    // By the newest one it is known who is not behind.
    if (kept.size > Math.max(keep, 1)) {
      kept.delete(kept.keys().next().value)
      this.#isCut = true
    }
    this.#delivery.give(item)
  }

  get #gapEvent(): string | false {
    return this.#options.gapEvent ?? 'gap'
  }
}

/** Whether what came after one id is all that came after another: cursors of the server are in order. */
function isSince(id: string, start: string): boolean {
  const isCursor = /^\w{10}-\w+$/.test(id)
  return id === '' || id === start || (isCursor && start <= id && start.slice(10).startsWith(id.slice(10)))
}
