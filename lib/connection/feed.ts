import type { Place } from '../history/place.ts'
import type { Batch } from '../wire/batch.ts'
import type { AnySubscription } from './sse-connection.ts'

/** What a connection takes from when it can write, besides what is sent to it alone. */
export interface Feed {
  readonly subscriptions: readonly AnySubscription[]

  /** Whether something may come from it, with ids that are its own. */
  readonly isActive: boolean

  /** Whether the client has all that will ever come. */
  readonly isOver: boolean

  /** Resolves when what it begins with is known, or was waited for long enough; `undefined`: now. */
  readonly ready: Promise<void> | undefined

  /** The newest place of the history. */
  readonly head: Place

  /** Whether something at or before a place may still come of which it learns in this turn. */
  isDue(limit: Place): boolean

  /** Whether messages that are sent may not have this event. */
  isReserved(event: string | undefined): boolean

  /**
   * Takes the next batch of what is at or before `limit`. `'later'`: others have their turn first. `'held'`: what is sent
   * waits, too, until it says that it has changed.
   */
  take(limit: Place): Batch | 'later' | 'held' | undefined

  /** Whether the batch that `take()` has just given is the last, until it says that it has changed. */
  readonly hasGivenAll: boolean

  /**
   * Something that is better sent than a heartbeat when the stream was quiet for too long.
   *
   * @param event which it has then, if the heartbeat is an event.
   */
  takeHeartbeat(event: string | false): Batch | undefined

  /** Called from time to time. */
  beat(): void

  /** The transport takes no more for now. */
  connectionOnBlock(): void

  /** What the connection was to wait for has settled. */
  connectionOnSettle(): void

  /** Nothing will be taken any more. */
  connectionOnClose(): void
}
