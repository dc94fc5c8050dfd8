import { Heap } from '../base/heap.ts'
import type { Entry } from './entry.ts'
import type { Place } from './place.ts'
import type { Window } from './window.ts'

/** What a message takes in memory besides its text and its keys, and what a channel takes that has any. About. */
const ENTRY_BYTES = 256
const WINDOW_BYTES = 768
/** What it takes besides for each further channel, and for each cursor that is kept with an idempotency key. */
const CHANNEL_BYTES = 32
const CURSOR_BYTES = 48

/** An entry that counts what it takes. */
export interface CountedEntry extends Entry {
  /** Those that it came into. */
  readonly windows: readonly Window[]
  /** What it can be found by, when it is published again, and how many messages were published with it. */
  readonly once: { readonly scoped: string; readonly count: number } | undefined
  /** How many windows have it. */
  keepers: number
}

/** What all messages take that a history has in memory, of which the oldest go when it is too much. */
export class Budget {
  readonly #maxBytes: number
  readonly #windows: ReadonlyMap<string, Window>
  /** By the places of their oldest messages, or of some that were older; `undefined`: it was not too much lately. */
  #queue: Heap<Window> | undefined
  #newest: Place = 0
  #bytes = 0

  /** @param windows all that have messages, and perhaps others. */
  constructor(maxBytes: number, windows: ReadonlyMap<string, Window>) {
    this.#maxBytes = maxBytes
    this.#windows = windows
  }

  /** The entry is about to come into its windows. @param begins those of them that have no older one. */
  add(
    entry: CountedEntry,
    begins: readonly Window[] = entry.windows.filter(({ length }) => length === 0)
  ): void {
    this.#newest = Math.max(this.#newest, entry.place)
    this.#bytes += memoryBytesOf(entry)
    // Those that are there twice, or empty by now, go only when they are the first.
    if ((this.#queue?.size ?? 0) > 2 * this.#windows.size) this.#queue = undefined
    for (const window of begins) {
      if (window.length === 0) this.#bytes += WINDOW_BYTES
      this.#queue?.add(window, entry.place)
    }
  }

  /** The entry has left one of its windows. @returns whether that was the last one. */
  remove(entry: CountedEntry, { length }: Window): boolean {
    if (length === 0) this.#bytes -= WINDOW_BYTES
    if (--entry.keepers > 0) return false
    this.#bytes -= memoryBytesOf(entry)
    return true
  }

  /** Drops the oldest messages as long as there are too many bytes, held or not, but not the newest one. */
  trim(): void {
    while (this.#bytes > this.#maxBytes) {
      const oldest = this.#oldest()
      if (oldest === undefined || oldest.place >= this.#newest) return
      for (const window of oldest.windows) window.dropUntil(oldest.place)
    }
  }

  #oldest(): CountedEntry | undefined {
    this.#queue ??= this.#queued()
    for (;;) {
      const { first: window, firstRank } = this.#queue
      // Whatever is in a window was counted.
      if (window === undefined || window.oldest?.place === firstRank)
        return window?.oldest as CountedEntry | undefined
      this.#queue.removeFirst()
      if (window.oldest !== undefined) this.#queue.add(window, window.oldest.place)
    }
  }

  #queued(): Heap<Window> {
    const queue = new Heap<Window>()
    for (const window of this.#windows.values())
      if (window.oldest !== undefined) queue.add(window, window.oldest.place)
    return queue
  }
}

function memoryBytesOf({ text, byteLength, key, once, channels }: CountedEntry): number {
  const onceBytes = once === undefined ? 0 : once.scoped.length + once.count * CURSOR_BYTES
  return (
    textBytesOf(text, byteLength) +
    key.length +
    onceBytes +
    ENTRY_BYTES +
    (channels.length - 1) * CHANNEL_BYTES
  )
}

/** Two a character, if any may be outside of those of which V8 keeps one byte. */
function textBytesOf({ length }: string, byteLength: number): number {
  return length === byteLength ? length : 2 * length
}
