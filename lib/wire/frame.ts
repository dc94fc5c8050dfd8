import { FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE } from '../base/errors.ts'
import { type Declaration, formatComment, formatMessage, type Message, type Serializer } from './message.ts'

/** How a message becomes a frame. */
export interface FrameOptions {
  readonly serializer: Serializer
  readonly maxMessageBytes: number
}

/** A message as it goes over the wire: well-formed text and the number of bytes it takes in UTF-8. */
export interface Frame {
  readonly text: string
  readonly byteLength: number
}

/**
 * @throws what `formatMessage` throws, and FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE.
 */
export function encodeMessage(
  message: Message | string,
  { serializer, maxMessageBytes }: FrameOptions,
  declared?: Declaration
): Frame {
  return limited(formatMessage(message, serializer, declared), maxMessageBytes)
}

/** `encodeMessage()` for what gets an id in front, which only the blank line lets count. */
export function encodePublished(
  message: Message | string,
  options: FrameOptions,
  declared?: Declaration
): Frame {
  const { text, byteLength } = encodeMessage(message, options, declared)
  return text.endsWith('\n\n') ? { text, byteLength } : { text: `${text}\n`, byteLength: byteLength + 1 }
}

/** @throws like `encodeMessage`. */
export function encodeComment(text: string, options: FrameOptions): Frame {
  return limited(formatComment(text), options.maxMessageBytes)
}

/** A reconnection time, however small messages must be. */
export function encodeRetry(retry: number): Frame {
  const text = formatMessage({ retry }, JSON.stringify)
  return { text, byteLength: text.length }
}

function limited(text: string, maxMessageBytes: number): Frame {
  const byteLength = Buffer.byteLength(text)
  if (byteLength > maxMessageBytes)
    throw new FST_ERR_EVENTSTREAM_MESSAGE_TOO_LARGE(byteLength, maxMessageBytes)
  return { text, byteLength }
}

/** The end of the longest piece of UTF-8 `bytes` from `start` that has at most `limit` bytes and cuts no code point. */
export function pieceEnd(bytes: Uint8Array, start: number, limit: number): number {
  let end = start + limit
  if (end >= bytes.length) return bytes.length
  while (isContinuation(bytes[end])) end--
  return end
}

function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0xc0) === 0x80
}
