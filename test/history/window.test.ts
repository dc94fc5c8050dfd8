import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { Entry } from '../../lib/history/entry.ts'
import type { Place } from '../../lib/history/place.ts'
import { cpuTime, timesAsLong } from '../helpers/cpu-time.ts'
import { Bench, entriesOf } from './bench.ts'

/** Of times as long. */
const TOO_MUCH = 20

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

t.test('Window › limits', async (t) => {
  t.test('maxMessages › the newest ones are kept', async (t) => {
    const bench = new Bench({ maxMessages: 3 })
    bench.append('a', ['1', '2', '3'])
    t.same(bench.texts('a'), ['1', '2', '3'])
    bench.publish('a', '4')
    t.same(bench.texts('a'), ['2', '3', '4'])
  })

  t.test('maxBytes › as many of the newest ones as fit', async (t) => {
    const bench = new Bench({ maxBytes: 10 })
    bench.append('a', ['1234', '123456'])
    t.same(bench.texts('a'), ['1234', '123456'])
    bench.publish('a', '12')
    t.same(bench.texts('a'), ['123456', '12'])
  })

  t.test('maxBytes › counts bytes, not characters', async (t) => {
    const bench = new Bench({ maxBytes: 10 })
    bench.append('a', ['ééé', 'éé'])
    t.same([bench.texts('a').length, bench.window('a').bytes], [2, 10])
    bench.publish('a', 'é')
    t.same([bench.texts('a').length, bench.window('a').bytes], [2, 6])
  })

  t.test('maxBytes › the newest message is kept whatever its size', async (t) => {
    const bench = new Bench({ maxBytes: 10 })
    bench.append('a', ['1', 'x'.repeat(100)])
    t.same(bench.texts('a'), ['x'.repeat(100)])
  })

  t.test('one channel does not count for another', async (t) => {
    const bench = new Bench({ maxMessages: 2, maxBytes: 10 })
    for (const channel of ['a', 'b', '__proto__']) bench.append(channel, ['12345', '12345'])
    for (const channel of ['a', 'b', '__proto__']) t.equal(bench.texts(channel).length, 2, channel)
  })

  t.test('where nothing is, nothing is dropped', async (t) => {
    const window = new Bench().window('a')
    window.dropOldest()
    window.trim()
    t.same([window.length, window.dropped], [0, 0])
  })

  t.test('a message of several channels is dropped by each alone', async (t) => {
    const bench = new Bench({ maxMessages: 2 })
    bench.publish(['a', 'b'], 'both')
    bench.append('a', ['1', '2'])
    t.same([bench.texts('a'), bench.texts('b')], [['1', '2'], ['both']])
  })

  t.test('tells the place of the newest message that was dropped', async (t) => {
    const bench = new Bench({ maxMessages: 2 })
    const [first = '', second = ''] = bench.append('a', ['1', '2'])
    t.equal(bench.window('a').dropped, 0)
    bench.publish('a', '3')
    t.equal(bench.window('a').dropped, bench.placeOf(first))
    bench.publish('a', '4')
    t.equal(bench.window('a').dropped, bench.placeOf(second))
  })

  t.test('those that are given later hold from the next message on', async (t) => {
    const bench = new Bench({ maxMessages: 3 })
    bench.append('a', ['1', '2', '3'])
    const window = bench.history.window('a', {
      maxMessages: 1,
      maxBytes: 100,
      maxAgeMs: false,
      keepEndedMs: 300_000
    })
    t.equal(window.length, 3)
    bench.history.append([window], [{ text: '4', byteLength: 1, key: '' }], {
      isKept: true,
      isEnd: false,
      idempotencyKey: undefined
    })
    t.same(
      entriesOf(window).map(({ text }) => text),
      ['4']
    )
  })
})

