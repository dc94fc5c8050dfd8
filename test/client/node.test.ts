import { once } from 'node:events'
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  type EventStream,
  openEventStream,
  type TextEvents,
  type TypedOptions
} from '../../lib/client/client.ts'

const HEAD = { 'content-type': 'text/event-stream' }

/** A server that knows what it was asked. Who asks more than there are answers is given an open stream. */
class Answering {
  readonly asked: IncomingMessage[] = []
  readonly responses: ServerResponse[] = []
  readonly server: Server

  private constructor(answers: RequestListener[]) {
    this.server = createServer((request, response) => {
      this.asked.push(request)
      this.responses.push(response)
      const answer = answers.shift() ?? ((_request, last) => last.writeHead(200, HEAD).write(': open\n\n'))
      answer(request, response)
    })
  }

  static async open(t: Test, ...answers: RequestListener[]): Promise<Answering> {
    const answering = new Answering(answers)
    const { server } = answering
    await once(server.listen(0, '127.0.0.1'), 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    return answering
  }

  async untilAsked(count: number): Promise<void> {
    while (this.asked.length < count) await once(this.server, 'request')
  }

  async untilClosed(index: number): Promise<void> {
    const response = this.responses[index]
    if (response?.destroyed === false) await once(response, 'close')
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}/`
  }
}

/** An answer of these chunks. */
function chunks(...parts: string[]): RequestListener {
  return (_request, response) => {
    response.writeHead(200, HEAD)
    for (const part of parts) response.write(part)
  }
}

function timers(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length
}

/** For what is to be done without anything from outside. */
async function turns(): Promise<void> {
  for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve))
}

/** Opens a stream, closed with the test, and takes what comes. */
function open(
  t: Test,
  { url }: Answering,
  options: TypedOptions<TextEvents> = {}
): { stream: EventStream<TextEvents>; events: unknown[]; until(count: number): Promise<unknown[]> } {
  const stream = openEventStream<TextEvents>(url, { retryMs: 1, ...options })
  const events: unknown[] = []
  let wake = (): void => {}
  t.teardown(() => stream.close())
  stream.on('message', ({ data, id }) => {
    events.push(id === '' ? data : `${id}=${data}`)
    wake()
  })
  const until = async (count: number): Promise<unknown[]> => {
    while (events.length < count) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    return events
  }
  return { stream, events, until }
}

t.test('client › nothing is left behind', async (t) => {
  t.test('by a farewell that comes with the end: no timer', async (t) => {
    const server = await Answering.open(t, chunks('data: first\n\n'))
    const before = timers()
    const stream = openEventStream(server.url)
    stream.on('message', () => server.responses[0]?.end('event: close\ndata: bye\n\n'))
    t.equal(await stream.closed, 'server')
    await turns()
    t.equal(timers(), before)
  })

  t.test('by who closes it as soon as it waits: no timer', async (t) => {
    const server = await Answering.open(t, (_request, response) => {
      response.writeHead(503, { 'retry-after': '1000' }).end()
    })
    const before = timers()
    const { stream } = open(t, server, { onState: (state) => state === 'waiting' && stream.close() })
    t.equal(await stream.closed, 'client')
    await turns()
    t.equal(timers(), before)
  })

  t.test('by who closes it while headers are asked for: no timer, no request', async (t) => {
    const server = await Answering.open(t)
    const before = timers()
    let isAsked = (): void => {}
    const asked = new Promise<void>((resolve) => {
      isAsked = resolve
    })
    const { stream } = open(t, server, { headers: () => new Promise(() => isAsked()) })
    await asked
    stream.close()
    await turns()
    t.equal(timers(), before)
    t.same(server.asked, [])
  })

  t.test('by a 401 whose body never ends', async (t) => {
    const server = await Answering.open(t, (_request, response) => {
      response.writeHead(401).write('for ever')
    })
    const { stream } = open(t, server, { headers: () => ({}) })
    await server.untilAsked(2)
    await server.untilClosed(0)
    t.not(stream.state, 'closed')
  })

  t.test('by data that cannot be parsed: no connection', async (t) => {
    const server = await Answering.open(t, chunks('data: {\n\n'))
    const { stream } = open(t, server, { parse: { message: JSON.parse } })
    t.equal(await stream.closed, 'error')
    await server.untilClosed(0)
    t.equal(server.asked.length, 1)
  })

  t.test('by a loop that is ended from outside while it waits: no connection', async (t) => {
    const server = await Answering.open(t)
    const stream = openEventStream(server.url)
    const loop = stream[Symbol.asyncIterator]()
    const next = loop.next()
    await server.untilAsked(1)
    t.same(await loop.return?.(), { value: undefined, done: true })
    t.same(await next, { value: undefined, done: true })
    t.equal(await stream.closed, 'client')
    await server.untilClosed(0)
  })

  t.test('by a loop that was never begun', async (t) => {
    const server = await Answering.open(t)
    const stream = openEventStream(server.url)
    await stream[Symbol.asyncIterator]().return?.()
    t.equal(await stream.closed, 'client')
  })

  t.test('by a loop whose body throws: no connection', async (t) => {
    const server = await Answering.open(t, chunks('data: first\n\n'))
    const stream = openEventStream(server.url)
    const loop = async (): Promise<void> => {
      for await (const { data } of stream) throw new Error(data)
    }
    await t.rejects(loop(), { message: 'first' })
    t.equal(await stream.closed, 'client')
    await server.untilClosed(0)
  })
})

t.test('client › what servers may do', async (t) => {
  t.test('headers that never come are a failed attempt', async (t) => {
    const server = await Answering.open(t, chunks('data: first\n\n'))
    let asked = 0
    const headers = (): Promise<Record<string, string>> =>
      asked++ === 0 ? new Promise(() => {}) : Promise.resolve({})
    const { until } = open(t, server, { headers, silenceMs: 50 })
    t.same(await until(1), ['first'])
  })

  t.test('no limit to the silence', async (t) => {
    const server = await Answering.open(t, chunks('data: first\n\n'))
    const { until } = open(t, server, { silenceMs: Number.POSITIVE_INFINITY })
    await until(1)
    await new Promise((resolve) => setTimeout(resolve, 20))
    server.responses[0]?.write('data: second\n\n')
    t.same(await until(2), ['first', 'second'])
    t.equal(server.asked.length, 1)
  })

  t.test('a date to come back at is by the clock of the server', async (t) => {
    const ahead = new Date(Date.now() + 86_400_000).toUTCString()
    const server = await Answering.open(
      t,
      (_request, response) => response.writeHead(503, { date: ahead, 'retry-after': ahead }).end(),
      chunks('data: back\n\n')
    )
    const { until } = open(t, server)
    t.same(await until(1), ['back'])
  })

  t.test('an event without end is a failure, and memory is bounded', async (t) => {
    let written = 0
    const server = await Answering.open(t, (_request, response) => {
      response.writeHead(200, HEAD).write('data: ')
      const write = (): void => {
        while (response.write('x'.repeat(10_000))) written += 10_000
      }
      response.on('drain', write)
      write()
    })
    const { stream } = open(t, server, { maxEventLength: 1_000_000 })
    t.equal(await stream.closed, 'error')
    t.match(stream.error?.cause, { type: 'max-buffer-size-exceeded' })
    await server.untilClosed(0)
    t.ok(written >= 1_000_000)
    t.equal(server.asked.length, 1)
  })

  t.test('unknown fields and a retry that is no number are nothing', async (t) => {
    const server = await Answering.open(t, chunks('unknown: 1\nretry: soon\ndata: first\n\n'))
    const { until } = open(t, server)
    t.same(await until(1), ['first'])
  })

  t.test('an id that no header takes counts as none', async (t) => {
    const server = await Answering.open(
      t,
      chunks('id: 1\ndata: a\n\nid: \u0001\ndata: b\n\nid: \u007f\ndata: c\n\n')
    )
    const { until } = open(t, server)
    t.same(await until(3), ['1=a', '1=b', '1=c'])
    server.responses[0]?.end()
    await server.untilAsked(2)
    t.equal(server.asked[1]?.headers['last-event-id'], '1')
  })

  t.test('line ends and a byte order mark may be cut anywhere', async (t) => {
    const text = '\ufeffdata: a\r\n\r\ndata: b\r\rdata: c\n\ndata:d\r\ndata\r\n\r\n: end\n\n'
    for (let cut = 1; cut < text.length; cut++) {
      const server = await Answering.open(t, chunks(text.slice(0, cut), text.slice(cut)))
      t.same(await open(t, server).until(4), ['a', 'b', 'c', 'd\n'])
    }
  })

  t.test('a finite answer that ends within an event is broken, whoever has ended it', async (t) => {
    const reasonOf = async (text: string): Promise<unknown> => {
      const server = await Answering.open(t, (_request, response) => {
        response.writeHead(200, HEAD).end(`data: a\n\n${text}`)
      })
      const { stream, events } = open(t, server, { finite: true })
      const reason = await stream.closed
      t.same(events, ['a'])
      return reason
    }
    for (const whole of ['', ': bye\n', ': bye\n\n', '\n', 'retry: 5\n'])
      t.equal(await reasonOf(whole), 'server', JSON.stringify(whole))
    for (const half of [
      'da',
      'data',
      'data: b',
      'data: b\n',
      'event: done\n',
      'event: done\ndata\n',
      'data: b\r',
      ': bye'
    ])
      t.equal(await reasonOf(half), 'broken', JSON.stringify(half))
  })

  t.test('a finite answer that ends with a CR has its last event', async (t) => {
    for (const text of ['data: a\r\rdata: b\r\r', 'data: a\r\n\r\ndata: b\r\n\r']) {
      const server = await Answering.open(t, (_request, response) => {
        response.writeHead(200, HEAD).end(text)
      })
      const { stream, events } = open(t, server, { finite: true })
      t.equal(await stream.closed, 'server')
      t.same(events, ['a', 'b'])
    }
  })

  t.test('a finite stream that is resumed goes on after it', async (t) => {
    const server = await Answering.open(
      t,
      (_request, response) => response.writeHead(200, HEAD).end('id: 1\ndata: a\n\nid: 2\ndata: b'),
      (_request, response) => response.writeHead(200, HEAD).end('id: 2\ndata: b\n\n')
    )
    const { stream, events } = open(t, server, { finite: true, resume: true })
    t.equal(await stream.closed, 'server')
    t.same(events, ['1=a', '2=b'])
    t.equal(server.asked[1]?.headers['last-event-id'], '1')
  })

  t.test('what only begins like the type of an event stream is refused', async (t) => {
    const server = await Answering.open(t, (_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream-like' }).end()
    })
    t.equal(await open(t, server).stream.closed, 'refused')
  })

  t.test('redirects without end are a failed attempt', async (t) => {
    const loop: RequestListener = (_request, response) => response.writeHead(302, { location: '/' }).end()
    const server = await Answering.open(t, ...Array.from({ length: 21 }, () => loop), chunks('data: out\n\n'))
    t.same(await open(t, server).until(1), ['out'])
  })

  t.test('a retry beyond all timers is waited for', async (t) => {
    const server = await Answering.open(t, (_request, response) => {
      response.writeHead(200, HEAD).end('retry: 99999999999999999999\n\n')
    })
    const { stream } = await new Promise<ReturnType<typeof open>>((resolve) => {
      const opened = open(t, server, { onState: (state) => state === 'waiting' && resolve(opened) })
    })
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.equal(stream.state, 'waiting')
    t.equal(server.asked.length, 1)
  })

  t.test('who ends each stream at once, and says to come back at once, is spared', async (t) => {
    const times: number[] = []
    const end: RequestListener = (_request, response) => {
      times.push(performance.now())
      response.writeHead(200, HEAD).end('retry: 0\n\n')
    }
    const server = await Answering.open(t, end, end, end, chunks('data: at last\n\n'))
    t.same(await open(t, server, { maxRetryMs: 500 }).until(1), ['at last'])
    const [, second = 0, third = 0] = times
    t.ok(third - second >= 499, `${third - second} ms`)
  })

  t.test('a loop that asks for more does not fill the queue of a slower one', async (t) => {
    const server = await Answering.open(t, chunks('data: 0\n\ndata: 1\n\n'))
    const stream = openEventStream(server.url)
    t.teardown(() => stream.close())
    const [slow, fast] = [stream[Symbol.asyncIterator](), stream[Symbol.asyncIterator]()]
    const next = async (loop: typeof slow): Promise<unknown> => (await loop.next()).value?.data
    t.same(await Promise.all([next(slow), next(fast)]), ['0', '0'])
    t.equal(await next(fast), '1')
    const third = next(fast)
    server.responses[0]?.write('data: 2\n\n')
    t.equal(await Promise.race([third, wait(200, 'nothing yet')]), 'nothing yet')
    t.equal(await next(slow), '1')
    t.same(await Promise.all([next(slow), third]), ['2', '2'])
  })

  t.test('two loops are given everything, as fast as the slower one', async (t) => {
    const texts = Array.from({ length: 100 }, (_, index) => String(index))
    const server = await Answering.open(t, chunks(...texts.map((text) => `data: ${text}\n\n`)))
    const stream = openEventStream(server.url)
    const read = async (isSlow: boolean): Promise<string[]> => {
      const heard: string[] = []
      for await (const { data } of stream) {
        heard.push(data)
        if (isSlow) await turns()
        if (heard.length === texts.length && isSlow) break
      }
      return heard
    }
    t.same(await Promise.all([read(true), read(false)]), [texts, texts])
  })
})
