import fc from 'fast-check'
import t from 'tap'
import { History } from '../../lib/history/history.ts'
import { placeOfTime } from '../../lib/history/place.ts'
import type { Store, StoredMessage } from '../../lib/history/store.ts'
import type { Window } from '../../lib/history/window.ts'
import { cpuTime, timesAsLong } from '../helpers/cpu-time.ts'
import { HeldStore } from '../helpers/held-store.ts'
import { nextTurn } from '../helpers/server.ts'
import { Bench, Ear, UNLIMITED } from './bench.ts'

/** Of times as long. */
const TOO_MUCH = 5

/** What counts besides the text: for each message, and for each channel that has any. */
const MESSAGE = 256
const CHANNEL = 768
/** For each further channel of a message, and each cursor that is kept with an idempotency key. */
const FURTHER = 32
const CURSOR = 48

/** What so many messages of one character take in one channel. */
function bytesOf(messages: number): number {
  return CHANNEL + messages * (MESSAGE + 1)
}

t.test('maxTotalBytes', async (t) => {
  t.test('the oldest messages go, whatever channels they are in', async (t) => {
    const bench = new Bench({ maxTotalBytes: bytesOf(4) + CHANNEL })
    bench.append('a', ['1'])
    bench.append('b', ['2'])
    bench.append('a', ['3', '4'])
    t.same([bench.texts('a'), bench.texts('b')], [['1', '3', '4'], ['2']])
    bench.publish('a', '5')
    t.same([bench.texts('a'), bench.texts('b')], [['3', '4', '5'], ['2']])
    bench.publish('a', '6')
    t.same([bench.texts('a'), bench.texts('b')], [['3', '4', '5', '6'], []], 'and what channel b took')
  })

  t.test('counts text, and keys of both kinds', async (t) => {
    const key = 'k'.repeat(100)
    const large = { text: 'x'.repeat(100), byteLength: 100, key }
    const maxTotalBytes = CHANNEL + 2 * (MESSAGE + 200)
    const fits = new Bench({ maxTotalBytes })
    fits.append('a', [large, large])
    t.equal(fits.history.lengthOf('a'), 2)
    const tooMuch = new Bench({ maxTotalBytes })
    tooMuch.append('a', [large, { ...large, byteLength: 101 }])
    t.equal(tooMuch.history.lengthOf('a'), 1)
    const withKeys = new Bench({ maxTotalBytes })
    withKeys.append('a', [large, large], { idempotencyKey: 'k' })
    t.equal(withKeys.history.lengthOf('a'), 1)
  })

  t.test(
    'counts the cursors that are kept with a key, and two bytes a character if one is wide',
    async (t) => {
      const texts = Array.from({ length: 4 }, () => 'xy')
      const scoped = JSON.stringify(['a', 'k']).length
      const maxTotalBytes = CHANNEL + 4 * (MESSAGE + 2) + scoped + 4 * CURSOR
      for (const [given, kept] of [
        [texts, 4],
        [[...texts.slice(1), 'x\u20ac'], 3]
      ] as const) {
        const bench = new Bench({ maxTotalBytes })
        bench.append('a', given, { idempotencyKey: 'k' })
        t.equal(bench.history.lengthOf('a'), kept)
      }
    }
  )

  t.test('counts a message of several channels once, and the channels', async (t) => {
    const channels = ['a', 'b', 'c']
    const bench = new Bench({ maxTotalBytes: bytesOf(2) + 2 * CHANNEL + 4 * FURTHER })
    bench.append(channels, ['1', '2'])
    for (const channel of channels) t.same(bench.texts(channel), ['1', '2'], channel)
    bench.publish('b', '3')
    t.same(
      channels.map((channel) => bench.texts(channel)),
      [['2'], ['2', '3'], ['2']]
    )
  })

  t.test('drops no more than it must when a channel has dropped the message before', async (t) => {
    const bench = new Bench({ maxTotalBytes: bytesOf(4) + CHANNEL + FURTHER, maxMessages: 3 })
    bench.publish(['a', 'b'], 'x')
    bench.append('b', ['1', '2', '3'])
    t.same([bench.texts('a'), bench.texts('b')], [['x'], ['1', '2', '3']])
    bench.publish('c', '4')
    t.same([bench.texts('a'), bench.texts('b'), bench.texts('c')], [[], ['1', '2', '3'], ['4']])
  })

  t.test('keeps the newest message, whatever it takes', async (t) => {
    const bench = new Bench({ maxTotalBytes: 1 })
    bench.publish(['a', 'b'], 'x'.repeat(1_000))
    t.same([bench.history.lengthOf('a'), bench.history.lengthOf('b')], [1, 1])
    bench.publish('b', '1')
    t.same([bench.texts('a'), bench.texts('b')], [[], ['1']])
  })

  t.test('keeps all that came in one step only as far as it fits', async (t) => {
    const bench = new Bench({ maxTotalBytes: bytesOf(2) })
    t.equal(bench.append('a', ['1', '2', '3']).length, 3)
    t.same(bench.texts('a'), ['2', '3'])
  })

  t.test('does not wait for followers', async (t) => {
    const bench = new Bench({ maxTotalBytes: bytesOf(2) })
    bench.follow('a')
    const [first = ''] = bench.append('a', ['1', '2', '3'])
    t.same(bench.texts('a'), ['2', '3'])
    t.equal(bench.window('a').dropped, bench.placeOf(first), 'who had not been offered it can be told')
  })

  t.test('counts what is not kept as long as it is there', async (t) => {
    const bench = new Bench({ maxTotalBytes: bytesOf(2) })
    bench.follow('a')
    bench.publish('a', '1')
    bench.pass('a', '2')
    t.same(bench.texts('a'), ['1', '2'])
    bench.pass('a', '3')
    t.same(bench.texts('a'), ['2', '3'])
  })

  t.test('is as large as before when something has come and gone', async (t) => {
    const bench = new Bench({ maxTotalBytes: bytesOf(5) })
    const come = {
      kept: () => bench.append('a', ['1', '2', '3', '4', '5', '6', '7']),
      passing: () => ['1', '2', '3'].map((text) => bench.pass('a', text)),
      mixed: () => {
        bench.pass('a', '1')
        bench.publish('a', '2')
        bench.pass('a', '3')
      }
    }
    bench.follow('a')
    for (const [name, run] of Object.entries(come)) {
      for (let i = 0; i < 10; i++) {
        run()
        bench.offerAll()
      }
      bench.append(
        'a',
        Array.from({ length: 10 }, (_, i) => `${i}`)
      )
      t.equal(bench.history.lengthOf('a'), 5, name)
    }
  })
})