t.test('Window › holds', async (t) => {
  t.test('what followers were not offered is kept beyond the limits', async (t) => {
    const bench = new Bench({ maxMessages: 2, maxBytes: 3 })
    bench.follow('a')
    const [, , third = ''] = bench.append('a', ['1', '2', '3', '4', '5'])
    t.same(bench.texts('a'), ['1', '2', '3', '4', '5'])
    bench.history.release(bench.placeOf(third))
    t.same(bench.texts('a'), ['4', '5'])
  })

  t.test('what was there before somebody followed is offered by then, or not', async (t) => {
    const bench = new Bench({ maxMessages: 2 })
    bench.append('a', ['1', '2'])
    bench.follow('a')
    bench.publish('a', '3')
    t.same(bench.texts('a'), ['1', '2', '3'])
    bench.offerAll()
    t.same(bench.texts('a'), ['2', '3'])
  })

  t.test('nothing is held when nobody follows any more', async (t) => {
    const bench = new Bench({ maxMessages: 2 })
    bench.follow('a')
    bench.append('a', ['1', '2', '3'])
    bench.unfollow('a')
    t.same(bench.texts('a'), ['2', '3'])
    t.equal(bench.window('a').isFollowed, false)
  })

  t.test('a channel that nobody follows holds nothing for the others', async (t) => {
    const bench = new Bench({ maxMessages: 1 })
    bench.follow('a')
    bench.append(['a', 'b'], ['1', '2'])
    t.same([bench.texts('a'), bench.texts('b')], [['1', '2'], ['2']])
  })

  t.test('the follower is told of each message, when it can be read', async (t) => {
    const bench = new Bench()
    const read: string[][] = []
    bench
      .window('a')
      .follow({ windowOnAppend: () => read.push(bench.texts('a')), windowOnLoad() {}, windowOnFork() {} })
    bench.append(['a', 'b'], ['1', '2'])
    bench.publish('b', 'not here')
    t.same(read, [['1'], ['1', '2']])
  })
})

t.test('Window › what is not kept', async (t) => {
  t.test('is there for those who follow, until they were offered it', async (t) => {
    const bench = new Bench()
    bench.follow('a')
    bench.publish('a', '1')
    const passing = bench.pass('a', 'passing')
    bench.publish('a', '2')
    t.same(bench.texts('a'), ['1', 'passing', '2'])
    bench.history.release(bench.placeOf(passing) - 1)
    t.same(bench.texts('a'), ['1', 'passing', '2'])
    bench.history.release(bench.placeOf(passing))
    t.same(bench.texts('a'), ['1', '2'])
  })

  t.test('is not there where nobody follows', async (t) => {
    const bench = new Bench()
    bench.follow('a')
    t.type(bench.publish(['a', 'b'], 'passing', { isKept: false }), 'string')
    t.same([bench.texts('a'), bench.texts('b')], [['passing'], []])
  })

  t.test('goes with the last who follows', async (t) => {
    const bench = new Bench()
    bench.follow('a')
    bench.publish('a', '1')
    bench.pass('a', 'passing')
    bench.unfollow('a')
    t.same(bench.texts('a'), ['1'])
  })

  t.test('is missed by nobody: it was not dropped', async (t) => {
    const bench = new Bench()
    bench.follow('a')
    bench.pass('a', 'passing')
    bench.offerAll()
    t.same([bench.texts('a'), bench.window('a').dropped], [[], 0])
  })

  t.test('pushes out nothing that is kept', async (t) => {
    const bench = new Bench({ maxMessages: 3, maxBytes: 30 })
    bench.follow('a')
    bench.append('a', ['1', '2', '3'])
    bench.offerAll()
    for (let i = 0; i < 5; i++) bench.pass('a', 'typing '.repeat(10))
    t.same([bench.texts('a').length, bench.window('a').bytes], [8, 3])
    bench.offerAll()
    t.same(bench.texts('a'), ['1', '2', '3'])
  })

  t.test('goes at the front, too, when limits drop what follows it', async (t) => {
    const bench = new Bench({ maxMessages: 1 })
    bench.follow('a')
    bench.pass('a', 'passing')
    bench.append('a', ['1', '2'])
    t.same(bench.texts('a'), ['passing', '1', '2'])
    bench.offerAll()
    t.same(bench.texts('a'), ['2'])
  })
})

