import { EventEmitter, once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import { EventSource } from 'eventsource'
import fc from 'fast-check'
import Fastify, { type FastifyInstance, type FastifyReply } from 'fastify'
import t, { type Test } from 'tap'
import { EventSource as UndiciEventSource } from 'undici'
import eventStream, { type Message, type SSEConnection } from '../../lib/index.ts'
import { hostileText } from '../helpers/hostile-text.ts'

const MESSAGES = 10_000
const DONE = 'done'

/** FC_SEED=… repeats a run. */
const seed = Number.parseInt(process.env.FC_SEED ?? '', 10) || Math.floor(Math.random() * 2 ** 31)

/** What the two EventSources have in common. */
interface Client {
  addEventListener(type: string, listener: (event: object) => void): void
  close(): void
}

interface Received {
  readonly type: string
  readonly data: string
  readonly lastEventId: string
}

/**
 * `keepsId`: whether an event without an id has the one before it as its `lastEventId`, as the standard says. The
 * eventsource package gives it none, and also forgets an id that came without data.
 */
const CLIENTS: readonly { name: string; open: (url: string) => Client; keepsId: boolean }[] = [
  { name: "undici's EventSource", open: (url) => new UndiciEventSource(url), keepsId: true },
  { name: 'the eventsource package', open: (url) => new EventSource(url), keepsId: false }
]

/** Listeners are per event name, so there are few; `error` and `open` are also events of EventSource itself. */
const NAMES = [
  'message',
  'tick',
  'error',
  'open',
  'a b',
  ' ',
  ':',
  'data',
  'id: 1',
  'ü😀',
  '\ufeff',
  '\u2028'
]

const id = fc.oneof(
  fc.string({
    unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    maxLength: 8
  }),
  fc.maxSafeNat(),
  fc.bigInt({ min: 0n, max: 2n ** 80n }),
  fc.constantFrom<string | number>('', 0, ':', 'id:', 'x'.repeat(1024))
)
const data = fc.oneof(
  { arbitrary: hostileText, weight: 6 },
  { arbitrary: hostileText.map((value) => Buffer.from(value)), weight: 1 },
  { arbitrary: hostileText.map((value) => [value, null]), weight: 1 }
)
const retry = fc.integer({ min: 0, max: 2_147_483_647 })
const message: fc.Arbitrary<Message> = fc.oneof(
  {
    arbitrary: fc.record(
      { id, event: fc.constantFrom(...NAMES, ''), data, retry },
      { requiredKeys: ['data'] }
    ),
    weight: 9
  },
  { arbitrary: fc.record({ id, retry }, { requiredKeys: ['id'] }), weight: 1 }
)

/** What a client has after these messages, which is its own way to keep ids. */
function* expectedFrom(messages: readonly Message[], keepsId: boolean): Generator<Received> {
  let lastEventId = ''
  for (const { id, event, data } of messages) {
    if (id !== undefined) lastEventId = String(id)
    else if (!keepsId) lastEventId = ''
    if (data !== undefined) yield { type: event || 'message', data: textOf(data), lastEventId }
  }
}

function textOf(data: unknown): string {
  if (data instanceof Uint8Array) return textOf(Buffer.from(data).toString())
  if (typeof data !== 'string') return JSON.stringify(data)
  return data.replaceAll('\r\n', '\n').replaceAll('\r', '\n')
}

/** The event as data; nothing for an `open` or `error` of the EventSource itself. */
function receivedOf(event: object): Received | undefined {
  if (!('type' in event && 'data' in event && 'lastEventId' in event)) return undefined
  const { type, data, lastEventId } = event
  return { type: String(type), data: String(data), lastEventId: String(lastEventId) }
}

/** A server with one stream, which `start` writes. */
async function listen(t: Test, start: (reply: FastifyReply) => Promise<void>): Promise<string> {
  const app: FastifyInstance = Fastify()
  await app.register(eventStream, { farewell: false })
  app.get('/', async (_request, reply) => start(reply))
  await app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => app.close())
  const { port } = app.server.address() as AddressInfo
  return `http://127.0.0.1:${port}/`
}

