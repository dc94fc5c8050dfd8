import type { Place } from '../history/place.ts'
import type { RunEndState } from './run.ts'

/** How a run has ended. It is the key of its last message, so that whoever has that knows. */
export interface EndedRun {
  readonly state: RunEndState
  /** After which its first message was. */
  readonly begin: Place
  readonly reason: string | undefined
}

export function formatEnd({ state, begin, reason }: EndedRun): string {
  return JSON.stringify([state, begin, reason])
}

/** @returns `undefined` for what no run has ended with. */
export function parseEnd(key: string): EndedRun | undefined {
  try {
    const [state, begin, reason] = JSON.parse(key)
    if (!Number.isSafeInteger(begin) || !STATES.includes(state)) return undefined
    return { state, begin, reason: typeof reason === 'string' ? reason : undefined }
  } catch {
    return undefined
  }
}

/** Whether a run that has ended so may be started again. */
export function isUnfinished({ state, reason }: EndedRun): boolean {
  return state === 'failed' || state === 'lost' || (state === 'stopped' && reason === SHUTDOWN)
}

export const SHUTDOWN = 'shutdown'
export const ABANDONED = 'abandoned'

const STATES: readonly unknown[] = ['done', 'failed', 'stopped', 'lost'] satisfies RunEndState[]
