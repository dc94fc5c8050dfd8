import { createParser } from 'eventsource-parser'
import type { EndReason, StreamOptions, StreamState } from './options.ts'
import { aborted, isOffline, MAX_TIMER_MS, pause, watchPage } from './surroundings.ts'

/** An event as it came. */
export interface RawEvent {
  readonly event: string
  readonly data: string
  /** The last id, up to this event. */
  readonly id: string
  /** Whether it came with that id. */
  readonly hasId: boolean
}

/** Whom a stream is read for. */
export interface ReaderHost {
  /** Aborts once no more is taken. */
  readonly signal: AbortSignal
  /** Resolves when more is taken; `undefined` if that is now. */
  ready(): Promise<void> | undefined
  give(event: RawEvent): void
  stateIs(state: StreamState, cause?: unknown): void
  end(reason: EndReason, cause?: unknown, response?: Response): void
}

/** Why there has to be another attempt. */
interface Failure {
  /** What was thrown, or an answer. */
  readonly cause?: unknown
  /** Milliseconds that the server asks for, at least. */
  readonly afterMs?: number | undefined
}

/** Answers below 500 after which a request may be made again (RFC 9110, section 15; RFC 6585; RFC 8470). */
const PASSING: readonly number[] = [408, 425, 429]
/** Those where nothing was done yet, for what must not be done twice. */
const REFUSALS: readonly number[] = [503, 429]

/** Characters that a header does not take, so that an id with them counts as none, as with a NUL. */
const UNSENDABLE = /[^\t -~\x80-\uffff]/

/** Node's type knows no `cache`, and of what is not given it takes no `undefined`. */
type Init = { [Name in keyof RequestInit]: RequestInit[Name] | undefined } & { readonly cache: 'no-store' }

function requestOf(
  url: string | URL,
  options: StreamOptions,
  headers: Headers,
  signal?: AbortSignal
): Request {
  const { method = 'GET', body, credentials = 'same-origin' } = options
  const init: Init = { method, credentials, headers, body, signal, cache: 'no-store' }
  return new Request(url, init as RequestInit)
}

/** @throws TypeError for what no request can be made of. */
export function checkRequest(url: string | URL, options: StreamOptions): void {
  const { headers } = options
  requestOf(url, options, new Headers(typeof headers === 'function' ? undefined : headers))
}

/** Reads a stream until its host ends it, over as many connections as that takes, one at a time. */
export class StreamReader {
  readonly #url: string | URL
  readonly #options: StreamOptions
  readonly #host: ReaderHost
  readonly #isFinite: boolean
  readonly #resumes: boolean
  #lastEventId: string
  #retryMs: number
  /** Attempts in a row that brought nothing. */
  #failures = 0
  /** The `401` after which headers are asked for once more. */
  #refusal: Response | undefined
  #attempt = new AbortController()
  #watchdog: ReturnType<typeof setTimeout> | undefined
  /** While the page is put away. */
  #sleep: Promise<void> | undefined
  #wake: (() => void) | undefined

  constructor(url: string | URL, options: StreamOptions, host: ReaderHost) {
    this.#url = url
    this.#options = options
    this.#host = host
    this.#isFinite = options.finite ?? !/^get$/i.test(options.method ?? 'GET')
    this.#resumes = options.resume ?? !this.#isFinite
    this.#lastEventId = options.lastEventId ?? ''
    this.#retryMs = options.retryMs ?? 1_000
  }

  /** Never rejects. */
  run(): Promise<void> {
    return this.#run().catch((cause: unknown) => this.#host.end('error', cause))
  }

