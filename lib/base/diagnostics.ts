import { channel, type Channel as DiagnosticsChannel } from 'node:diagnostics_channel'
import type { Cursor } from '../history/history.ts'
import type { CloseReason, Gap, SSEConnection } from '../types.ts'

/** A stream's head is out. */
export interface OpenEvent {
  readonly connection: SSEConnection
}

/** A stream has ended. */
export interface CloseEvent {
  readonly connection: SSEConnection
  readonly reason: CloseReason
}

/** A message is in its channel's history. */
export interface PublishEvent {
  /** The channel's name. */
  readonly channel: string
  readonly cursor: Cursor
  /** Bytes of the message on the wire, without its `id` line. */
  readonly byteLength: number
}

/** A connection has lost messages, and is told. */
export interface GapEvent extends Gap {
  readonly connection: SSEConnection
}

/** The flush has worked for a slice of time and gives the event loop back. */
export interface FlushEvent {
  readonly durationMs: number
}

/** A history cannot be reached or does not answer any more, or does again. */
export interface HistoryEvent {
  readonly degraded: boolean
  /** Why, if it is degraded. */
  readonly error: Error | undefined
}

/** The events by the name of their `node:diagnostics_channel`. */
export interface DiagnosticsEvents {
  'fastify-eventstream:open': OpenEvent
  'fastify-eventstream:close': CloseEvent
  'fastify-eventstream:publish': PublishEvent
  'fastify-eventstream:gap': GapEvent
  'fastify-eventstream:flush': FlushEvent
  'fastify-eventstream:history': HistoryEvent
}

type Told<Name extends keyof DiagnosticsEvents> = DiagnosticsChannel<unknown, DiagnosticsEvents[Name]>

function diagnosticsChannel<Name extends keyof DiagnosticsEvents>(name: Name): Told<Name> {
  return channel(name) as Told<Name>
}

export const openChannel: Told<'fastify-eventstream:open'> = diagnosticsChannel('fastify-eventstream:open')
export const closeChannel: Told<'fastify-eventstream:close'> = diagnosticsChannel('fastify-eventstream:close')
export const publishChannel: Told<'fastify-eventstream:publish'> = diagnosticsChannel(
  'fastify-eventstream:publish'
)
export const gapChannel: Told<'fastify-eventstream:gap'> = diagnosticsChannel('fastify-eventstream:gap')
export const flushChannel: Told<'fastify-eventstream:flush'> = diagnosticsChannel('fastify-eventstream:flush')
export const historyChannel: Told<'fastify-eventstream:history'> = diagnosticsChannel(
  'fastify-eventstream:history'
)
