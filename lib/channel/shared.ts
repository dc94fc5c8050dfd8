import type { FastifyBaseLogger } from 'fastify'
import type { Counters } from '../base/counters.ts'
import type { Flush } from '../connection/flush.ts'
import type { History } from '../history/history.ts'
import { RecentMessages } from '../wire/received-message.ts'
import { ReservedEvents } from './reserved-events.ts'
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
