/**
 * The id of a message in a channel, and so a place in the channel's history: right after that message. On the wire it is
 * the message's `id`, and comes back as `Last-Event-ID`. It says where to go on, and never grants access.
 */
export type Cursor = string

/**
 * Why a cursor could not be given all that came after it: it is no cursor, it belongs to another channel or to a process
 * that has ended, the messages after it are no longer kept, it is ahead of the history, or the reader was so slow that
 * messages were dropped before it could take them.
 */
export type GapReason = 'unknown' | 'foreign' | 'expired' | 'future' | 'slow'

/** A message as it is kept: everything of its frame but the `id` line, which is made from the cursor. */
export interface LoggedFrame {
  readonly cursor: Cursor
  /** Well-formed text. */
  readonly text: string
  /** Bytes of `text` in UTF-8. */
  readonly byteLength: number
  readonly key: string
  /** Its place among everything that arrived in this process (`arrivals.ts`); 0 for what was there before. */
  readonly arrival: number
}

export interface ReadLimits {
  /** At least 1. The page ends with the frame that reaches this, so it always has one frame, if there is any. */
  readonly maxBytes: number
  /** What each frame counts besides its own bytes: those of its `id` line. */
  readonly idBytes: number
  /** Only frames that arrived before this. */
  readonly before: number
  /** None that is known to be followed by a newer frame of its key. */
  readonly isLatestOnly: boolean
}

/** What follows a cursor, in order and without a hole, or the reason why that cannot be told. */
export type Page =
  | {
      readonly complete: true
      readonly frames: readonly LoggedFrame[]
      /** Where the next page starts: after the last frame, and after all that `isLatestOnly` passed over. */
      readonly cursor: Cursor
    }
  | { readonly complete: false; readonly frames: readonly []; readonly reason: Exclude<GapReason, 'slow'> }

export interface LogListener {
  /** The head is known now, which it was not when the following began. */
  logOnOpen(): void
  /** The head has moved. Called before the cursor is told to the publisher. */
  logOnAppend(): void
  /** Something that was asked for and not there has come. */
  logOnLoad(): void
}

/** One channel's history, as long as it is followed. */
export interface Log {
  /** The cursor of the newest message; of an empty history, the place before the first one. `''` until it is known. */
  readonly head: Cursor

  /** `head.arrival`; 0 when it is not known. */
  readonly headArrival: number

  /** The place before the oldest message that is kept, as far as is known. `''` as long as the head is. */
  readonly oldest: Cursor

  /**
   * When the message after `after` arrived; `undefined` if there is none, `after` is none of this log's, or it is not
   * known yet.
   */
  arrivalAfter(after: Cursor): number | undefined

  /**
   * What came after a cursor, which may be any string. Changes nothing.
   *
   * @returns `undefined` if that must be fetched first: `logOnLoad()` tells when it is worth to ask again.
   */
  read(after: Cursor, limits: ReadLimits): Page | undefined

  /**
   * Frames after this cursor are kept beyond the limits of count, bytes and age, because not all readers that keep up
   * have been offered them. At first this is the head.
   */
  release(upTo: Cursor): void

  /** Ends the following. Nothing else may be called then. */
  close(): void
}

/** Who is told whether a history can be reached. */
export interface HistoryListener {
  /** Its store cannot be reached or does not answer: appends fail, and what others append comes late. */
  historyOnDegrade(error: Error): void
  historyOnRecover(): void
}

/**
 * An ordered, bounded log of frames for each channel. Channels need not be declared, and those without messages and
 * followers cost nothing.
 */
export interface History {
  /** Whether its store cannot be reached or does not answer. Not there: it always can. */
  readonly degraded?: boolean

  /** Connects to its store, and tells the listener how that is. Called by the plugin before anything else. */
  open?(listener: HistoryListener): void

  /**
   * Appends a frame (its text without an `id` line) and resolves with its cursor. All who follow the channel have been
   * told by then.
   *
   * Cursors have up to 28 characters out of `[A-Za-z0-9._~-]`, and are never given twice.
   *
   * @param idempotencyKey what was appended to the channel with the same one is not appended again, as long as the
   * history remembers it; its cursor is the answer.
   */
  append(
    channel: string,
    frame: { readonly text: string; readonly byteLength: number },
    key: string,
    idempotencyKey?: string
  ): Promise<Cursor>

  /** Starts to follow a channel. The same channel may be followed more than once. */
  follow(channel: string, listener: LogListener): Log

  /** Drops what is kept and rejects what is appended from now on. Called by the plugin when the server has closed. */
  close(): Promise<void>
}
