import { Readable } from 'node:stream'
import { isAbortOf } from '../base/aborts.ts'
import { describe, errorOf, FST_ERR_EVENTSTREAM_INVALID_SOURCE, withCause } from '../base/errors.ts'
import { nextTurn, ObservedPromise } from '../base/promises.ts'
import { EventStreamReader } from '../wire/event-stream-reader.ts'
import type { Message } from '../wire/message.ts'

/** One way to pull from every kind of source, and to give it up while a pull is pending. */
interface SourceReader {
  next(): PromiseLike<IteratorResult<unknown>> | IteratorResult<unknown>
  cancel(): unknown
}

/** @throws FST_ERR_EVENTSTREAM_INVALID_SOURCE */
function openSource(source: unknown): SourceReader {
  if (source instanceof Readable) return readableSource(source)
  if (source instanceof ReadableStream) return streamSource(source)
  if (isAsyncIterable(source)) return iteratorSource(source[Symbol.asyncIterator]())
  if (isIterable(source)) return iteratorSource(source[Symbol.iterator]())
  const kinds = 'an iterable, an async iterable, a Readable, a ReadableStream or a Response'
  throw errorOf(FST_ERR_EVENTSTREAM_INVALID_SOURCE, ['the source', kinds, source])
}

function isAsyncIterable(source: unknown): source is AsyncIterable<unknown> {
  return isObject(source) && typeof Reflect.get(source, Symbol.asyncIterator) === 'function'
}

/** Strings are iterable too, but character by character. */
function isIterable(source: unknown): source is Iterable<unknown> {
  return isObject(source) && typeof Reflect.get(source, Symbol.iterator) === 'function'
}

function isObject(source: unknown): source is object {
  return typeof source === 'object' && source !== null
}

/** Its `error` events are listened to from the start: one that comes before the first pull would end the process. */
function readableSource(source: Readable): SourceReader {
  const iterator = source[Symbol.asyncIterator]()
  const failed = new Promise<never>((_resolve, reject) => source.once('error', reject))
  failed.catch(() => {})
  return {
    next: () => iterator.next(),
    cancel: () => {
      source.destroy()
      return failed
    }
  }
}

function streamSource(source: ReadableStream): SourceReader {
  if (source.locked) {
    throw new FST_ERR_EVENTSTREAM_INVALID_SOURCE(
      'Expected the source to be free, got a ReadableStream that is locked'
    )
  }
  const reader = source.getReader()
  return { next: () => reader.read() as Promise<IteratorResult<unknown>>, cancel: () => reader.cancel() }
}

/** A generator that ends its own stream while it runs cannot be told to stop before it has paused. */
function iteratorSource(iterator: AsyncIterator<unknown> | Iterator<unknown>): SourceReader {
  let isRunning = false
  let isCancelled = false
  return {
    next: () => {
      isRunning = true
      const result = iterator.next()
      isRunning = false
      return isCancelled ? (iterator.return?.() ?? result) : result
    },
    cancel: () => {
      isCancelled = isRunning
      return isRunning ? undefined : iterator.return?.()
    }
  }
}

/** Where a source's messages go. */
export interface Sink {
  /** Aborts when no more messages are taken. */
  readonly signal: AbortSignal
  /** The longest that a message may be. */
  readonly maxMessageBytes: number
  send(message: Message | string): Promise<boolean>
  /** Gets what a source's `return()`, `destroy()` or `cancel()` threw, unless it was the signal that had stopped it. */
  sourceOnStopError(error: unknown): void
}

/** How many chunks are left out at a stretch: a source that has them all at hand must not keep others from their turn. */
const MAX_LEFT_OUT = 1_000

/** Makes a message of what a source gives, or `false` to leave it out. */
export type ChunkMap = (chunk: never) => Message | string | false

/**
 * Sends what `source` gives until it or the sink ends. A source that did not end by itself is told to stop at once.
 *
 * @returns a promise of whether the sink takes more, which rejects with the source's error or that of a bad message. It
 * never becomes an unhandled rejection: an error that comes while nobody waits for the promise goes to `onUnobserved`.
 * @throws FST_ERR_EVENTSTREAM_INVALID_SOURCE at the call.
 */
export function sendFrom(
  source: unknown,
  map: ChunkMap | undefined,
  sink: Sink,
  onUnobserved: (error: unknown) => void
): Promise<boolean> {
  if (map !== undefined && typeof map !== 'function') {
    throw errorOf(FST_ERR_EVENTSTREAM_INVALID_SOURCE, ['map', 'a function', map])
  }
  const reader = isResponse(source)
    ? openResponse(source, map !== undefined, sink.maxMessageBytes)
    : openSource(source)
  return ObservedPromise.of(pumpUntilAborted(reader, map, sink), onUnobserved)
}

