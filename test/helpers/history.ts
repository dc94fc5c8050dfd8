import assert from 'node:assert/strict'
import { Deferred } from '../../lib/base/deferred.ts'
import type {
  Cursor,
  History,
  Log,
  LoggedFrame,
  LogListener,
  Page,
  ReadLimits
} from '../../lib/history/history.ts'

/** Limits that let everything through. */
export const ALL: ReadLimits = { maxBytes: Infinity, idBytes: 0, before: Infinity, isLatestOnly: false }

/** Counts how often it was told. */
export class Ear implements LogListener {
  told = 0

  logOnOpen(): void {}

  logOnAppend(): void {
    this.told++
  }

  logOnLoad(): void {}
}

type Eventually<T> = T | Promise<T>

/** What is read of a log, at once or when it is there. */
export interface Readable {
  readonly oldest: Cursor
  read(after: Cursor, limits: ReadLimits): Eventually<Page | undefined>
  close(): void
}

/** Who follows a log and waits for what is not there yet. */
export class PatientLog implements LogListener, Readable {
  readonly #log: Log
  readonly #onAppend: (() => void) | undefined
  #opened = new Deferred<void>()
  #loaded = new Deferred<void>()

  private constructor(history: History, channel: string, listener: { logOnAppend(): void } | undefined) {
    this.#onAppend = listener && (() => listener.logOnAppend())
    this.#log = history.follow(channel, this)
  }

  /** Resolves when the head is known. */
  static async follow(
    history: History,
    channel: string,
    listener?: { logOnAppend(): void }
  ): Promise<PatientLog> {
    const log = new PatientLog(history, channel, listener)
    if (log.head === '') await log.#opened.promise
    return log
  }

  logOnOpen(): void {
    this.#opened.resolve()
  }

  logOnAppend(): void {
    this.#onAppend?.()
    this.logOnLoad()
  }

  logOnLoad(): void {
    this.#loaded.resolve()
    this.#loaded = new Deferred()
  }

  get head(): Cursor {
    return this.#log.head
  }

  get headArrival(): number {
    return this.#log.headArrival
  }

  get oldest(): Cursor {
    return this.#log.oldest
  }

  arrivalAfter(after: Cursor): number | undefined {
    return this.#log.arrivalAfter(after)
  }

  async read(after: Cursor, limits: ReadLimits): Promise<Page> {
    for (;;) {
      const { promise } = this.#loaded
      const page = this.#log.read(after, limits)
      if (page !== undefined) return page
      await promise
    }
  }

  release(upTo: Cursor): void {
    this.#log.release(upTo)
  }

  close(): void {
    this.#log.close()
  }
}

export function frame(text: string): { text: string; byteLength: number } {
  return { text, byteLength: Buffer.byteLength(text) }
}

/** The text of message `n`. */
export function textOf(n: number): string {
  return `data: ${n}\n\n`
}

/** The texts of messages `start` to `end - 1`. */
export function numbered(start: number, end: number): string[] {
  return Array.from({ length: end - start }, (_, i) => textOf(start + i))
}

export function texts(frames: readonly { readonly text: string }[]): string[] {
  return frames.map(({ text }) => text)
}

export function cursors(frames: readonly { readonly cursor: Cursor }[]): Cursor[] {
  return frames.map(({ cursor }) => cursor)
}

/** Appends messages `start`, `start + 1` and so on, each when the one before has its cursor. */
export async function fill(history: History, channel: string, count: number, start = 0): Promise<Cursor[]> {
  const given: Cursor[] = []
  for (let n = start; n < start + count; n++) given.push(await history.append(channel, frame(textOf(n)), ''))
  return given
}

/** What comes after a cursor, page by page, until there is no more. */
export async function readAll(
  log: Readable,
  after: Cursor,
  limits: Partial<ReadLimits> = {}
): Promise<LoggedFrame[]> {
  const frames: LoggedFrame[] = []
  const places = new Set<Cursor>()
  for (let place = after; ; ) {
    assert.ok(!places.has(place), `a page leads back to ${place}`)
    places.add(place)
    const page = await log.read(place, { ...ALL, ...limits })
    assert.ok(page?.complete, `there is a gap after ${place}`)
    frames.push(...page.frames)
    if (page.cursor === place) return frames
    place = page.cursor
  }
}

/** What is kept of a channel, read by somebody who comes for it and leaves. */
export async function readKept(history: History, channel: string): Promise<LoggedFrame[]> {
  const log = await PatientLog.follow(history, channel)
  const frames = await readAll(log, log.oldest)
  log.close()
  return frames
}

/** Why there is a gap after a cursor; `undefined` if there is none. */
export async function gapAfter(log: Readable, cursor: Cursor): Promise<string | undefined> {
  const page = await log.read(cursor, ALL)
  assert.ok(page)
  if (page.complete) return undefined
  assert.deepEqual(page.frames, [], 'a gap comes without frames')
  return page.reason
}
