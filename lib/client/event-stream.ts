import type { AnyEvent, EndReason, EventNames, EventOf, StreamState } from './options.ts'
import type { StreamError } from './stream-error.ts'

/**
 * A stream of events. What comes waits for the first listener or loop; from then on everybody is given what comes next. A loop
 * over it reads no faster than it goes round, ends with the stream, throws `error` if that has failed, and closes the stream when
 * it is left.
 */
export interface EventStream<Events> extends AsyncIterable<AnyEvent<Events>> {
  readonly state: StreamState
  /** Why it is over. Never rejects. */
  readonly closed: Promise<EndReason>
  /** What has failed, if the stream has. */
  readonly error: StreamError | undefined
  /** The data of the server's farewell, once it has come. */
  readonly farewell: string | undefined

  /**
   * Calls `listener` for each event of this name. What it throws is an uncaught error, as with an `EventTarget`.
   *
   * @returns what ends that.
   */
  on<Name extends EventNames<Events>>(
    event: Name,
    listener: (event: EventOf<Events, Name>) => void
  ): () => void

  /** Ends it with reason `client`, and takes no more. */
  close(): void
}
