import type { FastifyBaseLogger } from 'fastify'
import type { Place } from './place.ts'
import type { Limits } from './window.ts'

/** Where a history keeps its messages outside of this process. `fastify-eventstream/conformance` checks one. */
export interface Store {
  /**
   * What the store calls itself: 1 to 16 letters and digits, for as long as it has what it had. All who have the same
   * messages have the same one. Read once `open()` has resolved, and again whenever a cursor is told.
   */
  readonly epoch: string

  /**
   * Makes it ready. What it tells before it resolves counts, too.
   *
   * @param log for what its operator should know.
   * @returns a place that is at or after all that was appended before the call, and before all that is told.
   * @throws what makes it impossible, so that the server does not start. A store that is away and may come back does not
   * throw: it resolves when it is there.
   */
  open(listener: StoreListener, log?: FastifyBaseLogger): Promise<Place>

  /** Appends messages in one step: all of them or none, after all appends that were called for before. */
  append(append: StoreAppend): Promise<StoreAppended>

  /**
   * From when it resolves on, the channel's messages are told as they are appended. Without it, the messages of all
   * channels are.
   */
  follow?(channel: string): Promise<void>
  unfollow?(channel: string): void

  /**
   * What is kept of a channel after a place: all that was appended before the call at least. The newest messages that the
   * channel's limits allow are kept, or more.
   */
  read(channel: string, after: Place): Promise<StorePast>

  /** Of each of these places, whether it is one that the store has given, and nothing before it is lost but what was dropped. */
  prove(places: readonly Place[]): Promise<readonly boolean[]>

  /** A place at or after all that was appended before the call. */
  head(): Promise<Place>

  /** Lets go of everything. Nothing is told any more. */
  close(): Promise<void>
}

/** Who is told what is appended, by whomever. */
export interface StoreListener {
  /**
   * Messages in the order of their places, also those that were appended here. After a break, those that were missed come
   * first. One that is told again is passed over.
   *
   * @param upTo all messages of channels that are followed were told that are at or before this place. At or after all that
   * `read()` gave before.
   */
  storeOnMessages(messages: readonly StoredMessage[], upTo: Place): void

  /**
   * Messages of these channels are gone that may have been told, or never will be; and places that were given may not be
   * known any more, whatever channels they were for.
   *
   * @param channels none, if only places are gone.
   * @param place after all of them.
   */
  storeOnLoss(channels: readonly string[], place: Place): void
}

/** Messages for channels, in one step. */
export interface StoreAppend {
  readonly channels: readonly { readonly name: string; readonly limits: Limits }[]
  readonly messages: readonly { readonly text: string; readonly key: string }[]
  /** What was appended to the same channels with the same one is not appended again, as long as it is kept. */
  readonly idempotencyKey: string | undefined
  /** `false`: it is only told. */
  readonly isKept: boolean
  /** Whether nothing more is appended to the channels as long as the last of these messages is kept. */
  readonly isEnd: boolean
}

/** What became of messages. */
export interface StoreAppended {
  /** Theirs, or of what was appended before with the same idempotency key. */
  readonly places: readonly Place[]
  readonly isNew: boolean
  /** Nothing was appended, because one of the channels has ended. */
  readonly isEnded: boolean
}

/** A message as a store has it. */
export interface StoredMessage {
  readonly place: Place
  /** All that it was appended to. */
  readonly channels: readonly string[]
  /** Everything of its frame but the `id` line. */
  readonly text: string
  readonly key: string
  readonly isKept: boolean
  readonly isEnd: boolean
}

export interface StorePast {
  /** In the order of places. */
  readonly messages: readonly StoredMessage[]
  /** The place of the channel's newest message that is not kept any more, or one after it and before those that are; `0`: none. */
  readonly dropped: Place
  /** Whether the channel has ended, wherever it is read from. */
  readonly isEnded: boolean
}
