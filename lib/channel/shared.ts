import type { FastifyBaseLogger } from 'fastify'
import { invalid } from '../base/check.ts'
import type { Counters } from '../base/counters.ts'
import { errorOf, FST_ERR_EVENTSTREAM_INVALID_MESSAGE } from '../base/errors.ts'
import type { Flush } from '../connection/flush.ts'
import type { History } from '../history/history.ts'
import { RecentMessages } from '../wire/received-message.ts'
import { Rounds } from './rounds.ts'
import { SharedBatches } from './shared-batches.ts'

/** What all channels and connections of one registration share. */
export class Shared {
  readonly history: History
  readonly rounds: Rounds
  readonly batches: SharedBatches = new SharedBatches()
  readonly messages: RecentMessages = new RecentMessages()
  readonly reserved: ReservedEvents = new ReservedEvents()
  readonly counters: Counters
  readonly log: FastifyBaseLogger
  /** The event of gaps that are no channel's. */
  readonly gapEvent: string

  constructor(history: History, flush: Flush, counters: Counters, log: FastifyBaseLogger, gapEvent: string) {
    this.history = history
    this.rounds = new Rounds(history, (work) => flush.schedule(work))
    this.counters = counters
    this.log = log
    this.gapEvent = gapEvent
    this.reserved.addGap(gapEvent)
  }
}

/** The events by which clients of a registration are told gaps and cursors: nothing else may have their names. */
export class ReservedEvents {
  readonly #gaps = new Set<string>()
  readonly #cursors = new Set<string>()
  /** Of heartbeats and farewells: messages may have them, too. */
  readonly #others = new Set<string>()

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for one that tells something else. */
  addGap(event: string): void {
    if (this.#cursors.has(event) || this.#others.has(event)) {
      throw invalid(
        'gapEvent',
        'another event than cursorEvent, heartbeatEvent and that of the farewell',
        event
      )
    }
    this.#gaps.add(event)
  }

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for one that tells gaps. */
  addCursor(event: string | false): void {
    if (event === false) return
    if (this.#gaps.has(event)) throw invalid('cursorEvent', 'another event than gapEvent', event)
    this.#cursors.add(event)
  }

  /** @throws FST_ERR_EVENTSTREAM_INVALID_OPTION for one that tells gaps or cursors. */
  addOther(option: string, event: string): void {
    if (this.has(event)) throw invalid(option, 'another event than gapEvent and cursorEvent', event)
    this.#others.add(event)
  }

  has(event: string | undefined): boolean {
    return event !== undefined && (this.#gaps.has(event) || this.#cursors.has(event))
  }

  /**
   * @param but the one that a message may have.
   * @throws FST_ERR_EVENTSTREAM_INVALID_MESSAGE for a message that clients could not tell from what the plugin says.
   */
  assertFree(message: unknown, but?: string): void {
    const event: string | undefined =
      typeof message === 'object' && message !== null ? Reflect.get(message, 'event') : undefined
    if (event === but || !this.has(event)) return
    const rule = 'none of the events by which gaps and cursors are told'
    throw errorOf(FST_ERR_EVENTSTREAM_INVALID_MESSAGE, ['message.event', rule, event])
  }
}
