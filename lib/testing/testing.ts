import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http'
import type { Readable } from 'node:stream'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { EventStreamReader } from '../wire/event-stream-reader.ts'

/** An event as a client dispatches it. */
export interface ReceivedEvent {
  /** The client's last event id, which stays until another one comes; `''` when none has come. */
  readonly id: string
  /** `message` when it has no name. */
  readonly event: string
  readonly data: string
}

export interface ReadOptions {
  /**
   * Milliseconds to wait for an event, or for the response's head, before that is an error.
   * @defaultValue 5000
   */
  timeoutMs?: number
}

/** What `injectStream()` sends: what `app.inject()` does, or a path. */
export type InjectStreamOptions = string | Omit<InjectOptions, 'signal' | 'payloadAsStream'>

/** What `readEvents()` reads: a `Response` of `fetch()`, or its bytes, such as those of a Node `Readable`. */
export type EventSourceLike = Response | AsyncIterable<Uint8Array | string>

const DEFAULT_TIMEOUT_MS = 5_000
/** A timer that is to wait for longer fires at once. */
const MAX_TIMER_MS = 2_147_483_647
const HEAD = 'the head of the response'

/** Somebody waits for an event, until he has it or has waited for long enough. */
class Wait {
  isOver = false

  end(): void {
    this.isOver = true
  }
}

