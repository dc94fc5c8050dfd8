import { excerptOf } from '../channel-check.ts'
import { groupBy } from '../group-by.ts'
import { judge } from '../judge.ts'
import type { ConnectionLog, Moment, Published, RunLog } from '../run-log.ts'
import type { Violation, ViolationKind } from '../violation.ts'
import type { Life, NameLog, Outage, RunMessage, RunsLog, StopLog } from './runs-log.ts'

/** Clocks of those who saw the same differ by what lies between them. */
const SKEW_MS = 1_000

/**
 * Judges runs by what was written down of them: a name has one source at a time, which is called once, and whose messages
 * are all there, in order; each run ends once, for a reason, in time; everybody is told the same end; and each reader is given
 * all of it, as of any channel.
 *
 * @returns nothing of runs without violations.
 */
export function judgeRuns(log: RunsLog): readonly Violation[] {
  const leftovers: RunLog = { ...EMPTY, leftovers: log.leftovers }
  return [...log.names.flatMap((name) => new NameCheck(log, name).check()), ...judge(leftovers)]
}

/** One name, with the runs that it had one after another. */
class NameCheck {
  readonly #log: RunsLog
  readonly #name: NameLog
  readonly #violations: Violation[] = []

  constructor(log: RunsLog, name: NameLog) {
    this.#log = log
    this.#name = name
  }

  check(): readonly Violation[] {
    for (const [i, life] of this.#name.lives.entries()) this.#checkLife(life, i)
    this.#checkSources()
    this.#checkStops()
    this.#checkWords()
    return [...this.#violations, ...judge(channelLogOf(this.#name))]
  }

  #checkLife(life: Life, index: number): void {
    const { begunAt, messages } = life
    this.#checkNumbers(messages.filter(({ end }) => end === undefined))
    const ends = messages.filter(({ end }) => end !== undefined)
    const [end] = ends
    if (end === undefined) this.#violate('end', `run ${index} did not end`)
    if (ends.length > 1) this.#violate('end', `run ${index} ended ${ends.length} times`, ends[1]?.at)
    if (end !== undefined) {
      if (messages.at(-1)?.end === undefined)
        this.#violate('end', `run ${index} went on after its end`, end.at)
      this.#checkEnd(life, end)
    }
    const before = this.#name.lives[index - 1]
    if (before !== undefined && !this.#mayFollow(before, begunAt))
      this.#violate('owner', `run ${index} began, although the one before it was not to begin again`, begunAt)
  }

  #checkNumbers(messages: readonly RunMessage[]): void {
    for (const [i, message] of messages.entries()) {
      if (message.number === i) continue
      const kind = message.number > i ? 'loss' : 'duplicate'
      this.#violate(kind, `${excerptOf(message)} is message ${i} of its run`, message.at)
      return
    }
  }

  #checkEnd(life: Life, { end, number, at }: RunMessage): void {
    const count = life.messages.filter((message) => message.end === undefined).length
    const isWhole = end?.state === 'done' || end?.state === 'failed'
    if (isWhole && number !== count)
      this.#violate('loss', `of ${number} messages of its source a run had ${count}`, at)
    const isAsked = this.#name.stops.some(({ reason, askedAt }) => reason === end?.reason && askedAt <= at)
    if (end?.state === 'stopped' && !isAsked && end.reason !== 'shutdown')
      this.#violate('end', `it was stopped for ${end.reason}, which nobody had asked for`, at)
    if (end?.state === 'lost') this.#checkLost(life, at)
  }

