import { judge } from './judge.ts'
import { settle } from './settle.ts'
import { textOf } from './violation.ts'
import type { World } from './world.ts'

const MAX_SHOWN = 20

/** Ends a run, when all faults are over. @returns its violations as text, `''` if there are none. */
export async function verdictOn(world: World): Promise<string> {
  return textOf(judge(await settle(world)).slice(0, MAX_SHOWN))
}
