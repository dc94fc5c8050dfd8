/**
 * - `loss`: a message that was kept did not come, and no gap was told
 * - `duplicate`: a message came again
 * - `order`: messages of a channel, or all of a connection, came in another order than that of the calls
 * - `payload`: a message came with other bytes
 * - `phantom`: something came that nobody published, or that the client was not subscribed to
 * - `backwards`: an id went back
 * - `overclaim`: an id says more than what came
 * - `false-gap`: a gap was told where nothing could be lost
 * - `wrong-gap`: a gap was told with another reason or another place to go on than the right one
 * - `syntax`: the strict parser refused the stream
 * - `memory`: more was held than allowed
 * - `leftover`: something was left after the end
 */
export type ViolationKind =
  | 'loss'
  | 'duplicate'
  | 'order'
  | 'payload'
  | 'phantom'
  | 'backwards'
  | 'overclaim'
  | 'false-gap'
  | 'wrong-gap'
  | 'syntax'
  | 'memory'
  | 'leftover'

export interface Violation {
  readonly kind: ViolationKind
  readonly text: string
}

export function textOf(violations: readonly Violation[]): string {
  return violations.map(({ kind, text }) => `${kind}: ${text}`).join('\n')
}
