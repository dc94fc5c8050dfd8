import { createHash, randomBytes } from 'node:crypto'
import { checkBytes, checkCount, checked, checkMs, orFalse } from '../../base/check.ts'
import { FST_ERR_EVENTSTREAM_HISTORY_CLOSED } from '../../base/errors.ts'
import { FrameBudget } from '../frame-budget.ts'
import type { Cursor, History, Log, LogListener } from '../history.ts'
import { MemoryLog, type MemoryLogHost } from './memory-log.ts'

export interface MemoryHistoryOptions {
  /**
   * Messages kept per channel.
   * @defaultValue 1000
   */
  maxMessages?: number
  /**
   * Bytes of the text of messages kept per channel. The newest message is kept whatever its size.
   * @defaultValue 1048576
   */
  maxBytes?: number
  /**
   * Milliseconds for which a message is kept. `false` sets no limit.
   * @defaultValue 300000
   */
  maxAgeMs?: number | false
  /**
   * Bytes of memory that the messages of all channels take: those of their text and their keys, 256 for each message, and
   * 768 for each channel that has any. Beyond, the oldest messages go, also when readers that keep up have not been
   * offered them yet.
   * @defaultValue 67108864
   */
  maxTotalBytes?: number
}

export const MEMORY_DEFAULTS: Readonly<Required<MemoryHistoryOptions>> = Object.freeze({
  maxMessages: 1_000,
  maxBytes: 1_048_576,
  maxAgeMs: 300_000,
  maxTotalBytes: 67_108_864
})
const CHECKS = {
  maxMessages: checkCount,
  maxBytes: checkBytes,
  maxAgeMs: orFalse(checkMs),
  maxTotalBytes: checkBytes
}
const EPOCH_LENGTH = 8
/** How many channels without messages and followers are remembered by their last number. */
const MAX_FORGOTTEN = 10_000
const MIN_EXPIRY_MS = 100

/**
 * A history in this process's memory, which ends with it. Its cursors are `<epoch>-<number>`: the epoch is random per
 * process start and differs from channel to channel, so that no other log's cursor is taken for one's own.
 *
 * @throws FST_ERR_EVENTSTREAM_INVALID_OPTION
 */
export function memoryHistory(options: MemoryHistoryOptions = {}): History {
  return new MemoryHistory(Object.freeze({ ...MEMORY_DEFAULTS, ...checked(options, CHECKS) }))
}

class MemoryHistory implements History, MemoryLogHost {
  readonly options: Readonly<Required<MemoryHistoryOptions>>
  readonly budget: FrameBudget
  readonly #secret = randomBytes(32)
  readonly #logs = new Map<string, MemoryLog>()
  /** The heads of logs that were dropped, so that a channel that comes back goes on counting where it was. */
  readonly #forgotten = new Map<string, number>()
  /** Above every head that is no longer remembered. */
  #floor = 0
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(options: Readonly<Required<MemoryHistoryOptions>>) {
    this.options = options
    this.budget = new FrameBudget(options.maxTotalBytes)
  }

  append(
    channel: string,
    { text, byteLength }: { text: string; byteLength: number },
    key: string,
    idempotencyKey?: string
  ): Promise<Cursor> {
    if (this.#isClosed) return Promise.reject<Cursor>(new FST_ERR_EVENTSTREAM_HISTORY_CLOSED())
    const cursor = this.#logOf(channel).append(text, byteLength, key, idempotencyKey)
    this.#scheduleExpiry()
    return Promise.resolve(cursor)
  }

  follow(channel: string, listener: LogListener): Log {
    return this.#logOf(channel).follow(listener)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.budget.clear()
  }

  /** A log has neither frames nor followers. */
  logOnIdle({ channel, headNumber }: MemoryLog): void {
    this.#logs.delete(channel)
    if (headNumber !== this.#floor) this.#forgotten.set(channel, headNumber)
    for (const [oldest, number] of this.#forgotten) {
      if (this.#forgotten.size <= MAX_FORGOTTEN) break
      this.#forgotten.delete(oldest)
      this.#floor = Math.max(this.#floor, number)
    }
  }

  #logOf(channel: string): MemoryLog {
    const kept = this.#logs.get(channel)
    if (kept !== undefined) return kept
    const log = new MemoryLog(
      this,
      channel,
      this.#epochOf(channel),
      this.#forgotten.get(channel) ?? this.#floor
    )
    this.#forgotten.delete(channel)
    this.#logs.set(channel, log)
    return log
  }

  #epochOf(channel: string): string {
    const digest = createHash('sha256').update(this.#secret).update(channel).digest()
    return digest.readBigUInt64BE().toString(36).padStart(EPOCH_LENGTH, '0').slice(-EPOCH_LENGTH)
  }

  #scheduleExpiry(): void {
    const { maxAgeMs } = this.options
    const { oldestTime } = this.budget
    if (maxAgeMs === false || this.#timer !== undefined || oldestTime === undefined) return
    const delayMs = Math.max(MIN_EXPIRY_MS, oldestTime + maxAgeMs - performance.now())
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.budget.dropUntil(performance.now() - maxAgeMs)
      this.#scheduleExpiry()
    }, delayMs).unref()
  }
}
