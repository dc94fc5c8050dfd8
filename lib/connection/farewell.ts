import { encodeMessage, type Frame, type FrameOptions } from '../wire/frame.ts'
import { assertNoId, type Message } from '../wire/message.ts'
import type { CloseReason } from './sse-connection.ts'

/**
 * The last message before a stream ends. A message is for `close()` and who is replaced; a function says it for each reason, with the
 * error that ended the stream, if one did. `false` is none.
 */
export type Farewell = Message | false | ((reason: CloseReason, error: unknown) => Message | false)

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

function encodeFarewell(message: Message | false, options: FrameOptions): Frame | undefined {
  if (message === false) return undefined
  if (message?.id !== '') assertNoId(message, "absent, or '' for clients to forget theirs")
  return encodeMessage(message, options)
}
