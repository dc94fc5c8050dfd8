import type { Place } from '../history/place.ts'
import { type Batch, idBatch, PIECE_BYTES } from '../wire/batch.ts'
import { ALL, formatId, MAX_EXCEPTIONS } from './last-event-id.ts'
import type { LiveSubscription } from './live-subscription.ts'
import type { Resumption } from './resumption.ts'
import type { Round } from './rounds.ts'
import type { Shared } from './shared.ts'
import { SubscriptionList } from './subscription-list.ts'

/** Where a connection stands in the history and in the round that is being taken, and where its client was told that it does. */
export class Position {
  /** What is at or before this place was given. */
  place: Place = 0
  /** Whether something was given. */
  hasBegun = false
  /** As long as it counts what the client brought. */
  resumption: Resumption | undefined
  readonly shared: Shared
  protected readonly all: SubscriptionList = new SubscriptionList()
  /** What the client is to be told a place for that is not older. */
  #untold: Place | undefined
  /** The newest that the client was told. */
  #told: Place = 0
  /** Bytes of messages that filters have passed over since the client was told a place. */
  #passedBytes = 0
  #round: Round | undefined
  /** Whether the application lets it wait. */
  #isWaiting = false

  constructor(shared: Shared) {
    this.shared = shared
  }

  /** The client is to be told a place that is not older. */
  wish(place: Place): void {
    this.#untold = place
  }

  /** Nobody will know any more what the client was told. @returns whether it is to be told a newer place. */
  wishIfStale(): boolean {
    if (!this.shared.history.isStale(this.#told)) return false
    this.#untold ??= this.#told
    return true
  }

  /** What the client is to be told a place for, if that can be told. */
  get wished(): Place | undefined {
    return this.shared.history.isOpen ? this.#untold : undefined
  }

  /** A subscription begins: the first ones determine the place. @param brought where the client said it stands. */
  meetStart(start: Place, brought: Place | undefined): void {
    if (this.hasBegun) return
    // `notBefore` may be in the future, where no cursor is.
    if (this.all.isEmpty) this.place = brought ?? Math.min(start, this.shared.history.head)
    else if (brought === undefined) this.place = Math.min(this.place, start)
  }

  moveTo(place: Place): void {
    this.place = Math.max(this.place, place)
  }

  /** A filter has passed over so many bytes. */
  pass(byteLength: number): void {
    this.#passedBytes += byteLength
  }

  get hasPassed(): boolean {
    return this.#passedBytes > 0
  }

  /** Whether filters have passed over so much that the client is told where it stands. */
  get hasPassedMuch(): boolean {
    return this.#passedBytes >= PIECE_BYTES
  }

  /** The client is told a place. */
  note(place: Place): void {
    this.hasBegun = true
    this.#told = place
    this.#passedBytes = 0
    if (this.#untold !== undefined && place >= this.#untold) this.#untold = undefined
    this.all.endOldest()
  }

  /** Tells the client where it stands. */
  tell(event: string | false): Batch {
    const { id } = this
    this.note(this.place)
    return idBatch(id, event)
  }

  get id(): string {
    return this.idOf(this.shared.history.cursorAt(this.place))
  }

  /** What says where the client stands in all its channels. @param cursor the connection's place. */
  idOf(cursor: string): string {
    const exceptions = exceptionsOf(this.all.behind(this.place))
    if (this.resumption === undefined && exceptions === undefined) return cursor
    const names = (): string[] => this.all.active.map(({ channel }) => channel.name)
    const unused = this.resumption?.unusedExceptions(names) ?? []
    return formatId(
      cursor,
      new Map([...unused, ...(exceptions ?? [])]),
      this.resumption?.uncertaintyWith(names)
    )
  }

  /** @returns whether it was in no round. */
  protected joinRound(round: Round): boolean {
    if (this.#round !== undefined) return false
    this.#round = round
    round.pending++
    return true
  }

  /** All of it was taken that can be for now. */
  protected leaveRound(): undefined {
    const round = this.#round
    if (round === undefined) return
    this.#round = undefined
    this.shared.rounds.leave(round, this.#isWaiting)
    this.#isWaiting = false
  }

  /** What is to come is held until the application has answered, but no publisher waits for that. */
  protected waitInRound(): 'held' {
    if (this.#round === undefined || this.#isWaiting) return 'held'
    this.#isWaiting = true
    this.shared.rounds.wait(this.#round)
    return 'held'
  }

  protected goOnInRound(): void {
    if (!this.#isWaiting || this.#round === undefined) return
    this.#isWaiting = false
    this.shared.rounds.goOn(this.#round)
  }
}

/** Where those stand that have not caught up with their connection's place. */
function exceptionsOf(behind: readonly LiveSubscription[]): Map<string, Place> | undefined {
  if (behind.length === 0) return undefined
  if (behind.length > MAX_EXCEPTIONS)
    return new Map([[ALL, behind.reduce((lowest, { standsAt }) => Math.min(lowest, standsAt), Infinity)]])
  const exceptions = new Map<string, Place>()
  for (const { standsAt, channel } of behind) {
    const { hash } = channel
    exceptions.set(hash, Math.min(standsAt, exceptions.get(hash) ?? standsAt))
  }
  return exceptions
}
