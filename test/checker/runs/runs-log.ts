import type { RunEndState } from '../../../lib/index.ts'
import type { ConnectionLog, Moment } from '../run-log.ts'

// What is written down of runs, and what the judge of runs reads.

/** A message of a run, as the store told it when it had it. */
export interface RunMessage {
  readonly data: string
  readonly at: Moment
  /** The one who made it: each time that a source is asked for, it has another name. */
  readonly source: string
  /** Its number among those of the source; of the end, how many the source had made. */
  readonly number: number
  /** Of the last one. */
  readonly end: EndLog | undefined
}

interface EndLog {
  readonly state: RunEndState
  readonly reason: string | undefined
}

/** What the store had of a name, from one beginning to the next. */
export interface Life {
  readonly begunAt: Moment
  readonly messages: readonly RunMessage[]
}

/** A source was called. */
export interface CallLog {
  readonly source: string
  readonly server: string
}

/** Somebody asked for a start. */
export interface StartLog {
  readonly at: Moment
  readonly restart: boolean
}

export interface StopLog {
  readonly reason: string
  readonly askedAt: Moment
  /** `undefined`: it is not known if it was told. */
  readonly toldAt: Moment | undefined
}

/** What a server said of a run: of `info()` and `ended` when nothing went on any more, and of its own accord. */
export interface Word {
  readonly server: string
  readonly state: string | undefined
  readonly reason: string | undefined
}

/** All that is known of one name. */
export interface NameLog {
  readonly name: string
  /** What readers are told that it is. */
  readonly channel: string
  readonly lives: readonly Life[]
  readonly calls: readonly CallLog[]
  readonly starts: readonly StartLog[]
  readonly stops: readonly StopLog[]
  /** What servers answered at the end. */
  readonly answers: readonly Word[]
  /** What servers told their logs: how a run has ended. */
  readonly told: readonly Word[]
  /** The connections of each reader, in order. */
  readonly readers: readonly (readonly ConnectionLog[])[]
}

/** A server was killed, or stood still. */
export interface Outage {
  readonly server: string
  readonly from: Moment
  readonly to: Moment
}

export interface RunsLog {
  readonly names: readonly NameLog[]
  readonly outages: readonly Outage[]
  readonly leaseMs: number
  /** How much later than it should something may be told. `Infinity`: nothing is said about the speed of the machine. */
  readonly lateMs: number
  /** What was left after the end, by name. */
  readonly leftovers: Readonly<Record<string, number>>
}
