/** Strings that are shorter are never a part of a longer one that V8 keeps for them. */
const MIN_SLICE = 13

/** A copy: what was cut out of a long string keeps all of it. */
export function ownText(text: string): string {
  return text.length < MIN_SLICE ? text : Buffer.from(text, 'utf16le').toString('utf16le')
}
