import { type Diagnostics, diagnostics } from '../base/diagnostics.ts'
import type { RunState } from './run.ts'

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
