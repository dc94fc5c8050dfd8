/** What is written down while nodes run on one Redis, and what the judge reads. Moments are those of `Date.now()`. */

/**
 * The time in which a channel's stream only grew. The next epoch begins when Redis has forgotten something: in a
 * failover, in a restart, or because somebody deleted the stream.
 */
export interface Epoch {
  readonly since: number
  /** The newest id that was there when it began; `''` if there was none. */
  readonly last: string
}

export interface ChannelLog {
  readonly name: string
  /** Of the history. At least so many messages are kept, as long as Redis forgets nothing. */
  readonly maxLength: number
  /** The first begins at 0. */
  readonly epochs: readonly Epoch[]
  /** The ids of all messages that are in the stream at the end. */
  readonly entries: readonly string[]
}

/** What its publisher knows of a message. Every message has other data. */
export interface Attempt {
  readonly channel: string
  readonly data: string
  readonly sentAt: number
  /** `failed`: it was certainly not published. `unconfirmed`: it may have been. `pending`: `publish()` has not settled. */
  readonly outcome: 'acknowledged' | 'failed' | 'unconfirmed' | 'pending'
  /** `''` if it was not acknowledged. */
  readonly id: string
  readonly settledAt: number
}

/** What a client took of a stream in one go: an event, or an id by itself. */
export interface Block {
  readonly at: number
  /** The client's last event id after it. */
  readonly id: string
  readonly event: string | undefined
  readonly data: string
}

/** One who reads, on one node after another. */
export interface ClientLog {
  readonly name: string
  readonly channels: readonly string[]
  /** Of all its connections. */
  readonly blocks: readonly Block[]
  /** What the strict parser refused. */
  readonly refusal: string | undefined
  /** Whether the last message of each channel has come. */
  readonly hasCaughtUp: boolean
}

export interface RunLog {
  readonly channels: readonly ChannelLog[]
  readonly attempts: readonly Attempt[]
  readonly clients: readonly ClientLog[]
  /** What did not end in time, by name. */
  readonly leftovers: Readonly<Record<string, number>>
}
