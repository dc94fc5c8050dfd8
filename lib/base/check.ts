import { errorOf, FST_ERR_EVENTSTREAM_INVALID_OPTION } from './errors.ts'

/** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for a value that the option of this name cannot have. */
export type Check = (name: string, value: unknown) => void

/** The longest delay of a Node timer; longer ones fire at once. */
export const MAX_MS = 2_147_483_647

/**
 * Those of the `given` options that are not `undefined`, checked. Arrays are copied: the caller could change them later.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for an unknown name or a wrong value.
 */
export function checked<Options extends object>(
  given: Options,
  checks: Readonly<Record<string, Check>>
): Partial<Options> {
  checkObject('the options', given)
  const entries = Object.entries(given).filter(([, value]) => value !== undefined)
  for (const [name, value] of entries) {
    const check = Object.hasOwn(checks, name) ? checks[name] : undefined
    if (check === undefined) throw invalid(name, `one of ${Object.keys(checks).join(', ')}`, value)
    check(name, value)
  }
  const copies = entries.map(([name, value]) => [
    name,
    Array.isArray(value) ? Object.freeze([...value]) : value
  ])
  return Object.fromEntries(copies)
}

export function checkObject(name: string, value: unknown): asserts value is object {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(name, 'an object', value)
}

export function orFalse(check: Check): Check {
  return (name, value) => {
    if (value !== false) check(name, value)
  }
}

export function oneOf(...values: readonly string[]): Check {
  const rule = values.map((value) => `'${value}'`).join(' or ')
  return (name, value) => {
    if (typeof value !== 'string' || !values.includes(value)) throw invalid(name, rule, value)
  }
}

export function checkBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw invalid(name, 'true or false', value)
}

export function checkEventName(name: string, value: unknown): void {
  if (typeof value !== 'string' || !/^[^\r\n]+$/.test(value) || !value.isWellFormed()) {
    throw invalid(name, 'a well-formed string of at least one character, without line ends', value)
  }
}

export function checkFunction(name: string, value: unknown): void {
  if (typeof value !== 'function') throw invalid(name, 'a function', value)
}

export function checkMs(name: string, value: unknown): void {
  if (!isInteger(value) || value < 1 || value > MAX_MS) {
    throw invalid(name, `an integer from 1 to ${MAX_MS} (milliseconds)`, value)
  }
}

export function checkBytes(name: string, value: unknown): void {
  if (!isInteger(value) || value < 1) throw invalid(name, 'an integer of at least 1 (bytes)', value)
}

export function checkCount(name: string, value: unknown): void {
  if (!isInteger(value) || value < 1) throw invalid(name, 'an integer of at least 1', value)
}

export function checkMsRange(name: string, value: unknown): void {
  const [min, max] = Array.isArray(value) && value.length === 2 ? value : []
  if (!isInteger(min) || !isInteger(max) || min < 0 || max < min || max > MAX_MS) {
    throw invalid(name, `[min, max] with integers 0 <= min <= max <= ${MAX_MS} (milliseconds)`, value)
  }
}

export function checkTime(name: string, value: unknown): void {
  const time = value instanceof Date ? value.getTime() : value
  if (typeof time !== 'number' || !Number.isFinite(time)) {
    throw invalid(name, 'a valid Date or milliseconds since the epoch', value)
  }
}

function isInteger(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

export function invalid(name: string, rule: string, value: unknown): Error {
  return errorOf(FST_ERR_EVENTSTREAM_INVALID_OPTION, [name, rule, value])
}

/** What stands for a channel or a run. */
export function checkName(what: string, maxBytes: number, name: unknown): void {
  if (typeof name !== 'string' || name === '' || !name.isWellFormed() || Buffer.byteLength(name) > maxBytes)
    throw invalid(what, `a well-formed string of 1 to ${maxBytes} bytes`, name)
}
