import { Readable } from 'node:stream'
import { errorOf, FST_ERR_EVENTSTREAM_INVALID_SOURCE } from '../base/errors.ts'

/** One way to pull from every kind of source, and to give it up while a pull is pending. */
export interface SourceReader {
  next(): PromiseLike<IteratorResult<unknown>> | IteratorResult<unknown>
  cancel(): unknown
}

/** @throws FST_ERR_EVENTSTREAM_INVALID_SOURCE */
export function openSource(source: unknown): SourceReader {
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
