import { AsyncLocalStorage } from 'node:async_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { checkFunction, invalid } from '../base/check.ts'
import { FST_ERR_EVENTSTREAM_CLOSING, FST_ERR_EVENTSTREAM_HISTORY_CLOSED } from '../base/errors.ts'
import { monotonicMs } from '../base/monotonic-ms.ts'
import { Deferred, within } from '../base/promises.ts'
import { type Channels, runNameOf } from '../channel/channels.ts'
import type { LiveChannel } from '../channel/live-channel.ts'
import type { History } from '../history/history.ts'
import { type Place, timeOfPlace } from '../history/place.ts'
import type { StoredMessage, TakenLease } from '../history/store.ts'
import { Beat, newToken } from './beat.ts'
import { endFrame, LiveRun, type LiveRunHost } from './live-run.ts'
import {
  type Run,
  type RunEndState,
  type RunInfo,
  type RunSource,
  type Runs,
  runChannel,
  type StartedRun
} from './run.ts'
import { type EndedRun, isUnfinished, parseEnd, SHUTDOWN } from './run-end.ts'
import { RunHandle } from './run-handle.ts'
import {
  checkedRunOptions,
  checkRunName,
  type GivenRunOptions,
  type ResolvedRunsOptions,
  RunLimit
} from './run-options.ts'
import { type StopNotice, StopNotices } from './stop-notices.ts'

/** What is kept of the time of a drain for the ends of runs that have not ended by themselves. */
const LAST_WORDS = 1 / 10
/** How long after a failure the end of a run is asked for again. */
const RETRY_MS = 500

/** Where a run is that is known. */
interface Found {
  /** After which its first message is. */
  readonly begin: Place
  readonly end: EndedRun | undefined
  readonly endPlace: Place | undefined
}

type EndMessage = Pick<StoredMessage, 'key' | 'place'>

/** The runs of one registration of the plugin. */
export class LiveRuns implements Runs, LiveRunHost {
  readonly channels: Channels
  readonly log: FastifyBaseLogger
  readonly maxMessageBytes: number
  readonly #options: ResolvedRunsOptions
  readonly #history: History
  /** Those whose source is here. */
  readonly #own = new Map<string, LiveRun>()
  /** Names of which it is being found out whether they can be started here. */
  readonly #starting = new Map<string, Promise<unknown>>()
  readonly #limit: RunLimit
  readonly #beat: Beat
  readonly #stops: StopNotices
  /** Runs something outside of all requests. */
  readonly #outside = AsyncLocalStorage.snapshot()
  #isClosing = false

  constructor(channels: Channels, options: ResolvedRunsOptions, maxMessageBytes: number) {
    this.channels = channels
    this.#options = options
    this.maxMessageBytes = maxMessageBytes
    this.#history = channels.shared.history
    this.log = channels.shared.log
    this.#limit = new RunLimit(options)
    this.#beat = new Beat(channels, this.#own, options.leaseMs)
    this.#stops = new StopNotices(channels.ofRun(''), channels, (notice) => void this.#stopOwn(notice))
  }

  /** How many go on here. */
  get size(): number {
    return this.#own.size
  }

