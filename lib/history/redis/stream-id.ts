import { createHash } from 'node:crypto'
import type { Cursor } from '../history.ts'

/**
 * The ids of Redis streams as cursors: `<milliseconds>-<number>`. The numbers of our own entries begin with a tag of the
 * channel's key and end with a random part: no entry of another channel has the same id, nor one that took the place of
 * an entry which a failover has lost.
 */
const ID = /^(0|[1-9]\d{0,19})-(0|[1-9]\d{0,19})$/
/** What fits into 64 bits, which each part of an id does. */
const MAX_PART = '18446744073709551615'

/** Comes before an entry's id to say: the place right before it. */
const BEFORE = '~'

/** The random part, and the size of a tag. */
export const RANDOM_RANGE: number = 2 ** 23
const TAG_RANGE = 2 ** 20

export function randomPart(): string {
  return String(Math.floor(Math.random() * RANDOM_RANGE))
}

export function isPlace(text: string): boolean {
  const parts = ID.exec(entryAt(text))?.slice(1)
  return parts?.every((part) => part.length < MAX_PART.length || part <= MAX_PART) === true
}

/** The place before an entry. */
export function placeBefore(id: string): Cursor {
  return BEFORE + id
}

export function isBefore(place: Cursor): boolean {
  return place.startsWith(BEFORE)
}

/** The entry that a place is at: the one that was taken last, or the one that comes next. */
export function entryAt(place: Cursor): string {
  return isBefore(place) ? place.slice(BEFORE.length) : place
}

/** Negative if the place `a` is before `b`. */
export function comparePlaces(a: Cursor, b: Cursor): number {
  return compareIds(entryAt(a), entryAt(b)) || Number(isBefore(b)) - Number(isBefore(a))
}

function compareIds(a: string, b: string): number {
  if (a === b) return 0
  const digits = a.indexOf('-')
  const otherDigits = b.indexOf('-')
  if (digits !== otherDigits) return digits - otherDigits
  if (a.length === b.length) return a < b ? -1 : 1
  const ms = a.slice(0, digits)
  const otherMs = b.slice(0, digits)
  if (ms === otherMs) return a.length - b.length
  return ms < otherMs ? -1 : 1
}

/** From 1 on: a number without a tag was given by somebody else. */
export function tagOf(key: string): number {
  return 1 + (createHash('sha256').update(key).digest().readUInt32BE() % (TAG_RANGE - 1))
}

/** Whether a place has the tag of another channel. */
export function isForeign(place: Cursor, tag: number): boolean {
  const number = Number(entryAt(place).split('-')[1])
  const found = Math.floor(number / RANDOM_RANGE)
  return found > 0 && found < TAG_RANGE && found !== tag
}