/** Reads events one after another, no faster than they are asked for. */
export class EventReader implements AsyncIterable<ReceivedEvent> {
  readonly #parser = new EventStreamReader({
    onEvent: ({ id, event = 'message', data }) => {
      this.#newestId = id ?? this.#newestId
      this.#events.push({ id: this.#newestId, event, data })
    },
    onComment: (text) => this.#comments.push(text),
    onRetry: (retryMs) => {
      this.#retryMs = retryMs
    }
  })
  readonly #comments: string[] = []
  #retryMs: number | undefined
  readonly #chunks: AsyncIterator<Uint8Array | string>
  readonly #timeoutMs: number
  readonly #events: ReceivedEvent[] = []
  /** Of what was read. */
  #newestId = ''
  /** Of what was handed out. */
  #lastEventId = ''
  #reading: Promise<boolean> | undefined

  constructor(
    chunks: AsyncIterable<Uint8Array | string>,
    { timeoutMs = DEFAULT_TIMEOUT_MS }: ReadOptions = {}
  ) {
    this.#chunks = chunks[Symbol.asyncIterator]()
    this.#timeoutMs = timeoutMs
  }

  /** What a client would send as `Last-Event-ID` when it reconnects, as far as events were read. */
  get lastEventId(): string {
    return this.#lastEventId
  }

  /** The reconnection time in milliseconds that was told last, if any was. */
  get retryMs(): number | undefined {
    return this.#retryMs
  }

  /** The comments that were read, such as heartbeats. */
  get comments(): readonly string[] {
    return this.#comments
  }

  /**
   * The next event, or the next one of this name; those before it are skipped.
   *
   * @throws Error when the stream ends or fails before it, and after `timeoutMs` without it.
   */
  async next(event?: string): Promise<ReceivedEvent> {
    const wanted = event === undefined ? 'an event' : `the event "${event}"`
    const wait = new Wait()
    const next = await within(this.#timeoutMs, wanted, this.#find(event, wait)).finally(() => wait.end())
    if (next === undefined) throw new Error(`The stream ended before ${wanted}`)
    return next
  }

  /** All events until the stream ends. @throws Error when it fails, or does not end. */
  async rest(): Promise<ReceivedEvent[]> {
    const reading = (async () => {
      while (await this.#readMore());
    })()
    await within(this.#timeoutMs, 'the end of the stream', reading)
    const events = this.#events.splice(0)
    this.#lastEventId = events.at(-1)?.id ?? this.#lastEventId
    return events
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ReceivedEvent, void, undefined> {
    for (let event = await this.#find(); event !== undefined; event = await this.#find()) yield event
  }

  /** What comes when nobody waits any more is kept for who asks next. */
  async #find(name?: string, wait = new Wait()): Promise<ReceivedEvent | undefined> {
    do {
      while (!wait.isOver) {
        const event = this.#events.shift()
        if (event === undefined) break
        this.#lastEventId = event.id
        if (name === undefined || event.event === name) return event
      }
    } while (!wait.isOver && (await this.#readMore()))
    return undefined
  }

  /** One chunk is read for all who wait. @returns false at the end. */
  #readMore(): Promise<boolean> {
    this.#reading ??= this.#read().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #read(): Promise<boolean> {
    const { done, value } = await this.#chunks.next()
    if (done === true) return false
    this.#parser.feed(value)
    return true
  }
}

/** A stream that was started without a port, with what came before its first event. */
export class InjectedStream extends EventReader {
  readonly statusCode: number
  readonly headers: IncomingHttpHeaders | OutgoingHttpHeaders
  readonly #body: Readable
  readonly #leaving: AbortController

  constructor(
    { statusCode, headers, body }: { statusCode: number; headers: OutgoingHttpHeaders; body: Readable },
    leaving: AbortController,
    options: ReadOptions
  ) {
    super(body, options)
    this.statusCode = statusCode
    this.headers = headers
    this.#body = body
    this.#leaving = leaving
  }

  /** Leaves as a client does that is closed: the connection ends with reason `client`. Resolves when it has. */
  async abort(): Promise<void> {
    if (!this.#body.closed) {
      const closed = new Promise((resolve) => this.#body.once('close', resolve))
      this.#body.on('error', () => {})
      this.#leaving.abort()
      await closed
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abort()
  }
}

/**
 * Starts an event stream of a server that does not listen, with `app.inject()`.
 *
 * @throws Error with the response's body when it is no event stream.
 */
export async function injectStream(
  app: Pick<FastifyInstance, 'inject'>,
  request: InjectStreamOptions,
  options: ReadOptions = {}
): Promise<InjectedStream> {
  const { headers, ...given } = typeof request === 'string' ? { url: request } : request
  const leaving = new AbortController()
  const injected = app.inject({
    ...given,
    headers: { accept: 'text/event-stream', ...headers },
    payloadAsStream: true,
    signal: leaving.signal
  })
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const head = new Wait()
  const answered = Promise.resolve(injected).finally(() => head.end())
  const response = await within(timeoutMs, HEAD, answered).catch((error: Error) => {
    if (!head.isOver) leaving.abort()
    throw error
  })
  const body = response.stream()
  const { statusCode, headers: responseHeaders } = response
  if (!isEventStream(statusCode, String(responseHeaders['content-type']))) {
    body.on('error', () => {})
    const refused = refusal(statusCode, String(responseHeaders['content-type']), body)
    throw await within(timeoutMs, 'the end of the response', refused).finally(() => leaving.abort())
  }
  return new InjectedStream({ statusCode, headers: responseHeaders, body }, leaving, options)
}

/**
 * Reads the events of a response, from whatever client it is.
 *
 * @throws Error when it is a `Response` without an event stream.
 */
export function readEvents(source: EventSourceLike, options: ReadOptions = {}): EventReader {
  if (!('body' in source && 'headers' in source)) return new EventReader(source, options)
  const contentType = String(source.headers.get('content-type'))
  if (source.body === null || !isEventStream(source.status, contentType)) {
    throw new Error(`Expected an event stream, got ${source.status} ${contentType}`)
  }
  return new EventReader(source.body, options)
}

/** Finite streams may have 201 and 202, too. */
const STATUSES: readonly number[] = [200, 201, 202]

function isEventStream(statusCode: number, contentType: string): boolean {
  return STATUSES.includes(statusCode) && contentType.startsWith('text/event-stream')
}

async function refusal(statusCode: number, contentType: string, body: Readable): Promise<Error> {
  let text = ''
  for await (const chunk of body) text += String(chunk)
  return new Error(`Expected an event stream, got ${statusCode} ${contentType} ${text}`.trimEnd())
}

async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  if (ms > MAX_TIMER_MS) return promise
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}
