import { type Check, checkBoolean, checkFunction, invalid } from '../base/check.ts'
import { timeOfCursor } from '../history/place.ts'
import type { ReadOptions, SubscribeOptions } from './channel.ts'

export const SUBSCRIBE_CHECKS: Readonly<Record<keyof SubscribeOptions, Check>> = {
  from: checkFrom,
  resume: checkBoolean,
  notBefore: checkNotBefore,
  filter: checkFilter
}
export const READ_CHECKS: Readonly<Record<keyof ReadOptions, Check>> = {
  from: checkFrom,
  signal: checkSignal
}

function checkFrom(name: string, value: unknown): void {
  if (value === 'now' || value === 'oldest' || value === 'first') return
  // What a client brings may be anything, but a word is a slip of the pen.
  if (typeof value === 'string' && value !== '' && !/^[A-Za-z]+$/.test(value)) return
  const { last, ...others } = typeof value === 'object' ? ({ ...value } as { last?: unknown }) : {}
  if (!Number.isSafeInteger(last) || Number(last) < 0 || Object.keys(others).length > 0) {
    throw invalid(name, "'now', 'oldest', 'first', { last: an integer } or a cursor", value)
  }
}

function checkNotBefore(name: string, value: unknown): void {
  const isTime = value instanceof Date && !Number.isNaN(value.getTime())
  if (!isTime && !(typeof value === 'string' && timeOfCursor(value) !== undefined)) {
    throw invalid(name, 'a cursor or a valid Date', value)
  }
}

function checkFilter(name: string, value: unknown): void {
  checkFunction(name, value)
  if (Object.prototype.toString.call(value) === '[object AsyncFunction]') {
    throw invalid(name, 'a function that returns true or false, not a promise', value)
  }
}

function checkSignal(name: string, value: unknown): void {
  if (!(value instanceof AbortSignal)) throw invalid(name, 'an AbortSignal', value)
}