t.test(
  'maxTotalBytes: all that is there is the newest that fits, whatever came and went before',
  async () => {
    const channels = ['a', 'b', 'c', 'd']
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          to: fc.subarray(channels, { minLength: 1 }),
          size: fc.integer({ max: 900, min: 1 })
        })
      },
      { weight: 1, arbitrary: fc.record({ clears: fc.constantFrom(...channels) }) }
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 2_000, max: 9_000 }),
        async (steps, max) => {
          const bench = new Bench({ maxTotalBytes: max })
          let expected: { readonly text: string; readonly in: readonly string[]; readonly of: number }[] = []
          const bytes = (): number =>
            CHANNEL * new Set(expected.flatMap((message) => message.in)).size +
            expected.reduce((sum, { text, of }) => sum + MESSAGE + text.length + FURTHER * (of - 1), 0)
          for (const [i, step] of steps.entries()) {
            if ('clears' in step) {
              await bench.history.clear(bench.window(step.clears))
              expected = expected
                .map((message) => ({ ...message, in: message.in.filter((name) => name !== step.clears) }))
                .filter((message) => message.in.length > 0)
            } else {
              const text = `${i}`.padEnd(step.size, '.')
              bench.publish(step.to, text)
              expected.push({ text, in: step.to, of: step.to.length })
            }
            while (bytes() > max && expected.length > 1) expected.shift()
            for (const channel of channels) {
              const kept = expected.filter((message) => message.in.includes(channel)).map(({ text }) => text)
              if (bench.texts(channel).join() !== kept.join())
                throw new Error(`${channel} has ${bench.texts(channel)}`)
            }
          }
        }
      )
    )
  }
)

