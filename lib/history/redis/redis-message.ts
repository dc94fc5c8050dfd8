import type { Place } from '../place.ts'
import type { StoreAppend, StoredMessage, StorePast } from '../store.ts'

export const DAY_MS = 86_400_000

/** A message as Redis tells it. */
export interface Notice {
  readonly message: StoredMessage
  /** Its channels, that of the notice first, and the place of the message before it there; none if it is not kept. */
  readonly previous: readonly (readonly [channel: string, place: Place])[]
}

/** Where a database stands. */
export interface Found {
  readonly epoch: string
  /** The epoch, a dot, and which process of Redis has it. */
  readonly site: string
  readonly place: Place
  /** Whether it has all that was given here. */
  readonly isKnown: boolean
}

/** What a channel has. */
export interface ReadAnswer extends StorePast {
  /** The place of its newest message. */
  readonly head: Place
  /** The place of the message before the first of these; `undefined`: there are none. */
  readonly previous: Place | undefined
}

/** What `publish.lua` takes after the random integer. */
export function formatAppend({
  channels,
  messages,
  idempotencyKey,
  isKept,
  isEnd,
  token,
  after
}: StoreAppend): string[] {
  const names = channels.map(({ name }) => name)
  const onceMs = Math.max(...channels.map(({ limits }) => limits.maxAgeMs || DAY_MS))
  const once = idempotencyKey === undefined ? '' : JSON.stringify([...names].sort().concat(idempotencyKey))
  const kind = isEnd ? '2' : isKept ? '1' : '0'
  const args = [
    once,
    String(Math.min(onceMs, DAY_MS)),
    [kind, token, after].join(' ').trimEnd(),
    String(channels.length)
  ]
  for (const { name, limits } of channels) {
    const { maxMessages, maxBytes, maxAgeMs, keepEndedMs } = limits
    args.push(name, `${maxMessages} ${maxBytes} ${maxAgeMs || 0} ${keepEndedMs}`)
  }
  for (const [i, { key, text }] of messages.entries())
    args.push(formatHeader(key, names, isEnd && i === messages.length - 1), text)
  return args
}

/** `''` for a message without a key that is published to one channel. */
export function formatHeader(key: string, channels: readonly string[], isEnd: boolean): string {
  if (isEnd) return JSON.stringify([key, channels, 'end'])
  if (channels.length > 1) return JSON.stringify([key, channels])
  return key === '' ? '' : JSON.stringify([key])
}

/**
 * `<place> <place before, or ->`, then those of all channels if there are several, and on further lines the header and the
 * text.
 *
 * @returns `undefined` for what is none.
 */
export function parseNotice(channel: string, body: string): Notice | undefined {
  const end = body.indexOf('\n')
  const [, place, own, all = ''] = /^(\d+) (\d+|-)((?: (?:\d+|-))*)$/.exec(body.slice(0, end)) ?? []
  if (place === undefined || own === undefined) return undefined
  const isKept = own !== '-'
  const message = parseMessage(channel, Number(place), body.slice(end + 1), isKept, Number(own))
  if (message === undefined) return undefined
  if (!isKept) return { message, previous: [] }
  const previous: [string, Place][] = [[channel, Number(own)]]
  if (all !== '') {
    for (const [i, text] of all.slice(1).split(' ').entries()) {
      const other = message.channels[i]
      if (other !== undefined && other !== channel) previous.push([other, Number(text)])
    }
  }
  return { message, previous }
}

/**
 * Each message names the one before it: what is missing between them, or at the end, was removed by somebody.
 *
 * @throws for what `READ` cannot have answered.
 */
export function parseRead(channel: string, after: Place, answer: unknown): ReadAnswer {
  const texts = parseTexts(answer)
  const [head = '0', dropped = '0', ended] = texts
  let messages: StoredMessage[] = []
  let lost = Number(dropped)
  let previous: Place | undefined
  let at = after
  const lose = (place: Place): void => {
    messages = []
    lost = Math.max(lost, place)
    previous = undefined
    at = place
  }
  for (let i = 3; i < texts.length; i += 3) {
    const place = Number(texts[i])
    const before = Number(texts[i + 1])
    if (before > at) lose(before)
    const message = parseMessage(channel, place, texts[i + 2] ?? '', true, before)
    // Somebody has appended something else, past the script.
    if (message === undefined || texts[i + 1] === '') lose(place)
    else {
      messages.push(message)
      previous ??= before
      at = place
    }
  }
  if (Number(head) > at) lose(Number(head))
  return { head: Number(head), dropped: lost, messages, isEnded: ended === '1', previous }
}

/** @throws for what `PROBE` cannot have answered. */
export function parseProbe(answer: unknown): Found {
  const [site, ...numbers]: unknown[] = Array.isArray(answer) ? answer : []
  if (typeof site !== 'string') throw new Error('Redis answered a probe with something else')
  const [place = 0, isKnown] = parseNumbers(numbers, 2)
  return { epoch: site.replace(/\..*/s, ''), site, place, isKnown: isKnown === 1 }
}

/** Numbers that Redis answers with, as texts. @throws for something else. */
export function parseNumbers(answer: unknown, count?: number): number[] {
  const numbers = Array.isArray(answer) ? answer.map(Number) : [Number.NaN]
  const isRight = numbers.every((number) => Number.isSafeInteger(number) && number >= 0)
  if (!isRight || (count !== undefined && numbers.length !== count)) {
    throw new Error('Redis answered with something else than numbers')
  }
  return numbers
}

/** @throws for something else. */
export function parseTexts(answer: unknown): readonly string[] {
  if (!isTexts(answer)) throw new Error('Redis answered with something else than texts')
  return answer
}

function isTexts(answer: unknown): answer is string[] {
  return Array.isArray(answer) && answer.every((part) => typeof part === 'string')
}

function parseMessage(
  channel: string,
  place: Place,
  body: string,
  isKept: boolean,
  previous: Place = 0
): StoredMessage | undefined {
  const end = body.indexOf('\n')
  if (end < 0) return undefined
  const header = parseHeader(body.slice(0, end))
  if (header === undefined) return undefined
  const { key, channels = [channel], kind } = header
  const message = { place, channels, key, isEnd: kind === 'end', text: body.slice(end + 1), isKept }
  return kind === 'clear' ? { ...message, clears: previous } : message
}

function parseHeader(
  header: string
): { key: string; channels: string[] | undefined; kind: unknown } | undefined {
  try {
    const [key, channels, kind]: unknown[] = JSON.parse(header)
    if (typeof key !== 'string' || !(channels === undefined || isTexts(channels))) return undefined
    return { key, channels, kind }
  } catch {
    return undefined
  }
}
