import { judge } from '../checker/judge.ts'
import { textOf } from '../checker/violation.ts'
import { settle } from './settle.ts'
import type { World } from './world.ts'

const MAX_SHOWN = 20

/** Ends a run, when all faults are over. @returns its violations as text, `''` if there are none. */
export async function verdictOn(world: World): Promise<string> {
  return textOf(judge(await settle(world)).slice(0, MAX_SHOWN))
}
