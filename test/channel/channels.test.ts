import t from 'tap'
import type { LiveChannel } from '../../lib/channel/channel.ts'
import { Channels } from '../../lib/channel/channels.ts'
import type { History, HistoryListener, Log } from '../../lib/history/history.ts'
import { memoryHistory } from '../../lib/history/memory/memory-history.ts'
import type { ChannelOptions, EventStreamOptions, Subscription } from '../../lib/index.ts'
import { resolveOptions } from '../../lib/fastify/options.ts'
import { ChannelBench } from '../helpers/channel-bench.ts'
import { collectGarbage, gc, heapBytes } from '../helpers/garbage.ts'
import { Ear } from '../helpers/history.ts'
import { nextTurn } from '../helpers/server.ts'

const CODE = 'FST_ERR_EVENTSTREAM_INVALID_OPTION'
const MB = 1_000_000

/** A hub of nothing but channels. */
class ChannelsBench extends ChannelBench implements HistoryListener {
  readonly channels: Channels
  /** What the hub was told of its histories. */
  readonly states: string[] = []

  constructor(options: EventStreamOptions = {}) {
    super(options)
    this.channels = new Channels(this, resolveOptions(options))
  }

  historyOnDegrade({ message }: Error): void {
    this.states.push(message)
  }

  historyOnRecover(): void {
    this.states.push('recovered')
  }

  get(name: string, options?: ChannelOptions): LiveChannel {
    return this.channels.get(name, options)
  }

  /** Asks for a channel, and lets it go. @returns how to see whether it is still there. */
  visit(name: string, options?: ChannelOptions): WeakRef<LiveChannel> {
    return new WeakRef(this.get(name, options))
  }

  subscribe(name: string): Subscription {
    return this.get(name).subscribe(this.reader().connection)
  }

  override channelOnAudience(channel: LiveChannel): void {
    this.channels.keep(channel)
  }

  override channelOnIdle(channel: LiveChannel): void {
    this.channels.release(channel)
  }
}

/** A history that knows how often it was closed. */
function closable(): History & { closed: number } {
  const history = {
    ...{
      append: () => Promise.resolve('x'),
      follow: () => memoryHistory().follow('x', new Ear())
    },
    closed: 0,
    close: async () => {
      history.closed++
    }
  }
  return history
}

t.test('Channels › a name is one channel, whoever asks', async (t) => {
  const bench = new ChannelsBench()
  const channel = bench.get('news')
  t.equal(channel.name, 'news')
  t.equal(channel.size, 0)
  t.ok(bench.get('news') === channel)
  t.ok(bench.get('news', { slow: 'latest' }) === channel)
  t.ok(bench.get('News') !== channel)
  for (const name of ['__proto__', 'constructor']) {
    const hostile = bench.get(name)
    t.equal(hostile.name, name)
    t.ok(bench.get(name) === hostile)
  }
})

t.test('Channels › a name is text of up to 256 bytes when percent-encoded', async (t) => {
  const bench = new ChannelsBench()
  const accepted = ['x', ' ', '0', '\0', '\n', 'a:b', '{}', 'constructor', 'x'.repeat(256), 'é'.repeat(42)]
  for (const name of accepted) t.equal(bench.get(name).name, name)
  const rule = 'the channel name to be a well-formed string of 1 to 256 bytes when percent-encoded'
  const refused: [unknown, string][] = [
    ['', "'' (string)"],
    ['\ud83d', "'\\ud83d' (string)"],
    ['x'.repeat(257), `'${'x'.repeat(80)}'... 177 more characters (string)`],
    ['é'.repeat(43), `'${'é'.repeat(43)}' (string)`],
    ["'".repeat(86), `"${"'".repeat(80)}"... 6 more characters (string)`],
    [undefined, 'undefined (undefined)'],
    [null, 'null (null)'],
    [1, '1 (number)'],
    [['news'], "[ 'news' ] (array)"],
    [Symbol('news'), 'Symbol(news) (symbol)'],
    [{ toString: () => 'news' }, '{ toString: [Function: toString] } (object)']
  ]
  for (const [name, got] of refused) {
    const message = `Expected ${rule}, got ${got}`
    t.throws(() => Reflect.apply(bench.get, bench, [name]), { code: CODE, message }, got)
  }
})

