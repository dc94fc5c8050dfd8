import { Deferred } from '../base/promises.ts'
import type { Work } from '../connection/flush.ts'
import type { History } from '../history/history.ts'
import type { Place } from '../history/place.ts'
import { PIECE_BYTES } from '../wire/batch.ts'

/** Who takes what is published. */
export interface Reader {
  /** A channel of its own has news. It is told so once for each of them. */
  readerOnNews(round: Round): void
}

/** A reader's membership in a channel. */
export interface Readership {
  /** Notes that the channel has something for its reader. @returns the reader. */
  noteNews(): Reader
  /** Places after this one are not known any more: a reader who stands there has a gap. */
  noteFork(place: Place): void
}

/** A channel, as far as it has news. */
export interface NewsSource {
  readerships(): IterableIterator<Readership>
}

/** What was published until a place, and how many of those who keep up have not taken it. */
export interface Round {
  readonly place: Place
  pending: number
  /** How many of those wait for the application, and so let publishers go on. */
  waiting: number
}

/** How many readers are found before others have their turn. */
const SHARE = 256

/**
 * Says, turn by turn, how far connections may go: first all readers of all channels with news learn that there is
 * something, and only then does anybody take it, so that nobody passes by a message of another of its channels.
 */
export class Rounds implements Work {
  readonly #history: History
  readonly #schedule: (work: Work) => void
  readonly #news = new Set<NewsSource>()
  #isScheduled = false
  #mark: Place = 0
  /** Of the round that is being told: how far it goes, who is still to be found, and who was. */
  #place: Place | undefined
  #searches: Iterator<Readership>[] = []
  /** Some may be there more than once. It keeps the room that most of them took. */
  readonly #found: (Reader | undefined)[] = []
  #foundCount = 0
  /** Those that some who keep up have not taken, in order. */
  readonly #open: Round[] = []
  #unofferedBytes = 0
  #offered: Deferred<void> | undefined

  constructor(history: History, schedule: (work: Work) => void) {
    this.#history = history
    this.#schedule = schedule
  }

  /** All readers know what they have to take at or before this place. */
  get mark(): Place {
    if (this.#isQuiet) this.#mark = this.#history.head
    return this.#mark
  }

  /** The source has got something. */
  add(source: NewsSource): void {
    this.#news.add(source)
    this.#request()
  }

  /** So much was published. @returns what to wait for before more is. */
  publish(byteLength: number): Promise<void> | undefined {
    this.#unofferedBytes += byteLength
    if (this.#unofferedBytes < PIECE_BYTES) return undefined
    this.#offered ??= new Deferred()
    this.#request()
    return this.#offered.promise
  }

  /** A reader has taken all of a round that it can take for now. */
  leave(round: Round, wasWaiting: boolean): void {
    round.pending--
    if (wasWaiting) round.waiting--
    if (round.pending === round.waiting) this.#settle()
  }

  /** A reader waits for the application before it takes more of a round, which is held for it. */
  wait(round: Round): void {
    round.waiting++
    this.#settle()
  }

  /** The application has answered. */
  goOn(round: Round): void {
    round.waiting--
  }

  /** Tells some of the readers. */
  work(): boolean {
    this.#isScheduled = false
    this.#place ??= this.#begin()
    if (!this.#findSome()) return this.#again()
    const round = { place: this.#place, pending: 0, waiting: 0 }
    this.#place = undefined
    this.#mark = round.place
    this.#open.push(round)
    this.#tell(round)
    this.#settle()
    return this.#news.size > 0 && this.#again()
  }

  get #isQuiet(): boolean {
    return this.#place === undefined && this.#news.size === 0
  }

  #request(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    this.#schedule(this)
  }

  #again(): boolean {
    this.#isScheduled = true
    return true
  }

  #begin(): Place {
    this.#searches = [...this.#news].map((source) => source.readerships())
    this.#news.clear()
    return this.#history.head
  }

  /** @returns whether all were found. */
  #findSome(): boolean {
    for (let count = 0; count < SHARE; count++) {
      const search = this.#searches.at(-1)
      if (search === undefined) return true
      const { done, value } = search.next()
      if (done) this.#searches.pop()
      else this.#found[this.#foundCount++] = value.noteNews()
    }
    return false
  }

  #tell(round: Round): void {
    for (let i = 0; i < this.#foundCount; i++) {
      this.#found[i]?.readerOnNews(round)
      this.#found[i] = undefined
    }
    this.#foundCount = 0
  }

  /** What all have taken is not held any longer, and publishers who wait go on. */
  #settle(): void {
    let offered: Place | undefined
    while (this.#open[0]?.pending === 0) offered = this.#open.shift()?.place
    if (offered !== undefined) this.#history.release(offered)
    if (!this.#isQuiet || this.#open.some(({ pending, waiting }) => pending > waiting)) return
    this.#unofferedBytes = 0
    this.#offered?.resolve()
    this.#offered = undefined
  }
}
