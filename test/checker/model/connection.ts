import type { Transport } from '../../../lib/connection/transport/transport.ts'
import { EVENTS } from '../run-log.ts'
import type {
  EventMessage,
  TriedConnection,
  TriedSubscribeOptions,
  TriedSubscription
} from '../schedules/library.ts'
import { type Entry, type Kept, type Order, textOf } from './order.ts'
import { formatId, hashOf, type Place, parseId, type Standing } from './place-id.ts'
import type { Rules } from './rules.ts'
import { ModelSubscription } from './subscription.ts'

const HOLD_MS = 250
const PASSED_BYTES = 65_536

export interface ConnectionHost {
  readonly order: Order
  readonly rules: Rules
  readonly maxBufferedBytes: number
  /** Asks for `flush()` at the end of the turn. */
  schedule(): void
  connectionOnGap(connection: ModelConnection, channel: string | undefined, reason: string): void
  connectionOnClose(connection: ModelConnection): void
}

/** All that is to be told at one place: first what channels have lost, then a message. */
interface Step {
  readonly place: Place
  readonly lost: readonly ModelSubscription[]
  readonly entry: Entry | undefined
  readonly takers: readonly ModelSubscription[]
}

interface Asked {
  readonly subscription: ModelSubscription
  readonly place: Place
  /** When the gap was met. */
  readonly head: Place
}

/** One cursor on the order, and which channels' messages are given. */
export class ModelConnection implements TriedConnection {
  state: TriedConnection['state'] = 'opening'
  reason: string | undefined
  readonly #host: ConnectionHost
  #transport: Transport
  #isReady = false
  readonly #subscriptions: ModelSubscription[] = []
  /** Of which it is not settled where they start. */
  #unplaced: ModelSubscription[] = []
  /** `undefined` until something may be given. */
  #cursor: Place | undefined
  readonly #brought: Standing | undefined
  /** Whether the client brought an id that nobody knows, and was not told so for all channels. */
  #isUnknown: boolean
  #isUnknownDue = false
  #isSettled = false
  /** The sum of what the handler had subscribed to when it was waited for no longer. */
  #sum: string | undefined
  readonly #timer: NodeJS.Timeout
  readonly #outbox: { readonly after: Place; readonly text: string }[] = []
  #mustTell = false
  #passedBytes = 0
  #asked: Asked | undefined

  constructor(host: ConnectionHost, lastEventId: string | undefined, transport: Transport) {
    this.#host = host
    this.#transport = transport
    const { epoch, head } = host.order
    this.#brought = lastEventId === undefined ? undefined : parseId(epoch, head, lastEventId)
    this.#isUnknown = (lastEventId ?? '') !== '' && this.#brought === undefined
    this.#timer = setTimeout(() => this.#release(), HOLD_MS)
  }

  get epoch(): string {
    return this.#host.order.epoch
  }

  get bufferedBytes(): number {
    const waiting = this.#outbox.reduce((sum, { text }) => sum + Buffer.byteLength(text), 0)
    return waiting + this.#transport.bufferedBytes
  }

