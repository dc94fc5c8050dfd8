import { type Check, checkEventName, checked, checkFunction, invalid, oneOf } from '../base/check.ts'
import { assertUndeclared, checkEvents } from '../wire/declared-events.ts'
import type { History } from '../history/history.ts'
import type { ChannelOptions } from '../types.ts'

/** A channel's options with the defaults for those that are not given. Frozen. */
export type ResolvedChannelOptions = Readonly<
  Required<Pick<ChannelOptions, 'slow' | 'afterGap' | 'gapEvent' | 'history'>> &
    Pick<ChannelOptions, 'onGap' | 'onSubscribe' | 'onUnsubscribe' | 'events'>
>

export const CHANNEL_DEFAULTS: Readonly<Required<Pick<ChannelOptions, 'slow' | 'afterGap' | 'gapEvent'>>> =
  Object.freeze({ slow: 'gap', afterGap: 'oldest', gapEvent: 'gap' })

export const CHANNEL_CHECKS: Readonly<Record<keyof ChannelOptions, Check>> = {
  slow: oneOf('gap', 'disconnect', 'latest'),
  afterGap: oneOf('oldest', 'now'),
  gapEvent: checkEventName,
  onGap: checkFunction,
  onSubscribe: checkFunction,
  onUnsubscribe: checkFunction,
  history: checkHistory,
  events: checkEvents
}

/**
 * A channel's options, over those it has.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for an unknown name or a wrong value.
 */
export function resolveChannelOptions(
  base: ResolvedChannelOptions,
  given: ChannelOptions
): ResolvedChannelOptions {
  const options = Object.freeze({ ...base, ...checked(given, CHANNEL_CHECKS) })
  assertUndeclared(options.events, 'gapEvent', options.gapEvent)
  return options
}

function checkHistory(name: string, value: unknown): void {
  const methods: (keyof History)[] = ['append', 'follow', 'close']
  const isHistory =
    typeof value === 'object' &&
    value !== null &&
    methods.every((method) => typeof Reflect.get(value, method) === 'function')
  if (!isHistory) throw invalid(name, 'a history, such as memoryHistory() returns', value)
}