/** Sends a third each by waiting for every message, for every hundredth one, and for a source. */
async function sendInThirds(sse: SSEConnection, messages: readonly Message[]): Promise<void> {
  const third = Math.ceil(messages.length / 3)
  for (const message of messages.slice(0, third)) await sse.send(message)
  for (const [index, message] of messages.slice(third, 2 * third).entries()) {
    const sent = sse.send(message)
    if (index % 100 === 99) await sent
  }
  await sse.sendAll(messages.slice(2 * third))
}

t.test(`clients › what was sent is what is received (FC_SEED=${seed})`, async (t) => {
  t.comment(`FC_SEED=${seed}`)
  const messages = fc.sample(message, { seed, numRuns: MESSAGES })

  for (const { name, open, keepsId } of CLIENTS) {
    t.test(`${MESSAGES} messages to ${name}`, async (t) => {
      const url = await listen(t, async (reply) => {
        const sse = reply.sseStart()
        await sendInThirds(sse, messages)
        await sse.send({ event: DONE, data: '' })
        await sse.closed
      })
      const expected = expectedFrom(messages, keepsId)
      const client = open(url)
      t.teardown(() => client.close())
      let count = 0
      const finished = new Promise<void>((resolve, reject) => {
        const clientOnEvent = (event: object): void => {
          const received = receivedOf(event)
          if (received === undefined) return
          if (received.type === DONE) resolve()
          else if (isDeepStrictEqual(received, expected.next().value)) count++
          else reject(new Error(`event ${count} is not the one that was sent: ${JSON.stringify(received)}`))
        }
        for (const type of [...NAMES, DONE]) client.addEventListener(type, clientOnEvent)
      })
      await finished
      const withData = messages.filter(({ data }) => data !== undefined)
      t.equal(count, withData.length, `${count} events`)
    })
  }
})

t.test('clients › a frame that was cut never commits its id', async (t) => {
  const frame = 'id: new\nevent: tick\ndata: cut\n\n'
  const ids = Array.from(frame, (_, cut) => `old-${cut}`)

  for (const { name, open } of CLIENTS) {
    for (const [way, end] of [
      ['ends', (sse: SSEConnection) => sse.close()],
      ['breaks off', (sse: SSEConnection) => sse.destroy()]
    ] as const) {
      t.test(`when the stream ${way} after any of its bytes: ${name}`, async (t) => {
        const seen: (string | undefined)[] = []
        const events = new EventEmitter()
        const url = await listen(t, async (reply) => {
          const sse = reply.sseStart()
          const cut = seen.push(sse.lastEventId) - 1
          if (cut > frame.length) {
            events.emit('end')
            return
          }
          const received = once(events, 'old')
          await sse.send({ id: `old-${cut}`, event: 'old', data: '', retry: 0 })
          await received
          if (cut > 0) await writeRaw(sse, frame.slice(0, cut))
          end(sse)
        })
        const ended = once(events, 'end')
        const client = open(url)
        t.teardown(() => client.close())
        client.addEventListener('old', () => events.emit('old'))
        await ended
        t.strictSame(seen, [undefined, ...ids, 'new'])
      })
    }
  }
})

t.test('clients › nor does a large one that destroy() cut', async (t) => {
  const data = 'x'.repeat(33_554_432)

  for (const { name, open } of CLIENTS) {
    t.test(name, async (t) => {
      const events = new EventEmitter()
      const url = await listen(t, async (reply) => {
        const sse = reply.sseStart({ maxMessageBytes: 2 * data.length })
        if (sse.lastEventId !== undefined) {
          events.emit('resumed', sse.lastEventId)
          return
        }
        const received = once(events, 'old')
        await sse.send({ id: 'old', event: 'old', data: '', retry: 0 })
        await received
        const sent = sse.send({ id: 'new', data })
        t.ok(sse.bufferedBytes > 0, 'not all of it is on its way')
        sse.destroy()
        await sent
      })
      const resumed = once(events, 'resumed')
      const client = open(url)
      t.teardown(() => client.close())
      client.addEventListener('old', () => events.emit('old'))
      client.addEventListener('message', () => t.fail('the cut one was dispatched'))
      t.strictSame(await resumed, ['old'])
    })
  }
})

/** Writes what no connection ever sends: a part of a frame, as one chunk. */
function writeRaw({ socket }: SSEConnection, part: string): Promise<void> {
  return new Promise((resolve) => {
    socket.write(`${part.length.toString(16)}\r\n${part}\r\n`, () => resolve())
  })
}
