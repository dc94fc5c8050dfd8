import type { GapLog, Moment, Sample, SentLog, Standing, SubscriptionLog } from '../run-log.ts'

/** What the server's process prints: its part of the run log, one line of JSON after another. */
export type Line =
  | PublishLine
  | ConnectionLine
  | ({ readonly kind: 'sample' } & Sample)
  | { readonly kind: 'end'; readonly leftovers: Readonly<Record<string, number>> }

export interface PublishLine {
  readonly kind: 'publish'
  readonly channels: readonly number[]
  /** How many were published before. With the size it gives the data. */
  readonly number: number
  readonly size: number
  readonly event: string
  readonly key: string
  readonly id: string
  readonly sentAt: Moment
  readonly acknowledgedAt: Moment
}

export interface SubscriptionLine extends Omit<SubscriptionLog, 'channel' | 'filter'> {
  readonly channel: number
}

export interface ConnectionLine {
  readonly kind: 'connection'
  readonly client: number
  readonly connection: number
  readonly subscriptions: readonly SubscriptionLine[]
  readonly settledAt: Moment | undefined
  readonly waits: boolean
  /** After how many bytes of the stream, and when, each write ended. */
  readonly writes: readonly Standing[]
  readonly sent: readonly SentLog[]
  readonly gaps: readonly GapLog[]
  readonly stood: readonly Standing[]
  readonly refused: readonly number[]
  readonly closedAt: Moment | undefined
}

export function print(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
