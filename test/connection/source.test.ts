import { EventEmitter, once } from 'node:events'
import { createReadStream } from 'node:fs'
import { PassThrough, Readable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type ChunkMap, type Sink, sendFrom } from '../../lib/connection/source.ts'
import type { Message } from '../../lib/wire/message.ts'
import { cpuTime, timesAsLong } from '../helpers/cpu-time.ts'
import { kindIn } from '../helpers/refusal.ts'

/** Of times as long. */
const TOO_MUCH = 60

/** A sink that takes everything at once, or, while it is full, nothing until it is drained or aborted. */
class FakeSink implements Sink {
  readonly sent: (Message | string)[] = []
  readonly stopErrors: unknown[] = []
  readonly maxMessageBytes = 100
  readonly unobserved: unknown[] = []
  readonly #controller = new AbortController()
  readonly #waiting: (() => void)[] = []
  #isFull: boolean

  constructor({ isFull = false } = {}) {
    this.#isFull = isFull
    this.signal.addEventListener('abort', () => this.drain())
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** `null` stands for a message that cannot be sent. */
  send(message: Message | string | null): Promise<boolean> {
    if (message === null) throw new Error('a bad message')
    this.sent.push(message)
    if (!this.#isFull) return Promise.resolve(true)
    return new Promise((resolve) => this.#waiting.push(() => resolve(!this.signal.aborted)))
  }

  sourceOnStopError(error: unknown): void {
    this.stopErrors.push(error)
  }

  drain(): void {
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  abort(): void {
    this.#isFull = false
    this.#controller.abort()
  }

  /** `sendFrom` into this sink. */
  from(source: unknown, map?: ChunkMap): Promise<boolean> {
    return sendFrom(source, map, this, (error) => this.unobserved.push(error))
  }
}

/** A source that counts, and tells what is done to it. */
class Probe implements AsyncIterable<unknown>, AsyncIterator<unknown> {
  readonly calls: string[] = []
  readonly #next: (count: number) => unknown
  readonly #return: () => unknown
  #count = 0

  constructor(next: (count: number) => unknown, onReturn: () => unknown = () => ({ done: true })) {
    this.#next = next
    this.#return = onReturn
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<unknown>> {
    this.calls.push('next')
    return { done: false, value: await this.#next(++this.#count) }
  }

  return(): Promise<IteratorResult<unknown>> {
    this.calls.push('return')
    return this.#return() as Promise<IteratorResult<unknown>>
  }
}

function never(): Promise<never> {
  return new Promise(() => {})
}

/** Every kind of source, giving these values. */
const KINDS: readonly (readonly [string, (values: readonly unknown[]) => unknown])[] = [
  ['an array', (values) => values],
  ['a generator', (values) => values[Symbol.iterator]()],
  ['a Set', (values) => new Set(values)],
  ['an async generator', (values) => asyncOf(values)],
  ['a Readable', (values) => Readable.from(values)],
  ['a PassThrough', (values) => Readable.from(values).pipe(new PassThrough({ objectMode: true }))],
  ['a ReadableStream', (values) => streamOf(values)]
]

async function* asyncOf(values: readonly unknown[]): AsyncGenerator<unknown> {
  yield* values
}

function streamOf(values: readonly unknown[]): ReadableStream {
  const iterator = values[Symbol.iterator]()
  return new ReadableStream({
    pull(controller) {
      const { done, value } = iterator.next()
      if (done) controller.close()
      else controller.enqueue(value)
    }
  })
}

t.test('source › everything it gives is sent, in order', async (t) => {
  const messages = ['a', { data: { n: 1 } }, '', { id: 7 }, 'z']
  for (const [name, source] of KINDS) {
    const sink = new FakeSink()
    t.equal(await sink.from(source(messages)), true, 'the sink takes more')
    t.strictSame(sink.sent, messages, name)
    const empty = new FakeSink()
    await empty.from(source([]))
    t.strictSame(empty.sent, [], `${name} that is empty`)
    t.same([sink.stopErrors, sink.unobserved], [[], []])
  }
})

t.test('source › a source that ended by itself is not told to stop', async (t) => {
  const calls: string[] = []
  const iterator = {
    [Symbol.iterator]() {
      return this
    },
    next: () => ({ done: calls.push('next') > 2, value: 'x' }),
    return: () => calls.push('return')
  }
  const sink = new FakeSink()
  await sink.from(iterator)
  sink.abort()
  t.strictSame(sink.sent, ['x', 'x'])
  t.strictSame(calls, ['next', 'next', 'next'])
})

t.test('source › bytes are no messages', async (t) => {
  for (const [name, source] of KINDS) {
    const sink = new FakeSink()
    const refused = {
      code: 'FST_ERR_EVENTSTREAM_INVALID_SOURCE',
      message: /got bytes: give the Response itself/
    }
    await t.rejects(sink.from(source(['a', Buffer.from('b'), 'c'])), refused, name)
    t.strictSame(sink.sent, ['a'])
  }

  t.test('but a stream that decodes itself gives text', async (t) => {
    const text = '\ufeffü\u2028😀z'
    const bytes = new TextEncoder().encode(text)
    const pieces = Array.from(bytes, (byte) => Uint8Array.of(byte))
    for (const source of [
      Readable.from(pieces, { objectMode: false, encoding: 'utf8' }),
      streamOf(pieces).pipeThrough(new TextDecoderStream('utf-8', { ignoreBOM: true }))
    ]) {
      const sink = new FakeSink()
      await sink.from(source)
      t.equal(sink.sent.join(''), text)
    }
  })
})

t.test('source › map makes messages of chunks', async (t) => {
  for (const [name, source] of KINDS) {
    const sink = new FakeSink()
    const chunks = [1, 2, { n: 3 }, Buffer.from('4')]
    const map = (chunk: unknown): Message | false => chunk !== 2 && { event: name, data: chunk }
    t.equal(await sink.from(source(chunks), map), true)
    const sent = [1, { n: 3 }, Buffer.from('4')].map((data) => ({ event: name, data }))
    t.strictSame(sink.sent, sent, 'but of those for which it says false')
  }

  t.test('what it throws rejects, and stops the source', async (t) => {
    const sink = new FakeSink()
    const source = new Probe((count) => count)
    const map = (count: number): string => {
      if (count === 2) throw new Error('mine')
      return `${count}`
    }
    await t.rejects(sink.from(source, map), { message: 'mine' })
    t.strictSame([sink.sent, source.calls], [['1'], ['next', 'next', 'return']])
  })

  t.test('what is no function is refused at the call', async (t) => {
    const message = 'Expected map to be a function, got an object'
    const refused = { code: 'FST_ERR_EVENTSTREAM_INVALID_SOURCE', message }
    t.throws(() => new FakeSink().from([], {} as never), refused)
  })
})

t.test('source › what map leaves out without an end keeps nobody from leaving', async (t) => {
  const sink = new FakeSink()
  let count = 0
  function* numbers(): Generator<number> {
    while (count < 1_000_000) yield count++
  }
  const done = sink.from(numbers(), () => false)
  setImmediate(() => sink.abort())
  t.equal(await done, false)
  t.ok(count < 1_000_000, 'others had their turn')
})

t.test('source › of a response that is an event stream its events are sent', async (t) => {
  const text = ': hi\nretry: 5\nid: 1\nevent: a\ndata: x\ndata: y\n\ndata: ü\r\n\r\nid\ndata: z\n\n: bye'
  const events = [{ id: '1', event: 'a', data: 'x\ny' }, { data: 'ü' }, { id: '', data: 'z' }]
  const responseOf = (body: ReadableStream | string | null, type = 'text/event-stream', status = 200) =>
    new Response(body, { status, headers: { 'content-type': type } })
  const whole = () => streamOf(Array.from(Buffer.from(text), (byte) => Uint8Array.of(byte)))

  t.test('as they are, whatever its implementation of fetch() is', async (t) => {
    const node = {
      status: 201,
      headers: new Headers({ 'content-type': 'Text/Event-Stream ; charset=utf-8' })
    }
    for (const response of [
      responseOf(text),
      responseOf(whole()),
      { ...node, body: Readable.from([text]) }
    ]) {
      const sink = new FakeSink()
      t.equal(await sink.from(response), true)
      t.strictSame(sink.sent, events)
    }
  })

  t.test('or as map says', async (t) => {
    const sink = new FakeSink()
    await sink.from(responseOf(whole()), ({ id, data }: Message) => id !== '' && `${data}!`)
    t.strictSame(sink.sent, ['x\ny!', 'ü!'])
  })

  t.test('of another one the bytes, which only map can make messages of', async (t) => {
    const sink = new FakeSink()
    await sink.from(responseOf('plain', 'text/plain'), (bytes: Uint8Array) => Buffer.from(bytes).toString())
    t.strictSame(sink.sent, ['plain'])
    const message =
      'Expected the response to have the type text/event-stream, or a map for its bytes, got another one'
    const cause = "'text/plain' (string)"
    const refused = { code: 'FST_ERR_EVENTSTREAM_INVALID_SOURCE', message, cause }
    t.throws(() => new FakeSink().from(responseOf('plain', 'text/plain')), refused)
  })

  t.test('another status is refused at the call, and what is not read is given up', async (t) => {
    for (const [status, body] of [
      [404, 'none'],
      [500, whole()],
      [304, null]
    ] as const) {
      let cancels = 0
      const stream = body === null ? null : new ReadableStream({ cancel: () => void cancels++ })
      const message = `Expected the response to have a status from 200 to 299, got ${status}`
      const refused = { code: 'FST_ERR_EVENTSTREAM_INVALID_SOURCE', message }
      t.throws(() => new FakeSink().from(responseOf(stream, 'text/event-stream', status), () => 'x'), refused)
      await turn()
      t.equal(cancels, body === null ? 0 : 1)
    }
    const sink = new FakeSink()
    t.equal(
      await sink.from(responseOf(null, 'text/event-stream', 204)),
      true,
      'and one without a body gives none'
    )
    const read = responseOf('x')
    await read.text()
    t.throws(() => new FakeSink().from(read), { code: 'FST_ERR_EVENTSTREAM_INVALID_SOURCE' })
  })

  t.test('whose body is cancelled at once when the sink ends, also while it is idle', async (t) => {
    let cancels = 0
    const body = new ReadableStream({ pull: never, cancel: () => void cancels++ })
    const sink = new FakeSink()
    const done = sink.from(responseOf(body))
    await turn()
    sink.abort()
    t.equal(cancels, 1)
    t.equal(await done, false)
  })

  t.test('whose error rejects, after the events before it', async (t) => {
    const sink = new FakeSink()
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(Buffer.from('data: x\n\n')),
      pull: (controller) => (sink.sent.length > 0 ? controller.error(new Error('cut')) : undefined)
    })
    const done = sink.from(responseOf(body), ({ data }: Message) => String(data))
    await t.rejects(done, { message: 'cut' })
    t.strictSame(sink.sent, ['x'])
  })

  t.test(
    'and an end within an event, as of an answer that was cut, after the events before it',
    async (t) => {
      const code = 'FST_ERR_EVENTSTREAM_INVALID_SOURCE'
      for (const cut of ['data: half', 'data: [DONE]\n', 'da', 'event: a\n', 'id: 7']) {
        const sink = new FakeSink()
        await t.rejects(sink.from(responseOf(`data: x\n\n${cut}`)), { code }, cut)
        t.strictSame(sink.sent, [{ data: 'x' }])
      }
    }
  )

  t.test('and an event that is longer than a message may be', async (t) => {
    const sink = new FakeSink()
    let cancels = 0
    const body = new ReadableStream({
      pull: (controller) => controller.enqueue(Buffer.from(`data: x\n\ndata: ${'y'.repeat(200)}`)),
      cancel: () => void cancels++
    })
    const message = 'Expected the events of the response to fit into maxMessageBytes, 100'
    await t.rejects(sink.from(responseOf(body)), { code: 'FST_ERR_EVENTSTREAM_INVALID_SOURCE', message })
    t.strictSame([sink.sent, cancels], [[{ data: 'x' }], 1])
  })

  t.test('each takes no longer, the more of them come in one piece', async (t) => {
    const taken = (count: number): Promise<number> =>
      cpuTime(() => new FakeSink().from(responseOf('data: x\n\n'.repeat(count))))
    const ratio = await timesAsLong(
      () => taken(120_000),
      () => taken(10_000),
      TOO_MUCH
    )
    t.ok(ratio < TOO_MUCH, `${ratio} times for 12 times as many`)
  })
})

t.test('source › nothing is pulled while the sink is full', async (t) => {
  t.test('by an iterator', async (t) => {
    const sink = new FakeSink({ isFull: true })
    const source = new Probe((count) => `${count}`)
    const done = sink.from(source)
    for (const count of [1, 2, 3]) {
      await turn()
      t.equal(source.calls.length, count)
      t.equal(sink.sent.length, count)
      sink.drain()
    }
    sink.abort()
    await done
  })

  t.test('by a Readable, beyond its own high-water mark', async (t) => {
    const sink = new FakeSink({ isFull: true })
    let reads = 0
    const source = new Readable({
      objectMode: true,
      highWaterMark: 2,
      read() {
        this.push(`${++reads}`)
      }
    })
    const done = sink.from(source)
    await turn()
    await turn()
    t.strictSame(sink.sent, ['1'])
    t.ok(reads <= 4, `${reads} read`)
    sink.abort()
    await done
  })

  t.test('by a ReadableStream, beyond its own high-water mark', async (t) => {
    const sink = new FakeSink({ isFull: true })
    let pulls = 0
    const done = sink.from(
      new ReadableStream({
        pull: (controller) => controller.enqueue(`${++pulls}`)
      })
    )
    await turn()
    await turn()
    t.strictSame(sink.sent, ['1'])
    t.ok(pulls <= 2, `${pulls} pulled`)
    sink.abort()
    await done
  })
})

t.test('source › it is told to stop the moment the sink ends', async (t) => {
  /** What it does, the source, whether it was told. */
  const idle: readonly (readonly [string, (stopped: () => void) => unknown])[] = [
    ['an iterator: return()', (stopped) => new Probe(never, stopped)],
    ['a Readable: destroy()', (stopped) => new Readable({ read() {}, destroy: stopped })],
    ['a ReadableStream: cancel()', (stopped) => new ReadableStream({ pull: never, cancel: stopped })]
  ]
  for (const [name, create] of idle) {
    t.test(`while it is idle, ${name}`, async (t) => {
      const sink = new FakeSink()
      let stops = 0
      const done = sink.from(create(() => void stops++))
      await turn()
      t.equal(stops, 0)
      sink.abort()
      t.equal(stops, 1, 'in the same turn')
      await done
      t.equal(stops, 1, 'once')
      t.same([sink.sent, sink.stopErrors, sink.unobserved], [[], [], []])
    })
  }

  const busy: readonly (readonly [string, (stopped: () => void) => unknown])[] = [
    ['an iterator', (stopped) => new Probe(() => 'x', stopped)],
    [
      'a Readable',
      (stopped) =>
        new Readable({
          objectMode: true,
          read() {
            this.push('x')
          },
          destroy: stopped
        })
    ],
    [
      'a ReadableStream',
      (stopped) => new ReadableStream({ pull: (controller) => controller.enqueue('x'), cancel: stopped })
    ]
  ]
  for (const [name, create] of busy) {
    t.test(`while the sink is full, ${name}`, async (t) => {
      const sink = new FakeSink({ isFull: true })
      let stops = 0
      const done = sink.from(create(() => void stops++))
      await turn()
      t.strictSame(sink.sent, ['x'])
      sink.abort()
      t.equal(stops, 1, 'in the same turn')
      await done
      await turn()
      t.equal(stops, 1, 'once')
      t.strictSame(sink.sent, ['x'], 'nothing more is sent')
    })
  }

  t.test('before its first value, in the turn of the call', async (t) => {
    for (const [name, source] of KINDS) {
      const sink = new FakeSink()
      const done = sink.from(source(['x']))
      sink.abort()
      await done
      await turn()
      t.strictSame(sink.sent, [], name)
    }
  })

  t.test('a value that comes too late is dropped', async (t) => {
    const sink = new FakeSink()
    const gate = new EventEmitter()
    const done = sink.from(new Probe(() => once(gate, 'value')))
    await turn()
    sink.abort()
    gate.emit('value', 'x')
    await done
    await turn()
    t.strictSame(sink.sent, [])
  })

  t.test('a failure that comes too late is none', async (t) => {
    const sink = new FakeSink()
    const gate = new EventEmitter()
    const source = new Probe(() => once(gate, 'value'))
    const done = sink.from(source)
    await turn()
    sink.abort()
    gate.emit('error', new Error('late'))
    await done
    await turn()
    t.same([sink.unobserved, sink.stopErrors], [[], []])
    t.strictSame(source.calls, ['next', 'return'], 'nor a reason to stop it again')
  })

  t.test('and is not asked for more', async (t) => {
    const sink = new FakeSink({ isFull: true })
    const source = new Probe(() => 'x')
    const done = sink.from(source)
    await turn()
    sink.abort()
    await done
    await turn()
    t.strictSame(source.calls, ['next', 'return'], 'no next() after return()')
  })

  t.test('also a generator that ends the sink itself while it runs', async (t) => {
    for (const isAsync of [false, true]) {
      const sink = new FakeSink()
      let isCleaned = false
      function* sync(): Generator<string> {
        try {
          yield 'x'
          sink.abort()
          yield 'late'
        } finally {
          isCleaned = true
        }
      }
      async function* delegating(): AsyncGenerator<string> {
        yield* sync()
      }
      await sink.from(isAsync ? delegating() : sync())
      await turn()
      t.same([sink.sent, isCleaned, sink.stopErrors], [['x'], true, []])
    }
  })

  t.test('an iterator that ends the sink itself and has no return()', async (t) => {
    const sink = new FakeSink()
    const next = (): IteratorResult<string> => {
      sink.abort()
      return { done: false, value: 'late' }
    }
    await sink.from({ [Symbol.iterator]: () => ({ next }) })
    t.same([sink.sent, sink.stopErrors], [[], []])
  })

  t.test('an iterator without return() is left alone', async (t) => {
    const sink = new FakeSink()
    const done = sink.from({ [Symbol.asyncIterator]: () => ({ next: never }) })
    sink.abort()
    await done
    t.same(sink.stopErrors, [])
  })

  t.test('a generator runs its finally', async (t) => {
    const sink = new FakeSink({ isFull: true })
    let isCleaned = false
    async function* generate(): AsyncGenerator<string> {
      try {
        for (;;) yield 'x'
      } finally {
        isCleaned = true
      }
    }
    const done = sink.from(generate())
    await turn()
    sink.abort()
    await done
    await turn()
    t.equal(isCleaned, true)
  })
})

t.test('source › a sink that has ended already', async (t) => {
  t.test('sends nothing, and tells the source to stop', async (t) => {
    const sink = new FakeSink()
    sink.abort()
    const source = new Probe(() => 'x')
    await sink.from(source)
    t.strictSame(source.calls, ['return'])
    for (const [, create] of KINDS) await sink.from(create(['x']))
    t.strictSame(sink.sent, [])
  })

  t.test('a Readable is destroyed', async (t) => {
    const sink = new FakeSink()
    sink.abort()
    const source = new Readable({ read() {} })
    await sink.from(source)
    t.equal(source.destroyed, true)
  })

  t.test('a ReadableStream is cancelled', async (t) => {
    const sink = new FakeSink()
    sink.abort()
    let isCancelled = false
    await sink.from(
      new ReadableStream({
        cancel() {
          isCancelled = true
        }
      })
    )
    t.equal(isCancelled, true)
  })

  t.test('a file that does not exist takes nothing down with it', async (t) => {
    const sink = new FakeSink()
    sink.abort()
    const source = createReadStream(new URL('./no-such-file', import.meta.url))
    await closedAfter(source, () => sink.from(source))
    t.same([sink.sent, sink.unobserved], [[], []])
  })

  t.test('nor does a Readable that fails to stop', async (t) => {
    const sink = new FakeSink()
    sink.abort()
    const source = new Readable({
      read() {},
      destroy: (_error, done) => done(new Error('no way to stop'))
    })
    await closedAfter(source, () => sink.from(source))
    t.same([sink.sent, sink.unobserved], [[], []])
  })
})

t.test('source › its error rejects', async (t) => {
  const error = new Error('mine')
  const fails = (): never => {
    throw error
  }
  const failing: readonly (readonly [string, () => unknown])[] = [
    ['a generator that throws', () => generateThenThrow(error)],
    ['an iterator that throws', () => ({ [Symbol.iterator]: () => ({ next: fails }) })],
    ['an async iterator that rejects', () => new Probe(fails)],
    ['a Readable that is destroyed', () => new Readable({ read: () => {} }).destroy(error)],
    [
      'a Readable that fails to read',
      () =>
        new Readable({
          read() {
            this.destroy(error)
          }
        })
    ],
    ['a ReadableStream that fails', () => new ReadableStream({ pull: fails })]
  ]
  for (const [name, create] of failing) {
    const sink = new FakeSink()
    await t.rejects(sink.from(create()), error, name)
    t.same(sink.unobserved, [])
  }

  t.test('and is not told to stop: it has ended by itself', async (t) => {
    const sink = new FakeSink()
    const source = new Probe(fails)
    await t.rejects(sink.from(source), error)
    await t.rejects(sink.from(new ReadableStream({ pull: fails })), error)
    await turn()
    t.strictSame(source.calls, ['next'], 'no return()')
    t.same(sink.stopErrors, [], 'the failure is told once')
  })

  t.test('after what came before it', async (t) => {
    const sink = new FakeSink()
    await t.rejects(sink.from(generateThenThrow(error)), error)
    t.strictSame(sink.sent, ['x'])
  })

  t.test('also a Readable that was destroyed before its end', async (t) => {
    const sink = new FakeSink()
    const source = new Readable({ read() {} })
    const done = sink.from(source)
    await turn()
    source.destroy()
    await t.rejects(done, { code: 'ERR_STREAM_PREMATURE_CLOSE' })
  })

  t.test('an iterator whose result is none rejects', async (t) => {
    const sink = new FakeSink()
    await t.rejects(sink.from({ [Symbol.iterator]: () => ({ next: () => undefined }) }), {
      name: 'TypeError'
    })
  })
})

t.test('source › a bad message rejects, and the source is told to stop', async (t) => {
  for (const [name, create] of [
    ['an iterator', (stopped: () => void) => new Probe(() => null, stopped)],
    [
      'a Readable',
      (stopped: () => void) =>
        new Readable({
          objectMode: true,
          read() {
            this.push(undefined)
          },
          destroy: stopped
        })
    ],
    [
      'a ReadableStream',
      (stopped: () => void) =>
        new ReadableStream({ pull: (controller) => controller.enqueue(null), cancel: stopped })
    ]
  ] as const) {
    const sink = new FakeSink()
    sink.send = () => {
      throw new Error('a bad message')
    }
    let stops = 0
    await t.rejects(sink.from(create(() => void stops++)), { message: 'a bad message' }, name)
    t.equal(stops, 1, 'stopped')
    sink.abort()
    t.equal(stops, 1, 'once')
    t.same([sink.stopErrors, sink.unobserved], [[], []])
  }

  t.test('after the good ones before it', async (t) => {
    const sink = new FakeSink()
    await t.rejects(sink.from(['a', null, 'b']), { message: 'a bad message' })
    t.strictSame(sink.sent, ['a'])
  })
})

t.test('source › one that fails to stop is told of', async (t) => {
  const error = new Error('no way to stop')
  const fails = (): never => {
    throw error
  }
  for (const [name, create] of [
    ['return() that throws', () => new Probe(never, fails)],
    ['return() that rejects', () => new Probe(never, () => Promise.reject(error))],
    ['cancel() that throws', () => new ReadableStream({ pull: never, cancel: fails })],
    ['cancel() that rejects', () => new ReadableStream({ pull: never, cancel: () => Promise.reject(error) })],
    ['destroy() that throws', () => Object.assign(new Readable({ read() {} }), { destroy: fails })]
  ] as const) {
    const sink = new FakeSink()
    const done = sink.from(create())
    await turn()
    sink.abort()
    await done
    await turn()
    t.strictSame(sink.stopErrors, [error], name)
    t.same(sink.unobserved, [])
  }

  t.test('also when the sink has ended already', async (t) => {
    const sink = new FakeSink()
    sink.abort()
    await sink.from(new Probe(never, fails))
    await turn()
    t.strictSame(sink.stopErrors, [error])
  })

  t.test('but not one that the signal has stopped before', async (t) => {
    const sink = new FakeSink()
    const { signal } = sink
    const response = await fetch('data:text/plain,one', { signal })
    const streams = [(response.body as ReadableStream).pipeThrough(new TextDecoderStream(), { signal })]
    for (const fail of [fails, () => Promise.reject(signal.reason)]) {
      streams.push(new ReadableStream({ pull: never, cancel: fail }))
    }
    const done = Promise.all(streams.map((stream) => sink.from(stream)))
    await turn()
    sink.abort()
    await done
    await turn()
    t.strictSame(sink.stopErrors, [error])
  })

  t.test('a bad message is the error that the caller gets', async (t) => {
    const sink = new FakeSink()
    await t.rejects(sink.from(new Probe(() => null, fails)), { message: 'a bad message' })
    await turn()
    t.strictSame(sink.stopErrors, [error])
  })
})

t.test('source › an error that nobody waits for', async (t) => {
  const error = new Error('mine')

  t.test('goes to onUnobserved, and is no unhandled rejection', async (t) => {
    const rejections = watchRejections(t)
    const sink = new FakeSink()
    const promise = sink.from(generateThenThrow(error))
    await turn()
    t.strictSame(sink.unobserved, [error])
    await turn()
    t.same(rejections, [])
    await t.rejects(promise, error, 'and still rejects for who asks later')
    t.strictSame(sink.unobserved, [error], 'told once')
  })

  t.test('nor is one that somebody waits for', async (t) => {
    const rejections = watchRejections(t)
    for (const [name, wait] of [
      ['await', async (promise: Promise<boolean>) => await promise],
      ['then', (promise: Promise<boolean>) => promise.then(() => 'sent')],
      ['catch', (promise: Promise<boolean>) => promise.catch((caught) => Promise.reject(caught))],
      ['finally', (promise: Promise<boolean>) => promise.finally(() => {})],
      ['Promise.all', (promise: Promise<boolean>) => Promise.all([promise])],
      ['an async function that returns it', async (promise: Promise<boolean>) => promise]
    ] as const) {
      const sink = new FakeSink()
      const waiting: Promise<unknown> = wait(sink.from(generateThenThrow(error)))
      await t.rejects(waiting, error, name)
      t.same(sink.unobserved, [], 'not told')
    }
    await turn()
    t.same(rejections, [])
  })

  t.test('what is derived from the promise is an ordinary promise', async (t) => {
    const sink = new FakeSink()
    const promise = sink.from([])
    t.equal(promise.then().constructor, Promise)
    t.equal(await promise.then(() => 'sent'), 'sent')
  })
})

t.test('source › what is none is refused at the call', async (t) => {
  for (const [source, got] of [
    [undefined, 'undefined (undefined)'],
    [null, 'null (null)'],
    ['text', "'text' (string)"],
    [1, '1 (number)'],
    [true, 'true (boolean)'],
    [Symbol('x'), 'Symbol(x) (symbol)'],
    [{}, '{} (object)'],
    [{ next: 1 }, '{ next: 1 } (object)'],
    [async function* generate() {}, '[AsyncGeneratorFunction: generate] (function)']
  ] as const) {
    const message = `Expected the source to be an iterable, an async iterable, a Readable, a ReadableStream or a Response, got ${kindIn(got)}`
    const sink = new FakeSink()
    t.throws(
      () => sink.from(source),
      { code: 'FST_ERR_EVENTSTREAM_INVALID_SOURCE', message, cause: got },
      got
    )
  }

  t.test('so is a ReadableStream that somebody else reads', async (t) => {
    const source = new ReadableStream()
    source.getReader()
    t.throws(() => new FakeSink().from(source), { code: 'FST_ERR_EVENTSTREAM_INVALID_SOURCE' })
  })
})

async function* generateThenThrow(error: Error): AsyncGenerator<string> {
  yield 'x'
  throw error
}

/** Resolves when the stream is closed; an error that nobody listens for fails the test by itself. */
async function closedAfter(source: Readable, act: () => Promise<unknown>): Promise<void> {
  const closed = new Promise((resolve) => source.once('close', resolve))
  await act()
  await closed
}

function watchRejections(t: Test): unknown[] {
  const rejections: unknown[] = []
  const processOnUnhandled = (reason: unknown): void => void rejections.push(reason)
  process.on('unhandledRejection', processOnUnhandled)
  t.teardown(() => process.off('unhandledRejection', processOnUnhandled))
  return rejections
}
