import { type Diagnostics, diagnostics } from '../base/diagnostics.ts'
import type { GapEvent, PublishEvent } from '../channel/diagnostics.ts'
import type { FlushEvent } from '../connection/flush.ts'
import type { CloseReason, SSEConnection } from '../connection/sse-connection.ts'
import type { RunEvent } from '../run/diagnostics.ts'

/** A stream's head is out. */
export interface OpenEvent {
  readonly connection: SSEConnection
}

/** A stream has ended. */
export interface CloseEvent {
  readonly connection: SSEConnection
  readonly reason: CloseReason
}

/** The events by the name of their `node:diagnostics_channel`. */
export interface DiagnosticsEvents {
  'fastify-eventstream:open': OpenEvent
  'fastify-eventstream:close': CloseEvent
  'fastify-eventstream:publish': PublishEvent
  'fastify-eventstream:gap': GapEvent
  'fastify-eventstream:run': RunEvent
  'fastify-eventstream:flush': FlushEvent
}

export const openChannel: Diagnostics<OpenEvent> = diagnostics('fastify-eventstream:open')
export const closeChannel: Diagnostics<CloseEvent> = diagnostics('fastify-eventstream:close')
