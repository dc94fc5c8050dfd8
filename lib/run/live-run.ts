import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { monotonicMs } from '../base/monotonic-ms.ts'
import { Deferred, nextTurn } from '../base/promises.ts'
import type { Publishable } from '../channel/channel.ts'
import type { Channels, KeyedFrame } from '../channel/channels.ts'
import type { LiveChannel } from '../channel/live-channel.ts'
import { isResponse, type Sink, sendFrom } from '../connection/source.ts'
import { END_TEXT } from '../history/entry.ts'
import { type Place, timeOfCursor } from '../history/place.ts'
import type { RunEnd, RunEndState, RunSource } from './run.ts'
import { ABANDONED, type EndedRun, formatEnd } from './run-end.ts'
import type { GivenRunOptions } from './run-options.ts'

/** What a run needs of those of its server. */
export interface LiveRunHost {
  readonly channels: Channels
  readonly log: FastifyBaseLogger
  readonly maxMessageBytes: number
  /** How the run of a channel has ended, if it has. */
  endOf(channel: LiveChannel): Promise<EndedRun | undefined>
  /** It goes on no more, which nobody has been told. */
  runOnEnding(run: LiveRun): void
  runOnEnd(run: LiveRun, end: EndedRun, error: unknown): void
}

/** How long after a failure the end is told again. */
const RETRY_MS = 500

/** A run whose source is here. */
export class LiveRun implements Sink {
  readonly name: string
  readonly channel: LiveChannel
  /** After which its first message is. */
  readonly begin: Place
  readonly token: string
  readonly startedMs: number = monotonicMs()
  readonly options: GivenRunOptions
  readonly #host: LiveRunHost
  readonly #controller = new AbortController()
  readonly #ended = new Deferred<RunEndState>()
  readonly #writer = new RunWriter((frames) => this.#append(frames))
  #wantedAt = this.startedMs
  #end: EndedRun | undefined
  /** Ids of a response that is relayed are those of another history. */
  #hasForeignIds = false
  /** The place of the newest message that was appended. */
  #last: Place
  /** Why it is not known whether all that it has written so far was appended. */
  #hole: unknown

  constructor(
    host: LiveRunHost,
    name: string,
    channel: LiveChannel,
    begin: Place,
    token: string,
    options: GivenRunOptions
  ) {
    this.#host = host
    this.name = name
    this.channel = channel
    this.begin = begin
    this.#last = begin
    this.token = token
    this.options = options
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  get maxMessageBytes(): number {
    return this.#host.maxMessageBytes
  }

  get ended(): Promise<RunEndState> {
    return this.#ended.promise
  }

  /** Whether it has been decided how it ends, which others may not have been told. */
  get isEnding(): boolean {
    return this.#end !== undefined
  }

  /** Resolves when it has ended. */
  async run(source: RunSource<unknown>): Promise<void> {
    const { map } = this.options
    try {
      const given = await source({ signal: this.signal })
      this.#hasForeignIds = map === undefined && isResponse(given)
      await sendFrom(given, map, this, () => {})
      await this.#finish('done', undefined)
    } catch (error) {
      await this.#finish('failed', undefined, error)
    }
  }

  async send(message: unknown): Promise<boolean> {
    const given = this.#hasForeignIds ? { ...(message as object), id: undefined } : message
    const frame = this.#host.channels.frameOf(this.channel, given as Publishable)
    if (!this.signal.aborted) await this.#writer.write(frame)
    return !this.signal.aborted
  }

  sourceOnStopError(err: unknown): void {
    this.#host.log.warn({ err, run: this.name }, 'the source of a run failed to stop')
  }

  stop(reason: string | undefined): void {
    void this.#finish('stopped', reason)
  }

  /** Somebody else has its lease, or nobody. */
  lose(): void {
    void this.#finish('lost', undefined)
  }

  /** Whether somebody has it now. */
  noteWanted(isWanted: boolean): void {
    const now = monotonicMs()
    if (isWanted) this.#wantedAt = now
    if (now - this.#wantedAt >= (this.options.abandonMs ?? Infinity)) this.stop(ABANDONED)
  }

  async #append(frames: readonly KeyedFrame[]): Promise<void> {
    if (this.#hole !== undefined || this.#end?.state === 'lost') return
    try {
      const { isEnded, cursors } = await this.#host.channels.append(this.channel, frames, {
        isEnd: false,
        token: this.token,
        after: this.#last
      })
      if (isEnded) this.lose()
      else this.#last = timeOfCursor(cursors.at(-1) ?? '') ?? this.#last
    } catch (error) {
      this.#hole = error
      void this.#finish('failed', undefined, error)
    }
  }

