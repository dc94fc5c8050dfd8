import { isThenable, within } from '../base/promises.ts'
import type { AnyConnection } from '../connection/sse-connection.ts'
import type { Place } from '../history/place.ts'
import { Batch, withId } from '../wire/batch.ts'
import { formatMessage } from '../wire/message.ts'
import type { Gap, GapAnswer, GapReason } from './channel.ts'
import { gapChannel } from './diagnostics.ts'
import type { LiveSubscription } from './live-subscription.ts'
import type { Position } from './position.ts'
import type { Shared } from './shared.ts'

/** Gaps of one connection that are told together, as soon as their texts are there. */
export class PendingGaps {
  /** Where the client stands who was told; `undefined`: something else is still to come there, or before. */
  place: Place | undefined
  readonly #shared: Shared
  readonly #connection: AnyConnection
  /** Those that have lost what their channels have dropped. */
  readonly #losers: LiveSubscription[] = []
  /** The newest place when they were met: the texts tell of all that is lost until then. */
  readonly #head: Place
  #texts: readonly string[] | undefined
  /** What tells them if the application does not. */
  readonly #events: string[] = []

  constructor(shared: Shared, connection: AnyConnection, place: Place | undefined) {
    this.place = place
    this.#shared = shared
    this.#connection = connection
    this.#head = shared.history.head
  }

  /**
   * Asks for what tells the gaps of subscriptions.
   *
   * @param isOfAll whether all other channels have a gap, too.
   * @param onTexts is called when the texts are there, if that is later.
   */
  ask(subscriptions: readonly LiveSubscription[], isOfAll: boolean, onTexts: () => void): void {
    const answers = subscriptions.map((subscription) => this.#ask(subscription))
    if (isOfAll) {
      const event = this.#tell(undefined, 'unknown', this.#shared.gapEvent)
      this.#events.push(event)
      answers.push([event])
    }
    const isLater = answers.some((answer) => answer instanceof Promise)
    if (!isLater) this.#texts = (answers as string[][]).flat()
    else void this.#wait(answers, onTexts)
  }

  /**
   * The frames, if their texts are there or there is no time to wait for them. The last one has the id: a client that is cut off
   * before has not got over the gap.
   */
  take(position: Position): Batch | undefined {
    if (this.#connection.state === 'closing') this.#texts ??= this.#events
    const texts = this.#texts
    if (texts === undefined) return undefined
    this.#skip(position.place)
    if (this.place === undefined) return new Batch(texts.join(''), texts.length)
    position.moveTo(this.place)
    const { id } = position
    position.note(position.place)
    const end = texts.length - 1
    return new Batch(texts.map((text, i) => (i === end ? withId(id, text) : text)).join(''), texts.length)
  }

  /** What was dropped while the application was asked is part of the gap. */
  #skip(place: Place): void {
    for (const subscription of this.#losers) {
      const lost = Math.min(subscription.channel.window.dropped, this.#head)
      subscription.skipTo(subscription.at === undefined ? lost : Math.min(lost, place))
    }
  }

  #ask(subscription: LiveSubscription): readonly string[] | Promise<readonly string[]> {
    const { channel, isIntact, dueGap } = subscription
    const reason = dueGap ?? (isIntact ? 'slow' : 'expired')
    if (dueGap === undefined) this.#losers.push(subscription)
    subscription.dueGap = undefined
    subscription.isIntact = true
    this.#events.push(this.#tell(channel.name, reason, channel.options.gapEvent))
    const gap = { channel: channel.name, reason }
    return subscription.asSubscriber(() => gapTexts(gap, subscription, this.#shared))
  }

  async #wait(
    answers: readonly (readonly string[] | Promise<readonly string[]>)[],
    onTexts: () => void
  ): Promise<void> {
    const texts = (await Promise.all(answers)).flat()
    if (this.#texts !== undefined) return
    this.#texts = texts
    onTexts()
  }

  /** @returns the event that tells a gap. */
  #tell(channel: string | undefined, reason: GapReason, event: string): string {
    const gap = channel === undefined ? { reason } : { channel, reason }
    this.#shared.counters.gaps++
    if (gapChannel.hasSubscribers) gapChannel.publish({ connection: this.#connection, ...gap })
    return gapText(event, gap)
  }
}

/** How long a connection waits for what `onGap` promises. */
const GAP_WAIT_MS = 5_000

type NamedGap = Gap & { readonly channel: string }

/** The text of the event that tells a gap. */
function gapText(event: string, gap: Gap): string {
  return formatMessage({ event, data: gap }, JSON.stringify)
}

/** The texts of what tells a gap: what `onGap` answers, or the event. At once or in bounded time; neither throws nor rejects. */
function gapTexts(
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
