import type { FastifyBaseLogger } from 'fastify'
import { encodeMessage, encodeRetry, type Frame, type FrameOptions } from '../wire/frame.ts'
import { assertNoId, type Message } from '../wire/message.ts'
import type { CloseReason } from './sse-connection.ts'

/**
 * The last message before a stream ends. A message is for `close()` and who is replaced; a function says it for each reason, with the
 * error that ended the stream, if one did. `false` is none.
 */
export type Farewell = Message | false | ((reason: CloseReason, error: unknown) => Message | false)

/** A stream's options, as far as its last words depend on them. */
export interface FarewellOptions extends FrameOptions {
  readonly farewell: Farewell
  readonly retryMs: RetryRange
  readonly finite: boolean
}

/** The farewell, unless it fails, which is logged; and when clients that come back are to. */
export function lastWords(
  options: FarewellOptions,
  reason: CloseReason,
  error: unknown,
  log: FastifyBaseLogger
): Frame[] {
  const frames: (Frame | undefined)[] = []
  try {
    frames.push(farewellFrame(options.farewell, options, reason, error))
  } catch (err) {
    log.error({ err }, 'the farewell of an event stream failed')
  }
  return [...frames, retryFrame(options, reason)].filter((frame) => frame !== undefined)
}

/**
 * @throws what the function throws, and FST_ERR_EVENTSTREAM_INVALID_MESSAGE, FST_ERR_EVENTSTREAM_SERIALIZATION or
 * FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE.
 */
export function farewellFrame(
  farewell: Farewell,
  options: FrameOptions,
  reason: CloseReason,
  error: unknown
): Frame | undefined {
  if (typeof farewell === 'function') return encodeFarewell(farewell(reason, error), options)
  return reason === 'server' || reason === 'replaced' ? encodeFarewell(farewell, options) : undefined
}

function retryFrame({ retryMs, finite }: FarewellOptions, reason: CloseReason): Frame | undefined {
  if (finite || (reason !== 'shutdown' && reason !== 'expired')) return undefined
  const ms = drawRetry(retryMs)
  return ms === undefined ? undefined : encodeRetry(ms)
}

function encodeFarewell(message: Message | false, options: FrameOptions): Frame | undefined {
  if (message === false) return undefined
  if (message?.id !== '') assertNoId(message, "absent, or '' for clients to forget theirs")
  return encodeMessage(message, options)
}

/** Milliseconds between which a client's time to come back is drawn; `false` tells none. */
export type RetryRange = readonly [min: number, max: number] | false

/** A time of the range, so that those who go together do not come back together. */
export function drawRetry(range: RetryRange): number | undefined {
  if (range === false) return undefined
  const [min, max] = range
  return min + Math.floor(Math.random() * (max - min + 1))
}
