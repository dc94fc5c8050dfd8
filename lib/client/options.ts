/** Names → data of the events of a stream that is told nothing of them: all data are text. */
export type TextEvents = Record<string, string>

/** Messages that the client can no longer be given. */
export interface Gap {
  /** The channel's name; none if it concerns all of them. */
  readonly channel?: string
  /** What happened, as the guide to reconnections lists it: `unknown`, `expired`, `slow` or `uncertain`. */
  readonly reason: string
}

/** `connecting` until there is an answer, `waiting` before the next attempt, `closed` for good. */
export type StreamState = 'connecting' | 'open' | 'waiting' | 'closed'

/**
 * Why a stream is over. `client`: it was closed here. `server`: it has come to its end, by a farewell, a `204`, or the end of a
 * finite stream. The others are failures: `refused`, by an answer that is no event stream; `broken`, before its end, or
 * within the last event of a finite one, and not resumed; `error`, by what the page itself gave, such as `parse`, or an event
 * that is too long.
 */
export type EndReason = 'client' | 'server' | 'refused' | 'broken' | 'error'

/** An event as it is given to the application. */
export interface StreamEvent<Name extends string = string, Data = unknown> {
  /** `message` for events without a name. */
  readonly event: Name
  readonly data: Data
  /** The last id that the stream has told, up to this event: what `lastEventId` takes; `''` if there was none. */
  readonly id: string
}

type NameOf<Events> = keyof Events & string
/** Whether the events are known by their names. */
type IsOpen<Events> = string extends keyof Events ? true : false
/** Events whose data are something else than text. */
type Parsed<Events> = {
  [Name in NameOf<Events>]: string extends Events[Name] ? never : Name
}[NameOf<Events>]

/** What one can listen to: the events, and `gap`, which the server tells by itself. */
export type EventNames<Events> = NameOf<Events> | 'gap'
/** An event of this name. An event `gap` of the application's own is that. */
export type EventOf<Events, Name extends EventNames<Events>> = StreamEvent<
  Name,
  Name extends 'gap'
    ? IsOpen<Events> extends true
      ? Gap
      : Events extends { gap: infer Data }
        ? Data
        : Gap
    : Name extends keyof Events
      ? Events[Name]
      : never
>
/** Each event of a stream, told apart by its name. */
export type AnyEvent<Events> = { [Name in EventNames<Events>]: EventOf<Events, Name> }[EventNames<Events>]

/** What makes data of text: one function for all events, or one for each that is not left as it is. */
export type Parse<Events> =
  | ((text: string, event: NameOf<Events>) => Events[keyof Events])
  | ({ readonly [Name in Parsed<Events>]: (text: string) => Events[Name] } & {
      readonly [Name in NameOf<Events>]?: (text: string) => Events[Name]
    })

/** The headers of a request, or a function that is asked for them before each. */
type HeadersOption =
  | RequestInit['headers']
  | ((refusal: Response | undefined) => RequestInit['headers'] | Promise<RequestInit['headers']>)

export interface StreamOptions {
  /** @defaultValue `'GET'` */
  readonly method?: string
  /**
   * The request's headers, or a function that is asked anew for each attempt, such as for a token. After a `401` it is asked once
   * more, with that answer. What it throws is a failed attempt, and so is what has not come in `silenceMs`.
   */
  readonly headers?: HeadersOption
  /** The request's body, the same for each attempt. */
  readonly body?: string | URLSearchParams | FormData | Blob | ArrayBuffer
  /** @defaultValue `'same-origin'`, as that of `fetch()` */
  readonly credentials?: 'omit' | 'same-origin' | 'include'
  /** Where to begin: the id of an event, or a cursor of the server. */
  readonly lastEventId?: string
  /** Closes the stream when it aborts. */
  readonly signal?: AbortSignal
  /**
   * Whether the stream has an end of its own, so that its end is the end, and not a reason to come back.
   * @defaultValue `true` for every method but `GET`
   */
  readonly finite?: boolean
  /**
   * Whether a stream that breaks is asked for again, with its last id. Otherwise that is a failure.
   * @defaultValue `true` for streams that are not finite
   */
  readonly resume?: boolean
  /**
   * Milliseconds without a byte, heartbeats included, after which the connection is taken for dead; `false` never does so.
   * @defaultValue 45000: three heartbeats of the server
   */
  readonly silenceMs?: number | false
  /**
   * Characters that an event may have, at most. A longer one is a failure.
   * @defaultValue 16777216
   */
  readonly maxEventLength?: number
  /**
   * Milliseconds before the next attempt, until the server tells others (`retry`). They double with each attempt that fails.
   * @defaultValue 1000
   */
  readonly retryMs?: number
  /**
   * What they grow to, at most.
   * @defaultValue 30000
   */
  readonly maxRetryMs?: number
  /**
   * The event of the server's farewell, after which the stream is over; `false` if it sends none.
   * @defaultValue `'close'`
   */
  readonly farewell?: string | false
  /**
   * The server's option `gapEvent`, whose data is JSON; `false` if gaps are events like any other.
   * @defaultValue `'gap'`
   */
  readonly gapEvent?: string | false
  /**
   * The server's option `cursorEvent`: an event that only tells an id.
   * @defaultValue `'sse-cursor'`
   */
  readonly cursorEvent?: string | false
  /** Called after each change of the state; `cause` is what made it wait. */
  readonly onState?: (state: StreamState, cause?: unknown) => void
}

/** Options of a stream whose events are known: `parse` may be left out if all their data are text. */
export type TypedOptions<Events> = StreamOptions &
  ([Parsed<Events>] extends [never] ? { readonly parse?: Parse<Events> } : { readonly parse: Parse<Events> })

/** The last parameters of a function that opens a stream. */
export type OptionsParameter<Options> =
  Record<never, never> extends Options ? [options?: Options] : [options: Options]