  get subscriptions(): readonly ModelSubscription[] {
    return [...this.#subscriptions, ...this.#unplaced].filter(({ active }) => active)
  }

  /** Whether it keeps up, and has not been offered what the channel has at this place. */
  keepsUp(channel: Kept, place: Place): boolean {
    if (!this.#isReady || this.#isHeld) return false
    const offered = this.#asked === undefined ? this.#host.order.offered : (this.#cursor ?? 0)
    return [...this.#subscriptions, ...this.#unplaced].some(
      (own) => own.channel === channel && !own.isCatchingUp && place > offered && place <= own.end
    )
  }

  open(transport: Transport): void {
    this.#transport = transport
    this.#isReady = true
    if (this.state === 'opening') this.state = 'open'
    this.#host.schedule()
  }

  subscribe(name: string, options: TriedSubscribeOptions): TriedSubscription {
    const { order, rules } = this.#host
    const channel = order.channel(name)
    const isFirst = [...this.#subscriptions, ...this.#unplaced].every((other) => other.channel !== channel)
    const isUsedUp = (rules.usedUp && this.#isSettled) || (rules.firstOnly && !isFirst)
    const hasBrought = this.#brought !== undefined || this.#isUnknown
    const resumes = options.resume && !isUsedUp && hasBrought
    const isLazy = options.from === 'oldest' && rules.lazyOldest
    const subscription = new ModelSubscription(this, channel, options, {
      resumes,
      isLate: this.#sum !== undefined,
      start: isLazy ? undefined : this.#startOf(channel, options.from)
    })
    this.#unplaced.push(subscription)
    this.#mustTell = rules.tellsStart
    this.#host.schedule()
    return subscription
  }

  settle(): void {
    this.#release()
    this.#isSettled = true
    this.#mustTell = this.#host.rules.tellsStart
  }

  send({ event, data }: EventMessage): void {
    const { order, rules, maxBufferedBytes } = this.#host
    if (this.state !== 'opening' && this.state !== 'open') return
    if (this.bufferedBytes > maxBufferedBytes) this.flush()
    if (this.bufferedBytes > maxBufferedBytes) {
      this.#evict('slow')
      return
    }
    this.#outbox.push({ after: rules.sendWaits ? order.head : -1, text: textOf(event, data) })
    this.#host.schedule()
  }

  close(): void {
    const { order, rules } = this.#host
    if (this.state !== 'opening' && this.state !== 'open') return
    this.reason = 'server'
    this.state = 'closing'
    this.#outbox.push({ after: rules.closeGives ? order.head : -1, text: textOf(EVENTS.farewell, 'bye') })
    this.#release()
  }

  destroy(): void {
    this.#evict('server')
  }

  beat(): void {}

  transportOnDrain(): void {
    if (this.state === 'closed') return
    this.#isReady = true
    this.flush()
  }

  transportOnClose(): void {
    this.#finish('client')
  }

  subscriptionOnEnd(subscription: ModelSubscription): void {
    subscription.end = this.#host.rules.rest ? subscription.channel.newest : -1
    this.#host.schedule()
  }

  filterOnError(): void {
    if (!this.#host.rules.passesOver) this.#evict('error')
  }

  /** Writes what the transport takes. */
  flush(): void {
    while (this.#isReady && this.#giveNext());
    if (this.state === 'closing' && this.#outbox.length === 0) {
      this.#isReady = false
      this.#transport.end({ reuse: false })
    } else if (this.#isReady) this.#transport.start()
  }

  /** Whether nothing may be given yet, for the handler has not said of all channels that it wants them. */
  get #isHeld(): boolean {
    const { holdsReturning, holdsNew } = this.#host.rules
    if (this.#sum !== undefined || this.#cursor !== undefined) return false
    if (this.#brought !== undefined || this.#isUnknown) return holdsReturning
    return holdsNew && this.#unplaced.some(({ options }) => options.from !== 'now')
  }

  get #sumOfNames(): string {
    return hashOf([...new Set(this.subscriptions.map(({ name }) => name))].sort().join())
  }

  #release(): void {
    clearTimeout(this.#timer)
    this.#sum ??= this.#sumOfNames
    this.#host.schedule()
  }

  /** @returns whether there may be more. */
  #giveNext(): boolean {
    if (this.#isHeld || this.#asked !== undefined) return false
    const [sent] = this.#outbox
    if (sent === undefined && this.state === 'closing') return false
    if (this.#giveOfOrder(Math.min(this.#host.order.head, sent?.after ?? Infinity))) return true
    if (sent === undefined || this.#asked !== undefined) return false
    this.#outbox.shift()
    this.#write(sent.text)
    return true
  }

  #giveOfOrder(limit: Place): boolean {
    this.#place()
    const { gapBeforeIds } = this.#host.rules
    if (this.#cursor === undefined) return false
    if (gapBeforeIds && this.#meetDue()) return true
    const step = this.#next(limit)
    if (step !== undefined) return this.#take(step)
    if (!gapBeforeIds && this.#meetDue()) return true
    if (this.#behind.length > 0) {
      if (limit < this.#cursor) return false
      for (const subscription of this.#behind) subscription.at = undefined
      return true
    }
    this.#cursor = Math.max(this.#cursor, limit)
    if (limit === this.#host.order.head)
      for (const subscription of this.#subscriptions) subscription.isCatchingUp = false
    return this.#mustTell && this.#tellCursor()
  }

  #take({ place, lost: [lost], entry, takers }: Step): boolean {
    if (lost !== undefined) {
      const low = this.#lowOf(lost)
      return this.#meetGap(lost, place, lost.droppedBefore > low ? 'expired' : 'slow')
    }
    const isGiven = entry !== undefined && this.#isGiven(entry, takers)
    this.#moveTo(place)
    if (isGiven) return this.#writeWithId(entry.text)
    this.#passedBytes += entry?.byteLength ?? 0
    if (this.#host.rules.tellsPassed && this.#passedBytes >= PASSED_BYTES) this.#tellCursor()
    return true
  }

  /** Whether one of them wants the message, and nobody has given it. */
  #isGiven(entry: Entry, takers: readonly ModelSubscription[]): boolean {
    const { once } = this.#host.rules
    const wants = takers.filter((taker) => this.#wants(taker, entry))
    const hasBeenGiven = (taker: ModelSubscription): boolean =>
      taker.at !== undefined && this.#subscriptions.some((other) => this.#hasGiven(other, taker, entry))
    return wants.some((taker) => !once || !hasBeenGiven(taker))
  }

  #hasGiven(other: ModelSubscription, { channel }: ModelSubscription, entry: Entry): boolean {
    if (other.channel === channel || !other.covers(entry) || !other.selects(entry)) return false
    return other.at === undefined || other.at >= entry.place
  }

  #wants(subscription: ModelSubscription, entry: Entry): boolean {
    const { latestWithin } = this.#host.rules
    const { channel, end } = subscription
    if (!subscription.selects(entry)) return false
    if (channel.options.slow !== 'latest' || !subscription.isCatchingUp) return true
    const isNewer = ({ place, key }: Entry): boolean => place > entry.place && key === entry.key
    const isComing = (newer: Entry): boolean => newer.place <= end && subscription.selects(newer)
    return !channel.entries.some((newer) => isNewer(newer) && (!latestWithin || isComing(newer)))
  }

  get #behind(): readonly ModelSubscription[] {
    return this.#subscriptions.filter(({ at }) => at !== undefined)
  }

  #lowOf({ at, start = 0 }: ModelSubscription): Place {
    return Math.max(at ?? this.#cursor ?? 0, start)
  }

  /** What comes next: those that are behind are caught up with first. */
  #next(limit: Place): Step | undefined {
    const behind = this.#behind
    const upTo = behind.length > 0 ? Math.min(this.#cursor ?? 0, limit) : limit
    const coming = (behind.length > 0 ? behind : this.#subscriptions)
      .map((subscription) => ({ subscription, ...this.#comingTo(subscription, upTo) }))
      .filter(({ place, subscription }) => place <= Math.min(upTo, subscription.end))
    const place = Math.min(...coming.map((item) => item.place))
    const here = coming.filter((item) => item.place === place)
    if (here.length === 0) return undefined
    return {
      place,
      lost: here.filter(({ entry }) => entry === undefined).map(({ subscription }) => subscription),
      entry: here.find(({ entry }) => entry !== undefined)?.entry,
      takers: here.filter(({ entry }) => entry !== undefined).map(({ subscription }) => subscription)
    }
  }

  /** A gap, which has no entry, is told at `upTo` at the latest: what was lost may be what something that was sent waits for. */
  #comingTo(subscription: ModelSubscription, upTo: Place): { place: Place; entry?: Entry | undefined } {
    const { channel, end } = subscription
    const low = this.#lowOf(subscription)
    const isLost = channel.dropped > low && low < Math.min(end, upTo)
    if (isLost) return { place: this.#host.rules.gapInOrder ? Math.min(channel.dropped, end, upTo) : low }
    const entry = channel.entries.find(({ place }) => place > low)
    return { place: entry?.place ?? Infinity, entry }
  }

  #moveTo(place: Place): void {
    const behind = this.#behind
    if (behind.length === 0) this.#cursor = Math.max(this.#cursor ?? 0, place)
    for (const subscription of behind) this.#catchUp(subscription, place)
  }

  #catchUp(subscription: ModelSubscription, place: Place): void {
    const { at = Infinity } = subscription
    subscription.at = Math.max(at, place) < (this.#cursor ?? 0) ? Math.max(at, place) : undefined
  }

  #startOf(channel: Kept, from: TriedSubscribeOptions['from']): Place {
    const { epoch, head } = this.#host.order
    if (from === 'now') return head
    return from === 'oldest' ? channel.dropped : (parseId(epoch, head, String(from))?.cursor ?? head)
  }

  /** Settles where subscriptions start that were made since. */
  #place(): void {
    if (this.#unplaced.length === 0) return
    const { rules } = this.#host
    const brought = this.#brought
    const fresh = this.#unplaced
    this.#unplaced = []
    const isUnknown = this.#isUnknown && rules.unknown
    const isOnlyForAll = ({ resumes, channel }: ModelSubscription): boolean =>
      resumes && channel.options.onGap === undefined
    // One event for all tells those, too, who are still to come.
    if (isUnknown && (!this.#isSettled || fresh.some(isOnlyForAll))) this.#isUnknownDue = true
    for (const subscription of fresh) {
      const { channel, options, resumes, name } = subscription
      if (resumes && brought !== undefined) {
        subscription.start = brought.behind.get(name) ?? brought.cursor
        if (this.#isUncertain(subscription, brought)) subscription.due = 'uncertain'
      }
      subscription.start ??= this.#startOf(channel, options.from)
      if (resumes && isUnknown && channel.options.onGap !== undefined) subscription.due = 'unknown'
      this.#subscriptions.push(subscription)
    }
    this.#cursor ??= brought?.cursor ?? Math.min(...fresh.map(({ start = 0 }) => start))
    for (const subscription of fresh) {
      const { start = 0 } = subscription
      if (rules.catchesUp && start < this.#cursor) subscription.at = start
      if (!rules.latestBehind && brought === undefined) subscription.isCatchingUp = false
    }
  }

  /** Whether the channel had a message of which it is not known whether it was given. */
  #isUncertain({ channel, name, isLate }: ModelSubscription, brought: Standing): boolean {
    const { uncertainSince: since, cursor, sum } = brought
    if (since === undefined || brought.behind.has(name) || channel.dropped > cursor) return false
    if (this.#host.rules.sum && !isLate && sum !== undefined && sum === this.#sum) return false
    const isBetween = (place: Place): boolean => place > since && place <= cursor
    return isBetween(channel.dropped) || channel.entries.some(({ place }) => isBetween(place))
  }

  /** A gap that is told before any id. @returns whether there is one. */
  #meetDue(): boolean {
    const subscription = this.#subscriptions.find(({ due }) => due !== undefined)
    if (subscription?.due !== undefined) {
      this.#meetGap(subscription, subscription.at ?? this.#cursor ?? 0, subscription.due)
      return true
    }
    return this.#isUnknownDue && this.#tellUnknown()
  }

  #tellUnknown(): boolean {
    this.#isUnknownDue = false
    this.#isUnknown = false
    this.#host.connectionOnGap(this, undefined, 'unknown')
    return this.#writeWithId(textOf(EVENTS.gap, { reason: 'unknown' }))
  }

  #meetGap(subscription: ModelSubscription, place: Place, reason: string): boolean {
    const { name, options } = subscription.channel
    if (reason === 'slow' && options.slow === 'disconnect') {
      this.#evict('slow')
      return false
    }
    const gap = { channel: name, reason }
    this.#asked = { subscription, place, head: this.#host.order.head }
    this.#host.connectionOnGap(this, name, reason)
    try {
      const answer = options.onGap?.(gap) ?? [{ event: EVENTS.gap, data: gap }]
      if (answer instanceof Promise) void this.#waitFor(answer, gap)
      else this.#tellGap(answer)
    } catch {
      this.#tellGap([{ event: EVENTS.gap, data: gap }])
    }
    return true
  }

  async #waitFor(answer: Promise<EventMessage[]>, gap: object): Promise<void> {
    const messages = await answer.catch(() => [{ event: EVENTS.gap, data: gap }])
    if (this.state === 'closed') return
    this.#tellGap(messages)
    this.flush()
    this.#host.schedule()
  }

  #tellGap(messages: readonly EventMessage[]): void {
    if (this.#asked === undefined) return
    const { rules } = this.#host
    const { subscription, place, head } = this.#asked
    const { channel, due, start = 0 } = subscription
    const isDue = due !== undefined
    this.#asked = undefined
    subscription.due = undefined
    if (due !== 'unknown') {
      const droppedMeanwhile = rules.askedIsPart ? Math.min(channel.dropped, head) : 0
      const next = channel.options.afterGap === 'now' ? head : droppedMeanwhile
      subscription.start = Math.max(start, next, isDue ? 0 : place)
      this.#catchUp(subscription, subscription.start)
    }
    // An id tells of all that the client is subscribed to.
    const isLast = this.#unplaced.length === 0 && (isDue ? this.#isLastDue : this.#isLastAt(place))
    if (isLast && !isDue) this.#moveTo(place)
    const texts = messages.map(({ event, data }) => textOf(event, data))
    const last = texts.pop() ?? ''
    const hasId = isLast || !rules.lastHasId
    if (hasId) this.#noteTold()
    const id = hasId ? this.#idLine(Math.max(this.#cursor ?? 0, isDue ? 0 : place)) : ''
    this.#write(`${texts.join('')}${id}${last}`)
  }

  get #isLastDue(): boolean {
    return !this.#isUnknownDue && this.#subscriptions.every(({ due }) => due === undefined)
  }

  #isLastAt(place: Place): boolean {
    const step = this.#next(place)
    if (step === undefined || step.place > place) return true
    const { lost, entry, takers } = step
    return lost.length === 0 && !(entry !== undefined && this.#isGiven(entry, takers))
  }

  #tellCursor(): boolean {
    return this.#writeWithId(textOf(EVENTS.cursor, {}))
  }

  #writeWithId(text: string): boolean {
    this.#noteTold()
    this.#write(this.#idLine(this.#cursor) + text)
    return true
  }

  #noteTold(): void {
    this.#mustTell = false
    this.#passedBytes = 0
  }

  #idLine(cursor: Place = 0): string {
    const { rules } = this.#host
    const isOpenSet = rules.uncertain && !this.#isSettled
    const brought = isOpenSet ? this.#brought : undefined
    const own = new Set(this.#subscriptions.map(({ name }) => name))
    const behind = new Map([...(brought?.behind ?? [])].filter(([name]) => !own.has(name)))
    for (const { name, at = 0 } of rules.names ? this.#behind : [])
      behind.set(name, Math.min(at, behind.get(name) ?? Infinity))
    const isVague = behind.size > rules.maxNames
    const unsure = isVague ? [...behind.values()] : []
    if (brought !== undefined) unsure.push(brought.cursor, brought.uncertainSince ?? Infinity)
    const uncertainSince = unsure.length === 0 ? undefined : Math.min(...unsure)
    const sum = brought === undefined || isVague ? undefined : this.#sumOfNames
    const standing = { cursor, behind: isVague ? new Map() : behind, uncertainSince, sum }
    return `id: ${formatId(this.epoch, standing)}\n`
  }

  #write(text: string): void {
    if (this.state === 'closed') return
    this.#isReady = this.#transport.write(Buffer.from(text))
    if (this.#isReady) return
    for (const subscription of this.#subscriptions) subscription.isCatchingUp = true
  }

  #evict(reason: string): void {
    if (this.state === 'closed') return
    this.#finish(reason)
    this.#transport.destroy()
  }

  #finish(reason: string): void {
    if (this.state === 'closed') return
    clearTimeout(this.#timer)
    this.reason ??= reason
    this.state = 'closed'
    this.#isReady = false
    this.#outbox.length = 0
    this.#host.connectionOnClose(this)
  }
}
