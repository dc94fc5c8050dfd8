import { Readable } from 'node:stream'
import { TextDecoder } from 'node:util'
import { describe, FST_ERR_EVENTSTREAM_INVALID_SOURCE, kindOf, withCause } from '../base/errors.ts'
import { ObservedPromise } from '../base/observed-promise.ts'
import type { Message } from '../wire/message.ts'

/** Where a source's messages go. */
export interface Sink {
  /** Aborts when no more messages are taken. */
  readonly signal: AbortSignal
  send(message: Message | string): Promise<void>
  /** Gets what a source's `return()`, `destroy()` or `cancel()` threw. */
  sourceOnStopError(error: unknown): void
}

/** One way to pull from every kind of source, and to give it up while a pull is pending. */
interface SourceReader {
  next(): PromiseLike<IteratorResult<unknown>> | IteratorResult<unknown>
  cancel(): unknown
}

/**
 * Sends what `source` gives until it or the sink ends. A source that did not end by itself is told to stop at once.
 *
 * @returns a promise that rejects with the source's error or that of a bad message. It never becomes an unhandled
 * rejection: an error that comes while nobody waits for the promise goes to `onUnobserved`.
 * @throws FST_ERR_EVENTSTREAM_INVALID_SOURCE at the call.
 */
export function sendFrom(source: unknown, sink: Sink, onUnobserved: (error: unknown) => void): Promise<void> {
  const reader = openSource(source)
  return ObservedPromise.of(pumpUntilAborted(reader, sink), onUnobserved)
}

async function pumpUntilAborted(reader: SourceReader, sink: Sink): Promise<void> {
  const { signal } = sink
  if (signal.aborted) return cancel(reader, sink)
  const done = new AbortController()
  const left = new Promise<void>((resolve) => {
    const leave = (): void => {
      cancel(reader, sink)
      resolve()
    }
    signal.addEventListener('abort', leave, { once: true, signal: done.signal })
  })
  try {
    await Promise.race([left, pump(reader, sink)])
  } finally {
    done.abort()
  }
}

async function pump(reader: SourceReader, sink: Sink): Promise<void> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  while (!sink.signal.aborted) {
    const { done, value } = await reader.next()
    if (sink.signal.aborted) return
    if (done) {
      decoder.decode()
      return
    }
    try {
      const message = value instanceof Uint8Array ? decoder.decode(value, { stream: true }) : value
      if (message !== '' || message === value) await sink.send(message as Message)
    } catch (error) {
      cancel(reader, sink)
      throw error
    }
  }
}

function cancel(reader: SourceReader, sink: Sink): void {
  new Promise((resolve) => resolve(reader.cancel())).catch((error) => sink.sourceOnStopError(error))
}

function openSource(source: unknown): SourceReader {
  if (source instanceof Readable) return readableSource(source)
  if (source instanceof ReadableStream) return streamSource(source)
  if (isAsyncIterable(source)) return iteratorSource(source[Symbol.asyncIterator]())
  if (isIterable(source)) return iteratorSource(source[Symbol.iterator]())
  throw withCause(new FST_ERR_EVENTSTREAM_INVALID_SOURCE(kindOf(source)), describe(source))
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
  if (source.locked) throw new FST_ERR_EVENTSTREAM_INVALID_SOURCE('a ReadableStream that is locked')
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
