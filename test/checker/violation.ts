import type { Moment } from './run-log.ts'

/** What counts as a violation. */
export const VIOLATIONS = {
  loss: 'a message that was kept did not come, or a place was lost, and no gap was told',
  duplicate: 'a message came again, or was published twice',
  order: 'messages came in another order than that of publishing, or than that of the calls',
  payload: 'a message came with other data',
  phantom: 'something came that nobody published, that was refused, or that the client was not subscribed to',
  'false-gap': 'a gap was told where nothing could be lost',
  'wrong-gap': 'a gap was told with another reason than the right one',
  syntax: 'the strict parser refused the stream',
  owner: 'a name had more sources than it should, or another one published to it',
  end: 'a run did not end, ended twice, late, for nothing, or not the same for all',
  memory: 'more was held than allowed',
  leftover: 'something was left after the end, or did not end'
} as const

export type ViolationKind = keyof typeof VIOLATIONS

export interface Violation {
  readonly kind: ViolationKind
  readonly text: string
  /** When it was seen, if that is known. */
  readonly at?: Moment
}

export function textOf(violations: readonly Violation[]): string {
  return violations.map(({ kind, text }) => `${kind}: ${text}`).join('\n')
}
