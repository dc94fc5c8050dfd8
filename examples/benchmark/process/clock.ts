/** So long that `stamp()` has one length for as long as a machine runs. */
export const STAMP_LENGTH = 17

/** Milliseconds on a clock that all processes of this machine share. */
export function clockMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

/** The time as text, from which `Number()` gets it back. */
export function stamp(): string {
  return clockMs().toFixed(3).padStart(STAMP_LENGTH, '0')
}
