import { errorOf, FST_ERR_EVENTSTREAM_INVALID_SOURCE } from '../base/errors.ts'
import { ObservedPromise } from '../base/observed-promise.ts'
import type { Message } from '../wire/message.ts'
import { nextTurn } from './next-turn.ts'
import { isResponse, openResponse } from './response-source.ts'
import { openSource, type SourceReader } from './source-reader.ts'

/** Where a source's messages go. */
export interface Sink {
  /** Aborts when no more messages are taken. */
  readonly signal: AbortSignal
  /** The longest that a message may be. */
  readonly maxMessageBytes: number
  send(message: Message | string): Promise<boolean>
  /** Gets what a source's `return()`, `destroy()` or `cancel()` threw. */
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
  new Promise((resolve) => resolve(reader.cancel())).catch((error) => sink.sourceOnStopError(error))
}
