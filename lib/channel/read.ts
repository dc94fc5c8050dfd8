import { Deferred } from '../base/promises.ts'
import { END_TEXT, type Entry } from '../history/entry.ts'
import type { History } from '../history/history.ts'
import type { Place } from '../history/place.ts'
import type { Window } from '../history/window.ts'
import type { RecentMessages } from '../wire/received-message.ts'
import type { ReadItem } from './channel.ts'
import type { Loading, Start } from './live-subscription.ts'
import type { Reader, Readership } from './rounds.ts'

interface Reading {
  readonly start: Start
  readonly history: History
  readonly messages: RecentMessages
  readonly signal: AbortSignal | undefined
  /** The channel has a reader more, or less. */
  open(readership: Readership): Window
  close(readership: Readership): void
  /** Tells when what is kept after a place is there. */
  load(loading: Loading): void
}

/** Waits for news of one channel. */
class Ear implements Readership, Reader {
  /** What came in the turn in which it was waited for, the next one last: what is not kept of that is gone after it. */
  readonly heard: Entry[] = []
  /** What the window had dropped then. */
  dropped: Place = 0
  /** What is at or before it was read. */
  place: Place = 0
  /** Whether what it has read may be lost, and something else be there. */
  isForked = false
  #news = new Deferred<void>()
  #window: Window | undefined

  noteNews(): Reader {
    return this
  }

  noteFork(place: Place): void {
    if (this.place <= place) return
    this.isForked = true
    this.wake()
  }

  readerOnNews(): void {
    const window = this.#window
    if (window !== undefined) {
      this.dropped = window.dropped
      for (let next = window.entryAfter(this.place); next !== undefined; next = window.entryAfter(next.place))
        this.heard.push(next)
      this.heard.reverse()
    }
    this.wake()
  }

  /** Waits for what comes after its place, or for `wake()`. @param window `undefined`: for `wake()` only. */
  async wait(window: Window | undefined): Promise<void> {
    this.#window = window
    await this.#news.promise
  }

  wake(): void {
    this.#window = undefined
    this.#news.resolve()
    this.#news = new Deferred()
  }
}

/** What a channel has after a place, and then what it gets. Who asks too seldom has gaps. May be given up at any time. */
export function read(reading: Reading): AsyncIterableIterator<ReadItem> {
  const leaving = new AbortController()
  const items = readUntil(reading, leaving.signal)
  return {
    next: () => items.next(),
    return: () => {
      leaving.abort()
      return items.return()
    },
    [Symbol.asyncIterator]() {
      return this
    }
  }
}

async function* readUntil(
  { start: given, history, messages, signal, open, close, load }: Reading,
  left: AbortSignal
): AsyncGenerator<ReadItem, void, undefined> {
  const ear = new Ear()
  const window = open(ear)
  const isOver = (): boolean => signal?.aborted === true || left.aborted || history.closing.aborted
  const wake = (): void => ear.wake()
  signal?.addEventListener('abort', wake)
  left.addEventListener('abort', wake)
  try {
    const start = (await given.later) ?? given
    let isLoaded = false
    load({
      place: start.place,
      loadingOnEnd: () => {
        isLoaded = true
        ear.wake()
      }
    })
    ear.place = start.place
    while (!isLoaded && !isOver()) await ear.wait(undefined)
    let { gap } = start
    if (start.isOldest) ear.place = Math.max(ear.place, window.dropped)
    if (start.last !== undefined) ear.place = window.placeBefore(start.last)
    let isIntact = window.dropped <= ear.place
    while (!isOver()) {
      const { dropped } = ear.heard.length === 0 ? window : ear
      if (gap !== undefined || ear.isForked || dropped > ear.place) {
        const reason = gap ?? (ear.isForked ? 'uncertain' : isIntact ? 'slow' : 'expired')
        gap = undefined
        ear.isForked = false
        isIntact = true
        const hasMissedEnd = ear.heard.length === 0 && window.hasDroppedEndAfter(ear.place)
        ear.place = Math.max(ear.place, dropped)
        yield { type: 'gap', reason }
        if (hasMissedEnd && window.hasDroppedEndAfter(0)) return
        continue
      }
      const entry = ear.heard.pop() ?? window.entryAfter(ear.place)
      if (entry === undefined && window.isEnded) return
      if (entry === undefined) {
        await ear.wait(window)
        continue
      }
      ear.place = entry.place
      if (entry.text === END_TEXT) return
      const message = messages.of(entry)
      const { id, event, data, key } = message
      yield { type: 'message', id, event, data, key, json: () => message.json() }
      if (entry.isEnd) return
    }
  } finally {
    signal?.removeEventListener('abort', wake)
    close(ear)
  }
}
