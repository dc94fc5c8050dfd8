/**
 * A place in the history: right after what is stamped with it. Microseconds since the Unix epoch, or a little above the
 * place before, so that places tell order and time and count nothing.
 */
export type Place = number

/**
 * A place as clients are told it: `<place>-<epoch>`, 10 digits in base 36 and what the history calls itself. On the wire
 * it is a message's `id`, and comes back as `Last-Event-ID`. It says where to go on, and never grants access.
 */
export type Cursor = string

/** Enough for the year 2085, and so that cursors are in order as strings, too. */
const DIGITS = 10
const CURSOR = /^([0-9a-z]{10})-([0-9A-Za-z]{1,16})$/
const MICROSECONDS = 1_000
/** How far places are apart at most when the clock stands still. */
const MAX_STEP = 16

/** The place of something that comes after `last`. */
export function placeAfter(last: Place): Place {
  const now = (Date.now() + Math.random()) * MICROSECONDS
  return Math.floor(Math.max(now, last + 1 + Math.random() * MAX_STEP))
}

export function placeOfTime(time: Date | number): Place {
  return Number(time) * MICROSECONDS
}

/** In milliseconds since the Unix epoch. */
export function timeOfPlace(place: Place): number {
  return place / MICROSECONDS
}

export function formatPlace(place: Place): string {
  return place.toString(36).padStart(DIGITS, '0')
}

export function formatCursor(place: Place, epoch: string): Cursor {
  return `${formatPlace(place)}-${epoch}`
}

/** When something was stamped, also by another history; `undefined` for what is no cursor. */
export function timeOfCursor(cursor: string): Place | undefined {
  const [, digits] = CURSOR.exec(cursor) ?? []
  return digits === undefined ? undefined : Number.parseInt(digits, 36)
}

/** @returns `undefined` for what is no cursor of this epoch. */
export function parseCursor(cursor: string, epoch: string): Place | undefined {
  const [, digits, of] = CURSOR.exec(cursor) ?? []
  return digits === undefined || of !== epoch ? undefined : Number.parseInt(digits, 36)
}
