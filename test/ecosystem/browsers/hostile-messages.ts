import fc from 'fast-check'
import type { Message } from '../../../lib/index.ts'
import { hostileText } from '../../helpers/hostile-text.ts'
import type { Received } from './recorder.ts'

type HostileMessage = Required<Pick<Message, 'id' | 'event'>> & { readonly data: string }

/** FC_SEED=… repeats a run. */
export const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

export const EVENTS = 1_000

/** Names of events. */
export const NAMES = [
  'tick',
  'error',
  'open',
  'a b',
  ' ',
  ':',
  'data',
  'id: 1',
  'ü😀',
  '\ufeff',
  '\u2028',
  '\0'
]
/** Some of each kind for certain, the others by chance. */
export function hostileMessages(): HostileMessage[] {
  const certain = [
    ...[
      '',
      ' ',
      '  two spaces',
      ':',
      ': no comment',
      '\ufeffBOM',
      '\0',
      '\n',
      '\r',
      '\r\n',
      '\n\n\n',
      'end\n'
    ],
    ...['\u2028\u2029\u0085\v\f', '😀'.repeat(50_000), 'x'.repeat(1_000_000), '\n'.repeat(100_000)]
  ].map((data, id) => ({ id, event: '', data }))
  const message = fc.record({
    id: fc.oneof(fc.stringMatching(/^[!-~]{1,1024}$/), fc.constant('')),
    event: fc.constantFrom('', ...NAMES),
    data: hostileText
  })
  return [...certain, ...fc.sample(message, { seed, numRuns: EVENTS - certain.length })]
}

/** What a page sees of them. */
export function expectedFrom(sent: readonly HostileMessage[], keepsNul: boolean): Received[] {
  const kept = (text: string): string => (keepsNul ? text : text.replaceAll('\0', ''))
  return sent.map(({ id, event, data }) => ({
    type: kept(event) || 'message',
    data: kept(data.replaceAll(/\r\n|\r/g, '\n')),
    lastEventId: String(id)
  }))
}
