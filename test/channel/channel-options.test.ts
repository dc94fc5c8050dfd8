import t from 'tap'
import { CHANNEL_DEFAULTS, resolveChannelOptions } from '../../lib/channel/channel-options.ts'
import { memoryHistory } from '../../lib/history/memory/memory-history.ts'
import type { ChannelOptions } from '../../lib/types.ts'

const CODE = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
const base = { ...CHANNEL_DEFAULTS, history: memoryHistory() }

function resolve(given: object): ReturnType<typeof resolveChannelOptions> {
  // What the types refuse is what these tests are about.
  return resolveChannelOptions(base, given as ChannelOptions)
}

t.test('channel options › replace those that the channel has, one by one', async (t) => {
  const history = memoryHistory()
  const onGap = (): undefined => undefined
  const first = resolve({ slow: 'latest', onGap })
  t.strictSame(first, { slow: 'latest', afterGap: 'oldest', gapEvent: 'gap', history: base.history, onGap })
  const second = resolveChannelOptions(first, { gapEvent: 'lost', history })
  t.strictSame(second, { slow: 'latest', afterGap: 'oldest', gapEvent: 'lost', history, onGap })
  t.equal(second.history, history)
  t.equal(first.gapEvent, 'gap', 'those that were are left alone')
})

t.test('channel options › undefined is the same as none', async (t) => {
  const given = { slow: undefined, afterGap: undefined, gapEvent: undefined, history: undefined }
  const resolved = resolve({ ...given, onGap: undefined, onSubscribe: undefined, onUnsubscribe: undefined })
  t.strictSame(resolved, base)
  t.equal(resolved.history, base.history)
})

t.test('channel options › are frozen', async (t) => {
  t.ok(Object.isFrozen(resolve({})))
  t.ok(Object.isFrozen(CHANNEL_DEFAULTS))
})

t.test('channel options › anything else is refused', async (t) => {
  const names = 'slow, afterGap, gapEvent, onGap, onSubscribe, onUnsubscribe, history, events'
  for (const name of ['heartbeatMs', 'drainMs', 'Slow', 'constructor', '']) {
    const message = `Expected ${name} to be one of ${names}, got 1 (number)`
    t.throws(() => resolve({ [name]: 1 }), { code: CODE, message })
  }
  for (const [name, value] of [
    ['slow', 'fast'],
    ['afterGap', 'never'],
    ['gapEvent', ''],
    ['onGap', 'x'],
    ['onSubscribe', {}],
    ['onUnsubscribe', false],
    ['history', {}],
    ['events', {}]
  ] as const) {
    t.throws(() => resolve({ [name]: value }), {
      code: CODE,
      message: new RegExp(`^Expected ${name} to be `)
    })
  }
  for (const given of [null, 1, 'x']) {
    const message = /^Expected the options to be an object, got /
    t.throws(() => Reflect.apply(resolve, undefined, [given]), { code: CODE, message })
  }
})
