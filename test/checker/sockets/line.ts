import type { Moment, Sample, SentLog, Standing, SubscriptionLog } from '../run-log.ts'

/** What the server's process prints: its part of the run log, one line of JSON after another. */
export type Line =
  | PublishLine
  | ConnectionLine
  | ({ readonly kind: 'sample' } & Sample)
  | { readonly kind: 'end'; readonly leftovers: Readonly<Record<string, number>> }

export interface PublishLine {
  readonly kind: 'publish'
  readonly channel: number
  /** How many were published before. With the size it gives the data. */
  readonly number: number
  readonly size: number
  readonly event: string
  readonly key: string
  readonly id: string
  readonly sentAt: Moment
  readonly acknowledgedAt: Moment
}

export interface ConnectionLine {
  readonly kind: 'connection'
  readonly client: number
  readonly connection: number
  readonly subscriptions: readonly Pick<SubscriptionLog, 'startedAt' | 'endedAt'>[]
  readonly sent: readonly SentLog[]
  readonly gaps: readonly { readonly channel: string; readonly reason: string; readonly at: Moment }[]
  readonly stood: readonly Standing[]
  readonly refused: readonly number[]
  readonly closedAt: Moment | undefined
}

export function print(line: Line): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}