  /** Messages may come. */
  ready(): void {
    if (this.#history.leases !== undefined) this.#outside(() => this.#beat.start())
  }

  async start(name: string, source: RunSource<never>, given: GivenRunOptions = {}): Promise<StartedRun> {
    checkRunName(name)
    checkFunction('source', source)
    const options = checkedRunOptions(given)
    this.#assertOpen()
    await this.#history.open()
    while (this.#starting.has(name)) await this.#starting.get(name)
    this.#assertOpen()
    const channel = this.channels.ofRun(name)
    const known = this.#own.get(name)
    if (known?.isEnding === false)
      return { run: new RunHandle(this, name, channel, known.ended), created: false }
    const settled = new Deferred<void>()
    this.#starting.set(name, settled.promise)
    try {
      const run = await this.#create(name, channel, options, source)
      return { run: new RunHandle(this, name, channel, run?.ended), created: run !== undefined }
    } finally {
      this.#starting.delete(name)
      settled.resolve()
    }
  }

  async get(name: string): Promise<Run | undefined> {
    checkRunName(name)
    const channel = this.channels.ofRun(name)
    return (await this.#find(channel)) === undefined ? undefined : new RunHandle(this, name, channel)
  }

  async list(): Promise<readonly Run[]> {
    const leases = await this.#history.leases?.list()
    const channels = new Map<string, LiveChannel>()
    for (const { name, channel } of this.#own.values()) channels.set(name, channel)
    for (const { channel: full, place } of leases ?? []) {
      const name = runNameOf(full)
      const channel = channels.get(name) ?? this.channels.ofRun(name)
      channel.first = place
      channels.set(name, channel)
    }
    return [...channels].map(([name, channel]) => new RunHandle(this, name, channel))
  }

  async stop(name: string, begin: Place, reason: string | undefined): Promise<void> {
    if (reason !== undefined && typeof reason !== 'string') throw invalid('the reason', 'a string', reason)
    const own = this.#own.get(name)
    if (own?.begin === begin) this.#outside(() => own.stop(reason))
    else if (this.#history.leases !== undefined) await this.#stops.tell({ name, begin, reason })
  }

  async info(name: string, channel: LiveChannel): Promise<RunInfo | undefined> {
    const found = await this.#find(channel)
    if (found === undefined) return undefined
    const { begin, end, endPlace } = found
    return {
      name,
      state: end?.state ?? 'running',
      reason: end?.reason,
      startedAt: Math.floor(timeOfPlace(begin)),
      endedAt: endPlace === undefined ? undefined : Math.floor(timeOfPlace(endPlace))
    }
  }

  async ended(name: string, channel: LiveChannel, begin: Place): Promise<RunEndState> {
    const own = this.#own.get(name)
    if (own?.begin === begin) return await own.ended
    const reading = channel.read({ from: 'now' })
    // What comes while it is looked for is read, too.
    let next = reading.next()
    const look = async (): Promise<RunEndState | undefined> => {
      const found = await this.#untilAnswered(() => this.#find(channel))
      return found?.begin === begin ? found.end?.state : 'lost'
    }
    let state = await look()
    for (let key = ''; state === undefined; next = reading.next()) {
      const { done, value } = await next
      if (value?.type === 'message') key = value.key
      else if (!done) state = await look()
      else {
        const end = parseEnd(key)
        state = end?.begin === begin ? end.state : ((await look()) ?? 'lost')
      }
    }
    await reading.return?.()
    return state
  }

  async endOf(channel: LiveChannel): Promise<EndedRun | undefined> {
    return parseEnd((await this.#look(channel)).end?.key ?? '')
  }

  /** Whoever reads a run of which nothing is known any more is told that there is no more. */
  async endIfForgotten(channel: LiveChannel): Promise<void> {
    const { window } = channel
    const { erasures } = window
    const name = runNameOf(channel.name)
    await this.#starting.get(name)
    const own = this.#own.get(name)
    if (own?.isEnding) await own.ended
    const found = await this.#untilAnswered(() => this.#find(channel)).catch(() => null)
    // What begins meanwhile says that what was there is gone.
    const isGone = found === undefined || (found?.endPlace ?? Infinity) <= window.dropped
    if (isGone && window.erasures === erasures) window.conclude()
  }

  runOnEnding({ options }: LiveRun): void {
    this.#limit.delete(options.key)
  }

  runOnEnd(run: LiveRun, { state, reason }: EndedRun, error: unknown): void {
    if (this.#own.get(run.name) === run) this.#own.delete(run.name)
    const { name, startedMs } = run
    this.#tell(name, state, reason, error)
    const eventStream = { run: name, state, reason, durationMs: monotonicMs() - startedMs }
    if (state === 'failed') this.log.error({ err: error, eventStream }, 'run failed')
    else if (state === 'lost') this.log.warn({ eventStream }, 'run lost')
    else this.log.info({ eventStream }, 'run ended')
  }

  /** Starts no more, lets those that go on end, and stops them when the time is nearly over. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isClosing = true
    await this.#idle(timeoutMs * (1 - LAST_WORDS))
    for (const run of this.#own.values()) run.stop(SHUTDOWN)
    await this.#idle(timeoutMs * LAST_WORDS)
  }

  close(): void {
    this.#isClosing = true
    this.#beat.stop()
    for (const run of this.#own.values()) run.lose()
  }

  #assertOpen(): void {
    if (this.#isClosing) throw new FST_ERR_EVENTSTREAM_CLOSING()
  }

  /** @returns the run, if one begins. */
  async #create(
    name: string,
    channel: LiveChannel,
    options: GivenRunOptions,
    source: RunSource<never>
  ): Promise<LiveRun | undefined> {
    const refusal = this.#limit.refusalOf(options.key)
    if (refusal !== undefined) {
      if (mayBegin(await this.#find(channel), options)) throw refusal
      return undefined
    }
    this.#limit.add(options.key)
    const token = newToken()
    const begin = await this.#take(channel, token, options).catch((error: unknown) => {
      this.#limit.delete(options.key)
      throw error
    })
    if (begin === undefined) {
      this.#limit.delete(options.key)
      return undefined
    }
    // Nobody would end it.
    if (this.#history.closing.aborted) throw new FST_ERR_EVENTSTREAM_CLOSING()
    channel.first = begin
    const run = new LiveRun(this, name, channel, begin, token, options)
    this.#own.set(name, run)
    if (options.abandonMs !== undefined) this.#outside(() => this.#beat.start())
    this.#tell(name, 'running', undefined, undefined)
    this.log.info({ eventStream: { run: name } }, 'run started')
    this.#outside(() => void run.run(source))
    return run
  }

  /** Makes sure that nobody else has a run of the name. @returns the place after which it begins; `undefined`: there is one. */
  async #take(channel: LiveChannel, token: string, options: GivenRunOptions): Promise<Place | undefined> {
    const { leases } = this.#history
    if (leases === undefined) {
      const found = await this.#find(channel)
      if (!mayBegin(found, options)) return undefined
      return await this.#history.begin(channel.window)
    }
    this.#outside(() => this.#stops.listen())
    const lost: EndedRun = { state: 'lost', begin: 0, reason: undefined }
    const { text } = this.#outside(() =>
      endFrame(this.channels, channel, lost, options.end, undefined, this.log)
    )
    const lease = { token, ms: this.#options.leaseMs, note: text }
    let place = await leases.take(channel.name, lease, undefined)
    if (place === undefined) {
      const found = await this.#find(channel)
      if (!mayBegin(found, options)) return undefined
      place = await leases.take(channel.name, lease, found?.endPlace)
    }
    if (place !== undefined) await this.#history.arrive(channel.window, place)
    // Somebody else was quicker: the run that there is now is another one than was found.
    else await this.#find(channel)
    return place
  }

  /**
   * What is known of the run of a channel, which begins there from now on: what is forgotten with its beginning is so on this
   * server, too. Others may know that one of here has ended before it does.
   */
  async #find(channel: LiveChannel): Promise<Found | undefined> {
    const own = this.#own.get(runNameOf(channel.name))
    const here = own && { begin: own.begin, end: undefined, endPlace: undefined }
    if (own?.isEnding === false) return here
    const { lease, end: message } = await this.#look(channel)
    if (lease !== undefined) {
      await this.#history.arrive(channel.window, lease.place)
      channel.first = lease.place
      return { begin: lease.place, end: undefined, endPlace: undefined }
    }
    const end = message && parseEnd(message.key)
    if (end === undefined) return here
    channel.first = end.begin
    return { begin: end.begin, end, endPlace: message?.place }
  }

  /** The lease and the end of a channel, both of one moment: there is always one of them while a run is started again. */
  async #look(channel: LiveChannel): Promise<{ lease?: TakenLease; end?: EndMessage | undefined }> {
    const { leases } = this.#history
    if (leases !== undefined) return await leases.look(channel.name)
    const { messages, isEnded } = (await this.#history.read(channel.name)) ?? channel.window.all()
    return { end: isEnded ? messages.at(-1) : undefined }
  }

  async #untilAnswered<Answer>(ask: () => Promise<Answer>): Promise<Answer> {
    while (!this.#history.closing.aborted) {
      try {
        return await ask()
      } catch {
        await delay(RETRY_MS, undefined, { ref: false })
      }
    }
    throw new FST_ERR_EVENTSTREAM_HISTORY_CLOSED()
  }

  async #idle(ms: number): Promise<void> {
    const ended = async (): Promise<void> => {
      while (this.#own.size > 0 || this.#starting.size > 0) {
        await Promise.all([...this.#starting.values(), ...[...this.#own.values()].map((run) => run.ended)])
      }
    }
    await within(ms, ended()).catch(() => {})
  }

  /** A run that is being started may be known to others before it is to this server. */
  async #stopOwn({ name, begin, reason }: StopNotice): Promise<void> {
    await this.#starting.get(name)
    const run = this.#own.get(name)
    if (run?.begin === begin) run.stop(reason)
  }

  #tell(run: string, state: RunInfo['state'], reason: string | undefined, error: unknown): void {
    if (runChannel.hasSubscribers) runChannel.publish({ run, state, reason, error })
  }
}

function mayBegin(found: Found | undefined, { restart = false }: GivenRunOptions): boolean {
  return found === undefined || (restart && found.end !== undefined && isUnfinished(found.end))
}