  async #run(): Promise<void> {
    const { signal } = this.#host
    const wake = (): void => {
      this.#sleep = undefined
      this.#wake?.()
    }
    const fallAsleep = (): void => {
      this.#sleep ??= new Promise((resolve) => {
        this.#wake = resolve
      })
      this.#attempt.abort()
    }
    watchPage(signal, fallAsleep, wake)
    signal.addEventListener('abort', () => {
      wake()
      this.#attempt.abort()
    })
    while (!signal.aborted) {
      this.#attempt = new AbortController()
      const failure = await this.#connect().catch((thrown: unknown) => {
        const { reason: cause = thrown } = this.#attempt.signal
        // The connection is still there if it was not that which failed.
        this.#attempt.abort()
        return this.#failed('broken', { cause })
      })
      clearTimeout(this.#watchdog)
      if (failure && !signal.aborted) await this.#rest(failure)
    }
  }

  /** One attempt. @returns why there must be another one, unless it is the last one or the next one follows at once. */
  async #connect(): Promise<Failure | undefined> {
    const host = this.#host
    const { headers } = this.#options
    const isAsked = typeof headers === 'function'
    this.#watch()
    let given: RequestInit['headers']
    try {
      given = isAsked ? await Promise.race([headers(this.#refusal), aborted(this.#attempt.signal)]) : headers
    } catch (cause) {
      return this.#failed('error', { cause })
    }
    // What was not read of it would hold a connection.
    this.#refusal?.body?.cancel().catch(() => {})
    let request: Request
    try {
      request = this.#request(new Headers(given))
    } catch (cause) {
      host.end('error', cause)
      return
    }
    const response = await fetch(request)
    const { status } = response
    if (status === 401 && isAsked && !this.#refusal) {
      this.#refusal = response
      return
    }
    this.#refusal = undefined
    if (this.#resumes ? status >= 500 || PASSING.includes(status) : REFUSALS.includes(status)) {
      await response.body?.cancel()
      return { cause: response, afterMs: retryAfter(response) }
    }
    if (status === 204) host.end('server')
    else if (response.ok && /^text\/event-stream *(;|$)/i.test(response.headers.get('content-type') ?? '')) {
      host.stateIs('open')
      const isCut = await this.#read(response)
      if (!this.#isFinite) return {}
      if (isCut) return this.#failed('broken', {})
      host.end('server')
    } else {
      // The answer can still be read.
      this.#attempt = new AbortController()
      host.end('refused', undefined, response)
    }
    return
  }

  #request(headers: Headers): Request {
    if (!headers.has('accept')) headers.set('accept', 'text/event-stream')
    // Headers take bytes, and of an id those of its UTF-8 are sent (HTML, section 9.2.3).
    const id = String.fromCharCode(...new TextEncoder().encode(this.#lastEventId))
    if (id !== '') headers.set('last-event-id', id)
    return requestOf(this.#url, this.#options, headers, this.#attempt.signal)
  }

  /** @returns whether the answer has ended within an event. */
  async #read({ body }: Response): Promise<boolean> {
    const host = this.#host
    const { signal } = this.#attempt
    let isCut = false
    const parser = createParser({
      maxBufferSize: this.#options.maxEventLength ?? 2 ** 24,
      onError: (error) => {
        if (error.type === 'max-buffer-size-exceeded') host.end('error', error)
      },
      onEvent: ({ event, data, id }) => {
        if (isCut) isCut = Boolean(event || data)
        else if (!host.signal.aborted) {
          this.#failures = 0
          const hasId = id !== undefined && !UNSENDABLE.test(id)
          const lastEventId = hasId ? id : this.#lastEventId
          host.give({ event: event ?? 'message', data, id: lastEventId, hasId })
          // Not before: what could not be given comes again.
          this.#lastEventId = lastEventId
        }
      },
      onComment: () => {
        this.#failures = 0
      },
      onRetry: (ms) => {
        this.#retryMs = ms
      }
    })
    const decoder = new TextDecoder()
    const reader = body?.getReader()
    let last: number | undefined
    while (reader) {
      clearTimeout(this.#watchdog)
      await host.ready()
      // In Node 20, what is read after that is never settled.
      signal.throwIfAborted()
      this.#watch()
      const { done, value } = await reader.read()
      if (done) break
      parser.feed(decoder.decode(value, { stream: true }))
      last = value.at(-1)
    }
    // The parser waits for the LF that may follow a CR, but the line has ended.
    if (last === 13) parser.feed('\n')
    isCut = true
    // Makes an empty event, unless it is a part of another one.
    parser.feed('data\n\n')
    return isCut
  }

  /** From now on there must be a byte in time. */
  #watch(): void {
    clearTimeout(this.#watchdog)
    const { silenceMs = 45_000 } = this.#options
    if (silenceMs === false) return
    const attempt = this.#attempt
    this.#watchdog = setTimeout(
      () => attempt.abort(new DOMException('It is silent', 'TimeoutError')),
      Math.min(silenceMs, MAX_TIMER_MS)
    )
  }

  /** @returns the failure, unless it is the end. */
  #failed(reason: EndReason, failure: Failure): Failure | undefined {
    if (this.#resumes) return failure
    this.#host.end(reason, failure.cause)
    return
  }

  /** Until the next attempt: longer each time, each client in its own way, and no longer than until the page is online. */
  async #rest({ cause, afterMs }: Failure): Promise<void> {
    const { signal, stateIs } = this.#host
    const { maxRetryMs = 30_000 } = this.#options
    stateIs('waiting', cause)
    const grown = this.#failures && Math.min(maxRetryMs, (this.#retryMs || 1_000) * 2 ** this.#failures)
    const ms = isOffline()
      ? maxRetryMs
      : Math.max(this.#retryMs, grown, afterMs ?? 0) * (1 + Math.random() / 2)
    this.#failures++
    if (!this.#sleep) await pause(ms, signal, afterMs === undefined)
    await this.#sleep
    stateIs('connecting')
  }
}

/** RFC 9110, section 10.2.3: seconds, or a date, by the server's clock where that is told. */
function retryAfter({ headers }: Response): number | undefined {
  const value = headers.get('retry-after') ?? ''
  const now = Date.parse(headers.get('date') ?? '') || Date.now()
  const ms = /^\d+$/.test(value) ? +value * 1_000 : Date.parse(value) - now
  return ms > 0 ? ms : undefined
}
