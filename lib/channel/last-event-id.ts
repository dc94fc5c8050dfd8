import { hash } from 'node:crypto'
import type { History } from '../history/history.ts'
import { type Cursor, formatPlace, type Place } from '../history/place.ts'

/** Longer ids throw (`message.id`), and are more than some servers take as a header. */
const MAX_ID_LENGTH = 1_024
const HASH_BYTES = 6
const HASH_LENGTH = 8
const PART = /^(~|[\w-]{8})=([0-9a-z]{10})(?:\.([\w-]{8}))?$/
/** Stands for all channels. */
export const ALL = '~'
/** More places of channels are never in an id. */
export const MAX_EXCEPTIONS = 50

/** From when on it is not known which channels' messages a client was given. */
export interface Uncertainty {
  readonly since: Place
  /** Which channels had been subscribed to: those have no part in it. `''`: none. */
  readonly sum: string
}

/** Where a client stands that comes back. */
export interface Standpoint {
  /** What was published at or before it was given, */
  readonly place: Place
  /** but to channels with these names only what is at or before another place, */
  readonly exceptions: ReadonlyMap<string, Place>
  /** and perhaps not what is later than a third one. */
  readonly uncertainty: Uncertainty | undefined
}

/**
 * What an id says: `<cursor>`, then for channels that have not caught up `&<hash of the name>=<place>`, or
 * `&~=<place>.<sum>` for all that is not known of channels.
 *
 * @returns `undefined` if the history does not know it.
 */
export function parseId(id: string, history: History): Standpoint | undefined {
  const [cursor = '', ...parts] = id.split('&')
  const place = history.placeOf(cursor)
  if (place === undefined) return undefined
  const exceptions = new Map<string, Place>()
  let uncertainty: Uncertainty | undefined
  for (const part of parts) {
    const [, hash = '', digits = '', sum = ''] = PART.exec(part) ?? []
    const since = Number.parseInt(digits, 36)
    if (!(since <= place)) return undefined
    if (hash === ALL) uncertainty = { since, sum }
    else exceptions.set(hash, since)
  }
  return { place, exceptions, uncertainty }
}

/** The cursor of what an id says. */
export function cursorIn(id: string): string {
  return id.split('&', 1)[0] as string
}

/** @param exceptions hashes of the names of channels that have not caught up, and their places; or one of `ALL`. */
export function formatId(
  cursor: Cursor,
  exceptions: ReadonlyMap<string, Place>,
  uncertainty: Uncertainty | undefined
): string {
  const parts = [...exceptions].map(([hash, place]) => `&${hash}=${formatPlace(place)}`)
  const id = `${cursor}${parts.join('')}${formatUncertainty(uncertainty)}`
  if (id.length <= MAX_ID_LENGTH && !exceptions.has(ALL)) return id
  const lowest = Math.min(uncertainty?.since ?? Infinity, ...exceptions.values())
  return `${cursor}${formatUncertainty({ since: lowest, sum: '' })}`
}

/** A name as it is in ids. */
export function hashOf(name: string): string {
  return hash('sha256', name, 'base64url').slice(0, HASH_LENGTH)
}

/** The same for the same names in whatever order. */
export function sumOf(names: Iterable<string>): string {
  const sum = Buffer.alloc(HASH_BYTES)
  for (const name of names) {
    const own = Buffer.from(hashOf(name), 'base64url')
    for (const [i, byte] of own.entries()) sum.writeUInt8(sum.readUInt8(i) ^ byte, i)
  }
  return sum.toString('base64url')
}

function formatUncertainty(uncertainty: Uncertainty | undefined): string {
  if (uncertainty === undefined) return ''
  const { since, sum } = uncertainty
  return `&${ALL}=${formatPlace(since)}${sum === '' ? '' : `.${sum}`}`
}