  #checkLost(life: Life, at: Moment): void {
    const { leaseMs, lateMs } = this.#log
    if (lateMs === Infinity) return
    const outage = this.#outagesOf(life).findLast(({ from, to }) => from <= at && to >= life.begunAt)
    if (outage === undefined) {
      this.#violate('end', 'it was lost, although its server was there', at)
      return
    }
    const ms = at - Math.max(outage.from, life.begunAt)
    if (ms > leaseMs + lateMs) this.#violate('end', `it was told to be lost after ${Math.round(ms)} ms`, at)
  }

  #mayFollow({ messages }: Life, begunAt: Moment): boolean {
    const { state, reason } = messages.find(({ end }) => end !== undefined)?.end ?? {}
    const isUnfinished =
      state === 'failed' || state === 'lost' || (state === 'stopped' && reason === 'shutdown')
    return isUnfinished && this.#name.starts.some(({ restart, at }) => restart && at <= begunAt)
  }

  /** A run has one source, a source has one run, and no source is called for nothing. */
  #checkSources(): void {
    const { lives, calls } = this.#name
    const seen = new Set<string>()
    for (const [i, { messages }] of lives.entries()) {
      const sources = new Set(messages.map(({ source }) => source))
      if (sources.size > 1) this.#violate('owner', `run ${i} has messages of ${sources.size} sources`)
      for (const source of sources) {
        if (seen.has(source)) this.#violate('owner', `${source} has messages in several runs`)
        seen.add(source)
      }
    }
    const called = new Set(calls.map(({ source }) => source))
    if (called.size < calls.length) this.#violate('owner', 'a source was called twice')
    if (calls.length > lives.length)
      this.#violate('owner', `${calls.length} sources were called for ${lives.length} runs`)
  }

  #checkStops(): void {
    for (const stop of this.#name.stops) {
      const { toldAt } = stop
      const life = this.#name.lives.findLast(({ begunAt }) => begunAt <= stop.askedAt)
      const end = life?.messages.find((message) => message.end !== undefined)
      if (life === undefined || toldAt === undefined) continue
      const endedAt = end?.at ?? Infinity
      const dueAt = toldAt + this.#log.lateMs
      const isDisturbed = this.#outagesOf(life).some(({ from, to }) => from <= dueAt && to >= stop.askedAt)
      if (endedAt > dueAt && !isDisturbed)
        this.#violate(
          'end',
          `it went on for ${Math.round(endedAt - toldAt)} ms after ${nameOf(stop)}`,
          toldAt
        )
    }
  }

  /** All say the same, and each says it once. */
  #checkWords(): void {
    const { answers, told, lives } = this.#name
    const ends = lives.flatMap(({ messages }) =>
      messages.map(({ end }) => end).filter((end) => end !== undefined)
    )
    const last = ends.at(-1)
    for (const { server, state, reason } of answers) {
      if (state !== last?.state || reason !== last?.reason)
        this.#violate('end', `${server} says ${state}, ${reason}, and it is ${last?.state}, ${last?.reason}`)
    }
    for (const [server, words] of groupBy(told, (word) => word.server)) {
      if (words.length > lives.length)
        this.#violate('end', `${server} told ${words.length} ends of ${lives.length} runs`)
      for (const { state } of words) {
        if (!ends.some((end) => end.state === state))
          this.#violate('end', `${server} told that it was ${state}, which it was not`)
      }
    }
  }

  /** Of the server that had its source. */
  #outagesOf({ messages }: Life): readonly Outage[] {
    const source = messages[0]?.source
    const call = this.#name.calls.find((one) => one.source === source)
    return this.#log.outages.filter(({ server }) => call === undefined || server === call.server)
  }

  #violate(kind: ViolationKind, text: string, at?: Moment): void {
    this.#violations.push({ kind, text: `${this.#name.name}: ${text}`, ...(at !== undefined && { at }) })
  }
}

function nameOf({ reason }: StopLog): string {
  return `the stop ${reason}`
}

const EMPTY: RunLog = {
  channels: [],
  messages: [],
  clients: [],
  retention: { keepsUnoffered: false, mayHaveDropped: () => false },
  isExact: false,
  isShared: true,
  samples: [],
  leftovers: {}
}

/** Stands where a run begins, and is given to nobody. */
const BEGIN = 'begin'

/**
 * The name as a channel, of which its store forgets everything when a run begins. Whoever has anything of the one before is
 * told a gap there, be it the whole.
 */
function channelLogOf({ channel, lives, readers }: NameLog): RunLog {
  const cameAt = new Map<string, Moment>()
  for (const { at, data } of readers.flat().flatMap(({ received }) => received))
    cameAt.set(data, Math.min(at, cameAt.get(data) ?? Infinity))
  const forgottenAt = new Map<string, Moment>()
  const messages: Published[] = []
  const add = (event: string, data: string, at: Moment, goneAt: Moment): void => {
    forgottenAt.set(data, goneAt)
    const sentAt = Math.max(at, messages.at(-1)?.sentAt ?? 0)
    const id = String(messages.length)
    messages.push({
      channels: [channel],
      id,
      event,
      data,
      key: '',
      byteLength: 0,
      sentAt,
      acknowledgedAt: undefined
    })
  }
  for (const [i, life] of lives.entries()) {
    if (i > 0) add(BEGIN, `${BEGIN} ${i}`, life.begunAt - SKEW_MS, 0)
    const goneAt = (lives[i + 1]?.begunAt ?? Infinity) - SKEW_MS
    for (const { data, at, end } of life.messages)
      add(end === undefined ? 'token' : 'end', data, Math.min(at, cameAt.get(data) ?? Infinity), goneAt)
  }
  return {
    ...EMPTY,
    channels: [{ name: channel, slow: 'gap', afterGap: 'oldest', forgottenAt: [] }],
    messages,
    clients: readers.map((connections) => connections.map(withoutBegin)),
    retention: {
      keepsUnoffered: false,
      mayHaveDropped: (_, { data }, by) => (forgottenAt.get(data) ?? Infinity) <= by
    }
  }
}

function withoutBegin(log: ConnectionLog): ConnectionLog {
  const filter = ({ event }: Published): boolean => event !== BEGIN
  return { ...log, subscriptions: log.subscriptions.map((subscription) => ({ ...subscription, filter })) }
}
