import { isThenable, within } from '../base/promises.ts'
import { formatMessage } from '../wire/message.ts'
import type { Gap, GapAnswer } from './channel.ts'
import type { LiveSubscription } from './live-subscription.ts'
import type { Shared } from './shared.ts'

/** How long a connection waits for what `onGap` promises. */
const GAP_WAIT_MS = 5_000

type NamedGap = Gap & { readonly channel: string }

/** The text of the event that tells a gap. */
export function gapText(event: string, gap: Gap): string {
  return formatMessage({ event, data: gap }, JSON.stringify)
}

/** The texts of what tells a gap: what `onGap` answers, or the event. At once or in bounded time; neither throws nor rejects. */
export function gapTexts(
  gap: NamedGap,
  subscription: LiveSubscription,
  shared: Shared
): readonly string[] | Promise<readonly string[]> {
  const { channel } = subscription
  const fallback = (err: unknown): readonly string[] => {
    shared.log.error({ err, gap }, 'onGap failed')
    return [gapText(channel.options.gapEvent, gap)]
  }
  try {
    const answer = channel.options.onGap?.(gap, subscription)
    if (!isThenable(answer)) return textsOf(answer, gap, channel, shared)
    const later = Promise.resolve(answer).then((given) => textsOf(given, gap, channel, shared))
    return within(GAP_WAIT_MS, later).catch(fallback)
  } catch (err) {
    return fallback(err)
  }
}

function textsOf(
  answer: GapAnswer,
  gap: NamedGap,
  channel: LiveSubscription['channel'],
  { reserved }: Shared
): readonly string[] {
  const { gapEvent } = channel.options
  const messages = answer === undefined || answer === null ? [] : [answer].flat()
  if (messages.length === 0) return [gapText(gapEvent, gap)]
  return messages.map((message) => {
    reserved.assertFree(message, gapEvent)
    return channel.textOf(message)
  })
}
