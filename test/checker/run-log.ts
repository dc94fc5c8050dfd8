/** What is written down while a server runs, and what the checker judges. Nothing here knows a store or a transport. */

/** A number that grows: of a counter, or of a clock that all processes share. */
export type Moment = number

/** A message as its publisher knows it. */
export interface Published {
  readonly cursor: string
  readonly event: string
  /** As clients get it, with LF as line ends. */
  readonly data: string
  readonly key: string
  /** Bytes on the wire, without the `id` line. */
  readonly byteLength: number
  readonly sentAt: Moment
  /** When `publish()` had resolved; `undefined` if it did not. */
  readonly acknowledgedAt: Moment | undefined
}

export interface ChannelLog {
  readonly name: string
  readonly slow: 'gap' | 'disconnect' | 'latest'
  readonly afterGap: 'oldest' | 'now'
  /** All that are a part of the channel, acknowledged or not, in its own order. */
  readonly messages: readonly Published[]
  /** Where the history was lost and began anew, the first time at 0. */
  readonly epochs: readonly EpochLog[]
}

export interface EpochLog {
  readonly since: Moment
  /** How many messages there were. */
  readonly start: number
  /** The cursor of the place before the first message, if it was ever given. */
  readonly origin: string | undefined
}

/** A block of the stream: an event, or an id that came by itself. */
export interface Received {
  readonly at: Moment
  /** Bytes of the stream before it. */
  readonly start: number
  /** The client's last event id after the block. */
  readonly id: string
  readonly event: string | undefined
  readonly data: string
}

export interface SubscriptionLog {
  readonly channel: string
  /** Where it starts if the client brought no cursor of the channel. */
  readonly from: 'oldest' | 'now'
  /** Whether a cursor that the client brought counts. */
  readonly resumes: boolean
  /** When it was left for the first time, be it to be joined again. */
  readonly leftAt: Moment | undefined
  /** The first, and all that went on where the one before had ended. */
  readonly starts: readonly Moment[]
  readonly endedAt: Moment | undefined
  readonly filter: ((message: Published) => boolean) | undefined
}

export interface Standing {
  readonly at: Moment
  readonly bytes: number
}

/** A gap that the server says it told, or would have told if it had not destroyed the connection. */
export interface GapLog {
  readonly channel: string
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
  readonly subscriptions: readonly SubscriptionLog[]
  readonly received: readonly Received[]
  readonly sent: readonly SentLog[]
  readonly gaps: readonly GapLog[]
  /** What the strict parser refused. */
  readonly refusal: string | undefined
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
  /** Whether it may have dropped the message with this index in the channel, although nothing failed. */
  mayHaveDropped(channel: string, index: number, by: Moment): boolean

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
  /** The connections of each client, in order. */
  readonly clients: readonly (readonly ConnectionLog[])[]
  readonly retention: Retention
  /** Whether a message is in its history when `publish()` returns, so that all moments are exact. */
  readonly isExact: boolean
  /**
   * Whether readers may have to wait for what their history has. Nobody else waits for it: the order of the calls is then
   * kept in each channel only, and what is waited for at `close()` does not come any more.
   */
  readonly isLate?: boolean
  readonly samples: readonly Sample[]
  /** What was left after the end, by name. */
  readonly leftovers: Readonly<Record<string, number>>
}

/** Names of events, the same in all runs. */
export const EVENTS = { gap: 'gap', cursor: 'sse-cursor', sent: 'sent', farewell: 'close' } as const
