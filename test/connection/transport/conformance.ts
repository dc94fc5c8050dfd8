import { once } from 'node:events'
import type { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import type { Connection } from '../../../lib/connection/connection.ts'
import type { Message, SSEConnection } from '../../../lib/index.ts'
import { FakeClock } from '../../helpers/fake-clock.ts'
import { deferred, until, untilResting } from '../../helpers/server.ts'

/** What a client of one kind of pipe sees of a response. */
export interface Response {
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly body: Readable
  /** Leaves as a client does that is killed. */
  leave(): void
}

/** One kind of pipe: a server, and how a client gets a path from it. */
export interface Pipe {
  readonly app: FastifyInstance
  /** Whether what breaks a response off may overtake what was sent just before. */
  readonly mayLoseLastWords?: true
  /** Whether what the reader has taken is no longer counted as buffered. */
  readonly tellsDelivery?: false
  get(path: string): Promise<Response>
}

const HOSTILE = '\u{1f600}\r\n\u2028:\u0000\ufeff data: x\n\nid: 1'
const LARGE = '😀é'.repeat(100_000)
/** Tells where a client stands, if no message has. */
const CURSOR_EVENT = /id: \S+\nevent: sse-cursor\ndata: {}\n\n/

/** What every transport under a connection keeps, whatever the pipe is made of. */
export function conformance(t: Test, name: string, open: (t: Test) => Promise<Pipe>): void {
  t.test(`${name} › the head comes before the first event, then events in order`, async (t) => {
    const { app, get } = await open(t)
    const sent = deferred<SSEConnection>()
    app.get('/', async (_request, reply) => sent.resolve(reply.sseStart()))
    const response = await get('/')
    t.equal(response.status, 200)
    t.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8')
    t.equal(response.headers['x-accel-buffering'], 'no')
    const sse = await sent.promise
    for (let id = 0; id < 1000; id++) await sse.send({ id, data: id })
    sse.close()
    const expected = Array.from({ length: 1000 }, (_, id) => `id: ${id}\ndata: ${id}\n\n`).join('')
    t.equal(await text(response), `${expected}event: close\ndata: Closing the connection\n\n`)
    t.equal(await sse.closed, 'server')
  })

  t.test(`${name} › bytes are exact, ASCII or not, small or large`, async (t) => {
    const { app, get } = await open(t)
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart({ farewell: false })
      await sse.send({ data: { HOSTILE } })
      await sse.send('é')
      for (let i = 0; i < 4; i++) await sse.send(LARGE)
      sse.close()
    })
    const expected = `data: ${JSON.stringify({ HOSTILE })}\n\ndata: é\n\n${`data: ${LARGE}\n\n`.repeat(4)}`
    t.equal(await text(await get('/')), expected)
  })

  t.test(`${name} › awaited sends wait for a reader that pauses, and lose nothing`, async (t) => {
    const { app, get, tellsDelivery = true } = await open(t)
    const started = deferred<SSEConnection>()
    let most = 0
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart({ farewell: false })
      started.resolve(sse)
      for (let i = 0; i < 300; i++) {
        await sse.send(`${i}:${'x'.repeat(50_000)}`)
        most = Math.max(most, sse.bufferedBytes)
      }
      sse.close()
    })
    const response = await get('/')
    const sse = await started.promise
    await untilResting(() => sse.messages)
    const body = await text(response)
    t.equal(body.split('\n\n').length - 1, 300)
    t.match(body, /data: 299:x+\n\n$/)
    t.ok(most < 1_000_000 || !tellsDelivery, `at most ${most} bytes were buffered`)
  })

  t.test(`${name} › what the reader has not taken is buffered, and not flushed`, async (t) => {
    const { app, get, tellsDelivery = true } = await open(t)
    const started = deferred<Connection>()
    app.get('/', async (_request, reply) => {
      started.resolve(reply.sseStart({ farewell: false, maxBufferedBytes: 2 ** 30 }) as unknown as Connection)
    })
    const response = await get('/')
    const sse = await started.promise
    const { output } = sse
    const counts = (): [number, number] => [output.flushedBytes, output.bufferedBytes]
    for (let i = 0; i < 200; i++) sse.send('x'.repeat(50_000))
    await untilResting(() => output.flushedBytes)
    const [flushed, buffered] = counts()
    t.not(buffered, 0)
    const all = flushed + buffered
    const overhead = all - output.bytes
    if (tellsDelivery) t.ok(overhead >= 0 && overhead < 16_000, `${overhead} bytes of head and chunks`)
    sse.send('x'.repeat(50_000))
    await untilResting(() => output.bufferedBytes)
    // The system may take some more at any time.
    if (tellsDelivery) t.equal(counts()[0] + counts()[1], all + 50_008)
    t.not(counts()[1], 0)
    const bytes = output.bytes
    sse.close()
    await text(response)
    if (tellsDelivery) t.ok(output.flushedBytes >= bytes, `${output.flushedBytes} of ${bytes}`)
  })

  t.test(`${name} › a client that leaves is seen, and ends an idle source`, async (t) => {
    const { app, get } = await open(t)
    const ended = deferred<unknown[]>()
    let returned = false
    const idle: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: async () => {
          returned = true
          return { done: true, value: undefined }
        }
      })
    }
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      await sse.send('hello')
      await sse.sendAll(idle)
      ended.resolve([await sse.closed, sse.signal.aborted, returned, app.sse.connections.size])
    })
    const response = await get('/')
    response.body.on('error', () => {})
    await new Promise((resolve) => response.body.once('data', resolve))
    response.leave()
    t.same(await ended.promise, ['client', true, true, 0])
  })

  t.test(`${name} › destroy() cuts the client off`, async (t) => {
    const { app, get } = await open(t)
    const started = deferred<SSEConnection>()
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart()
      await sse.send('hello')
      started.resolve(sse)
    })
    const body = text(await get('/'))
    const sse = await started.promise
    sse.destroy()
    t.equal(await sse.closed, 'server')
    await t.rejects(body)
    t.equal(app.sse.connections.size, 0)
  })

  t.test(
    `${name} › a finite stream that was not closed comes to its last words, and is not whole`,
    async (t) => {
      const { app, get, mayLoseLastWords = false } = await open(t)
      const farewell = mayLoseLastWords ? false : (): Message => ({ event: 'error', data: 'half' })
      const half = Array.from({ length: 20 }, (_, i) => `data: ${i}:${'x'.repeat(20_000)}\n\n`).join('')
      const started = deferred<SSEConnection>()
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart({ finite: true, farewell })
        started.resolve(sse)
        for (let i = 0; i < 20; i++) await sse.send(`${i}:${'x'.repeat(20_000)}`)
      })
      const { body } = await get('/')
      let received = ''
      const ended = new Promise<string>((resolve) => {
        body.on('end', () => resolve('whole'))
        body.on('error', () => resolve('broken'))
        body.on('close', () => resolve('broken'))
      })
      const isRead = deferred()
      body.on('data', (chunk) => {
        received += chunk
        if (received.length === half.length) isRead.resolve()
      })
      await isRead.promise
      app.sse.closeWhere(() => true)
      t.equal(await ended, 'broken')
      t.ok(received === half + (mayLoseLastWords ? '' : 'event: error\ndata: half\n\n'))
      t.equal(await (await started.promise).closed, 'server')
    }
  )

  t.test(`${name} › and one that was closed is`, async (t) => {
    const { app, get } = await open(t)
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart({ finite: true })
      sse.send('all of it')
      sse.close()
    })
    t.equal(await text(await get('/')), 'data: all of it\n\n')
  })

  t.test(`${name} › a heartbeat goes out`, (t) =>
    FakeClock.run(async (clock) => {
      const { app, get } = await open(t)
      const heartbeatMs = 20
      const started = deferred<SSEConnection>()
      app.get('/', async (_request, reply) => started.resolve(reply.sseStart({ heartbeatMs })))
      const response = await get('/')
      const first = once(response.body, 'data')
      const sse = await started.promise
      await until(() => sse.bufferedBytes === 0)
      clock.advance(2 * heartbeatMs)
      t.same(String(await first), ':\n')
      response.body.on('error', () => {})
      response.leave()
    })
  )

  t.test(`${name} › close() of the server ends it to the last byte`, async (t) => {
    const { app, get } = await open(t)
    app.get('/', async (_request, reply) => {
      const sse = reply.sseStart({ retryMs: [5, 5] })
      for (let i = 0; i < 20; i++) sse.send(`${i}:${'x'.repeat(20_000)}`)
    })
    const response = await get('/')
    const [body] = await Promise.all([text(response), FakeClock.run(() => app.close())])
    t.match(body, /data: 19:x+\n\nretry: 5\n$/)
  })

  t.test(`${name} › what is published on a channel arrives byte for byte at all`, async (t) => {
    const { app, get } = await open(t)
    const channel = app.sse.channel('news')
    app.get('/', async (_request, reply) => {
      channel.subscribe(reply.sseStart())
    })
    await channel.publish('before')
    const responses = await Promise.all([get('/'), get('/'), get('/')])
    t.equal(channel.size, 3)
    const bodies = responses.map(text)
    let expected = ''
    for (const data of ['a', HOSTILE, LARGE, '', 'é', LARGE]) {
      const cursor = await channel.publish({ event: 'x', data: JSON.stringify(data) })
      expected += `id: ${cursor}\nevent: x\ndata: ${JSON.stringify(data)}\n\n`
    }
    app.sse.closeWhere(() => true)
    expected += 'event: close\ndata: Closing the connection\n\n'
    for (const body of await Promise.all(bodies)) t.ok(body.replace(CURSOR_EVENT, '') === expected)
  })

  t.test(`${name} › a client that returns gets from a channel what it missed`, async (t) => {
    const { app, get } = await open(t)
    const channel = app.sse.channel('news')
    app.get('/', async (_request, reply) => {
      channel.subscribe(reply.sseStart({ farewell: false }))
    })
    const first = await get('/')
    const got = new Promise<string>((resolve) => {
      let body = ''
      first.body.on('data', (chunk) => {
        body += chunk
        if (body.endsWith('data: 2\n\n')) resolve(body)
      })
    })
    first.body.on('error', () => {})
    const cursors: string[] = []
    for (const data of ['1', '2']) cursors.push(await channel.publish(data))
    const [, lastEventId] = /id: (\S+)\ndata: 2\n\n$/.exec(await got) ?? []
    t.equal(lastEventId, cursors[1])
    first.leave()
    for (const data of ['3', '4']) cursors.push(await channel.publish(data))
    const body = text(await get(`/?lastEventId=${lastEventId}`))
    cursors.push(await channel.publish('5'))
    app.sse.closeWhere(({ lastEventId }) => lastEventId !== undefined)
    const messages = (await body).replace(CURSOR_EVENT, '')
    t.equal(messages, ['3', '4', '5'].map((data, i) => `id: ${cursors[i + 2]}\ndata: ${data}\n\n`).join(''))
  })

  t.test(
    `${name} › a slow reader of a channel stays behind without a queue, and holds nobody up`,
    async (t) => {
      const { app, get, tellsDelivery = true } = await open(t)
      const channel = app.sse.channel('news', { maxBytes: 100_000_000 })
      const connections: SSEConnection[] = []
      app.get('/', async (_request, reply) => {
        const sse = reply.sseStart({ farewell: false })
        connections.push(sse)
        channel.subscribe(sse)
      })
      const slow = await get('/')
      const fast = text(await get('/'))
      const [behind, upToDate] = connections
      let count = 0
      let most = 0
      while (count < 100 || (tellsDelivery && count - Number(behind?.messages) < 50)) {
        await channel.publish(`${count++}:${'x'.repeat(50_000)}`)
        most = Math.max(most, Number(behind?.bufferedBytes))
      }
      const expected = Array.from({ length: count }, (_, i) => i)
      upToDate?.close()
      t.same(numbersIn(await fast), expected)
      t.ok(most < 1_000_000 || !tellsDelivery, `at most ${most} bytes were buffered`)
      behind?.close()
      t.same(numbersIn(await text(slow)), expected)
    }
  )
}

/** The numbers before the colons in the data of a stream. */
function numbersIn(body: string): number[] {
  return [...body.matchAll(/^data: (\d+):/gm)].map(([, number]) => Number(number))
}

/** The body to its end. Rejects when it is cut off. */
async function text({ body }: Response): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of body) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
