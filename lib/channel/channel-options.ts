import {
  type Check,
  checkBoolean,
  checkBytes,
  checkCount,
  checkEventName,
  checked,
  checkFunction,
  checkMs,
  checkObject,
  invalid,
  oneOf,
  orFalse
} from '../base/check.ts'
import { timeOfCursor } from '../history/place.ts'
import { assertUndeclared, checkEvents } from '../wire/declared-events.ts'
import type { ChannelOptions, ReadOptions, SubscribeOptions } from './channel.ts'

type Defaulted = 'maxMessages' | 'maxBytes' | 'maxAgeMs' | 'keepEndedMs' | 'slow' | 'afterGap' | 'gapEvent'

/** A channel's options with the defaults for those that are not given. Frozen. */
export type ResolvedChannelOptions = Readonly<
  Required<Pick<ChannelOptions, Defaulted>> & Omit<ChannelOptions, Defaulted>
>

export const CHANNEL_DEFAULTS: Readonly<Required<Pick<ChannelOptions, Defaulted>>> = Object.freeze({
  maxMessages: 1_000,
  maxBytes: 1_048_576,
  maxAgeMs: 300_000,
  keepEndedMs: 300_000,
  slow: 'gap',
  afterGap: 'oldest',
  gapEvent: 'gap'
})

export const CHANNEL_CHECKS: Readonly<Record<keyof ChannelOptions, Check>> = {
  maxMessages: checkCount,
  maxBytes: checkBytes,
  maxAgeMs: orFalse(checkMs),
  keepEndedMs: checkMs,
  slow: oneOf('gap', 'disconnect', 'latest'),
  afterGap: oneOf('oldest', 'now'),
  gapEvent: checkEventName,
  onGap: checkFunction,
  onSubscribe: checkFunction,
  onUnsubscribe: checkFunction,
  events: checkEvents
}

/** Those that are options of channels only, for others of the plugin's have like names. */
export const LIMITS = ['maxMessages', 'maxBytes', 'maxAgeMs', 'keepEndedMs'] as const

/** Options of channels by name, or by a pattern in which `*` stands for any characters. */
export type ChannelPatterns = Readonly<Record<string, ChannelOptions>>

/**
 * A channel's options, over those it has.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for an unknown name or a wrong value.
 */
export function resolveChannelOptions(
  base: ResolvedChannelOptions,
  given: ChannelOptions
): ResolvedChannelOptions {
  const options: ResolvedChannelOptions = Object.freeze({ ...base, ...checked(given, CHANNEL_CHECKS) })
  assertUndeclared(options.events, 'gapEvent', options.gapEvent)
  return options
}

/** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION */
export function checkPatterns(name: string, value: unknown): void {
  checkObject(name, value)
  for (const [pattern, options] of Object.entries(value)) {
    if (pattern === '') throw invalid(`a name in ${name}`, 'a channel, or a pattern', pattern)
    checkObject(`${name}['${pattern}']`, options)
    resolveChannelOptions(CHANNEL_DEFAULTS, options)
  }
}

/** The options that a name has by registration: those of all that fit it, the one with the most characters last. */
export function optionsFor(
  name: string,
  defaults: ResolvedChannelOptions,
  patterns: ChannelPatterns
): ResolvedChannelOptions {
  const fitting = Object.keys(patterns).filter((pattern) => pattern !== name && fits(name, pattern))
  return [...fitting.sort(byLength), name]
    .map((pattern) => (Object.hasOwn(patterns, pattern) ? patterns[pattern] : undefined))
    .filter((given) => given !== undefined)
    .reduce(resolveChannelOptions, defaults)
}

function fits(name: string, pattern: string): boolean {
  const [first = '', ...others] = pattern.split('*')
  const last = others.pop()
  if (last === undefined || !name.startsWith(first)) return false
  let end = first.length
  for (const part of others) {
    const start = name.indexOf(part, end)
    if (start < 0) return false
    end = start + part.length
  }
  return name.length - last.length >= end && name.endsWith(last)
}

function byLength(one: string, other: string): number {
  return one.length - other.length
}

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