  async #finish(state: RunEndState, reason: string | undefined, error?: unknown): Promise<void> {
    if (this.#end !== undefined) return
    const end: EndedRun = { state, begin: this.begin, reason }
    this.#end = end
    this.#host.runOnEnding(this)
    if (state !== 'done') this.#abort(end)
    const waiting = await this.#writer.close()
    const isWhole = this.#hole === undefined
    const known: EndedRun = state === 'done' && !isWhole ? { ...end, state: 'failed' } : end
    const why = known === end ? error : this.#hole
    const told = await this.#tell(known, state === 'lost' || !isWhole ? [] : waiting, why, this.token)
    this.#host.runOnEnd(this, told, why)
    this.#ended.resolve(told.state)
  }

  #abort({ state, reason = state }: EndedRun): void {
    const error = new DOMException('The run has ended', 'AbortError')
    this.#controller.abort(Object.assign(error, { reason }))
  }

  /**
   * Publishes the end, after what waits. Of a lost one it does so only if nobody else will.
   *
   * @param token `undefined`: nobody may have a lease on the channel any more.
   * @returns how it was told.
   */
  async #tell(
    end: EndedRun,
    waiting: readonly KeyedFrame[],
    error: unknown,
    token: string | undefined
  ): Promise<EndedRun> {
    const { channels, log } = this.#host
    const frames = [...waiting, endFrame(channels, this.channel, end, this.options.end, error, log)]
    const isLost = end.state === 'lost'
    const after = isLost || this.#hole !== undefined ? undefined : this.#last
    const lost: EndedRun = { ...end, state: 'lost', reason: undefined }
    while (!channels.shared.history.closing.aborted) {
      try {
        const { isEnded } = await channels.append(this.channel, frames, { isEnd: true, token, after })
        if (!isEnded) return end
        const found = await this.#host.endOf(this.channel)
        if (found?.begin === this.begin) return found
        if (token === undefined) return lost
        return await this.#tell(lost, [], undefined, isLost ? undefined : token)
      } catch {
        await delay(RETRY_MS, undefined, { ref: false })
      }
    }
    return lost
  }
}

/** The last message of a run. */
export function endFrame(
  channels: Channels,
  channel: LiveChannel,
  end: EndedRun,
  make: RunEnd | undefined = defaultEnd,
  error: unknown,
  log: FastifyBaseLogger
): KeyedFrame {
  const key = formatEnd(end)
  try {
    const message = make(end.state, error, end.reason)
    if (message !== undefined) return { ...channels.frameOf(channel, message as Publishable), key }
  } catch (err) {
    log.error({ err, channel: channel.name }, 'the end of a run could not be made')
  }
  return { text: END_TEXT, byteLength: END_TEXT.length, key }
}

function defaultEnd(state: RunEndState): { event: string; data: unknown } {
  return { event: 'end', data: { state } }
}

/** How many bytes wait for those that are being written. */
const MAX_WAITING_BYTES = 65_536

/** Appends a run's messages: what comes in one turn, or while others are on their way, in one step. */
class RunWriter {
  readonly #append: (frames: readonly KeyedFrame[]) => Promise<unknown>
  #waiting: KeyedFrame[] = []
  #bytes = 0
  #writing: Promise<void> | undefined

  /** @param append does not reject. */
  constructor(append: (frames: readonly KeyedFrame[]) => Promise<unknown>) {
    this.#append = append
  }

  /** Resolves when more may be written. */
  async write(frame: KeyedFrame): Promise<void> {
    this.#waiting.push(frame)
    this.#bytes += frame.byteLength
    this.#writing ??= this.#writeAll()
    if (this.#bytes >= MAX_WAITING_BYTES) await this.#writing
  }

  /** Writes no more. @returns what has not been begun to be written, when the rest is. */
  async close(): Promise<readonly KeyedFrame[]> {
    const waiting = this.#waiting.splice(0)
    await this.#writing
    return waiting
  }

  async #writeAll(): Promise<void> {
    await nextTurn()
    while (this.#waiting.length > 0) {
      const frames = this.#waiting
      this.#waiting = []
      this.#bytes = 0
      await this.#append(frames)
    }
    this.#writing = undefined
  }
}
