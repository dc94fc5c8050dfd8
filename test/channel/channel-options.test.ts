import t from 'tap'
import {
  CHANNEL_DEFAULTS,
  type ChannelPatterns,
  checkPatterns,
  optionsFor,
  resolveChannelOptions
} from '../../lib/channel/channel-options.ts'
import type { ChannelOptions } from '../../lib/index.ts'

const CODE = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'

function resolve(given: object): ReturnType<typeof resolveChannelOptions> {
  // What the types refuse is what these tests are about.
  return resolveChannelOptions(CHANNEL_DEFAULTS, given as ChannelOptions)
}

t.test('channel options › have these defaults', async (t) => {
  t.strictSame(resolve({}), {
    maxMessages: 1_000,
    maxBytes: 1_048_576,
    maxAgeMs: 300_000,
    keepEndedMs: 300_000,
    slow: 'gap',
    afterGap: 'oldest',
    gapEvent: 'gap'
  })
})

t.test('channel options › replace those that the channel has, one by one', async (t) => {
  const onGap = (): undefined => undefined
  const first = resolve({ slow: 'latest', onGap, maxAgeMs: false })
  t.match(first, { slow: 'latest', afterGap: 'oldest', gapEvent: 'gap', onGap, maxAgeMs: false })
  const second = resolveChannelOptions(first, { gapEvent: 'lost', maxMessages: 5 })
  t.match(second, { slow: 'latest', afterGap: 'oldest', gapEvent: 'lost', onGap, maxMessages: 5 })
  t.equal(first.gapEvent, 'gap', 'those that were are left alone')
})

t.test('channel options › undefined is the same as none', async (t) => {
  const names = ['maxMessages', 'maxBytes', 'maxAgeMs', 'slow', 'afterGap', 'gapEvent', 'onGap', 'events']
  t.strictSame(resolve(Object.fromEntries(names.map((name) => [name, undefined]))), CHANNEL_DEFAULTS)
})

t.test('channel options › are frozen', async (t) => {
  t.ok(Object.isFrozen(resolve({})))
  t.ok(Object.isFrozen(CHANNEL_DEFAULTS))
})

t.test('channel options › anything else is refused', async (t) => {
  const names =
    'maxMessages, maxBytes, maxAgeMs, keepEndedMs, slow, afterGap, gapEvent, onGap, onSubscribe, onUnsubscribe, events'
  for (const name of ['heartbeatMs', 'drainMs', 'history', 'Slow', 'constructor', '']) {
    const message = `Expected ${name} to be one of ${names}, got a number`
    t.throws(() => resolve({ [name]: 1 }), { code: CODE, message })
  }
  const table: [string, unknown][] = [
    ['maxMessages', 0],
    ['maxMessages', 1.5],
    ['maxMessages', '10'],
    ['maxMessages', false],
    ['maxBytes', 0],
    ['maxBytes', Infinity],
    ['maxAgeMs', 0],
    ['maxAgeMs', true],
    ['slow', 'fast'],
    ['afterGap', 'never'],
    ['gapEvent', ''],
    ['gapEvent', 'a\nb'],
    ['gapEvent', '\ud800'],
    ['onGap', 'x'],
    ['onSubscribe', {}],
    ['onUnsubscribe', false],
    ['events', {}]
  ]
  for (const [name, value] of table) {
    t.throws(() => resolve({ [name]: value }), {
      code: CODE,
      message: new RegExp(`^Expected ${name} to be `)
    })
  }
  for (const given of [null, 1, 'x', []]) {
    const message = /^Expected the options to be an object, got /
    t.throws(() => Reflect.apply(resolve, undefined, [given]), { code: CODE, message })
  }
})

t.test('channel options › the event of gaps is none of those that are declared', async (t) => {
  const events = { tick: {}, lost: {} }
  t.throws(() => resolve({ events, gapEvent: 'lost' }), { code: CODE, message: /^Expected gapEvent to be / })
  t.equal(resolve({ events }).gapEvent, 'gap')
})

t.test('channel options › by name and by pattern', async (t) => {
  const patterns: ChannelPatterns = {
    'room:*': { maxMessages: 50, slow: 'latest' },
    '*': { maxMessages: 10, afterGap: 'now', gapEvent: 'lost' },
    'room:lobby': { maxMessages: 500 },
    '*:lobby:*:log': { maxBytes: 7 },
    'a.c': { maxMessages: 3 },
    'a?[1-3](c)\\$^|{2}+': { maxMessages: 4 },
    '__proto__*': { maxMessages: 5 }
  }
  const of = (name: string) => optionsFor(name, CHANNEL_DEFAULTS, patterns)

  t.test('several that fit are merged, the one with the most characters last', async (t) => {
    t.match(of('room:kitchen'), { maxMessages: 50, slow: 'latest', afterGap: 'now', gapEvent: 'lost' })
    t.match(of('news'), { maxMessages: 10, slow: 'gap', afterGap: 'now' })
  })

  t.test('the exact name comes over all patterns, however long they are', async (t) => {
    t.match(of('room:lobby'), { maxMessages: 500, slow: 'latest', afterGap: 'now' })
    const longer = { 'a**': { maxMessages: 1 }, a: { maxMessages: 2 } }
    t.equal(optionsFor('a', CHANNEL_DEFAULTS, longer).maxMessages, 2)
  })

  t.test('a star stands for any characters, also none and line ends', async (t) => {
    for (const name of ['room:', 'room:a', 'room:a\nb', 'room:😀:room:']) t.equal(of(name).slow, 'latest')
    for (const name of ['room', 'a room:', 'Room:a']) t.equal(of(name).slow, 'gap')
    t.equal(of('a:lobby:b:log').maxBytes, 7)
    t.equal(of('a:lobby:b:logs').maxBytes, CHANNEL_DEFAULTS.maxBytes)
  })

  t.test('all other characters stand for themselves', async (t) => {
    t.equal(of('a.c').maxMessages, 3)
    t.equal(of('abc').maxMessages, 10)
    t.equal(of('a?[1-3](c)\\$^|{2}+').maxMessages, 4)
    t.equal(of('__proto__x').maxMessages, 5)
    t.equal(optionsFor('__proto__', CHANNEL_DEFAULTS, {}).maxMessages, 1_000)
    t.equal(optionsFor('constructor', CHANNEL_DEFAULTS, {}).maxMessages, 1_000)
  })

  t.test('are checked when they are given', async (t) => {
    t.doesNotThrow(() => checkPatterns('channels', patterns))
    for (const wrong of [null, [], 'room:*', 1]) {
      t.throws(() => checkPatterns('channels', wrong), {
        code: CODE,
        message: /^Expected channels to be an object/
      })
    }
    for (const options of [null, [], 5, 'x']) {
      t.throws(() => checkPatterns('channels', { 'room:*': options }), {
        code: CODE,
        message: /^Expected channels\['room:\*'\] to be an object/
      })
    }
    t.throws(() => checkPatterns('channels', { 'room:*': { maxMessages: 0 } }), { code: CODE })
    t.throws(() => checkPatterns('channels', { '': {} }), {
      code: CODE,
      message: /^Expected a name in channels to be a channel, or a pattern, got a string/
    })
  })
})