t.test('Channels › options are those of all channels until others are given', async (t) => {
  const history = memoryHistory()
  const bench = new ChannelsBench({ slow: 'disconnect', history })
  const channel = bench.get('news')
  t.match(channel.options, { slow: 'disconnect', afterGap: 'oldest', gapEvent: 'gap' })
  t.equal(channel.options.history, history)
  bench.get('news', { afterGap: 'now' })
  bench.get('news', { gapEvent: 'lost' })
  bench.get('news')
  t.match(channel.options, { slow: 'disconnect', afterGap: 'now', gapEvent: 'lost' })
  t.equal(bench.get('other').options.gapEvent, 'gap', 'of this channel alone')
  t.throws(() => bench.get('news', { slow: 'never' } as unknown as ChannelOptions), { code: CODE })
  t.equal(channel.options.slow, 'disconnect', 'and wrong ones change nothing')
})

t.test('Channels › what nobody holds is forgotten', async (t) => {
  const bench = new ChannelsBench()
  bench.channels.ready()
  const ref = bench.visit('news', { slow: 'latest' })
  await collectGarbage()
  t.equal(ref.deref(), undefined)
  t.equal(bench.get('news').options.slow, 'gap', 'with its options')
})

t.test('Channels › what is held is not', async (t) => {
  const bench = new ChannelsBench()
  bench.channels.ready()
  const channel = bench.get('news', { slow: 'latest' })
  await collectGarbage()
  t.ok(bench.get('news') === channel)
  t.equal(channel.options.slow, 'latest')
})

t.test('Channels › options that are given before the server is ready stay for good', async (t) => {
  const bench = new ChannelsBench()
  bench.visit('news', { slow: 'latest' })
  bench.visit('empty', {})
  const undeclared = bench.visit('undeclared')
  bench.channels.ready()
  await collectGarbage()
  t.equal(bench.get('news').options.slow, 'latest')
  t.equal(undeclared.deref(), undefined, 'a name without options is not kept')
  const empty = bench.visit('empty')
  bench.subscribe('news').unsubscribe()
  await collectGarbage()
  t.equal(bench.get('news').options.slow, 'latest', 'also when its last subscription has gone')
  t.not(empty.deref(), undefined)
})

t.test('Channels › what has subscriptions stays, and counts', async (t) => {
  const bench = new ChannelsBench()
  bench.channels.ready()
  const count = () => [bench.channels.size, bench.channels.subscriptions]
  t.same(count(), [0, 0])
  bench.visit('news', { slow: 'latest' })
  const first = bench.subscribe('news')
  const second = bench.subscribe('news')
  const other = bench.subscribe('other')
  t.same(count(), [2, 3])
  await collectGarbage()
  t.ok(bench.get('news') === first.channel)
  first.unsubscribe()
  await collectGarbage()
  t.same(count(), [2, 2])
  t.ok(bench.get('news') === second.channel)
  t.equal(bench.get('news').options.slow, 'latest')
  other.unsubscribe()
  t.same(count(), [1, 1])
  second.unsubscribe()
  t.same(count(), [0, 0])
  t.ok(bench.get('news') === second.channel, 'and is there as long as somebody holds it')
})

t.test('Channels › what had subscriptions is forgotten like any other', async (t) => {
  const bench = new ChannelsBench()
  bench.channels.ready()
  const visit = (): WeakRef<LiveChannel> => {
    const ref = bench.visit('news', { slow: 'latest' })
    bench.subscribe('news').unsubscribe()
    bench.endTurn()
    return ref
  }
  const ref = visit()
  await collectGarbage()
  t.equal(ref.deref(), undefined)
  t.equal(bench.get('news').options.slow, 'gap')
})

t.test('Channels › a name that is asked for again before its channel is swept is one channel', async (t) => {
  const bench = new ChannelsBench()
  bench.channels.ready()
  const refs = [bench.visit('idle'), bench.visit('live')]
  await nextTurn()
  gc()
  t.same(
    refs.map((ref) => ref.deref()),
    [undefined, undefined]
  )
  const channel = bench.get('idle')
  const subscription = bench.subscribe('live')
  await collectGarbage()
  t.ok(bench.get('idle') === channel)
  t.ok(bench.get('live') === subscription.channel)
})

t.test('Channels › names that nobody holds leave nothing', async (t) => {
  const bench = new ChannelsBench()
  bench.channels.ready()
  const visit = (start: number): void => {
    for (let n = start; n < start + 20_000; n++) bench.visit(`${n}${'x'.repeat(200)}`)
  }
  visit(0)
  const before = await heapBytes()
  visit(20_000)
  const grown = (await heapBytes()) - before
  t.ok(grown < MB, `${grown} bytes for 20,000 names`)
})