async function pumpUntilAborted(
  reader: SourceReader,
  map: ChunkMap | undefined,
  sink: Sink
): Promise<boolean> {
  const { signal } = sink
  if (signal.aborted) {
    cancel(reader, sink)
    return false
  }
  const done = new AbortController()
  const left = new Promise<void>((resolve) => {
    const leave = (): void => {
      cancel(reader, sink)
      resolve()
    }
    signal.addEventListener('abort', leave, { once: true, signal: done.signal })
  })
  try {
    await Promise.race([left, pump(reader, map, sink)])
  } finally {
    done.abort()
  }
  return !signal.aborted
}

async function pump(reader: SourceReader, map: ChunkMap | undefined, sink: Sink): Promise<void> {
  let leftOut = 0
  while (!sink.signal.aborted) {
    const { done, value } = await reader.next()
    if (done || sink.signal.aborted) return
    try {
      const message = map === undefined ? messageOf(value) : map(value as never)
      if (message !== false || map === undefined) await sink.send(message as Message)
      else if (++leftOut % MAX_LEFT_OUT === 0) await nextTurn()
    } catch (error) {
      cancel(reader, sink)
      throw error
    }
  }
}

/** Where bytes are cut says nothing of where messages end, nor of what they are. */
function messageOf(value: unknown): unknown {
  if (!(value instanceof Uint8Array)) return value
  const rule = 'give the Response itself, decode them to text, or say what they are by map'
  throw new FST_ERR_EVENTSTREAM_INVALID_SOURCE(`Expected the source to give messages, got bytes: ${rule}`)
}

function cancel(reader: SourceReader, sink: Sink): void {
  new Promise((resolve) => resolve(reader.cancel())).catch((error) => {
    if (!isAbortOf(sink, error)) sink.sourceOnStopError(error)
  })
}

/** An event of a response that is an event stream. */
export interface RelayedEvent {
  id?: string | undefined
  event?: string | undefined
  data: string
}

/** A `Response`, of whatever implementation of `fetch()`. */
export interface ResponseLike {
  readonly status: number
  readonly headers: { get(name: string): string | null }
  readonly body: unknown
}

export function isResponse(source: unknown): source is ResponseLike {
  if (typeof source !== 'object' || source === null || !('status' in source)) return false
  if (!('headers' in source) || !('body' in source)) return false
  const { headers } = source
  return typeof headers === 'object' && headers !== null && 'get' in headers
}

/**
 * Reads of a response events, if its content type says so, or else its bytes, of which only the application knows what they
 * are.
 *
 * @param isMapped whether it says so.
 * @throws FST_ERR_EVENTSTREAM_INVALID_SOURCE
 */
function openResponse(response: ResponseLike, isMapped: boolean, maxMessageBytes: number): SourceReader {
  const { status, headers, body } = response
  const type = headers.get('content-type') ?? ''
  const isEventStream = /^text\/event-stream\s*(;|$)/i.test(type.trim())
  if (status < 200 || status > 299) throw refusal(response, `a status from 200 to 299, got ${status}`)
  if (!isEventStream && !isMapped) {
    const error = refusal(response, 'the type text/event-stream, or a map for its bytes, got another one')
    throw withCause(error, describe(type))
  }
  const bytes = openSource(body ?? [])
  return isEventStream ? new EventsReader(bytes, maxMessageBytes) : bytes
}

/** Gives up what is not read. */
function refusal({ body }: ResponseLike, rule: string): Error {
  if (body instanceof ReadableStream && !body.locked) body.cancel().catch(() => {})
  return new FST_ERR_EVENTSTREAM_INVALID_SOURCE(`Expected the response to have ${rule}`)
}

const CUT = 'Expected the response to end after an event, got its end in the middle of one'

/** Events of bytes. */
class EventsReader implements SourceReader {
  readonly #bytes: SourceReader
  readonly #parser: EventStreamReader
  readonly #maxMessageBytes: number
  /** The next one last. */
  readonly #events: RelayedEvent[] = []
  #isTooLong = false

  constructor(bytes: SourceReader, maxMessageBytes: number) {
    this.#bytes = bytes
    this.#maxMessageBytes = maxMessageBytes
    const onTooLong = (): void => {
      this.#isTooLong = true
    }
    this.#parser = new EventStreamReader({ onEvent: (event) => this.#add(event), onTooLong }, maxMessageBytes)
  }

  async next(): Promise<IteratorResult<RelayedEvent>> {
    for (;;) {
      const event = this.#events.pop()
      if (event !== undefined) return { done: false, value: event }
      if (this.#isTooLong) {
        this.cancel()
        const rule = `Expected the events of the response to fit into maxMessageBytes, ${this.#maxMessageBytes}`
        throw new FST_ERR_EVENTSTREAM_INVALID_SOURCE(rule)
      }
      const { done, value } = await this.#bytes.next()
      if (done) {
        if (this.#parser.end()) throw new FST_ERR_EVENTSTREAM_INVALID_SOURCE(CUT)
        return { done: true, value: undefined }
      }
      this.#parser.feed(value as Uint8Array | string)
      this.#events.reverse()
    }
  }

  cancel(): unknown {
    return this.#bytes.cancel()
  }

  #add({ id, event, data }: RelayedEvent): void {
    this.#events.push({ ...(id !== undefined && { id }), ...(event !== undefined && { event }), data })
  }
}
