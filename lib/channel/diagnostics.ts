import { type Diagnostics, diagnostics } from '../base/diagnostics.ts'
import type { AnyConnection } from '../connection/sse-connection.ts'
import type { Cursor } from '../history/place.ts'
import type { Gap } from './channel.ts'

/** A message is in the history. */
export interface PublishEvent {
  /** The names of its channels. */
  readonly channels: readonly string[]
  readonly cursor: Cursor
  /** Bytes of the message on the wire, without its `id` line. */
  readonly byteLength: number
}

/** A connection has lost messages, and is told. */
export interface GapEvent extends Gap {
  readonly connection: AnyConnection
}

export const publishChannel: Diagnostics<PublishEvent> = diagnostics('fastify-eventstream:publish')
export const gapChannel: Diagnostics<GapEvent> = diagnostics('fastify-eventstream:gap')
