/** Faults that are put into the library on purpose, to see that they are found. */

/** One line of `lib/`, and what it is replaced by. It must be there once, without types, as whoever strips them leaves it. */
export interface Break {
  /** What goes wrong, as its users would tell it. */
  readonly fault: string
  readonly file: string
  readonly line: string
  readonly by: string
  /** The only part that can find it, if there is one. */
  readonly part?: 'runs'
}

export const BREAKS = {
  'lost-at-the-seam': {
    fault: 'the first message after what is replayed is lost',
    file: 'channel/shared-batches.ts',
    line: 'if (entry === undefined || entry.place > upTo || bytes >= PIECE_BYTES) break',
    by: 'if (entry === undefined || entry.place > upTo || bytes >= PIECE_BYTES) { last = entry?.place ?? last; break }'
  },
  'twice-after-a-return': {
    fault: 'who comes back is given its last message again',
    file: 'channel/last-event-id.ts',
    line: 'return { place, exceptions, uncertainty }',
    by: 'return { place: place - 1, exceptions, uncertainty }'
  },
  swapped: {
    fault: 'the first two messages of a batch change places',
    file: 'channel/shared-batches.ts',
    line: 'text += withId(entry.cursor, entry.text)',
    by: 'text = count === 1 ? withId(entry.cursor, entry.text) + text : text + withId(entry.cursor, entry.text)'
  },
  'gap-not-told': {
    fault: 'who is behind goes on with what is kept, and is told nothing of what is not',
    file: 'channel/live-subscription.ts',
    line: 'if (window.dropped > after)',
    by: 'if (window.dropped > Infinity)'
  },
  'gap-for-nothing': {
    fault: 'who comes back is told a gap, though everything is kept',
    file: 'channel/live-subscription.ts',
    line: 'this.isIntact = window.dropped <= this.start',
    by: "this.isIntact = window.dropped <= this.start; if (this.isReturning) this.dueGap ??= 'expired'"
  },
  'dropped-in-silence': {
    fault: 'a limit drops messages, and nobody notes which',
    file: 'history/window.ts',
    line: 'if (entry.isKept) this.#dropped = entry.place',
    by: ''
  },
  'limit-ignored': {
    fault: 'more is kept than a channel may keep',
    file: 'history/window.ts',
    line: 'return count > 1 && (count > maxMessages || this.#bytes > maxBytes)',
    by: 'return count > 1 && count > 2 * maxMessages'
  },
  'filter-ignored': {
    fault: 'a filter is not asked',
    file: 'channel/live-subscription.ts',
    line: 'this.filter = filter && ((message) => this.asSubscriber(() => filter(message)))',
    by: 'this.filter = undefined'
  },
  'id-too-new': {
    fault: 'a message comes with the id of the next one',
    file: 'channel/shared-batches.ts',
    line: 'text += withId(entry.cursor, entry.text)',
    by: 'text += withId((window.at(index + count + 1) ?? entry).cursor, entry.text)'
  },
  "another's-id": {
    fault: 'an id of another history is taken for one of its own',
    file: 'history/place.ts',
    line: 'return digits === undefined || of !== epoch ? undefined : Number.parseInt(digits, 36)',
    by: 'return digits === undefined ? undefined : Number.parseInt(digits, 36)'
  },
  'channel-not-joined': {
    fault: 'channels whose names begin alike share what is published',
    file: 'history/history.ts',
    line: 'const known = this.#windows.get(channel)',
    by: "channel = channel.replace(/[&/].*$/, ''); const known = this.#windows.get(channel)"
  },
  'channel-left': {
    fault: 'who has left a channel is given what comes in the next second',
    file: 'channel/subscription-list.ts',
    line: 'subscription.end = place',
    by: 'subscription.end = place + 1_000_000'
  },
  'cut-before-its-data': {
    fault: 'an id counts before the message that it comes with is there, and a cut falls between them',
    file: 'wire/batch.ts',
    line: 'return `id: ',
    by: "text = '\\n' + text; return `id: "
  },
  'end-too-early': {
    fault: 'the farewell, and whatever is sent, does not wait for what was published before',
    file: 'connection/output.ts',
    line: 'outbox.appendAfter(this.#feed.head, frame)',
    by: 'outbox.appendAfter(0, frame)'
  },
  'newest-left-out': {
    fault: "of the messages of a key, slow: 'latest' leaves out the newest",
    file: 'channel/selection.ts',
    line: 'return channel.window.newestOf(entry.key) !== entry',
    by: 'return channel.window.newestOf(entry.key) === entry'
  },
  'one-too-many': {
    fault: 'who wants the newest messages is given one more than that',
    file: 'channel/live-subscription.ts',
    line: 'window.placeBefore(last)',
    by: 'window.placeBefore(last + 1)'
  },
  'first-is-oldest': {
    fault: 'who wants the first message begins with the oldest that is kept, and is told no gap',
    file: 'channel/live-channel.ts',
    line: 'return startAt(this.first)',
    by: 'return { ...FROM_THE_FIRST, isOldest: true }'
  },
  'read-before-admission': {
    fault: 'who comes back with an older cursor is given what notBefore withholds',
    file: 'channel/connection-cursor.ts',
    line: 'const place = Math.max(start.place, notBefore)',
    by: 'const place = Math.max(start.place, resumption ? 0 : notBefore)'
  },
  'kept-after-all': {
    fault: 'what is published with keep: false is given to who comes later',
    file: 'history/window.ts',
    line: '!entry.isKept && (this.#follower',
    by: 'false && (this.#follower'
  },
  'gap-for-what-passes': {
    fault: 'who was slow is told a gap for what is published with keep: false',
    file: 'history/window.ts',
    line: 'if (this.#passing === 0) return',
    by: 'if (this.#passing === 0) return; this.#dropped = Math.max(this.#dropped, this.newest.isKept ? 0 : this.newest.place)'
  },
  'reader-deaf': {
    fault: 'channel.read() does not give what is gone at the end of the turn in which it came',
    file: 'channel/read.ts',
    line: 'this.heard.push(next)',
    by: ''
  },
  'not-cleared': {
    fault: 'clear() clears nothing',
    file: 'history/history.ts',
    line: 'else window.forget(window.newest?.place ?? 0)',
    by: 'else void window'
  },
  'cleared-in-silence': {
    fault: 'who is behind is not told that a channel was cleared',
    file: 'history/window.ts',
    line: 'this.dropUntil(place)',
    by: 'const before = this.#dropped; this.dropUntil(place); this.#dropped = before; place = before'
  },
  'wrong-pattern': {
    fault: 'of the patterns that a name fits, the shortest counts',
    file: 'channel/channel-options.ts',
    line: 'fitting.sort(byLength)',
    by: 'fitting.sort(byLength).reverse()'
  },
  unfenced: {
    fault: 'a server that was paused publishes to its run although the lease is over',
    part: 'runs',
    file: 'history/redis/redis-scripts.ts',
    line: "readFileSync(new URL('./publish.lua', import.meta.url), 'utf8')",
    by: "readFileSync(new URL('./publish.lua', import.meta.url), 'utf8').replace(/if isOwned.*/, '').replace(/if ended == .1.*/, '')"
  },
  'ended-too-early': {
    fault: 'the end of a run is told without the messages that wait to be written',
    part: 'runs',
    file: 'run/live-run.ts',
    line: "state === 'lost' || !isWhole ? [] : waiting",
    by: '[]'
  },
  'started-twice': {
    fault: 'a run is started although another server has it',
    part: 'runs',
    file: 'history/redis/redis-leases.ts',
    line: "if redis.call('HEXISTS', owners, name) == 1 then return '' end",
    by: ''
  },
  'stop-dropped': {
    fault: 'a stop does not reach the server of the run',
    part: 'runs',
    file: 'run/live-runs.ts',
    line: 'if (run?.begin === begin) run.stop(reason)',
    by: ''
  },
  'lost-not-told': {
    fault: 'the runs of a server that was killed are never told to be lost',
    part: 'runs',
    file: 'run/beat.ts',
    line: 'over = await leases.takeOver(token, this.#leaseMs)',
    by: 'over = []'
  }
} as const satisfies Record<string, Break>

export type BreakName = keyof typeof BREAKS
