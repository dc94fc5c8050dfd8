import type { Transport } from '../../../lib/connection/transport/transport.ts'
import type { LoggedFrom, Published } from '../run-log.ts'
import type { Setup } from './setup.ts'

/** What random schedules need of a library that they try: a server with fake transports. */
export interface Library {
  /** Whether ids that name many places may become uncertain. @defaultValue false */
  readonly isVague?: boolean
  /** Whether what is published is there at once. @defaultValue true */
  readonly isExact?: boolean
  /** Whether it has only what the model has, and is tried with that. @defaultValue false */
  readonly isPlain?: boolean

  start(setup: Setup, listener: LibraryListener): TriedServer
}

export interface LibraryListener {
  /** A gap was met that will be told, of one channel, or of all. */
  libraryOnGap(connection: TriedConnection, channel: string | undefined, reason: string): void
}

/** A server and its history. When it is closed, nothing may be left of it. */
export interface TriedServer {
  /** Resolves when it is known whether somebody knows the id that a client brings. */
  prepare?(lastEventId: string): Promise<void> | undefined

  /** @param transport stands for the response until `TriedConnection.open()`. */
  connect(lastEventId: string | undefined, transport: Transport): TriedConnection

  /** Publishes to all of these channels. @returns what `publish()` does. */
  publish(
    channels: readonly string[],
    message: Pick<Published, 'event' | 'data' | 'key' | 'isKept'>
  ): Promise<string>

  /** How many messages of a channel are kept. */
  keptOf(channel: string): number

  /** All but a plain library's. */
  readonly more?: MoreOfServer

  stats(): { readonly subscriptions: number; readonly channels: number }
  close(): void
}

export interface MoreOfServer {
  clear(channel: string): void
  /** Where the history stands now. */
  cursor(): string
  /** @param from as `TriedSubscribeOptions.from` */
  read(channel: string, from: LoggedFrom | string): AsyncIterableIterator<TriedItem>
}

export type TriedItem =
  | { readonly type: 'message'; readonly id: string; readonly event: string; readonly data: string }
  | { readonly type: 'gap'; readonly reason: string }

export interface TriedConnection {
  readonly state: 'opening' | 'open' | 'closing' | 'closed'
  readonly reason: string | undefined
  readonly bufferedBytes: number

  /** The head is out. */
  open(transport: Transport): void
  subscribe(channel: string, options: TriedSubscribeOptions): TriedSubscription
  /** Its handler has subscribed to all that it was to. */
  settle(): void
  send(message: EventMessage): unknown
  close(): void
  destroy(): void
  beat(now: number): void
  transportOnDrain(): void
  transportOnClose(): void
}

export interface TriedSubscribeOptions {
  /** A string may be a cursor. */
  readonly from: LoggedFrom | string
  readonly resume: boolean
  readonly notBefore?: string | Date
  readonly filter?: (message: Pick<Published, 'data' | 'key'>) => boolean
}

export interface TriedSubscription {
  readonly active: boolean
  /** @returns a cursor from which another subscription to the channel goes on. */
  unsubscribe(): string
}

export interface EventMessage {
  readonly event: string
  readonly data: string | object
}

interface ToldGap {
  readonly channel: string
  readonly reason: string
}

export interface TriedChannelOptions {
  readonly slow?: 'gap' | 'disconnect' | 'latest'
  readonly afterGap?: 'oldest' | 'now'
  readonly onGap?: (gap: ToldGap) => EventMessage[] | Promise<EventMessage[]>
}