t.test('Window › places', async (t) => {
  const bench = new Bench()
  const cursors = bench.append(
    'a',
    Array.from({ length: 100 }, (_, i) => `${i}`)
  )
  const places = cursors.map((cursor) => bench.placeOf(cursor))
  const window = bench.window('a')

  t.test('the message after a place, and the one at or before it, are found', async (t) => {
    for (const [i, place] of places.entries()) {
      const found = [place - 1, place].map((at) => [window.entryAfter(at)?.text, window.entryUntil(at)?.text])
      const [before, here, after] = [i - 1, i, i + 1].map((n) =>
        places[n] === undefined ? undefined : `${n}`
      )
      t.same(found[1], [after, here])
      t.same(found[0], [here, before])
    }
  })

  t.test('the newest and the oldest are known', async (t) => {
    t.same([window.oldest?.text, window.newest?.text, window.length], ['0', '99', 100])
  })

  t.test('placeBefore() › where somebody begins who wants the newest ones', async (t) => {
    for (const count of [0, 1, 2, 99, 100]) {
      t.equal(entriesOf(window, window.placeBefore(count)).length, count, `${count}`)
    }
    t.equal(window.placeBefore(101), 0, 'all there are')
    t.equal(window.placeBefore(Number.MAX_SAFE_INTEGER), 0)
  })

  t.test('placeBefore() › begins with what was dropped last, which is no gap', async (t) => {
    const bench = new Bench({ maxMessages: 2 })
    const [first = ''] = bench.append('a', ['1', '2', '3'])
    for (const count of [2, 3, 100]) t.equal(bench.window('a').placeBefore(count), bench.placeOf(first))
    t.equal(bench.window('empty').placeBefore(1), 0)
  })

  t.test('placeBefore() › counts what is kept', async (t) => {
    const bench = new Bench()
    bench.follow('a')
    const [first = ''] = bench.append('a', ['1', '2', '3'])
    bench.pass('a', 'passing')
    t.equal(bench.window('a').placeBefore(2), bench.placeOf(first))
  })
})

t.test('Window › newestOf()', async (t) => {
  const keyed = (...keys: string[]) => keys.map((key, i) => ({ text: `${key}${i}`, byteLength: 2, key }))
  const newest = (bench: Bench, ...keys: string[]) => keys.map((key) => bench.window('a').newestOf(key)?.text)

  t.test('is the newest message of a key', async (t) => {
    const bench = new Bench()
    bench.append('a', keyed('x', 'y', 'x', '__proto__'))
    t.same(newest(bench, 'x', 'y', 'z', '__proto__'), ['x2', 'y1', undefined, '__proto__3'])
  })

  t.test('goes on with what comes', async (t) => {
    const bench = new Bench()
    bench.append('a', keyed('x', 'y'))
    newest(bench, 'x')
    bench.append('a', keyed('-', '-', '-', 'x'))
    t.same(newest(bench, 'x', 'y', '-'), ['x3', 'y1', '-2'])
  })

  t.test('forgets what was dropped', async (t) => {
    const bench = new Bench({ maxMessages: 2 })
    bench.append('a', keyed('x', 'y'))
    newest(bench, 'x')
    bench.append('a', keyed('y'))
    t.same(newest(bench, 'x', 'y'), [undefined, 'y0'])
  })

  t.test('is none that is not kept, whether it comes before or after somebody asks', async (t) => {
    const bench = new Bench()
    bench.follow('a')
    bench.append('a', keyed('x', 'y'))
    bench.append('a', keyed('-', '-', 'x'), { isKept: false })
    t.same(newest(bench, 'x', 'y', '-'), ['x0', 'y1', undefined])
    bench.append('a', keyed('-', 'y'), { isKept: false })
    t.same(newest(bench, 'x', 'y', '-'), ['x0', 'y1', undefined])
    bench.offerAll()
    t.same(newest(bench, 'x', 'y', '-'), ['x0', 'y1', undefined])
  })
})

t.test('Window › what comes and goes takes no longer because much is kept', async (t) => {
  const full = (maxMessages: number): Bench => {
    const bench = new Bench({ maxMessages })
    bench.follow('a')
    for (let i = 0; i < maxMessages; i++) publish(bench, `${i}`)
    return bench
  }
  const publish = (bench: Bench, key: string): void => {
    bench.append('a', [{ text: '.', byteLength: 1, key }])
    bench.offerAll()
  }
  const kinds = {
    'what is not kept': (bench: Bench) => {
      bench.pass('a', '.')
      bench.offerAll()
    },
    'the newest of a key of which there is one': (bench: Bench, i: number) => {
      publish(bench, `new ${i}`)
      bench.window('a').newestOf('new')
    }
  }
  for (const [kind, step] of Object.entries(kinds)) {
    const taken = async (kept: number): Promise<number> => {
      const bench = full(kept)
      return cpuTime(() => {
        for (let i = 0; i < 1_000; i++) step(bench, i)
      })
    }
    const ratio = await timesAsLong(
      () => taken(16_000),
      () => taken(100),
      TOO_MUCH
    )
    t.ok(ratio < TOO_MUCH, `${kind}: ${ratio} times`)
  }
})

