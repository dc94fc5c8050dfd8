/** What is written down while servers run, and what the judge reads. Nothing here knows a store or a transport. */

/** A number that grows: of a counter, or of a clock that all processes share. */
export type Moment = number

/** A message as its publisher and the store know it. */
export interface Published {
  readonly channels: readonly string[]
  readonly event: string
  /** As clients get it, with LF as line ends. Each message has other data. */
  readonly data: string
  readonly key: string
  /** Bytes on the wire, without the `id` line. */
  readonly byteLength: number
  readonly sentAt: Moment
  /** When `publish()` had resolved; `undefined` if it did not. */
  readonly acknowledgedAt: Moment | undefined
  /** What `publish()` resolved with: compared with others, never read. `''` if it did not. */
  readonly id: string
  /** Whether it is kept for those who come later. @defaultValue true */
  readonly isKept?: boolean
  /** Whether its publisher was told that it was certainly not published. */
  readonly isRefused?: boolean
  /** When the store lost it together with the place after it: in a failover, a restart or by deletion. */
  readonly lostAt?: Moment
  /** From when on it may be missing for some: two stores had the history for a while, and one of them is lost. */
  readonly mayBeLostAt?: Moment
}

export interface ChannelLog {
  readonly name: string
  readonly slow: 'gap' | 'disconnect' | 'latest'
  readonly afterGap: 'oldest' | 'now'
  /** When the store forgot all of it, so that no place of before is known. */
  readonly forgottenAt: readonly Moment[]
  /** When the application cleared it. */
  readonly clearedAt?: readonly Moment[]
}

/** Where a subscription begins: `last`, with the newest messages that are kept, whatever its filter. */
export type LoggedFrom = 'oldest' | 'now' | 'first' | { readonly last: number }

/** A block of the stream: an event, or an id that came by itself. */
export interface Received {
  /** When it was written, or came, if that is not known. */
  readonly at: Moment
  /** Bytes of the stream before it. */
  readonly start: number
  /** The client's last event id after the block. */
  readonly id: string
  readonly event: string | undefined
  readonly data: string
  /** The `id` of the one that it is, where several were published with this data and that is known. */
  readonly published?: string | undefined
  /**
   * The channels that have not caught up with others of the connection, because a store was late, and whether the block is of
   * others alone.
   */
  readonly behind?: ReadonlyMap<string, boolean>
}

/** A connection's membership in a channel. The next one of the same channel begins when this one has ended. */
export interface SubscriptionLog {
  readonly channel: string
  /**
   * Where it starts if no cursor that the client brought counts. `'end'`: where the one before it ended, so that nothing lies
   * between.
   */
  readonly from: LoggedFrom | 'end'
  /** Whether a cursor that the client brought counts. */
  readonly resumes: boolean
  readonly startedAt: Moment
  readonly endedAt: Moment | undefined
  /** Which messages it wants. One of which it throws is not wanted. */
  readonly filter: ((message: Published) => boolean) | undefined
  /** Which messages came too early for its client, whatever that brings. */
  readonly isTooEarly?: ((message: Published) => boolean) | undefined
}

export interface Standing {
  readonly at: Moment
  readonly bytes: number
}

/** A gap that the server says it told, or would have told if it had not destroyed the connection. */
export interface GapLog {
  /** `undefined`: of all, because nobody knows the id that the client brought. */
  readonly channel: string | undefined
  readonly reason: string
  readonly at: Moment
}

/** A message that was sent to one connection alone. */
export interface SentLog {
  readonly data: string
  readonly at: Moment
}

export interface ConnectionLog {
  readonly client: string
  readonly resumedFrom: string | undefined
  /** Whether it is a reader in the server's own process, for whom `slow` and `afterGap` do not count. @defaultValue false */
  readonly isReader?: boolean
  /** In the order of their beginning. */
  readonly subscriptions: readonly SubscriptionLog[]
  /**
   * When its handler had subscribed to all that it was to; `undefined`: at once. Who is cut before has given up nothing that
   * it had when it came.
   */
  readonly settledAt?: Moment
  /** Whether nothing may be given to it before that: what its handler awaited was there in time. */
  readonly waits?: boolean
  readonly received: readonly Received[]
  readonly sent: readonly SentLog[]
  /** `undefined`: the server's word is not known. */
  readonly gaps: readonly GapLog[] | undefined
  /** What the strict parser refused. */
  readonly refusal: string | undefined
  /** From when on nothing may be missed; `undefined`: from the beginning of each subscription. */
  readonly openedAt?: Moment | undefined
  /** When, and after how many bytes of the stream, it stood at the head of all channels and could write more. */
  readonly stood: readonly Standing[]
  /** After how many bytes its transport asked to wait. */
  readonly refused: readonly number[]
  /** When the application called `close()`; `undefined` if it did not, or too late. */
  readonly closedAt: Moment | undefined
  /** Whether it was there until the publishers had stopped, and has read everything. */
  readonly hasCaughtUp: boolean
}

/** What a history may have dropped. */
export interface Retention {
  /** Whether it may have dropped a message of a channel by then, although nothing failed. */
  mayHaveDropped(channel: string, message: Published, by: Moment): boolean

  /** Whether it keeps what readers who keep up have not been offered, whatever its limits. */
  readonly keepsUnoffered: boolean
}

/** Something that must not grow beyond a bound. */
export interface Sample {
  readonly name: string
  readonly value: number
  readonly bound: number
}

export interface RunLog {
  readonly channels: readonly ChannelLog[]
  /** All that were published, acknowledged or not, in the one order that the store says. */
  readonly messages: readonly Published[]
  /** The connections of each client, in order. */
  readonly clients: readonly (readonly ConnectionLog[])[]
  readonly retention: Retention
  /** Whether a message is in its history when `publish()` returns, so that all moments are exact. */
  readonly isExact: boolean
  /** When everybody who keeps up had been offered everything, so that what is not kept was gone. */
  readonly restedAt?: readonly Moment[]
  /**
   * When stores that were to have the same had not, and servers had not found out: what one of them was given may then be a
   * gap to clients of the others, although it is kept.
   */
  readonly forks?: readonly { readonly since: Moment; readonly until: Moment }[]
  /**
   * Whether the history is kept elsewhere, for several servers: one that cannot reach it knows no ids, and one may have been
   * told what is lost that its clients were not, and have more lost to tell of than was.
   */
  readonly isShared?: boolean
  /** Whether ids that have many places to tell may become uncertain. */
  readonly isVague?: boolean
  readonly samples: readonly Sample[]
  /** What was left after the end, by name. */
  readonly leftovers: Readonly<Record<string, number>>
}

/** Names of events, the same in all runs. */
export const EVENTS = { gap: 'gap', cursor: 'sse-cursor', sent: 'sent', farewell: 'close' } as const
