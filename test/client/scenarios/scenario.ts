import assert from 'node:assert/strict'
import type { EngineName } from '../engine.ts'
import type { Recording } from '../recorder.ts'
import type { Stage } from '../stage.ts'

/** Something that goes wrong, or ends, and what a client must make of it. */
export interface Scenario {
  readonly name: string
  /** Engines that cannot be driven into it, and why. */
  readonly not?: Partial<Record<EngineName, string>>
  run(stage: Stage): Promise<void>
}

/** That the client has each message once, in order. */
export function assertWhole({ data }: Recording, { published }: Stage): void {
  assert.deepEqual(data, published)
}

/** The states without those that follow each other again and again. */
export function assertStates({ states }: Recording, expected: string): void {
  assert.equal(states.join(' '), expected)
}