interface ModelEntry {
  readonly text: string
  readonly place: Place
  readonly isKept: boolean
}

/** What a channel is: an array, of which the beginning is cut off. */
class Model {
  readonly bench: Bench
  entries: ModelEntry[] = []
  dropped: Place = 0
  isFollowed = false
  readonly #maxMessages: number
  readonly #maxBytes: number
  #offered: Place = 0
  #count = 0

  constructor(maxMessages: number, maxBytes: number) {
    this.bench = new Bench({ maxMessages, maxBytes })
    this.#maxMessages = maxMessages
    this.#maxBytes = maxBytes
  }

  append(isKept: boolean, size: number): void {
    const text = `${this.#count++}`.padEnd(size, '.')
    const place = this.bench.placeOf(this.bench.publish('a', text, { isKept }))
    if (!isKept && !this.isFollowed) return
    this.entries.push({ text, place, isKept })
    this.#trim()
  }

  follow(): void {
    if (this.isFollowed) return
    this.isFollowed = true
    this.bench.follow('a')
  }

  unfollow(): void {
    if (!this.isFollowed) return
    this.isFollowed = false
    this.bench.unfollow('a')
    this.#trim()
    this.entries = this.entries.filter(({ isKept }) => isKept)
  }

  /** All but the newest `count` messages have been offered. */
  release(count: number): void {
    this.#offered = Math.max(this.#offered, this.entries.at(-1 - count)?.place ?? 0)
    this.bench.history.release(this.#offered)
    this.#trim()
    this.entries = this.entries.filter(({ isKept, place }) => isKept || place > this.#offered)
  }

  check(): void {
    const window = this.bench.window('a')
    assert.deepEqual(this.bench.texts('a'), textsOf(this.entries))
    assert.deepEqual([window.length, window.bytes], [this.entries.length, bytesOf(this.#kept)])
    assert.equal(window.dropped, this.dropped)
    assert.deepEqual(
      [window.oldest?.text, window.newest?.text],
      [this.entries.at(0)?.text, this.entries.at(-1)?.text]
    )
    for (const { place } of this.entries) {
      const rest = this.entries.filter((entry) => entry.place > place)
      assert.deepEqual(textsOf(entriesOf(window, place)), textsOf(rest))
    }
  }

  get #kept(): ModelEntry[] {
    return this.entries.filter(({ isKept }) => isKept)
  }

  #trim(): void {
    const isOver = () => {
      const kept = this.#kept
      return kept.length > 1 && (kept.length > this.#maxMessages || bytesOf(kept) > this.#maxBytes)
    }
    while (isOver() && !(this.isFollowed && (this.entries[0]?.place ?? 0) > this.#offered)) {
      const entry = this.entries.shift()
      if (entry?.isKept) this.dropped = entry.place
    }
  }
}

function textsOf(entries: readonly Pick<Entry, 'text'>[]): string[] {
  return entries.map(({ text }) => text)
}

function bytesOf(entries: readonly ModelEntry[]): number {
  return entries.reduce((sum, { text }) => sum + text.length, 0)
}

t.test(
  `Window › is an array whose beginning is cut off, whatever is done in what order (FC_SEED=${seed})`,
  async () => {
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.tuple(fc.constant('append' as const), fc.integer({ min: 1, max: 30 })) },
      { weight: 2, arbitrary: fc.tuple(fc.constant('pass' as const), fc.integer({ min: 1, max: 30 })) },
      { weight: 3, arbitrary: fc.tuple(fc.constant('release' as const), fc.nat(10)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('follow' as const), fc.constant(0)) },
      { weight: 1, arbitrary: fc.tuple(fc.constant('unfollow' as const), fc.constant(0)) }
    )
    const limits = fc.tuple(fc.constantFrom(1, 3, 20, 1_000), fc.constantFrom(1, 60, 400, Infinity))
    fc.assert(
      fc.property(
        limits,
        fc.array(step, { maxLength: 100, size: 'max' }),
        ([maxMessages, maxBytes], steps) => {
          const model = new Model(maxMessages, maxBytes)
          for (const [what, n] of steps) {
            if (what === 'append' || what === 'pass') model.append(what === 'append', n)
            else if (what === 'release') model.release(n)
            else model[what]()
            model.check()
          }
        }
      ),
      { seed, numRuns: 200 }
    )
  }
)