t.test('Channels › a channel that comes and goes leaves nothing, while it is held', async (t) => {
  const bench = new ChannelsBench()
  bench.channels.ready()
  const channel = bench.get('news')
  const { connection } = bench.reader()
  const visit = (): void => {
    for (let n = 0; n < 30_000; n++) {
      channel.subscribe(connection).unsubscribe()
      bench.endTurn()
    }
  }
  visit()
  const before = await heapBytes()
  visit()
  const grown = (await heapBytes()) - before
  t.ok(grown < MB, `${grown} bytes for 30,000 times`)
  t.ok(bench.get('news') === channel)
})

/** A history that is told who listens, and can be out of reach. */
class Store implements History {
  readonly listeners: HistoryListener[] = []
  degraded = false
  closed = 0
  readonly #history = memoryHistory()

  open(listener: HistoryListener): void {
    this.listeners.push(listener)
  }

  append(...args: Parameters<History['append']>): Promise<string> {
    return this.#history.append(...args)
  }

  follow(...args: Parameters<History['follow']>): Log {
    return this.#history.follow(...args)
  }

  async close(): Promise<void> {
    this.closed++
  }

  tell(state: 'away' | 'back'): void {
    this.degraded = state === 'away'
    for (const listener of this.listeners) {
      if (this.degraded) listener.historyOnDegrade(new Error('away'))
      else listener.historyOnRecover()
    }
  }
}

t.test('Channels › a history is opened once, when it is first given, for the hub', async (t) => {
  const [common, own, late, unused] = [new Store(), new Store(), new Store(), new Store()]
  const stores = [common, own, late, unused]
  const bench = new ChannelsBench({ history: common })
  const counts = (): number[] => stores.map(({ listeners }) => listeners.length)
  t.same(counts(), [1, 0, 0, 0], 'that of all channels at once')
  bench.get('a', { history: own })
  bench.get('b', { history: own })
  bench.get('c', { history: common })
  bench.get('d')
  t.same(counts(), [1, 1, 0, 0])
  bench.channels.ready()
  bench.get('a', { history: late })
  t.throws(() => bench.get('e', { history: unused, slow: 'x' } as unknown as ChannelOptions), { code: CODE })
  bench.subscribe('b')
  t.throws(() => bench.get('b', { history: unused }), { code: CODE }, 'while it has subscriptions')
  t.same(counts(), [1, 1, 1, 0], 'but none that was refused')
  for (const { listeners } of stores.slice(0, 3)) t.equal(listeners[0], bench)
  own.tell('away')
  own.tell('back')
  t.same(bench.states, ['away', 'recovered'])
  await bench.channels.close()
  t.same(
    stores.map(({ closed }) => closed),
    [1, 1, 1, 0],
    'and closed in the end, also if no channel has it any more'
  )
})

t.test('Channels › are degraded as long as any of their histories is', async (t) => {
  const [common, own] = [new Store(), new Store()]
  const bench = new ChannelsBench({ history: common })
  bench.get('a', { history: own })
  bench.get('b', { history: memoryHistory() })
  t.equal(bench.channels.degraded, false)
  common.tell('away')
  t.equal(bench.channels.degraded, true)
  own.tell('away')
  common.tell('back')
  t.equal(bench.channels.degraded, true)
  own.tell('back')
  t.equal(bench.channels.degraded, false)
  t.equal(new ChannelsBench().channels.degraded, false, 'those in memory never are')
})

t.test('Channels › close() closes every history that is theirs, each once', async (t) => {
  const [common, own, late, unused] = [closable(), closable(), closable(), closable()]
  const bench = new ChannelsBench({ history: common })
  bench.get('a', { history: own })
  bench.get('b', { history: own })
  bench.get('c', { history: common })
  bench.channels.ready()
  bench.get('d', { history: late })
  t.throws(() => bench.get('e', { history: unused, slow: 'x' } as unknown as ChannelOptions), { code: CODE })
  t.same(
    [common, own, late].map(({ closed }) => closed),
    [0, 0, 0]
  )
  await bench.channels.close()
  t.same(
    [common, own, late, unused].map(({ closed }) => closed),
    [1, 1, 1, 0]
  )
})

t.test('Channels › close() waits for the histories, and tells when one fails', async (t) => {
  const failure = new Error('failed')
  const [common, own] = [closable(), closable()]
  common.close = () => Promise.reject(failure)
  const bench = new ChannelsBench({ history: common })
  bench.get('a', { history: own })
  await t.rejects(bench.channels.close(), failure)
  t.equal(own.closed, 1, 'but closes the others')
})
