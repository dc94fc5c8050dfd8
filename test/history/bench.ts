import type { Appendable, AppendOptions, Entry } from '../../lib/history/entry.ts'
import { History } from '../../lib/history/history.ts'
import type { Cursor, Place } from '../../lib/history/place.ts'
import type { Limits } from '../../lib/history/store.ts'
import type { Follower, Window } from '../../lib/history/window.ts'

export const UNLIMITED: Limits = {
  maxMessages: Infinity,
  maxBytes: Infinity,
  maxAgeMs: false,
  keepEndedMs: 300_000
}

export interface BenchOptions extends Partial<Limits> {
  readonly maxTotalBytes?: number
}

/** Counts how often it was told. */
export class Ear implements Follower {
  told = 0

  windowOnAppend(): void {
    this.told++
  }

  windowOnLoad(): void {}

  windowOnFork(): void {}
}

/** A history whose channels are called by their names, and have no limits but those that are given. */
export class Bench {
  readonly history: History
  readonly #limits: Limits

  constructor({ maxTotalBytes = Infinity, ...limits }: BenchOptions = {}) {
    this.history = new History(maxTotalBytes)
    this.#limits = { ...UNLIMITED, ...limits }
  }

  window(channel: string): Window {
    return this.history.window(channel, this.#limits)
  }

  follow(channel: string): Ear {
    const ear = new Ear()
    this.window(channel).follow(ear)
    return ear
  }

  unfollow(channel: string): void {
    this.window(channel).unfollow()
  }

  append(
    channels: string | readonly string[],
    messages: readonly (string | Appendable)[],
    options: Partial<AppendOptions> = {}
  ): readonly Cursor[] {
    const windows = [channels].flat().map((channel) => this.window(channel))
    const given = { idempotencyKey: undefined, isKept: true, isEnd: false, ...options }
    const appended = this.history.append(windows, messages.map(appendable), given)
    return appended instanceof Promise ? [] : appended.cursors
  }

  /** @returns the cursor of one message. */
  publish(channels: string | readonly string[], text: string, options?: Partial<AppendOptions>): Cursor {
    return this.append(channels, [text], options)[0] ?? ''
  }

  /** Publishes what is not kept for those who come later. */
  pass(channel: string, text: string): Cursor {
    return this.publish(channel, text, { isKept: false })
  }

  /** All that was published has been offered to all. */
  offerAll(): void {
    this.history.release(this.history.head)
  }

  placeOf(cursor: Cursor): Place {
    const place = this.history.placeOf(cursor)
    if (place === undefined) throw new Error(`${cursor} is not known`)
    return place
  }

  /** What is in memory of a channel. */
  texts(channel: string): string[] {
    return entriesOf(this.window(channel)).map(({ text }) => text)
  }
}

function appendable(message: string | Appendable): Appendable {
  return typeof message === 'string'
    ? { text: message, byteLength: Buffer.byteLength(message), key: '' }
    : message
}

export function entriesOf(window: Window, after: Place = 0): Entry[] {
  const entries: Entry[] = []
  for (let i = window.indexAfter(after); ; i++) {
    const entry = window.at(i)
    if (entry === undefined) return entries
    entries.push(entry)
  }
}
