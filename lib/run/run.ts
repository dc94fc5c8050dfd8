import { type Diagnostics, diagnostics } from '../base/diagnostics.ts'
import type { ReadItem, ReadOptions, SubscribeOptions, Subscription } from '../channel/channel.ts'
import type { RelayedEvent } from '../connection/source.ts'
import type { AnyConnection, Source, SourceOf } from '../connection/sse-connection.ts'
import type { Message } from '../wire/message.ts'

/**
 * Where a run is: its source has more; it has given everything; it, a message of it or the history has failed; `stop()` was
 * called, nobody wanted it, or its server shut down; or its server is gone.
 */
export type RunState = 'running' | 'done' | 'failed' | 'stopped' | 'lost'
export type RunEndState = Exclude<RunState, 'running'>

export interface RunInfo {
  readonly name: string
  readonly state: RunState
  /** What `stop()` was given, `'abandoned'` or `'shutdown'`. */
  readonly reason: string | undefined
  /** In milliseconds since the Unix epoch. */
  readonly startedAt: number
  readonly endedAt: number | undefined
}

/** What a run's messages are taken from, made when it starts. */
export type RunSource<Given> = (context: {
  /** Aborts when no more is wanted. Its `reason` is an `AbortError` whose own `reason` is that of the end. */
  readonly signal: AbortSignal
}) => Given | Promise<Given>

/** Makes the last message of a run. The error is that of `'failed'`, the reason that of `'stopped'`. */
export type RunEnd = (
  state: RunEndState,
  error: unknown,
  reason: string | undefined
) => Message | string | undefined

export interface RunOptions {
  /**
   * Makes the last message, with which the channel ends, or none. That of `'lost'` is made at the start. If it throws, the
   * error is logged, and there is no last message.
   * @defaultValue `(state) => ({ event: 'end', data: { state } })`
   */
  end?: RunEnd
  /**
   * Whether a run of the name that has failed, was lost, or was stopped by a shutdown is started again. What it has
   * published is forgotten.
   * @defaultValue false
   */
  restart?: boolean
  /**
   * Milliseconds, in steps of about a second, after which a run is stopped with reason `abandoned` if it has no
   * subscription and no reader for so long, on any server.
   * @defaultValue never
   */
  abandonMs?: number
  /**
   * Whose run it is, for `runs.maxPerKey`.
   * @defaultValue nobody's
   */
  key?: string
}

/** What a source makes and no client owns: messages from the first to the last, which all who come are given. */
export interface Run {
  readonly name: string

  /**
   * Gives the connection all messages from the first on, or from where its client was, then the end. The stream closes with
   * it, as with a channel that has ended. Of a run that is kept no more there is a gap, and the end of the stream.
   *
   * @throws what `channel.subscribe()` throws.
   */
  subscribe(connection: AnyConnection, options?: Omit<SubscribeOptions, 'from'>): Subscription

  /** All messages from the first on, and the last one; for whatever is no event stream. Of a run that is kept no more: a gap. */
  read(options?: Omit<ReadOptions, 'from'>): AsyncIterableIterator<ReadItem>

  /**
   * Ends the run as `stopped`, on whichever server it goes on. Its source's signal aborts. If it has ended, nothing happens.
   *
   * @param reason for its signal and `info()`.
   * @returns a promise that resolves when its server is told, which is not yet the end: `ended` is.
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION or FST_ERR_EVENTSTREAM_PUBLISH_FAILED, as a rejection.
   */
  stop(reason?: string): Promise<void>

  /** @returns `undefined` when nothing is known of it any more. @throws FST_ERR_EVENTSTREAM_HISTORY_AWAY */
  info(): Promise<RunInfo | undefined>

  /**
   * Resolves with how the run has ended, on whichever server, or with `lost` when nothing is known of it any more. Rejects
   * with FST_ERR_EVENTSTREAM_HISTORY_CLOSED when this server closes before; if nobody waits for it, nothing happens.
   */
  readonly ended: Promise<RunEndState>
}

/** What `start()` found. */
export interface StartedRun {
  readonly run: Run
  /** Whether it was started by this call, and not before. */
  readonly created: boolean
}

/** A message without an id, or `false` to leave the chunk out. */
type Mapped = Message | string | false

/** The runs of this server, and, with a store that has leases, of all that share it. */
export interface Runs {
  /**
   * Starts a run, unless one of this name goes on or is kept, on any server: then its source is not called.
   *
   * The source is anything that `sendAll()` takes, and is pulled no faster than the history takes its messages. It needs no
   * subscriber. Nothing of the caller's `AsyncLocalStorage` is there when it runs. What it throws is logged. Ids of events of
   * a `Response` are left out.
   *
   * @param name 1 to 240 bytes, such as `answer:${id}`.
   * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION, FST_ERR_EVENTSTREAM_CLOSING, FST_ERR_EVENTSTREAM_TOO_MANY_RUNS,
   * FST_ERR_EVENTSTREAM_TOO_MANY_RUNS_PER_KEY or FST_ERR_EVENTSTREAM_HISTORY_AWAY, all as a rejection.
   */
  start(name: string, source: RunSource<Source | Response>, options?: RunOptions): Promise<StartedRun>
  start(
    name: string,
    source: RunSource<Response>,
    options: RunOptions & { map: (event: RelayedEvent) => Mapped }
  ): Promise<StartedRun>
  start(
    name: string,
    source: RunSource<Response>,
    options: RunOptions & { map: (chunk: Uint8Array) => Mapped }
  ): Promise<StartedRun>
  start<Chunk>(
    name: string,
    source: RunSource<SourceOf<Chunk>>,
    options: RunOptions & { map: (chunk: Chunk) => Mapped }
  ): Promise<StartedRun>

  /** The run of this name that goes on, or is kept. @throws FST_ERR_EVENTSTREAM_HISTORY_AWAY */
  get(name: string): Promise<Run | undefined>

  /** The runs that go on. @throws FST_ERR_EVENTSTREAM_HISTORY_AWAY */
  list(): Promise<readonly Run[]>
}

/** A run has begun on this server, or has ended, or was found to be lost by it. */
export interface RunEvent {
  /** Its name. */
  readonly run: string
  readonly state: RunState
  readonly reason: string | undefined
  /** What it has failed with. */
  readonly error: unknown
}

export const runChannel: Diagnostics<RunEvent> = diagnostics('fastify-eventstream:run')
