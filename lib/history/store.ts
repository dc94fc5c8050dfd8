import type { FastifyBaseLogger } from 'fastify'
import type { Place } from './place.ts'

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

  /**
   * Of each of these places, whether it is one that the store has given, and nothing before it is lost but what was dropped.
   * Those that are older than ten minutes need not be known any more.
   */
  prove(places: readonly Place[]): Promise<readonly boolean[]>

  /** A place at or after all that was appended before the call. */
  head(): Promise<Place>

  /** Forgets all that is kept of a channel, its end too, and tells that by a message with `clears`. Without it nothing can. */
  clear?(channel: string): Promise<void>

  /** Without it, what runs is known to its own server only. */
  readonly leases?: StoreLeases

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

  /** Places that were given after this one are not known any more: who stands there may lack some of any channel. */
  storeOnFork(place: Place): void
}

/** How much of a channel is kept. */
export interface Limits {
  readonly maxMessages: number
  /** Of the text of messages. The newest one is kept whatever its size. */
  readonly maxBytes: number
  readonly maxAgeMs: number | false
  /** How long all that is there is kept when the channel has ended. */
  readonly keepEndedMs: number
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
  /** That of the lease on the channel, if there is one, which `isEnd` gives up. */
  readonly token?: string | undefined
  /**
   * Only with a token: the place of the channel's newest message, or where its lease was taken. If what came until there has
   * been lost, nothing is appended.
   */
  readonly after?: Place | undefined
}

/** What became of messages. */
export interface StoreAppended {
  /** Theirs, or of what was appended before with the same idempotency key. */
  readonly places: readonly Place[]
  readonly isNew: boolean
  /** Nothing was appended, because one of the channels has ended, or is not the appender's, or has lost something. */
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
  /** It is no message, but says that all of its channels that is at or before this place is forgotten. */
  readonly clears?: Place
}

export interface StorePast {
  /** In the order of places. */
  readonly messages: readonly StoredMessage[]
  /** The place of the channel's newest message that is not kept any more, or one after it and before those that are; `0`: none. */
  readonly dropped: Place
  /** Whether the channel has ended, wherever it is read from. */
  readonly isEnded: boolean
  /** All that the channel got after this place was told here, so that none of it is missed; `undefined`: that is not known. */
  readonly toldAfter?: Place | undefined
}

/**
 * Leases on channels: from `take()` until its end, only the one who has the lease's token appends to a channel, and nobody
 * once the lease is over. Times are the store's.
 */
export interface StoreLeases {
  /**
   * Takes a lease that nobody has or had, and forgets all that is kept of the channel, as `clear()` does.
   *
   * @param end the place of the channel's end, if that may be forgotten.
   * @returns the place after which the channel begins; `undefined`: there is a lease, or an end is kept.
   */
  take(channel: string, lease: Lease, end: Place | undefined): Promise<Place | undefined>

  /**
   * Makes leases last for so many milliseconds from now on.
   *
   * @returns of each how many servers follow its channel; `undefined`: it is over, or another's.
   */
  renew(
    leases: readonly { readonly channel: string; readonly token: string }[],
    ms: number
  ): Promise<readonly (number | undefined)[]>

  /** Takes leases that are over, which end the channels of those who had them. Some; the others later. */
  takeOver(token: string, ms: number): Promise<readonly TakenLease[]>

  /** Who has a channel, or how it has ended. */
  look(channel: string): Promise<{ readonly lease?: TakenLease; readonly end?: StoredMessage }>

  /** All that somebody has. */
  list(): Promise<readonly TakenLease[]>
}

export interface Lease {
  /** Nobody else has it: letters and digits. */
  readonly token: string
  readonly ms: number
  /** For who takes it over. */
  readonly note: string
}

/** A lease that somebody has. */
export interface TakenLease {
  readonly channel: string
  /** After which the channel begins. */
  readonly place: Place
  readonly note: string
}
