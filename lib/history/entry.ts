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
