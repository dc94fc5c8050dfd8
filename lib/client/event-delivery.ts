import type { EventStream } from './event-stream.ts'
import type {
  AnyEvent,
  EndReason,
  EventNames,
  EventOf,
  StreamEvent,
  StreamOptions,
  StreamState
} from './options.ts'
import { StreamError } from './stream-error.ts'
import type { RawEvent, ReaderHost } from './stream-reader.ts'

/** Options, whatever the events. */
export type DeliveryOptions = StreamOptions & {
  readonly parse?:
    | ((text: string, event: string) => unknown)
    | Readonly<Record<string, ((text: string) => unknown) | undefined>>
}

/** An event, and the one that came after it. */
interface Link {
  readonly event?: StreamEvent
  next?: Link
}

// biome-ignore lint/suspicious/noExplicitAny: which one it takes is known by its name.
type Listener = (event: any) => void

/** Knows what the server means, and gives the application the rest. */
export class EventDelivery<Events> implements EventStream<Events>, ReaderHost {
  readonly closed: Promise<EndReason>
  readonly signal: AbortSignal
  state: StreamState = 'connecting'
  error: StreamError | undefined
  farewell: string | undefined
  readonly #options: DeliveryOptions
  readonly #ending = new AbortController()
  readonly #listeners = new Map<string, Set<Listener>>()
  /** The event that came last. */
  #newest: Link = {}
  /** What loops were given last. */
  readonly #loops = new Set<{ last: Link }>()
  /** Called when there is something for loops. */
  #wakers: (() => void)[] = []
  /** Called when more may be taken. */
  #demand: (() => void) | undefined
  #reason: EndReason | undefined
  #resolveClosed: ((reason: EndReason) => void) | undefined

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.signal = this.#ending.signal
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    const { signal } = options
    if (signal?.aborted) this.close()
    signal?.addEventListener('abort', () => this.close(), { signal: this.signal })
  }

  on<Name extends EventNames<Events>>(
    event: Name,
    listener: (event: EventOf<Events, Name>) => void
  ): () => void {
    const listeners = this.#listeners.get(event) ?? new Set()
    this.#listeners.set(event, listeners.add(listener))
    this.#demand?.()
    return () => {
      listeners.delete(listener)
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<AnyEvent<Events>, void, undefined> {
    const loop = this.#loop()
    const leave = loop.return
    // A generator that waits would hear of it with the next event.
    loop.return = (value) => {
      this.close()
      return leave.call(loop, value)
    }
    return loop
  }

  async *#loop(): AsyncGenerator<AnyEvent<Events>, void, undefined> {
    const loop = { last: this.#newest }
    this.#loops.add(loop)
    try {
      while (this.#reason !== 'client') {
        const { next } = loop.last
        if (next !== undefined) {
          loop.last = next
          // Whether it is one of `Events` is the server's promise.
          yield next.event as AnyEvent<Events>
        } else if (this.#reason === undefined) await this.#news()
        else break
      }
    } finally {
      this.#loops.delete(loop)
      this.close()
    }
    if (this.error !== undefined) throw this.error
  }

  close(): void {
    this.end('client')
  }

  ready(): Promise<void> | undefined {
    if (this.#isReady) return undefined
    return new Promise((resolve) => {
      // One loop that asks for more does not speak for the others.
      this.#demand = () => {
        if (this.#isReady) resolve()
      }
    })
  }

  /** Whether somebody listens, and no loop is behind; or nobody waits for anything. */
  get #isReady(): boolean {
    const isHeard = this.#listeners.size + this.#loops.size > 0
    return this.signal.aborted || (isHeard && [...this.#loops].every(({ last }) => last === this.#newest))
  }

  give({ event, data, id }: RawEvent): void {
    if (this.#reason !== undefined) return
    const { cursorEvent = 'sse-cursor', farewell = 'close' } = this.#options
    if (event === cursorEvent) return
    if (event === farewell) {
      this.farewell = data
      this.end('server')
      return
    }
    let given: StreamEvent
    try {
      given = { event, data: this.#parse(event, data), id }
    } catch (cause) {
      this.end('error', cause)
      return
    }
    const link = { event: given }
    this.#newest.next = link
    this.#newest = link
    this.#wakeLoops()
    for (const listener of this.#listeners.get(event) ?? []) call(listener, given)
  }

  stateIs = (state: StreamState, cause?: unknown): void => {
    if (this.state === state || this.state === 'closed') return
    this.state = state
    const { onState } = this.#options
    if (onState !== undefined) call(() => onState(state, cause))
  }

  end(reason: EndReason, cause?: unknown, response?: Response): void {
    if (this.#reason !== undefined) return
    this.#reason = reason
    if (reason !== 'client' && reason !== 'server') this.error = new StreamError(reason, cause, response)
    this.stateIs('closed', this.error)
    this.#ending.abort()
    this.#resolveClosed?.(reason)
    this.#wakeLoops()
    this.#demand?.()
  }

  #parse(event: string, data: string): unknown {
    const { parse = {}, gapEvent = 'gap' } = this.#options
    if (event === gapEvent) return JSON.parse(data)
    if (typeof parse === 'function') return parse(data, event)
    return Object.hasOwn(parse, event) ? parse[event]?.(data) : data
  }

  /** Waits for an event, or the end. */
  #news(): Promise<void> {
    const news = new Promise<void>((resolve) => this.#wakers.push(resolve))
    this.#demand?.()
    return news
  }

  #wakeLoops(): void {
    for (const wake of this.#wakers.splice(0)) wake()
  }
}

/** What it throws is nobody's fault but its own, and nothing stops for it. */
function call<Args extends unknown[]>(listener: (...args: Args) => void, ...args: Args): void {
  try {
    listener(...args)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