/** A store in which channels have had messages, by turns or one channel after the other. */
class FullStore implements Store {
  static readonly channels = Array.from({ length: 300 }, (_, i) => `${i}`)
  static readonly each = 200
  readonly epoch = 'full'
  readonly #isByTurns: boolean
  readonly #begin = placeOfTime(Date.now())
  readonly #end = this.#begin + FullStore.channels.length * FullStore.each

  constructor(isByTurns: boolean) {
    this.#isByTurns = isByTurns
  }

  async open() {
    return this.#end
  }

  async read(channel: string) {
    const { channels, each } = FullStore
    const own = channels.indexOf(channel)
    const messages = Array.from({ length: each }, (_, i): StoredMessage => {
      const turn = this.#isByTurns ? i * channels.length + own : own * each + i
      return {
        place: this.#begin + turn,
        channels: [channel],
        text: '.',
        key: '',
        isKept: true,
        isEnd: false
      }
    })
    return { messages, dropped: 0, isEnded: false }
  }

  async head() {
    return this.#end
  }

  async prove() {
    return []
  }

  async append() {
    return { places: [], isNew: false, isEnded: false }
  }

  async close() {}
}

/** Loads all that is kept of all channels. @returns the history, and the CPU time that it took in microseconds. */
async function load(isByTurns: boolean, maxTotalBytes: number) {
  const history = new History(maxTotalBytes, new FullStore(isByTurns))
  await history.open()
  const spent = await cpuTime(() =>
    Promise.all(
      FullStore.channels.map((channel) => {
        const window = history.window(channel, UNLIMITED)
        return new Promise<void>((resolve) => {
          window.follow(Object.assign(new Ear(), { windowOnLoad: resolve }))
          window.want(0)
        })
      })
    )
  )
  return { history, spent }
}

t.test('maxTotalBytes: what is loaded takes its place among the others', async (t) => {
  const { channels, each } = FullStore
  t.test('the oldest go', async (t) => {
    const { history } = await load(true, 10 * (channels.length * (MESSAGE + 1)) + channels.length * CHANNEL)
    t.same(new Set(channels.map((channel) => history.lengthOf(channel))), new Set([10]))
  })

  t.test('it costs the same, however the messages of channels took turns', async (t) => {
    const ratio = await timesAsLong(
      async () => (await load(true, Infinity)).spent,
      async () => (await load(false, Infinity)).spent,
      TOO_MUCH
    )
    t.ok(ratio < TOO_MUCH, `${ratio} times, for ${channels.length * each} messages`)
  })
})

t.test('Budget › a channel whose messages are all replaced when it is loaded is counted once', async (t) => {
  const message = (place: number, channels: string[]) => ({
    place,
    channels,
    text: '.',
    key: '',
    isKept: true,
    isEnd: false
  })
  const kept = async (loads: number): Promise<number> => {
    const shelf = new HeldStore()
    let place = 0
    shelf.read = async () => ({ messages: [message(place + 2, ['a'])], dropped: place + 1, isEnded: false })
    const history = new History(10_000, shelf)
    await history.open()
    place = history.head
    const follow = (name: string): Window => {
      const window = history.window(name, UNLIMITED)
      window.follow(new Ear())
      return window
    }
    for (let i = 0; i < loads; i++) {
      const windows = [follow('a'), follow('b')]
      shelf.listener?.storeOnMessages([message(place + 1, ['a', 'b'])], place + 2)
      windows[0]?.want(0)
      await nextTurn()
      t.equal(windows[0]?.oldest?.place, place + 2)
      for (const window of windows) window.unfollow()
      place += 2
    }
    const window = follow('c')
    for (let i = 1; i < 100; i++) history.storeOnMessages([message(place + i, ['c'])], place + i)
    return window.length
  }
  t.equal(await kept(20), await kept(0))
})
