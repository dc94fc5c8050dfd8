import type { Cursor, Place } from './place.ts'

/** A message as it is kept: everything of its frame but the `id` line, which is made from the cursor. */
export interface Entry {
  readonly place: Place
  readonly cursor: Cursor
  /** Well-formed text. */
  readonly text: string
  /** Bytes of `text` in UTF-8. */
  readonly byteLength: number
  readonly key: string
  /** Whether it is kept for those who come later. */
  readonly isKept: boolean
  /** Whether nothing comes after it. */
  readonly isEnd: boolean
  /** When it came, by the monotonic clock. */
  readonly time: number
  /** The names of all channels that it was published to. */
  readonly channels: readonly string[]
}

/** The text of an end that is no message: a block that tells its id, and nothing else. */
export const END_TEXT = '\n'

/** A message's bytes without an `id` line, and what it is about. */
export interface Appendable {
  /** Well-formed text. */
  readonly text: string
  /** Bytes of `text` in UTF-8. */
  readonly byteLength: number
  /** A newer message with the same key may replace it for readers who are behind. */
  readonly key: string
}

export interface AppendOptions {
  /** What was appended to the same channels with the same one is not appended again, as long as it is kept. */
  readonly idempotencyKey: string | undefined
  /** Whether it is kept for those who come later. */
  readonly isKept: boolean
  /** Whether the channels end with the last of them. */
  readonly isEnd: boolean
  /** Of a lease on the channel. */
  readonly token?: string | undefined
  /** Where who has the lease knows the channel to stand. */
  readonly after?: Place | undefined
}

/** What became of messages: their cursors, or those that they got when they were appended before. */
export interface Appended {
  readonly cursors: readonly Cursor[]
  readonly isNew: boolean
  /** Nothing was appended, because one of the channels has ended, or is not the appender's, or has lost something. */
  readonly isEnded: boolean
}
