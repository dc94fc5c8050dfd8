import { createHash } from 'node:crypto'

/** A place in the order of all that is published. */
export type Place = number

/**
 * What an id says: `<cursor>-<epoch>`, then `&<name>=<place>` for each channel that is behind the cursor, then
 * `&~=<place>` or `&~=<place>.<sum>` if it is uncertain what was given since then.
 */
export interface Standing {
  readonly cursor: Place
  /** By the hash of the channel's name. */
  readonly behind: ReadonlyMap<string, Place>
  readonly uncertainSince?: Place | undefined
  /** Of the names of the channels of which it is certain nevertheless. */
  readonly sum?: string | undefined
}

const ID = /^([0-9a-z]{10})-(\w{8})((?:&[\w-]{6}=[0-9a-z]+)*)(?:&~=([0-9a-z]+)(?:\.([\w-]{6}))?)?$/

export function hashOf(text: string): string {
  return createHash('sha1').update(text).digest('base64url').slice(0, 6)
}

export function formatId(epoch: string, { cursor, behind, uncertainSince, sum }: Standing): string {
  const names = [...behind].map(([name, place]) => `&${name}=${place.toString(36)}`).join('')
  const since = uncertainSince === undefined ? '' : `&~=${uncertainSince.toString(36)}`
  return `${cursor.toString(36).padStart(10, '0')}-${epoch}${names}${since}${sum === undefined ? '' : `.${sum}`}`
}

/** @returns `undefined` of what is no id of this epoch, or is ahead of the head. */
export function parseId(epoch: string, head: Place, id: string): Standing | undefined {
  const [, cursor = '', idEpoch, names = '', since, sum] = ID.exec(id) ?? []
  if (idEpoch !== epoch || placeOf(cursor) > head) return undefined
  const parts = names.split('&').slice(1)
  const behind = new Map(parts.map((part) => [part.slice(0, 6), placeOf(part.slice(7))]))
  const uncertainSince = since === undefined ? undefined : placeOf(since)
  return { cursor: placeOf(cursor), behind, uncertainSince, sum }
}

function placeOf(text: string): Place {
  return Number.parseInt(text, 36)
}
