/**
 * - `loss`: a message did not come, or a place was lost, and no gap was told
 * - `duplicate`: a message came again, or was published twice
 * - `order`: messages came in another order than that of the stream
 * - `payload`: a message came with other data
 * - `phantom`: something came that nobody published, or whose publisher was told that it failed
 * - `backwards`: an id went back
 * - `false-gap`: a gap was told where nothing was lost
 * - `wrong-gap`: a gap was told with another reason than the right one
 * - `syntax`: the strict parser refused a stream
 * - `hang`: something did not end
 */
export interface Violation {
  readonly kind:
    | 'loss'
    | 'duplicate'
    | 'order'
    | 'payload'
    | 'phantom'
    | 'backwards'
    | 'false-gap'
    | 'wrong-gap'
    | 'syntax'
    | 'hang'
  readonly text: string
  /** When it was seen, if that is known. */
  readonly at?: number
}

export function textOf(violations: readonly Violation[]): string {
  return violations.map(({ kind, text }) => `${kind}: ${text}`).join('\n')
}
