import type { Moment } from '../run-log.ts'

/** Milliseconds of the clock that all processes of a machine share. Two calls in one process never give the same. */
export function now(): Moment {
  return Number(process.hrtime.bigint()) / 1_000_000
}
