import { readFileSync } from 'node:fs'
import type { CpuParts } from '../servers/vitals.ts'

/** Linux counts in these. */
const TICK_MICROSECONDS = 10_000

/** What Linux tells of a process, or nothing of one that is gone. */
export interface ProcessStat extends CpuParts {
  readonly parent: number
}

/** See proc(5). */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return {
      parent: Number(fields[1]),
      userUs: Number(fields[11]) * TICK_MICROSECONDS,
      systemUs: Number(fields[12]) * TICK_MICROSECONDS
    }
  } catch {
    return undefined
  }
}
