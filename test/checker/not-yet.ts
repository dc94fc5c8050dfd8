import type { Case } from './run-log.ts'

/**
 * Promises that version 0.1 does not keep. Random schedules stay clear of them, or the judge of these runs does not ask for
 * them; `schedules/expected-failures.ts` shows that each is broken. To be emptied by the core that keeps them.
 */
export const NOT_YET: ReadonlySet<Case> = new Set([
  'A1',
  'A2',
  'A3',
  'A6',
  'A7',
  'A9',
  'A12',
  'other channels'
])

/**
 * Whether an id of version 0.1 tells of a channel, by its name or as the only one that there was. Runs that stay clear of
 * `'other channels'` have to know.
 */
export function tells(id: string | undefined, channel: string, channels: number): boolean {
  return channels === 1 || id === undefined || id.includes(`${encodeURIComponent(channel)}=`)
}
