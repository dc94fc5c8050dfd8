import type { Cursor, History } from '../../lib/history/history.ts'

/** A store with nothing in it, as one test has it for itself. */
export interface Store {
  readonly history: History
  /**
   * How many times `maxMessages` it keeps at most.
   * @defaultValue 1
   */
  readonly slack?: number
  /**
   * Whether it knows a cursor of another channel or store from one that it has given and forgotten. If not, it still
   * tells a gap.
   * @defaultValue true
   */
  readonly tellsForeign?: boolean
  /** A cursor that the same log could give after this one, which is its head or later. */
  later(cursor: Cursor): Cursor
  dispose(): Promise<void>
}

export interface StoreLimits {
  /** Messages that are kept per channel; all other limits are too far away to matter. */
  readonly maxMessages: number
}

export type CreateStore = (limits: StoreLimits) => Store | Promise<Store>
