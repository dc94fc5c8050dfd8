import type { Entry, Window } from './window.ts'

/** What a message takes in memory besides its text and its keys, and what a channel takes that has any. About. */
const ENTRY_BYTES = 256
const WINDOW_BYTES = 768
/** What it takes besides for each further channel, and for each cursor that is kept with an idempotency key. */
const CHANNEL_BYTES = 32
const CURSOR_BYTES = 48

/** An entry in the list of all entries of a history. */
export interface ListedEntry extends Entry {
  /** What it can be found by, when it is published again, and how many messages were published with it. */
  readonly once: { readonly scoped: string; readonly count: number } | undefined
  /** How many windows have it. */
  keepers: number
  older: ListedEntry | undefined
  newer: ListedEntry | undefined
}

/** All messages that a history has in memory, from the oldest to the newest, and what they take. */
export class Budget {
  readonly #maxBytes: number
  #oldest: ListedEntry | undefined
  #newest: ListedEntry | undefined
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** The entry comes into its windows. @param empty how many of them have none yet. */
  add(entry: ListedEntry, empty: number = entry.windows.filter(({ length }) => length === 0).length): void {
    const older = this.#olderThan(entry)
    const newer = older === undefined ? this.#oldest : older.newer
    entry.older = older
    entry.newer = newer
    if (older === undefined) this.#oldest = entry
    else older.newer = entry
    if (newer === undefined) this.#newest = entry
    else newer.older = entry
    this.#bytes += memoryBytesOf(entry)
    this.#bytes += empty * WINDOW_BYTES
  }

  /** The entry has left one of its windows. @returns whether that was the last one. */
  remove(entry: ListedEntry, { length }: Window): boolean {
    if (length === 0) this.#bytes -= WINDOW_BYTES
    if (--entry.keepers > 0) return false
    const { older, newer } = entry
    if (older === undefined) this.#oldest = newer
    else older.newer = newer
    if (newer === undefined) this.#newest = older
    else newer.older = older
    entry.older = undefined
    entry.newer = undefined
    this.#bytes -= memoryBytesOf(entry)
    return true
  }

  /** Drops the oldest messages as long as there are too many bytes, held or not, but not the newest one. */
  trim(): void {
    for (;;) {
      const oldest = this.#oldest
      if (oldest === undefined || oldest === this.#newest || this.#bytes <= this.#maxBytes) return
      for (const window of oldest.windows) window.dropUntil(oldest.place)
    }
  }

  /** Looks from both ends, for most are newer than all, and those that are loaded older than most. */
  #olderThan({ place }: ListedEntry): ListedEntry | undefined {
    let older = this.#newest
    for (let newer = this.#oldest; older !== undefined && older.place > place; newer = newer?.newer) {
      if (newer === undefined || newer.place > place) return newer?.older
      older = older.older
    }
    return older
  }
}

function memoryBytesOf({ text, byteLength, key, once, channels }: ListedEntry): number {
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
