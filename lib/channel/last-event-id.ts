import type { Cursor } from '../history/history.ts'

const CURSOR = /^[\w.~-]{1,64}$/
/** `name=cursor&name=cursor`, with percent-encoded names. */
const COMBINED = /^[\w.~%-]+=[\w.~-]+(?:&[\w.~%-]+=[\w.~-]+)*$/

/** Stands for a cursor that is none, wherever ids are written. No history gives it. */
const NO_CURSOR: Cursor = '-'

/** Longer ids throw (`message.id`). */
export const MAX_ID_LENGTH = 1_024
/** What a cursor may take in an id. */
export const MAX_CURSOR_LENGTH = 28

/** A channel's name as it is in ids: only characters that a CORS request may send without a preflight. */
export function encodeName(name: string): string {
  return encodeURIComponent(name).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** A cursor that a client brought, which may be another channel's if it came without a name. */
export interface BroughtCursor {
  readonly cursor: Cursor
  readonly isNamed: boolean
}

/**
 * The cursor that a client's last event id has for a channel.
 *
 * An id is one cursor, or one for each of several channels. One cursor does not say whose it is: it is taken for that of
 * every channel, whose history tells better. What is neither is a cursor that no history knows.
 *
 * @returns `undefined` if the client brought none, because it was not subscribed to this channel.
 */
export function cursorIn(lastEventId: string | undefined, encodedName: string): BroughtCursor | undefined {
  if (lastEventId === undefined) return undefined
  if (!COMBINED.test(lastEventId)) return { cursor: cursorOrNone(lastEventId), isNamed: false }
  const start = `${encodedName}=`
  const part = lastEventId.split('&').find((candidate) => candidate.startsWith(start))
  return part === undefined ? undefined : { cursor: cursorOrNone(part.slice(start.length)), isNamed: true }
}

export function cursorOrNone(text: string): Cursor {
  return CURSOR.test(text) ? text : NO_CURSOR
}
